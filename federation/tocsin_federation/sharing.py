"""TLP 2.0 at both doors: to whom a report may go, and from whom it may come.

Release is decided by the sender from the marking, its policy for each peer and, for RED, the operator's own
list. Receipt is judged again by the receiver, who trusts neither the sender's software nor its policy. A
marking that is missing or unknown releases to nobody: what cannot be read is never treated as the mildest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from tocsin_federation.errors import EntryRefused
from tocsin_federation.messages import Acknowledgement, Header, Progress
from tocsin_schema.marking import Tlp


@dataclass(frozen=True, slots=True)
class PeerPolicy:
    """What may go to and come from one peer. `active`: our operator approved it and nothing stopped it.

    `relay`: it may pass sealed entries on between us and others. `onward`: others' reports are passed on to it, and
    taken from it. `client`: it is a client of ours, as TLP:AMBER means the word. `unnamed`: it is
    named to no other reader of our entries.
    """

    node_id: str
    name: str
    max_tlp_out: Tlp
    max_tlp_in: Tlp
    active: bool
    relay: bool = True
    onward: bool = True
    client: bool = False
    unnamed: bool = False


@dataclass(frozen=True, slots=True)
class Withheld:
    """A peer that does not get a report, and why, in words for the operator."""

    peer: PeerPolicy
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Release:
    """Who gets a report and who does not, both in the order of the peers given."""

    to: tuple[PeerPolicy, ...]
    withheld: tuple[Withheld, ...]


def release(tlp: Tlp | None, peers: Sequence[PeerPolicy], *, requested: Sequence[str] | None) -> Release:
    """Decide for every peer whether a report marked `tlp` may go to it.

    `tlp`: None for a missing or unknown marking. `requested`: NodeIDs the operator named; None for everybody
    who may have it. A name widens nothing but RED: ceilings and approval hold for named peers too.
    """
    to: list[PeerPolicy] = []
    withheld: list[Withheld] = []
    for peer in peers:
        reason = _why_not(tlp, peer, requested)
        if reason is None:
            to.append(peer)
        else:
            withheld.append(Withheld(peer, *reason))
    return Release(tuple(to), tuple(withheld))


ANY_CEILING: Final = frozenset({"ack", "answer", "receipt", "recall", "circle", "complain"})


class _Marked(msgspec.Struct):
    t: str
    tlp: Tlp


_MARKED: Final = msgspec.json.Decoder(_Marked)


def servable(leaf: bytes, peer: PeerPolicy) -> bool:
    """Whether an entry of our own log that was once sealed to `peer` may still be served to it (P-73).

    Its ceiling may have been lowered since, and passing on to it ended. What says nothing of a report, or nothing that
    its recipient did not write, is served whatever the ceiling, and so is a recall: whoever may have less now is the
    first to be told. `leaf` is a header that we wrote ourselves and is not
    checked again.
    """
    header = _MARKED.decode(leaf)
    if header.t in ANY_CEILING:
        return True
    return header.tlp.rank <= peer.max_tlp_out.rank and (header.t != "share" or peer.onward)


def _why_not(tlp: Tlp | None, peer: PeerPolicy, requested: Sequence[str] | None) -> tuple[str, str] | None:
    if tlp is None:
        return "tlp-unknown", "the report carries no TLP marking that is known"
    if requested is not None and peer.node_id not in requested:
        return "not-named", "it was not named as a recipient"
    if not peer.active:
        return "peer-inactive", "it is not approved, or it has been stopped"
    if tlp is Tlp.RED and requested is None:
        return "red-unnamed", "TLP:RED goes only to peers named for this report"
    if tlp.rank > peer.max_tlp_out.rank:
        return "above-ceiling", f"{tlp.label} is above {peer.max_tlp_out.label}, the most that goes to it"
    return None


def admit(
    header: Header,
    *,
    content_id: str,
    content_tlp: Tlp | None,
    content_revoked: bool,
    content_node: str | None,
    policy: PeerPolicy,
    me: str,
) -> None:
    """Return when a report that was opened may be taken. `content_*`: what the report itself says.

    `content_node`: NodeID of the node whose identity created it; None when no node's did, as far as is known.
    All of this must hold, in this order (PROTOCOL.md, 8):

    1. [P-80] the header is by the peer whose policy this is, names `me`, and is a report's;
    2. [P-81] header and content agree on the report's id and on whether it is withdrawn;
    3. [P-82] the content carries one known marking, and the header the same;
    4. [P-106] a report that a node created comes from that node;
    5. [P-83] the peer is active, and the marking is not above what is taken from it.

    Raises: EntryRefused with the code of the first that fails.
    """
    # (1) P-80
    refuse_misdirected(header, policy, me)
    if header.t not in {"publish", "revoke"}:
        raise EntryRefused("header-invalid")
    # (2) to (4)
    agree(
        header,
        content_id=content_id,
        content_tlp=content_tlp,
        content_revoked=content_revoked,
        content_node=content_node,
    )
    # (5) P-83
    if not policy.active:
        raise EntryRefused("peer-inactive")
    if header.tlp.rank > policy.max_tlp_in.rank:
        raise EntryRefused("above-ceiling")


def agree(
    header: Header,
    *,
    content_id: str,
    content_tlp: Tlp | None,
    content_revoked: bool,
    content_node: str | None,
) -> None:
    """Return when a report says what the header of its author says: checks 2 to 4 of `admit`. Raises: EntryRefused."""
    # (2) P-81
    if content_id != header.id or content_revoked != (header.t == "revoke"):
        raise EntryRefused("inner-mismatch")
    # (3) P-82
    if content_tlp is None:
        raise EntryRefused("tlp-unknown")
    if content_tlp is not header.tlp:
        raise EntryRefused("tlp-mismatch")
    # (4) P-106
    if content_node not in {None, header.by}:
        raise EntryRefused("foreign-creator")


def admit_acknowledgement(
    header: Header, acknowledgement: Acknowledgement | Progress, *, policy: PeerPolicy, me: str
) -> None:
    """Return when an acknowledgement that was opened may be taken (PROTOCOL.md, 8).

    The peer's ceiling does not count: it says nothing of a report but how far people are with it. Whether the
    report is ours and went to that peer is for the caller, who knows the reports. Raises: EntryRefused.
    """
    refuse_misdirected(header, policy, me)
    if header.t != "ack":
        raise EntryRefused("header-invalid")
    if acknowledgement.report_id != header.id or acknowledgement.ver != header.ver:
        raise EntryRefused("inner-mismatch")
    if not policy.active:
        raise EntryRefused("peer-inactive")


def refuse_misdirected(header: Header, policy: PeerPolicy, me: str) -> None:
    """Return when a header is by the peer whose policy this is and names `me`. Raises: EntryRefused."""
    if header.by != policy.node_id:
        raise EntryRefused("wrong-origin")
    if not header.aud.may_name(me):
        raise EntryRefused("not-addressed")
