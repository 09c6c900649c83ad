"""Taking: while a peer is away, what it sealed to us is fetched from others that it sealed it to as well.

The follower of a peer's log asks, so nothing else works on that log meanwhile. The author's own checkpoint and leaf
hashes decide what is true; the cursor in its log stays where it is, and when it is back everything is read from it
again: what is held already is unchanged, what was withheld arrives.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

from tocsin_federation.checkpoint import open_checkpoint
from tocsin_federation.errors import EntryRefused, FederationError, LogBroken
from tocsin_federation.following import grow, new_leaves, tiles
from tocsin_federation.frames import Frame
from tocsin_federation.merkle import Frontier, leaf_hash
from tocsin_federation.messages import Header, read_header
from tocsin_federation.relaying import handable, offered
from tocsin_node.errors import NodeError
from tocsin_node.links.peer_client import PeerClient, PeerRefusal, PeerUnreachable
from tocsin_node.services.circle_standing import Standing
from tocsin_node.services.heads import Heads, log_id
from tocsin_node.services.intake import Intake
from tocsin_node.services.peer import Peer
from tocsin_node.services.peering import Peering
from tocsin_node.settings.federation import FederationSettings
from tocsin_node.storage import circles, relays, remote
from tocsin_node.storage.errors import StorageError
from tocsin_node.storage.pool import Pool
from tocsin_node.storage.relays import Mendable
from tocsin_node.storage.remote import RemoteLog

ASKED = 8  # peers a round
EVERY_S = 15.0  # at least so often others are asked while a peer is away
PATIENCE_S = 30.0  # so long beyond one answer a giver is listened to before others are asked
ANEW_S = 900.0  # after so long a giver is asked again from the cursor on: it may have got more since
MENDED = 16  # entries a time
MEND_AGAIN_S = 600.0
logger = logging.getLogger(__name__)


class Taking:
    """Fetches from others what a peer that is away has for us, and what it gave us spoilt."""

    def __init__(
        self,
        pool: Pool,
        peering: Peering,
        heads: Heads,
        client: PeerClient,
        intake: Intake,
        settings: FederationSettings,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._pool = pool
        self._peering = peering
        self._heads = heads
        self._client = client
        self._intake = intake
        self._settings = settings
        self._now = now
        # (author, giver) → up to where it was asked, and until when that holds; a start asks anew
        self._reached: dict[tuple[str, str], tuple[int, datetime]] = {}

    # While a peer is away -----------------------------------------------------------------------------

    async def round(self, author: Peer, back: asyncio.Event) -> bool:
        """Ask others for what `author` has for us, if it has been away for long enough; whether anybody was asked.

        `back` is set when the author shows itself: then it is followed itself. Never raises.
        """
        try:
            async with self._pool.acquire() as conn:
                heard_at = await relays.heard_at(conn, author.node_id)
            if self._now() - heard_at < timedelta(seconds=self._settings.relay_after_s):
                return False
            givers = [p for p in self._peering.active() if p.row.relay and p.node_id != author.node_id]
            for giver in random.sample(givers, min(ASKED, len(givers))):
                if back.is_set():
                    break
                await self._ask(author, giver, back)
        except StorageError as exc:
            logger.warning("others were not asked about %s: %s", author.row.name, exc)
            return False
        except Exception:
            logger.exception("asking others about %s failed", author.row.name)
            return False
        return bool(givers)

    async def _ask(self, author: Peer, giver: Peer, back: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(self._settings.read_timeout_s + PATIENCE_S):
                taken, code = await self._through(author, giver, back)
        except TimeoutError:
            logger.info(
                "%s gives what it has of %s slowly; others are asked", giver.row.name, author.row.name
            )
            return
        except (PeerRefusal, PeerUnreachable) as exc:
            logger.info("%s gave nothing of %s: %s", giver.row.name, author.row.name, exc)
            return
        except FederationError as exc:
            taken, code = 0, exc.code
        if taken:
            logger.warning(
                "%d entries of %s, who is away, came through %s", taken, author.row.name, giver.row.name
            )
        if code is not None:
            await self._blame(author, giver, code)

    async def _blame(self, author: Peer, giver: Peer, code: str) -> None:
        logger.warning("what %s gave of %s is not sound: %s", giver.row.name, author.row.name, code)
        async with self._pool.acquire() as conn:
            await relays.note_problem(conn, author.node_id, giver.node_id, code)

    async def _through(self, author: Peer, giver: Peer, back: asyncio.Event) -> tuple[int, str | None]:
        """How many entries came, and the code of what was not sound.

        Raises: PeerRefusal, PeerUnreachable; FederationError for a head or hashes that are not the author's.
        """
        key = author.identity.statement.log
        async with self._pool.acquire() as conn:
            log = await remote.open_log(conn, author.node_id, key.gen, Frontier().to_bytes())
        log = await self._grown(author, giver, log)
        start, taken, code = max(log.next_index, self._asked_up_to(author, giver)), 0, None
        while start < log.size and not back.is_set():
            batch = await self._client.entries(
                *(giver.row.url, giver.node_id, log_id(key.origin)),
                start=start,
                limit=self._settings.batch_entries,
            )
            current = self._peering.by_id(author.node_id)
            if current is None or not current.active:
                break
            frames = [frame for frame in batch.frames if frame.idx < log.size]
            came, wrong = await self._intake.take_from(giver, current, log, frames)
            taken, code = taken + came, code or wrong
            if batch.next_index <= start:
                break
            start = batch.next_index
            self._reach(author, giver, start)
        self._reach(author, giver, start)
        return taken, code

    def _reach(self, author: Peer, giver: Peer, start: int) -> None:
        ends = self._now() + timedelta(seconds=ANEW_S)
        before = self._reached.get((author.node_id, giver.node_id), (0, ends))
        self._reached[author.node_id, giver.node_id] = (start, before[1] if before[1] > self._now() else ends)

    def _asked_up_to(self, author: Peer, giver: Peer) -> int:
        index, until = self._reached.get((author.node_id, giver.node_id), (0, self._now()))
        return index if until > self._now() else 0

    async def _grown(self, author: Peer, giver: Peer, log: RemoteLog) -> RemoteLog:
        """The log with the largest head of the author's that `giver` can show; none smaller, and none unproven."""
        key = author.identity.statement.log
        url, name = giver.row.url, log_id(key.origin)
        note = (await self._client.checkpoint(url, giver.node_id, name, since=0, wait_s=0)).body
        head = open_checkpoint(note, key.vkey)
        try:
            if offered(log.size, log.frontier, head) == "nothing":
                return log
        except LogBroken:
            await self._heads.compare(author, note)  # the author's own signatures, and no word of the giver's
            return log
        leaves: list[bytes] = []
        for tile in tiles(log.size, head):
            body = await self._client.tile(url, giver.node_id, name, tile.index, tile.width)
            leaves += new_leaves(tile, body)
        frontier = await asyncio.to_thread(grow, log.frontier, leaves, head)
        async with self._pool.acquire() as conn:
            await remote.advance_head(
                conn, log, leaves, size=head.size, root=head.root, frontier=frontier, note=note
            )
            return await remote.open_log(conn, author.node_id, key.gen, frontier)

    # What came spoilt ---------------------------------------------------------------------------------

    async def mend(self, author: Peer, *, ask_author: bool, again_s: float = MEND_AGAIN_S) -> int:
        """Ask other recipients, and the author first if wanted, for entries that came spoilt; how many open now.

        Raises: StorageError. Who cannot be reached is asked another time, after `again_s` at the earliest.
        """
        async with self._pool.acquire() as conn:
            log = await remote.standing(conn, author.node_id, author.identity.statement.log.gen)
            if log is None:
                return 0
            due = await relays.mendable(conn, log, again_s=again_s, limit=MENDED)
        mended = 0
        for entry in due:
            givers = [*([author] if ask_author else []), *await self._holders(author, entry)]
            mended += await self._mended(author, log, entry, givers)
        return mended

    async def fetch(self, author: Peer, idx: int) -> bool:
        """Ask the author, then others, for one entry of its log again; the cursor stays. Whether it opens now.

        Raises: StorageError.
        """
        async with self._pool.acquire() as conn:
            log = await remote.standing(conn, author.node_id, author.identity.statement.log.gen)
            leaves = [] if log is None else await remote.leaves(conn, log, idx, idx + 1)
            if log is None or not leaves:
                return False
            leaf = await relays.leaf_aside(conn, log, idx)
        entry = Mendable(leaves[0], Frame(idx, leaf, b"", b""))
        return await self._mended(author, log, entry, [author, *await self._holders(author, entry)])

    async def _mended(self, author: Peer, log: RemoteLog, entry: Mendable, givers: Sequence[Peer]) -> bool:
        name = log_id(author.identity.statement.log.origin)
        for giver in givers:
            idx = entry.frame.idx
            try:
                batch = await self._client.entries(giver.row.url, giver.node_id, name, start=idx, limit=1)
            except (NodeError, FederationError) as exc:
                logger.info("%s could not mend entry %d of %s: %s", giver.row.name, idx, author.row.name, exc)
                continue
            frame = next((frame for frame in batch.frames if frame.idx == idx), None)
            if frame is not None and await self._intake.mend(giver, author, log, entry.leaf_hash, frame):
                logger.warning("entry %d of %s opens with what %s gave", idx, author.row.name, giver.row.name)
                return True
        return False

    async def _holders(self, author: Peer, entry: Mendable) -> list[Peer]:
        """Peers that may hold the entry: those it is addressed to, or anybody while its header is not known."""
        others = [p for p in self._peering.active() if p.row.relay and p.node_id != author.node_id]
        try:
            if leaf_hash(entry.frame.leaf) == entry.leaf_hash:
                named = await self._named(read_header(entry.frame.leaf))
                others = [p for p in others if p.node_id in named]
        except EntryRefused:
            pass
        return random.sample(others, min(ASKED, len(others)))

    async def _named(self, header: Header) -> Collection[str]:
        """NodeIDs that the entry is addressed to, by name or as members of its circle."""
        aud = header.aud
        if aud.circle is None or aud.epoch is None or not handable(header):
            return aud.nodes
        async with self._pool.acquire() as conn:
            row = await circles.get(conn, aud.circle)
        manifest = None if row is None else Standing.of(row).circle.at(aud.epoch)
        return () if manifest is None else manifest.members
