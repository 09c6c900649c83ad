"""`tocsin report update` and `tocsin report withdraw`: new versions of a report of our own."""

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click

from tocsin_cli import editor, handin
from tocsin_cli.ask import Asker
from tocsin_cli.client import STIX, segment
from tocsin_cli.command import Command
from tocsin_cli.commands.redaction_told import standing_in, warn_looser
from tocsin_cli.commands.report_file import full_option, reviewed_by_option
from tocsin_cli.commands.report_read import ReportId
from tocsin_cli.commands.report_told import refuse_as_tried, tell_answer, tell_tried, warn_not_sent
from tocsin_cli.durable import write_durably
from tocsin_cli.errors import CliError, FindingsFound, NotAllowed, Refused, UsageFault
from tocsin_cli.filing import member, post, reviewed_query
from tocsin_cli.output import findings_text
from tocsin_cli.session import Session, pass_session
from tocsin_cli.suspects import STAYS, warn_suspected
from tocsin_cli.toml_text import toml_text


@click.command("update", cls=Command)
@click.argument("report_id", metavar="ID", type=ReportId())
@click.option("--set", "sets", multiple=True, metavar="FIELD=VALUE", help="Set one field; may be repeated.")
@click.option(
    "--file", "file", metavar="FILE", help="The whole form anew (TOML, JSON) or a STIX bundle; - is stdin."
)
@click.option("--editor", "use_editor", is_flag=True, help="Change the form in your editor.")
@click.option(
    "--to",
    multiple=True,
    metavar="NAME",
    help="Send it to this peer as well, or TLP:RED only to these; may be repeated.",
)
@click.option("--dry-run", is_flag=True, help="Show who would get what; store and send nothing.")
@full_option
@reviewed_by_option
@pass_session
def update(
    session: Session,
    report_id: str,
    sets: tuple[str, ...],
    file: str | None,
    use_editor: bool,
    to: tuple[str, ...],
    dry_run: bool,
    full: bool,
    reviewed_by: str | None,
) -> None:
    """Send a new version of a report.

    It goes to everybody who has the report already, as far as their ceilings allow it; who is left behind is told.
    TLP:RED goes only to those whom --to names.

    Fields are those of the form, dotted ones reach inside:

    \b
      tocsin report update ID --set tlp=green
      tocsin report update ID --set quantities.deaths=2 --set 'flags=["ongoing"]'
    """  # noqa: D301  click fills no lines after it
    if sum(map(bool, (sets, file, use_editor))) != 1:
        raise UsageFault("Say what changes: one of --set, --file and --editor.")
    path = f"/v1/reports/{segment(report_id)}"
    if record := refuse_foreign(session, path).get("redaction_of"):
        raise Refused(
            "The report is a redaction: it says what its report says, and less.",
            code="is-redaction",
            hint=f"Change the full one and redact it again: tocsin report update {record}",
        )
    held = session.client.raw("GET", path, accept=STIX)
    refuse_withdrawn(held, report_id)
    source: handin.Source | None = None
    if sets:
        bundle = revised(held, _with_sets(form_of(held), sets), report_id)
    else:
        source = handin.read_source(file, state=session.state) if file else _edited(session, report_id, held)
        bundle = _bundle_from(session, held, source, report_id)
    query = [("to", name) for name in to] + ([("dry_run", "1")] if dry_run else [])
    query += reviewed_query(reviewed_by)
    with _text_kept(source):
        answer = post(session.client, "PUT", path, bundle, query)
    if dry_run:
        tell_tried(session.out, answer, bundle, full=full, heading="Updated")
    else:
        tell_answer(session.out, answer, heading="Updated")
        if not answer.get("to"):  # the node looks at what leaves
            warn_suspected(session.out, bundle, much=STAYS)
    warn_not_sent(session.out, answer, to=to)
    warn_looser(session.out, answer, str(form_of(held).get("tlp", "")))
    if source is not None and not dry_run:
        source.release()
    elif source is not None and (kept := source.tried()):
        session.out.next_step(f"tocsin report update {report_id} --file {kept}")
    refuse_as_tried(answer)


@click.command("withdraw", cls=Command)
@click.argument("report_id", metavar="ID", type=ReportId())
@click.option("--reason", metavar="TEXT", help="Why; everybody who has the report will read it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--dry-run", is_flag=True, help="Show who would be told; store and send nothing.")
@reviewed_by_option
@pass_session
def withdraw(
    session: Session,
    report_id: str,
    reason: str | None,
    yes: bool,
    dry_run: bool,
    reviewed_by: str | None,
) -> None:
    """Withdraw a report, for good.

    Everybody who has it is told, as far as their ceilings allow it; whoever cannot be told is named, and what to do
    about it. A withdrawn report cannot be taken up again. Its redactions that stand are withdrawn with it, in the
    same act; those who have them are told that it is over, and not your reason.
    """
    from tocsin_schema.errors import SchemaError
    from tocsin_schema.stix import withdraw as withdrawn

    ask = Asker(session.out, instead="Without a person to ask give --reason TEXT and --yes.")
    path = f"/v1/reports/{segment(report_id)}"
    redacted = standing_in(refuse_foreign(session, path))
    held = session.client.raw("GET", path, accept=STIX)
    refuse_withdrawn(held, report_id)
    if not reason:
        reason = ask.text("Why is it withdrawn? Everybody who has it will read this:", required=True)
    if not yes and not dry_run:
        title = form_of(held).get("title", report_id)
        too = f" and its redactions {', '.join(str(each['id']) for each in redacted)}" if redacted else ""
        if not ask.yes(f"Withdraw {title!r}{too} for good?", default=False):
            session.out.warn("Nothing is changed.")
            return
    try:
        bundle = withdrawn(held, reason=reason, now=datetime.now(UTC))
    except SchemaError as exc:
        raise CliError(str(exc), code=exc.code, hint=exc.hint) from exc
    query = ([("dry_run", "1")] if dry_run else []) + reviewed_query(reviewed_by)
    answer = post(session.client, "POST", f"{path}/withdraw", bundle, query)
    tell_answer(session.out, answer, dry_run=dry_run, heading="Withdrawn")
    warn_not_sent(session.out, answer)
    refuse_as_tried(answer)


