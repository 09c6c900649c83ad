"""`tocsin report redact`: a version for others, made from the private record, shown whole before it leaves."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any

import click

from tocsin_cli import editor, handin
from tocsin_cli.ask import GIVE_YES, Asker
from tocsin_cli.client import STIX, segment
from tocsin_cli.command import Command
from tocsin_cli.commands.redaction_told import again, redactions_in, standing_in
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
    from tocsin_schema.marking import Tlp as Marking
    from tocsin_schema.redaction import Projection

Asked = Mapping[str, Any]  # the arguments of project(), but for the record and the time


@click.command("redact", cls=Command)
@click.argument("report_id", metavar="ID", type=ReportId())
@click.option(
    "--tlp",
    type=Tlp(),
    metavar="TLP",
    help="How far it may travel; as the version before, or the report itself.",
)
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
@click.option(
    "--reviewed-by",
    metavar="NAME",
    help="With --yes: who has looked at what still seems to hold personal data or secrets and takes it on that it "
    "leaves.",
)
@click.option("--dry-run", is_flag=True, help="Show what would leave and to whom; store and send nothing.")
@full_option
@click.option(
    "--yes",
    is_flag=True,
    help="Do not ask; what is suspected, or new in this version, still needs --reviewed-by.",
)
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
    reviewed_by: str | None,
    dry_run: bool,
    full: bool,
    yes: bool,
) -> None:
    """Share a version of a report without what may not leave.

    The report itself stays as it is. Left out are: what is marked above --tlp, private persons, all of evidence
    but its hash, and what --drop names; their words are masked wherever else they stand. You see exactly what would
    leave, and to whom, before it does. The grade stays that of the report.

    Again it is the next version for those who have the first; say again what to leave out. Your node keeps the link
    and tells it to nobody: the redaction rings nobody here and is withdrawn together with its report.

    \b
      tocsin report redact ID --drop affected --drop 'harms[0].note' --dry-run
      tocsin report redact ID --tlp green --replace 'description=A nurse was called.' --by 'M. Ilves'
    """  # noqa: D301  click fills no lines after it
    by = by or reviewed_by
    if not by and not dry_run:
        raise UsageFault(
            "Nobody is named who answers for it.", hint="Give --by NAME, or --dry-run to look first."
        )
    if session.out.as_json and not (yes or dry_run):
        raise UsageFault("With --json nobody is asked.", hint="Look with --dry-run first, then give --yes.")
    record, held = _record(session, report_id)
    asked = _asked(record, held, tlp, drop, replace, personal_data)
    done = _projected(held, asked)
    if use_editor:
        done = _edited(session, report_id, held, asked, done)
    before = _before(session, record, done)
    path = f"/v1/reports/{segment(done.id)}" if before else "/v1/reports"
    link = [("redaction_of", report_id), ("record_ver", str(record.get("ver")))]
    query = [("to", name) for name in to] + reviewed_query(reviewed_by or by) + link
    method = "PUT" if before else "POST"
    tried = post(session.client, method, path, done.raw, [*query, ("dry_run", "1")])
    if dry_run or not session.out.as_json:
        _show(session, tried, done, full=full)
    more = _warn_new(session, before, done)
    if dry_run:
        return
    if yes and not reviewed_by:
        _refuse_suspected(tried)
        _refuse_more(more)
    if not yes and not _confirmed(session, tried):
        session.out.warn("Nothing is sent.")
        return
    answer = post(session.client, method, path, done.raw, query)
    tell_answer(session.out, {**answer, "removed": _removed(done)}, heading="Shared")
    warn_not_sent(session.out, answer, to=to)
    session.out.next_step(f"tocsin report show {done.id}")


def _record(session: Session, report_id: str) -> tuple[Mapping[str, Any], bytes]:
    path = f"/v1/reports/{segment(report_id)}"
    shown = refuse_foreign(session, path)
    if record := shown.get("redaction_of"):
        raise Refused(
            "The report is itself a redaction.",
            code="not-a-redaction",
            hint=f"Make its next version from the full one: tocsin report redact {record}",
        )
    return shown, session.client.raw("GET", path, accept=STIX)


def _asked(
    record: Mapping[str, Any],
    held: bytes,
    tlp: str | None,
    drop: tuple[str, ...],
    replace: tuple[str, ...],
    personal_data: str | None,
) -> Asked:
    from tocsin_schema.ids import projected_incident_id
    from tocsin_schema.marking import Tlp

    texts = {}
    for each in replace:
        place, equals, text = each.partition("=")
        if not equals:
            raise UsageFault(
                f"{each!r} is not PATH=TEXT.", hint="Write it like --replace 'title=A call was missed'."
            )
        texts[place] = text
    clearance = Tlp(tlp) if tlp else _clearance(record, held)
    over = {each["id"] for each in redactions_in(record) if each.get("state") == "withdrawn"}
    ids = (projected_incident_id(str(record["id"]), clearance.value, nth) for nth in count(1))
    nth = next(nth for nth, each in enumerate(ids, 1) if each not in over)
    asked = {"clearance": clearance, "drop": drop, "replace": texts, "personal_data": personal_data}
    return {**asked, "nth": nth}


def _clearance(record: Mapping[str, Any], held: bytes) -> "Marking":
    """Without --tlp: that of the redaction that stands, else that of the record. Raises: UsageFault for several."""
    from tocsin_schema.check import check_bundle
    from tocsin_schema.marking import Tlp

    standing = standing_in(record)
    if len(standing) > 1:
        found = "; ".join(again(str(record["id"]), each) for each in standing)
        raise UsageFault("It has several redactions; say which with --tlp.", hint=found)
    if standing:
        return Tlp(standing[0]["clearance"])
    own = check_bundle(held).report
    return own.tlp if own else Tlp.RED


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


def _before(session: Session, record: Mapping[str, Any], done: "Projection") -> bytes | None:
    """The version that stands and that this one follows; None: it is the first."""
    others = [each for each in standing_in(record) if each["id"] != done.id]
    for each in others:
        session.out.say(f"{each['id']} at TLP:{str(each.get('tlp')).upper()} stands too and is not changed.")
    if all(each["id"] != done.id for each in standing_in(record)):
        return None
    return session.client.raw("GET", f"/v1/reports/{segment(done.id)}", accept=STIX)


def _warn_new(session: Session, before: bytes | None, done: "Projection") -> list[str]:
    """Say and return in what it goes beyond the version before: what was left out then has to be left out again."""
    from tocsin_schema import place
    from tocsin_schema.errors import SchemaError
    from tocsin_schema.stix import to_form

    try:
        said, says = (dict(place.leaves(to_form(raw))) for raw in (before or done.raw, done.raw))
    except SchemaError:
        return []
    new = [place.written(where) for where, value in says.items() if said.get(where) != value]
    if new:
        session.out.warn(
            f"The version before did not say, or said otherwise: {', '.join(new)}. "
            "What you left out or replaced then is left out or replaced only if you say it again."
        )
    elif before is not None and said == says:
        session.out.say("It says the same as the version that is shared already.")
    return new


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


def _refuse_suspected(tried: Answer) -> None:
    """Raises: FindingsFound. A yes given beforehand is to a redaction, not to what was overlooked in it."""
    found = [each for each in tried.get("findings") or [] if str(each.get("code", "")).endswith("-suspected")]
    if found:
        raise FindingsFound(
            [{**each, "hint": ""} for each in found],
            message="What would leave seems to hold personal data or secrets still; nothing is sent.",
            hint="Leave it out with --drop or --replace; or look at it and say yes when asked (without --yes); or say "
            "who has looked and takes it on: --reviewed-by NAME.",
        )


def _refuse_more(more: Sequence[str]) -> None:
    """Raises: CliError. A yes given beforehand is not to what the version before kept back."""
    if more:
        raise CliError(
            f"It would say what the version before did not: {', '.join(more)}. Nothing is sent.",
            code="says-more",
            hint="Leave it out again with --drop or --replace; or look at it and say yes when asked (without --yes); "
            "or say who has looked and takes it on: --reviewed-by NAME.",
        )


def _removed(done: "Projection") -> list[dict[str, str]]:
    from tocsin_schema.redaction import WHY

    return [{"what": each.where, "why": WHY[each.why]} for each in done.removed]


def _confirmed(session: Session, tried: Answer) -> bool:
    whom = ", ".join(names(tried.get("to"))) or "nobody: it would be filed here and go nowhere"
    return Asker(session.out, instead=GIVE_YES).yes(f"Send exactly this to {whom}?", default=False)
