"""Vectors for `open_entry`: what a dishonest origin, peer or proxy can do to a sealed entry."""

import base64
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import msgspec

from tocsin_federation.merkle import leaf_hash
from tocsin_federation.messages import Audience, write_acknowledgement
from tocsin_federation.padding import pad, padded_length
from workshop.case import Case, Dice
from workshop.cast import ALDER, BIRCH, CEDAR, MALLORY, NOW, REPORT_ID
from workshop.sealing import (
    CONTENT,
    Wraps,
    flip,
    header_bytes,
    releaf,
    salamander,
    sealed,
    sealed_plaintext,
    with_ct,
)

OldWraps = dict[str, bytes]  # name of a case → the wrap made last time: HPKE cannot be made deterministic


def cases(box: Wraps) -> Iterator[Case]:
    """All vectors of this check."""
    for name, expect, rule, comment, given in _all(box):
        yield Case("entry", name, expect, rule, comment, given)


Row = tuple[str, str, str, str, dict[str, Any]]


def _all(box: Wraps) -> Iterator[Row]:
    yield from _valid(box)
    yield from _before_the_header(box)
    yield from _headers(box)
    yield from _ciphertexts(box)
    yield from _wraps(box)
    yield from _keys_and_padding(box)


# The cases ----------------------------------------------------------------------------------------------


def _valid(box: Wraps) -> Iterator[Row]:
    entry = sealed()
    yield "valid", "ok", "P-60", "An entry from Alder to Birch.", box.given(entry)
    both = sealed(recipients=(BIRCH, CEDAR))
    yield "valid-two-recipients", "ok", "P-64", "To Birch and Cedar.", box.given(both)
    given = box.given(entry) | {"enc_seeds": [CEDAR.enc.seed, BIRCH.enc.seed]}
    yield "valid-second-key", "ok", "P-66", "The wrap opens with the second key that is tried.", given
    ack = sealed(
        t="ack",
        content=write_acknowledgement(REPORT_ID, 1, NOW, revoked=False),
        ref=hashlib.sha256(b"r").digest(),
    )
    yield "valid-acknowledgement", "ok", "P-62", "An acknowledgement.", box.given(ack)
    remark = sealed(t="remark", ref=hashlib.sha256(b"r").digest())
    yield "valid-remark", "ok", "P-62", "A remark; its content has vectors of its own.", box.given(remark)
    place = Audience(
        circle=hashlib.sha256(b"c").digest(), epoch=1, cseq=2, cprev=hashlib.sha256(b"p").digest()
    )
    circle = sealed(aud=place)
    yield "valid-circle", "ok", "P-64", "To a circle: the header names nobody.", box.given(circle)
    unnamed = sealed(recipients=(BIRCH, CEDAR), aud=Audience(unnamed=True))
    yield "valid-unnamed", "ok", "P-217", "To Birch and Cedar, neither of whom is named.", box.given(unnamed)
    full = sealed(content=bytes(1019))
    yield "valid-no-padding", "ok", "P-69", "1,019 bytes fill the smallest class.", box.given(full)


def _before_the_header(box: Wraps) -> Iterator[Row]:
    entry = sealed()
    given = box.given(entry)
    given["leaf"] = entry.sealed.leaf.replace(b'"ver":1', b'"ver":2')
    yield "leaf-bit-flipped", "hash-mismatch", "P-61", "A proxy changed one digit of the header.", given
    other = sealed(content=b"another", label="other")
    given = box.given(other) | {"leaf_hash": entry.sealed.leaf_hash}
    yield "entry-of-another-place", "hash-mismatch", "P-61", "A good entry, served for another index.", given
    given = box.given(entry)
    given["leaf"] = b"{" + b" " * 16_384
    given["leaf_hash"] = leaf_hash(given["leaf"])
    yield "leaf-oversized", "too-large", "P-60", "A header of 16 KiB and one byte.", given


