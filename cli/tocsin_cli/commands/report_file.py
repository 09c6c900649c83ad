"""`tocsin report new` and `tocsin report submit`: from words to a report at the node."""

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from tocsin_cli import editor, handin
from tocsin_cli.ask import Asker
from tocsin_cli.command import Command
from tocsin_cli.commands.report_told import (
    audience_lines,
    severity_line,
    tell_answer,
    tell_warnings,
    warn_not_sent,
)
from tocsin_cli.durable import write_durably
from tocsin_cli.errors import (
    AudienceEmpty,
    CliError,
    FindingsFound,
    Interrupted,
    Kept,
    Unreachable,
    UsageFault,
)
from tocsin_cli.filing import Answer, Audience, file_report, new_id, preview, waiting_for
from tocsin_cli.guide import Guide
from tocsin_cli.output import findings_text
from tocsin_cli.queue import Waiting
from tocsin_cli.session import Session, pass_session
from tocsin_cli.wording import RED_STAYS_HERE

_DRIVER = re.compile(r"(\S+): level (\d) \((.+)\)")
_ID = re.compile(r"incident--[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def audience_of(to: tuple[str, ...], *, no_share: bool) -> Audience:
    """Return who was asked for; raise UsageFault when nobody and somebody were."""
    if to and no_share:
        raise UsageFault("--to and --no-share contradict each other.", hint="Take one of them away.")
    return Audience(to or None, not no_share)


# new ---------------------------------------------------------------------------------------------------


@click.command("new", cls=Command)
@click.option("--to", multiple=True, metavar="NAME", help="Send to this peer only; may be repeated.")
@click.option("--no-share", is_flag=True, help="Keep it at your own node.")
@click.option("--draft", "draft_file", metavar="FILE", help="Go on with an interrupted report.")
@pass_session
def new(session: Session, to: tuple[str, ...], no_share: bool, draft_file: str | None) -> None:
    """File a report, guided, in under a minute.

    Asks what happened, how bad it is and who may know; shows the computed grade and who would get the report;
    sends it when you say so. Every answer is saved at once: Ctrl-C loses nothing. Answers may come from a
    pipe.
    """
    audience = audience_of(to, no_share=no_share)
    url = session.client.url  # a wrong setting is told before anything is asked
    report_id, form = handin.read_draft(Path(draft_file)) if draft_file else (new_id(), {})
    path = Path(draft_file) if draft_file else session.state / "drafts" / f"{report_id}.json"
    ask = Asker(session.out)
    again = f"Go on with: tocsin report new --draft {path}"

    def save(values: dict[str, Any]) -> None:
        write_durably(path, handin.draft_text(report_id, values))

    try:
        form = Guide(ask, form, save, now=datetime.now().astimezone()).run()
        save(form)
        audience = _audience_for_red(session, ask, form, audience)
        item = waiting_for(handin.checked_form(form), audience, url=url, report_id=report_id)
        reachable = _show_before_sending(session, item)
        question = (
            "Send it now?" if reachable else "The node does not answer. Keep it here and send it later?"
        )
        if not ask.yes(question, default=True):
            session.out.warn(f"Nothing is sent. The draft is kept. {again}")
            return
        source = handin.Source(handin.draft_text(report_id, form), path, "editor")
        answer = file_report(session.client, session.queue, item, source)
    except (KeyboardInterrupt, click.Abort) as exc:
        raise Interrupted(hint=f"Your answers are kept. {again}") from exc
    except (Kept, Interrupted):
        raise
    except FindingsFound as exc:
        raise FindingsFound(exc.findings, str(exc), hint=handin.kept_hint(str(path)), kept=str(path)) from exc
    except CliError as exc:
        exc.hint = f"{exc.hint} Your answers are kept. {again}".strip()
        raise
    _tell_filed(session, answer, audience)


def _audience_for_red(session: Session, ask: Asker, form: dict[str, Any], audience: Audience) -> Audience:
    if form.get("tlp") != "red" or audience.to is not None or not audience.share:
        return audience
    session.out.warn(RED_STAYS_HERE)
    named = ask.text("Which peers may have it? Names, apart by commas (empty: nobody):")
    names = tuple(name for part in named.split(",") if (name := part.strip()))
    return Audience(names or None, bool(names))


def refuse_red_to_nobody(tlp: object, audience: Audience) -> None:
    """Raise AudienceEmpty when a RED report names nobody and was not meant to stay."""
    if tlp == "red" and audience.to is None and audience.share:
        raise AudienceEmpty(RED_STAYS_HERE)


def _show_before_sending(session: Session, item: Waiting) -> bool:
    """Show grade, drivers and audience; False when the node cannot say and only the grade is known."""
    out = session.out
    try:
        answer = preview(session.client, item)
    except Unreachable:
        from tocsin_schema.severity import assess

        severity = assess(item.form or {})
        out.warn(
            f"\nComputed: grade {severity.grade}, level {severity.level} of 5, score {severity.score} of 100"
        )
        for driver in severity.drivers:
            out.warn(f"  because of {driver}")
        _say_what_differs(session, item, severity.drivers)
        return False
    out.warn(f"\nComputed: {severity_line(answer)}")
    for driver in answer.get("drivers") or []:
        out.warn(f"  because of {driver}")
    _say_what_differs(session, item, answer.get("drivers") or [])
    for label, value in audience_lines(answer, dry_run=True):
        out.warn(f"{label}: {value}")
    tell_warnings(out, answer)
    return True


def _say_what_differs(session: Session, item: Waiting, drivers: Sequence[object]) -> None:
    """Say where the facts make a harm graver than the person did."""
    harms = (item.form or {}).get("harms") or []
    said = {harm.get("harm_type"): harm.get("level") for harm in harms if isinstance(harm, dict)}
    for driver in drivers:
        found = _DRIVER.fullmatch(str(driver))
        level = said.get(found[1]) if found else None
        if found and isinstance(level, int) and level < int(found[2]):
            session.out.warn(f"  You said level {level}; {found[3]} makes it {found[2]}.")


# submit ------------------------------------------------------------------------------------------------


@click.command("submit", cls=Command)
@click.option("--file", "file", metavar="FILE", help="A form (TOML or JSON) or a STIX bundle; - is stdin.")
@click.option(
    "--editor", "use_editor", is_flag=True, help="Write it in your editor, from a commented template."
)
@click.option("--to", multiple=True, metavar="NAME", help="Send to this peer only; may be repeated.")
@click.option("--no-share", is_flag=True, help="Keep it at your own node.")
@click.option("--dry-run", is_flag=True, help="Show who would get what; store and send nothing.")
@click.option("--id", "report_id", hidden=True, help="The id to file a form under.")
@pass_session
def submit(
    session: Session,
    file: str | None,
    use_editor: bool,
    to: tuple[str, ...],
    no_share: bool,
    dry_run: bool,
    report_id: str | None,
) -> None:
    """File a report from a file, a pipe or your editor.

    All findings are listed at once, and the text is kept. When the node cannot be reached, the report is kept
    here (exit code 3) and sent with `tocsin report flush`.
    """
    audience = audience_of(to, no_share=no_share)
    if report_id is not None and not _ID.fullmatch(report_id):
        raise UsageFault("An id is incident-- and a UUID.")
    if not file and not use_editor:
        raise UsageFault("Nothing to file.", hint="Give --file FILE, --file - for stdin, or --editor.")
    url = session.client.url
    handed, source = _write(session, file) if use_editor else _read(session, file or "-")
    if handed.warnings:
        session.out.say("Worth a look, but no hindrance:\n" + findings_text(handed.warnings))
    item = waiting_for(handed, audience, url=url, report_id=report_id)
    try:
        refuse_red_to_nobody(tlp_of(handed), audience)
        if dry_run:
            tried = preview(session.client, item)
            tell_answer(session.out, tried, dry_run=True)
            warn_not_sent(session.out, tried, to=to)
            if kept := source.tried():
                session.out.next_step(f"tocsin report submit --file {kept}")
            return
        answer = file_report(session.client, session.queue, item, source)
    except FindingsFound as exc:
        kept = str(source.path)
        raise FindingsFound(exc.findings, str(exc), hint=handin.kept_hint(kept), kept=kept) from exc
    except (Kept, Interrupted):
        raise
    except CliError as exc:
        if source.draft:
            exc.hint = f"{exc.hint} The text is kept in {source.path}.".strip()
        raise
    _tell_filed(session, answer, audience)


def tlp_of(handed: handin.Form | handin.Bundle) -> object:
    """The marking that the report carries."""
    return handed.report.tlp if isinstance(handed, handin.Bundle) else handed.values.get("tlp")


def _read(session: Session, name: str) -> tuple[handin.Form | handin.Bundle, handin.Source]:
    source = handin.read_source(name, state=session.state)
    return handin.understand(source), source


def _write(session: Session, file: str | None) -> tuple[handin.Form | handin.Bundle, handin.Source]:
    """Let the person write, again and again while there are findings and somebody to ask."""
    from tocsin_schema.template import form_template

    template = handin.read_source(file, state=session.state).raw if file else form_template().encode()
    path = handin.draft_path(session.state, "report", ".toml")
    write_durably(path, template)
    while True:
        editor.edit(path)
        source = handin.Source(path.read_bytes(), path, "editor")
        if not file and source.raw.strip() == template.strip():
            path.unlink()
            raise UsageFault("Nothing was written; nothing is sent.", code="nothing-written")
        try:
            return handin.understand(source), source
        except FindingsFound as exc:
            if not session.interactive:
                raise
            session.out.warn("There are findings:\n" + findings_text(exc.findings))
            if not Asker(session.out).yes("Open the editor again?", default=True):
                raise
            text = source.raw.decode("utf-8", "replace")
            if not text.lstrip().startswith("{"):
                write_durably(path, editor.annotate(text, findings_text(exc.findings)).encode())


def _tell_filed(session: Session, answer: Answer, audience: Audience) -> None:
    tell_answer(session.out, answer)
    warn_not_sent(session.out, answer, to=audience.to or ())
    session.out.next_step(f"tocsin report show {answer['id']}")
