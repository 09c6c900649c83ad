"""`tocsin report new` and `tocsin report submit`: from words to a report at the node."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from tocsin_cli import editor, handin
from tocsin_cli.ask import Asker
from tocsin_cli.command import Command
from tocsin_cli.commands.report_duplicates import warn_of_likely, warn_of_likely_before
from tocsin_cli.commands.report_told import (
    audience_lines,
    refuse_as_tried,
    severity_line,
    tell_answer,
    tell_tried,
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
from tocsin_cli.suspects import NAMES_ARE_NOT_FOUND, STAYS, suspected, warn_suspected
from tocsin_cli.wording import RED_STAYS_HERE

_DRIVER = re.compile(r"(\S+): level (\d) \((.+)\)")
_ID = re.compile(r"incident--[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


reviewed_by_option = click.option(
    "--reviewed-by",
    metavar="NAME",
    help="Who has looked for personal data and secrets and takes it on that this leaves.",
)
full_option = click.option("--full", is_flag=True, help="With --dry-run: the bytes that would leave, too.")


circle_option = click.option("--circle", metavar="NAME", help="Send to the members of this circle.")


def audience_of(
    to: tuple[str, ...], *, no_share: bool, reviewed_by: str | None = None, circle: str | None = None
) -> Audience:
    """Return who was asked for; raise UsageFault when nobody and somebody were."""
    if circle is not None and (to or no_share):
        raise UsageFault(
            "--circle stands alone, without --to and --no-share.",
            hint="Send it to the circle, then to others: tocsin report share ID --to NAME",
        )
    if to and no_share:
        raise UsageFault("--to and --no-share contradict each other.", hint="Take one of them away.")
    return Audience(to or None, not no_share, reviewed_by, circle)


# new ---------------------------------------------------------------------------------------------------


@click.command("new", cls=Command)
@click.option("--to", multiple=True, metavar="NAME", help="Send to this peer only; may be repeated.")
@click.option("--no-share", is_flag=True, help="Keep it at your own node.")
@circle_option
@click.option("--draft", "draft_file", metavar="FILE", help="Go on with an interrupted report.")
@reviewed_by_option
@pass_session
def new(
    session: Session,
    to: tuple[str, ...],
    no_share: bool,
    circle: str | None,
    draft_file: str | None,
    reviewed_by: str | None,
) -> None:
    """File a report, guided, in under a minute.

    Asks what happened, how bad it is and who may know; shows the computed grade and who would get the report;
    sends it when you say so. Every answer is saved at once: Ctrl-C loses nothing. Answers may come from a
    pipe.
    """
    audience = audience_of(to, no_share=no_share, reviewed_by=reviewed_by, circle=circle)
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
        handed = handin.checked_form(form)
        item = waiting_for(handed, audience, url=url, report_id=report_id)
        answer = _show_before_sending(session, item)
        reachable = answer is not None
        if (answer or {}).get("review_needed"):
            audience = _audience_for_suspected(session, ask, audience)
            item = waiting_for(handed, audience, url=url, report_id=report_id)
        question = (
            "Send it now?" if reachable else "The node does not answer. Keep it here and send it later?"
        )
        if not ask.yes(question, default=True):
            session.out.warn(f"Nothing is sent. The draft is kept. {again}")
            return
        source = handin.Source(handin.draft_text(report_id, form), path, "editor")
        filed = file_report(session.client, session.queue, item, source)
    except (KeyboardInterrupt, click.Abort) as exc:
        raise Interrupted(hint=f"Your answers are kept. {again}") from exc
    except (Kept, Interrupted):
        raise
    except FindingsFound as exc:
        raise with_text_kept(exc, str(path)) from exc
    except CliError as exc:
        exc.hint = f"{exc.hint} Your answers are kept. {again}".strip()
        raise
    _tell_filed(session, filed, audience, handed)


def with_text_kept(exc: FindingsFound, kept: str) -> FindingsFound:
    """The same findings, with the advice that goes with them and where the text is kept."""
    advice = exc.hint if exc.code != FindingsFound.code else ""
    hint = f"{advice} {handin.kept_hint(kept)}".strip()
    return FindingsFound(exc.findings, str(exc), code=exc.code, hint=hint, kept=kept)


def _audience_for_suspected(session: Session, ask: Asker, audience: Audience) -> Audience:
    """Ask who takes it on that the report leaves; nobody: it stays here."""
    session.out.warn(NAMES_ARE_NOT_FOUND)
    name = ask.text("Who has looked and takes it on that this leaves? A name (empty: it stays at your node):")
    if not name:
        return Audience(None, share=False)
    return replace(audience, reviewed_by=name)


def _audience_for_red(session: Session, ask: Asker, form: dict[str, Any], audience: Audience) -> Audience:
    if form.get("tlp") != "red" or audience.to is not None or not audience.share:
        return audience
    session.out.warn(RED_STAYS_HERE)
    named = ask.text("Which peers may have it? Names, apart by commas (empty: nobody):")
    names = tuple(name for part in named.split(",") if (name := part.strip()))
    return Audience(names or None, bool(names), audience.reviewed_by)


def refuse_red_to_nobody(tlp: object, audience: Audience) -> None:
    """Raise AudienceEmpty when a RED report names nobody and was not meant to stay."""
    if tlp == "red" and audience.to is None and audience.share:
        raise AudienceEmpty(RED_STAYS_HERE)


def _show_before_sending(session: Session, item: Waiting) -> Answer | None:
    """Show grade, drivers and audience; None when the node cannot say and only the grade is known."""
    out = session.out
    try:
        answer, _ = preview(session.client, item)
    except Unreachable:
        from tocsin_schema.severity import assess

        severity = assess(item.form or {})
        out.warn(
            f"\nComputed: grade {severity.grade}, level {severity.level} of 5, score {severity.score} of 100"
        )
        for driver in severity.drivers:
            out.warn(f"  because of {driver}")
        _say_what_differs(session, item, severity.drivers)
        warn_suspected(out, handin.Form(item.form or {}))
        return None
    out.warn(f"\nComputed: {severity_line(answer)}")
    for driver in answer.get("drivers") or []:
        out.warn(f"  because of {driver}")
    _say_what_differs(session, item, answer.get("drivers") or [])
    for label, value in audience_lines(answer, dry_run=True):
        out.warn(f"{label}: {value}")
    tell_warnings(out, answer)
    warn_of_likely_before(session, item)
    return answer


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
@circle_option
@click.option("--dry-run", is_flag=True, help="Show who would get what; store and send nothing.")
@full_option
@reviewed_by_option
@click.option("--id", "report_id", hidden=True, help="The id to file a form under.")
@pass_session
def submit(
    session: Session,
    file: str | None,
    use_editor: bool,
    to: tuple[str, ...],
    no_share: bool,
    circle: str | None,
    dry_run: bool,
    full: bool,
    reviewed_by: str | None,
    report_id: str | None,
) -> None:
    """File a report from a file, a pipe or your editor.

    All findings are listed at once, and the text is kept. What seems to hold personal data or secrets is not sent
    until somebody has looked and is named. When the node cannot be reached, the report is kept
    here (exit code 3) and sent with `tocsin report flush`.
    """
    audience = audience_of(to, no_share=no_share, reviewed_by=reviewed_by, circle=circle)
    if report_id is not None and not _ID.fullmatch(report_id):
        raise UsageFault("An id is incident-- and a UUID.")
    if not file and not use_editor:
        raise UsageFault("Nothing to file.", hint="Give --file FILE, --file - for stdin, or --editor.")
    url = session.client.url
    asks = audience.share and reviewed_by is None
    handed, source = _write(session, file, asks=asks) if use_editor else _read(session, file or "-")
    if handed.warnings:
        session.out.say("Worth a look, but no hindrance:\n" + findings_text(handed.warnings))
    item = waiting_for(handed, audience, url=url, report_id=report_id)
    try:
        refuse_red_to_nobody(tlp_of(handed), audience)
        if dry_run:
            tried, bundle = preview(session.client, item)
            tell_tried(session.out, tried, bundle, full=full)
            warn_not_sent(session.out, tried, to=to)
            warn_of_likely_before(session, item)
            if kept := source.tried():
                session.out.next_step(f"tocsin report submit --file {kept}")
            refuse_as_tried(tried)
            return
        answer = file_report(session.client, session.queue, item, source)
    except FindingsFound as exc:
        raise with_text_kept(exc, str(source.path)) from exc
    except Kept:
        warn_suspected(session.out, handed)  # the node will look, but is away
        raise
    except Interrupted:
        raise
    except CliError as exc:
        if source.draft:
            exc.hint = f"{exc.hint} The text is kept in {source.path}.".strip()
        raise
    _tell_filed(session, answer, audience, handed)


def tlp_of(handed: handin.Form | handin.Bundle) -> object:
    """The marking that the report carries."""
    return handed.report.tlp if isinstance(handed, handin.Bundle) else handed.values.get("tlp")


def _read(session: Session, name: str) -> tuple[handin.Form | handin.Bundle, handin.Source]:
    source = handin.read_source(name, state=session.state)
    return handin.understand(source), source


def _write(
    session: Session, file: str | None, *, asks: bool
) -> tuple[handin.Form | handin.Bundle, handin.Source]:
    """Let the person write, again and again while there are findings and somebody to ask.

    `asks`: what seems to be personal data or a secret is a reason to write again, too.
    """
    from tocsin_schema.template import form_template

    template = handin.read_source(file, state=session.state).raw if file else form_template().encode()
    path = handin.draft_path(session.state, "report", ".toml")
    editor.begin(path, template)
    while True:
        source = handin.Source(path.read_bytes(), path, "editor")
        if not file and source.raw.strip() == template.strip():
            path.unlink()
            raise UsageFault("Nothing was written; nothing is sent.", code="nothing-written")
        try:
            handed = handin.understand(source)
            found = suspected(handed) if asks and session.interactive else []
            if not found:
                return handed, source
            session.out.warn("Personal data or secrets are suspected:\n" + findings_text(found))
            if not Asker(session.out).yes("Open the editor again?", default=True):
                return handed, source
            _write_again(path, source, found)
        except FindingsFound as exc:
            if not session.interactive:
                raise
            session.out.warn("There are findings:\n" + findings_text(exc.findings))
            if not Asker(session.out).yes("Open the editor again?", default=True):
                raise
            _write_again(path, source, exc.findings)


def _write_again(path: Path, source: handin.Source, found: list[dict[str, Any]]) -> None:
    text = source.raw.decode("utf-8", "replace")
    if not text.lstrip().startswith("{"):
        write_durably(path, editor.annotate(text, findings_text(found)).encode())
    editor.edit(path)


def _tell_filed(
    session: Session, answer: Answer, audience: Audience, handed: handin.Form | handin.Bundle
) -> None:
    tell_answer(session.out, answer)
    if not answer.get("to"):  # the node looks at what leaves
        warn_suspected(session.out, handed, much=STAYS)
    warn_not_sent(session.out, answer, to=audience.to or ())
    warn_of_likely(session, answer["id"])
    session.out.next_step(f"tocsin report show {answer['id']}")