def _headers(box: Wraps) -> Iterator[Row]:
    def rewritten(name: str, expect: str, rule: str, comment: str, change: Callable[[bytes], bytes]) -> Row:
        entry = sealed()
        leaf = change(entry.sealed.leaf)
        assert leaf != entry.sealed.leaf, name
        return name, expect, rule, comment, box.given(releaf(entry, leaf))

    def swap(before: bytes, after: bytes) -> Callable[[bytes], bytes]:
        return lambda leaf: leaf.replace(before, after, 1)

    alder, birch = ALDER.node_id.encode(), BIRCH.node_id.encode()
    canonical, supported, form = "not-canonical", "unsupported", "header-invalid"
    yield rewritten("header-spaced", canonical, "P-62", "A space after a colon.", swap(b'"t":', b'"t": '))
    yield rewritten(
        "header-trailing-newline", canonical, "P-62", "A newline at the end.", lambda leaf: leaf + b"\n"
    )
    yield rewritten(
        "header-duplicate-tlp",
        canonical,
        "P-62",
        "Two markings: readers disagree which counts.",
        swap(b'"tlp":"amber"', b'"tlp":"clear","tlp":"amber"'),
    )
    yield rewritten("header-float-version", canonical, "P-62", "ver 1.0.", swap(b'"ver":1', b'"ver":1.0'))
    yield rewritten(
        "header-null-prev",
        canonical,
        "P-62",
        "A field that is absent is not null.",
        swap(b'"t":', b'"prev":null,"t":'),
    )
    yield rewritten(
        "header-escaped-letter",
        canonical,
        "P-62",
        "\\u0061mber for amber.",
        swap(b'"amber"', b'"\\u0061mber"'),
    )
    yield rewritten(
        "version-2", supported, "P-62", "A header of protocol version 2.", swap(b'"v":1', b'"v":2')
    )
    yield rewritten(
        "kind-unknown",
        supported,
        "P-62",
        "A kind of entry of a later version.",
        swap(b'"t":"publish"', b'"t":"later"'),
    )
    yield rewritten(
        "suite-2", supported, "P-62", "A cipher suite of a later version.", swap(b'"suite":1', b'"suite":2')
    )
    yield rewritten(
        "audience-unknown",
        supported,
        "P-62",
        "An audience of a later version.",
        swap(b'"nodes":["' + birch + b'"]', b'"public":true'),
    )
    yield rewritten(
        "audience-unnamed-and-nodes",
        form,
        "P-217",
        "Nobody by name, and names beside it.",
        swap(b'"nodes":["' + birch + b'"]', b'"nodes":["' + birch + b'"],"unnamed":true'),
    )
    yield rewritten(
        "audience-unnamed-false",
        canonical,
        "P-217",
        "Nobody by name, and not that either: what is absent is not false.",
        swap(b'"nodes":["' + birch + b'"]', b'"nodes":["' + birch + b'"],"unnamed":false'),
    )
    yield rewritten(
        "audience-unnamed-of-a-share",
        form,
        "P-217",
        "What is passed on names its readers to the author.",
        lambda leaf: (
            swap(b'"nodes":["' + birch + b'"]', b'"unnamed":true')(leaf)
            .replace(b'"t":"publish"', b'"t":"share"')
            .replace(b'"t":"share"', b'"ref":"' + b"A" * 43 + b'=","t":"share"')
        ),
    )
    yield rewritten(
        "audience-circle-half",
        form,
        "P-62",
        "A circle without the author's count.",
        swap(b'"nodes":["' + birch + b'"]', b'"circle":"' + b"A" * 43 + b'=","epoch":4'),
    )
    yield rewritten(
        "audience-circle-and-nodes",
        form,
        "P-62",
        "A circle and names beside it.",
        swap(b'"aud":{', b'"aud":{"circle":"' + b"A" * 43 + b'=","cseq":1,"epoch":4,'),
    )
    yield rewritten(
        "audience-circle-count-unlinked",
        form,
        "P-62",
        "The second entry to a circle does not name the first.",
        swap(b'"nodes":["' + birch + b'"]', b'"circle":"' + b"A" * 43 + b'=","cseq":2,"epoch":4'),
    )
    yield rewritten(
        "header-extra-field",
        form,
        "P-62",
        "A field that nobody has defined.",
        swap(b'"id":', b'"hidden":1,"id":'),
    )
    yield rewritten(
        "header-unknown-tlp",
        form,
        "P-62",
        "A marking that does not exist.",
        swap(b'"tlp":"amber"', b'"tlp":"white"'),
    )
    yield rewritten(
        "header-without-id", form, "P-62", "No report id.", swap(b'"id":"' + REPORT_ID.encode() + b'",', b"")
    )
    yield rewritten(
        "author-in-audience",
        form,
        "P-62",
        "The author names itself as recipient.",
        swap(b'"by":"' + alder, b'"by":"' + birch),
    )
    yield rewritten(
        "audience-twice",
        form,
        "P-62",
        "One recipient named twice.",
        swap(b'["' + birch + b'"]', b'["' + birch + b'","' + birch + b'"]'),
    )
    yield rewritten(
        "acknowledgement-without-ref",
        form,
        "P-62",
        "An ack that answers nothing.",
        swap(b'"t":"publish"', b'"t":"ack"'),
    )
    yield rewritten(
        "remark-without-ref",
        form,
        "P-62",
        "A remark that answers nothing.",
        swap(b'"t":"publish"', b'"t":"remark"'),
    )
    ref = b'"ref":"' + base64.b64encode(bytes(32)) + b'",'
    yield rewritten(
        "report-with-ref",
        form,
        "P-62",
        "A report that answers something.",
        swap(b'"t":"publish"', ref + b'"t":"publish"'),
    )
    yield rewritten(
        "author-forged",
        "wrong-origin",
        "P-63",
        "Alder's log holds an entry by Cedar.",
        swap(b'"by":"' + alder, b'"by":"' + CEDAR.node_id.encode()),
    )
    stolen = sealed(recipients=(CEDAR,))
    yield (
        "not-addressed",
        "not-addressed",
        "P-64",
        "An entry for Cedar, served to Birch.",
        box.given(stolen, to=CEDAR),
    )
    # The origin may write what it likes into its own log; the key then no longer fits.
    lower = swap(b'"tlp":"amber"', b'"tlp":"clear"')
    yield rewritten("tlp-lowered", "commitment", "P-67", "The marking was changed after sealing.", lower)
    yield rewritten(
        "version-raised",
        "commitment",
        "P-67",
        "The version was changed after sealing.",
        swap(b'"ver":1', b'"ver":7'),
    )
    claimed = sealed(recipients=(BIRCH, MALLORY))
    leaf = header_bytes(
        msgspec.structs.replace(
            claimed.header,
            by=MALLORY.node_id,
            aud=msgspec.structs.replace(claimed.header.aud, nodes=(BIRCH.node_id,)),
        )
    )
    yield (
        "claimed-by-a-recipient",
        "commitment",
        "P-67",
        "Mallory, a recipient, strips Alder's name and sends the ciphertext as her own, with her own wrap.",
        box.given(releaf(claimed, leaf), origin=MALLORY),
    )


