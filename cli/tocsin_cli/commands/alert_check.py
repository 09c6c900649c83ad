"""`tocsin alert check`: would an alert get to a person now?"""

from collections.abc import Mapping
from typing import Any

import click

from tocsin_cli.command import Command
from tocsin_cli.errors import CliError
from tocsin_cli.filing import member
from tocsin_cli.session import Session, pass_session


class NobodyReached(CliError):
    """An alert would not get to a person now."""

    code = "nobody-reached"
    hint = "Mend what is said above, then run this again."


class NotAllWell(CliError):
    """An alert would get to a person now, but not everything is well."""

    code = "not-all-well"
    hint = "Mend what is said above, or leave --strict out."


@click.command("check", cls=Command)
@click.option("--strict", is_flag=True, help="Exit code 1 also when only the reserves are not well.")
@pass_session
def check(session: Session, strict: bool) -> None:
    """Say whether an alert would get to a person now.

    Looks afresh at every channel: token, room, power, encryption, who is there to answer; at the last event that came
    back by itself, at what waits, at the second way, and at the watchman outside. Nothing is sent. Exit code 1 when
    nobody would be reached.
    """
    found = session.client.json("GET", "/v1/alerts/check")
    channels, findings = member(found, "channels"), member(found, "findings")
    if session.out.as_json:
        session.out.document(found)
    else:
        session.out.table(
            ["channel", "reaches people", "up to", "who can answer", "last proof"],
            [_row(each) for each in channels],
        )
        for each in findings:
            session.out.line(f"{each.get('name')}: {each.get('code')} → {each.get('hint')}")
    status = member(found, "status")
    if status == "down":
        raise NobodyReached
    if status != "ok" and strict:
        raise NotAllWell
    if status == "ok":
        session.out.say("An alert would get to people now, in more than one way.")
    else:
        session.out.say("An alert would get to people now, but not everything is well.")
    session.out.next_step("tocsin alert test")


def _row(each: Mapping[str, Any]) -> list[object]:
    name = str(each.get("channel"))
    reaches = "yes" if each.get("reaches") else "no"
    if each.get("reaches") and each.get("reserve"):
        reaches = "yes (reserve)"
    present = each.get("responders_present")
    return [
        name,
        reaches,
        f"TLP:{str(each.get('max_tlp')).upper()}",
        "-" if present is None else present,
        _proof(each),
    ]


def _proof(each: Mapping[str, Any]) -> str:
    age_s, trip_s = each.get("canary_age_s"), each.get("canary_round_trip_s")
    if not isinstance(age_s, int | float) or not isinstance(trip_s, int | float):
        return "-"
    return f"back in {trip_s:.2f} s, {age_s / 60:.0f} min ago"
