"""Vectors for `open_entry`: headers that an author can write into its own log, and what a reader makes of them."""

import base64
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from tocsin_federation.node_id import node_id_from_bytes
from workshop.case import Row
from workshop.cast import ALDER, BIRCH, CEDAR, MALLORY, REPORT_ID
from workshop.sealing import Wraps, header_bytes, releaf, sealed

Change = Callable[[bytes], bytes]
_ALDER: Final = ALDER.node_id.encode()
_BIRCH: Final = BIRCH.node_id.encode()
_HASH: Final = base64.b64encode(bytes(32))
_CANONICAL, _LATER, _FORM = "not-canonical", "unsupported", "header-invalid"


def rows(box: Wraps) -> Iterator[Row]:
    """An entry of Alder to Birch whose header was written anew: of another form, or by somebody else."""
    for name, expect, rule, comment, change in (*_spellings(), *_later(), *_audiences(), *_fields()):
        entry = sealed()
        leaf = change(entry.sealed.leaf)
        assert leaf != entry.sealed.leaf, name
        yield name, expect, rule, comment, box.given(releaf(entry, leaf))
    yield from _for_others(box)


def _swap(before: bytes, after: bytes) -> Change:
    return lambda leaf: leaf.replace(before, after, 1)


def _aud(after: bytes) -> Change:
    """Another audience, as it stands between the braces."""
    return _swap(b'"nodes":["' + _BIRCH + b'"]', after)


Written = Iterator[tuple[str, str, str, str, Change]]


def _spellings() -> Written:
    yield "header-spaced", _CANONICAL, "P-62", "A space after a colon.", _swap(b'"t":', b'"t": ')
    yield "header-trailing-newline", _CANONICAL, "P-62", "A newline at the end.", lambda leaf: leaf + b"\n"
    twice = _swap(b'"tlp":"amber"', b'"tlp":"clear","tlp":"amber"')
    yield "header-duplicate-tlp", _CANONICAL, "P-62", "Two markings: readers disagree which counts.", twice
    yield "header-float-version", _CANONICAL, "P-62", "ver 1.0.", _swap(b'"ver":1', b'"ver":1.0')
    null = _swap(b'"t":', b'"prev":null,"t":')
    yield "header-null-prev", _CANONICAL, "P-62", "A field that is absent is not null.", null

    def spare(leaf: bytes) -> bytes:
        at = leaf.index(b'"kc":"') + 48
        return leaf[:at] + bytes([leaf[at] + 1]) + leaf[at + 1 :]

    yield "hash-with-spare-bits", _CANONICAL, "P-10", "A second spelling of the commitment.", spare
    escaped = _swap(b'"amber"', b'"\\u0061mber"')
    yield "header-escaped-letter", _CANONICAL, "P-62", "\\u0061mber for amber.", escaped


def _later() -> Written:
    yield "version-2", _LATER, "P-62", "A header of protocol version 2.", _swap(b'"v":1', b'"v":2')
    kind = _swap(b'"t":"publish"', b'"t":"later"')
    yield "kind-unknown", _LATER, "P-62", "A kind of entry of a later version.", kind
    yield "suite-2", _LATER, "P-62", "A cipher suite of a later version.", _swap(b'"suite":1', b'"suite":2')
    yield "audience-unknown", _LATER, "P-62", "An audience of a later version.", _aud(b'"public":true')
    yield "audience-empty", _LATER, "P-62", "An audience that says nothing known.", _aud(b"")


def _audiences() -> Written:
    named = b'"nodes":["' + _BIRCH + b'"]'
    both = _aud(named + b',"unnamed":true')
    yield "audience-unnamed-and-nodes", _FORM, "P-217", "Nobody by name, and names beside it.", both
    false = _aud(named + b',"unnamed":false')
    comment = "Nobody by name, and not that either: what is absent is not false."
    yield "audience-unnamed-false", _CANONICAL, "P-217", comment, false
    yield (
        "audience-unnamed-of-a-share",
        _FORM,
        "P-217",
        "What is passed on names its readers to the author.",
        lambda leaf: _as_answer("share")(_aud(b'"unnamed":true')(leaf)),
    )
    circle = b'"circle":"' + _HASH + b'"'
    half = _aud(circle + b',"epoch":4')
    yield "audience-circle-half", _FORM, "P-62", "A circle without the author's count.", half
    beside = _swap(b'"aud":{', b'"aud":{' + circle + b',"cseq":1,"epoch":4,')
    yield "audience-circle-and-nodes", _FORM, "P-62", "A circle and names beside it.", beside
    unlinked = _aud(circle + b',"cseq":2,"epoch":4')
    comment = "The second entry to a circle does not name the first."
    yield "audience-circle-count-unlinked", _FORM, "P-62", comment, unlinked
    linked = _aud(circle + b',"cprev":"' + _HASH + b'","cseq":1,"epoch":4')
    yield "audience-circle-count-begun-twice", _FORM, "P-210", "The first entry follows another.", linked
    yield (
        "audience-circle-of-a-remark",
        _FORM,
        "P-62",
        "Only versions of reports are addressed to circles.",
        lambda leaf: _as_answer("remark")(_aud(circle + b',"cseq":1,"epoch":4')(leaf)),
    )
    yield (
        "author-in-audience",
        _FORM,
        "P-62",
        "The author names itself as recipient.",
        _swap(b'"by":"' + _ALDER, b'"by":"' + _BIRCH),
    )
    twice = _aud(b'"nodes":["' + _BIRCH + b'","' + _BIRCH + b'"]')
    yield "audience-twice", _FORM, "P-62", "One recipient named twice.", twice
    crowd = sorted(node_id_from_bytes(n.to_bytes(32, "big")).encode() for n in range(257))
    many = _aud(b'"nodes":["' + b'","'.join(crowd) + b'"]')
    yield "audience-of-257", _FORM, "P-62", "One recipient too many.", many


