"""`tocsin alert`: what rang, where it went, what was done about it."""

import time
from collections.abc import Mapping
from typing import Any

import click

from tocsin_cli.command import Late, LazyGroup
from tocsin_cli.commands.alert_lines import AlertNumber, held_words, standing, tell, whose
from tocsin_cli.commands.report_table import whence
from tocsin_cli.deliveries import SPOKEN, read_back, whereabouts
from tocsin_cli.errors import CliError, Refused, Unreachable
from tocsin_cli.filing import member
from tocsin_cli.listing import cursor_option, cursor_refused, limit_option, listed
from tocsin_cli.plain import local_time
from tocsin_cli.session import Session, pass_session

_WAIT_S = 15.0
_LOOK_EVERY_S = 0.5
_UNDER_WAY = {"pending", "sending"}


_ACT, _TELL = "Act", "Tell people besides the room"
_HERE = "tocsin_cli.commands"

COMMANDS = {
    "ack": Late(f"{_HERE}.alert_act:ack", "Acknowledge an alert: somebody has seen it.", _ACT),
    "take": Late(f"{_HERE}.alert_act:take", "Take an alert: somebody works on it.", _ACT),
    "mute": Late(f"{_HERE}.alert_act:mute", "Mute an alert: nobody is called for a while.", _ACT),
    "resolve": Late(f"{_HERE}.alert_act:resolve", "Resolve an alert: it is over.", _ACT),
    "escalate": Late(f"{_HERE}.alert_act:escalate", "Call the next on call now.", _ACT),
    "route": Late(f"{_HERE}.alert_route:route", "Say whether a report would ring, and why not."),
    "silence": Late(f"{_HERE}.alert_silence:silence", "Keep alerts from ringing for a while."),
    "check": Late(f"{_HERE}.alert_check:check", "Say whether an alert would get to a person now."),
    "subscribe": Late(f"{_HERE}.alert_subscribe:subscribe", "Tell somebody of some alerts.", _TELL),
    "subscriptions": Late(f"{_HERE}.alert_subscribe:subscriptions", "List the subscriptions.", _TELL),
    "unsubscribe": Late(f"{_HERE}.alert_subscribe:unsubscribe", "End a subscription.", _TELL),
}


@click.group("alert", cls=LazyGroup, late=COMMANDS, no_args_is_help=True)
def alert() -> None:
    """See alerts, and say what is done about them."""


@alert.command("list")
@click.option(
    "--open",
    "only_open",
    is_flag=True,
    help="Only those that nobody has taken up, here or at a peer.",
)
@limit_option("Alerts")
@cursor_option
@pass_session
def list_(session: Session, only_open: bool, limit: int, cursor: str | None) -> None:
    """List the alerts, newest first."""
    query = (
        [("limit", str(limit))]
        + ([("open", "1")] if only_open else [])
        + ([("cursor", cursor)] if cursor else [])
    )
    try:
        found = session.client.json("GET", "/v1/alerts", query=query)
    except Refused as exc:
        raise cursor_refused(exc, cursor) from exc
    items = listed(session, found, nothing="No open alerts." if only_open else "No alerts.")
    if not items:
        return
    columns = ["alert", "grade", "kind", "from", "raised", "state", "in hand of", "got to", "title"]
    session.out.table(columns, [_row(item) for item in items])
    if any(item.get("state") == "open" for item in items):
        session.out.next_step("tocsin alert take ALERT")
    if found.get("next"):
        wanted = " --open" if only_open else ""
        session.out.next_step(f"tocsin alert list --limit {limit}{wanted} --cursor {found['next']}")


@alert.command("show")
@click.argument("alert_id", metavar="ALERT", type=AlertNumber(min=1))
@pass_session
def show(session: Session, alert_id: int) -> None:
    """Show one alert: where it went, and all that was done about it."""
    tell(session, session.client.json("GET", f"/v1/alerts/{alert_id}"))


