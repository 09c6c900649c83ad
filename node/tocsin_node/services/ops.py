"""Operators are told what is wrong with the node itself: once when it begins, once when it is over.

What is wrong is what the checks of `health` say, so that there is one list of troubles and no second judgement. A
trouble has to last a moment before it is told, and to be over for longer before that is told: what flickers is one
trouble. What was told stands in the database, in one transaction with the message; a restart tells nothing twice.
A check says nothing of an incident, so neither does a message from here.
"""

from collections.abc import Sequence
from datetime import UTC

from tocsin_node.health import Check
from tocsin_node.services.alarm_notice import Notice, Notices
from tocsin_node.storage import troubles
from tocsin_node.storage.pool import Connection, Pool
from tocsin_node.storage.troubles import Trouble

HOLD_S = 30.0
WELL_S = 120.0


class Ops:
    """Tells the operators over `channels`. Without any, what happens is in the log alone."""

    def __init__(
        self,
        pool: Pool,
        notices: Notices,
        channels: Sequence[str],
        *,
        hold_s: float = HOLD_S,
        well_s: float = WELL_S,
    ) -> None:
        self._pool = pool
        self._notices = notices
        self._channels = tuple(channels)
        self._hold_s = hold_s
        self._well_s = well_s

    async def tell(self, checks: Sequence[Check]) -> bool:
        """Keep what is wrong now and put what is to be told into the outbox; True when there is something."""
        if not self._channels:
            return False
        wrong = {c.name: c for c in checks if c.status != "ok" and c.code is not None}
        async with self._pool.transaction() as conn:
            for name, check in wrong.items():
                await troubles.note(conn, name, check.news)
            said = False
            for trouble in await troubles.standing(conn):
                check_now = wrong.get(trouble.name)
                if check_now is None:
                    said |= await self._end(conn, trouble)
                elif not check_now.is_known(trouble.told) and trouble.held_s >= self._hold_s:
                    await self._say(conn, trouble, _begun(check_now))
                    await troubles.told(conn, trouble.name)
                    said = True
        return said

    async def _end(self, conn: Connection, trouble: Trouble) -> bool:
        if trouble.told and (trouble.well_s is None or trouble.well_s < self._well_s):
            await troubles.well(conn, trouble.name)
            return False
        await troubles.over(conn, trouble.name)
        if trouble.told:
            await self._say(conn, trouble, _ended(trouble))
        return bool(trouble.told)

    async def _say(self, conn: Connection, trouble: Trouble, notice: Notice) -> None:
        """A channel that is in trouble is not asked to say so."""
        key = f"{notice.kind} {trouble.name} {trouble.code} {trouble.began_at.isoformat()}"
        others = [c for c in self._channels if c != trouble.name]
        await self._notices.enqueue(conn, others, notice, key)


def _begun(check: Check) -> Notice:
    return Notice("trouble", f"{check.name} is {check.status} ({check.code})", check.hint or "See /healthz.")


def _ended(trouble: Trouble) -> Notice:
    since = trouble.began_at.astimezone(UTC).isoformat(sep=" ", timespec="minutes").removesuffix("+00:00")
    codes = ", ".join(trouble.told)
    return Notice("over", f"{trouble.name} is well again", f"It was not since {since} UTC ({codes}).")
