"""The exchange: follow every active peer's log, and give each entry addressed to us one terminal outcome.

One task a peer. A round is: ask for a checkpoint longer than ours (a long poll), verify that it extends what we
hold, keep its leaf hashes, then fetch the entries we may see and hand them to the intake, batch by batch. Order is
the index in the origin's log; no clock decides anything.

Two kinds of wrong are kept apart. A bad *entry* (forged, malformed, against policy) gets its outcome in the intake
and the stream goes on. A log that *contradicts* itself is not taken: if the peer's own signatures show it (a fork),
the peer is stopped, the evidence kept and people told, until a person resumes it; all else is asked for again.
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from tocsin_federation.checkpoint import MAX_SIGNATURES, Checkpoint, open_checkpoint
from tocsin_federation.errors import (
    FederationError,
    FramesRefused,
    IdentityRefused,
    LogBroken,
)
from tocsin_federation.following import grow, look, new_leaves, past_of, tiles, within
from tocsin_federation.identity import EndedLog, ended_logs
from tocsin_federation.merkle import Frontier
from tocsin_node.errors import NodeError
from tocsin_node.links.peer_client import Batch, PeerClient, PeerRefusal, PeerUnreachable
from tocsin_node.services.ended_logs import dispute_from, ended_from
from tocsin_node.services.heads import log_id
from tocsin_node.services.intake import Intake
from tocsin_node.services.peer import Peer
from tocsin_node.services.peering import Peering
from tocsin_node.services.resting import rest
from tocsin_node.services.taking import EVERY_S, Taking
from tocsin_node.services.witnessing import Witnessing
from tocsin_node.settings.federation import FederationSettings
from tocsin_node.storage import remote
from tocsin_node.storage.errors import StorageError
from tocsin_node.storage.pool import Pool
from tocsin_node.storage.remote import RemoteLog

_CLOSED = frozenset({"not-approved", "not-authenticated"})
_NOT_YET = "They have not approved us yet; it starts by itself when they do."
_ENDED = "They have ended the connection, or not approved it anew: they fetch nothing of ours. Call them."
LEAST_ROUND_S = 1.0  # a round that brings nothing takes at least this long
PATIENCE = 60  # seconds that a peer may ask us to wait for one tile
DOUBTS = 3  # at every so-manieth contradiction in a row the whole log is fetched, to prove it or not
Brought = Literal["entries", "words", "nothing"]  # words: of witnesses, on a head that is no larger
logger = logging.getLogger(__name__)


class Exchange:
    """Keeps one follower task a peer. Start `run()` once; `nudge` and `sweep` make it look at once."""

    def __init__(
        self,
        pool: Pool,
        peering: Peering,
        client: PeerClient,
        intake: Intake,
        witnessing: Witnessing,
        taking: Taking,
        chain: Sequence[bytes],
        settings: FederationSettings,
    ) -> None:
        self._pool = pool
        self._peering = peering
        self._client = client
        self._intake = intake
        self._witnessing = witnessing
        self._taking = taking
        self._chain = chain
        self._settings = settings
        self._nudged: dict[str, asyncio.Event] = {}
        self._pausing: set[str] = set()
        self._ending: set[tuple[str, int]] = set()  # generations whose rest was asked for since we started
        self._open: set[str] = set()  # who has let us in since we started
        self._changed: asyncio.Queue[str] = asyncio.Queue()

    async def run(self) -> None:
        """Follow all active peers, and those that become active, until cancelled."""
        followers: dict[str, asyncio.Task[None]] = {}
        self._peering.changed = self._changed.put_nowait
        for known in self._peering.present():
            self._changed.put_nowait(known.node_id)
        async with asyncio.TaskGroup() as group:
            while True:
                node_id = await self._changed.get()
                peer = self._peering.by_id(node_id)
                task = followers.get(node_id)
                if peer is not None and peer.active and (task is None or task.done() or task.cancelling()):
                    followers[node_id] = group.create_task(self._follow(node_id), name=f"follow {node_id}")
                elif (peer is None or not peer.active) and task is not None:
                    task.cancel()

    def nudge(self, node_id: str) -> None:
        """Look at that peer now, whatever the back-off says."""
        self._event(node_id).set()

    def heard(self, node_id: str) -> None:
        """That peer has just asked us for something: if we had given up on it for a while, look again now."""
        if node_id in self._pausing:
            self.nudge(node_id)

    def sweep(self) -> None:
        """Look at every peer now."""
        for peer in self._peering.present():
            self.nudge(peer.node_id)

    def _event(self, node_id: str) -> asyncio.Event:
        return self._nudged.setdefault(node_id, asyncio.Event())

    async def _follow(self, node_id: str) -> None:
        failures, doubts, renewed, fresh = 0, 0, 0, True
        told = len(self._chain) == 1  # statement 0 was told when we were introduced
        while True:
            peer = self._peering.by_id(node_id)
            if peer is None or not peer.active:
                return
            try:
                told = told or await self._tell_chain(peer)
                if failures or self._event(node_id).is_set():
                    self._event(node_id).clear()
                    peer = await self._refresh_chain(peer)
                    fresh = True
                began = asyncio.get_running_loop().time()
                wait_s = 0 if fresh else self._settings.long_poll_s
                brought = await self._round(peer, wait_s=wait_s, doubted=doubts % DOUBTS == DOUBTS - 1)
                renewed = 0 if brought == "entries" else renewed + (brought == "words")
                if not fresh and (brought == "nothing" or renewed >= MAX_SIGNATURES):
                    await self._rest(node_id, began)
                failures, doubts, fresh = 0, 0, False
            except LogBroken as exc:
                doubts, failures = doubts + 1, failures + 1
                if await self._noted(peer, exc, suspect=exc.proven) and exc.proven:
                    return
                await self._pause(node_id, failures)
            except (NodeError, FederationError) as exc:
                failures += 1
                stop = isinstance(exc, IdentityRefused) and exc.code == "chain-forked"
                if await self._noted(peer, exc, suspect=stop) and stop:
                    return
                asked = isinstance(exc, PeerUnreachable) and await self._ask_others(peer)
                await self._pause(node_id, failures, most_s=EVERY_S if asked else None)
            except Exception:
                failures += 1
                logger.exception("following %s failed", peer.row.name)
                await self._kept(peer, "follower-failed", "This is our fault; the log has more.")
                await self._pause(node_id, failures)

    async def _noted(self, peer: Peer, exc: NodeError | FederationError, *, suspect: bool = False) -> bool:
        """Keep what went wrong with a peer; a moment of trouble in our own database is not held against it."""
        if isinstance(exc, StorageError) and exc.retryable:
            return False
        said = exc if isinstance(exc, PeerRefusal) else None
        code, hint = said.said if said else exc.code, exc.hint
        if code in _CLOSED:
            hint = await self._why_closed(peer, code, hint)
        skew_s = said.clock_skew_s if said else None
        return await self._kept(peer, code, hint, suspect=suspect, heard=said is not None, skew_s=skew_s)

    async def _why_closed(self, peer: Peer, code: str, hint: str) -> str:
        """A peer that has let us in, or whose log we hold, had approved us: then its door was closed since."""
        if peer.node_id in self._open:
            return _ENDED
        try:
            async with self._pool.acquire() as conn:
                held = await remote.standing(conn, peer.node_id, peer.identity.statement.log.gen)
        except StorageError:
            return hint
        if held is not None and held.note is not None:
            return _ENDED
        return _NOT_YET if code == "not-approved" else hint

    async def _kept(
        self,
        peer: Peer,
        code: str,
        hint: str,
        *,
        suspect: bool = False,
        heard: bool = False,
        skew_s: float | None = None,
    ) -> bool:
        """Write what is wrong with a peer, for its status; False when that cannot be written. Never raises."""
        try:
            if heard:  # first, so that whoever sees the problem sees the clock that explains it
                await self._peering.note_contact(peer.node_id, clock_skew_s=skew_s)
            await self._peering.note_problem(peer.node_id, code, hint, suspect=suspect)
        except StorageError as trouble:
            logger.warning("peer %s: %s could not be noted: %s", peer.row.name, code, trouble)
            return False
        return True

    async def _ask_others(self, peer: Peer) -> bool:
        """While a peer is away: have others hand on what it has for us; whether anybody was asked."""
        self._pausing.add(peer.node_id)  # it may show itself meanwhile
        try:
            return await self._taking.round(peer, self._event(peer.node_id))
        finally:
            self._pausing.discard(peer.node_id)

    async def _pause(self, node_id: str, failures: int, *, most_s: float | None = None) -> None:
        """Full jitter up to the cap (`most_s`: a lower one); a nudge (their request, the sweep, a person) ends it."""
        cap = self._settings.backoff_max_s if most_s is None else min(most_s, self._settings.backoff_max_s)
        ceiling = min(cap, 2.0 ** min(failures, 16) / 2)
        self._pausing.add(node_id)
        try:
            async with asyncio.timeout(random.uniform(0.05, max(0.1, ceiling))):  # noqa: S311  jitter, not a secret
                await self._event(node_id).wait()
        except TimeoutError:
            pass
        finally:
            self._pausing.discard(node_id)

    async def _rest(self, node_id: str, began: float) -> None:
        """Who answers long polls at once with nothing new is not asked more than once a second.

        Words of further witnesses on the same head are new, as often as a note has room for them [P-161].
        """
        left_s = began + LEAST_ROUND_S - asyncio.get_running_loop().time()
        if left_s > 0:
            await rest(self._event(node_id), left_s)

    async def _tell_chain(self, peer: Peer) -> bool:
        """Tell a peer our new statements; it need not listen, and is followed all the same."""
        try:
            await self._client.tell_chain(peer.row.url, peer.node_id, self._chain)
        except (NodeError, FederationError) as exc:
            logger.info("peer %s was not told our statements: %s", peer.row.name, exc)
            return False
        return True

    async def _refresh_chain(self, peer: Peer) -> Peer:
        chain = await self._client.chain(peer.row.url)
        return await self._peering.learn_chain(peer.node_id, chain)

    # One round ---------------------------------------------------------------------------------------

    async def _round(self, peer: Peer, *, wait_s: float, doubted: bool = False) -> Brought:
        """Ask, verify, take; says what there was. `doubted`: prove it if its past is another."""
        log_key = peer.identity.statement.log
        async with self._pool.acquire() as conn:
            log = await remote.open_log(conn, peer.node_id, log_key.gen, Frontier().to_bytes())
        if wait_s == 0:
            await self._intake.retry(peer, log)
            await self._taking.mend(peer, ask_author=True)
        await self._end_logs(peer, again=wait_s == 0)
        behind = log.next_index < log.size
        if behind:
            log = await self._take_entries(peer, log)
        size = log.size
        answer = await self._client.checkpoint(
            peer.row.url, peer.node_id, log_id(log_key.origin), since=log.size, wait_s=wait_s
        )
        known = answer.body == log.note  # verified when it was kept
        head = None if known else open_checkpoint(answer.body, log_key.vkey)
        self._open.add(peer.node_id)
        if self._ended_since(peer):
            return "nothing"  # what came late is of a log that its author has ended: `_end_log` looks at that
        if head is not None:
            log = await self._grown(peer, log, head, answer.body, doubted=doubted)
            await self._cosigned(peer, log, log_key.origin, answer.body)
        await self._peering.note_contact(peer.node_id, clock_skew_s=answer.clock_skew_s, well=True)
        new = head is not None and head.size > size
        if new:
            await self._take_entries(peer, log)
        if new or behind:
            await self._taking.mend(peer, ask_author=False)  # it was asked often enough a moment ago
        if new:
            return "entries"
        return "nothing" if head is None else "words"

    async def _cosigned(self, peer: Peer, log: RemoteLog, origin: str, note: bytes) -> None:
        """Keep what witnesses have put on the head that we hold now; more may come while it stays the same."""
        await self._witnessing.keep(peer.node_id, origin, log.size, note)
        if note != log.note:
            async with self._pool.acquire() as conn:
                await remote.renew_note(conn, log, note)

    async def _grown(
        self, peer: Peer, log: RemoteLog, head: Checkpoint, note: bytes, *, doubted: bool
    ) -> RemoteLog:
        """The log as it stands with `head`; what its own signatures convict it of is kept as evidence."""
        try:
            look(log.size, log.frontier, head)
            return await self._extend(peer, log, head, note) if head.size > log.size else log
        except LogBroken as exc:
            path: tuple[bytes, ...] | None = ()
            if exc.code == "log-root":
                path = await self._other_past(peer, log, head) if doubted else None
            if path is None or not (exc.proven or path):
                raise
            convicted = LogBroken("log-fork") if path else exc
            await self._peering.convict(
                peer.node_id, convicted.code, convicted.hint, held=log.note or b"", offered=note, path=path
            )
            raise convicted from exc

    async def _other_past(self, peer: Peer, log: RemoteLog, head: Checkpoint) -> tuple[bytes, ...] | None:
        """Fetch the whole log, to see whether it is another than the one that was verified."""
        leaves = await self._leaf_hashes(peer, log.gen, 0, head)
        return await asyncio.to_thread(past_of, log.frontier, leaves, head)

    async def _extend(self, peer: Peer, log: RemoteLog, head: Checkpoint, note: bytes) -> RemoteLog:
        """Fetch the leaf hashes between our size and the new one; they must yield the signed root."""
        leaves = await self._leaf_hashes(peer, log.gen, log.size, head)
        frontier = grow(log.frontier, leaves, head)
        async with self._pool.acquire() as conn:
            await remote.advance_head(
                conn, log, leaves, size=head.size, root=head.root, frontier=frontier, note=note
            )
        return replace(log, size=head.size, frontier=frontier, note=note)

    async def _leaf_hashes(self, peer: Peer, gen: int, size: int, head: Checkpoint) -> list[bytes]:
        name = _name_of(peer, gen)
        leaves: list[bytes] = []
        for tile in tiles(size, head):
            leaves += new_leaves(tile, await self._tile(peer, name, tile.index, tile.width))
        return leaves

    async def _tile(self, peer: Peer, log: str, tile: int, width: int) -> bytes:
        """One tile; a peer that asks for patience gets it, so that a long log can be fetched at its pace."""
        for _ in range(PATIENCE):
            try:
                return await self._client.tile(peer.row.url, peer.node_id, log, tile, width)
            except PeerRefusal as exc:
                if exc.said != "too-fast":
                    raise
                await asyncio.sleep(1)  # the peer's brake gives no event, only time
        return await self._client.tile(peer.row.url, peer.node_id, log, tile, width)

    async def _take_entries(self, peer: Peer, log: RemoteLog) -> RemoteLog:
        """Take batch after batch, in order; while the intake works on one, the next is on its way."""
        coming = asyncio.create_task(self._entries(peer, log.gen, log.next_index))
        try:
            while log.next_index < log.size:
                batch = await coming
                try:
                    frames, next_index = within(log.next_index, log.size, batch.frames, batch.next_index)
                except FramesRefused as exc:
                    raise PeerUnreachable("The peer's entries do not move on.", code="bad-answer") from exc
                if next_index < log.size:
                    coming = asyncio.create_task(self._entries(peer, log.gen, next_index))
                current = self._peering.by_id(peer.node_id)  # a ceiling may have changed while we waited
                if current is None or not current.active or self._ended_since(peer):
                    return log
                log = await self._intake.take(current, log, frames, next_index)
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
        return log

    def _ended_since(self, peer: Peer) -> bool:
        """Whether the peer has begun a new generation since this round did: its statement may come at any moment."""
        current = self._peering.by_id(peer.node_id)
        return current is not None and current.identity.statement.log.gen > peer.identity.statement.log.gen

    # A generation that has ended ----------------------------------------------------------------------

    async def _end_logs(self, peer: Peer, *, again: bool) -> None:
        """Take in what is still good of a peer's ended logs (P-152); what cannot be had now is asked for later."""
        for ended in ended_logs(peer.identity):
            if (peer.node_id, ended.key.gen) in self._ending and not again:
                continue
            self._ending.add((peer.node_id, ended.key.gen))
            async with self._pool.acquire() as conn:
                log = await remote.standing(conn, peer.node_id, ended.key.gen)
            if log is None or log.ended:
                continue
            try:
                await self._end_log(peer, ended, log)
            except (PeerRefusal, PeerUnreachable, FederationError) as exc:
                logger.info(
                    "peer %s: the rest of generation %d cannot be had now: %s", peer.row.name, log.gen, exc
                )

    async def _end_log(self, peer: Peer, ended: EndedLog, log: RemoteLog) -> None:
        good, other = ended.good, False
        if good is None or log.size < good:
            answer = await self._client.checkpoint(
                peer.row.url, peer.node_id, log_id(ended.key.origin), since=0, wait_s=0
            )
            head = open_checkpoint(answer.body, ended.key.vkey)
            shown = ended.void is None or (head.size, head.root) == (ended.void.size, ended.void.root)
            try:
                if shown and head.size > log.size:
                    log = await self._extend(peer, log, head, answer.body)
            except LogBroken:
                if good is None or await self._other_past(peer, log, head) is None:
                    raise  # damage on the way is no judgement [P-47]
                other = True  # what we were shown is not the beginning of what is good
        if good is not None and log.size < good and not other:
            return
        async with self._pool.acquire() as conn:
            disputed = await ended_from(conn, ended, log)
        until = log.size if disputed is None else disputed
        if log.next_index < until:
            log = await self._take_entries(peer, replace(log, size=until))
            if log.next_index < until:
                return
        async with self._pool.transaction() as conn:
            if disputed is not None:
                others = await dispute_from(conn, log, disputed)
                await self._peering.on_disputed(conn, others)
            await remote.end(conn, log.origin, log.gen)

    async def _entries(self, peer: Peer, gen: int, start: int) -> Batch:
        log = _name_of(peer, gen)
        limit = self._settings.batch_entries
        return await self._client.entries(peer.row.url, peer.node_id, log, start=start, limit=limit)


def _name_of(peer: Peer, gen: int) -> str:
    """How that generation of a peer's log is named in an address."""
    return next(log_id(s.log.origin) for s in peer.identity.statements if s.log.gen == gen)
