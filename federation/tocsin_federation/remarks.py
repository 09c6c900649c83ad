"""Remarks between nodes: from whom one may come, about which report, and which of two stands.

A remark travels along the way that its report came, and no further: between the node that made the report and
those it was given to. Nobody else is known to have it, and the logs of two nodes have no order between them, so a
remark on a third node's report could arrive before the report. Telling the others is the origin's to do, once
there is onward sharing.

What is kept is one remark a report, node and kind: the one with the latest `modified`, and of two with the same
time the one with the greater digest. So the end is the same in whatever order remarks come, a flood leaves as little
as one remark does, and taking back is one more version.
"""

from dataclasses import dataclass
from datetime import datetime

from tocsin_federation.errors import EntryRefused
from tocsin_federation.inbox import Outcome
from tocsin_federation.messages import Header
from tocsin_federation.sharing import PeerPolicy, refuse_misdirected
from tocsin_schema.ids import node_identity_id
from tocsin_schema.marking import Tlp
from tocsin_schema.remark import Remark


@dataclass(frozen=True, slots=True)
class Ground:
    """The report that is remarked on, as it is held. `origin`: NodeID of its owner.

    `audience`: NodeIDs that the entry which the remark refers to was sealed to, if it is one of our log and held the
    version that is spoken of; else empty. `ver`: that version, and `tlp` the marking it had; None when no such
    version was ever held here.
    """

    origin: str
    audience: tuple[str, ...]
    ver: int
    tlp: Tlp | None


@dataclass(frozen=True, slots=True)
class Standing:
    """The remark that stands for a report, node and kind."""

    modified: datetime
    sha256: bytes


def admit_remark(header: Header, remark: Remark, *, policy: PeerPolicy, me: str) -> None:
    """Return when a remark that was opened may be looked at further.

    All of this must hold, in this order (PROTOCOL.md, 8):

    1. [P-80] the header is by the peer whose policy this is, names `me`, and is a remark's;
    2. [P-81] header and content agree on the report's id;
    3. [P-82] and on the marking;
    4. [P-87] the remark is made in the name of the peer, by the identity that belongs to its NodeID;
    5. [P-83] the peer is active, and the marking is not above what is taken from it.

    Raises: EntryRefused with the code of the first that fails.
    """
    # (1) P-80
    refuse_misdirected(header, policy, me)
    if header.t != "remark":
        raise EntryRefused("header-invalid")
    # (2) P-81
    if remark.incident_id != header.id:
        raise EntryRefused("inner-mismatch")
    # (3) P-82
    if remark.tlp is not header.tlp:
        raise EntryRefused("tlp-mismatch")
    # (4) P-87
    if remark.created_by_ref != node_identity_id(policy.node_id):
        raise EntryRefused("foreign-creator")
    # (5) P-83
    if not policy.active:
        raise EntryRefused("peer-inactive")
    if remark.tlp.rank > policy.max_tlp_in.rank:
        raise EntryRefused("above-ceiling")


def refuse_groundless(remark: Remark, ground: Ground | None, *, by: str, me: str) -> None:
    """Return when `by` may remark on what is held.

    In this order (PROTOCOL.md, 8):

    1. [P-88] the report is held, in the version that is spoken of;
    2. [P-88] `by` made the report, or it is ours and `by` was given that version by the entry referred to;
    3. [P-87] the remark is not marked more mildly than that version was.

    Raises: EntryRefused with the code of the first that fails.
    """
    # (1) P-88
    if ground is None or ground.tlp is None:
        raise EntryRefused("unknown-report")
    # (2) P-88
    if ground.origin != by and (ground.origin != me or by not in ground.audience):
        raise EntryRefused("not-recipient")
    # (3) P-87
    if remark.tlp.rank < ground.tlp.rank:
        raise EntryRefused("marking-looser")


def decide_remark(standing: Standing | None, remark: Remark) -> Outcome:
    """What becomes of a remark that may come in: [P-89] the later one stands, whichever comes first."""
    if standing is None:
        return Outcome.STORED
    if standing.sha256 == remark.sha256:
        return Outcome.UNCHANGED
    later = (remark.modified, remark.sha256) > (standing.modified, standing.sha256)
    return Outcome.STORED if later else Outcome.SUPERSEDED
