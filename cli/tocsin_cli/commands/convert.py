"""`tocsin convert aiid|avid|atlas|stix`: a file of another form as one STIX bundle, without any node."""

import sys
from collections.abc import Generator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from tocsin_cli.command import LazyGroup
from tocsin_cli.converting import Conversion
from tocsin_cli.errors import CliError, FileUnreadable
from tocsin_cli.exits import Exit
from tocsin_cli.output import json_text
from tocsin_cli.progress import progress
from tocsin_cli.session import Session, pass_session
from tocsin_cli.sources import (
    PassingReader,
    aiid_reader,
    as_of_option,
    atlas_reader,
    avid_reader,
    classifications_option,
    file_argument,
    opened,
    read_of,
    size_of,
    techniques_option,
)

if TYPE_CHECKING:
    from tocsin_schema.imports.record import Passed, Record


@click.group("convert", cls=LazyGroup, no_args_is_help=True)
def convert() -> None:
    """Turn a file of another form into one STIX 2.1 bundle.

    No node is needed; FILE may be - for standard input. The bundle goes to stdout and holds every object once. The
    account goes to stderr (with --json as one document, with -v with every repair) and adds up: read =
    converted + repaired + refused. The exit code is 0 when every record came through, 6 when some were refused;
    the others are in the bundle all the same.
    """


@convert.command("stix")
@file_argument
@pass_session
def stix(session: Session, file: Path) -> None:
    """Convert STIX of any kind into strict STIX 2.1.

    Incidents become reports, as with tocsin import stix. Every other object is passed on, without what STIX
    2.1 does not have; types that it does not have are refused.
    """
    from tocsin_schema.imports.stix import convert as read

    _run(session, file, read)


@convert.command("aiid")
@file_argument
@classifications_option
@as_of_option
@pass_session
def aiid(session: Session, file: Path, classifications: tuple[Path, ...], as_of: datetime | None) -> None:
    """Convert the AI Incident Database: the incidents.csv of its export."""
    with aiid_reader(classifications, as_of) as reader:
        _run(session, file, reader)


@convert.command("avid")
@file_argument
@as_of_option
@pass_session
def avid(session: Session, file: Path, as_of: datetime | None) -> None:
    """Convert the AI Vulnerability Database: one JSON record a line."""
    _run(session, file, avid_reader(as_of))


@convert.command("atlas")
@file_argument
@techniques_option
@pass_session
def atlas(session: Session, file: Path, techniques: Path | None) -> None:
    """Convert the case studies of MITRE ATLAS: its ATLAS.yaml."""
    with atlas_reader(techniques) as reader:
        _run(session, file, reader)


def _run(session: Session, file: Path, reader: PassingReader) -> None:
    from tocsin_schema.errors import SchemaError
    from tocsin_schema.exports.stix import bundle
    from tocsin_schema.merge import Merger

    account = Conversion()
    unreadable: CliError | None = None
    with opened(file) as stream, Merger() as merger:
        try:
            size = size_of(stream)
            records = closing(cast("Generator[Record | Passed]", reader(stream)))
            with progress(session.out, "Convert", size) as advance, records as source:
                account.run(source, merger, lambda: advance(read_of(stream)))
        except SchemaError as exc:  # raised below: here its traceback would hold the reader beyond the file
            unreadable = FileUnreadable(f"{file}: {exc}", code=exc.code, hint=exc.hint)
        if unreadable is None and account.objects:
            for piece in bundle(merger) if account.only is None else [account.only + b"\n"]:
                session.out.raw(piece)
    if unreadable is not None:
        raise unreadable
    _tell(session, account)
    if account.refused:
        click.get_current_context().exit(Exit.FINDINGS)


def _tell(session: Session, account: Conversion) -> None:
    out = session.out
    if out.as_json:
        sys.stderr.write(json_text(account.document(), sys.stderr) + "\n")
        return
    told = [f"refused {each['key']}: {each['reason']} [{each['code']}]" for each in account.refused]
    out.first(out.warn, told)
    for each in account.repairs:
        out.detail(f"repaired {each['key']}: {'; '.join(each['repairs'])}")
    out.say(account.line())