def _ciphertexts(box: Wraps) -> Iterator[Row]:
    entry, other = sealed(), sealed(content=b"another", label="other")
    given = box.given(entry)
    given["ct"] = flip(entry.sealed.ct, 100)
    yield "ciphertext-bit-flipped", "ciphertext-mismatch", "P-65", "A proxy flipped one bit.", given
    given = box.given(entry)
    given["ct"] = entry.sealed.ct[:-1]
    yield "ciphertext-truncated", "ciphertext-mismatch", "P-65", "The last byte is missing.", given
    given = box.given(entry) | {"ct": other.sealed.ct}
    yield "ciphertext-of-another-entry", "ciphertext-mismatch", "P-65", "Same length, other entry.", given
    forged = with_ct(entry, flip(entry.sealed.ct, 100))
    yield (
        "ciphertext-forged",
        "bad-ciphertext",
        "P-68",
        "The origin names a ciphertext that nothing opens.",
        box.given(forged),
    )
    short = with_ct(entry, b"too short")
    yield (
        "ciphertext-shorter-than-tag",
        "bad-ciphertext",
        "P-68",
        "Nine bytes as ciphertext.",
        box.given(short),
    )


def _wraps(box: Wraps) -> Iterator[Row]:
    entry, other = sealed(recipients=(BIRCH, CEDAR)), sealed(label="other")

    def given(change: Callable[[bytes], bytes]) -> dict[str, Any]:
        result = box.given(entry)
        result["wrap"] = change(result["wrap"])
        return result

    yield "wrap-missing", "bad-wrap", "P-66", "No wrap at all.", given(lambda _: b"")
    yield "wrap-short", "bad-wrap", "P-66", "1,167 bytes.", given(lambda wrap: wrap[:1167])
    yield (
        "wrap-long",
        "bad-wrap",
        "P-66",
        "1,169 bytes.",
        given(lambda wrap: (wrap + b"\x00")[:1169]),
    )
    yield (
        "wrap-garbage",
        "bad-wrap",
        "P-66",
        "1,168 bytes of noise.",
        given(lambda _: Dice("garbage")(1168)),
    )
    yield (
        "wrap-of-another-recipient",
        "bad-wrap",
        "P-66",
        "Birch is served Cedar's wrap.",
        box.given(entry, to=CEDAR),
    )
    yield (
        "wrap-of-another-leaf",
        "bad-wrap",
        "P-66",
        "Birch's own wrap, from another entry of the same author.",
        box.given(entry) | {"wrap": box.given(other)["wrap"]},
    )
    yield (
        "wrap-to-a-destroyed-key",
        "bad-wrap",
        "P-66",
        "Birch no longer has the key.",
        box.given(entry) | {"enc_seeds": [CEDAR.enc.seed]},
    )
    wrong = replace(entry, data_key=Dice("another data key")(32))
    yield (
        "wrap-of-another-data-key",
        "commitment",
        "P-67",
        "The wrap opens, to a key that the leaf does not name.",
        box.given(wrong),
    )


