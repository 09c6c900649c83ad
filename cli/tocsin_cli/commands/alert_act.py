"""`tocsin alert ack`, `take`, `mute`, `resolve`, `escalate`: what people do about an alert."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import click

from tocsin_cli.ahead import Span
from tocsin_cli.command import Command
from tocsin_cli.commands.alert_lines import AlertNumber, standing, tell
from tocsin_cli.commands.alert_person import name_here
from tocsin_cli.commands.report_read import acknowledgement_line
from tocsin_cli.errors import UsageFault
from tocsin_cli.session import Session, pass_session

LONGEST = timedelta(days=1)
_NUMBER = click.argument("alert_id", metavar="ALERT", type=AlertNumber(min=1))
_NOTE = click.option("--note", metavar="TEXT", help="A word to those who look later.")
_BY = click.option("--by", metavar="NAME", help="Who it is. [default: your name on this machine]")
_UNDO = click.option("--undo", is_flag=True, help="Take it back, whoever did it.")


def _act(name: str, *more: Callable[..., Any]) -> Callable[[Callable[..., None]], click.Command]:
    """A command about one alert, with what all of them have."""

    def made(function: Callable[..., None]) -> click.Command:
        wrapped: Callable[..., Any] = pass_session(function)
        for option in reversed((_NUMBER, *more, _NOTE, _BY)):
            wrapped = option(wrapped)
        return click.command(name, cls=Command)(wrapped)

    return made


@_act("ack", _UNDO)
def ack(session: Session, alert_id: int, note: str | None, by: str | None, undo: bool) -> None:
    """Acknowledge an alert: somebody has seen it, and nobody further is called.

    The organisation that filed the report is told.
    """
    before = [] if undo else standing(session.client.json("GET", f"/v1/alerts/{alert_id}"))
    _send(session, alert_id, "ack", note=note, by=by, undo=undo)
    for each in before:
        session.out.say(f"It was acknowledged before: {acknowledgement_line(each)}")


@_act("take", _UNDO)
def take(session: Session, alert_id: int, note: str | None, by: str | None, undo: bool) -> None:
    """Take an alert: you work on it, and have seen it.

    The room shows who has it; the organisation that filed the report is told that somebody has.
    """
    _send(session, alert_id, "take", note=note, by=by, undo=undo)


@_act(
    "mute",
    click.option("--for", "span", type=Span(), metavar="SPAN", help="30m, 2h: at most 24h, 1h for grade I."),
    _UNDO,
)
def mute(
    session: Session, alert_id: int, span: timedelta | None, note: str | None, by: str | None, undo: bool
) -> None:
    """Mute an alert: nobody is called about it for a while.

    It stays open; when the time is over, the next are called as if it had not passed. The organisation that filed
    the report is told until when, and neither by whom nor why.
    """
    if span is None and not undo:
        raise UsageFault("It is not said for how long.", hint="Say --for 2h, or --undo.")
    if span is not None and span > LONGEST:
        raise UsageFault(
            "Nobody is left uncalled for longer than a day.", hint="Say at most --for 24h, again if need be."
        )
    minutes = None if span is None else round(span / timedelta(minutes=1))
    _send(session, alert_id, "mute", note=note, by=by, undo=undo, minutes=minutes)


@_act("resolve", _UNDO)
def resolve(session: Session, alert_id: int, note: str | None, by: str | None, undo: bool) -> None:
    """Resolve an alert: it is over here.

    The organisation that filed the report is told. Taking it back opens the alert again only where nobody has
    acknowledged it.
    """
    _send(session, alert_id, "resolve", note=note, by=by, undo=undo)


@_act("escalate")
def escalate(session: Session, alert_id: int, note: str | None, by: str | None) -> None:
    """Call the next on call now, because you want help.

    The organisation that filed the report is told that further people were called.
    """
    _send(session, alert_id, "escalate", note=note, by=by)


def _send(session: Session, alert_id: int, verb: str, *, by: str | None, **asked: Any) -> None:
    document = {**asked, "by": by or name_here()}
    tell(
        session,
        session.client.json(
            "POST", f"/v1/alerts/{alert_id}/{verb}", send={k: v for k, v in document.items() if v}
        ),
    )
