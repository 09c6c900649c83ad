"""Vectors for receipts: what Birch tells Alder of entries of Alder's log.

`sealed`: leaf hashes of the entries of Alder's log that were sealed to Birch; `passed`: leaf hash and NodeID of
entries of Birch's log that passed a report of Alder's on, and of whom each passed it to.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from tocsin_federation.receipt import MAX_ITEMS, RECEIPT, Item, Receipt
from tocsin_schema.marking import Tlp
from workshop.case import Case, Dice, Row, of
from workshop.cast import ALDER, BIRCH, CEDAR, REPORT_ID
from workshop.said import MS, header, refused_at_the_door

_DICE = Dice("receipts")
_FIRST, _SECOND, _OTHERS = _DICE(32), _DICE(32), _DICE(32)
_STORED = Item(entry=_FIRST, state="stored", at=MS)
_REFUSED = Item(entry=_SECOND, state="refused", code="above-ceiling", at=MS)
_RECEIPT = Receipt(v=1, items=(_STORED, _REFUSED))
_SHARE = Dice("receipts that tell of readers beyond")(32)
_BEYOND = Item(entry=_SHARE, state="purged", at=MS, by=CEDAR.node_id)


def cases() -> Iterator[Case]:
    """All vectors of this check."""
    yield from of("receipt", _valid(), _malformed(), _forbidden(), _beyond())


def _header(**changes: Any) -> bytes:
    name = REPORT_ID.replace("incident", "receipt")
    return header("receipt", BIRCH, ALDER, **{"id": name, "tlp": Tlp.GREEN, "ref": _FIRST, **changes})


def _given(content: bytes | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "leaf": _header(),
        "content": RECEIPT.encode(_RECEIPT) if content is None else content,
        "peer": BIRCH.node_id,
        "active": True,
        "me": ALDER.node_id,
        "sealed": [_FIRST, _SECOND],
        **changes,
    }


def _items(*items: Item) -> bytes:
    return RECEIPT.encode(Receipt(v=1, items=items))


def _valid() -> Iterator[Row]:
    yield "valid", "ok", "P-180", "One entry is stored, one was refused.", _given()
    alerted = Item(entry=_FIRST, state="alerted", at=MS)
    yield "valid-alerted", "ok", "P-180", "It rang, too.", _given(_items(_STORED, alerted))
    for state in ("waiting", "purged", "narrowed"):
        done = _items(Item(entry=_FIRST, state=state, at=MS))
        yield f"valid-{state}", "ok", "P-191", "What became of a recall.", _given(done)
    stray = _items(_STORED, Item(entry=_OTHERS, state="stored", at=MS))
    yield (
        "valid-with-a-stray-item",
        "ok",
        "P-184",
        "One item is about an entry that Birch never got.",
        _given(stray),
    )


def _malformed() -> Iterator[Row]:
    yield "not-json", "content-invalid", "P-180", "The content is prose.", _given(b"Thanks!")
    content = RECEIPT.encode(_RECEIPT)
    yield (
        "later-version",
        "unsupported",
        "P-180",
        "A later version.",
        _given(content.replace(b'"v":1', b'"v":3')),
    )
    extra = content.replace(b'{"items"', b'{"by":"Kim","items"')
    yield "unknown-field", "content-invalid", "P-180", "It names a person.", _given(extra)
    yield "no-items", "content-invalid", "P-180", "It says nothing.", _given(b'{"items":[],"v":1}')
    none = content.replace(b'"code":"above-ceiling",', b"")
    yield "refused-without-a-code", "content-invalid", "P-180", "Refused, and not why.", _given(none)
    coded = _items(_STORED).replace(b'"entry"', b'"code":"fine","entry"')
    yield "stored-with-a-code", "content-invalid", "P-180", "Stored for a reason.", _given(coded)
    twice = RECEIPT.encode(_RECEIPT).replace(
        b'"items":[', b'"items":[' + msgspec.json.encode(_STORED, order="sorted") + b","
    )
    yield "said-twice", "content-invalid", "P-180", "One state of one entry, twice.", _given(twice)
    flood = RECEIPT.encode(
        Receipt(v=1, items=tuple(Item(entry=_DICE(32), state="stored", at=MS) for _ in range(MAX_ITEMS + 1)))
    )
    yield "too-many-items", "content-invalid", "P-180", "257 items.", _given(flood)


def _forbidden() -> Iterator[Row]:
    yield from refused_at_the_door(_given, _header, peer="Birch", rule="P-183")
    leaf = _header().replace(b'"receipt--', b'"incident--')
    yield "named-after-a-report", "header-invalid", "P-180", "Its id is a report's.", _given(leaf=leaf)
    leaf = _header(ref=_SECOND)
    yield "of-another-entry", "inner-mismatch", "P-182", "It refers to the second entry.", _given(leaf=leaf)
    yield (
        "about-others-entries",
        "not-ours",
        "P-184",
        "None of these went to Birch.",
        _given(sealed=[_OTHERS]),
    )


def _told(*items: Item, **changes: Any) -> dict[str, Any]:
    """What Birch tells Alder of Cedar, to whom it passed Alder's report on."""
    content = RECEIPT.encode(Receipt(v=2, items=items or (_BEYOND,)))
    given = {"leaf": _header(ref=_SHARE), "passed": [[_SHARE, CEDAR.node_id]], **changes}
    return _given(**{"content": content, **given})


def _beyond() -> Iterator[Row]:
    yield "valid-beyond", "ok", "P-270", "Cedar has purged what Birch passed on to it.", _told()
    stray = msgspec.structs.replace(_BEYOND, by=ALDER.node_id)
    said = "Birch tells of one reader that it did not pass it on to, too."
    yield "valid-beyond-with-a-stray-item", "ok", "P-271", said, _told(_BEYOND, stray)
    content = _told()["content"]
    nobodys = content.replace(b'"by":"' + CEDAR.node_id.encode() + b'",', b"")
    said = "Version 2, and it is not said who said so."
    yield "beyond-by-nobody", "content-invalid", "P-270", said, _told(content=nobodys)
    early = content.replace(b'"v":2', b'"v":1')
    said = "Version 1, and another is said to have said so."
    yield "beyond-in-version-1", "content-invalid", "P-270", said, _told(content=early)
    one = msgspec.json.encode(_BEYOND, order="sorted")
    twice = content.replace(b'"items":[', b'"items":[' + one + b",")
    yield "beyond-said-twice", "content-invalid", "P-270", "Cedar said it twice.", _told(content=twice)
    said = "Birch did not pass it on to that reader."
    yield "beyond-another-reader", "not-ours", "P-271", said, _told(stray)
    own = msgspec.structs.replace(_BEYOND, entry=_FIRST)
    said = "The entry is Alder's own, and not one that passed something on."
    yield "beyond-an-own-entry", "not-ours", "P-271", said, _told(own, leaf=_header())