def refuse_foreign(session: Session, path: str) -> Mapping[str, Any]:
    """What the node says of a report that is our own to change, before anything is asked of the person.

    Raises: NotAllowed.
    """
    shown: Mapping[str, Any] = session.client.json("GET", path)
    origin = member(shown, "origin") or {}
    if not origin.get("ours"):
        by = (shown.get("created_by") or origin).get("name", "somebody else")
        raise NotAllowed(
            f"The report was created by {by}; only they make versions of it.",
            code="not-ours",
            hint="Say what you know of it (tocsin report sight ID), or file a report of your own that refers to it.",
        )
    return shown


def refuse_withdrawn(held: bytes, report_id: str) -> None:
    """Raise CliError when the report has no further version."""
    from tocsin_schema.check import check_bundle

    report = check_bundle(held).report
    if report is not None and report.revoked:
        raise CliError(
            f"{report_id} is withdrawn, for good: it has no further version.",
            code="already-withdrawn",
            hint="File a new report: tocsin report new",
        )


def form_of(bundle: bytes) -> dict[str, Any]:
    """Return the form that a bundle came from, as far as it goes."""
    from tocsin_schema.stix import to_form

    return dict(to_form(bundle))


def revised(held: bytes, form: Mapping[str, Any], report_id: str) -> bytes:
    """Return the next version of the bundle, with the fields in which `form` differs from it.

    Raises: UsageFault when nothing differs; FindingsFound when the result is no report.
    """
    from tocsin_schema.errors import ReportRefused, SchemaError
    from tocsin_schema.stix import revise

    before = form_of(held)
    changes = {name: value for name, value in form.items() if before.get(name) != value}
    changes |= dict.fromkeys(name for name in before if name not in form)
    if not changes:
        raise UsageFault("Nothing changes.", code="no-change", hint=f"See: tocsin report show {report_id}")
    handin.checked_form(dict(form))
    try:
        return bytes(revise(held, changes, now=datetime.now(UTC)))
    except ReportRefused as exc:
        raise FindingsFound(handin.finding_dicts(exc.findings)) from exc
    except SchemaError as exc:
        raise CliError(str(exc), code=exc.code, hint=exc.hint) from exc


def _with_sets(form: dict[str, Any], sets: tuple[str, ...]) -> dict[str, Any]:
    for each in sets:
        name, equals, text = each.partition("=")
        keys = name.split(".")
        if not equals or not all(keys):
            raise UsageFault(f"{each!r} is not FIELD=VALUE.", hint="Write it like --set tlp=green.")
        place = form
        for key in keys[:-1]:
            inner = place.setdefault(key, {})
            if not isinstance(inner, dict):
                raise UsageFault(
                    f"{name!r} reaches into a field that is no table.", hint="Set the whole field."
                )
            place = inner
        place[keys[-1]] = _value(text)
    return form


def _value(text: str) -> Any:
    """Return a TOML value; what is none is taken as text."""
    try:
        return handin.plain_json(tomllib.loads(f"value = {text}")["value"])
    except (ValueError, OverflowError, RecursionError):
        return text


def _bundle_from(session: Session, held: bytes, source: handin.Source, report_id: str) -> bytes:
    while True:
        try:
            handed = handin.understand(source)
            if isinstance(handed, handin.Bundle):
                return handed.raw
            return revised(held, handed.values, report_id)
        except UsageFault:
            source.release()  # nothing differs from what the node holds
            raise
        except FindingsFound as exc:
            told = FindingsFound(
                exc.findings, str(exc), hint=_again(source, report_id), kept=str(source.path)
            )
            if not source.draft or not session.interactive:
                raise told from exc
            session.out.warn("There are findings:\n" + findings_text(exc.findings))
            if not Asker(session.out).yes("Open the editor again?", default=True):
                raise told from exc
            text = source.raw.decode("utf-8", "replace")
            write_durably(source.path, editor.annotate(text, findings_text(exc.findings)).encode())
            editor.edit(source.path)
            source = handin.Source(source.path.read_bytes(), source.path, "editor")


def _edited(session: Session, report_id: str, held: bytes) -> handin.Source:
    path = handin.draft_path(session.state, report_id, ".toml")
    head = f"# {report_id}\n# Change what has changed, save and close. An empty file gives up.\n\n"
    editor.begin(path, (head + toml_text(form_of(held))).encode())
    source = handin.Source(path.read_bytes(), path, "editor")
    if not source.raw.strip():
        source.release()
        raise UsageFault("Nothing was written; nothing is sent.", code="nothing-written")
    return source


def _again(source: handin.Source, report_id: str) -> str:
    path = source.path
    return f"The text is kept in {path}. Mend it and run: tocsin report update {report_id} --file {path}"


@contextmanager
def _text_kept(source: handin.Source | None) -> Iterator[None]:
    """Name the file that keeps the text in whatever goes wrong inside."""
    try:
        yield
    except FindingsFound as exc:
        kept = str(source.path) if source else ""
        raise FindingsFound(exc.findings, str(exc), code=exc.code, hint=exc.hint, kept=kept) from exc
    except CliError as exc:
        if source is not None and source.draft:
            exc.hint = f"{exc.hint} The text is kept in {source.path}.".strip()
        raise
