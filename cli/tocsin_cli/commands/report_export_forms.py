"""`tocsin report export stix|misp|opencti|csv|jsonl|html`: the same options, another form."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tocsin_cli import exporting
from tocsin_cli.command import Command
from tocsin_cli.commands.report_read import ReportId
from tocsin_cli.errors import UsageFault
from tocsin_cli.exporting import Account, Limits
from tocsin_cli.placing import check_place, put
from tocsin_cli.progress import progress
from tocsin_cli.session import Session, pass_session
from tocsin_cli.suspects import reviewer_named
from tocsin_cli.words import Grade, Since, Tlp

if TYPE_CHECKING:
    from tocsin_schema.report import IncidentReport

Write = Callable[[Iterable["IncidentReport"]], Iterator[bytes]]
_F = TypeVar("_F", bound=Callable[..., Any])

_OPTIONS = (
    click.argument("ids", metavar="[ID]...", nargs=-1, type=ReportId()),
    click.option("--file", "files", multiple=True, metavar="FILE", help="STIX instead of the node; - is stdin."),
    click.option("--grade", type=Grade(), metavar="GRADE", help="Only this response grade."),
    click.option("--tlp", type=Tlp(), metavar="TLP", help="Only this marking."),
    click.option("--state", type=click.Choice(["active", "withdrawn"]), help="Only these."),
    click.option("--origin", metavar="NAME", help="Only what this peer sent; us for what was filed or imported here."),
    click.option("--text", metavar="WORDS", help="Only reports with these words in their title."),
    click.option("--since", type=Since(), metavar="WHEN", help="Only versions made since then (UTC)."),
    click.option(
        "--max-tlp", type=Tlp(), metavar="TLP",
        help="Leave out what is marked above this; green unless you say otherwise.",
    ),
    click.option(
        "--include-personal-data/--no-personal-data", "personal_data", default=None,
        help="Whether reports that name people may be in it; no unless you say so.",
    ),
    click.option(
        "--reviewed-by", metavar="NAME",
        help="Who has looked for personal data and secrets and takes it on that what is suspected leaves.",
    ),
    click.option(
        "--no-suspected", is_flag=True,
        help="Leave out what seems to hold personal data or secrets, and what was redacted for others.",
    ),
    click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write here, for you alone (0600)."),
    click.option("--force", is_flag=True, help="Overwrite the file."),
    click.option("--losses", is_flag=True, help="Say what this form has no place for, and export nothing."),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asked for."""

    form: str
    ids: tuple[str, ...]
    files: tuple[str, ...]
    filters: list[tuple[str, str]]
    since: str
    limits: Limits
    out: Path | None
    force: bool


def _options(function: _F) -> _F:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.command("stix", cls=Command)
@_options
@click.option("--lines", is_flag=True, help="One bundle a line, byte for byte as it was signed.")
@pass_session
def stix(session: Session, /, lines: bool, **options: Any) -> None:
    """One strict STIX 2.1 bundle, or each report as it was signed."""
    from tocsin_schema.exports import stix as form

    _run(session, "stix", form.write_lines if lines else form.write, form.LOSSES, options)


@click.command("misp", cls=Command)
@_options
@pass_session
def misp(session: Session, /, **options: Any) -> None:
    """Events in MISP's own JSON, with the bundle attached."""
    from tocsin_schema.exports import misp as form

    _run(session, "misp", form.write, form.LOSSES, options)


@click.command("opencti", cls=Command)
@_options
@pass_session
def opencti(session: Session, /, **options: Any) -> None:
    """The bundle in the form that OpenCTI reads; not strict STIX."""
    from tocsin_schema.exports import opencti as form

    _run(session, "opencti", form.write, form.LOSSES, options)


@click.command("csv", cls=Command)
@_options
@pass_session
def csv(session: Session, /, **options: Any) -> None:
    """A table for spreadsheets: one row a report."""
    from tocsin_schema.exports import table as form

    _run(session, "csv", form.write, form.LOSSES, options)


