"""Vectors for passing on, and for complaints: Alder wrote, Birch passes on to Cedar, Cedar complains to Alder.

`author`: what Cedar's policy for Alder is; null when Alder is no peer of hers.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import msgspec

from tocsin_federation.checkpoint import sign_checkpoint
from tocsin_federation.envelope import Sealed, seal
from tocsin_federation.identity import extend
from tocsin_federation.merkle import inclusion_proof, leaf_hash, root_of
from tocsin_federation.messages import HEADER, Header, read_header
from tocsin_federation.onward import write_complaint, write_share
from tocsin_federation.proof import Disclosed, Proof
from tocsin_federation.statement import Void
from tocsin_schema.marking import Tlp
from workshop.case import Case, Dice
from workshop.cast import ALDER, BIRCH, CEDAR, MALLORY, NOW, REPORT_ID, Player
from workshop.sealing import CONTENT

_AT: Final = 2
_OTHERS: Final = [Dice(f"beside {n}")(32) for n in range(4)]
Row = tuple[str, str, str, str, dict[str, Any]]


def cases() -> Iterator[Case]:
    """All vectors of these checks."""
    for name, expect, rule, comment, given in (*_permitted(), *_forbidden(), *_unproven()):
        yield Case("share", name, expect, rule, comment, given)
    for name, expect, rule, comment, given in _complaints():
        yield Case("complaint", name, expect, rule, comment, given)


def _logged(
    by: Player, to: tuple[Player, ...], content: bytes, *, log: Player | None = None, **header: Any
) -> Proof:
    """An entry of `by`, third in its log, disclosed; `log`: whose key signs the checkpoint."""
    drawn: list[bytes] = []
    dice = Dice(f"onward {by.node_id} {sorted(header.items(), key=str)}")

    def rng(length: int) -> bytes:
        drawn.append(dice(length))
        return drawn[-1]

    made: Sealed = seal(
        by=by.node_id,
        **{"t": "publish", "id": REPORT_ID, "ver": 1, "tlp": Tlp.GREEN, **header},
        content=content,
        recipients={player.node_id: player.identity.enc_key(NOW) for player in to},
        now=NOW,
        rng=rng,
    )
    leaves = [*_OTHERS[:_AT], made.leaf_hash, *_OTHERS[_AT:]]
    origin = by.identity.statement.log.origin
    note = sign_checkpoint(origin, len(leaves), root_of(leaves), (log or by).keys.log)
    path = tuple(inclusion_proof(leaves, _AT))
    return Proof(made.leaf, _AT, path, note, tuple(by.identity.chain), Disclosed(content, drawn[0]))


def _written(tlp: Tlp = Tlp.GREEN, *, to: tuple[Player, ...] = (BIRCH,), **header: Any) -> Proof:
    return _logged(ALDER, to, CONTENT, tlp=tlp, **header)


def _leaf_of(proof: Proof, by: Player, to: Player, **changes: Any) -> bytes:
    """The header of an entry of `by` about the one that is proven."""
    told = read_header(proof.leaf)
    hashed = _hash(proof)
    fields = {
        "t": "share",
        "by": by.node_id,
        "ref": hashed,
        "aud": msgspec.structs.replace(told.aud, nodes=(to.node_id,)),
    }
    header: Header = msgspec.structs.replace(told, **{**fields, **changes})
    return HEADER.encode(header)


def _hash(proof: Proof) -> bytes:
    return leaf_hash(proof.leaf)


def _given(proof: Proof | None = None, *, client: bool = False, **changes: Any) -> dict[str, Any]:
    proof = proof or _written()
    return {
        "leaf": changes.pop("leaf", None) or _leaf_of(proof, BIRCH, CEDAR),
        "content": changes.pop("content", None) or write_share(proof, client=client),
        "peer": BIRCH.node_id,
        "active": True,
        "onward": True,
        "max_tlp_in": "red",
        "me": CEDAR.node_id,
        "known": [],
        "author": None,
        **changes,
    }


def _permitted() -> Iterator[Row]:
    yield "valid", "ok", "P-231", "Alder's report to Birch, TLP:GREEN, goes on to Cedar.", _given()
    yield "valid-clear", "ok", "P-232", "TLP:CLEAR.", _given(_written(Tlp.CLEAR))
    yield "valid-client", "ok", "P-232", "TLP:AMBER, to a client.", _given(_written(Tlp.AMBER), client=True)
    known: dict[str, Any] = {
        "known": list(ALDER.identity.chain),
        "author": {"active": True, "max_tlp_in": "green"},
    }
    yield "valid-known-author", "ok", "P-233", "Cedar knows Alder, too.", _given(**known)
    yield "valid-withdrawal", "ok", "P-234", "A withdrawal goes on.", _given(_written(t="revoke", ver=2))


def _forbidden() -> Iterator[Row]:
    no = "onward-forbidden"
    yield "to-a-stranger", no, "P-232", "TLP:AMBER, and Cedar is no client.", _given(_written(Tlp.AMBER))
    for name, tlp in (("strict", Tlp.AMBER_STRICT), ("red", Tlp.RED)):
        yield name, no, "P-232", f"{tlp.label} goes on to nobody.", _given(_written(tlp), client=True)
    passed = _written(to=(MALLORY,))
    yield "second-hand", no, "P-232", "Birch did not get it from Alder.", _given(passed)
    yield (
        "not-wanted",
        "onward-off",
        "P-233",
        "Cedar takes nothing that Birch passes on.",
        _given(onward=False),
    )
    yield "above-the-ceiling", "above-ceiling", "P-233", "Birch's ceiling.", _given(max_tlp_in="clear")
    author = {"active": True, "max_tlp_in": "clear"}
    yield "above-the-authors-ceiling", "above-ceiling", "P-233", "Alder's ceiling.", _given(author=author)
    stopped = {"active": False, "max_tlp_in": "red"}
    yield "author-stopped", "peer-inactive", "P-233", "Cedar has stopped Alder.", _given(author=stopped)
    yield "not-approved", "peer-inactive", "P-83", "Birch is not approved.", _given(active=False)


def _unproven() -> Iterator[Row]:
    good, un = _written(), "unproven"
    yield "not-json", "content-invalid", "P-231", "The content is prose.", _given(content=b"Read this!")
    later = write_share(good, client=False).replace(b'"v":1', b'"v":2')
    yield "later-version", "unsupported", "P-02", "A share of a version to come.", _given(content=later)
    extra = write_share(good, client=False)[:-1] + b',"w":1}'
    yield "unknown-field", "content-invalid", "P-231", "A field too many.", _given(content=extra)
    none = write_share(replace(good, chain=()), client=False)
    yield "chain-empty", "content-invalid", "P-130", "Nobody's statements.", _given(content=none)
    forged = _logged(ALDER, (BIRCH,), CONTENT, log=BIRCH)
    yield "signed-by-the-messenger", un, "P-231", "Birch signed the checkpoint.", _given(forged)
    assert good.disclosed is not None
    reworded = replace(good, disclosed=replace(good.disclosed, content=CONTENT + b" "))
    yield "reworded", un, "P-231", "Other words than Alder's.", _given(reworded)
    _, renewed = extend(
        list(ALDER.identity.chain),
        root_private=ALDER.keys.next_root,
        now=NOW,
        rng=Dice("ended before"),
        replace=["log"],
        void=Void(gen=1, size=_AT, root=root_of(_OTHERS[:_AT])),
    )
    held = [*ALDER.identity.chain, renewed]
    yield "voided", un, "P-231", "Cedar knows that Alder has ended that log before it.", _given(known=held)
    own = _logged(BIRCH, (CEDAR,), CONTENT)
    yield "own-report", un, "P-231", "It is the messenger's own.", _given(own)
    answer = _logged(ALDER, (BIRCH,), CONTENT, t="ack", ref=bytes(32))
    yield "no-report", un, "P-231", "An acknowledgement is passed on.", _given(answer)
    mild = _leaf_of(good, BIRCH, CEDAR, tlp=Tlp.CLEAR)
    yield "marked-otherwise", "inner-mismatch", "P-231", "The header says TLP:CLEAR.", _given(leaf=mild)
    version = _leaf_of(good, BIRCH, CEDAR, ver=2)
    yield "of-another-version", "inner-mismatch", "P-231", "It says version 2.", _given(leaf=version)
    nothing = _leaf_of(good, BIRCH, CEDAR, ref=bytes(32))
    yield "of-nothing", "inner-mismatch", "P-231", "It refers to another entry.", _given(leaf=nothing)
    elsewhere = _leaf_of(good, BIRCH, MALLORY)
    yield "not-addressed", "not-addressed", "P-80", "It is for Mallory.", _given(leaf=elsewhere)
    posed = _leaf_of(good, MALLORY, CEDAR)
    yield "author-forged", "wrong-origin", "P-80", "It is by Mallory.", _given(leaf=posed)
    other = _leaf_of(good, BIRCH, CEDAR, t="remark")
    yield "kind-of-another", "header-invalid", "P-80", "A remark's header.", _given(leaf=other)


def _complaint(about: Proof, **changes: Any) -> dict[str, Any]:
    return {
        "leaf": changes.pop("leaf", None) or _leaf_of(about, CEDAR, ALDER, t="complain"),
        "content": changes.pop("content", None) or write_complaint(about),
        "peer": CEDAR.node_id,
        "active": True,
        "me": ALDER.node_id,
        "known": list(ALDER.identity.chain),
        **changes,
    }


def _passed(
    tlp: Tlp,
    *,
    client: bool = False,
    to: Player = CEDAR,
    log: Player | None = None,
    written: Proof | None = None,
    ref: bytes | None = None,
) -> Proof:
    """Birch's share of Alder's report, in Birch's log."""
    inner = written or _written(tlp)
    content = write_share(inner, client=client)
    return _logged(BIRCH, (to,), content, log=log, t="share", tlp=tlp, ref=ref or _hash(inner))


