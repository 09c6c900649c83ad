"""The intake's desk for circles: takes manifests that peers bring, and judges what is addressed to a circle.

The rules are the federation's (`circle`, `circle_rules`); here is what they are asked about, read and written inside
the transaction of the batch. What is addressed to a circle or an epoch that is not known yet is kept, and tried again
when more is known.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Self

from tocsin_federation.circle import Circle
from tocsin_federation.circle_rules import admit_addressed, admit_manifests, ending, first_difference
from tocsin_federation.envelope import Opened
from tocsin_federation.errors import EntryRefused
from tocsin_federation.inbox import Outcome
from tocsin_federation.messages import Header
from tocsin_federation.sharing import PeerPolicy
from tocsin_node.services.circle_standing import Standing
from tocsin_node.storage import circles
from tocsin_node.storage.circles import CircleEntry, CircleRow
from tocsin_node.storage.pool import Connection
from tocsin_node.storage.reports import Place

MAX_OFFERED = 16  # circles that a peer may bring and nobody here has adopted
TOO_MANY = "too-many-circles"  # tried again when there is room: a chain is a second of work
LATER = "circle-unsupported"  # manifests of a later version of the protocol
# Tried again when more is known of circles, and at each start.
WAITING = ("circle-awaited", "circle-frozen", TOO_MANY, "circle-from-future", LATER)
_COUNTED = frozenset({None, "above-circle", "epoch-ended", "circle-frozen"})


class CircleDesk:
    """What one peer's batch has to do with circles. `peer`: its policy; `us`: our NodeID; `log`: its origin line."""

    def __init__(self, peer: PeerPolicy, us: str, log: str, now: datetime) -> None:
        self._peer = peer
        self._us = us
        self._log = log
        self._now = now
        self._held: dict[bytes, Standing] = {}
        self._learned: dict[bytes, dict[int, datetime]] = {}
        self._logged: dict[tuple[int, int], datetime | None] = {}
        self._offered = 0
        self._put: dict[bytes, Circle] = {}
        self._frozen: dict[bytes, Circle] = {}
        self._entries: list[CircleEntry] = []

    @classmethod
    async def open(
        cls,
        conn: Connection,
        peer: PeerPolicy,
        us: str,
        log: str,
        came: Sequence[tuple[Header, Place]],
        brought: Sequence[Circle],
        now: Callable[[], datetime],
    ) -> Self:
        """Read what a batch will be judged by; nothing is asked when it has nothing to do with circles.

        `came`: headers addressed to circles, with their places; `brought`: the chains in it.
        """
        desk = cls(peer, us, log, now())
        ids = {h.aud.circle for h, _ in came if h.aud.circle is not None} | {c.id for c in brought}
        if not ids:
            return desk
        rows = await circles.held(conn, sorted(ids), to_change=bool(brought))
        desk._held = {i: Standing.of(row) for i, row in rows.items()}
        desk._learned = {i: await circles.learned(conn, i) for i in desk._held}
        for header, place in came:
            standing = desk._held.get(header.aud.circle or b"")
            if standing is not None and desk._ended_at(standing.circle, header) is not None:
                at = await circles.logged_by(conn, peer.node_id, place.gen, place.index, log)
                desk._logged[place.gen, place.index] = at
        if brought:
            desk._offered = await circles.offered_by(conn, peer.node_id)
        return desk

    def judge_manifests(self, opened: Opened, circle: Circle) -> tuple[Outcome, str | None]:
        """What becomes of a chain of manifests that was verified by itself, beside what is held."""
        try:
            admit_manifests(opened.header, circle, policy=self._peer, me=self._us)
        except EntryRefused as exc:
            return Outcome.REFUSED if exc.by_policy else Outcome.QUARANTINED, exc.code
        standing = self._held.get(circle.id)
        if standing is None:
            if self._offered >= MAX_OFFERED:
                return Outcome.QUARANTINED, TOO_MANY
            self._offered += 1
            self._keep(circle, "offered")
            return Outcome.STORED, None
        if first_difference(standing.circle, circle) is not None:
            self._frozen.setdefault(circle.id, circle)
            row = replace(standing.row, rival=standing.row.rival or circle.chain)
            self._held[circle.id] = Standing.of(row)
            return Outcome.QUARANTINED, "circle-forked"
        if circle.epoch == standing.circle.epoch:
            self._put.setdefault(circle.id, standing.circle)
            return Outcome.UNCHANGED, None
        if circle.epoch < standing.circle.epoch:
            return Outcome.SUPERSEDED, None
        if standing.frozen_at is not None:
            return Outcome.QUARANTINED, "circle-frozen"
        self._keep(circle, standing.row.state)
        return Outcome.STORED, None

    def judge_addressed(self, header: Header, place: Place) -> tuple[Outcome, str] | None:
        """Why an entry addressed to a circle is not taken; None when nothing about the circle forbids it."""
        aud = header.aud
        assert aud.circle is not None, "this is asked of what is addressed to circles"
        assert aud.epoch is not None, "a form of messages.Audience"
        assert aud.cseq is not None, "the same"
        standing = self._held.get(aud.circle)
        refused: EntryRefused | None = None
        if standing is not None and standing.row.state == "left":
            return Outcome.REFUSED, "not-member"  # by our own decision
        try:
            admit_addressed(
                header,
                None if standing is None else standing.circle,
                me=self._us,
                frozen_at=None if standing is None else standing.frozen_at,
                ended_at=None if standing is None else self._ended_at(standing.circle, header),
                logged_by=self._logged.get((place.gen, place.index)),
            )
        except EntryRefused as exc:
            refused = exc
        if (refused.code if refused else None) in _COUNTED:
            self._entries.append(
                CircleEntry(
                    aud.circle, header.by, aud.cseq, place.leaf_hash, aud.cprev, aud.epoch, place.gen, place.index,
                    header.id, header.ver, ours=False,
                )
            )  # fmt: skip
        if refused is None:
            return None
        return (Outcome.REFUSED if refused.by_policy else Outcome.QUARANTINED), refused.code

    @property
    def learned(self) -> bool:
        """Whether more is known of circles than before, so that what waited may be tried again."""
        return any(i not in self._learned or c.epoch not in self._learned[i] for i, c in self._put.items())

    async def write(self, conn: Connection) -> None:
        """Write what the batch has brought."""
        for circle in self._put.values():
            standing = self._held[circle.id]
            if circle.epoch not in self._learned.get(circle.id, {}):
                await circles.put(
                    conn, circle.id, circle.chain, standing.row.state, told_by=self._peer.node_id
                )
            await circles.note_told(conn, circle.id, [self._peer.node_id], circle.epoch)
        for circle in self._frozen.values():
            await circles.freeze(conn, circle.id, circle.chain)
        if self._entries:
            await circles.record(conn, self._entries)

    @staticmethod
    async def full(conn: Connection, node: str) -> bool:
        """Whether a peer (NodeID) may bring no further circle."""
        return await circles.offered_by(conn, node) >= MAX_OFFERED

    @staticmethod
    async def ready(conn: Connection, waiting: Sequence[Opened]) -> Sequence[Opened]:
        """Those of what waited for a manifest that may be tried again."""
        known = await circles.epochs(conn)
        return [one for one in waiting if _ready(one.header, known)]

    def _keep(self, circle: Circle, state: str) -> None:
        row = CircleRow(circle.id, circle.chain, state, None, self._peer.node_id, self._now)
        self._held[circle.id] = Standing.of(row)
        self._put[circle.id] = circle

    def _ended_at(self, circle: Circle, header: Header) -> datetime | None:
        """When the epoch of an entry ended for its author, as we learnt it."""
        end = ending(circle, header)
        if end is None:
            return None
        if end.by is None:
            return end.at if end.at is not None and end.at < self._now else None
        return self._learned.get(circle.id, {}).get(end.by, self._now)


def _ready(header: Header, known: Mapping[bytes, int]) -> bool:
    aud = header.aud
    return aud.circle is None or aud.epoch is None or known.get(aud.circle, -1) >= aud.epoch
