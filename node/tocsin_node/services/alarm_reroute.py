"""What a channel does not take in time goes the next way; when the channel is back, it is told what it missed.

Grade I goes every way at once and needs none of this. Of the rest each message is looked at once, when it is due by
the database's clock: the alert is put into the outbox of the next way that does not have it, and its own message
sleeps. When the channel answers again, the alerts that people got elsewhere are named there in one summary and do not
ring a second time; those that nobody got ring.
"""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence

from tocsin_node.services.alarm_line import Line
from tocsin_node.services.alarm_notice import Notice, Notices
from tocsin_node.services.alarm_plan import AlarmPlanner
from tocsin_node.services.alarm_way import SPOKEN
from tocsin_node.services.resting import go_round
from tocsin_node.settings.alerting import AlertSettings
from tocsin_node.storage import alerts, rerouting
from tocsin_node.storage.pool import Connection, Pool
from tocsin_node.storage.rerouting import Returned

IDLE_S = 30.0
LEAST_S = 0.1
NAMED = 30


class Rerouter:
    """Watches the outbox of the channels of `lines`. `wake()` when one of them is back."""

    def __init__(
        self,
        pool: Pool,
        planner: AlarmPlanner,
        notices: Notices,
        settings: AlertSettings,
        lines: Mapping[str, Line],
    ) -> None:
        self._pool = pool
        self._planner = planner
        self._notices = notices
        self._limits = settings.reroute_ii_s, settings.reroute_iii_s
        self._lines = lines
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """A channel is back."""
        self._woken.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        await go_round(self.look, self._woken)

    async def look(self) -> float:
        """Do what is due; returns the seconds until something may be again."""
        moved = await self._reroute()
        for line in self._lines.values():
            if line.channel.well:
                moved |= await self._come_back(line)
        if moved:
            self._planner.wake()
        async with self._pool.acquire() as conn:
            due_s = await rerouting.next_in_s(conn, *self._limits)
        idle_s = min(IDLE_S, max(min(self._limits) / 2, LEAST_S))  # what comes meanwhile is not due before
        return idle_s if due_s is None else min(max(due_s, LEAST_S), idle_s)

    async def _reroute(self) -> bool:
        async with self._pool.transaction() as conn:
            late = await rerouting.late(conn, *self._limits)
            for message in late:
                alert = await alerts.get(conn, message.alert_id)
                to = None if alert is None else await self._planner.reroute(conn, alert, message.channel)
                await rerouting.reroute(conn, message.id, to)
        for name in {message.channel for message in late} & set(self._lines):
            self._lines[name].channel.passed_by()
        return bool(late)

    async def _come_back(self, line: Line) -> bool:
        async with self._pool.transaction() as conn:
            missed = await rerouting.returned(conn, line.name) if line.back() else ()
            if missed:
                await self._summarise(conn, line.name, missed)
            return await rerouting.again(conn, line.name) or bool(missed)

    async def _summarise(self, conn: Connection, channel: str, missed: Sequence[Returned]) -> None:
        """One message that follows from what it is about, so that it is never a second one."""
        what = json.dumps(sorted(m.delivery_id for m in missed))
        key = f"returned-{hashlib.sha256(what.encode()).hexdigest()[:32]}"
        await self._notices.enqueue(conn, (channel,), summary(missed), key)


def summary(missed: Sequence[Returned]) -> Notice:
    """What a channel is told when it is back. Numbers only: what they say is behind `tocsin alert show`."""
    ways = Counter(m.through for m in missed)
    counted = "; ".join(
        f"{n} alert{'' if n == 1 else 's'} went through {SPOKEN.get(through, through)}"
        for through, n in sorted(ways.items())
    )
    numbers = sorted({m.alert_id for m in missed})
    named = ", ".join(str(n) for n in numbers[:NAMED]) + (" and more" if len(numbers) > NAMED else "")
    return Notice(
        "returned",
        f"Back: {counted} while this channel could not be reached",
        f"Alerts {named}. They are not told here again; `tocsin alert show NUMBER` shows each.",
    )