def _complaints() -> Iterator[Row]:
    strict, idle = _passed(Tlp.AMBER_STRICT), "complaint-unfounded"
    yield "valid", "ok", "P-236", "Birch passed on TLP:AMBER+STRICT.", _complaint(strict)
    yield (
        "valid-no-client",
        "ok",
        "P-236",
        "Birch passed on TLP:AMBER to no client.",
        _complaint(_passed(Tlp.AMBER)),
    )
    second = _passed(Tlp.GREEN, written=_written(to=(MALLORY,)))
    yield (
        "valid-second-hand",
        "ok",
        "P-236",
        "Birch passed on what Alder had not given it.",
        _complaint(second),
    )
    yield "permitted", idle, "P-236", "TLP:GREEN was permitted.", _complaint(_passed(Tlp.GREEN))
    client = _passed(Tlp.AMBER, client=True)
    yield "to-a-client", idle, "P-236", "TLP:AMBER, said to go to a client.", _complaint(client)
    aside = _passed(Tlp.RED, ref=bytes(32))
    yield "of-a-share-about-something-else", idle, "P-236", "Its ref names another entry.", _complaint(aside)
    theirs = _logged(CEDAR, (BIRCH,), CONTENT, tlp=Tlp.RED)
    foreign = _passed(Tlp.RED, written=theirs, to=MALLORY)
    mallory = {"peer": MALLORY.node_id, "leaf": _leaf_of(foreign, MALLORY, ALDER, t="complain")}
    yield (
        "of-anothers-report",
        idle,
        "P-236",
        "The report is Cedar's, not Alder's.",
        _complaint(foreign, **mallory),
    )
    elsewhere = _passed(Tlp.RED, to=MALLORY)
    yield "of-what-went-elsewhere", idle, "P-235", "Cedar did not get it.", _complaint(elsewhere)
    framed = _passed(Tlp.RED, log=CEDAR)
    yield "framed", "unproven", "P-235", "Cedar signed Birch's checkpoint.", _complaint(framed)
    yield (
        "not-json",
        "content-invalid",
        "P-235",
        "The content is prose.",
        _complaint(strict, content=b"Thief!"),
    )
    nothing = _leaf_of(strict, CEDAR, ALDER, t="complain", ref=bytes(32))
    yield (
        "of-nothing",
        "inner-mismatch",
        "P-235",
        "It refers to another entry.",
        _complaint(strict, leaf=nothing),
    )
    plain = _written(Tlp.RED)
    yield "of-no-share", "inner-mismatch", "P-235", "What is shown is no share.", _complaint(plain)
    posed = _leaf_of(strict, MALLORY, ALDER, t="complain")
    yield "author-forged", "wrong-origin", "P-80", "It is by Mallory.", _complaint(strict, leaf=posed)
    other = _leaf_of(strict, CEDAR, BIRCH, t="complain")
    yield (
        "not-addressed",
        "not-addressed",
        "P-80",
        "It is for Birch.",
        _complaint(strict, leaf=other, me=ALDER.node_id),
    )
    kind = _leaf_of(strict, CEDAR, ALDER, t="share")
    yield "kind-of-another", "header-invalid", "P-80", "A share's header.", _complaint(strict, leaf=kind)
    yield "not-approved", "peer-inactive", "P-83", "Cedar is not approved.", _complaint(strict, active=False)
