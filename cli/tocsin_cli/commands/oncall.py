"""`tocsin oncall`: who is on call, who is next, and who stands in."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import click

from tocsin_cli.ahead import Moment
from tocsin_cli.command import LazyGroup
from tocsin_cli.commands.alert_person import name_here
from tocsin_cli.filing import member
from tocsin_cli.plain import local_time, utc_text
from tocsin_cli.session import Session, pass_session

_BY = click.option("--by", metavar="NAME", help="Who decides. [default: your name on this machine]")


@click.group("oncall", cls=LazyGroup, no_args_is_help=True)
def oncall() -> None:
    """See and change who is on call.

    The rotations stand in [[oncall.rota]] of node.toml.
    """


@oncall.command("show")
@click.option("--at", type=Moment(), metavar="WHEN", help="At another time than now.")
@click.option("--days", type=click.IntRange(1, 92), metavar="N", help="Every shift of so many days.")
@pass_session
def show(session: Session, at: datetime | None, days: int | None) -> None:
    """Show who is on call, and who is next."""
    query = [("at", utc_text(at))] if at is not None else []
    if days is not None:
        begin = at or datetime.now().astimezone()
        query.append(("until", utc_text(begin + timedelta(days=days))))
    found = session.client.json("GET", "/v1/oncall", query=query)
    rotas = member(found, "rotas")
    if session.out.as_json:
        session.out.document(found)
        return
    if not rotas:
        people = ", ".join(found.get("responders") or []) or "everybody in the room"
        session.out.say(f"There is no rota; who is called: {people}.")
    elif days is not None:
        rows = [[each.get("name"), *_shift(turn)] for each in rotas for turn in each.get("shifts") or []]
        session.out.table(["rota", "person", "from", "until", "override"], rows)
    else:
        columns = ["rota", "level", "on call", "until", "override", "next"]
        session.out.table(columns, [_row(each) for each in rotas])
    for each in found.get("overrides") or []:
        session.out.say(f"Override {each.get('id')}: {_override_words(each)}.")


@oncall.command("override")
@click.argument("rota", metavar="ROTA")
@click.argument("person", metavar="PERSON")
@click.option("--from", "begins_at", type=Moment(), metavar="WHEN", help="[default: now]")
@click.option("--until", type=Moment(), metavar="WHEN", required=True, help="A time, or a span such as 8h.")
@click.option("--note", metavar="TEXT", help="A word to those who look later.")
@_BY
@pass_session
def override(
    session: Session,
    rota: str,
    person: str,
    begins_at: datetime | None,
    until: datetime,
    note: str | None,
    by: str | None,
) -> None:
    """Let PERSON stand in for whoever would be on call in ROTA.

    Of two overrides for one time the one made last counts.
    """
    asked = {
        "rota": rota,
        "person": person,
        "from": None if begins_at is None else utc_text(begins_at),
        "until": utc_text(until),
        "note": note,
        "by": by or name_here(),
    }
    made = session.client.json(
        "POST", "/v1/oncall/overrides", send={name: value for name, value in asked.items() if value}
    )
    _tell(session, made, "stands")
    session.out.next_step(f"tocsin oncall clear {member(made, 'id')}")


@oncall.command("clear")
@click.argument("override_id", metavar="OVERRIDE", type=click.IntRange(min=1))
@_BY
@pass_session
def clear(session: Session, override_id: int, by: str | None) -> None:
    """Take an override back: the rotation counts again."""
    name = by or name_here()
    gone = session.client.json(
        "POST", f"/v1/oncall/overrides/{override_id}/clear", send={"by": name} if name else {}
    )
    _tell(session, gone, "is taken back")


def _tell(session: Session, each: Mapping[str, Any], what: str) -> None:
    if session.out.as_json:
        session.out.document(each)
        return
    session.out.say(f"Override {each.get('id')} {what}: {_override_words(each)}.")


def _override_words(each: Mapping[str, Any]) -> str:
    begin, end = local_time(each.get("from")), local_time(each.get("until"))
    note = f" ({each['note']})" if each.get("note") else ""
    return f"{each.get('person')} in {each.get('rota')} from {begin} until {end}, by {each.get('by')}{note}"


def _shift(turn: Mapping[str, Any]) -> list[object]:
    begin, end = local_time(turn.get("from")), local_time(turn.get("until"))
    return [turn.get("person"), begin, end, turn.get("override") or "-"]


def _row(each: Mapping[str, Any]) -> list[object]:
    now, following = each.get("now") or {}, each.get("next") or {}
    return [
        each.get("name"),
        each.get("level"),
        now.get("person"),
        local_time(now.get("until")),
        now.get("override") or "-",
        following.get("person"),
    ]
