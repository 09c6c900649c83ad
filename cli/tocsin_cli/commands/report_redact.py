"""`tocsin report redact`: a version for others, made from the private record, shown whole before it leaves."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from tocsin_cli import editor, handin
from tocsin_cli.ask import GIVE_YES, Asker
from tocsin_cli.client import STIX, segment
from tocsin_cli.command import Command
from tocsin_cli.commands.report_change import refuse_foreign
from tocsin_cli.commands.report_file import full_option
from tocsin_cli.commands.report_read import ReportId
from tocsin_cli.commands.report_told import tell_answer, tell_tried, warn_not_sent
from tocsin_cli.errors import CliError, FindingsFound, Refused, UsageFault
from tocsin_cli.filing import Answer, names, post, reviewed_query
from tocsin_cli.output import findings_text
from tocsin_cli.session import Session, pass_session
from tocsin_cli.suspects import NAMES_ARE_NOT_FOUND
from tocsin_cli.toml_text import toml_text
from tocsin_cli.words import Tlp

if TYPE_CHECKING:
    from tocsin_schema.redaction import Projection

Asked = Mapping[str, Any]  # the arguments of project(), but for the record and the time


@click.command("redact", cls=Command)
@click.argument("report_id", metavar="ID", type=ReportId())
@click.option("--tlp", type=Tlp(), metavar="TLP", help="How far it may travel; as the report itself.")
@click.option("--drop", multiple=True, metavar="PATH", help="Leave this out; may be repeated.")
@click.option("--replace", multiple=True, metavar="PATH=TEXT", help="Say this instead; may be repeated.")
@click.option("--editor", "use_editor", is_flag=True, help="Change the rest in your editor.")
@click.option(
    "--personal-data",
    type=click.Choice(["none", "pseudonymised"]),
    help="What the shared version holds, as you have seen it.",
)
@click.option("--to", multiple=True, metavar="NAME", help="Send to this peer only; may be repeated.")
@click.option("--by", metavar="NAME", help="Who has looked at it and answers for it; kept at your node.")
@click.option("--dry-run", is_flag=True, help="Show what would leave and to whom; store and send nothing.")
@full_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@pass_session
def redact(
    session: Session,
    report_id: str,
    tlp: str | None,
    drop: tuple[str, ...],
    replace: tuple[str, ...],
    use_editor: bool,
    personal_data: str | None,
    to: tuple[str, ...],
    by: str | None,
    dry_run: bool,
    full: bool,
    yes: bool,
) -> None:
    """Share a version of a report without what may not leave.

    The report itself stays as it is. Left out are: what is marked above --tlp, private persons, all of evidence
    but its hash, and what --drop names; their words are masked wherever else they stand. You see exactly what would
    leave, and to whom, before it does. The grade stays that of the report. Again with the same --tlp it is the
    next version for those who have the first.

    \b
      tocsin report redact ID --drop affected --drop 'harms[0].note' --dry-run
      tocsin report redact ID --tlp green --replace 'description=A nurse was called.' --by 'M. Ilves'
    """  # noqa: D301  click fills no lines after it
    if not by and not dry_run:
        raise UsageFault(
            "Nobody is named who answers for it.", hint="Give --by NAME, or --dry-run to look first."
        )
    if session.out.as_json and not (yes or dry_run):
        raise UsageFault("With --json nobody is asked.", hint="Look with --dry-run first, then give --yes.")
    held = _record(session, report_id)
    asked = _asked(held, tlp, drop, replace, personal_data)
    done = _projected(held, asked)
    if use_editor:
        done = _edited(session, report_id, held, asked, done)
    method, path = _door(session, done)
    query = [("to", name) for name in to] + reviewed_query(by)
    tried = post(session.client, method, path, done.raw, [*query, ("dry_run", "1")])
    if dry_run:
        _show(session, tried, done, full=full)
        return
    if not session.out.as_json:
        _show(session, tried, done, full=full)
    if not yes and not _confirmed(session, tried):
        session.out.warn("Nothing is sent.")
        return
    answer = post(session.client, method, path, done.raw, query)
    tell_answer(session.out, {**answer, "removed": _removed(done)}, heading="Shared")
    warn_not_sent(session.out, answer, to=to)
    session.out.next_step(f"tocsin report show {done.id}")


def _record(session: Session, report_id: str) -> bytes:
    path = f"/v1/reports/{segment(report_id)}"
    refuse_foreign(session, path)
    return session.client.raw("GET", path, accept=STIX)


def _asked(
    held: bytes, tlp: str | None, drop: tuple[str, ...], replace: tuple[str, ...], personal_data: str | None
) -> Asked:
    from tocsin_schema.check import check_bundle
    from tocsin_schema.marking import Tlp

    texts = {}
    for each in replace:
        place, equals, text = each.partition("=")
        if not equals:
            raise UsageFault(
                f"{each!r} is not PATH=TEXT.", hint="Write it like --replace 'title=A call was missed'."
            )
        texts[place] = text
    own = check_bundle(held).report
    clearance = Tlp(tlp) if tlp else own.tlp if own else Tlp.RED
    return {"clearance": clearance, "drop": drop, "replace": texts, "personal_data": personal_data}


def _projected(held: bytes, asked: Asked, rewritten: Mapping[str, Any] | None = None) -> "Projection":
    from tocsin_schema.errors import ReportRefused, SchemaError
    from tocsin_schema.redaction import project

    try:
        return project(held, now=datetime.now(UTC), rewritten=rewritten, **asked)
    except ReportRefused as exc:
        raise FindingsFound(handin.finding_dicts(exc.findings)) from exc
    except SchemaError as exc:
        raise CliError(str(exc), code=exc.code, hint=exc.hint) from exc


def _edited(session: Session, report_id: str, held: bytes, asked: Asked, done: "Projection") -> "Projection":
    """What the person makes of the projected form; what was left out is masked again in it."""
    path = handin.draft_path(session.state, f"redact-{report_id}", ".toml")
    head = f"# What others will get of {report_id}. Change it, save and close. An empty file gives up.\n\n"
    editor.begin(path, (head + toml_text(done.form)).encode())
    while True:
        source = handin.Source(path.read_bytes(), path, "editor")
        if not source.raw.strip():
            source.release()
            raise UsageFault("Nothing was written; nothing is sent.", code="nothing-written")
        try:
            handed = handin.understand(source)
            if isinstance(handed, handin.Bundle):
                raise UsageFault("This takes a form, not a bundle.")
            made = _projected(held, asked, handed.values)
        except FindingsFound as exc:
            if not session.interactive:
                raise
            session.out.warn("There are findings:\n" + findings_text(exc.findings))
            if not Asker(session.out).yes("Open the editor again?", default=True):
                raise
            editor.edit(path)
        else:
            source.release()
            return made


def _door(session: Session, done: "Projection") -> tuple[str, str]:
    """Where it goes: a first version to the list of reports, a later one to its own address."""
    from tocsin_schema.errors import SchemaError
    from tocsin_schema.stix import to_form

    path = f"/v1/reports/{segment(done.id)}"
    try:
        before = session.client.raw("GET", path, accept=STIX)
    except Refused as exc:
        if exc.code == "report-unknown":
            return "POST", "/v1/reports"
        raise
    try:
        same = to_form(before) == to_form(done.raw)
    except SchemaError:
        same = False
    if same:
        session.out.say("It says the same as the version that is shared already.")
    return "PUT", path


def _show(session: Session, tried: Answer, done: "Projection", *, full: bool) -> None:
    """All that a person needs for a yes: what leaves, to whom, what does not, and what looks wrong in it."""
    out = session.out
    tell_tried(out, {**tried, "removed": _removed(done)}, done.raw, full=full)
    if out.as_json:
        return
    out.line()
    out.line("Left out:" if done.removed else "Nothing is left out.")
    if done.removed:
        out.table(["what", "why"], [[each["what"], each["why"]] for each in _removed(done)])
    out.say(NAMES_ARE_NOT_FOUND)


def _removed(done: "Projection") -> list[dict[str, str]]:
    from tocsin_schema.redaction import WHY

    return [{"what": each.where, "why": WHY[each.why]} for each in done.removed]


def _confirmed(session: Session, tried: Answer) -> bool:
    whom = ", ".join(names(tried.get("to"))) or "nobody: it would be filed here and go nowhere"
    return Asker(session.out, instead=GIVE_YES).yes(f"Send exactly this to {whom}?", default=False)
