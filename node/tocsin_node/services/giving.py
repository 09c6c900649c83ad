"""Giving: what a peer's log holds for others of its readers is handed on to them, while its author is away.

Only to those whom the author itself named, and only what stands here. Nothing is kept for it: the ciphertext is made
anew from the content and its data key, the wrap is made for the caller.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from tocsin_federation.calls import CALL, Call, Step
from tocsin_federation.circle import circle_entry_id, write_file
from tocsin_federation.errors import FederationError
from tocsin_federation.frames import encode_frame, encode_trailer
from tocsin_federation.keys import EncKey
from tocsin_federation.messages import Header, read_header
from tocsin_federation.relaying import hand_on, may_hand_on
from tocsin_node.data_keys import DataKeyLost, DataKeys
from tocsin_node.services.heads import log_id
from tocsin_node.services.peer import Peer
from tocsin_node.services.peering import Peering
from tocsin_node.settings.federation import FederationSettings
from tocsin_node.storage import circles, relays, remote
from tocsin_node.storage.pool import Pool
from tocsin_node.storage.relays import HeldEntry
from tocsin_schema.marking import Tlp

MOST = 64  # entries in one answer: each costs a wrap
_CIRCLE = b'"circle'  # in each header that is addressed to a circle, or brings manifests
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
            held, reached = await relays.held(conn, log, start, looked, caller.node_id, replaced=own)
            told = await circles.all_circles(conn) if any(_CIRCLE in entry.leaf for entry in held) else []
        chains = {circle_entry_id(row.id): row.chain for row in told}
        key = caller.identity.enc_key(self._now())
        frames, reached = await asyncio.to_thread(
            self._frames, caller, held, chains, reached, min(limit, MOST), key
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
        chains: Mapping[str, Sequence[bytes]],
        reached: int,
        limit: int,
        key: EncKey,
    ) -> tuple[list[bytes], int]:
        frames: list[bytes] = []
        size = 0
        for entry in held:
            header = read_header(entry.leaf)
            content = _content(header, entry, chains)
            marked = None if entry.tlp is None else Tlp(entry.tlp)
            if content is None or not may_hand_on(header, caller.policy, marked):
                continue
            if frames and (len(frames) == limit or size + len(content) > self._settings.batch_bytes):
                return frames, entry.idx
            try:
                data_key = self._data_keys.unlock(entry.leaf_hash, entry.data_key)
                handed = hand_on(header, entry.leaf, content, data_key, caller.node_id, key)
            except (FederationError, DataKeyLost) as exc:
                logger.warning("entry %d cannot be handed on: %s", entry.idx, exc)
                continue
            frames.append(encode_frame(entry.idx, handed.leaf, handed.wrap, handed.ct))
            size += len(frames[-1])
        return frames, reached


def _content(header: Header, entry: HeldEntry, chains: Mapping[str, Sequence[bytes]]) -> bytes | None:
    """What the entry was sealed from, as far as it stands here."""
    match header.t:
        case "publish" | "revoke":
            return entry.report
        case "remark":
            return entry.remark
        case "call":
            return None if entry.call is None else _call(header, entry.call)
        case "circle":  # the epochs that there were when it was sent
            return write_file(chains[header.id][: header.ver]) if header.id in chains else None
        case _:
            return None


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
