"""Duties to authorities: reckoned from the facts of reports, decided by named people, watched by the clock.

A report of ours is looked at right after it was filed or changed, and by `watch` when that did not come to pass. What
was imported from public records is not ours to report; a person may have any report tracked. Duties, their history
and legal assessments never leave the node. A rule proposes; nothing is confirmed but by a person, by name.
"""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

from tocsin_node.errors import NodeError
from tocsin_node.health import Check
from tocsin_node.services.alarms import Alarms
from tocsin_node.services.duty_book import NEVER, reckon
from tocsin_node.services.duty_clock import tell
from tocsin_node.services.duty_view import duty_as_json, history_as_json
from tocsin_node.services.ownership import Ownership
from tocsin_node.services.report_refusals import ReportUnknown
from tocsin_node.storage import duties, redactions, reports
from tocsin_node.storage.duties import Event, StoredDuty
from tocsin_node.storage.errors import StorageError
from tocsin_node.storage.pool import Connection, Pool
from tocsin_schema.check import check_bundle
from tocsin_schema.organisation import Organisation
from tocsin_schema.regime import regimes

BATCH = 200
logger = logging.getLogger(__name__)


class DutyUnknown(NodeError):
    """There is no duty of that number."""

    code = "duty-unknown"
    hint = "`tocsin duty list --all` shows those there are."


class DutyClosed(NodeError):
    """The duty is settled or dismissed."""

    code = "duty-closed"
    hint = "`tocsin duty show ID` tells its history. A dismissed duty can be confirmed again; a settled one stays."


class OrganisationUnstated(NodeError):
    """Duties cannot be reckoned: the organisation has not said what it is."""

    code = "organisation-unstated"
    hint = "Set roles and jurisdictions in the section [duties] of node.toml and start the node anew."


class NotYet(NodeError):
    """A time in the future was given for something that has happened."""

    code = "not-yet"
    hint = "Give the time at which it happened, or leave it out for now."


@dataclass(frozen=True, slots=True)
class Decider:
    """Who decides: a named person, and the token through which it came."""

    by: str
    via: str