def _fields() -> Written:
    hidden = _swap(b'"id":', b'"hidden":1,"id":')
    yield "header-extra-field", _FORM, "P-62", "A field that nobody has defined.", hidden
    white = _swap(b'"tlp":"amber"', b'"tlp":"white"')
    yield "header-unknown-tlp", _FORM, "P-62", "A marking that does not exist.", white
    nameless = _swap(b'"id":"' + REPORT_ID.encode() + b'",', b"")
    yield "header-without-id", _FORM, "P-62", "No report id.", nameless
    capitals = _swap(REPORT_ID.encode(), b"incident--" + REPORT_ID.partition("--")[2].upper().encode())
    yield "id-in-capitals", _FORM, "P-62", "A second spelling of one report.", capitals
    spare = _swap(_BIRCH, _BIRCH[:-1] + b"b")
    yield "node-id-with-spare-bits", _FORM, "P-11", "A second spelling of Birch's NodeID.", spare
    nil = _swap(REPORT_ID.encode(), b"incident--00000000-0000-0000-0000-000000000000")
    yield "id-of-no-version", _FORM, "P-62", "A UUID of version 0.", nil
    yield "version-nought", _FORM, "P-62", "Versions are counted from 1.", _swap(b'"ver":1', b'"ver":0')
    prev = _swap(b'"t":', b'"prev":"' + _HASH + b'","t":')
    yield "prev-of-the-first-version", _FORM, "P-62", "Version 1 follows another.", prev
    bare = _swap(b'"t":"publish"', b'"t":"ack"')
    yield "acknowledgement-without-ref", _FORM, "P-62", "An ack that answers nothing.", bare
    bare = _swap(b'"t":"publish"', b'"t":"remark"')
    yield "remark-without-ref", _FORM, "P-62", "A remark that answers nothing.", bare
    ref = _swap(b'"t":"publish"', b'"ref":"' + _HASH + b'","t":"publish"')
    yield "report-with-ref", _FORM, "P-62", "A report that answers something.", ref
    named = _as_answer("receipt")
    yield "receipt-of-a-report", _FORM, "P-180", "It is named after a report.", named
    own = _swap(b"incident--", b"receipt--")
    yield (
        "receipt-of-version-2",
        _FORM,
        "P-180",
        "What names no report has no versions.",
        lambda leaf: own(named(leaf)).replace(b'"ver":1', b'"ver":2'),
    )
    # The author may write what it likes into its own log; the key then no longer fits.
    lower = _swap(b'"tlp":"amber"', b'"tlp":"clear"')
    yield "tlp-lowered", "commitment", "P-67", "The marking was changed after sealing.", lower
    raised = _swap(b'"ver":1', b'"ver":7')
    yield "version-raised", "commitment", "P-67", "The version was changed after sealing.", raised
    forged = _swap(b'"by":"' + _ALDER, b'"by":"' + CEDAR.node_id.encode())
    yield "author-forged", "wrong-origin", "P-63", "Alder's log holds an entry by Cedar.", forged


def _as_answer(kind: str) -> Change:
    """A header of a kind that refers to another entry."""
    return _swap(b'"t":"publish"', b'"ref":"' + _HASH + b'","t":"' + kind.encode() + b'"')


def _for_others(box: Wraps) -> Iterator[Row]:
    stolen = sealed(recipients=(CEDAR,))
    given = box.given(stolen, to=CEDAR)
    yield "not-addressed", "not-addressed", "P-64", "An entry for Cedar, served to Birch.", given
    claimed = sealed(recipients=(BIRCH, MALLORY))
    aud = msgspec.structs.replace(claimed.header.aud, nodes=(BIRCH.node_id,))
    leaf = header_bytes(msgspec.structs.replace(claimed.header, by=MALLORY.node_id, aud=aud))
    yield (
        "claimed-by-a-recipient",
        "commitment",
        "P-67",
        "Mallory, a recipient, strips Alder's name and sends the ciphertext as her own, with her own wrap.",
        box.given(releaf(claimed, leaf), origin=MALLORY),
    )
