"""Vectors for entries of kind `circle`: Alder brings Birch the manifests of a circle."""

from collections.abc import Iterator
from typing import Any

from tocsin_federation.circle import circle_entry_id, read_manifest, write_file
from workshop.case import Case, Row, of
from workshop.cast import ALDER, BIRCH, NOW, REPORT_ID
from workshop.circles import FIRST, HIDDEN, RIVAL, SECOND, UNSIGNED, WITHOUT_BIRCH
from workshop.said import header, refused_at_the_door

_NAME = circle_entry_id(read_manifest(FIRST).digest)


def cases() -> Iterator[Case]:
    """All vectors of this check."""
    yield from of("manifest", _taken(), _malformed(), _refused())


def _leaf(**changes: Any) -> bytes:
    fields = {"id": _NAME, "ver": 2, **changes}
    if fields.get("t", "circle") != "circle":
        fields |= {"ref": bytes(32), "ver": 1}
    return header(fields.pop("t", "circle"), ALDER, BIRCH, **fields)


def _given(content: bytes | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "leaf": _leaf(),
        "content": write_file([FIRST, SECOND]) if content is None else content,
        "peer": ALDER.node_id,
        "active": True,
        "me": BIRCH.node_id,
        "held": [],
        "now": NOW,
        **changes,
    }


def _taken() -> Iterator[Row]:
    yield "valid", "ok", "P-206", "Two epochs of a circle that Birch does not know.", _given()
    first = _given(write_file([FIRST]), leaf=_leaf(ver=1))
    yield "valid-first", "ok", "P-206", "Its first epoch.", first
    yield "valid-further", "ok", "P-207", "Birch knows the first.", _given(held=[FIRST])
    old = _given(write_file([FIRST]), leaf=_leaf(ver=1), held=[FIRST, SECOND])
    yield "valid-shorter", "ok", "P-207", "Birch knows more: superseded.", old


def _malformed() -> Iterator[Row]:
    malformed, good = "circle-malformed", write_file([FIRST, SECOND])
    yield "not-json", malformed, "P-207", "The content is prose.", _given(b"Join us!")
    later = good.replace(b'"v":1}', b'"v":9}')
    yield "later-version", "circle-unsupported", "P-207", "A file of a version to come.", _given(later)
    yield "empty", malformed, "P-207", "No manifest.", _given(b'{"chain":[],"v":1}')
    yield (
        "unsigned",
        "circle-unsigned",
        "P-203",
        "Too few have signed.",
        _given(write_file([FIRST, UNSIGNED])),
    )
    skipped = _given(write_file([SECOND]), leaf=_leaf(ver=2))
    yield "first-missing", "circle-broken", "P-202", "It begins with epoch 1.", skipped


def _refused() -> Iterator[Row]:
    yield from refused_at_the_door(_given, _leaf, peer="Alder", rule="P-207")
    mismatch = "inner-mismatch"
    other = _leaf(id=REPORT_ID.replace("incident", "circle"))
    yield "of-another-circle", mismatch, "P-206", "Its id is not made of the circle's.", _given(leaf=other)
    yield "of-another-epoch", mismatch, "P-206", "It says epoch 6.", _given(leaf=_leaf(ver=7))
    name = circle_entry_id(read_manifest(HIDDEN).digest)
    hidden = _given(write_file([HIDDEN]), leaf=_leaf(id=name, ver=1))
    yield "hidden", "content-invalid", "P-218", "Its members do not see each other: by hand alone.", hidden
    name = circle_entry_id(read_manifest(WITHOUT_BIRCH).digest)
    foreign = _given(write_file([WITHOUT_BIRCH]), leaf=_leaf(id=name, ver=1))
    yield "of-others", "not-member", "P-207", "Birch is no member.", foreign
    forked = _given(write_file([FIRST, RIVAL]), held=[FIRST, SECOND])
    yield "two-of-one-epoch", "circle-forked", "P-208", "The admins signed two.", forked
