"""Every exception that can end a run, as one record: message, code, advice, exit code.

Our own errors carry all four. Errors of the other wings carry `code` and `hint` and count as refusals.
What is left is a fault of ours: it gets a short reference, and a note of where it happened goes to a
private file. Neither the message of such an exception nor any local value is written anywhere: either
could hold a token.
"""

import os
import secrets
import sys
import traceback
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from tocsin_cli.errors import CliError
from tocsin_cli.exits import Exit


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run ended badly."""

    message: str
    code: str
    hint: str
    exit: Exit
    extra: dict[str, Any] = field(default_factory=dict)
    usage: str = ""
    usage_is_all: bool = False

    @property
    def findings(self) -> list[dict[str, Any]]:
        """The findings in a report, when that is what it is about."""
        found: list[dict[str, Any]] = self.extra.get("findings", [])
        return found

    @property
    def shows_code(self) -> bool:
        """Whether the code tells a person something beyond the message."""
        return self.exit not in {Exit.USAGE, Exit.INTERRUPTED, Exit.FINDINGS}

    def document(self) -> dict[str, Any]:
        """As one problem document (RFC 9457)."""
        return {
            "type": "about:blank",
            "title": self.code.replace("-", " "),
            "detail": self.message,
            "code": self.code,
            "hint": self.hint,
            "exit": int(self.exit),
            **self.extra,
        }


def failure_of(exc: BaseException, *, state: Path) -> Failure:
    """Return what to tell about `exc`; an unknown one is noted under `state`/crashes."""
    if isinstance(exc, CliError):
        return Failure(str(exc), exc.code, exc.hint, exc.exit, exc.extra())
    if isinstance(exc, click.exceptions.NoArgsIsHelpError):
        return Failure(
            "A command is missing.", "usage", "", Exit.USAGE, {}, exc.format_message(), usage_is_all=True
        )
    if isinstance(exc, click.ClickException):
        return _of_click(exc)
    if isinstance(exc, click.Abort | KeyboardInterrupt | EOFError):
        return Failure("Interrupted.", "interrupted", "", Exit.INTERRUPTED)
    code = getattr(exc, "code", None)
    if type(exc).__module__.partition(".")[0].startswith("tocsin_") and isinstance(code, str):
        declared = getattr(exc, "exit", Exit.REFUSED)
        message = str(exc) or (type(exc).__doc__ or "").strip()
        return Failure(message, code, str(getattr(exc, "hint", "")), declared)
    return _bug(exc, state)


def _of_click(exc: click.ClickException) -> Failure:
    usage, hint = "", ""
    if isinstance(exc, click.UsageError) and exc.ctx is not None:
        usage = exc.ctx.get_usage()
        hint = f"See: {exc.ctx.command_path} --help"
    return Failure(exc.format_message(), "usage", hint, Exit.USAGE, {}, usage)


def _bug(exc: BaseException, state: Path) -> Failure:
    reference = secrets.token_hex(4)
    lines = [
        f"reference {reference}",
        f"at {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        f"python {sys.version.split()[0]}",
    ]
    lines += [f"type {type(exc).__module__}.{type(exc).__qualname__}"]
    lines += [
        f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(exc.__traceback__)
    ]
    path = state / "crashes" / f"{reference}.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
            stream.write("\n".join(lines) + "\n")
        where = f"Please report it with {path} (it names places in the code, nothing of yours)."
    except OSError:
        where = "Please report it: " + "; ".join(lines[3:])
    return Failure(f"Something broke in tocsin itself; reference {reference}.", "bug", where, Exit.BUG)
