"""The intake's desk for remarks: judges one batch's, each in the light of what the batch held before it.

The rules are the federation's (`tocsin_federation.remarks`); here is only what they are asked about, read and
written inside the transaction of the batch.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Self

from tocsin_federation.envelope import Opened
from tocsin_federation.errors import EntryRefused
from tocsin_federation.inbox import Outcome
from tocsin_federation.remarks import Ground, Standing, decide_remark, refuse_groundless
from tocsin_node.storage import remarks, reports, shares
from tocsin_node.storage.pool import Connection
from tocsin_node.storage.remarks import NewRemark
from tocsin_schema.marking import Tlp
from tocsin_schema.remark import Remark


class RemarkDesk:
    """The remarks of one peer in one batch. `peer`, `us`: NodeIDs."""

    def __init__(
        self,
        peer: str,
        us: str,
        tlps: Mapping[tuple[str, int], str],
        standing: Mapping[tuple[str, str], Standing],
        given: AbstractSet[tuple[str, int, bytes]] = frozenset(),
    ) -> None:
        self._peer = peer
        self._us = us
        self._tlps = dict(tlps)
        self._standing = dict(standing)
        self._given = given
        self._new: dict[tuple[str, str], NewRemark] = {}

    @classmethod
    async def open(cls, conn: Connection, peer: str, us: str, came: Sequence[tuple[Opened, Remark]]) -> Self:
        """Read what the remarks of a batch will be judged by; nothing is asked when there are none."""
        if not came:
            return cls(peer, us, {}, {})
        about = [remark.incident_id for _, remark in came]
        tlps = await remarks.tlps(conn, [(opened.header.id, opened.header.ver) for opened, _ in came])
        given = await shares.sealed_to(conn, peer, us, about)
        stored = await remarks.of_node(conn, peer, about)
        standing = {  # what its node disputes gives way to whatever it says now (P-153)
            (one.report_id, one.kind): Standing(one.modified, one.sha256)
            for one in stored
            if not one.disputed
        }
        return cls(peer, us, tlps, standing, given)

    def learn(self, report: reports.NewReport) -> None:
        """A report that came before, in the same batch."""
        self._tlps[report.report.id, report.ver] = report.report.tlp.value

    def judge(
        self, opened: Opened, remark: Remark, held: reports.Held | None, place: reports.Place
    ) -> tuple[Outcome, str | None]:
        """What becomes of a remark on the report that is `held`, and why when it is refused."""
        ver, ref = opened.header.ver, opened.header.ref
        assert ref is not None, "a remark refers to an entry (PROTOCOL.md, 6)"
        audience = (self._peer,) if (remark.incident_id, ver, ref) in self._given else ()
        tlp = self._tlps.get((remark.incident_id, ver))
        ground = None
        if held is not None:
            ground = Ground(held.origin, audience, ver, None if tlp is None else Tlp(tlp))
        try:
            refuse_groundless(remark, ground, by=self._peer, me=self._us)
        except EntryRefused as exc:
            return Outcome.REFUSED, exc.code
        key = remark.incident_id, remark.kind
        outcome = decide_remark(self._standing.get(key), remark)
        if outcome is Outcome.STORED:
            self._standing[key] = Standing(remark.modified, remark.sha256)
            self._new[key] = NewRemark(remark, self._peer, ver, place)
        return outcome, None

    @property
    def stored(self) -> list[NewRemark]:
        """The remarks of the batch that stand."""
        return list(self._new.values())

    async def write(self, conn: Connection) -> None:
        """Store those that stand, after the reports of the batch."""
        for new in self._new.values():
            await remarks.put(conn, new)
