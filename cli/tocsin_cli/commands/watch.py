"""`tocsin watch`: alerts, reports, peers and duties of a node, live on a terminal."""

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import FrameType

import click

from tocsin_cli.client import Client
from tocsin_cli.command import Command
from tocsin_cli.output import on_terminal
from tocsin_cli.plain import utc_text
from tocsin_cli.session import Session, pass_session
from tocsin_cli.watching import Look, Standing, follow, look, next_standing, nothing_shown

_READ_S = 15.0  # a node that takes longer for a list is as good as away for a person who watches


@click.command("watch", cls=Command)
@click.option(
    "--every",
    "every_s",
    type=click.IntRange(1, 60),
    metavar="S",
    default=5,
    show_default=True,
    help="Seconds between two looks, 1 to 60.",
)
@click.option(
    "--bell", is_flag=True, help="Ring the terminal's bell at each new open alert of grade I or II."
)
@click.option("--once", is_flag=True, help="Show one view and end.")
@pass_session
def watch(session: Session, every_s: int, bell: bool, once: bool) -> None:
    """Watch alerts, reports, peers and duties, live.

    Emergencies and drills stand above them while there are any. What is new is marked with *, for half a minute.
    What the token has no scope for is shown as not allowed. When the node is away, the watch says since when and
    goes on by itself. Ctrl-C ends it, with exit code 0.

    With --json, and where stdout is no terminal, one look is printed, as with --once.
    """
    client = Client(session.target, note=session.out.detail if once else _unsaid, read_s=_READ_S)
    try:
        if session.out.as_json:
            session.out.document(_document(client.url, _single(client)))
        elif once or not on_terminal(sys.stdout):
            _print(session, client.url, _single(client))
        else:
            with _ended_by_signal():
                _live(session, client, every_s=every_s, bell=bell)
    finally:
        client.close()


def _unsaid(_text: str) -> None:
    """A line on stderr would tear the screen."""


def _now() -> datetime:
    return datetime.now(UTC)


def _single(client: Client) -> Look:
    """One look. Raises: CliError when it shows nothing at all."""
    found = look(client, _now)
    if (fault := nothing_shown(found)) is not None:
        raise fault
    return found


def _document(url: str, found: Look) -> dict[str, object]:
    parts = {name: part.as_json() for name, part in found.parts.items()}
    return {"at": utc_text(found.at), "node": url, "health": found.health.as_json(), **parts}


def _print(session: Session, url: str, found: Look) -> None:
    from tocsin_cli.watch_view import View

    session.out.console(sys.stdout).print(View(next_standing(Standing(), found), url, _now()))


def _live(session: Session, client: Client, *, every_s: int, bell: bool) -> None:
    """Draw until Ctrl-C. Between two looks only the clock and the ages move."""
    from rich.live import Live

    from tocsin_cli.watch_view import View

    shown = [Standing()]
    console = session.out.console(sys.stdout)

    def drawn() -> View:
        return View(shown[0], client.url, _now(), every_s)

    standings = follow(lambda: look(client, _now), now=_now, pause=lambda: time.sleep(every_s))
    try:
        with Live(get_renderable=drawn, console=console, screen=True, refresh_per_second=1) as live:
            for standing in standings:
                shown[0] = standing
                live.refresh()
                if bell and standing.rings:
                    console.bell()
    except KeyboardInterrupt:
        return  # to watch is to watch until one has seen enough


@contextmanager
def _ended_by_signal() -> Iterator[None]:
    """SIGTERM and SIGHUP end the watch as Ctrl-C does, so that the terminal gets its own screen back."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {each: signal.signal(each, stop) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