class Duties:
    """Everything about duties, for the rest of the node. Without roles and jurisdictions nothing is reckoned."""

    def __init__(
        self,
        pool: Pool,
        alarms: Alarms,
        organisation: Organisation,
        ownership: Ownership,
        *,
        node_id: str,
        history_days: int,
        now: Callable[[], datetime],
    ) -> None:
        self._pool = pool
        self._alarms = alarms
        self._organisation = organisation
        self._ownership = ownership
        self._node_id = node_id
        self._history = timedelta(days=history_days)
        self._now = now
        self._basis = hashlib.sha256(
            regimes().digest + msgspec.json.encode(organisation, order="sorted")
        ).digest()

    @property
    def organisation(self) -> Organisation:
        """Who has the duties."""
        return self._organisation

    async def filed(self, report_id: str) -> None:
        """A version of ours was stored: reckon. What fails now is made good by `watch`."""
        if not self._organisation.stated:
            return
        try:
            await self._look(report_id)
        except StorageError as exc:
            logger.warning("the duties of a report are reckoned later: %s", exc)

    async def watch(self) -> None:
        """Look at what was not looked at yet, then at the clocks. Called every minute."""
        if not self._organisation.stated:
            return
        while True:
            async with self._pool.acquire() as conn:
                waiting = await duties.unlooked(conn, self._node_id, self._basis, BATCH)
            for report_id in waiting:
                await self._look(report_id)
            if len(waiting) < BATCH:
                break
        await self._tell()

    async def list(
        self, *, report_id: str | None, open_only: bool, cursor: tuple[datetime, int] | None, limit: int
    ) -> tuple[list[dict[str, Any]], tuple[datetime, int] | None]:
        """Duties as JSON, shortest due first, and where to go on."""
        after = cursor or (datetime.min.replace(year=1, tzinfo=NEVER.tzinfo), 0)
        async with self._pool.acquire() as conn:
            found = await duties.listing(conn, after, report_id=report_id, open_only=open_only, limit=limit)
        following = (found[-1].sort_at, found[-1].id) if len(found) == limit else None
        now = self._now()
        return [duty_as_json(one, now) for one in found], following

    async def get(self, duty_id: int) -> dict[str, Any]:
        """One duty with its history.

        Raises: DutyUnknown.
        """
        async with self._pool.acquire() as conn:
            one = await _known(conn, duty_id)
            events = await duties.history(conn, duty_id)
        return duty_as_json(one, self._now()) | {"history": history_as_json(events)}

    async def track(self, report_id: str, who: Decider, reason: str | None) -> Sequence[dict[str, Any]]:
        """Reckon the duties of any report from now on: one of a peer about our system, or an imported one.

        Raises: OrganisationUnstated, ReportUnknown.
        """
        if not self._organisation.stated:
            raise OrganisationUnstated
        async with self._pool.acquire() as conn:
            there = await duties.track(conn, report_id, by=who.by, reason=reason, now=self._now())
        if not there:
            raise ReportUnknown
        await self._look(report_id)
        async with self._pool.acquire() as conn:
            now = self._now()
            return [duty_as_json(one, now) for one in await duties.of_report(conn, report_id)]

    async def confirm(
        self, duty_id: int, who: Decider, reason: str | None, start: datetime | None
    ) -> dict[str, Any]:
        """A person says that the regime applies to the report; `start`: when this clock started, if facts do not say.

        Raises: DutyUnknown, DutyClosed, NotYet.
        """
        self._refuse_future(start)
        return await self._decide(duty_id, "confirmed", who, reason, start)

    async def dismiss(self, duty_id: int, who: Decider, reason: str) -> dict[str, Any]:
        """A person says that the regime does not apply to the report.

        Raises: DutyUnknown, DutyClosed.
        """
        return await self._decide(duty_id, "dismissed", who, reason, None)

    async def done(
        self, duty_id: int, who: Decider, *, reference: str | None, at: datetime | None
    ) -> dict[str, Any]:
        """The report to the authority was made (`at`: when; None: now). What starts with it starts.

        Raises: DutyUnknown, DutyClosed, NotYet.
        """
        self._refuse_future(at)
        now = self._now()
        async with self._pool.transaction() as conn:
            one = await _held(conn, duty_id)
            if one.state in {"done", "dismissed"}:
                raise DutyClosed
            await duties.settle(conn, duty_id, at or now, reference=reference, by=who.by, now=now)
            await duties.note(conn, duty_id, Event(now, "done", who.by, who.via, reference))
            await self._reckon(conn, one.report_id)
        return await self.get(duty_id)

    async def health(self) -> Check:
        """Whether a clock needs somebody. No number, no name: /healthz is for anybody."""
        if not self._organisation.stated:
            return Check("duties")
        async with self._pool.acquire() as conn:
            standing = await duties.standing(conn, self._now())
        if standing.late:
            hint = (
                "A legal clock has run for 80 % or more and nothing is recorded as done: `tocsin duty list`."
            )
            return Check("duties", "degraded", "duty-clock-late", hint)
        if standing.half:
            hint = "Half of a legal clock has run: `tocsin duty list`."
            return Check("duties", "ok", "duty-clock-half", hint)
        return Check("duties")

    # -------------------------------------------------------------------------------------------------

    async def _decide(
        self,
        duty_id: int,
        state: Literal["confirmed", "dismissed"],
        who: Decider,
        reason: str | None,
        start: datetime | None,
    ) -> dict[str, Any]:
        now = self._now()
        async with self._pool.transaction() as conn:
            one = await _held(conn, duty_id)
            if one.state == "done":
                raise DutyClosed
            changed = await duties.decide(conn, one, state, by=who.by, reason=reason, now=now)
            for each in changed:
                await duties.note(conn, each, Event(now, state, who.by, who.via, reason))
            if start is not None:
                await duties.state_start(conn, duty_id, start)
            await self._reckon(conn, one.report_id)
        return await self.get(duty_id)

    async def _look(self, report_id: str) -> None:
        async with self._pool.transaction() as conn:
            await self._reckon(conn, report_id)

    async def _reckon(self, conn: Connection, report_id: str) -> None:
        """Hold the report's duties, and bring them up to the rules if they are ours to reckon."""
        stored = await reports.get(conn, report_id)
        if stored is None:
            return
        now = self._now()
        tracked = await duties.looked(conn, report_id, stored.ver, self._basis, now)
        report = check_bundle(stored.bundle).report
        if report is None:
            logger.error("a report that was stored does not pass the check; its duties are not reckoned")
            return
        filed_here = self._ownership.ours(stored) and report.source is None
        if tracked or (filed_here and not await self._spoken_for(conn, report_id)):
            await reckon(conn, report, self._organisation, now)

    async def _spoken_for(self, conn: Connection, report_id: str) -> bool:
        """Whether what is owed is owed for the record that this is a redaction of; what was reckoned before goes on."""
        if await redactions.source(conn, report_id) is None:
            return False
        return not await duties.of_report(conn, report_id)

    async def _tell(self) -> None:
        """Tell what clocks have crossed; a clock that ran out may start another, so its report is reckoned again."""
        now = self._now()
        async with self._pool.acquire() as conn:
            due = await duties.run(conn, now, BATCH)
        rang = False
        for report_id in due:
            async with self._pool.transaction() as conn:
                await self._reckon(conn, report_id)
                kept = await duties.of_report(conn, report_id)
                rang |= await tell(
                    conn,
                    self._alarms,
                    kept,
                    now,
                    node_id=self._node_id,
                    org=self._organisation.name,
                    history=self._history,
                )
        if rang:
            self._alarms.wake()

    def _refuse_future(self, at: datetime | None) -> None:
        if at is not None and at > self._now():
            raise NotYet


async def _known(conn: Connection, duty_id: int) -> StoredDuty:
    one = await duties.get(conn, duty_id)
    if one is None:
        raise DutyUnknown(f"There is no duty {duty_id}.")
    return one


async def _held(conn: Connection, duty_id: int) -> StoredDuty:
    """The duty, with all of its report held until the transaction ends."""
    await duties.lock(conn, duty_id)
    return await _known(conn, duty_id)
