"""The last look at an own report before it is sealed to others: personal data and secrets.

Only what would leave is looked at, and only our own reports; what peers send has left already, and their intake
never comes here. What is suspected leaves only when a named person has taken it on, for this version or for an
earlier one in which the same things stood.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from tocsin_node.errors import NodeError
from tocsin_node.storage import reports, reviews
from tocsin_node.storage.pool import Connection, Pool
from tocsin_schema.finding import Finding
from tocsin_schema.report import IncidentReport
from tocsin_schema.suspicion import Suspicion, findings_of, suspicions

ASIDE_FROM_BYTES = 32_768  # from here on the look is taken beside the event loop
MOST_NAME = 200


class ReviewNeeded(NodeError):
    """The report seems to hold personal data or secrets, and nobody has taken it on that it leaves."""

    code = "review-needed"
    hint = (
        "Leave it out; or file it with --no-share and share a redacted version (`tocsin report redact ID`); or say who "
        "has looked and takes it on: --reviewed-by NAME."
    )

    def __init__(self, found: Sequence[Suspicion]) -> None:
        super().__init__(facts={"kinds": sorted({each.kind for each in found})})
        self.findings = findings_of(found)


class ReviewerUnnamed(NodeError):
    """Who has reviewed it must be a name of 1 to 200 characters."""

    code = "reviewer-unnamed"
    hint = "Give the name of the person who has looked and answers for it: --reviewed-by 'NAME'."


@dataclass(frozen=True, slots=True)
class Screened:
    """What a report seems to hold. `needed`: it would leave, and nobody has taken that on; `reviewed_by`: who has."""

    found: tuple[Suspicion, ...] = ()
    reviewed_by: str | None = None
    needed: bool = False

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The suspicions in the words of findings."""
        return findings_of(self.found)

    @property
    def kinds(self) -> tuple[str, ...]:
        """What kinds of things are suspected."""
        return tuple(sorted({each.kind for each in self.found}))

    def admit(self) -> "Screened":
        """Itself, when the report may leave. Raises: ReviewNeeded."""
        if self.needed:
            raise ReviewNeeded(self.found)
        return self

    async def record(self, conn: Connection, report_id: str, ver: int) -> None:
        """Keep the decision, inside the transaction that files the version."""
        assert self.reviewed_by is not None
        digests = [each.digest for each in self.found]
        await reviews.insert(
            conn, report_id, ver, reviewed_by=self.reviewed_by, kinds=self.kinds, found=digests
        )


NOTHING = Screened()


class Screening:
    """Looks at reports, and knows what was decided about before."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def screen(self, report: IncidentReport, *, leaves: bool, reviewed_by: str | None) -> Screened:
        """What `report` seems to hold, and whether a person must take it on before it leaves.

        What was decided about in an earlier version needs no new decision, and a withdrawal none for what stood in the
        version that it ends: its peers have that, and must learn that it is over. Raises: ReviewerUnnamed.
        """
        name = reviewer(reviewed_by)
        found = await look(report.raw)
        needed = False
        if found and leaves and name is None:
            known = await self._known(report)
            needed = any(each.digest not in known for each in found)
        return Screened(found, name if leaves else None, needed)

    async def reviews(self, report_id: str) -> list[reviews.Review]:
        """The decisions about a report, newest first."""
        async with self._pool.acquire() as conn:
            return await reviews.listing(conn, report_id)

    async def _known(self, report: IncidentReport) -> frozenset[bytes]:
        async with self._pool.acquire() as conn:
            known = await reviews.known(conn, report.id)
            ended = await self._ended(conn, report) if report.revoked else None
        if ended is None:
            return known
        return known | {each.digest for each in await look(ended)}

    async def _ended(self, conn: Connection, report: IncidentReport) -> bytes | None:
        """The version that a withdrawal ends: the one held, or, when the withdrawal itself is, the one before."""
        held = await reports.get(conn, report.id)
        if held is None or held.bundle != report.raw:
            return None if held is None else held.bundle
        return await reports.bundle_before(conn, report.id, held.ver)


async def look(raw: bytes) -> tuple[Suspicion, ...]:
    """What a report seems to hold; a long one is looked at beside the event loop."""
    return await asyncio.to_thread(suspicions, raw) if len(raw) >= ASIDE_FROM_BYTES else suspicions(raw)


def reviewer(name: str | None) -> str | None:
    """The name as it is kept. Raises: ReviewerUnnamed."""
    if name is None:
        return None
    tidy = " ".join(name.split())
    if not tidy or len(tidy) > MOST_NAME or not tidy.isprintable():
        raise ReviewerUnnamed
    return tidy
