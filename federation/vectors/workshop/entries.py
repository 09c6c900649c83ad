"""Vectors for `open_entry`: what a dishonest origin, peer or proxy can do to a sealed entry."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from tocsin_federation.merkle import leaf_hash
from tocsin_federation.messages import Audience, write_acknowledgement
from tocsin_federation.padding import pad, padded_length
from workshop import headers
from workshop.case import Case, Dice, Row, of
from workshop.cast import BIRCH, CEDAR, NOW, REPORT_ID
from workshop.sealing import (
    CONTENT,
    Wraps,
    flip,
    salamander,
    sealed,
    sealed_plaintext,
    with_ct,
)


def cases(box: Wraps) -> Iterator[Case]:
    """All vectors of this check."""
    yield from of(
        "entry",
        _valid(box),
        _before_the_header(box),
        headers.rows(box),
        _ciphertexts(box),
        _wraps(box),
        _keys_and_padding(box),
    )


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
    for kind in ("call", "answer", "share", "complain", "receipt", "recall", "circle"):
        own = REPORT_ID.replace("incident", kind) if kind in {"receipt", "recall", "circle"} else REPORT_ID
        ref = None if kind == "circle" else hashlib.sha256(b"r").digest()
        other = sealed(t=kind, ref=ref, id=own)
        comment = f"The kind {kind}; its content has vectors of its own."
        name = "valid-manifest" if kind == "circle" else f"valid-{kind}"
        yield name, "ok", "P-62", comment, box.given(other)
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
