"""Giving: what a peer's log holds for others of its readers is handed on to them, while its author is away.

Only to those whom the author itself named, or its circle, and only what stands here. Nothing is kept for it: the
ciphertext is made anew from the content and its data key, the wrap is made for the caller.
"""

import asyncio
import contextlib
import logging
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson

from tocsin_federation.calls import CALL, Call, Step
from tocsin_federation.circle import circle_entry_id, write_file
from tocsin_federation.errors import EntryRefused, FederationError
from tocsin_federation.frames import encode_frame, encode_trailer
from tocsin_federation.keys import EncKey
from tocsin_federation.messages import Header, read_header
from tocsin_federation.onward import write_share
from tocsin_federation.proof import Disclosed, read_proof
from tocsin_federation.recall import What, write_recall
from tocsin_federation.relaying import Handed, hand_on, may_hand_on
from tocsin_node.data_keys import DataKeyLost, DataKeys
from tocsin_node.services.circle_standing import Standing, Standings
from tocsin_node.services.heads import log_id
from tocsin_node.services.peer import Peer
from tocsin_node.services.peering import Peering
from tocsin_node.settings.federation import FederationSettings
from tocsin_node.storage import relays, remote
from tocsin_node.storage.pool import Pool
from tocsin_node.storage.relays import HeldEntry
from tocsin_schema.marking import Tlp

MOST = 64  # entries in one answer: each costs a wrap
logger = logging.getLogger(__name__)


class Giving:
    """Hands on what peers have sealed to us and to the caller."""

    def __init__(
        self,
        pool: Pool,
        peering: Peering,
        data_keys: DataKeys,
        settings: FederationSettings,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._pool = pool
        self._peering = peering
        self._data_keys = data_keys
        self._settings = settings
        self._now = now
        self._standings = Standings()

    def author(self, caller: Peer, name: str) -> Peer | None:
        """Whose present log `name` (as in an address) is, if anything of it may be handed on to the caller.

        The caller itself, when it asks for its own words.
        """
        for peer in self._peering.active():
            if log_id(peer.identity.statement.log.origin) == name:
                return peer if peer.node_id == caller.node_id or caller.row.relay else None
        return None

    async def entries(self, caller: Peer, author: Peer, start: int, limit: int) -> bytes | None:
        """Frames of `author`'s log for `caller` from `start` on, and the index up to where we looked.

        None: we do not hold that log so far. Raises: StorageError, IdentityRefused (`caller` has no key in force).
        """
        async with self._pool.acquire() as conn:
            log = await remote.standing(conn, author.node_id, author.identity.statement.log.gen)
            if log is None or start > log.size:
                return None
            looked = min(log.size, max(log.next_index, log.relayed_to))
            if log.disputed_from is not None:
                looked = min(looked, log.disputed_from)
            if start >= looked:
                return encode_trailer(start)
            own = caller.node_id == author.node_id
            known = await self._standings.all(conn)
            theirs = [
                b64encode(s.circle.id).decode() for s in known if caller.node_id in s.circle.newest.members
            ]
            names = [caller.node_id, *theirs]
            held, reached = await relays.held(conn, log, start, looked, names, replaced=own)
        key = caller.identity.enc_key(self._now())
        frames, reached = await asyncio.to_thread(
            self._frames, caller, held, known, reached, min(limit, MOST), key
        )
        if frames:
            async with self._pool.acquire() as conn:
                await relays.note_given(conn, author.node_id, caller.node_id, len(frames))
            logger.info(
                "%d entries of %s were handed on to %s", len(frames), author.row.name, caller.row.name
            )
        return b"".join([*frames, encode_trailer(reached)])

    def _frames(
        self,
        caller: Peer,
        held: Sequence[HeldEntry],
        known: Sequence[Standing],
        reached: int,
        limit: int,
        key: EncKey,
    ) -> tuple[list[bytes], int]:
        frames: list[bytes] = []
        size = 0
        # Of what we have left, or what contradicts itself, nothing is handed on.
        shared = {s.circle.id: s.circle for s in known if s.state in {"adopted", "offered"}}
        chains = {circle_entry_id(s.circle.id): s.circle.chain for s in known}
        for entry in held:
            header = read_header(entry.leaf)
            marked = None if entry.tlp is None else Tlp(entry.tlp)
            if not may_hand_on(header, caller.policy, marked, shared.get(header.aud.circle or b"")):
                continue
            try:
                contents = self._contents(header, entry, chains)
                if (
                    frames
                    and contents
                    and (len(frames) == limit or size + len(contents[0]) > self._settings.batch_bytes)
                ):
                    return frames, entry.idx
                handed = self._handed(header, entry, contents, caller.node_id, key)
            except (FederationError, DataKeyLost) as exc:
                logger.warning("entry %d cannot be handed on: %s", entry.idx, exc)
                continue
            if handed is None:
                continue
            frames.append(encode_frame(entry.idx, handed.leaf, handed.wrap, handed.ct))
            size += len(frames[-1])
        return frames, reached

    def _handed(
        self, header: Header, entry: HeldEntry, contents: Sequence[bytes], caller: str, key: EncKey
    ) -> Handed | None:
        """The entry made whole. Raises: EntryRefused when it was sealed from none of `contents`, DataKeyLost."""
        data_key = self._data_keys.unlock(entry.leaf_hash, entry.data_key)
        for content in contents[:-1]:
            with contextlib.suppress(EntryRefused):
                return hand_on(header, entry.leaf, content, data_key, caller, key)
        return hand_on(header, entry.leaf, contents[-1], data_key, caller, key) if contents else None

    def _contents(
        self, header: Header, entry: HeldEntry, chains: Mapping[str, Sequence[bytes]]
    ) -> Sequence[bytes]:
        """What the entry may have been sealed from, as far as it stands here. Raises: FederationError, DataKeyLost."""
        match header.t:
            case "publish" | "revoke":
                return [] if entry.report is None else [entry.report]
            case "remark":
                return [] if entry.remark is None else [entry.remark]
            case "call":
                return [] if entry.call is None else [_call(header, entry.call)]
            case "circle":  # the epochs that there were when it was sent
                return [write_file(chains[header.id][: header.ver])] if header.id in chains else []
            case "share":
                return self._shares(header, entry)
            case "recall":
                return [] if entry.recall is None else [_recall(*entry.recall)]
            case _:
                return []

    def _shares(self, header: Header, entry: HeldEntry) -> Sequence[bytes]:
        """What a share held: the author's proof, and what it passes on. Whose clients its readers are is not kept."""
        if entry.proof is None or entry.passed_key is None or entry.report is None or header.ref is None:
            return []
        disclosed = Disclosed(entry.report, self._data_keys.unlock(header.ref, entry.passed_key))
        proof = replace(read_proof(entry.proof), disclosed=disclosed)
        return [write_share(proof, client=client) for client in (False, True)]


def _recall(what: What, entries: Sequence[bytes], reason: str, at: datetime, deadline: datetime) -> bytes:
    return write_recall(what, list(entries), reason, at=at, deadline=deadline)


def _call(header: Header, columns: Sequence[Any]) -> bytes:
    key, seq, ver, state, drill, reason, steps, since, at = columns
    call = Call(
        v=1,
        key=key,
        report_id=header.id,
        ver=int(ver),
        seq=int(seq),
        state=state,
        drill=drill == "true",
        reason=reason,
        since=int(since),
        at=int(at),
        steps=tuple(Step(**step) for step in orjson.loads(steps)),
    )
    return CALL.encode(call)
