"""Recovery: the last good head of a log whose key was stolen, and the ceremony that ends that log.

The node must be stopped meanwhile: what it would add to the old log would be disputed.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tocsin_federation.identity import verify_chain
from tocsin_federation.merkle import root_of
from tocsin_federation.statement import Void
from tocsin_node.errors import NodeError
from tocsin_node.identity_files import read_chain
from tocsin_node.settings import load
from tocsin_node.storage import log
from tocsin_node.storage.database import bring_up_to_date, open_database
from tocsin_node.storage.leader import Leader


class LastGoodUnknown(NodeError):
    """The log in this node's database never had that size."""

    code = "last-good-unknown"
    hint = "Give one up to what `tocsin log verify` showed last; left out, it is all that the database holds."


@dataclass(frozen=True, slots=True)
class LastGood:
    """The head up to which a log is good, and how many entries of the node's own database lie beyond it."""

    void: Void
    beyond: int


@asynccontextmanager
async def last_good(directory: Path, size: int | None) -> AsyncIterator[LastGood]:
    """The head of the first `size` entries of the log as the database holds it (None: of all), with the pen held.

    What a thief signed with the stolen key is not in this database unless he had that too.

    Raises: LastGoodUnknown, NodeRunning, NotInitialised, SettingsError, SecretError, StorageError.
    """
    settings = load(directory)
    gen = verify_chain(read_chain(directory), expected=None, now=None).statement.log.gen
    async with open_database(settings) as database:
        leader = Leader(database.address)
        await leader.open()
        try:
            await bring_up_to_date(settings, database)
            async with leader.connection() as conn:
                head = await log.head(conn, gen)
                held = 0 if head is None else head.size
                wanted = held if size is None else size
                if not 0 <= wanted <= held:
                    raise LastGoodUnknown(
                        f"The log in this node's database has {held} entries, not {wanted}."
                    )
                root = root_of(await log.leaf_hashes(conn, gen, 0, wanted))
            yield LastGood(Void(gen=gen, size=wanted, root=root), held - wanted)
        finally:
            await leader.close()
