"""Where an export goes: standard output, or a file that is whole or not there, for its owner alone."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tocsin_cli.durable import stream_durably
from tocsin_cli.errors import FileExists, FileUnwritable

if TYPE_CHECKING:
    from tocsin_cli.output import Output


def check_place(out: Path | None, *, force: bool) -> None:
    """Before anything is fetched: the file is not there yet, or it may be overwritten."""
    if out is None or not (out.exists() or out.is_symlink()):
        return
    if not out.is_file() or out.is_symlink():
        said = f"{out} is no plain file."
        raise FileUnwritable(said, hint="Name another file, or leave --out away for standard output.")
    if not force:
        raise FileExists(f"{out} is there already.")


def put(output: "Output", out: Path | None, pieces: Iterable[bytes], *, force: bool) -> None:
    """Write the pieces to the file, or to standard output without one. Raises: FileExists, FileUnwritable."""
    if out is None:
        for piece in pieces:
            output.raw(piece)
        return
    try:
        stream_durably(out, pieces, overwrite=force)
    except FileExistsError as exc:
        raise FileExists(f"{out} appeared meanwhile; it was left as it is.") from exc
    except OSError as exc:
        raise FileUnwritable(f"{out} cannot be written: {exc.strerror}.") from exc
