"""What a circle decides and what it does not: to whom an entry of it goes, and which one is taken.

A circle never widens what a peer may have. A report goes to a member when the circle allows its marking *and* the
member is an approved peer whose ceiling allows it; a member that is no peer of ours gets nothing. On the other side a
reader takes an entry of a circle when the manifest of its epoch names both the author and the reader.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from tocsin_federation.circle import Circle, circle_entry_id
from tocsin_federation.errors import EntryRefused
from tocsin_federation.messages import Header
from tocsin_federation.sharing import PeerPolicy, Release, Withheld, refuse_misdirected, release
from tocsin_schema.marking import Tlp

NOT_KNOWN = bytes(32)  # `cprev` of an author that does not know what stood there before (P-243)
LATE = timedelta(hours=1)  # how long after its end an epoch's entries may still be logged
Closed = Literal["circle-frozen", "circle-left", "circle-not-adopted", "circle-expired", "circle-not-member"]


@dataclass(frozen=True, slots=True)
class Ending:
    """Why an epoch no longer counts for an author: the later epoch that ended it; None: its own end of term."""

    by: int | None
    at: datetime | None = None


def why_closed(circle: Circle, *, me: str, state: str, now: datetime) -> Closed | None:
    """Why nothing may be shared into a circle, or None (P-211). `state`: `offered`, `adopted`, `left` or `frozen`."""
    if state == "frozen":
        return "circle-frozen"
    if state == "left":
        return "circle-left"
    if state != "adopted":
        return "circle-not-adopted"
    if circle.newest.exp <= now.timestamp():
        return "circle-expired"
    return None if me in circle.newest.members else "circle-not-member"


def release_into(circle: Circle, tlp: Tlp | None, peers: Sequence[PeerPolicy], *, me: str) -> Release:
    """Decide for every peer, and every member that is none, whether a report marked `tlp` goes to it (P-211).

    The strictest of all rules holds: the circle's ceiling, the peer's, and those of the marking. RED goes to no circle.
    No members are nobody. `me`: our own NodeID.
    """
    manifest = circle.newest
    members = [node for node in manifest.members if node != me]
    released = release(tlp, peers, requested=members)
    reason = None
    if tlp is Tlp.RED:
        reason = ("red-circle", "TLP:RED goes to nobody by a circle; name the peers with --to")
    elif tlp is not None and tlp.rank > manifest.max_tlp.rank:
        most = manifest.max_tlp.label
        reason = ("above-circle", f"{tlp.label} is above {most}, the most that this circle shares")
    withheld = list(released.withheld)
    if reason is not None:
        withheld += [Withheld(peer, *reason) for peer in released.to]
        released = Release((), ())
    known = {peer.node_id for peer in peers}
    withheld += [
        Withheld(_stranger(node), "no-peer", "it is a member, and no peer of this node")
        for node in members
        if node not in known
    ]
    return Release(released.to, tuple(withheld))


def admit_manifests(header: Header, circle: Circle, *, policy: PeerPolicy, me: str) -> None:
    """Return when the manifests in a `circle` entry may be taken from that peer.

    In this order (PROTOCOL.md, 15): [P-80] the header is by the peer, names `me`, and is of this kind; [P-207] it names
    this circle and its newest epoch; [P-218] it does not hide its members, for then it goes by hand alone; [P-207] the
    peer is active; peer and reader are members or have been.

    Raises: EntryRefused with the code of the first that fails.
    """
    refuse_misdirected(header, policy, me)
    if header.t != "circle":
        raise EntryRefused("header-invalid")
    if (header.id, header.ver) != (circle_entry_id(circle.id), circle.epoch + 1):
        raise EntryRefused("inner-mismatch")
    if circle.hidden:
        raise EntryRefused("content-invalid")
    if not policy.active:
        raise EntryRefused("peer-inactive")
    if not {policy.node_id, me} <= circle.ever():
        raise EntryRefused("not-member")


def next_count(last: int, leaf: bytes | None, lost: int) -> tuple[int, bytes | None]:
    """The number of an author's next entry to a circle, and what it says stood there before (`cprev`) (P-210, P-243).

    `last`, `leaf`: number and leaf hash of the newest that it knows of, 0 and None before the first. `lost`: of how
    many entries of its log after that one it has no more than the hash. Each may have had a number; so the next one is
    beyond all of them, and not directly after any: a gap is told to people, two entries under one number accuse their
    author.
    """
    return (last + 1, leaf) if lost == 0 else (last + lost + 2, NOT_KNOWN)


def ending(circle: Circle, header: Header) -> Ending | None:
    """What has ended the epoch of an entry for its author; None when nothing has (P-213).

    An epoch is over for its author when a later one does not name it any more, and for all when two have followed.
    """
    epoch = header.aud.epoch
    assert epoch is not None, "only entries of circles are asked about"
    for later in circle.manifests[epoch + 1 :]:
        if header.by not in later.members or later.epoch >= epoch + 2:
            return Ending(later.epoch)
    manifest = circle.at(epoch)
    return None if manifest is None else Ending(None, manifest.expires_at)


def admit_addressed(
    header: Header,
    circle: Circle | None,
    *,
    me: str,
    frozen_at: int | None = None,
    ended_at: datetime | None = None,
    logged_by: datetime | None = None,
) -> None:
    """Return when an entry addressed to a circle may be looked at further.

    `frozen_at`: the first epoch of which two manifests are known. `ended_at`: when its epoch ended for its author, as
    this reader learnt it; `logged_by`: by when its log held it, as far as is known. In this order (PROTOCOL.md, 15):

    1. [P-212] circle and epoch are known here;
    2. [P-208] the epoch is before any of which two manifests are known;
    3. [P-212] author and reader are members in that epoch;
    4. [P-212] the marking is not above the circle's;
    5. [P-213] the log held it at most an hour after the epoch had ended for its author.

    Raises: EntryRefused with the code of the first that fails.
    """
    # (1) P-212
    epoch = header.aud.epoch
    manifest = circle.at(epoch) if circle is not None and epoch is not None else None
    if manifest is None:
        raise EntryRefused("circle-awaited")
    # (2) P-208
    if frozen_at is not None and manifest.epoch >= frozen_at:
        raise EntryRefused("circle-frozen")
    # (3) P-212
    if not {header.by, me} <= set(manifest.members):
        raise EntryRefused("not-member")
    # (4) P-212
    if header.tlp.rank > manifest.max_tlp.rank:
        raise EntryRefused("above-circle")
    # (5) P-213
    if ended_at is not None and logged_by is not None and logged_by > ended_at + LATE:
        raise EntryRefused("epoch-ended")


def first_difference(circle: Circle, rival: Circle) -> int | None:
    """The first epoch of which two manifests are known, or None (P-208)."""
    pairs = enumerate(zip(circle.digests, rival.digests, strict=False))
    return next((n for n, (ours, theirs) in pairs if ours != theirs), None)


def _stranger(node_id: str) -> PeerPolicy:
    return PeerPolicy(node_id, node_id, Tlp.CLEAR, Tlp.CLEAR, active=False)
