"""Reconciling: whether a peer and we hold the same of each other's entries; if not, what, why, and what can be done.

Both directions: what it sealed to us against what became of it here, and what we sealed to it against what it says
became of it there. Heads are compared by signatures; the rest of what a peer answers is its word, and is shown as that.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from tocsin_federation.checkpoint import Checkpoint, open_checkpoint
from tocsin_federation.envelope import wrap_info
from tocsin_federation.errors import FederationError
from tocsin_federation.identity import Identity
from tocsin_federation.messages import read_header
from tocsin_federation.reconciling import (
    LISTED,
    Difference,
    Listed,
    Question,
    Range,
    Sum,
    differences,
    parts,
    questions,
    read_answer,
    read_question,
    whole,
    write_answer,
    write_question,
)
from tocsin_federation.sharing import servable
from tocsin_node.data_keys import DataKeyLost, DataKeys
from tocsin_node.errors import NodeError
from tocsin_node.links.peer_client import PeerClient, PeerRefusal, PeerUnreachable
from tocsin_node.services.gossip import Gossip
from tocsin_node.services.heads import Heads, HeldLog, log_id
from tocsin_node.services.ledger import Ledger
from tocsin_node.services.peer import Peer
from tocsin_node.services.peering import Peering
from tocsin_node.services.taking import Taking
from tocsin_node.storage import reconciling as storage
from tocsin_node.storage import remote
from tocsin_node.storage.errors import StorageError
from tocsin_node.storage.pool import Connection, Pool

SHOWN = 1000  # differences that are told; more are counted
MOST_QUESTIONS = 400
UNKNOWN_THERE = frozenset({"not-found", "log-unknown", "http-404", "http-405"})
PATIENCE = 30  # seconds that a peer may ask us to wait for one answer
Head = Literal["same", "they-are-behind", "we-are-behind", "contradicted", "unknown"]
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """A difference, and what was done about it. `report_id`: None while the entry could not be read here."""

    difference: Difference
    report_id: str | None
    repaired: bool = False
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Side:
    """One log, as both hold it for the one who did not write it. `compared`: places; `asked`: questions that it took.

    `waiting`: entries of the log that the reader has not worked through yet. `complete`: all differences are listed.
    `kept_out`: what the reader's people erased and let in no more; they have decided so, and it is no difference.
    """

    head: Head
    size: int
    their_size: int | None
    compared: int
    waiting: int
    held: int
    asked: int
    found: tuple[Found, ...] = field(default=())
    kept_out: tuple[Found, ...] = field(default=())
    complete: bool = True
    trouble: str | None = None

    @property
    def same(self) -> bool:
        """Whether both hold the same."""
        settled = all(each.repaired for each in self.found)
        return (
            self.head == "same" and self.waiting == 0 and settled and self.complete and self.trouble is None
        )


@dataclass(frozen=True, slots=True)
class Verified:
    """`theirs`: the log that the peer wrote; `ours`: our own."""

    theirs: Side
    ours: Side

    @property
    def same(self) -> bool:
        """Whether both hold the same of both logs."""
        return self.theirs.same and self.ours.same


class Reconciling:
    """Compares with peers, answers those that compare, and mends what can be mended."""

    def __init__(
        self,
        pool: Pool,
        peering: Peering,
        ledger: Ledger,
        heads: Heads,
        gossip: Gossip,
        client: PeerClient,
        taking: Taking,
        data_keys: DataKeys,
        *,
        identity: Identity,
        now: Callable[[], datetime],
    ) -> None:
        self._pool = pool
        self._peering = peering
        self._ledger = ledger
        self._heads = heads
        self._gossip = gossip
        self._client = client
        self._taking = taking
        self._data_keys = data_keys
        self._node_id = identity.node_id
        self._origin = identity.statement.log.origin
        self._vkey = identity.statement.log.vkey
        self._now = now

    # Answering -----------------------------------------------------------------------------------------

    async def answer(self, caller: Peer, name: str, body: bytes) -> bytes | None:
        """What we hold of our log for the caller, or of the caller's for us; None for any other log.

        Raises: CompareRefused, StorageError.
        """
        asked = read_question(body)
        async with self._pool.acquire() as conn:
            if name == log_id(self._origin):
                gen, size = self._ledger.head.gen, self._ledger.head.size
                if asked.listed:
                    return write_answer(size, (), await self._sealed(conn, caller, gen, asked.ranges))
                return write_answer(size, await storage.sum_sealed(conn, caller.node_id, gen, asked.ranges))
            key = caller.identity.statement.log
            if name != log_id(key.origin):
                return None
            log = await remote.standing(conn, caller.node_id, key.gen)
            reached = 0 if log is None else log.next_index
            if asked.listed:
                taken = await storage.taken(conn, caller.node_id, key.gen, asked.ranges)
                return write_answer(reached, (), taken)
            return write_answer(reached, await storage.sum_taken(conn, caller.node_id, key.gen, asked.ranges))

    async def _sealed(self, conn: Connection, peer: Peer, gen: int, ranges: Sequence[Range]) -> list[Listed]:
        rows = await storage.sealed(conn, peer.node_id, gen, ranges)
        return [
            Listed(at=row.idx, state="sealed" if row.leaf and servable(row.leaf, peer.policy) else "withheld")
            for row in rows
        ]

    # Asking --------------------------------------------------------------------------------------------

    async def verify(self, name: str, *, repair: bool = False) -> Verified:
        """Compare both logs with a peer, and with `repair` do what can be done from here.

        Raises: PeerUnknown, PeerUnreachable, PeerRefusal, StorageError.
        """
        peer = self._peering.named(name)
        theirs = await self._theirs(peer)
        ours = await self._ours(peer)
        if repair:
            theirs = replace(theirs, found=tuple([await self._fetch(peer, each) for each in theirs.found]))
            ours = replace(ours, found=tuple([await self._offer(peer, each) for each in ours.found]))
        return Verified(theirs, ours)

    async def _theirs(self, peer: Peer) -> Side:
        key = peer.identity.statement.log
        name = log_id(key.origin)
        note = (await self._client.checkpoint(peer.row.url, peer.node_id, name, since=0, wait_s=0)).body
        try:
            head = open_checkpoint(note, key.vkey)
            contradicted = await self._heads.compare(peer, note)
        except FederationError as exc:
            raise PeerUnreachable("The peer's checkpoint does not verify.", code=exc.code) from exc
        async with self._pool.acquire() as conn:
            log = await remote.standing(conn, peer.node_id, key.gen)
        size, reached = (0, 0) if log is None else (log.size, log.next_index)
        judged: Head = "contradicted" if contradicted else _judged(size, head.size)
        side = Side(
            judged, size, head.size, min(reached, head.size), head.size - min(reached, head.size), 0, 0
        )
        return await self._compared(peer, name, side, ours=False)

    async def _ours(self, peer: Peer) -> Side:
        held = self._heads.own()
        shown = await self._shown(peer)
        judged: Head = "unknown"
        if shown is not None:
            judged = _judged(held.size, shown.size)
            if shown.size <= held.size and not await self._continued(held, shown):
                judged = "contradicted"
        probe = await self._ask(peer, log_id(self._origin), [(0, 1)], listed=False)
        if isinstance(probe, str):
            return Side(judged, held.size, shown.size if shown else None, 0, 0, 0, 1, trouble=probe)
        reached = min(probe[0], held.size)
        side = Side(judged, held.size, shown.size if shown else None, reached, held.size - reached, 0, 1)
        return await self._compared(peer, log_id(self._origin), side, ours=True)

    async def _shown(self, peer: Peer) -> Checkpoint | None:
        """The largest head of ours that the peer shows, signed by our key; None: it shows none."""
        try:
            told = (await self._gossip.asked(peer, [self._origin])).heads
        except (NodeError, FederationError):
            return None
        found = []
        for note in told:
            try:
                found.append(open_checkpoint(note, self._vkey))
            except FederationError:
                continue
        return max(found, key=lambda head: head.size, default=None)

    async def _continued(self, held: HeldLog, shown: Checkpoint) -> bool:
        async with self._pool.acquire() as conn:
            return await self._heads.root(conn, held, shown.size) == shown.root

    async def _compared(self, peer: Peer, name: str, side: Side, *, ours: bool) -> Side:
        """Sum, cut and list until it is known where the two differ."""
        gen = self._ledger.head.gen if ours else peer.identity.statement.log.gen
        ranges, held, asked, listed = whole(side.compared), None, side.asked, []
        found: list[Difference] = []
        kept_out: list[Difference] = []
        while ranges and asked < MOST_QUESTIONS:
            differing: list[Range] = []
            count = 0
            for several in questions(ranges, listed=False):
                answer = await self._ask(peer, name, several, listed=False)
                asked += 1
                if isinstance(answer, str):
                    return replace(side, asked=asked, trouble=answer)
                mine = await self._sums(peer, gen, several, ours=ours)
                count += sum(each.n for each in mine)
                differing += [each for each, a, b in zip(several, mine, answer[1], strict=True) if a != b]
            held = count if held is None else held
            narrow = [each for each in differing if each[1] - each[0] <= LISTED]
            listed += narrow
            ranges = parts([each for each in differing if each not in narrow])
        for several in questions(sorted(listed), listed=True):
            if len(found) > SHOWN or asked >= MOST_QUESTIONS:
                break
            answer = await self._ask(peer, name, several, listed=True)
            asked += 1
            if isinstance(answer, str):
                return replace(side, asked=asked, trouble=answer)
            here = await self._list(peer, gen, several, ours=ours)
            for each in differences(here, {each.at: each for each in answer[2]}, ours=ours):
                (kept_out if each.remedy == "kept-out" else found).append(each)
        complete = not ranges and len(found) <= SHOWN and asked < MOST_QUESTIONS
        named = await self._named(peer, gen, found[:SHOWN], ours=ours)
        decided = await self._named(peer, gen, kept_out[:SHOWN], ours=ours)
        return replace(
            side,
            held=held or 0,
            asked=asked,
            found=tuple(named),
            kept_out=tuple(decided),
            complete=complete,
        )

    async def _ask(
        self, peer: Peer, name: str, ranges: Sequence[Range], *, listed: bool
    ) -> tuple[int, tuple[Sum, ...], tuple[Listed, ...]] | str:
        """The peer's answer: its place, its sums, its entries; or the code of what is wrong with it."""
        question = write_question(ranges, listed=listed)
        try:
            raw = await self._patient(peer, name, question)
            answer = read_answer(raw, Question(v=1, ranges=tuple(ranges), listed=listed))
        except PeerRefusal as exc:
            return "cannot-compare" if exc.said in UNKNOWN_THERE else exc.said
        except PeerUnreachable as exc:
            if exc.code in UNKNOWN_THERE:
                return "cannot-compare"
            raise
        except FederationError as exc:
            return exc.code
        return answer.next, answer.sums, answer.entries

    async def _patient(self, peer: Peer, name: str, question: bytes) -> bytes:
        for _ in range(PATIENCE):
            try:
                return await self._client.compare(peer.row.url, peer.node_id, name, question)
            except PeerRefusal as exc:
                if exc.said != "too-fast":
                    raise
                await asyncio.sleep(1)  # the peer's brake gives no event, only time
        return await self._client.compare(peer.row.url, peer.node_id, name, question)

    async def _sums(self, peer: Peer, gen: int, ranges: Sequence[Range], *, ours: bool) -> list[Sum]:
        async with self._pool.acquire() as conn:
            sums = storage.sum_sealed if ours else storage.sum_taken
            return await sums(conn, peer.node_id, gen, ranges)

    async def _list(
        self, peer: Peer, gen: int, ranges: Sequence[Range], *, ours: bool
    ) -> Mapping[int, Listed]:
        async with self._pool.acquire() as conn:
            rows = (
                await self._sealed(conn, peer, gen, ranges)
                if ours
                else await storage.taken(conn, peer.node_id, gen, ranges)
            )
        return {row.at: row for row in rows}

    async def _named(self, peer: Peer, gen: int, found: Sequence[Difference], *, ours: bool) -> list[Found]:
        if not found:
            return []
        async with self._pool.acquire() as conn:
            if ours:
                rows = await storage.sealed(conn, peer.node_id, gen, [(d.at, d.at + 1) for d in found])
                names: Mapping[int, str | None] = {
                    row.idx: read_header(row.leaf).id for row in rows if row.leaf
                }
            else:
                names = await storage.named(conn, peer.node_id, gen, [d.at for d in found])
        return [Found(each, names.get(each.at)) for each in found]

    # Mending -------------------------------------------------------------------------------------------

    async def _fetch(self, peer: Peer, found: Found) -> Found:
        """Ask for an entry of the peer's again: from it, then from others that it was sealed to."""
        if found.difference.remedy != "fetch":
            return found
        try:
            done = await self._taking.fetch(peer, found.difference.at)
        except (NodeError, FederationError) as exc:
            return replace(found, note=exc.code)
        if not done:
            return replace(found, note="nobody gave bytes that open")
        gen = peer.identity.statement.log.gen
        async with self._pool.acquire() as conn:
            names = await storage.named(conn, peer.node_id, gen, [found.difference.at])
            (now,) = await storage.taken(
                conn, peer.node_id, gen, [(found.difference.at, found.difference.at + 1)]
            )
        taken = now.state in {"stored", "unchanged", "superseded"}
        note = now.state if taken else f"{now.state}: {now.code}"
        return replace(found, report_id=names.get(found.difference.at), repaired=taken, note=note)

    async def _offer(self, peer: Peer, found: Found) -> Found:
        """Make the wrap anew for an entry of ours that the peer could not open."""
        if found.difference.remedy != "offer":
            return found
        gen, at = self._ledger.head.gen, found.difference.at
        try:
            key = peer.identity.enc_key(self._now())
            async with self._pool.transaction() as conn:
                (row,) = await storage.sealed(conn, peer.node_id, gen, [(at, at + 1)])
                if row.data_key is None:
                    return replace(found, note="its data key was not kept")
                data_key = self._data_keys.unlock(row.leaf_hash, row.data_key)
                wrap = key.wrap(data_key, wrap_info(row.leaf_hash, self._node_id, peer.node_id))
                await storage.new_wrap(conn, peer.node_id, gen, at, wrap)
        except (FederationError, DataKeyLost, StorageError) as exc:
            return replace(found, note=exc.code)
        return replace(found, note="offered anew; they fetch it within fifteen minutes")


def _judged(ours: int, theirs: int) -> Head:
    """By the sizes alone that we and they know of a log."""
    if ours == theirs:
        return "same"
    return "we-are-behind" if ours < theirs else "they-are-behind"