@click.command("jsonl", cls=Command)
@_options
@pass_session
def jsonl(session: Session, /, **options: Any) -> None:
    """JSON Lines: one flat, readable object a report and line."""
    from tocsin_schema.exports import jsonl as form

    _run(session, "jsonl", form.write, form.LOSSES, options)


@click.command("html", cls=Command)
@_options
@pass_session
def html(session: Session, /, **options: Any) -> None:
    """A page to read or print, without scripts."""
    from tocsin_schema.exports import page as form

    _run(session, "html", form.write, form.LOSSES, options)


def _run(session: Session, form: str, write: Write, losses: Sequence[str], options: dict[str, Any]) -> None:
    if options.pop("losses"):
        _tell_losses(session, form, losses)
        return
    wish = _wish(form, options)
    check_place(wish.out, force=wish.force)
    account = Account()
    with progress(session.out, "Export", None, printing=wish.out is None) as advance:
        admitted = exporting.admitted(_reports(session, wish, account), wish.limits, account, advance)
        put(session.out, wish.out, write(admitted), force=wish.force)
    _tell(session, wish, account)
    exporting.check_complete(account, wish.limits)


def _tell_losses(session: Session, form: str, losses: Sequence[str]) -> None:
    if session.out.as_json:
        session.out.document({"form": form, "losses": list(losses)})
        return
    for loss in losses:
        session.out.line(f"- {loss}")


def _wish(form: str, options: dict[str, Any]) -> Wish:
    from tocsin_schema.exports.gate import DEFAULT_TLP
    from tocsin_schema.marking import Tlp

    ids, files, max_tlp, personal = (options.pop(n) for n in ("ids", "files", "max_tlp", "personal_data"))
    out, force, since = (options.pop(name) for name in ("out", "force", "since"))
    moment = since or ""
    reviewer, narrow = options.pop("reviewed_by"), options.pop("no_suspected")
    if reviewer is not None and narrow:
        said = "--reviewed-by and --no-suspected contradict each other."
        raise UsageFault(said, hint="Take one of them away.")
    filters = exporting.filters_of(options)
    if (ids and files) or ((ids or files) and (filters or moment)):
        said = "Ids, --file and filters do not go together."
        raise UsageFault(said, hint="Name reports, or name files, or filter what the node holds.")
    named = [("above-tlp", max_tlp), ("personal-data", personal)]
    named += [(reason, narrow or None) for reason in (exporting.SUSPECTED, exporting.REDACTED)]
    limits = Limits(
        Tlp(max_tlp) if max_tlp else DEFAULT_TLP,
        bool(personal),
        reviewer_named(reviewer),
        frozenset(reason for reason, value in named if value is not None),
    )
    return Wish(form, ids, files, filters, moment, limits, out, force)


def _reports(session: Session, wish: Wish, account: Account) -> Iterator["IncidentReport"]:
    if wish.files:
        return exporting.from_files(wish.files, account)
    if wish.ids:
        return exporting.by_id(session.client, wish.ids, account)
    return exporting.from_node(session.client, wish.filters, wish.since, wish.limits, account)


def _tell(session: Session, wish: Wish, account: Account) -> None:
    """The account on stderr; with --json and --out on stdout, since nothing else is there."""
    out = session.out
    if out.as_json:
        document = account.document(wish.form, wish.limits)
        if wish.out is not None:
            out.document({**document, "out": str(wish.out)})
        else:
            sys.stderr.write(json.dumps(document) + "\n")
        return
    for each in account.left:
        reason = exporting.SAID[each["reason"]].format(tlp=wish.limits.max_tlp.label)
        tell = out.warn if each["reason"] == exporting.SUSPECTED else out.detail
        where = "".join(
            f"\n  {one['kind']} at {one['path']}, {one['place']}" for one in each.get("found", ())
        )
        tell(f"left out {each['id']}: {reason}{where}")
    say = out.warn if account.withheld else out.say
    say(account.line(wish.limits))
