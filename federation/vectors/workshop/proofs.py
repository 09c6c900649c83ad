"""Vectors for `verify_proof`: what a stranger is shown of Alder's log, rightly and not."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Final

from tocsin_federation.canonical import canon
from tocsin_federation.checkpoint import sign_checkpoint
from tocsin_federation.identity import extend
from tocsin_federation.merkle import inclusion_proof, root_of
from tocsin_federation.proof import MAX_PATH, Disclosed, Proof, write_proof
from tocsin_federation.statement import Void
from workshop.case import Case, Dice
from workshop.cast import ALDER, BIRCH, NOW
from workshop.sealing import CONTENT, Entry, sealed

_AT: Final = 5
_LOG: Final = ALDER.identity.statement.log
_OTHERS: Final = [Dice(f"leaf {n}")(32) for n in range(9)]
_WITNESS: Final = "\u2014 witness.example " + base64.b64encode(bytes(76)).decode() + "\n"

Row = tuple[str, str, str, str, bytes]


def cases() -> Iterator[Case]:
    """All vectors of this check."""
    for name, expect, rule, comment, proof in (*_valid(), *_files(), *_parts()):
        expected = BIRCH.node_id if expect == "wrong-node" else ALDER.node_id
        yield Case("proof", name, expect, rule, comment, {"proof": proof, "expected": expected})


@cache
def _entry() -> Entry:
    return sealed()


def _leaves() -> list[bytes]:
    return [*_OTHERS[:_AT], _entry().sealed.leaf_hash, *_OTHERS[_AT:]]


def _proof(*, disclosed: bool = True) -> Proof:
    leaves = _leaves()
    note = sign_checkpoint(_LOG.origin, len(leaves), root_of(leaves), ALDER.keys.log)
    shown = Disclosed(CONTENT, _entry().data_key) if disclosed else None
    path = tuple(inclusion_proof(leaves, _AT))
    return Proof(_entry().sealed.leaf, _AT, path, note, tuple(ALDER.identity.chain), shown)


def _valid() -> Iterator[Row]:
    yield "valid", "ok", "P-130", "Entry 5 of 10, disclosed.", write_proof(_proof())
    yield (
        "valid-undisclosed",
        "ok",
        "P-130",
        "The header alone: what it says stays closed.",
        write_proof(_proof(disclosed=False)),
    )
    cosigned = replace(_proof(), note=_proof().note + _WITNESS.encode())
    yield "valid-cosigned", "ok", "P-132", "Somebody else has signed below.", write_proof(cosigned)
    yield (
        "valid-before-the-void",
        "ok",
        "P-132",
        "The log was ended later, after this entry.",
        write_proof(_renewed(_AT + 1)),
    )


def _files() -> Iterator[Row]:
    malformed, good = "proof-malformed", write_proof(_proof())
    yield "empty", malformed, "P-130", "Nothing.", b""
    yield "another-version", malformed, "P-130", "A later form.", good.replace(b"@v1", b"@v2")
    yield (
        "without-extra",
        malformed,
        "P-130",
        "No extra line.",
        good.replace(good.split(b"\n")[1] + b"\n", b""),
    )
    yield "index-with-zero", malformed, "P-130", "A second spelling.", good.replace(b"index 5", b"index 05")
    yield "carriage-returns", malformed, "P-130", "Lines end in CR LF.", good.replace(b"\n", b"\r\n")
    short = replace(_proof(), path=(b"short", *_proof().path[1:]))
    yield "short-hash", malformed, "P-130", "A sibling of five bytes.", write_proof(short)
    yield "chain-empty", malformed, "P-130", "No statement.", write_proof(replace(_proof(), chain=()))
    deep = replace(_proof(), path=(bytes(32),) * (MAX_PATH + 1))
    yield "too-deep", malformed, "P-130", "54 siblings.", write_proof(deep)
    extra = {"v": 1, "leaf": _text(_entry().sealed.leaf), "chain": [_text(s) for s in ALDER.identity.chain]}
    half = good.split(b"\n")
    half[1] = b"extra " + base64.b64encode(canon(extra | {"content": _text(CONTENT)}))
    yield "content-without-key", malformed, "P-130", "It cannot be checked.", b"\n".join(half)
    half[1] = b"extra " + base64.b64encode(canon(extra) + b" ")
    yield "extra-not-canonical", malformed, "P-130", "A space at its end.", b"\n".join(half)


def _parts() -> Iterator[Row]:
    good, other = _proof(), sealed(content=b"{}", label="another")
    yield "another-node", "wrong-node", "P-131", "Birch's was asked for.", write_proof(good)
    yield (
        "another-nodes-statement",
        "chain-broken",
        "P-131",
        "A second statement that is Birch's.",
        write_proof(replace(good, chain=(*good.chain, _forged()))),
    )
    forged = replace(good, note=sign_checkpoint(_LOG.origin, 10, root_of(_leaves()), BIRCH.keys.log))
    yield "signed-by-another-log", "note-unsigned", "P-132", "Birch's key.", write_proof(forged)
    grown = replace(good, note=good.note.replace(b"\n10\n", b"\n11\n"))
    yield "another-size", "bad-signature", "P-132", "The size was changed.", write_proof(grown)
    yield "beyond-the-void", "proof-void", "P-132", "The log was ended before it.", write_proof(_renewed(_AT))
    yield "moved", "proof-mismatch", "P-133", "Another index.", write_proof(replace(good, index=4))
    yield (
        "cut-path",
        "proof-mismatch",
        "P-133",
        "A sibling less.",
        write_proof(replace(good, path=good.path[1:])),
    )
    swapped = replace(good, leaf=other.sealed.leaf)
    yield "another-entry", "proof-mismatch", "P-133", "A header not in the log.", write_proof(swapped)
    unknown = replace(good, disclosed=Disclosed(CONTENT, bytes(32)))
    yield (
        "another-key",
        "commitment",
        "P-134",
        "A data key that the header does not commit to.",
        write_proof(unknown),
    )
    reworded = replace(good, disclosed=Disclosed(CONTENT + b" ", _entry().data_key))
    yield (
        "another-content",
        "ciphertext-mismatch",
        "P-134",
        "Other words under the right key.",
        write_proof(reworded),
    )


def _renewed(size: int) -> Proof:
    """The proof after Alder's log was ended at `size`."""
    _, later = extend(
        list(ALDER.identity.chain),
        root_private=ALDER.keys.next_root,
        now=NOW,
        rng=Dice("renewed"),
        replace=["log"],
        void=Void(gen=1, size=size, root=root_of(_leaves()[:size])),
    )
    return replace(_proof(), chain=(*ALDER.identity.chain, later))


def _forged() -> bytes:
    """Birch's second statement."""
    _, later = extend(
        list(BIRCH.identity.chain), root_private=BIRCH.keys.next_root, now=NOW, rng=Dice("forged")
    )
    return later


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
