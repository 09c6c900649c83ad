"""Vectors for reports: what Alder sends to Birch, who is known to be a node, and what Birch holds under the identifier.

`nodes`: NodeIDs that Birch knows. `held`: what she holds: `content`, `origin` (who brought it), `ver`, `disputed`; null
when she holds nothing. `outcome`: what becomes of a report that is not refused.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from tocsin_schema.marking import Tlp
from tocsin_schema.stix import build, node_identity, revise, withdraw
from workshop.case import Case, Row, of
from workshop.cast import ALDER, BIRCH, CEDAR, NOW, REPORT_ID, Player
from workshop.said import header, refused_at_the_door

_PUBLIC = {
    "type": "identity",
    "spec_version": "2.1",
    "id": "identity--0d4b1b3c-5c2f-5a0d-9a35-1f2b3c4d5e6f",
    "created": "2025-01-01T00:00:00.000Z",
    "modified": "2025-01-01T00:00:00.000Z",
    "name": "A public collection",
    "identity_class": "organization",
}


def cases() -> Iterator[Case]:
    """All vectors of this check."""
    yield from of("report", _taken(), _refused(), _what_is_held())


def _identity(player: Player) -> dict[str, Any]:
    return node_identity(player.identity.statement.org.name, player.node_id)


def _first(by: dict[str, Any] | None = None, tlp: Tlp = Tlp.AMBER, incident_id: str = REPORT_ID) -> bytes:
    form = {"title": "A title", "description": "What happened.", "tlp": tlp.value, "realization": "near-miss"}
    return build(form, producer=by or _identity(ALDER), incident_id=incident_id, now=NOW)


def _second(text: str = "What happened, and why.") -> bytes:
    return revise(_first(), {"description": text}, now=NOW + timedelta(hours=1))


def _gone() -> bytes:
    return withdraw(_first(), reason="It was none.", now=NOW + timedelta(hours=1))


def _leaf(**changes: Any) -> bytes:
    return header(changes.pop("t", "publish"), ALDER, BIRCH, **changes)


def _given(content: bytes | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "leaf": _leaf(),
        "content": _first() if content is None else content,
        "peer": ALDER.node_id,
        "active": True,
        "max_tlp_in": "amber",
        "me": BIRCH.node_id,
        "nodes": [ALDER.node_id, CEDAR.node_id],
        "held": None,
        "outcome": "stored",
        **changes,
    }


def _held(content: bytes, *, origin: Player = ALDER, ver: int = 1, disputed: bool = False) -> dict[str, Any]:
    return {"content": content, "origin": origin.node_id, "ver": ver, "disputed": disputed}


def _taken() -> Iterator[Row]:
    yield "valid", "ok", "P-90", "Nothing is held under its identifier.", _given()
    gone = _given(_gone(), leaf=_leaf(t="revoke", ver=2), held=_held(_first()))
    yield "valid-withdrawal", "ok", "P-96", "Alder takes it back.", gone
    public = _given(_first(_PUBLIC))
    yield "valid-of-a-collection", "ok", "P-106", "No node created it; any may publish it.", public
    unnamed = _given(leaf=_leaf().replace(b'"nodes":["%s"]' % BIRCH.node_id.encode(), b'"unnamed":true'))
    yield "valid-unnamed", "ok", "P-217", "Birch is not named.", unnamed


def _refused() -> Iterator[Row]:
    yield from refused_at_the_door(_given, _acknowledged_or(_leaf), peer="Alder")
    other = _first(incident_id=REPORT_ID.replace("5ee", "6ee"))
    yield "of-another-report", "inner-mismatch", "P-81", "The content is about another report.", _given(other)
    quiet = _given(_gone(), leaf=_leaf(ver=2))
    yield "withdrawn-in-secret", "inner-mismatch", "P-81", "Its content alone is a withdrawal.", quiet
    loud = _given(leaf=_leaf(t="revoke", ver=2))
    yield "withdrawn-by-header", "inner-mismatch", "P-81", "Its header alone is a withdrawal.", loud
    milder = _given(leaf=_leaf(tlp=Tlp.GREEN))
    yield "header-milder", "tlp-mismatch", "P-82", "The header is milder than the content.", milder
    foreign = "foreign-creator"
    yield "of-a-third-node", foreign, "P-106", "Cedar created it.", _given(_first(_identity(CEDAR)))
    yield "of-our-own", foreign, "P-106", "Birch created it.", _given(_first(_identity(BIRCH)))
    named = _given(_first(_identity(CEDAR)), nodes=[])
    yield (
        "of-a-node-that-names-itself",
        foreign,
        "P-106",
        "Birch does not know Cedar; the content does.",
        named,
    )
    silent = {k: v for k, v in _identity(CEDAR).items() if k != "external_references"}
    known = _given(_first(silent))
    yield (
        "of-a-node-that-is-known",
        foreign,
        "P-106",
        "The content does not say so, but Birch knows Cedar.",
        known,
    )
    yield "above-the-ceiling", "above-ceiling", "P-83", "AMBER from a GREEN peer.", _given(max_tlp_in="green")


def _what_is_held() -> Iterator[Row]:
    first, second, gone = _first(), _second(), _gone()
    newer = {"leaf": _leaf(ver=2)}
    again = _given(held=_held(first), outcome="unchanged")
    yield "valid-again", "ok", "P-91", "The very bytes are held.", again
    elsewhere = _given(_first(_PUBLIC), held=_held(_first(_PUBLIC), origin=CEDAR), outcome="unchanged")
    yield "valid-repeated", "ok", "P-91", "The very bytes, brought by Cedar.", elsewhere
    late = _given(held=_held(second, ver=2), outcome="superseded")
    yield "valid-late", "ok", "P-93", "Version 1 comes after version 2.", late
    yield "valid-next", "ok", "P-96", "Version 2.", _given(second, held=_held(first), **newer)
    copy = _given(held=_held(second, origin=CEDAR, ver=7))
    yield "valid-in-place-of-a-copy", "ok", "P-107", "Cedar brought a copy; this is its creator's word.", copy
    back = _given(held=_held(second, ver=2, disputed=True))
    yield "valid-after-a-dispute", "ok", "P-153", "What a thief wrote gives way, whatever its count.", back
    same = _given(held=_held(first, disputed=True), outcome="unchanged")
    yield "valid-disputed-and-true", "ok", "P-153", "It was the author's own after all.", same
    public = _first(_PUBLIC)
    taken = _given(public, held=_held(_first(_PUBLIC, Tlp.GREEN), origin=CEDAR))
    yield "of-another-owner", "not-owner", "P-92", "Cedar brought that record, in other words.", taken
    posed = _given(held=_held(_first(_identity(CEDAR))))
    yield "of-another-creator", "not-owner", "P-92", "What is held was created by somebody else.", posed
    twice = _given(_second("What happened, as told later."), held=_held(second, ver=2), **newer)
    yield "two-of-one-version", "version-conflict", "P-94", "Another second version.", twice
    revived = _given(_second(), leaf=_leaf(ver=3), held=_held(gone, ver=2))
    yield "revived", "already-withdrawn", "P-95", "A version after the withdrawal.", revived


def _acknowledged_or(leaf: Any) -> Any:
    """An acknowledgement's header refers to something."""
    return lambda **changes: leaf(**changes, **({"ref": bytes(32)} if changes.get("t") == "ack" else {}))