def _keys_and_padding(box: Wraps) -> Iterator[Row]:
    first, second = salamander()
    yield (
        "salamander-first-face",
        "ok",
        "P-67",
        "The face that the commitment names: Birch reads `critical`.",
        box.given(first),
    )
    yield (
        "invisible-salamander",
        "commitment",
        "P-67",
        "The same leaf, ciphertext and tag under a second data key, which opens to `low`. Only the commitment tells.",
        box.given(second),
    )

    def padded(name: str, expect: str, comment: str, plaintext: bytes) -> Row:
        return name, expect, "P-69", comment, box.given(sealed_plaintext(plaintext))

    whole = pad(CONTENT)
    yield padded("padding-not-zero", "padding", "One byte of the padding is 1.", whole[:-1] + b"\x01")
    yield padded(
        "padding-of-the-next-class",
        "padding",
        "Zeros, but of a larger class than the content's.",
        whole + bytes(padded_length(1025) - 1024),
    )
    yield padded(
        "padding-missing", "padding", "The content alone, without padding.", whole[: 5 + len(CONTENT)]
    )
    yield padded(
        "length-beyond-the-end",
        "padding",
        "The length says more than there is.",
        whole[:1] + (4096).to_bytes(4, "big") + whole[5:],
    )
    yield padded("length-of-4-gib", "padding", "The length says 4 GiB.", whole[:1] + b"\xff" * 4 + whole[5:])
    yield padded("compressed", "unsupported", "The flag of a later version: compressed.", b"\x01" + whole[1:])
