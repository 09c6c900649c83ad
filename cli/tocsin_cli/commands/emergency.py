"""`tocsin emergency`: call all that have a report of yours, see who answers, and stand it down; and drills of that."""

import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from tocsin_cli.ask import GIVE_YES, Asker
from tocsin_cli.client import segment
from tocsin_cli.command import LazyGroup
from tocsin_cli.commands.alert_person import name_here
from tocsin_cli.commands.report_read import ReportId
from tocsin_cli.commands.report_remark import EXPOSURES
from tocsin_cli.durable import write_durably
from tocsin_cli.emergency_told import (
    LIST_COLUMNS,
    NODE_COLUMNS,
    SPAN_COLUMNS,
    STAGE_COLUMNS,
    facts,
    heading,
    kind,
    list_row,
    markdown,
    node_rows,
    span_rows,
    stage_rows,
)
from tocsin_cli.errors import Refused, UsageFault
from tocsin_cli.filing import member, names
from tocsin_cli.listing import cursor_option, cursor_refused, limit_option, listed
from tocsin_cli.output import on_terminal
from tocsin_cli.session import Session, pass_session

Command = Callable[..., Any]


def _by(function: Command) -> Command:
    text = "Who says so and answers for it. [default: your name on this machine]"
    return click.option("--by", metavar="NAME", default="", help=text)(function)


def _steps(function: Command) -> Command:
    text = "A response step: what to do, and after a colon how. May be repeated."
    return click.option("--step", "steps", metavar="'NAME: TEXT'", multiple=True, help=text)(function)


def _reason(text: str) -> Callable[[Command], Command]:
    return click.option("--reason", metavar="TEXT", required=True, help=text)


@click.group("emergency", cls=LazyGroup, no_args_is_help=True)
def emergency() -> None:
    """Call all that have a report, see who answers, and stand it down.

    An emergency rings at once, by every way there is, at your organisation and at each that you call. With --drill
    everything goes the same way and says DRILL first; `tocsin emergency times` then shows how long it took.
    """


@emergency.command("declare")
@click.argument("report_id", metavar="REPORT", type=ReportId())
@_reason("Why, in a line; up to 500 characters. All that are called read it.")
@_steps
@click.option("--drill", is_flag=True, help="An exercise: it goes the whole way and says that it is one.")
@click.option("--local", is_flag=True, help="Ring your own people alone; any report that you hold.")
@click.option(
    "--to",
    multiple=True,
    metavar="NAME",
    help="Call this peer alone; may be repeated. [default: all that have it]",
)
@_by
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show who would be called; ring nobody.")
@pass_session
def declare(
    session: Session,
    report_id: str,
    reason: str,
    steps: tuple[str, ...],
    drill: bool,
    local: bool,
    to: tuple[str, ...],
    by: str,
    yes: bool,
    dry_run: bool,
) -> None:
    """Declare an emergency about a report of yours.

    All that have the report are called: people are woken there. Courses of action that the report holds are steps of
    the call, beside those that you give. Only the author of a report may call about it; with --local anybody may ring
    their own people.
    """
    wanted = {
        "report_id": report_id,
        "reason": reason,
        "by": _name(by),
        "steps": [_step(text) for text in steps],
        "drill": drill,
        "local": local,
        "key": str(uuid.uuid4()),
        **({"to": list(to)} if to else {}),
    }
    tried = session.client.json("POST", "/v1/emergencies", send={**wanted, "dry_run": True})
    if dry_run:
        _told(session, tried, f"Not declared, only tried: {'a DRILL' if drill else 'an EMERGENCY'}")
        return
    if not yes and not _agreed(session, tried, drill=drill, local=local):
        session.out.warn("Nobody is called.")
        return
    done = session.client.json("POST", "/v1/emergencies", send=wanted)
    _told(session, done, heading(done.get("emergency") or {}))
    if not session.out.as_json:
        session.out.next_step(f"tocsin emergency show {(done.get('emergency') or {}).get('id')} --watch")


@emergency.command("update")
@click.argument("emergency_id", metavar="ID")
@_reason("What changes, in a line. It takes the place of the reason before.")
@_steps
@click.option(
    "--to",
    multiple=True,
    metavar="NAME",
    help="Call this peer too, which has the report by now; may be repeated.",
)
@_by
@pass_session
def update(
    session: Session, emergency_id: str, reason: str, steps: tuple[str, ...], to: tuple[str, ...], by: str
) -> None:
    """Tell all that were called what changes. New steps come to those there are."""
    _follow(session, emergency_id, "update", reason, steps, by, to=to)


@emergency.command("stand-down")
@click.argument("emergency_id", metavar="ID")
@_reason("Why it is over, in a line.")
@_by
@pass_session
def stand_down(session: Session, emergency_id: str, reason: str, by: str) -> None:
    """Stand your emergency down, for all that were called. That is final."""
    done = _follow(session, emergency_id, "stand-down", reason, (), by)
    if not session.out.as_json:
        session.out.next_step(f"tocsin emergency times {member(done, 'emergency').get('id')}")


