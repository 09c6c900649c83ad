"""`tocsin report queue` and `tocsin report flush`: what waits here, and sending it."""

from dataclasses import dataclass
from typing import Any

import click

from tocsin_cli.command import Command
from tocsin_cli.errors import CliError, FindingsFound, NotAllowed, NotVerified, TokenMissing, Unreachable
from tocsin_cli.exits import Exit
from tocsin_cli.filing import send
from tocsin_cli.plain import local_time
from tocsin_cli.queue import Damaged, Waiting
from tocsin_cli.session import Session, pass_session

_STOPS = (Unreachable, NotVerified, NotAllowed, TokenMissing)  # the next report would meet the same


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one report in a flush."""

    id: str
    title: str
    outcome: str  # stored, unchanged, refused, waiting
    code: str = ""
    reason: str = ""
    hint: str = ""

    def document(self) -> dict[str, Any]:
        """As JSON; members without a value are left out."""
        parts = {"code": self.code, "reason": self.reason, "hint": self.hint}
        return {"id": self.id, "title": self.title, "outcome": self.outcome} | {
            k: v for k, v in parts.items() if v
        }


@click.command("queue", cls=Command)
@pass_session
def queue(session: Session) -> None:
    """List the reports that wait here for the node.

    One that the node refused shows the code; `tocsin report flush` tries it again.
    """
    items = session.queue.items()
    if session.out.as_json:
        session.out.document({"items": [_document(session, item) for item in items]})
        return
    if not items:
        session.out.say("Nothing waits here.")
        return
    rows = []
    for item in items:
        if isinstance(item, Damaged):
            rows.append([item.path.name, "-", "damaged", f"{item.reason}: {item.path}"])
        else:
            state = f"refused: {item.problem.get('code')}" if item.problem else "waiting"
            rows.append([item.id, local_time(item.filed_at), state, item.title])
    session.out.table(["id", "filed", "state", "title"], rows)
    session.out.next_step("tocsin report flush")


@click.command("flush", cls=Command)
@click.option(
    "--moved", is_flag=True, help="Send also what was kept for another address: the node has moved."
)
@click.option("--drop", "drop_id", metavar="ID", help="Throw one report away instead of sending it.")
@click.option("--yes", is_flag=True, help="Do not ask before throwing one away.")
@pass_session
def flush(session: Session, moved: bool, drop_id: str | None, yes: bool) -> None:
    """Send the reports that wait here.

    Each arrives exactly once, however often this is run: one that the node has already counts as sent. A
    refused report stays here with the reason. Exit code 1 if any was refused, 3 if the node cannot be
    reached.
    """
    if drop_id is not None:
        _drop(session, drop_id, yes=yes)
        return
    session.queue.tidy()
    results: list[Result] = []
    stop: CliError | None = None
    for item in session.queue.items():
        if isinstance(item, Damaged):
            results.append(Result(item.path.name, "", "refused", "damaged", item.reason, f"See {item.path}"))
        elif stop is not None:
            results.append(Result(item.id, item.title, "waiting", stop.code, str(stop)))
        else:
            result, stop = _send_one(session, item, moved=moved)
            if result is not None:
                results.append(result)
    _tell(session, results)
    if stop is not None:
        raise stop
    if any(result.outcome == "refused" for result in results):
        click.get_current_context().exit(Exit.REFUSED)


def _send_one(session: Session, item: Waiting, *, moved: bool) -> tuple[Result | None, CliError | None]:
    """Send one report; the second value is a failure that every further report would meet."""
    if item.node_id is None and item.url != session.client.url and not moved:
        reason = f"it was kept for {item.url}, not for {session.client.url}"
        return Result(item.id, item.title, "waiting", "other-address", reason, "If it moved: --moved"), None
    with session.queue.sending(item.id, wait=False) as ours:
        current = session.queue.get(item.id)
        if not ours:
            return Result(item.id, item.title, "waiting", "in-flight", "another run is sending it"), None
        if current is None:
            return None, None  # another run has sent it meanwhile
        try:
            answer = send(session.client, session.queue, current)
        except _STOPS as exc:
            return Result(item.id, item.title, "waiting", exc.code, str(exc), exc.hint), exc
        except CliError as exc:
            problem: dict[str, Any] = {"code": exc.code, "detail": str(exc), "hint": exc.hint}
            if isinstance(exc, FindingsFound):
                problem["findings"] = exc.findings
            session.queue.refuse(session.queue.get(item.id) or current, problem)
            return Result(item.id, item.title, "refused", exc.code, str(exc), exc.hint), None
        session.queue.drop(item.id)
        return Result(item.id, item.title, str(answer.get("outcome", "stored"))), None


def _tell(session: Session, results: list[Result]) -> None:
    sent = sum(result.outcome in {"stored", "unchanged"} for result in results)
    refused = sum(result.outcome == "refused" for result in results)
    waiting = sum(result.outcome == "waiting" for result in results)
    if session.out.as_json:
        counts = {"sent": sent, "refused": refused, "waiting": waiting}
        session.out.document({**counts, "items": [result.document() for result in results]})
        return
    if not results:
        session.out.say("Nothing waits here.")
        return
    rows = [[result.id, result.outcome, result.code, result.reason or result.title] for result in results]
    session.out.table(["id", "outcome", "code", "about"], rows)
    session.out.say(f"{sent} sent, {refused} refused, {waiting} still waiting.")
    if refused:
        session.out.say("Refused ones stay here; `tocsin report flush --drop ID` throws one away.")


def _drop(session: Session, report_id: str, *, yes: bool) -> None:
    from tocsin_cli.ask import GIVE_YES, Asker
    from tocsin_cli.errors import UsageFault

    path = session.queue.path(report_id)
    if not path.exists():
        raise UsageFault(f"{report_id} does not wait here.", hint="`tocsin report queue` lists what does.")
    ask = Asker(session.out, instead=GIVE_YES)
    if not yes and not ask.yes(f"Throw {report_id} away? It was not sent.", default=False):
        return
    session.queue.drop(report_id)
    session.out.say(f"{report_id} is thrown away.")


def _document(session: Session, item: Waiting | Damaged) -> dict[str, Any]:
    if isinstance(item, Damaged):
        return {"path": str(item.path), "state": "damaged", "reason": item.reason}
    return {
        "id": item.id,
        "title": item.title,
        "filed_at": item.filed_at,
        "url": item.url,
        "state": "refused" if item.problem else "waiting",
        "problem": item.problem,
        "to": item.to,
        "share": item.share,
        "path": str(session.queue.path(item.id)),
    }
