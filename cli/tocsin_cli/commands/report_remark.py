"""`tocsin report sight`, `opinion`, `retract` and `remarks`: what we say about a report, and what others say.

Each run makes the remark in the node's name, as the next version of what the node said before of that kind, so that
saying it again replaces it. A remark is not queued: when the node is away, say it again later.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from tocsin_cli.client import STIX, segment
from tocsin_cli.command import Command
from tocsin_cli.commands.remark_told import says, who
from tocsin_cli.commands.report_read import ReportId
from tocsin_cli.commands.report_told import audience_lines, warn_not_sent
from tocsin_cli.errors import AnswerBroken, CliError, FindingsFound, UsageFault
from tocsin_cli.filing import Answer, member, post
from tocsin_cli.listing import listed
from tocsin_cli.plain import local_time
from tocsin_cli.session import Session, pass_session
from tocsin_cli.words import When

if TYPE_CHECKING:
    from tocsin_schema.remark import Remark
    from tocsin_schema.report import IncidentReport

KINDS = ("sighting", "opinion", "exposure")
EXPOSURES = ("affected", "not-affected", "investigating")
STEPS = ("strongly-agree", "agree", "neutral", "disagree", "strongly-disagree")
_HEADINGS = {"stored": "Said", "unchanged": "Said before, unchanged", "dry-run": "Not said, only tried"}
Make = Callable[["IncidentReport", Mapping[str, Any], datetime, "Remark | None"], bytes]


_NOTE = click.option("--note", metavar="TEXT", default="", help="In your own words; up to 2,000 characters.")
_TO = click.option(
    "--to",
    multiple=True,
    metavar="NAME",
    help="To this peer alone, and to whoever was told before; may be repeated.",
)
_DRY = click.option("--dry-run", is_flag=True, help="Show who would get it; store and send nothing.")


@click.command("sight", cls=Command)
@click.argument("report_id", metavar="ID", type=ReportId())
@click.option(
    "--count",
    type=click.IntRange(1, 999_999_999),
    metavar="N",
    default=1,
    show_default=True,
    help="How often you saw it.",
)
@click.option("--first-seen", type=When(), metavar="TIME", help="When you saw it first.")
@click.option("--last-seen", type=When(), metavar="TIME", help="When you saw it last.")
@_NOTE
@_TO
@_DRY
@pass_session
def sight(
    session: Session,
    report_id: str,
    count: int,
    first_seen: datetime | None,
    last_seen: datetime | None,
    note: str,
    to: tuple[str, ...],
    dry_run: bool,
) -> None:
    """Say that you see this too, how often and when.

    It goes to the organisation that filed the report; about a report of your own, to everybody who has it
    from you. Saying it again replaces what you said.
    """
    from tocsin_schema.remarks import sighting

    def make(
        report: "IncidentReport", producer: Mapping[str, Any], now: datetime, before: "Remark | None"
    ) -> bytes:
        return sighting(
            report,
            producer=producer,
            now=now,
            count=count,
            first_seen=first_seen,
            last_seen=last_seen,
            text=note,
            before=before,
        )

    _say(session, report_id, "sighting", make, to=to, dry_run=dry_run)


def _said_options(function: Callable[..., None]) -> Callable[..., None]:
    """One flag a word; two of them are seen and refused, not silently the last one taken."""
    helps = {
        "affected": "The same happens to you, or can.",
        "not-affected": "You have looked: it does not concern you.",
        "investigating": "You do not know yet and are looking.",
        "strongly-agree": "You can confirm the report.",
        "agree": "You see it so too.",
        "neutral": "You cannot say.",
        "disagree": "You see it otherwise.",
        "strongly-disagree": "The report is wrong.",
    }
    for word in reversed((*EXPOSURES, *STEPS)):
        add = click.option(f"--{word}", "said", flag_value=word, multiple=True, help=helps[word])
        function = add(function)
    return function


@click.command("opinion", cls=Command)
@click.argument("report_id", metavar="ID", type=ReportId())
@_said_options
@_NOTE
@_TO
@_DRY
@pass_session
def opinion(
    session: Session, report_id: str, said: tuple[str, ...], note: str, to: tuple[str, ...], dry_run: bool
) -> None:
    """Say whether you are affected, or how far you agree.

    These are two things: each replaces only what you said of its own kind. It goes to the organisation that
    filed the report; about a report of your own, to everybody who has it from you.
    """
    if len(said) != 1:
        raise UsageFault("Say one thing at a time: one of --affected … --strongly-disagree.")
    from tocsin_schema import remarks

    (word,) = said
    kind = "exposure" if word in EXPOSURES else "opinion"
    make_one = remarks.exposure if kind == "exposure" else remarks.opinion

    def make(
        report: "IncidentReport", producer: Mapping[str, Any], now: datetime, before: "Remark | None"
    ) -> bytes:
        return make_one(report, word, producer=producer, now=now, text=note, before=before)

    _say(session, report_id, kind, make, to=to, dry_run=dry_run)


@click.command("retract", cls=Command)
@click.argument("report_id", metavar="ID", type=ReportId())
@click.argument("kind", metavar="KIND", type=click.Choice(KINDS))
@_DRY
@pass_session
def retract(session: Session, report_id: str, kind: str, dry_run: bool) -> None:
    """Take back what you said about a report.

    KIND is sighting, opinion (how far you agree) or exposure (whether you are affected). Whoever was told is
    told this too; you may say something else afterwards.
    """
    from tocsin_schema.remarks import retract as retracted

    def make(_: "IncidentReport", __: Mapping[str, Any], now: datetime, before: "Remark | None") -> bytes:
        if before is None:
            raise CliError(
                f"You have said nothing of that kind about {report_id}.",
                code="nothing-said",
                hint=f"See: tocsin report remarks {report_id}",
            )
        return retracted(before.raw, now=now)

    _say(session, report_id, kind, make, to=(), dry_run=dry_run)


@click.command("remarks", cls=Command)
@click.argument("report_id", metavar="ID", type=ReportId())
@pass_session
def remarks_(session: Session, report_id: str) -> None:
    """List what everybody says about a report, oldest first."""
    found = session.client.json("GET", f"/v1/reports/{segment(report_id)}/remarks")
    items = listed(session, found, nothing="Nobody has said anything about it.")
    if not items:
        return
    rows = [[who(one), says(one), local_time(one.get("modified")), one.get("text") or ""] for one in items]
    session.out.table(["who", "says", "when", "in words"], rows)


def _say(
    session: Session, report_id: str, kind: str, make: Make, *, to: Sequence[str], dry_run: bool
) -> None:
    """Make a remark as the next version of what stands, hand it to the node, and tell what became of it."""
    from tocsin_schema.errors import ReportRefused, SchemaError

    client, path = session.client, f"/v1/reports/{segment(report_id)}"
    report = _report(client.raw("GET", path, accept=STIX))
    producer = member(client.json("GET", "/v1/node"), "identity")
    before = _standing(member(client.json("GET", f"{path}/remarks"), "items"), kind)
    try:
        bundle = make(report, producer, datetime.now(UTC), before)
    except ReportRefused as exc:
        from tocsin_cli.handin import finding_dicts

        raise FindingsFound(finding_dicts(exc.findings)) from exc
    except SchemaError as exc:
        raise CliError(str(exc), code=exc.code, hint=exc.hint) from exc
    query = [("to", name) for name in to] + ([("dry_run", "1")] if dry_run else [])
    answer = post(client, "POST", f"{path}/remarks", bundle, query)
    _tell(session, answer, report_id)
    warn_not_sent(session.out, answer, to=to)


def _report(raw: bytes) -> "IncidentReport":
    from tocsin_schema.check import check_bundle

    report = check_bundle(raw).report
    if report is None:
        raise AnswerBroken("What the node holds under this id is no sound report.")
    return report


def _standing(items: Sequence[Mapping[str, Any]], kind: str) -> "Remark | None":
    """What the node said before of that kind; its bundle is canonical, so its bytes can be written again."""
    from tocsin_schema import canonical
    from tocsin_schema.remark import check_remark

    for one in items:
        if (one.get("by") or {}).get("ours") and one.get("kind") == kind:
            return check_remark(canonical.to_bytes(one.get("bundle"))).remark
    return None


def _tell(session: Session, answer: Answer, report_id: str) -> None:
    out = session.out
    if out.as_json:
        out.document(answer)
        return
    outcome = str(answer.get("outcome"))
    what = str(answer.get("said") or "seen")
    if answer.get("revoked"):
        what = f"{answer.get('kind')}, taken back"
    pairs: list[tuple[str, object]] = [(_HEADINGS.get(outcome, outcome), f"{what}, on {report_id}")]
    pairs.append(("Marked", f"TLP:{str(answer.get('tlp', '?')).upper()}, as the report is"))
    near = [each for each in answer.get("withheld") or [] if each.get("code") != "not-recipient"]
    pairs += audience_lines({**answer, "withheld": near}, dry_run=outcome == "dry-run")
    if isinstance(entry := answer.get("entry"), Mapping):
        pairs.append(("Log entry", entry.get("index")))
    out.facts(pairs)
    if outcome == "stored":
        out.next_step(f"tocsin report remarks {report_id}")
