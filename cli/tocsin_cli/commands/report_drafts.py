"""`tocsin report drafts`: texts that were begun, not filed, and kept."""

import re
import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from tocsin_cli.command import Command
from tocsin_cli.durable import remove_durably
from tocsin_cli.plain import local_time, utc_text
from tocsin_cli.session import Session, pass_session

_OF_A_REPORT = re.compile(r"(redact-)?(incident--[0-9a-f-]{36})-\d{8}T\d{6}-[0-9a-f]{6}\.toml")


@dataclass(frozen=True, slots=True)
class Draft:
    """A kept text. `resume` goes on with it."""

    path: Path
    saved_at: str
    resume: str


@click.command("drafts", cls=Command)
@click.option("--clear", is_flag=True, help="Throw all of them away.")
@click.option("--yes", is_flag=True, help="Do not ask before throwing them away.")
@pass_session
def drafts(session: Session, clear: bool, yes: bool) -> None:
    """List the texts that are kept here and were not filed.

    What had findings, was refused or was interrupted is kept; it goes when it is filed. Each is shown with the
    command that goes on with it.
    """
    found = kept_in(session.state / "drafts")
    if session.out.as_json and not clear:
        items = [{"path": str(d.path), "saved_at": d.saved_at, "resume": d.resume} for d in found]
        session.out.document({"items": items})
        return
    for draft in found if not session.out.as_json else ():
        session.out.facts([(local_time(draft.saved_at), draft.resume)])
    if not found:
        session.out.say("No draft is kept here.")
    if clear:
        _clear(session, found, yes=yes)


def kept_in(directory: Path) -> list[Draft]:
    """The drafts in a directory, the oldest first."""
    if not directory.is_dir():
        return []
    files = [(path.stat().st_mtime, path) for path in directory.glob("[!.]*")]
    return [
        Draft(path, utc_text(datetime.fromtimestamp(saved, UTC)), _resume(path))
        for saved, path in sorted(files)
    ]


def _resume(path: Path) -> str:
    place = shlex.quote(str(path))
    if path.suffix == ".json":
        return f"tocsin report new --draft {place}"
    known = _OF_A_REPORT.fullmatch(path.name)
    if known is None:
        return f"tocsin report submit --file {place}"
    if known[1]:  # nothing takes a redaction from a file, since what was left out is masked again in it
        return f"tocsin report redact {known[2]} --editor   # with the text of {place}"
    return f"tocsin report update {known[2]} --file {place}"


def _clear(session: Session, found: list[Draft], *, yes: bool) -> None:
    from tocsin_cli.ask import GIVE_YES, Asker

    asked = f"Throw away {len(found)} draft(s)? None was filed."
    if found and not yes and not Asker(session.out, instead=GIVE_YES).yes(asked, default=False):
        return
    for draft in found:
        remove_durably(draft.path)
    if session.out.as_json:
        session.out.document({"cleared": [str(draft.path) for draft in found]})
    elif found:
        session.out.say(f"{len(found)} thrown away.")