@emergency.command("answer")
@click.argument("emergency_id", metavar="ID")
@click.option("--affected", "said", flag_value="affected", multiple=True, help="It happens to you, or can.")
@click.option(
    "--not-affected",
    "said",
    flag_value="not-affected",
    multiple=True,
    help="You have looked: it does not concern you.",
)
@click.option(
    "--investigating",
    "said",
    flag_value="investigating",
    multiple=True,
    help="You do not know yet and are looking.",
)
@click.option(
    "--note", metavar="TEXT", default="", help="In your own words; up to 2,000 characters. Not in a drill."
)
@_by
@pass_session
def answer(session: Session, emergency_id: str, said: tuple[str, ...], note: str, by: str) -> None:
    """Say whether you are affected. Saying it again replaces what you said.

    It is a remark on the report, as `tocsin report opinion` makes one. In a drill it goes to the caller alone and
    nothing is said about the report.
    """
    if len(said) != 1:
        flags = ", ".join(f"--{word}" for word in EXPOSURES)
        raise UsageFault("Say one thing about it.", hint=f"Give one of {flags}.")
    sent = {"says": said[0], "text": note, "by": _name(by)}
    found = session.client.json("POST", f"/v1/emergencies/{segment(emergency_id)}/answer", send=sent)
    member(found, "id")
    if session.out.as_json:
        session.out.document(found)
        return
    session.out.line(f"{kind(found)}: answered {said[0].replace('-', ' ')}")
    session.out.next_step(f"tocsin emergency show {found['id']}")


@emergency.command("list")
@click.option("--open", "only_open", is_flag=True, help="Only those that were not stood down.")
@click.option("--drills/--no-drills", "drills", default=None, help="Only drills, or none. [default: both]")
@limit_option("Emergencies")
@cursor_option
@pass_session
def list_(session: Session, only_open: bool, drills: bool | None, limit: int, cursor: str | None) -> None:
    """List emergencies and drills, yours and those that you were called to, newest first."""
    query = [("limit", str(limit))] + ([("open", "1")] if only_open else [])
    query += [] if drills is None else [("drill", "1" if drills else "0")]
    try:
        found = session.client.json(
            "GET", "/v1/emergencies", query=query + ([("cursor", cursor)] if cursor else [])
        )
    except Refused as exc:
        raise cursor_refused(exc, cursor) from exc
    items = listed(session, found, nothing="No open emergencies." if only_open else "No emergencies.")
    if not items:
        return
    session.out.table(LIST_COLUMNS, [list_row(item) for item in items])
    session.out.next_step("tocsin emergency show ID")


@emergency.command("show")
@click.argument("emergency_id", metavar="ID")
@click.option("--watch", is_flag=True, help="Live on a terminal, until Ctrl-C.")
@click.option(
    "--every",
    "every_s",
    type=click.IntRange(1, 60),
    metavar="S",
    default=2,
    show_default=True,
    help="Seconds between two looks with --watch, 1 to 60.",
)
@pass_session
def show(session: Session, emergency_id: str, watch: bool, every_s: int) -> None:
    """Show who was called, how far it got there, and who says what."""
    path = f"/v1/emergencies/{segment(emergency_id)}"
    found = session.client.json("GET", path)
    member(found, "nodes")
    if session.out.as_json:
        session.out.document(found)
    elif watch and on_terminal(sys.stdout):
        from tocsin_cli.emergency_screen import live

        live(session, path, found, every_s=every_s)
    else:
        session.out.facts(facts(found))
        session.out.line()
        session.out.table(NODE_COLUMNS, node_rows(found))


@emergency.command("times")
@click.argument("emergency_id", metavar="ID")
@click.option(
    "--markdown",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the report there, as Markdown.",
)
@pass_session
def times(session: Session, emergency_id: str, file: Path | None) -> None:
    """Show how long it took, stage by stage, and who was not reached: the report of a drill.

    From the declaration on: until each node stored the call, until a room took the alert, until a person acknowledged
    it, until it was answered; the middle and the longest of each.
    """
    found = session.client.json("GET", f"/v1/emergencies/{segment(emergency_id)}/times")
    member(found, "stages")
    if file is not None:
        write_durably(file, markdown(found).encode())
        session.out.say(f"Written: {file}")
    if session.out.as_json:
        session.out.document(found)
        return
    session.out.line(f"{heading(found)}: {found.get('title')}", lines=True)
    session.out.line()
    session.out.table(STAGE_COLUMNS, stage_rows(found))
    session.out.line()
    session.out.table(SPAN_COLUMNS, span_rows(found))


def _follow(
    session: Session,
    emergency_id: str,
    verb: str,
    reason: str,
    steps: tuple[str, ...],
    by: str,
    *,
    to: tuple[str, ...] = (),
) -> Any:
    sent = {"reason": reason, "by": _name(by), "steps": [_step(text) for text in steps], "to": list(to)}
    done = session.client.json("POST", f"/v1/emergencies/{segment(emergency_id)}/{verb}", send=sent)
    _told(session, done, heading(member(done, "emergency")))
    return done


def _told(session: Session, done: Any, head: str) -> None:
    """Who is called, and who is not and why."""
    member(done, "to")
    if session.out.as_json:
        session.out.document(done)
    else:
        found = done.get("emergency") or {}
        pairs: list[tuple[str, object]] = [("Emergency" if not found.get("drill") else "DRILL", head)]
        pairs += [("Id", found["id"])] if found else []
        pairs.append(("Called", ", ".join(names(done.get("to"))) or "our own people alone"))
        session.out.facts(pairs)
    for each in done.get("withheld") or []:
        session.out.warn(f"Not called: {each.get('name')}: {each.get('reason')} [{each.get('code')}]")


def _agreed(session: Session, tried: Any, *, drill: bool, local: bool) -> bool:
    who = "your own people alone" if local else ", ".join(names(member(tried, "to")))
    session.out.warn(f"{'A DRILL' if drill else 'An EMERGENCY'} that rings at once at: {who}")
    return Asker(session.out, instead=GIVE_YES).yes("Call them?", default=False)


def _name(given: str) -> str:
    name = given or name_here()
    if not name.strip():
        raise UsageFault("It is not known who you are.", hint="Give your name: --by NAME.")
    return name


def _step(text: str) -> dict[str, str]:
    name, _, further = text.partition(": ")
    return {"name": name, "description": further}
