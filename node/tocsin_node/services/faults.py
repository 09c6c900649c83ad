"""Faults: an entry over which this program stumbles is set aside, holds up nobody and is told of [P-240].

It is no judgement of the entry. It is kept whole in quarantine, and tried again at each start: an update may have
mended what was wrong here. What speaks of the node's surroundings (the database is away, the disk is full, it is
stopping) sets nothing aside: the batch is taken again.
"""

import logging
from typing import Final

from tocsin_node.errors import NodeError
from tocsin_node.health import Check
from tocsin_node.services.peering import Peering
from tocsin_node.storage import remote
from tocsin_node.storage.errors import StorageError
from tocsin_node.storage.pool import Pool

FAULT: Final = "judging-failed"
OURS: Final = (FAULT, "storage-unfit", "storage-conflict")
"""Codes of entries that were set aside by a fault of this program and not of the entry."""

TRIES: Final = 3  # so often an entry is judged before our stumbling over it counts
logger = logging.getLogger(__name__)


def code_of(exc: Exception) -> str | None:
    """The code under which an entry is set aside that brought up `exc`; None when that says nothing of the entry."""
    if isinstance(exc, StorageError):
        return exc.code if exc.of_data else None
    return None if isinstance(exc, NodeError | OSError | MemoryError) else FAULT


class Faults:
    """Counts tries in memory: a start gives each entry that was not set aside its tries anew."""

    def __init__(self, pool: Pool, peering: Peering) -> None:
        self._pool = pool
        self._peering = peering
        self._tries: dict[tuple[str, int, int], int] = {}

    def spent(self, origin: str, gen: int, idx: int, exc: Exception) -> bool:
        """One more try of the entry at `idx` of that log ended in `exc`; whether it was the last."""
        if isinstance(exc, StorageError):
            return True  # the database said so of these very values: it would say the same again
        place = (origin, gen, idx)
        self._tries[place] = self._tries.get(place, 0) + 1
        logger.error("entry %d of %s could not be judged", idx, self._peering.name_of(origin), exc_info=exc)
        if self._tries[place] < TRIES:
            return False
        del self._tries[place]
        return True

    async def health(self) -> Check:
        """Whether entries wait for an update of this program. Anybody may read it: neither whose nor how many."""
        async with self._pool.acquire() as conn:
            aside = await remote.set_aside(conn)
        if aside == 0:
            return Check("judging")
        hint = (
            "Entries of a peer could not be judged, by a fault of this program. They are kept whole and tried again at "
            "each start: update the node, and report what its log says. `tocsin peer status` says whose they are: ask "
            "there what they say."
        )
        return Check("judging", "degraded", "judging-failed", hint, count=aside)
