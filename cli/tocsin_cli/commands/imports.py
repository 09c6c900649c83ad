"""`tocsin import stix|aiid|avid|atlas`: bring in incidents that others wrote down."""

from collections import Counter
from collections.abc import Generator
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from tocsin_cli.command import LazyGroup
from tocsin_cli.errors import CliError, FileUnreadable
from tocsin_cli.exits import Exit
from tocsin_cli.filing import reviewed_query
from tocsin_cli.importing import Account, Importer
from tocsin_cli.progress import progress
from tocsin_cli.session import Session, pass_session
from tocsin_cli.sources import (
    Reader,
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
from tocsin_cli.words import Tlp

if TYPE_CHECKING:
    from tocsin_schema.imports.record import Record

FOREIGN = "foreign-creator"

_share = click.option(
    "--share", is_flag=True, help="Send them to the peers too; otherwise they stay at your node."
)
_to = click.option("--to", multiple=True, metavar="NAME", help="Share with this peer only; may be repeated.")
_reviewed_by = click.option(
    "--reviewed-by",
    metavar="NAME",
    help="Who has looked for personal data and secrets and takes it on that all of it leaves.",
)
_dry_run = click.option("--dry-run", is_flag=True, help="Read and check; send and store nothing.")


@click.group("import", cls=LazyGroup, no_args_is_help=True)
def import_() -> None:
    """Bring in incidents from elsewhere.

    FILE may be - for standard input. The account at the end adds up: read = imported + unchanged + repaired +
    refused. An interrupted import is simply run again; what is there already counts as unchanged. With --share,
    records that seem to hold personal data or secrets are imported and stay at your node, and so do those that
    another node created; the account names them. Others' reports are not yours to change. The exit code is 6 when
    all of the file was refused, else 0 when it was read to its end.
    """


@import_.command("stix")
@file_argument
@click.option(
    "--tlp", type=Tlp(), metavar="TLP", help="The marking of what carries none; without it that is TLP:RED."
)
@_share
@_to
@_reviewed_by
@_dry_run
@pass_session
def stix(
    session: Session,
    file: Path,
    tlp: str | None,
    share: bool,
    to: tuple[str, ...],
    reviewed_by: str | None,
    dry_run: bool,
) -> None:
    """Import incidents from STIX 2.1: a bundle, a list, or one object a line.

    Objects that belong to no incident (the techniques of ATT&CK, say) have no place at a node: they are passed over
    and counted, since reports carry the techniques that they name. A file that has nothing else leaves nothing to
    import, and that is no failure. tocsin convert stix passes such objects on.
    """
    from tocsin_schema import marking
    from tocsin_schema.imports.stix import read

    over: Counter[str] = Counter()
    reader = partial(read, default_tlp=marking.Tlp(tlp) if tlp else None, passed_over=over)
    _run(session, file, reader, share=share, to=to, reviewed_by=reviewed_by, dry_run=dry_run, over=over)


@import_.command("aiid")
@file_argument
@classifications_option
@as_of_option
@_share
@_to
@_reviewed_by
@_dry_run
@pass_session
def aiid(
    session: Session,
    file: Path,
    classifications: tuple[Path, ...],
    as_of: datetime | None,
    share: bool,
    to: tuple[str, ...],
    reviewed_by: str | None,
    dry_run: bool,
) -> None:
    """Import the AI Incident Database: the incidents.csv of its export."""
    with aiid_reader(classifications, as_of) as reader:
        _run(session, file, reader, share=share, to=to, reviewed_by=reviewed_by, dry_run=dry_run)


@import_.command("avid")
@file_argument
@as_of_option
@_share
@_to
@_reviewed_by
@_dry_run
@pass_session
def avid(
    session: Session,
    file: Path,
    as_of: datetime | None,
    share: bool,
    to: tuple[str, ...],
    reviewed_by: str | None,
    dry_run: bool,
) -> None:
    """Import the AI Vulnerability Database: one JSON record a line.

    Each record becomes an incident that has not happened yet, with the flaw beside it.
    """
    _run(
        session,
        file,
        avid_reader(as_of),
        share=share,
        to=to,
        reviewed_by=reviewed_by,
        dry_run=dry_run,
    )


@import_.command("atlas")
@file_argument
@techniques_option
@_share
@_to
@_reviewed_by
@_dry_run
@pass_session
def atlas(
    session: Session,
    file: Path,
    techniques: Path | None,
    share: bool,
    to: tuple[str, ...],
    reviewed_by: str | None,
    dry_run: bool,
) -> None:
    """Import the case studies of MITRE ATLAS: its ATLAS.yaml."""
    with atlas_reader(techniques) as reader:
        _run(session, file, reader, share=share, to=to, reviewed_by=reviewed_by, dry_run=dry_run)


def _run(
    session: Session,
    file: Path,
    reader: Reader,
    *,
    share: bool,
    to: tuple[str, ...],
    reviewed_by: str | None,
    dry_run: bool,
    over: Counter[str] | None = None,
) -> None:
    from tocsin_schema.errors import SchemaError

    query = ([("share", "1")] if share or to else []) + [("to", name) for name in to]
    query += reviewed_query(reviewed_by)
    account = Account()
    importer = Importer(None if dry_run else session.client, account, query)
    complete = False
    unreadable: CliError | None = None
    with opened(file) as stream:
        try:
            size = size_of(stream)
            source_records = closing(cast("Generator[Record]", reader(stream)))
            with progress(session.out, "Import", size) as advance, source_records as records:
                importer.run(records, lambda: advance(read_of(stream)))
            complete = True
            account.passed_over.update(over or {})
        except SchemaError as exc:  # raised below: here its traceback would hold the reader beyond the file
            unreadable = FileUnreadable(f"{file}: {exc}", code=exc.code, hint=exc.hint)
        except CliError as exc:
            exc.hint = f"{exc.hint} Then run the import again: what is there counts as unchanged.".strip()
            raise
        finally:
            if complete or account.read:
                _tell(session, account, file, complete=complete, dry_run=dry_run)
    if unreadable is not None:
        raise unreadable
    if account.refused and account.read == len(account.refused):
        click.get_current_context().exit(Exit.FINDINGS)


def _tell(session: Session, account: Account, file: Path, *, complete: bool, dry_run: bool) -> None:
    out = session.out
    if out.as_json:
        out.document(account.document(complete=complete, dry_run=dry_run))
        return
    out.first(out.line, [_refusal(each) for each in account.refused])
    for each in account.repairs:
        out.detail(f"repaired {each['key']}: {'; '.join(each['repairs'])}")
    out.first(
        out.line, [f"kept here {each['key']}: {', '.join(each['kinds'])}" for each in account.kept_here]
    )
    head = "Only tried, nothing sent: " if dry_run else ("" if complete else "Interrupted: ")
    out.line(head + account.line())
    if complete and not account.read and account.passed_over:
        out.say(
            "Nothing to import: it holds no incident. Reports carry the techniques and systems that they name."
        )
        out.next_step(f"tocsin convert stix {file}")
    foreign = sum(FOREIGN in each["kinds"] for each in account.kept_here)
    if foreign:
        out.warn(
            f"{foreign} of them stay at your node: another node created them, and it alone sends them on."
        )
    if suspected := len(account.kept_here) - foreign:
        out.warn(
            f"{suspected} of them stay at your node: they seem to hold personal data or secrets. Share what may leave "
            "with: tocsin report share ID --to PEER --reviewed-by NAME"
        )


def _refusal(each: dict[str, str]) -> str:
    hint = f" → {each['hint']}" if each["hint"] else ""
    return f"refused {each['key']}: {each['reason']} [{each['code']}]{hint}"
