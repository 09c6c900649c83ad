"""Vectors for receipts: what Birch tells Alder of entries of Alder's log.

`sealed`: leaf hashes of the entries of Alder's log that were sealed to Birch; `passed`: leaf hash and NodeID of
entries of Birch's log that passed a report of Alder's on, and of whom each passed it to.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from tocsin_federation.messages import HEADER, Audience, Encryption, Header
from tocsin_federation.receipt import MAX_ITEMS, RECEIPT, Item, Receipt
from tocsin_schema.marking import Tlp
from workshop.case import Case, Dice
from workshop.cast import ALDER, BIRCH, CEDAR, NOW, REPORT_ID

_ENC = Encryption(suite=1, salt=bytes(24), kc=bytes(32), ct=bytes(32), n=1040)
_MS = int(NOW.timestamp() * 1000)
_DICE = Dice("receipts")
_FIRST, _SECOND, _OTHERS = _DICE(32), _DICE(32), _DICE(32)
_STORED = Item(entry=_FIRST, state="stored", at=_MS)
_REFUSED = Item(entry=_SECOND, state="refused", code="above-ceiling", at=_MS)
_RECEIPT = Receipt(v=1, items=(_STORED, _REFUSED))
_SHARE = Dice("receipts that tell of readers beyond")(32)
_BEYOND = Item(entry=_SHARE, state="purged", at=_MS, by=CEDAR.node_id)
Row = tuple[str, str, str, str, dict[str, Any]]


def cases() -> Iterator[Case]:
    """All vectors of this check."""
    for name, expect, rule, comment, given in (*_valid(), *_malformed(), *_forbidden(), *_beyond()):
        yield Case("receipt", name, expect, rule, comment, given)


def _header(**changes: Any) -> bytes:
    header = Header(
        v=1,
        t="receipt",
        by=BIRCH.node_id,
        id=REPORT_ID.replace("incident", "receipt"),
        ver=1,
        ts=_MS,
        aud=Audience(nodes=(ALDER.node_id,)),
        tlp=Tlp.GREEN,
        ref=_FIRST,
        enc=_ENC,
    )
    return HEADER.encode(msgspec.structs.replace(header, **changes))


def _given(content: bytes | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "leaf": _header(),
        "content": RECEIPT.encode(_RECEIPT) if content is None else content,
        "peer": BIRCH.node_id,
        "active": True,
        "me": ALDER.node_id,
        "sealed": [_FIRST, _SECOND],
        "passed": [[_SHARE, CEDAR.node_id]],
        **changes,
    }


def _items(*items: Item) -> bytes:
    return RECEIPT.encode(Receipt(v=1, items=items))


def _valid() -> Iterator[Row]:
    yield "valid", "ok", "P-180", "One entry is stored, one was refused.", _given()
    alerted = Item(entry=_FIRST, state="alerted", at=_MS)
    yield "valid-alerted", "ok", "P-180", "It rang, too.", _given(_items(_STORED, alerted))
    stray = _items(_STORED, Item(entry=_OTHERS, state="stored", at=_MS))
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
        Receipt(v=1, items=tuple(Item(entry=_DICE(32), state="stored", at=_MS) for _ in range(MAX_ITEMS + 1)))
    )
    yield "too-many-items", "content-invalid", "P-180", "257 items.", _given(flood)


def _forbidden() -> Iterator[Row]:
    forged = _header(by=CEDAR.node_id)
    yield "author-forged", "wrong-origin", "P-80", "The header is by Cedar.", _given(leaf=forged)
    leaf = _header(aud=Audience(nodes=(CEDAR.node_id,)))
    yield "not-addressed", "not-addressed", "P-80", "It is for Cedar.", _given(leaf=leaf)
    leaf = _header(t="ack", id=REPORT_ID)
    yield "kind-of-another", "header-invalid", "P-80", "The header says ack.", _given(leaf=leaf)
    leaf = _header().replace(b'"receipt--', b'"incident--')
    yield "named-after-a-report", "header-invalid", "P-180", "Its id is a report's.", _given(leaf=leaf)
    leaf = _header(ref=_SECOND)
    yield "of-another-entry", "inner-mismatch", "P-182", "It refers to the second entry.", _given(leaf=leaf)
    yield "not-approved", "peer-inactive", "P-183", "Birch is stopped.", _given(active=False)
    yield (
        "about-others-entries",
        "not-ours",
        "P-184",
        "None of these went to Birch.",
        _given(sealed=[_OTHERS]),
    )


def _onward(*items: Item) -> bytes:
    return RECEIPT.encode(Receipt(v=2, items=items))


def _beyond() -> Iterator[Row]:
    """What Birch tells Alder of Cedar, to whom it passed Alder's report on."""
    leaf = _header(ref=_SHARE)
    said = "Cedar has purged what Birch passed on to it."
    yield "valid-beyond", "ok", "P-270", said, _given(_onward(_BEYOND), leaf=leaf)
    stray = msgspec.structs.replace(_BEYOND, by=ALDER.node_id)
    said = "Birch tells of one reader that it did not pass it on to, too."
    yield "valid-beyond-with-a-stray-item", "ok", "P-271", said, _given(_onward(_BEYOND, stray), leaf=leaf)
    nobodys = _onward(_BEYOND).replace(b'"by":"' + CEDAR.node_id.encode() + b'",', b"")
    said = "Version 2, and it is not said who said so."
    yield "beyond-by-nobody", "content-invalid", "P-270", said, _given(nobodys, leaf=leaf)
    early = _onward(_BEYOND).replace(b'"v":2', b'"v":1')
    said = "Version 1, and another is said to have said so."
    yield "beyond-in-version-1", "content-invalid", "P-270", said, _given(early, leaf=leaf)
    one = msgspec.json.encode(_BEYOND, order="sorted")
    twice = _onward(_BEYOND).replace(b'"items":[', b'"items":[' + one + b",")
    yield "beyond-said-twice", "content-invalid", "P-270", "Cedar said it twice.", _given(twice, leaf=leaf)
    said = "Birch did not pass it on to that reader."
    yield "beyond-another-reader", "not-ours", "P-271", said, _given(_onward(stray), leaf=leaf)
    own = msgspec.structs.replace(_BEYOND, entry=_FIRST)
    said = "The entry is Alder's own, and not one that passed something on."
    yield "beyond-an-own-entry", "not-ours", "P-271", said, _given(_onward(own), leaf=_header())
