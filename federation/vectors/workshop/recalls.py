"""Vectors for recalls: what Alder takes back from Birch, and what the entries that it names brought to Birch.

`carried`: by leaf hash, what entries of Alder's log that were addressed to Birch brought: the report's `id` and the
NodeID that the report held under it belongs to (`owner`, null when nothing is held any more).
"""

from collections.abc import Iterator
from typing import Any

from tocsin_federation.messages import MAX_RECIPIENTS
from tocsin_federation.recall import RECALL, Recall
from tocsin_schema.marking import Tlp
from workshop.case import Case, Dice, Row, of
from workshop.cast import ALDER, BIRCH, CEDAR, REPORT_ID
from workshop.said import MS, header, refused_at_the_door

_DICE = Dice("recalls")
_FIRST, _SECOND = _DICE(32), _DICE(32)
_RECALL = Recall(
    v=1,
    what="purge",
    entries=(_FIRST,),
    reason="A person whom it is about has asked for it.",
    at=MS,
    deadline=MS + 72 * 3_600_000,
)


def cases() -> Iterator[Case]:
    """All vectors of this check."""
    yield from of("recall", _valid(), _malformed(), _forbidden())


def _header(**changes: Any) -> bytes:
    name = REPORT_ID.replace("incident", "recall")
    return header("recall", ALDER, BIRCH, **{"id": name, "tlp": Tlp.GREEN, "ref": _FIRST, **changes})


def _content(**changes: Any) -> bytes:
    fields = {name: getattr(_RECALL, name) for name in Recall.__struct_fields__}
    return RECALL.encode(Recall(**{**fields, **changes}))


def _carried(owner: str | None, entry: bytes = _FIRST) -> dict[str, Any]:
    return {"entry": entry, "id": REPORT_ID, "owner": owner}


def _given(content: bytes | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "leaf": _header(),
        "content": _content() if content is None else content,
        "peer": ALDER.node_id,
        "active": True,
        "me": BIRCH.node_id,
        "carried": [_carried(ALDER.node_id)],
        **changes,
    }


def _valid() -> Iterator[Row]:
    yield "valid", "ok", "P-185", "Alder takes a report back.", _given()
    narrow = _given(_content(what="narrow"), leaf=_header(tlp=Tlp.AMBER))
    yield "valid-narrow", "ok", "P-190", "Alder marks it AMBER from now on, earlier versions too.", narrow
    yield "valid-again", "ok", "P-188", "It is purged already.", _given(carried=[_carried(None)])
    yield "valid-of-nothing", "ok", "P-188", "The entry never came to Birch.", _given(carried=[])
    two = _given(
        _content(entries=(_FIRST, _SECOND)),
        carried=[_carried(CEDAR.node_id, _SECOND), _carried(ALDER.node_id)],
    )
    yield "valid-with-anothers", "ok", "P-188", "One of two entries is about a report of Cedar's.", two
    gone = two | {"carried": [_carried(CEDAR.node_id, _SECOND), _carried(None)]}
    yield "valid-with-anothers-again", "ok", "P-188", "The same, and Alder's own is purged already.", gone


def _malformed() -> Iterator[Row]:
    yield "not-json", "content-invalid", "P-185", "The content is prose.", _given(b"Give it back!")
    content = _content()
    yield (
        "later-version",
        "unsupported",
        "P-185",
        "A later version.",
        _given(content.replace(b'"v":1', b'"v":2')),
    )
    named = content.replace(b'"reason"', b'"name":"x","reason"')
    yield "unknown-field", "content-invalid", "P-185", "It names something.", _given(named)
    other = content.replace(b'"purge"', b'"alter"')
    yield "asks-for-something-else", "content-invalid", "P-185", "It asks to alter.", _given(other)
    none = content.replace(content[content.index(b"[") : content.index(b"]") + 1], b"[]")
    yield "no-entries", "content-invalid", "P-185", "It recalls nothing.", _given(none)
    entry = content[content.index(b"[") + 1 : content.index(b"]")]
    twice = content.replace(entry, entry + b"," + entry)
    yield "entry-twice", "content-invalid", "P-185", "One entry, twice.", _given(twice)
    flood = _content(entries=tuple(_DICE(32) for _ in range(MAX_RECIPIENTS + 1)))
    yield "too-many-entries", "content-invalid", "P-185", "257 entries.", _given(flood)
    late = content.replace(b'"deadline":%d' % _RECALL.deadline, b'"deadline":%d' % (MS - 1))
    yield "deadline-before-it", "content-invalid", "P-185", "To be done before it was said.", _given(late)
    yield "no-reason", "content-invalid", "P-185", "No reason.", _given(_content(reason=""))


def _forbidden() -> Iterator[Row]:
    yield from refused_at_the_door(_given, _header, peer="Alder", other="call", rule="P-187")
    leaf = _header().replace(b'"recall--', b'"incident--')
    yield "named-after-a-report", "header-invalid", "P-185", "Its id is a report's.", _given(leaf=leaf)
    yield (
        "of-another-entry",
        "inner-mismatch",
        "P-186",
        "It refers to another entry.",
        _given(leaf=_header(ref=_SECOND)),
    )
    theirs = _given(carried=[_carried(CEDAR.node_id)])
    yield "of-anothers-report", "not-owner", "P-188", "The report belongs to Cedar.", theirs
    ours = _given(carried=[_carried(BIRCH.node_id)])
    yield "of-our-report", "not-owner", "P-188", "The report is Birch's own.", ours
