"""What was given back of an entry of ours: held against its hash and its header, and put where it was.

Nobody can give us words that we did not write. Nothing rings for what comes back. Whom the entry was sealed to is what
its header says; of a circle the members whom its manifest and our ceilings let have it; and where it names nobody,
those that show that they have it [P-241].
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime

from tocsin_federation.circle import read_file, verify_circle
from tocsin_federation.circle_rules import first_difference
from tocsin_federation.envelope import Opened, open_returned, wrap_info
from tocsin_federation.errors import CircleRefused, EntryRefused, FederationError
from tocsin_federation.frames import Frame
from tocsin_federation.keys import EncPrivateKey
from tocsin_federation.messages import Header, read_header
from tocsin_federation.onward import read_share
from tocsin_node.data_keys import DataKeys
from tocsin_node.services.circle_standing import Standing
from tocsin_node.services.faults import code_of
from tocsin_node.services.peering import Peering
from tocsin_node.services.recalls_back import take_again
from tocsin_node.storage import circles, log, onward, regained, remarks, reports, shares
from tocsin_node.storage.circles import CircleEntry
from tocsin_node.storage.onward import Passing
from tocsin_node.storage.pool import Connection, Pool
from tocsin_node.storage.remarks import NewRemark
from tocsin_node.storage.reports import NewReport, Place
from tocsin_node.storage.shares import Share
from tocsin_schema.check import check_bundle
from tocsin_schema.remark import check_remark

logger = logging.getLogger(__name__)


class Returned:
    """Puts back what was lost, one entry a transaction. `node_id`: our own; `gen`: of our present log."""

    def __init__(
        self,
        pool: Pool,
        peering: Peering,
        data_keys: DataKeys,
        *,
        node_id: str,
        gen: int,
        enc_private: Callable[[], Mapping[str, EncPrivateKey]],
        now: Callable[[], datetime],
    ) -> None:
        self._pool = pool
        self._peering = peering
        self._data_keys = data_keys
        self._node_id = node_id
        self._gen = gen
        self._enc_private = enc_private
        self._now = now
        self._one = (
            asyncio.Lock()
        )  # two entries of one report at once would each find that it is not here yet
        self.on_circle: Callable[[], None] = lambda: None  # more is known of circles than before

    async def keep(self, frame: Frame, leaf_hash: bytes, giver: str) -> bool:
        """Put back a lost entry that `giver` (NodeID) gave; False when that is not sound. Raises: StorageError.

        What we ourselves cannot put back stays lost, and is told in the program's log: it holds up nothing else.
        """
        try:
            return await self._kept(frame, leaf_hash, giver)
        except Exception as exc:
            if code_of(exc) is None:
                raise
            logger.exception("entry %d of ours came back and could not be kept", frame.idx)
            return True

    async def _kept(self, frame: Frame, leaf_hash: bytes, giver: str) -> bool:
        opened = await self._opened(frame, leaf_hash)
        if opened is None:
            return False
        place = Place(self._gen, frame.idx, leaf_hash)
        header = opened.header
        async with self._one, self._pool.transaction() as conn:
            locked = self._data_keys.lock(leaf_hash, opened.data_key)
            if not await log.regain(conn, place.gen, place.index, frame.leaf, frame.ct, locked):
                return True
            readers = await self._readers(conn, header)
            if readers is None:  # who is meant is known by those alone that have it
                readers = {giver}
                await regained.ask(conn, place, sorted({p.node_id for p in self._peering.active()} - readers))
            await log.add_wraps(conn, place.gen, place.index, self._wraps(opened, leaf_hash, readers))
            learned = await self._stored(conn, opened, place, tuple(sorted(readers)))
            await take_again(conn, self._data_keys, opened, place, readers)
        if learned:
            self.on_circle()
        return True

    async def note_reader(self, frame: Frame, leaf_hash: bytes, node: str) -> bool:
        """`node` shows that an entry which names nobody was sealed to it, too; False when it shows nothing sound."""
        opened = await self._opened(frame, leaf_hash)
        if opened is None:
            return False
        async with self._one, self._pool.transaction() as conn:
            await log.add_wraps(conn, self._gen, frame.idx, self._wraps(opened, leaf_hash, {node}))
            await regained.add_reader(conn, leaf_hash, node)
            await take_again(conn, self._data_keys, opened, Place(self._gen, frame.idx, leaf_hash), {node})
            await regained.settle(conn, self._gen, node, [frame.idx])
        return True

    async def _opened(self, frame: Frame, leaf_hash: bytes) -> Opened | None:
        keys = self._enc_private()
        try:
            return await asyncio.to_thread(
                open_returned, frame, expected_leaf_hash=leaf_hash, me=self._node_id, enc_private=keys
            )
        except EntryRefused as exc:
            logger.warning("what was given back for entry %d is not sound: %s", frame.idx, exc.code)
            return None

    async def _readers(self, conn: Connection, header: Header) -> set[str] | None:
        """To whom the entry was sealed, as far as it says so itself; None: it does not."""
        aud = header.aud
        if aud.nodes:
            return set(aud.nodes)
        row = None if aud.circle is None else await circles.get(conn, aud.circle)
        if row is None or aud.epoch is None:
            return None
        standing = Standing.of(row)
        manifest = standing.circle.at(aud.epoch)
        contested = standing.frozen_at is not None and aud.epoch >= standing.frozen_at
        if manifest is None or contested:  # of two signed lists of members ours may be the other one [P-208]
            return None
        return {
            p.node_id
            for p in self._peering.active()
            if p.node_id in manifest.members and header.tlp.rank <= p.policy.max_tlp_out.rank
        }

    def _wraps(self, opened: Opened, leaf_hash: bytes, readers: Collection[str]) -> dict[str, bytes]:
        """A wrap for each reader that can still be sealed to; the rest of its readers have it, or had it."""
        wraps = {}
        for node_id in readers:
            peer = self._peering.by_id(node_id)
            if peer is None:
                continue
            try:
                key = peer.identity.enc_key(self._now())
            except FederationError:
                continue
            wraps[node_id] = key.wrap(opened.data_key, wrap_info(leaf_hash, self._node_id, node_id))
        return wraps

    async def _stored(self, conn: Connection, opened: Opened, place: Place, audience: Sequence[str]) -> bool:
        """Put back what the entry carried; whether more is known of circles after it."""
        header = opened.header
        if header.t in {"publish", "revoke"}:
            report = check_bundle(opened.content).report
            if report is not None:
                new = NewReport(report, self._node_id, header.ver, place, tuple(audience))
                if await reports.regain(conn, new):
                    await shares.record(conn, Share(report.id, header.ver, place, tuple(audience)))
            if header.aud.circle is not None:
                await circles.regain(conn, _counted(header, place))
        elif header.t == "remark":
            said = check_remark(opened.content).remark
            if said is not None and await reports.held(conn, [said.incident_id]):
                await remarks.put(conn, NewRemark(said, self._node_id, header.ver, place, tuple(audience)))
        elif header.t == "share":
            share = read_share(opened.content)
            author = read_header(share.proof.leaf).by
            to = tuple(node for node in audience if node != author)
            await onward.record(conn, Passing(self._node_id, place, header.id, header.ver, to, share.client))
        elif header.t == "circle":
            return await self._adopted(conn, opened.content)
        return False

    async def _adopted(self, conn: Connection, content: bytes) -> bool:
        """We told others of these manifests; whether they were not known.

        Our operator had adopted the circle then, and may have left it since, which no entry says: of a circle that the
        backup does not know it is asked again, before anything is shared into it.
        """
        try:
            chain = read_file(content)
            told = verify_circle(chain, now=self._now())
        except CircleRefused as exc:  # a manifest that has expired is of no use, and says so
            logger.info("manifests of ours that came back are not taken: %s", exc.code)
            return False
        row = (await circles.held(conn, [told.id])).get(told.id)
        if row is None:
            await circles.put(conn, told.id, chain, "offered")
            return True
        held = Standing.of(row).circle
        if first_difference(held, told) is not None:
            await circles.freeze(conn, told.id, chain)
            return True
        if told.epoch > held.epoch:
            await circles.put(conn, told.id, chain, row.state)
        return told.epoch > held.epoch


def _counted(header: Header, place: Place) -> CircleEntry:
    aud = header.aud
    assert aud.circle is not None, "only entries of circles are counted"
    assert aud.epoch is not None, "a form of messages.Audience"
    assert aud.cseq is not None, "the same"
    return CircleEntry(
        aud.circle, header.by, aud.cseq, place.leaf_hash, aud.cprev, aud.epoch, place.gen, place.index,
        header.id, header.ver, ours=True,
    )  # fmt: skip
