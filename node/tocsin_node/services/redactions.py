"""Redactions at home: which report of ours is a version for others of which private record.

The link is a fact of this node alone and never travels. What follows from it: at home a redaction speaks through its
record (it rings nobody, owes nothing, is nobody's duplicate, counts in no cluster), it ends when its record ends, and
it is stale when its record has a newer version than the one that was redacted.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from weakref import WeakValueDictionary

from tocsin_node.errors import NodeError
from tocsin_node.services.audience import Left
from tocsin_node.storage import redactions, reports, shares
from tocsin_node.storage.pool import Connection, Pool
from tocsin_node.storage.redactions import Link, Made, Source
from tocsin_schema.ids import projected_incident_id
from tocsin_schema.marking import Tlp
from tocsin_schema.report import IncidentReport
from tocsin_schema.stix import withdraw

ENDED = "The full record that this is a version of was withdrawn."
BATCH = 2000
_TICK = timedelta(milliseconds=1)


class NotARedaction(NodeError):
    """The report is no redaction of that record."""

    code = "not-a-redaction"
    hint = "`tocsin report redact ID` makes one, of a report of your own."


class RecordChanged(NodeError):
    """The record was changed meanwhile."""

    code = "record-changed"
    hint = "Redact it again: `tocsin report redact ID` starts from its newest version."


@dataclass(frozen=True, slots=True)
class Basis:
    """What a redaction was made from: the record and its version."""

    record_id: str
    ver: int


@dataclass(frozen=True, slots=True)
class Redacted:
    """A redaction as its record's page shows it. `to`: NodeIDs, each with whether it has this version.

    `stale`: it stands, and its record is newer than what was redacted. `left`: who does not learn that it ends.
    """

    id: str
    ver: int
    tlp: str
    state: str
    clearance: str
    record_ver: int
    stale: bool
    to: tuple[tuple[str, bool], ...]
    left: tuple[Left, ...] = ()


class Redactions:
    """What is known of redactions. Changes to a record and its redactions go one after another: `family`."""

    def __init__(self, pool: Pool, *, node_id: str) -> None:
        self._pool = pool
        self._node_id = node_id
        self._families: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def load(self) -> None:
        """Link what an earlier program filed: the identifier of a redaction follows from its record's."""
        async with self._pool.transaction() as conn:
            if not await redactions.waiting(conn, "", 1):
                return
            after = ""
            while waiting := await redactions.waiting(conn, after, BATCH):
                derived = await asyncio.to_thread(_derived, waiting)
                await redactions.found(conn, self._node_id, derived)
                after = waiting[-1]
            await redactions.settle(conn)

    async def family(self, report_id: str) -> asyncio.Lock:
        """The lock under which a record and its redactions change."""
        source = await self.source(report_id)
        root = source.record_id if source else report_id
        return self._families.setdefault(root, asyncio.Lock())

    async def source(self, report_id: str) -> Source | None:
        """The record that a report was made from; None: it is no redaction."""
        async with self._pool.acquire() as conn:
            return await redactions.source(conn, report_id)

    async def records(self, report_ids: Sequence[str]) -> dict[str, str]:
        """The record of each of `report_ids` that is a redaction."""
        async with self._pool.acquire() as conn:
            return await redactions.records(conn, report_ids) if report_ids else {}

    async def of(self, record_id: str, *, ver: int | None = None) -> tuple[Redacted, ...]:
        """The redactions of a record, oldest first; `ver`: the version to hold them against (None: the newest)."""
        async with self._pool.acquire() as conn:
            made = await redactions.made_from(conn, record_id)
            if not made:
                return ()
            held = (await reports.held(conn, [record_id]))[record_id]
            newest = held.ver if ver is None else ver
            return tuple([await _shown(conn, each, newest) for each in made])

    async def admit(self, report: IncidentReport, basis: Basis) -> Link:
        """The link of a report that is filed as a redaction; held under the family's lock until it is filed.

        Its identifier must be the one that follows from the record: nothing else can be put under a record.
        Raises: NotARedaction; RecordChanged when the record is no longer what was redacted.
        """
        async with self._pool.acquire() as conn:
            held = (await reports.held(conn, [basis.record_id])).get(basis.record_id)
            if held is None or held.origin != self._node_id:
                raise NotARedaction("There is no such record of ours.")
            if await redactions.source(conn, basis.record_id) is not None:
                raise NotARedaction("The record is itself a redaction; redact the full one.")
            made = await redactions.made_from(conn, basis.record_id)
        clearance = report.tlp.value
        nths = range(1, len(made) + 2)
        if report.id not in {projected_incident_id(basis.record_id, clearance, nth) for nth in nths}:
            raise NotARedaction
        if held.state == "withdrawn" and not report.revoked:
            raise RecordChanged(
                "The record was withdrawn; nothing more is shared of it.",
                hint="File a new report: `tocsin report new`.",
            )
        if held.ver != basis.ver:
            raise RecordChanged
        return Link(report.id, basis.record_id, basis.ver, clearance)


def ended(redaction: reports.StoredReport, now: datetime) -> bytes:
    """The last version of a redaction whose record is withdrawn. The record's own reason is not told: it is private."""
    later = max(now, redaction.modified + _TICK)
    return withdraw(redaction.bundle, reason=ENDED, now=later)


def keeping(link: Link) -> Callable[[Connection], Awaitable[None]]:
    """Keeps the link, in the transaction that files the redaction."""
    return partial(_put, link)


def as_ended(redaction: Redacted, to: Sequence[str], left: tuple[Left, ...]) -> Redacted:
    """A redaction with its last version, which goes `to` these NodeIDs."""
    told = tuple((node_id, True) for node_id in to)
    return replace(redaction, ver=redaction.ver + 1, state="withdrawn", stale=False, to=told, left=left)


async def _put(link: Link, conn: Connection) -> None:
    await redactions.put(conn, link)


async def _shown(conn: Connection, made: Made, newest: int) -> Redacted:
    having = await shares.recipients(conn, made.id, made.ver)
    stale = made.state == "active" and made.record_ver < newest
    to = tuple((node_id, node_id in having) for node_id in made.audience)
    return Redacted(made.id, made.ver, made.tlp, made.state, made.clearance, made.record_ver, stale, to)


def _derived(report_ids: Sequence[str]) -> list[tuple[str, str, str]]:
    return [
        (projected_incident_id(report_id, tlp.value), report_id, tlp.value)
        for report_id in report_ids
        for tlp in Tlp
    ]
