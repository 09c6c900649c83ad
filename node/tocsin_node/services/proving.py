"""Proving: one file that shows a stranger that a version of a report stands in its author's log, and what it said.

The proof of a peer's report is made from what was verified when it came: its leaf, its place, the peer's checkpoint.
So a node can show what it was told without asking who told it.
"""

from functools import partial

from tocsin_federation.envelope import open_disclosed
from tocsin_federation.identity import Identity, ended_logs
from tocsin_federation.messages import read_header
from tocsin_federation.proof import Disclosed, Proof, write_proof
from tocsin_node.data_keys import DataKeys
from tocsin_node.errors import NodeError
from tocsin_node.services.peering import Peering
from tocsin_node.services.reporting import ReportUnknown
from tocsin_node.services.trees import Trees
from tocsin_node.storage import log, remote, reports
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

    def __init__(self, pool: Pool, peering: Peering, identity: Identity, data_keys: DataKeys) -> None:
        self._pool = pool
        self._peering = peering
        self._identity = identity
        self._data_keys = data_keys
        self._trees = Trees()

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
            if ours:
                return await self._own(conn, place, disclose=disclose)
            return await self._theirs(conn, report, wanted, place, disclose=disclose)

    async def _own(self, conn: Connection, place: Place, *, disclose: bool) -> bytes:
        ended = next((e for e in ended_logs(self._identity) if e.key.gen == place.gen), None)
        head = await log.head_within(conn, place.gen, ended.good if ended else None)
        entry = await log.entry(conn, place.gen, place.index)
        if head is None or entry is None:
            raise NotKept
        if place.index >= head.size:
            raise NotInLog("It stands where the log was ended before it.", hint=REPUBLISH)
        read = partial(log.leaf_hashes, conn, place.gen)
        path = await self._trees.inclusion(("own", place.gen), read, place.index, head.size)
        disclosed = None
        if disclose:
            if entry.data_key is None:
                raise NotKept
            data_key = self._data_keys.unlock(place.leaf_hash, entry.data_key)
            disclosed = Disclosed(open_disclosed(read_header(entry.leaf), data_key, entry.ct), data_key)
        return write_proof(
            Proof(entry.leaf, place.index, path, head.note, tuple(self._identity.chain), disclosed)
        )

    async def _theirs(
        self, conn: Connection, report: StoredReport, ver: int, place: Place, *, disclose: bool
    ) -> bytes:
        followed = await remote.standing(conn, report.origin, place.gen)
        entry = await remote.kept(conn, report.origin, place.gen, place.index)
        chain = self._peering.statements(report.origin)
        if followed is None or followed.note is None or entry is None or not chain:
            raise NotKept
        disclosed = None
        if disclose:
            if entry.data_key is None or ver != report.ver:
                raise NotKept
            data_key = self._data_keys.unlock(place.leaf_hash, entry.data_key)
            disclosed = Disclosed(report.bundle, data_key)
        read = partial(remote.leaves, conn, followed)
        path = await self._trees.inclusion((report.origin, place.gen), read, place.index, followed.size)
        return write_proof(Proof(entry.leaf, place.index, path, followed.note, chain, disclosed))
