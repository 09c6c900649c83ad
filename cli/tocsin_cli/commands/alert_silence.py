"""`tocsin alert silence`: rings that nobody wants for a while, for a reason and until an end."""

from collections.abc import Mapping
from typing import Any

import click

from tocsin_cli.command import LazyGroup
from tocsin_cli.commands.alert_person import name_here
from tocsin_cli.commands.peer_connect import Ttl
from tocsin_cli.errors import UsageFault
from tocsin_cli.filing import member
from tocsin_cli.listing import limit_option, listed
from tocsin_cli.plain import local_time
from tocsin_cli.session import Session, pass_session

_ABOUT = ("origin", "report_id", "system", "harm", "technique")


@click.group("silence", cls=LazyGroup, no_args_is_help=True)
def silence() -> None:
    """Keep alerts from ringing for a while.

    What is silenced is recorded and listed, and rings when the silence ends if nobody has taken it up by then. Legal
    clocks, withdrawals and tests ring on. Grade I and risks to life do too, unless --max-grade I says otherwise.
    """


@silence.command("add")
@click.option("--reason", metavar="TEXT", required=True, help="Why: others will want to know.")
@click.option(
    "--for", "for_s", type=Ttl(), metavar="SPAN", required=True, help="How long, such as 2h; at most 30d."
)
@click.option("--origin", metavar="PEER", help="What this peer filed; `us`: what we filed.")
@click.option("--report", "report_id", metavar="ID", help="This report.")
@click.option("--system", metavar="NAME", help="What names this system.")
@click.option("--harm", metavar="TYPE", help="What has this type of harm, such as privacy.")
@click.option("--technique", metavar="ID", help="What names this technique, such as AML.T0051.")
@click.option(
    "--max-grade",
    type=click.Choice(["I", "II", "III", "IV"]),
    default="II",
    show_default=True,
    help="The gravest grade that is silenced.",
)
@click.option("--by", metavar="NAME", help="Who wants it. [default: your name on this machine]")
@pass_session
def add(
    session: Session, /, reason: str, for_s: int, max_grade: str, by: str | None, **about: str | None
) -> None:
    """Silence what matches all that is given."""
    if not any(about.values()):
        hint = "Give at least one of --origin, --report, --system, --harm and --technique."
        raise UsageFault("A silence without any condition would silence everything.", hint=hint)
    asked = {"reason": reason, "for_s": for_s, "max_grade": max_grade, "by": by or name_here(), **about}
    made = session.client.json("POST", "/v1/silences", send={k: v for k, v in asked.items() if v})
    _tell(session, made)
    session.out.next_step(f"tocsin alert silence expire {made['id']}")


@silence.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those that have ended.")
@limit_option("Silences")
@pass_session
def list_(session: Session, everything: bool, limit: int) -> None:
    """List the silences that hold, newest first."""
    query = [("limit", str(limit)), *([("all", "1")] if everything else [])]
    found = session.client.json("GET", "/v1/silences", query=query)
    items = listed(session, found, nothing="No silences.")
    if not items:
        return
    columns = ["silence", "about", "up to grade", "until", "by", "reason", "holds"]
    session.out.table(columns, [_row(each) for each in items])


@silence.command("expire")
@click.argument("silence_id", metavar="SILENCE", type=click.IntRange(min=1))
@click.option("--by", metavar="NAME", help="Who ends it. [default: your name on this machine]")
@pass_session
def expire(session: Session, silence_id: int, by: str | None) -> None:
    """End a silence now: what it held and is still open rings."""
    asked = {"by": by or name_here()}
    found = session.client.json(
        "POST", f"/v1/silences/{silence_id}/expire", send={k: v for k, v in asked.items() if v}
    )
    _tell(session, found)


def _about(each: Mapping[str, Any]) -> str:
    names = {"report_id": "report"}
    return ", ".join(f"{names.get(name, name)} {each[name]}" for name in _ABOUT if each.get(name))


def _until(each: Mapping[str, Any]) -> str:
    if each.get("ended_at"):
        return f"ended {local_time(each['ended_at'])} by {each.get('ended_by')}"
    return local_time(each.get("until"))


def _row(each: Mapping[str, Any]) -> list[object]:
    facts = [
        each["id"],
        _about(each),
        each.get("max_grade"),
        _until(each),
        each.get("by"),
        each.get("reason"),
    ]
    return [*facts, each.get("holding")]


def _tell(session: Session, found: Mapping[str, Any]) -> None:
    member(found, "id")
    if session.out.as_json:
        session.out.document(found)
        return
    session.out.facts([
        ("Silence", found["id"]),
        ("About", _about(found)),
        ("Up to grade", found.get("max_grade")),
        ("Until", _until(found)),
        ("By", found.get("by")),
        ("Reason", found.get("reason")),
        ("Holds", f"{found.get('holding')} alerts"),
    ])  # fmt: skip
