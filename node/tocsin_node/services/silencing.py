"""Silences: what people do not want to be rung by for a while. A named person says so, with a reason and an end.

A silence holds rings, it loses none: a silenced alert is recorded and listed, and rings when the silence ends if it is
still open. Grade I and risks to life are silenced only by a silence that says `max_grade` I.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from tocsin_node.errors import NodeError
from tocsin_node.services.alarms import Alarms
from tocsin_node.storage import silences
from tocsin_node.storage.pool import Pool
from tocsin_node.storage.silences import NewSilence, StoredSilence
from tocsin_schema.facets import key, system_keys

LONGEST = timedelta(days=30)


class SilenceUnknown(NodeError):
    """There is no silence of that number."""

    code = "silence-unknown"
    hint = "`tocsin alert silence list --all` shows those there were."


class SilenceOver(NodeError):
    """The silence has ended."""

    code = "silence-over"
    hint = "`tocsin alert silence list` shows those that hold."


class SilenceTooWide(NodeError):
    """A silence without any condition would silence everything."""

    code = "silence-too-wide"
    hint = "Say what it is about: an origin, a report, a system, a kind of harm or a technique."


class SilenceSpan(NodeError):
    """A silence lasts up to 30 days."""

    code = "silence-span"
    hint = "Give it an end that lies ahead, 30 days at most; a longer one is made again by somebody who still wants it."


@dataclass(frozen=True, slots=True)
class Matchers:
    """What a silence is about: all that is given has to hold. `max_grade`: the gravest grade that it silences."""

    origin: str | None = None
    report_id: str | None = None
    system: str | None = None
    harm: str | None = None
    technique: str | None = None
    max_grade: str = "II"


class Silences:
    """Adds, lists and ends silences."""

    def __init__(self, pool: Pool, alarms: Alarms) -> None:
        self._pool = pool
        self._alarms = alarms

    async def add(
        self, matchers: Matchers, *, by: str, reason: str, until: datetime, now: datetime
    ) -> dict[str, Any]:
        """Silence what matches until `until`. `matchers.origin`: a NodeID.

        Raises: SilenceTooWide, SilenceSpan.
        """
        m = matchers
        if not any((m.origin, m.report_id, m.system, m.harm, m.technique)):
            raise SilenceTooWide
        if not now < until <= now + LONGEST:
            raise SilenceSpan
        keys: list[Sequence[str]] = []
        if m.system:
            keys.append(system_keys(m.system))
        if m.harm:
            keys.append((key("harm", m.harm),))
        if m.technique:
            keys.append((key("technique", m.technique), f"technique:{m.technique}"))
        rank = silences.RANKS[m.max_grade]
        new = NewSilence(
            by, reason, until, m.origin, m.report_id, m.system, m.harm, m.technique, keys=keys, rank=rank
        )
        async with self._pool.transaction() as conn:
            silence_id = await silences.add(conn, new)
        return await self.get(silence_id)

    async def get(self, silence_id: int) -> dict[str, Any]:
        """One silence as JSON. Raises: SilenceUnknown."""
        async with self._pool.acquire() as conn:
            found = await silences.get(conn, silence_id)
        if found is None:
            raise SilenceUnknown(f"There is no silence {silence_id}.")
        return silence_as_json(found)

    async def list(self, *, active_only: bool, before: int | None, limit: int) -> list[dict[str, Any]]:
        """Silences as JSON, newest first; `before` is the id of the last one seen."""
        async with self._pool.acquire() as conn:
            found = await silences.listing(conn, before=before, active_only=active_only, limit=limit)
        return [silence_as_json(each) for each in found]

    async def expire(self, silence_id: int, *, by: str) -> dict[str, Any]:
        """End a silence now: what it held and is still open rings. Raises: SilenceUnknown, SilenceOver."""
        async with self._pool.transaction() as conn:
            ended = await silences.end(conn, silence_id, by)
            if ended:
                await self._alarms.escalation.silence_ended(conn)
        found = await self.get(silence_id)
        if not ended:
            raise SilenceOver(f"Silence {silence_id} has ended.")
        self._alarms.wake()
        return found


def silence_as_json(silence: StoredSilence) -> dict[str, Any]:
    """A silence; `holding`: how many alerts it keeps from ringing now."""
    told = asdict(silence)
    rank = told.pop("rank")
    told["max_grade"] = next(grade for grade, number in silences.RANKS.items() if number == rank)
    return told
