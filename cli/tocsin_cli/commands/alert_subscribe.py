"""`tocsin alert subscribe`, `subscriptions`, `unsubscribe`: who is told of which alerts besides the room."""

from collections.abc import Mapping
from typing import Any

import click

from tocsin_cli.command import Command
from tocsin_cli.commands.alert_person import name_here
from tocsin_cli.errors import UsageFault
from tocsin_cli.filing import member
from tocsin_cli.session import Session, pass_session
from tocsin_cli.words import GRADES

_LISTS = ("grades", "origins", "systems", "harms", "classes")
_BY = click.option("--by", metavar="NAME", help="Who it is. [default: your name on this machine]")


@click.command("subscribe", cls=Command)
@click.argument("person", metavar="PERSON")
@click.option("--grade", "grades", multiple=True, type=click.Choice(GRADES[:4]), help="Only this grade.")
@click.option("--origin", "origins", multiple=True, metavar="NAME", help="Only from this organisation.")
@click.option("--system", "systems", multiple=True, metavar="NAME", help="Only about this system.")
@click.option("--harm", "harms", multiple=True, metavar="TYPE", help="Only with this type of harm.")
@click.option("--class", "classes", multiple=True, metavar="SCHEME:CODE", help="Only classified so.")
@click.option(
    "--max-tlp",
    type=click.Choice(["clear", "green", "amber", "amber+strict", "red"]),
    default="green",
    show_default=True,
    help="Details up to this marking; above it number and grade only.",
)
@click.option("--digest", "digest_at", metavar="HH:MM", help="Once a day at this time, instead of at once.")
@click.option("--quiet-hours", "quiet", metavar="HH:MM-HH:MM", help="What comes then waits for their end.")
@click.option("--zone", metavar="ZONE", help="Zone of these times. [default: oncall.zone of node.toml]")
@click.option("--always-quiet", is_flag=True, help="Grade I waits too.")
@_BY
@pass_session
def subscribe(
    session: Session, /, person: str, quiet: str | None, always_quiet: bool, by: str | None, **asked: Any
) -> None:
    """Tell PERSON of some alerts besides the room.

    PERSON is a mail address, which gets letters of its own, or a Matrix user, who is mentioned in the room. An option
    that is given several times fits when one of its values does; all options that are given have to fit. Without
    any, all alerts do.
    """
    document = {name: value for name, value in asked.items() if value} | {"person": person}
    if quiet is not None:
        begin, dash, end = quiet.partition("-")
        if not dash:
            raise UsageFault(f"{quiet} are no hours.", hint="Write --quiet-hours 22:00-07:00.")
        document["quiet"] = [begin.strip(), end.strip()]
    if always_quiet:
        document["break_quiet"] = False
    if name := by or name_here():
        document["by"] = name
    made = session.client.json("POST", "/v1/subscriptions", send=document)
    _show(session, made, [made])
    session.out.next_step(f"tocsin alert unsubscribe {member(made, 'id')}")


@click.command("subscriptions", cls=Command)
@pass_session
def subscriptions(session: Session) -> None:
    """List the subscriptions that stand."""
    found = session.client.json("GET", "/v1/subscriptions")
    items = member(found, "items")
    if not items and not session.out.as_json:
        session.out.say("No subscriptions.")
        return
    _show(session, found, items)


@click.command("unsubscribe", cls=Command)
@click.argument("subscription_id", metavar="NUMBER", type=click.IntRange(min=1))
@_BY
@pass_session
def unsubscribe(session: Session, subscription_id: int, by: str | None) -> None:
    """End a subscription."""
    name = by or name_here()
    gone = session.client.json(
        "POST", f"/v1/subscriptions/{subscription_id}/end", send={"by": name} if name else {}
    )
    if session.out.as_json:
        session.out.document(gone)
        return
    session.out.say(f"Subscription {subscription_id} of {gone.get('person')} has ended.")


def _show(session: Session, document: Mapping[str, Any], items: list[Mapping[str, Any]]) -> None:
    if session.out.as_json:
        session.out.document(document)
        return
    session.out.table(
        ["number", "person", "alerts", "up to", "when", "quiet", "zone"], [_row(each) for each in items]
    )


def _row(each: Mapping[str, Any]) -> list[object]:
    filters = [f"{name} {', '.join(map(str, each[name]))}" for name in _LISTS if each.get(name)]
    when = f"daily {each['digest_at']}" if each.get("digest_at") else "at once"
    quiet = "-".join(each["quiet"]) if each.get("quiet") else "-"
    if each.get("quiet") and each.get("break_quiet"):
        quiet += ", not for grade I"
    return [
        each.get("id"),
        each.get("person"),
        "; ".join(filters) or "all",
        str(each.get("max_tlp")).upper(),
        when,
        quiet,
        each.get("zone"),
    ]
