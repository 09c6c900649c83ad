"""Passing on: what a node may do with another's report under TLP 2.0, and what stands against who did more.

Who has a report from its author may pass it on, as it is, with the proof that it is the author's (`proof.py`), where
the marking permits. So the next reader believes the author and not the messenger; the messenger answers for the
passing. The author is told by the same entry, when it is the messenger's peer. Nobody passes on what was passed on to
him: the author would not know where it goes.

A reader that is given more than the marking permits does not take it, and complains to the author. A complaint carries
the proof of the messenger's entry, so the author judges by itself: nobody is convicted without his own log's signature,
and nobody can complain of what was permitted.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from tocsin_federation.canonical import MAX_INT, Form
from tocsin_federation.checkpoint import MAX_NOTE_BYTES
from tocsin_federation.errors import CanonicalRefused, EntryRefused, FederationError, SealRefused
from tocsin_federation.identity import MAX_CHAIN, Identity, verify_chain
from tocsin_federation.messages import MAX_LEAF_BYTES, Hash, Header, read_header
from tocsin_federation.padding import MAX_CONTENT_BYTES
from tocsin_federation.proof import MAX_PATH, Disclosed, Proof, Proven, verify_proof
from tocsin_federation.sharing import PeerPolicy, Release, Withheld, refuse_misdirected
from tocsin_schema.marking import Tlp

MAX_SHARE_BYTES: Final = 512 * 1024  # so that a complaint about it fits an entry, too
Known = Callable[[str], Identity | None]
NEVER: Final = frozenset({Tlp.AMBER_STRICT, Tlp.RED})


class _Carried(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A disclosed proof without its text form: what a share holds of the author's entry, and a complaint of a share."""

    v: Literal[1]
    chain: Annotated[tuple[bytes, ...], Meta(min_length=1, max_length=MAX_CHAIN)]
    content: Annotated[bytes, Meta(max_length=MAX_CONTENT_BYTES)]
    data_key: Annotated[bytes, Meta(min_length=32, max_length=32)]
    index: Annotated[int, Meta(ge=0, le=MAX_INT)]
    leaf: Annotated[bytes, Meta(max_length=MAX_LEAF_BYTES)]
    note: Annotated[bytes, Meta(max_length=MAX_NOTE_BYTES)]
    path: Annotated[tuple[Hash, ...], Meta(max_length=MAX_PATH)]


