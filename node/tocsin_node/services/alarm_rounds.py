"""The rounds: what was told is brought up to date, and what nobody takes up rings again.

Nothing is remembered here: what has changed stands in `stirred`, when something was last told stands in the outbox.
So a node that was away makes up for it at its first round.
"""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable

from tocsin_node.links.alert_thread import Saying
from tocsin_node.services.alarm_gatekeeper import UNWRITTEN
from tocsin_node.services.alarm_plan import LOWEST_PRIORITY, AlarmPlanner
from tocsin_node.services.resting import go_round
from tocsin_node.storage import deliveries, grouping
from tocsin_node.storage.deliveries import NewDelivery
from tocsin_node.storage.grouping import Overdue
from tocsin_node.storage.pool import Connection, Pool

ROUND_S = 15.0


class Rounds:
    """Goes round when woken, when something is due, and every now and then. `wrote`: something is in the outbox."""

    def __init__(self, pool: Pool, planner: AlarmPlanner, wrote: Callable[[], None]) -> None:
        self._pool = pool
        self._planner = planner
        self._wrote = wrote
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Something was committed."""
        self._woken.set()

    async def run(self) -> None:
        """Go round until cancelled."""
        await go_round(self.go, self._woken)

    async def go(self) -> float:
        """Go round once; returns the seconds until something is due."""
        limits = self._planner.timing.grouping
        async with self._pool.transaction() as conn:
            wrote = await self._update(conn)
            coming = await grouping.overdue(
                conn,
                every_i_s=limits.repeat_i_s,
                every_ii_s=limits.repeat_ii_s,
                every_iii_s=limits.repeat_iii_s,
                ahead_s=ROUND_S,
            )
            repeated = Counter(await grouping.repeated(conn, limits.flood_window_s))
            for each in coming:
                if each.due_s > 0 or (each.grade != "I" and repeated[each.channel] >= limits.flood_room):
                    continue  # old alerts are no reason for a flood either: the rest comes later
                repeated[each.channel] += 1
                wrote |= await self._repeat(conn, each)
        if wrote:
            self._wrote()
        return min((max(each.due_s, 0.1) for each in coming if each.due_s > 0), default=ROUND_S)

    async def _repeat(self, conn: Connection, due: Overdue) -> bool:
        saying = Saying(
            what=f"again {due.nth}",
            line=f"STILL OPEN after {_span(due.open_s)}: nobody has acknowledged it.",
            facts=True,
        )
        return bool(await self._planner.say(conn, due.alert_id, "ring", saying, channels=[due.channel]))

    async def _update(self, conn: Connection) -> bool:
        """Put an edit of what was told into the outbox, unless one waits there: its words are found when it goes."""
        ways = {way.channel: way for way in self._planner.ways if way.updates}
        stirred = await grouping.stirred(conn)
        if not stirred or not ways:
            return False
        every_s = self._planner.timing.grouping.interval_s
        wrote = False
        for root in await grouping.shown(conn, stirred, frozenset(ways)):
            if root.waits or ways[root.channel].place != root.room:
                continue
            edit = NewDelivery(
                root.alert_id,
                channel=root.channel,
                room=root.room,
                priority=LOWEST_PRIORITY,
                content=UNWRITTEN,
                txn=f"tocsin-update-{secrets.token_hex(16)}",
                max_tlp=ways[root.channel].ceiling.value,
                kind="update",
                edits=root.id,
                after_s=0.0 if root.edited_s is None else max(0.0, every_s - root.edited_s),
            )
            wrote |= await deliveries.enqueue(conn, edit) is not None
        return wrote


def _span(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{round(minutes / 60)} h"
