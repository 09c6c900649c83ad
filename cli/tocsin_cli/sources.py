"""The collections whose files `tocsin import` and `tocsin convert` read: their options, and a reader for each.

A reader is made for one run: it takes the stream of the main file and gives records. Files named by options
are open as long as the reader may be used.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from tocsin_cli.errors import FileUnreadable

if TYPE_CHECKING:
    from tocsin_schema.imports.record import Passed, Record

Reader = Callable[[BinaryIO], "Iterator[Record]"]
PassingReader = Callable[[BinaryIO], "Iterator[Record | Passed]"]

file_argument = click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
classifications_option = click.option(
    "--classifications",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A classifications_*.csv of the same export, for harms and numbers; may be repeated.",
)
as_of_option = click.option(
    "--as-of",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DATE",
    help="The day of the export: a later export then counts as a later version.",
)
techniques_option = click.option(
    "--stix",
    "techniques",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The stix-atlas.json of the same release, for the published ids of the techniques.",
)


def opened(file: Path) -> BinaryIO:
    """A file for reading, or a pipe; "-" is standard input. Raises: `FileUnreadable`."""
    if str(file) == "-":
        return sys.stdin.buffer
    try:
        return file.open("rb")
    except OSError as exc:
        raise FileUnreadable(f"{file} cannot be read: {exc.strerror}.", hint="Check the name.") from exc


def size_of(stream: BinaryIO) -> int | None:
    """How many bytes it has; None for a pipe."""
    try:
        return os.fstat(stream.fileno()).st_size if stream.seekable() else None
    except OSError:  # no file of the system's
        return None


def read_of(stream: BinaryIO) -> int:
    """How many bytes have been read; 0 for a pipe, which does not say."""
    return stream.tell() if stream.seekable() else 0


@contextmanager
def aiid_reader(classifications: Iterable[Path], as_of: datetime | None) -> Iterator[Reader]:
    """Rows of AIID's incidents.csv."""
    from tocsin_schema.imports.aiid import read

    with ExitStack() as files:
        classes = [files.enter_context(opened(path)) for path in classifications]
        yield partial(read, classifications=classes, as_of=_utc(as_of))


def avid_reader(as_of: datetime | None) -> Reader:
    """Lines of AVID's reports.jsonl or vulnerabilities.jsonl."""
    from tocsin_schema.imports.avid import read

    return partial(read, as_of=_utc(as_of))


@contextmanager
def atlas_reader(techniques: Path | None) -> Iterator[Reader]:
    """Case studies of ATLAS.yaml."""
    from tocsin_schema.imports.atlas import read

    with ExitStack() as files:
        stix = files.enter_context(opened(techniques)) if techniques is not None else None
        yield partial(read, stix=stix)


def _utc(day: datetime | None) -> datetime | None:
    return day.replace(tzinfo=UTC) if day is not None else None
