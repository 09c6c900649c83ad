"""Duplicates: which reports may tell of the same event as one, why, and what a person decided.

The node suggests and never merges. It compares with a bounded number of reports: those that share the rarest words,
a system, a party or a source. What was decided is kept and stays here. That an own report is a duplicate is also told
in a new version of it, which the command line makes, if everybody who has it may know of the other: `telling`.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from tocsin_node.errors import NodeError
from tocsin_node.services.naming import never_sent
from tocsin_node.services.report_refusals import FindingsRefused, ReportUnknown
from tocsin_node.storage import likeness, reports
from tocsin_node.storage.likeness import Decision, Verdict
from tocsin_node.storage.pool import Connection, Pool
from tocsin_node.storage.reports import Held, StoredReport
from tocsin_schema.check import check_bundle
from tocsin_schema.likeness import LIKELY, Likeness, Rarity, Traits, compare, traits_of
from tocsin_schema.marking import Tlp
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


class DecisionUnknown(NodeError):
    """Nothing was decided about the two reports."""

    code = "decision-unknown"
    hint = "`tocsin report duplicates ID` shows what was decided about a report."


@dataclass(frozen=True, slots=True)
class Telling:
    """Whether a new version of the report may name the other; else why not, and who was never sent the other."""

    may: bool
    why: Literal["not-ours", "withdrawn", "nobody-has-it", "marked-stricter", "never-sent"] | None = None
    never_sent: tuple[str, ...] = ()


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

    def __init__(self, pool: Pool, *, node_id: str, name_of: Callable[[str], str]) -> None:
        self._pool = pool
        self._node_id = node_id
        self._name_of = name_of
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
        async with self._pool.transaction() as conn:
            await _both(conn, report_id, other_id)
            await likeness.decide(conn, report_id, other_id, verdict, by=by, reason=reason)
            decisions = await likeness.decided(conn, report_id)
        return next(each for each in decisions if other_id in {each.report_id, each.other_id})

    async def undo(self, report_id: str, other_id: str) -> Decision:
        """Forget what was decided about two reports. Raises: DecisionUnknown."""
        async with self._pool.acquire() as conn:
            decision = await likeness.undo(conn, report_id, other_id)
        if decision is None:
            raise DecisionUnknown
        return decision

    async def telling(self, report_id: str, other_id: str) -> Telling:
        """Whether a new version of the report may name the other as its duplicate: all its readers must know of that.

        Raises: ReportItself, ReportUnknown.
        """
        async with self._pool.acquire() as conn:
            report, other = await _both(conn, report_id, other_id)
            unknown = await never_sent(conn, self._node_id, [other_id], report.audience)
        if report.origin != self._node_id:
            return Telling(False, "not-ours")
        if report.state == "withdrawn":
            return Telling(False, "withdrawn")
        if not report.audience:
            return Telling(False, "nobody-has-it")
        if Tlp(other.tlp).rank > Tlp(report.tlp).rank:
            return Telling(False, "marked-stricter")
        names = tuple(map(self._name_of, unknown.get(other_id, ())))
        return Telling(not names, "never-sent" if names else None, names)

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


async def _both(conn: Connection, report_id: str, other_id: str) -> tuple[Held, Held]:
    """What is held under two ids. Raises: ReportItself, ReportUnknown."""
    if report_id == other_id:
        raise ReportItself
    held = await reports.held(conn, [report_id, other_id])
    for each in (report_id, other_id):
        if each not in held:
            raise ReportUnknown(f"There is no report {each} here.")
    return held[report_id], held[other_id]


def _compared(traits: Traits, found: Mapping[str, bytes], rarity: Rarity) -> dict[str, Likeness]:
    checked = (check_bundle(raw).report for raw in found.values())
    return {other.id: compare(traits, traits_of(other), rarity) for other in checked if other is not None}


def _suggestion(report: StoredReport, like: Likeness | None, decision: Decision | None) -> Suggestion:
    score, reasons = (like.score, like.reasons) if like is not None else (0, ())
    return Suggestion(report, score, reasons, score >= LIKELY and decision is None, decision)