@alert.command("test")
@pass_session
def test(session: Session) -> None:
    """Send a test alert the whole way through every channel, and say whether it got there.

    Waits up to 15 seconds. Exit code 1 when there is no channel or it did not get there, 3 when it is still under
    way.
    """
    found = session.client.json("POST", "/v1/alerts/test", send={})
    path = f"/v1/alerts/{member(found, 'id')}"
    deadline = time.monotonic() + _WAIT_S
    while any(_under_way(each) for each in found.get("deliveries") or []) and time.monotonic() < deadline:
        time.sleep(_LOOK_EVERY_S)
        found = session.client.json("GET", path)
    tell(session, found)
    _judge(session, found)


def _under_way(each: Mapping[str, Any]) -> bool:
    """Whether more will be heard of a delivery: what a room accepted is seen there a little later."""
    state = each.get("state")
    return state in _UNDER_WAY or (state == "accepted" and read_back(each))


def _states(found: Mapping[str, Any]) -> set[str]:
    return {str(each.get("state")) for each in found.get("deliveries") or []}


def _judge(session: Session, found: Mapping[str, Any]) -> None:
    """Say how a test alert ended. Raises: CliError when it did not get through every channel."""
    states = _states(found)
    last = "; ".join(_blame(e) for e in found.get("deliveries") or [] if e.get("last_error"))
    why = f" The last error: {last}." if last else ""
    look = f"tocsin alert show {found['id']}"
    if not states:
        raise CliError(
            "Nobody was rung: no channel is set up.",
            code="no-channel",
            hint="Name the homeserver, the account and the room in the [matrix] section of node.toml "
            "(`tocsin matrix --help` shows how to log in), or set up [webhook] or [mail] there.",
        )
    if states & _UNDER_WAY:
        raise Unreachable(
            f"The alert has not arrived everywhere yet.{why}",
            code="delivery-pending",
            hint=f"The node goes on trying; look again with: {look}",
        )
    if states - {"accepted", "echoed", "seen"}:
        raise CliError(
            f"The alert did not get through every channel.{why}",
            code="delivery-failed",
            hint=f"Mend that section of node.toml, then run this again. See: {look}",
        )
    deliveries = found.get("deliveries") or []
    for each in deliveries:
        session.out.say(_arrival(each))
    if any(_under_way(each) for each in deliveries):
        session.out.next_step(look)
    elif any(read_back(each) for each in deliveries):
        session.out.next_step(
            "acknowledge it in the room with a reaction, or: tocsin alert ack " + str(found["id"])
        )
    else:
        session.out.next_step(f"tocsin alert ack {found['id']}")


def _arrival(each: Mapping[str, Any]) -> str:
    if read_back(each) and each.get("state") == "accepted":
        return "The homeserver has accepted it, but it was not seen in the room yet."
    return f"{SPOKEN.get(str(each.get('channel')), each.get('channel'))} has it."


def _blame(each: Mapping[str, Any]) -> str:
    error = str(each["last_error"])
    return error if each.get("channel") == "matrix" else f"{each.get('channel')}: {error}"


def _row(item: Mapping[str, Any]) -> list[object]:
    room = whereabouts(item.get("deliveries") or [], held_words) or "nowhere"
    raised = local_time(item.get("raised_at"))
    people = ", ".join(dict.fromkeys(whose(each) for each in standing(item))) or "-"
    if item.get("assigned"):
        people = f"{item['assigned']} (works on it)"
    if item.get("silenced"):
        room = f"{room} until {local_time(item['silenced'].get('until'))} by {item['silenced'].get('by')}"
    facts = [item["id"], item.get("grade"), _kind(item), whence(item.get("from")), raised]
    return [*facts, item.get("state"), people, room, item.get("title")]


def _kind(item: Mapping[str, Any]) -> object:
    return "DRILL" if item.get("drill") else item.get("kind")
