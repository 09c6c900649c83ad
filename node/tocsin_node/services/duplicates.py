"""Duplicates: which reports may tell of the same event as one, why, and what a person decided.

The node suggests and never merges. It compares with a bounded number of reports: those that share the rarest words,
a system, a party or a source. What was decided is kept and stays here; that an own report is a duplicate is also told
in a new version of it, which the command line makes.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass

from tocsin_node.errors import NodeError
from tocsin_node.services.reporting import FindingsRefused, ReportUnknown
from tocsin_node.storage import likeness, reports
from tocsin_node.storage.likeness import Decision, Verdict
from tocsin_node.storage.pool import Connection, Pool
from tocsin_node.storage.reports import StoredReport
from tocsin_schema.check import check_bundle
from tocsin_schema.likeness import LIKELY, Likeness, Rarity, Traits, compare, traits_of
from tocsin_schema.report import IncidentReport

WORDS = 40
COMPARED = 60
SHOWN = 5
LEAST = 25  # what is less like is no suggestion
KEEP_RARITY_S = 300.0


class ReportItself(NodeError):
    """A report is no duplicate of itself."""

    code = "report-itself"
    hint = "Name two reports."


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A report that may tell of the same event. `likely`: worth a look; `decision`: what was said of both."""

    report: StoredReport
    score: int
    reasons: tuple[str, ...]
    likely: bool
    decision: Decision | None


class Duplicates:
    """Suggestions and decisions."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._rarity: tuple[float, Rarity] | None = None

    async def of(self, report_id: str) -> list[Suggestion]:
        """What is like a stored report, the likest first, and everything that was decided about it.

        Raises: ReportUnknown.
        """
        async with self._pool.acquire() as conn:
            stored = await reports.get(conn, report_id)
        if stored is None:
            raise ReportUnknown
        report = check_bundle(stored.bundle).report
        return [] if report is None else await self._suggest(report)

    async def of_bundle(self, raw: bytes) -> list[Suggestion]:
        """What is like a report that is not stored; nothing is kept of it.

        Raises: FindingsRefused.
        """
        checked = check_bundle(raw)
        if checked.report is None:
            raise FindingsRefused(checked.findings)
        return await self._suggest(checked.report)

    async def decide(
        self, report_id: str, other_id: str, verdict: Verdict, *, by: str, reason: str | None
    ) -> Decision:
        """Keep what a person says about two reports that are here.

        Raises: ReportItself, ReportUnknown.
        """
        if report_id == other_id:
            raise ReportItself
        async with self._pool.transaction() as conn:
            held = await reports.held(conn, [report_id, other_id])
            missing = [each for each in (report_id, other_id) if each not in held]
            if missing:
                raise ReportUnknown(f"There is no report {missing[0]} here.")
            await likeness.decide(conn, report_id, other_id, verdict, by=by, reason=reason)
            decisions = await likeness.decided(conn, report_id)
        return next(each for each in decisions if other_id in {each.report_id, each.other_id})

    async def _suggest(self, report: IncidentReport) -> list[Suggestion]:
        traits = traits_of(report)
        async with self._pool.acquire() as conn:
            rarity = await self._seen(conn)
            keys = [key for kind in ("url", "product", "party") for key in sorted(traits.keys[kind])]
            words = rarity.telling(traits.words, WORDS)
            found = await likeness.candidates(conn, report.id, words, keys[:WORDS], COMPARED)
            decisions = {
                (each.other_id if each.report_id == report.id else each.report_id): each
                for each in await likeness.decided(conn, report.id)
            }
        likes = await asyncio.to_thread(_compared, traits, found, rarity)
        best = sorted(likes, key=lambda each: (-likes[each].score, each))
        kept = [each for each in best if likes[each].score >= LEAST and each not in decisions][:SHOWN]
        async with self._pool.acquire() as conn:
            stored = [await reports.get(conn, each) for each in (*decisions, *kept)]
        return [
            _suggestion(each, likes.get(each.id), decisions.get(each.id))
            for each in stored
            if each is not None
        ]

    async def _seen(self, conn: Connection) -> Rarity:
        """How rare words are; counted anew after some minutes, and at any change while there are few reports."""
        now = time.monotonic()
        kept = self._rarity
        if kept is not None and now - kept[0] < KEEP_RARITY_S:
            settled = kept[1].total == likeness.SAMPLE
            if settled or await likeness.sampled(conn) == kept[1].total:
                return kept[1]
        rarity = Rarity(*await likeness.seen(conn))
        self._rarity = (now, rarity)
        return rarity


def _compared(traits: Traits, found: Mapping[str, bytes], rarity: Rarity) -> dict[str, Likeness]:
    checked = (check_bundle(raw).report for raw in found.values())
    return {other.id: compare(traits, traits_of(other), rarity) for other in checked if other is not None}


def _suggestion(report: StoredReport, like: Likeness | None, decision: Decision | None) -> Suggestion:
    score, reasons = (like.score, like.reasons) if like is not None else (0, ())
    return Suggestion(report, score, reasons, score >= LIKELY and decision is None, decision)