class _Share(_Carried, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`client`: the messenger says that all whom it passes this on to are clients of its own organisation."""

    client: bool


_SHARE: Final = Form(_Share, max_bytes=MAX_SHARE_BYTES)
_COMPLAINT: Final = Form(_Carried, max_bytes=MAX_CONTENT_BYTES)


@dataclass(frozen=True, slots=True)
class Share:
    """What a `share` entry holds, nothing of it verified. `client`: said to go to the messenger's clients alone."""

    proof: Proof
    client: bool


@dataclass(frozen=True, slots=True)
class Passed:
    """An author's entry that came through another node, and is proven. `gen`, `index`: where, in the author's log.

    `proof`: without what it says.
    """

    identity: Identity = field(repr=False)
    header: Header
    leaf_hash: bytes
    gen: int
    index: int
    disclosed: Disclosed = field(repr=False)
    proof: Proof = field(repr=False)

    @property
    def author(self) -> str:
        """NodeID."""
        return self.header.by


def write_share(proof: Proof, *, client: bool) -> bytes:
    """The content of a `share` entry; `proof` discloses. Raises: SealRefused `content-too-large`."""
    raw = _SHARE.encode(_Share(client=client, **_fields(proof)))
    if len(raw) > MAX_SHARE_BYTES:
        raise SealRefused("content-too-large")
    return raw


def read_share(content: bytes) -> Share:
    """What a `share` entry says. Raises: EntryRefused `content-invalid`, `unsupported`."""
    held = _read(_SHARE, content)
    assert isinstance(held, _Share), "the form decodes nothing else"
    return Share(_proof(held), held.client)


def write_complaint(proof: Proof) -> bytes:
    """The content of a `complain` entry: the disclosed `proof` of the share that is complained of.

    Raises: SealRefused `content-too-large`.
    """
    raw = _COMPLAINT.encode(_Carried(**_fields(proof)))
    if len(raw) > MAX_CONTENT_BYTES:
        raise SealRefused("content-too-large")
    return raw


def read_complaint(content: bytes) -> Proof:
    """What a `complain` entry says. Raises: EntryRefused `content-invalid`, `unsupported`."""
    return _proof(_read(_COMPLAINT, content))


# What the marking permits ------------------------------------------------------------------------------


def permitted(header: Header, *, by: str, client: bool) -> bool:
    """Whether TLP 2.0 lets `by` pass on the author's entry under `header` (P-232). `client`: to clients of its own.

    What names no reader, such as what was written to a circle, stays with those who have it.
    """
    if by not in header.aud.nodes or header.tlp in NEVER:
        return False
    return client or header.tlp is not Tlp.AMBER


def release_onward(
    header: Header,
    peers: Sequence[PeerPolicy],
    *,
    requested: Sequence[str],
    us: str,
    marked: Tlp | None = None,
) -> Release:
    """To which of `peers` we may pass on the entry under `header`, and why not to the others (P-232).

    `requested`: NodeIDs that the operator named; nobody gets another's report who was not named. `marked`: how the
    report is marked here now; what its author has marked more strictly since goes to nobody, since the entry says less.
    """
    to: list[PeerPolicy] = []
    withheld: list[Withheld] = []
    for peer in peers:
        reason = _why_not(header, peer, requested, us)
        if reason is None and marked is not None and marked.rank > header.tlp.rank:
            reason = "onward-forbidden", f"its author has marked it {marked.label} since"
        if reason is None:
            to.append(peer)
        else:
            withheld.append(Withheld(peer, *reason))
    return Release(tuple(to), tuple(withheld))


def _why_not(header: Header, peer: PeerPolicy, requested: Sequence[str], us: str) -> tuple[str, str] | None:
    if peer.node_id == header.by:
        return "its-own", "it is the author"
    if peer.node_id in header.aud.nodes:
        return "has-it", "it has this version from the author"
    if peer.node_id not in requested:
        return "not-named", "it was not named as a recipient"
    if not peer.active:
        return "peer-inactive", "it is not approved, or it has been stopped"
    if not peer.onward:
        return "onward-off", "your policy passes nothing of others on to it"
    if header.aud.circle is not None:
        return "onward-forbidden", "it was written to a circle, and stays there"
    if header.aud.unnamed:
        return "onward-forbidden", "its author named no reader; it stays with those who have it"
    if peer.unnamed and header.t != "revoke":  # who got it before was named when it did
        return "unnamed", "passing it on would name it to the author, and it is named to nobody else"
    if not permitted(header, by=us, client=True):
        return "onward-forbidden", f"{header.tlp.label} lets nobody pass it on beyond the own organisation"
    if not permitted(header, by=us, client=peer.client):
        return "not-client", f"{header.tlp.label} may go on to your clients alone, and it is none"
    if header.tlp.rank > peer.max_tlp_out.rank:
        return (
            "above-ceiling",
            f"{header.tlp.label} is above {peer.max_tlp_out.label}, the most that goes to it",
        )
    return None


# What a reader takes -----------------------------------------------------------------------------------


def admit_share(header: Header, share: Share, *, policy: PeerPolicy, me: str, known: Known) -> Passed:
    """The author's entry in a share that was opened, once it is proven and the header agrees with it.

    `known`: what is held of a node's identity, ours too. All of this must hold, in this order (PROTOCOL.md, 8a):

    1. [P-80] the header is by the peer whose policy this is, names `me`, and is a share's;
    2. [P-231] another author's entry is proven, under the statements that are held of it, and is a report's;
    3. [P-231] both headers agree on the report, its version and its marking, and `ref` is the author's leaf hash;
    4. [P-83] the peer is active.

    What it may be used for is judged by the caller: `refuse_onward`, and the report by `sharing.agree`.
    Raises: EntryRefused with the code of the first that fails.
    """
    # (1) P-80
    refuse_misdirected(header, policy, me)
    if header.t != "share":
        raise EntryRefused("header-invalid")
    # (2) P-231
    passed = _passed(share.proof, known)
    if passed.header.t not in {"publish", "revoke"} or passed.author == policy.node_id:
        raise EntryRefused("unproven")
    # (3) P-231
    theirs = passed.header
    if (header.id, header.ver, header.tlp, header.ref) != (
        theirs.id,
        theirs.ver,
        theirs.tlp,
        passed.leaf_hash,
    ):
        raise EntryRefused("inner-mismatch")
    # (4) P-83
    if not policy.active:
        raise EntryRefused("peer-inactive")
    return passed


def refuse_onward(passed: Passed, share: Share, *, policy: PeerPolicy, author: PeerPolicy | None) -> None:
    """Return when what a peer passes on may be taken. `author`: our policy for the author, if it is a peer too.

    In this order (PROTOCOL.md, 8a):

    1. [P-232] the marking permits the peer to pass it on;
    2. [P-233] we take what this peer passes on, up to its ceiling;
    3. [P-233] and from the author, if it is a peer, up to the author's.

    Raises: EntryRefused with the code of the first that fails.
    """
    # (1) P-232
    if not permitted(passed.header, by=policy.node_id, client=share.client):
        raise EntryRefused("onward-forbidden")
    # (2) P-233
    if not policy.onward:
        raise EntryRefused("onward-off")
    if passed.header.tlp.rank > policy.max_tlp_in.rank:
        raise EntryRefused("above-ceiling")
    # (3) P-233
    if author is not None and not author.active:
        raise EntryRefused("peer-inactive")
    if author is not None and passed.header.tlp.rank > author.max_tlp_in.rank:
        raise EntryRefused("above-ceiling")


def admit_complaint(header: Header, complaint: Proof, *, policy: PeerPolicy, me: str, known: Known) -> Proven:
    """The share that is complained of, once it is proven that it should not have been.

    `known`: what is held of a node's identity, ours too. In this order (PROTOCOL.md, 8a):

    1. [P-80] the header is by the peer whose policy this is, names `me`, and is a complaint's;
    2. [P-235] the share is proven to stand in the log of who is complained of, under the statements held of it;
    3. [P-235] it was addressed to the peer, and is the one that the header speaks of;
    4. [P-83] the peer is active;
    5. [P-236] the share holds a proven entry of ours, which the marking did not permit to pass on.

    Raises: EntryRefused with the code of the first that fails.
    """
    # (1) P-80
    refuse_misdirected(header, policy, me)
    if header.t != "complain":
        raise EntryRefused("header-invalid")
    # (2) P-235
    proven = _proven(complaint, known)
    # (3) P-235
    told = proven.header
    if (header.id, header.ver, header.ref) != (told.id, told.ver, proven.leaf_hash) or told.t != "share":
        raise EntryRefused("inner-mismatch")
    if header.by not in told.aud.nodes:
        raise EntryRefused("complaint-unfounded")
    # (4) P-83
    if not policy.active:
        raise EntryRefused("peer-inactive")
    # (5) P-236
    assert proven.content is not None, "a complaint discloses"
    if not _violates(proven, proven.content, me, known):
        raise EntryRefused("complaint-unfounded")
    return proven


def _violates(proven: Proven, content: bytes, me: str, known: Known) -> bool:
    try:
        share = read_share(content)
        passed = _passed(share.proof, known)
    except EntryRefused:
        return False  # nothing of ours was passed on
    return (
        passed.author == me
        and passed.leaf_hash == proven.header.ref
        and not permitted(passed.header, by=proven.header.by, client=share.client)
    )


# -------------------------------------------------------------------------------------------------------


def _passed(proof: Proof, known: Known) -> Passed:
    proven = _proven(proof, known)
    assert proof.disclosed is not None, "a share discloses"
    gen = next(s.log.gen for s in proven.identity.statements if s.log.origin == proven.checkpoint.origin)
    bare = replace(proof, disclosed=None)
    return Passed(proven.identity, proven.header, proven.leaf_hash, gen, proven.index, proof.disclosed, bare)


def _proven(proof: Proof, known: Known) -> Proven:
    """What a proof shows, by the longer of its chain and the one that is held. Raises: EntryRefused `unproven`."""
    try:
        held = known(read_header(proof.leaf).by)
        chain = proof.chain
        if held is not None and len(held.chain) > len(chain):
            if tuple(held.chain[: len(chain)]) != tuple(chain):
                raise EntryRefused("unproven")
            chain = tuple(held.chain)
        elif held is not None:
            verify_chain(chain, expected=held.node_id, now=None, known=held)
        return verify_proof(replace(proof, chain=chain))
    except FederationError as exc:
        raise EntryRefused("unproven") from exc


def _fields(proof: Proof) -> dict[str, Any]:
    assert proof.disclosed is not None, "what is passed on is shown"
    return {
        "v": 1,
        "chain": proof.chain,
        "content": proof.disclosed.content,
        "data_key": proof.disclosed.data_key,
        "index": proof.index,
        "leaf": proof.leaf,
        "note": proof.note,
        "path": proof.path,
    }


def _read(form: Form[Any], content: bytes) -> _Carried:
    try:
        held: _Carried = form.decode(content)
    except CanonicalRefused as exc:
        v = exc.value.get("v") if isinstance(exc.value, dict) else None
        later = exc.code == "wrong-form" and type(v) is int and v != 1
        raise EntryRefused("unsupported" if later else "content-invalid") from exc
    return held


def _proof(held: _Carried) -> Proof:
    disclosed = Disclosed(held.content, held.data_key)
    return Proof(held.leaf, held.index, held.path, held.note, held.chain, disclosed)
