"""Proving: one file that shows a stranger that a version of a report stands in its author's log, and what it said.

The proof of a peer's report is made from what was verified when it came: its leaf, its place, the peer's checkpoint.
So a node can show what it was told without asking who told it.
"""

from dataclasses import replace
from functools import partial

from tocsin_federation.checkpoint import note_lines
from tocsin_federation.cosignature import with_lines
from tocsin_federation.envelope import open_disclosed
from tocsin_federation.identity import Identity, ended_logs
from tocsin_federation.messages import read_header
from tocsin_federation.proof import Disclosed, Proof, read_proof, write_proof
from tocsin_node.data_keys import DataKeys
from tocsin_node.errors import NodeError
from tocsin_node.services.peering import Peering
from tocsin_node.services.report_refusals import ReportUnknown
from tocsin_node.services.trees import Trees
from tocsin_node.services.trust import Trusting
from tocsin_node.storage import log, onward, recalls, remote, reports, witness
from tocsin_node.storage.onward import Through
from tocsin_node.storage.pool import Connection, Pool
from tocsin_node.storage.reports import Place, StoredReport

REPUBLISH = "`tocsin key republish ID` puts it into the log that is in force."


class NotInLog(NodeError):
    """There is nothing to prove: that version stands in no log."""

    code = "not-in-log"
    hint = "Only what was shared stands in the log: `tocsin report share ID --to NAME`."


class NotKept(NodeError):
    """What the proof needs was not kept."""

    code = "proof-not-kept"
    hint = "It came before this node kept such things; its author can prove it."


class TlpForbids(NodeError):
    """Only the author may show a stranger what is not TLP:CLEAR."""

    code = "tlp-forbids"
    hint = "Ask the author to disclose it, or prove it without --disclose."


class Proving:
    """Makes proofs."""

    def __init__(
        self,
        pool: Pool,
        peering: Peering,
        identity: Identity,
        data_keys: DataKeys,
        trees: Trees,
        trusting: Trusting,
    ) -> None:
        self._pool = pool
        self._peering = peering
        self._identity = identity
        self._data_keys = data_keys
        self._trees = trees
        self._trusting = trusting

    async def prove(self, report_id: str, *, ver: int | None = None, disclose: bool = False) -> bytes:
        """The proof (C2SP tlog-proof) of a version of a report; None: the newest held.

        With `disclose` it shows the version's content too, else only the entry's header: id, version, marking, time,
        recipients. Raises: ReportUnknown, NotInLog, NotKept, TlpForbids, DataKeyLost, StorageError.
        """
        async with self._pool.acquire() as conn:
            report = await reports.get(conn, report_id)
            if report is None:
                raise ReportUnknown
            wanted = ver or report.ver
            place = await reports.place_of(conn, report_id, wanted)
            if place is None:
                raise NotInLog(f"Version {wanted} of this report stands in no log.")
            ours = report.origin == self._identity.node_id
            if disclose and not ours and report.tlp != "clear":
                raise TlpForbids(f"The report is another organisation's and marked TLP:{report.tlp.upper()}.")
            if disclose and not ours and await recalls.waiting(conn, report_id):
                raise TlpForbids("Its author takes the report back.")
            if ours:
                return await self._own(conn, place, disclose=disclose)
            through = (await onward.through(conn, [(report_id, wanted)])).get(report_id)
            if through is not None:
                return self._passed(report, through, place, disclose=disclose and wanted == report.ver)
            return write_proof(await self._theirs(conn, report, wanted, place, disclose=disclose))

    async def _own(self, conn: Connection, place: Place, *, disclose: bool) -> bytes:
        ended = next((e for e in ended_logs(self._identity) if e.key.gen == place.gen), None)
        good = ended.good if ended else None
        origin = next(s.log.origin for s in self._identity.statements if s.log.gen == place.gen)
        witnessed = await self._trusting.witnessed_size(
            conn, self._identity.node_id, origin, place.index, within=good
        )
        head = await log.head_within(conn, place.gen, good if witnessed is None else witnessed)
        entry = await log.entry(conn, place.gen, place.index)
        if head is None or entry is None or entry.leaf is None or entry.ct is None:
            raise NotKept
        if place.index >= head.size:
            raise NotInLog("It stands where the log was ended before it.", hint=REPUBLISH)
        read = partial(log.leaf_hashes, conn, place.gen)
        path = await self._trees.inclusion((self._identity.node_id, place.gen), read, place.index, head.size)
        note = await self._cosigned(conn, origin, head.size, head.note)
        disclosed = None
        if disclose:
            if entry.data_key is None:
                raise NotKept
            data_key = self._data_keys.unlock(place.leaf_hash, entry.data_key)
            disclosed = Disclosed(open_disclosed(read_header(entry.leaf), data_key, entry.ct), data_key)
        return write_proof(Proof(entry.leaf, place.index, path, note, tuple(self._identity.chain), disclosed))

    async def of_peer(self, conn: Connection, report: StoredReport) -> Proof:
        """The proof of the version that stands of a peer's report, with what it says: to be passed on, to nobody else.

        Raises: NotKept, DataKeyLost.
        """
        assert report.log_gen is not None, "what came from a peer stands in its log"
        assert report.log_index is not None, "the same"
        assert report.leaf_hash is not None, "the same"
        place = Place(report.log_gen, report.log_index, report.leaf_hash)
        return await self._theirs(conn, report, report.ver, place, disclose=True)

    async def of_entry(
        self, conn: Connection, author: str, place: Place, leaf: bytes, disclosed: Disclosed | None
    ) -> Proof:
        """The proof of one entry in the log of a peer (NodeID). Raises: NotKept."""
        followed = await remote.standing(conn, author, place.gen)
        chain = self._peering.statements(author)
        if followed is None or followed.note is None or not chain:
            raise NotKept
        origin = note_lines(followed.note)[0].split("\n", 1)[0]
        witnessed = await self._trusting.witnessed_size(conn, author, origin, place.index)
        shown = None if witnessed is None else await remote.note_at(conn, followed, witnessed)
        size, note = (
            (followed.size, followed.note) if witnessed is None or shown is None else (witnessed, shown)
        )
        read = partial(remote.leaves, conn, followed)
        path = await self._trees.inclusion((author, place.gen), read, place.index, size)
        return Proof(
            leaf, place.index, path, await self._cosigned(conn, origin, size, note), chain, disclosed
        )

    def _passed(self, report: StoredReport, through: Through, place: Place, *, disclose: bool) -> bytes:
        """The proof that came with what was passed on."""
        if not disclose:
            return through.proof
        data_key = self._data_keys.unlock(place.leaf_hash, through.data_key)
        return write_proof(replace(read_proof(through.proof), disclosed=Disclosed(report.bundle, data_key)))

    async def _theirs(
        self, conn: Connection, report: StoredReport, ver: int, place: Place, *, disclose: bool
    ) -> Proof:
        entry = await remote.kept(conn, report.origin, place.gen, place.index)
        if entry is None:
            raise NotKept
        disclosed = None
        if disclose:
            if entry.data_key is None or ver != report.ver:
                raise NotKept
            data_key = self._data_keys.unlock(place.leaf_hash, entry.data_key)
            disclosed = Disclosed(report.bundle, data_key)
        return await self.of_entry(conn, report.origin, place, entry.leaf, disclosed)

    async def _cosigned(self, conn: Connection, origin: str, size: int, note: bytes) -> bytes:
        """The note with every cosignature that is kept over it, but of those named to nobody else (P-217)."""
        known = await witness.lines(conn, origin, size)
        return with_lines(note, [each.line for each in known if not self._peering.unnamed(each.witness)])
