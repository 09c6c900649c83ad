"""`tocsin alert`: what rang, where it went, who has taken it up."""

import getpass
import time
from collections.abc import Mapping
from typing import Any

import click

from tocsin_cli.command import Late, LazyGroup
from tocsin_cli.commands.report_read import acknowledgement_line, cursor_refused
from tocsin_cli.commands.report_table import whence
from tocsin_cli.deliveries import SPOKEN, read_back, state_of
from tocsin_cli.errors import CliError, Refused, Unreachable, UsageFault
from tocsin_cli.filing import member
from tocsin_cli.plain import local_time
from tocsin_cli.session import Session, pass_session

_WAIT_S = 15.0
_LOOK_EVERY_S = 0.5
_UNDER_WAY = {"pending", "sending"}


class AlertNumber(click.IntRange):
    """The number of an alert."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        try:
            int(value)
        except ValueError as exc:
            hint = "`tocsin alert list` shows the numbers."
            raise UsageFault(f"{value} is not a number.", hint=hint) from exc
        return super().convert(value, param, ctx)


_LATE = {
    "check": Late("tocsin_cli.commands.alert_check:check", "Say whether an alert would get to a person now."),
}


@click.group("alert", cls=LazyGroup, late=_LATE, no_args_is_help=True)
def alert() -> None:
    """See and acknowledge alerts."""


@alert.command("list")
@click.option(
    "--open",
    "only_open",
    is_flag=True,
    help="Only those that nobody has taken up, here or at a peer.",
)
@click.option(
    "--limit", type=click.IntRange(1, 500), metavar="N", default=50, show_default=True, help="Alerts at most."
)
@click.option("--cursor", metavar="CURSOR", help="Go on where an earlier list ended.")
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
    items = member(found, "items")
    if session.out.as_json:
        session.out.document(found)
        return
    if not items:
        session.out.say("No open alerts." if only_open else "No alerts.")
        return
    columns = ["alert", "grade", "kind", "from", "raised", "state", "acknowledged by", "room", "title"]
    session.out.table(columns, [_row(item) for item in items])
    if any(item.get("state") == "open" for item in items):
        session.out.next_step("tocsin alert ack ALERT")
    if found.get("next"):
        wanted = " --open" if only_open else ""
        session.out.next_step(f"tocsin alert list --limit {limit}{wanted} --cursor {found['next']}")


@alert.command("show")
@click.argument("alert_id", metavar="ALERT", type=AlertNumber(min=1))
@pass_session
def show(session: Session, alert_id: int) -> None:
    """Show one alert: where it went and who acknowledged it."""
    _tell(session, session.client.json("GET", f"/v1/alerts/{alert_id}"))


@alert.command("ack")
@click.argument("alert_id", metavar="ALERT", type=AlertNumber(min=1))
@click.option("--note", metavar="TEXT", help="A word to those who look later.")
@click.option("--by", metavar="NAME", help="Who has taken it up. [default: your name on this machine]")
@pass_session
def ack(session: Session, alert_id: int, note: str | None, by: str | None) -> None:
    """Acknowledge an alert: somebody has taken it up.

    The organisation that filed the report is told.
    """
    path = f"/v1/alerts/{alert_id}"
    before = _standing(session.client.json("GET", path))
    asked = {"note": note, "by": by or _name_here()}
    answer = session.client.json("POST", f"{path}/ack", send={k: v for k, v in asked.items() if v})
    _tell(session, answer)
    for each in before:
        session.out.say(f"It was acknowledged before: {acknowledgement_line(each)}")


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
    _tell(session, found)
    _judge(session, found)


def _standing(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [each for each in found.get("acknowledgements") or [] if each.get("revoked_at") is None]


def _name_here() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers: the node takes the token's
        return ""


def _whose(each: Mapping[str, Any]) -> str:
    return f"{each.get('by')} (peer)" if each.get("node") else str(each.get("by"))


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
    deliveries = item.get("deliveries") or []
    room = ", ".join(state_of(each) for each in deliveries) or "nowhere"
    raised = local_time(item.get("raised_at"))
    people = ", ".join(dict.fromkeys(_whose(each) for each in _standing(item))) or "-"
    facts = [item["id"], item.get("grade"), item.get("kind"), whence(item.get("from")), raised]
    return [*facts, item.get("state"), people, room, item.get("title")]


def _tell(session: Session, found: Mapping[str, Any]) -> None:
    member(found, "id")
    if session.out.as_json:
        session.out.document(found)
        return
    pairs: list[tuple[str, object]] = [
        ("Alert", f"{found['id']} ({found.get('kind')})"),
        ("Title", found.get("title")),
        ("Grade", f"{found.get('grade')}, level {found.get('level')}; TLP:{str(found.get('tlp')).upper()}"),
        ("Report", f"{found.get('report_id') or '-'} (version {found.get('ver') or '-'})"),
        ("From", f"{whence(found.get('from'))} ({found.get('origin')})"),
        ("Raised", local_time(found.get("raised_at"))),
        ("State", found.get("state")),
    ]
    pairs += [("Acknowledged", acknowledgement_line(each)) for each in found.get("acknowledgements") or []]
    pairs += [("Delivery", _delivery_line(each)) for each in found.get("deliveries") or []]
    session.out.facts(pairs)


def _delivery_line(each: Mapping[str, Any]) -> str:
    when = each.get("seen_at") or each.get("echoed_at") or each.get("accepted_at")
    parts = [f"{each.get('channel')} {each.get('room')}: {state_of(each)}"]
    parts += [local_time(when)] if when else []
    parts += [f"{each.get('attempts')} tries"] if int(each.get("attempts") or 0) > 1 else []
    parts += [f"last error: {each['last_error']}"] if each.get("last_error") else []
    return ", ".join(parts)
