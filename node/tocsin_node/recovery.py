"""The last good head of a log that is to be ended: its key was stolen, or its database is that of a backup.

The node must be stopped meanwhile: what it would add to the old log would be disputed.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tocsin_federation.identity import verify_chain
from tocsin_federation.merkle import root_of
from tocsin_federation.statement import Void
from tocsin_node.errors import NodeError
from tocsin_node.identity_files import read_chain
from tocsin_node.settings.loading import load
from tocsin_node.storage import log
from tocsin_node.storage.database import bring_up_to_date, open_database
from tocsin_node.storage.leader import Leader

ALTERED = "Take size and root from a checkpoint that a peer holds: --last-good SIZE --last-good-root BASE64."


class LastGoodUnknown(NodeError):
    """The log in this node's database never had that size."""

    code = "last-good-unknown"
    hint = "Give one up to what `tocsin log verify` showed last; left out, it is all that the database holds."


class CameBackInDoubt(NodeError):
    """Entries of this log came back from peers; whoever has its key may have written them."""

    code = "last-good-unsaid"
    hint = "Say which are good: --last-good SIZE."


@dataclass(frozen=True, slots=True)
class LastGood:
    """The head up to which a log is good, and how many entries of the node's own database lie beyond it."""

    void: Void
    beyond: int


@asynccontextmanager
async def last_good(directory: Path, size: int | None, *, stolen: bool = False) -> AsyncIterator[LastGood]:
    """The newest checkpoint over at most `size` entries (None: of all) that the database holds, with the pen held.

    What a thief signed with the stolen key is not in this database unless he had that too, or it came back from peers:
    then, `stolen`, a person has to name the size.

    Raises: LastGoodUnknown, CameBackInDoubt, NodeRunning, NotInitialised, SettingsError, SecretError, StorageError.
    """
    settings = load(directory)
    gen = verify_chain(read_chain(directory), expected=None, now=None).statement.log.gen
    async with open_database(settings) as database:
        leader = Leader(database.address)
        await leader.open()
        try:
            await bring_up_to_date(settings, database)
            async with leader.connection() as conn:
                held, good = await log.head(conn, gen), await log.head_within(conn, gen, size)
                back = [each for each in await log.came_back(conn) if each.gen == gen and not each.confirmed]
                if stolen and size is None and held and back:
                    raise in_doubt(back, held.size)
                if held is None or good is None or (size is not None and size > held.size):
                    entries = held.size if held else 0
                    raise LastGoodUnknown(f"The log in this node's database has {entries} entries.")
                if root_of(await log.hashed_anew(conn, gen, 0, good.size)) != good.root:
                    raise LastGoodUnknown("The log in this node's database was altered.", hint=ALTERED)
            yield LastGood(Void(gen=gen, size=good.size, root=good.root), held.size - good.size)
        finally:
            await leader.close()


def in_doubt(back: Sequence[log.CameBack], size: int) -> CameBackInDoubt:
    """What a person has to decide about entries that came back, in a log of `size` entries."""
    first = back[0]
    count = sum(each.stop - each.start for each in back)
    what = "An entry" if count == 1 else f"{count} entries"
    return CameBackInDoubt(
        f"{what} of this log came back from peers, the first at {first.at:%Y-%m-%d %H:%M} UTC: "
        "nobody has said yet whose that is.",
        hint=f"If a backup had been put back then, it is yours: --last-good {size}. If not, a thief wrote it: "
        f"--last-good {first.start}.",
    )
