"""`tocsin report export authority`: a regime's form, filled from the record; what is missing is marked."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tocsin_cli.client import STIX, segment
from tocsin_cli.command import Command
from tocsin_cli.commands.report_read import ReportId
from tocsin_cli.errors import CliError, UsageFault
from tocsin_cli.filing import member
from tocsin_cli.placing import check_place, put
from tocsin_cli.session import Session, pass_session
from tocsin_cli.suspects import warn_suspected

if TYPE_CHECKING:
    from tocsin_schema.authority.document import Document
    from tocsin_schema.report import IncidentReport

_FORMATS = ("md", "html", "pdf")


@click.command("authority", cls=Command)
@click.argument("report_id", metavar="ID", type=ReportId())
@click.option(
    "--regime", metavar="REGIME", required=True, help="Which regime, such as eu-gdpr-33 (tocsin duty list)."
)
@click.option("--stage", metavar="STAGE", help="Which of its reports; else the first that is not done.")
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    default="md",
    show_default=True,
    help="How it is written.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="Write it there, for you alone (0600)."
)
@click.option("--force", is_flag=True, help="Overwrite the file.")
@pass_session
def authority(
    session: Session, report_id: str, regime: str, stage: str | None, form: str, out: Path | None, force: bool
) -> None:
    """Fill an authority's form from a report.

    Nothing is sent to anybody. What the record does not hold is marked MISSING, counted at the top and on
    stderr; what seems to be personal data or a secret is named there too, since the authority will read it. With
    --json: the filled form as data.
    """
    out = None if str(out) == "-" else out
    if form == "pdf" and out is None and not session.out.as_json and sys.stdout.isatty():
        raise UsageFault("A PDF is no text for a terminal.", hint="Name a file: --out FILE.")
    check_place(out, force=force)
    report = _report(session, report_id)
    document = _filled(session, report, regime, stage)
    if session.out.as_json:
        session.out.document(_as_json(document, regime))
    else:
        put(session.out, out, [_bytes(document, form)], force=force)
        if out is not None:
            session.out.say(f"Written to {out}.")
    warn_suspected(session.out, report.raw, much="; look whether the authority needs it")
    if document.missing:
        session.out.say(f"{len(document.missing)} items are missing:")
        for gap in document.missing:
            session.out.say(f"  {gap}")
        session.out.next_step(f"tocsin report update {report_id} --editor")


def _report(session: Session, report_id: str) -> "IncidentReport":
    from tocsin_schema.check import check_bundle

    report = check_bundle(session.client.raw("GET", f"/v1/reports/{segment(report_id)}", accept=STIX)).report
    if report is None:
        raise CliError("The node's report does not pass the check here.", code="answer-broken")
    return report


def _filled(session: Session, report: "IncidentReport", name: str, stage: str | None) -> "Document":
    from tocsin_schema.authority.document import fill_form, kept_of
    from tocsin_schema.errors import RegimeUnknown
    from tocsin_schema.regime import regimes

    try:
        regime = regimes().get(name)
        if stage is not None and regime.stage(stage) is None:
            names = ", ".join(one.id for one in regime.stages)
            raise UsageFault(f"{name} has no stage {stage!r}.", hint=f"There are: {names}.")
    except RegimeUnknown as exc:
        raise UsageFault(str(exc), code=exc.code, hint=exc.hint) from exc
    found = session.client.json("GET", "/v1/duties", query=[("report", report.id), ("limit", "500")])
    rows = [row for row in member(found, "items") if row.get("regime") == name]
    org = str(member(member(found, "organisation"), "name"))
    return fill_form(report, regime, stage, org=org, kept=kept_of(rows), now=datetime.now(UTC))


def _bytes(document: "Document", form: str) -> bytes:
    if form == "html":
        from tocsin_schema.authority.html import to_html

        return to_html(document).encode()
    if form == "pdf":
        from tocsin_schema.authority.pdf import to_pdf
        from tocsin_schema.errors import PdfUnavailable

        try:
            return to_pdf(document, at=datetime.now(UTC))
        except PdfUnavailable as exc:
            raise UsageFault(str(exc), code=exc.code, hint=exc.hint) from exc
    from tocsin_schema.authority.markdown import to_markdown

    return to_markdown(document).encode()


def _as_json(document: "Document", regime: str) -> Mapping[str, Any]:
    return {
        "regime": regime,
        "title": document.title,
        "warnings": list(document.warnings),
        "head": dict(document.head),
        "items": [
            {
                "id": one.id,
                "title": one.title,
                "lines": list(one.lines),
                "missing": one.missing,
                "note": one.note,
            }
            for one in document.entries
        ],
        "missing": list(document.missing),
        "notes": list(document.notes),
    }
