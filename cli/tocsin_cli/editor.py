"""The person's own editor on a file of ours: $VISUAL, else $EDITOR, else the first one that is there."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from tocsin_cli.durable import write_durably
from tocsin_cli.errors import UsageFault

_USUAL = ("sensible-editor", "editor", "nano", "vim", "vi")
NOTE = "#! "


def begin(path: Path, text: bytes) -> None:
    """Put `text` at `path` and open it; when the editor fails and nothing was written, the file goes again.

    Raises: as `edit`.
    """
    write_durably(path, text)
    try:
        edit(path)
    except UsageFault as exc:
        if path.read_bytes() == text:
            path.unlink()
            exc.hint = "Set EDITOR to an editor that runs here."
        raise


def edit(path: Path) -> None:
    """Open `path` and wait until the editor is closed; raise UsageFault when it cannot run or failed."""
    chosen = os.environ.get("VISUAL") or os.environ.get("EDITOR") or next(filter(shutil.which, _USUAL), "")
    if not chosen:
        raise UsageFault(
            "No editor is set.", code="editor-missing", hint=f"Set EDITOR; the text is in {path}."
        )
    try:
        # The person's own choice of program, run without a shell.
        status = subprocess.run([*shlex.split(chosen), str(path)], check=False).returncode  # noqa: S603
    except (OSError, ValueError) as exc:
        raise UsageFault(
            f"The editor {chosen!r} cannot be started.",
            code="editor-missing",
            hint=f"Set EDITOR; the text is in {path}.",
        ) from exc
    if status != 0:
        raise UsageFault(
            f"The editor ended with status {status}; nothing is sent.",
            code="editor-failed",
            hint=f"The text is kept in {path}. Run: tocsin report submit --editor --file {path}",
        )


def annotate(text: str, notes: str) -> str:
    """Put notes at the head of a TOML text as comments, in place of those put there before."""
    kept = [line for line in text.splitlines() if not line.startswith(NOTE.strip())]
    return "\n".join([*(f"{NOTE}{line}" for line in notes.splitlines()), *kept]) + "\n"
