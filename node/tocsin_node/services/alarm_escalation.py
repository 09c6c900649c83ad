"""Escalation: an alert that nobody answers is brought before more people, until somebody does.

Level 0 is who is on call when it is raised. After each level's minutes the next are called, in the alert's thread: they
are mentioned, or the whole room where nobody of Matrix has that turn. The last level is everybody, on every channel.
When that too goes unanswered it is said so: in `/healthz`, to the node that the report came from, and to everybody
again, until somebody answers. The timer stands in the database: a node that was away calls once when it is back,
however many levels have passed.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from tocsin_node.links.alert_thread import ESCALATION, Saying
from tocsin_node.services.alarm_gatekeeper import about_of, as_urgent
from tocsin_node.services.alarm_plan import AlarmPlanner
from tocsin_node.services.alarm_timing import BEHIND_FELLOW_S
from tocsin_node.services.alarm_way import MAIL, ROOMS, WEBHOOK
from tocsin_node.services.oncall import Oncall
from tocsin_node.services.pace import URGENT
from tocsin_node.services.resting import go_round
from tocsin_node.settings.oncall import OncallSettings
from tocsin_node.storage import acts, alerts, fellows, followups, silences, threads
from tocsin_node.storage.acts import NewAct
from tocsin_node.storage.alerts import StoredAlert
from tocsin_node.storage.errors import StorageError
from tocsin_node.storage.followups import Followup
from tocsin_node.storage.pool import Connection, Pool

CLOCK = "tocsin"  # by whom the node's own acts are
WAITED_FOR = frozenset(
    {"raise", "escalate", "cluster", "digest", "emergency"}
)  # a legal clock rings again by itself
IDLE_S = 30.0
AGAIN = timedelta(minutes=1)  # after a fault of ours, and while its author does not vouch for it
logger = logging.getLogger(__name__)


class Escalation:
    """The timers of all alerts. Start `run()` once; `wake()` after a timer was set or changed.

    `called` is called after further people were called and that was committed.
    """

    def __init__(
        self,
        pool: Pool,
        planner: AlarmPlanner,
        oncall: Oncall,
        settings: OncallSettings,
        *,
        called: Callable[[], None],
        now: Callable[[], datetime],
    ) -> None:
        self._pool = pool
        self._planner = planner
        self._oncall = oncall
        self._waits = {"I": settings.grade_i_waits_min, "II": settings.grade_ii_waits_min}
        self._other_waits = settings.grade_iii_waits_min
        self._called = called
        self._now = now
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """A timer may be nearer than it was."""
        self._woken.set()

    async def run(self) -> None:
        """Call whoever is due, until cancelled."""
        await go_round(self._call_all, self._woken)

    async def begin(self, conn: Connection, alert: StoredAlert, priority: int) -> None:
        """Wait for an answer to a new alert, in the transaction that records it; no longer for earlier ones."""
        grade = "I" if priority == URGENT else alert.grade
        waits = self._waits.get(grade, self._other_waits) if alert.kind in WAITED_FOR else ()
        now = self._now()
        if alert.report_id is not None and alert.kind != "duty":
            for earlier in await followups.leave_earlier(conn, alert.report_id, alert.id):
                await acts.answered(conn, earlier, now)
        next_at = now + timedelta(minutes=waits[0]) if waits else None
        await followups.start(conn, alert.id, waits, next_at, urgent=grade == "I")

    async def settle(self, conn: Connection, alert_id: int) -> None:
        """Set the timer anew after what stands about an alert has changed, in that transaction.

        An acknowledgement stops it; without one it begins anew; while muted it does not end.
        """
        kept = await followups.of(conn, alert_id)
        if kept is None:
            return
        stands, now = await acts.standing(conn, alert_id), self._now()
        if stands.acknowledged:
            await acts.answered(conn, alert_id, now)
            next_at = None
        elif not kept.waits_min:
            return
        elif kept.next_at is None:
            if await followups.void(conn, alert_id):
                return
            kept = replace(kept, level=0)
            next_at = later(now + _wait(kept), stands.muted_until)
        else:
            next_at = later(min(kept.next_at, now + _wait(kept)), stands.muted_until)
        await followups.put(conn, replace(kept, next_at=next_at))

    async def call_due(self) -> bool:
        """Call the next for the alert that waits longest beyond its time; False: none does.

        All that follows from it is one transaction: a crash repeats it whole, or not at all.
        """
        now, due = self._now(), None
        try:
            async with self._pool.transaction() as conn:
                due = await followups.due(conn, now)
                if due is None:
                    return False
                await self._call_waiting(conn, due, now)
        except StorageError:
            raise
        except Exception:
            if due is None:
                raise
            logger.exception(
                "nobody could be called for alert %d; the others do not wait for it", due.alert_id
            )
            async with self._pool.acquire() as conn:
                await followups.put(conn, replace(due, next_at=now + AGAIN))
        self._called()
        return True

    async def _call_waiting(self, conn: Connection, due: Followup, now: datetime) -> None:
        alert = await alerts.get(conn, due.alert_id)
        assert alert is not None, "alerts are never taken away"
        stands = await acts.standing(conn, alert.id)
        if (
            alert.disputed and not stands.acknowledged
        ):  # nobody is called for it, until its author vouches for it again
            await followups.put(conn, replace(due, next_at=now + AGAIN))
        elif stands.acknowledged or alert.over or await followups.void(conn, alert.id):
            await acts.answered(conn, alert.id, now)
            await followups.put(conn, replace(due, next_at=None))
        elif await followups.left_to_others(conn, alert.id):
            await followups.put(conn, replace(due, next_at=None))
        elif (after := await self._after_silence(conn, alert, due)) is not None and after > now:
            await followups.put(conn, replace(due, next_at=after))
        elif stands.muted_until is not None and stands.muted_until > now:
            await followups.put(conn, replace(due, next_at=stands.muted_until))
        else:
            await self._call(conn, alert, due, NewAct("escalate", CLOCK, "clock", now))

    async def _after_silence(self, conn: Connection, alert: StoredAlert, due: Followup) -> datetime | None:
        """Not before the silence ends; what it kept from ringing has its first minutes from when it rings."""
        subject = await silences.subject(conn, alert.report_id, alert.grade)
        silence = await silences.matching(conn, as_urgent(subject, urgent=due.urgent))
        rings_at = await followups.let_go_at(conn, alert.id) if due.level == 0 else None
        ends = [] if silence is None else [silence.until]
        return max([*ends, *([] if rings_at is None else [rings_at + _wait(due)])], default=None)

    async def silence_ended(self, conn: Connection) -> None:
        """A silence was ended before its time, in the caller's transaction: nobody waits for its end any longer."""
        await followups.shorten(conn, self._now())

    async def call_now(self, conn: Connection, alert: StoredAlert, act: NewAct) -> bool:
        """Call the next because a person wants it, in the caller's transaction; the timer goes on from there.

        `act`: the `escalate` that the person said; False when it was known.
        """
        kept = await followups.of(conn, alert.id) or Followup(
            alert.id, (), urgent=False, level=0, next_at=None
        )
        return await self._call(conn, alert, kept, act)

    async def unanswered(self) -> list[int]:
        """The alerts for which everybody was called and that nobody has answered."""
        async with self._pool.acquire() as conn:
            return await acts.unanswered(conn)

    async def _call(self, conn: Connection, alert: StoredAlert, kept: Followup, act: NewAct) -> bool:
        now, level, last = self._now(), kept.level + 1, len(kept.waits_min) - 1
        by_clock = act.via == "clock"
        unanswered = by_clock and level > last
        said = replace(act, kind="unanswered" if unanswered else "escalate", level=level)
        act_id = await acts.add(conn, alert.id, said)  # that it stays unanswered is no further act
        if act_id is None and not by_clock:
            return False
        what = f"act-{act_id}" if act_id is not None else f"again-{now.isoformat()}"
        all_called = level >= last
        people = await (
            self._oncall.everybody(conn, now) if all_called else self._oncall.people(conn, level, now)
        )
        line = _line(alert, people, act, waited=now - alert.raised_at, again=unanswered)
        told = await threads.tellers(conn, alert.incident)
        await followups.overtake(conn, alert.id)
        channels = {*ROOMS, MAIL, WEBHOOK} if all_called else {*ROOMS, MAIL} | told
        if by_clock:
            channels -= await self._called_by_fellows(conn, alert, kept, now)
        mentioned = tuple(p for p in people if p.startswith("@"))
        saying = Saying(what, line, mentioned, everybody=all_called or not mentioned, facts=True, seq=level)
        await self._planner.say(conn, alert.id, ESCALATION, saying, channels=tuple(channels))
        await self._planner.write(
            conn, alert, [p for p in people if not p.startswith("@")], Saying(what, line, facts=True)
        )
        stands = kept.next_at is not None
        following = replace(
            kept, level=level, next_at=now + _wait(replace(kept, level=level)) if stands else None
        )
        await followups.put(conn, following)
        return True

    async def _called_by_fellows(
        self, conn: Connection, alert: StoredAlert, kept: Followup, now: datetime
    ) -> frozenset[str]:
        """The channels where a fellow told the alert and has called since we last could have: it is alive.

        One that has died since it told is followed up by us.
        """
        about = about_of(alert)
        since = now - _wait(kept) + timedelta(seconds=BEHIND_FELLOW_S / 2)
        called = set()
        for channel in await followups.left_to_fellow(conn, alert.id):
            way, bots = self._planner.way(channel), self._planner.timing.fellows(channel)
            if way is not None and about and await fellows.called(conn, way.place, about, bots, since):
                called.add(channel)
        return frozenset(called)

    async def _call_all(self) -> float:
        while await self.call_due():
            pass
        return await self._rest_s()

    async def _rest_s(self) -> float:
        async with self._pool.acquire() as conn:
            at = await followups.next_at(conn)
        if at is None:
            return IDLE_S
        return min(max((at - self._now()).total_seconds(), 0.0), IDLE_S)


def later(at: datetime, muted_until: datetime | None) -> datetime:
    """When a timer ends that must not end while an alert is muted."""
    return at if muted_until is None else max(at, muted_until)


def _wait(kept: Followup) -> timedelta:
    return timedelta(minutes=kept.waits_min[min(kept.level, len(kept.waits_min) - 1)])


def _line(
    alert: StoredAlert,
    people: Sequence[str],
    act: NewAct,
    *,
    waited: timedelta,
    again: bool,
) -> str:
    names = ", ".join(people) or "everybody here"
    if act.via != "clock":
        said = f" {act.note}" if act.note else ""
        return f"HELP WANTED with alert {alert.id} by {act.by}: {names}.{said}"
    minutes = max(1, round(waited / timedelta(minutes=1)))
    since = f"{minutes} minute{'' if minutes == 1 else 's'}"
    if again:
        return f"NOT ANSWERED though everybody was called: alert {alert.id} has waited {since}. {names}: who takes it?"
    return f"NOT ANSWERED: alert {alert.id} has waited {since}. Now called: {names}."
