"""Vectors for `add-checkpoint` and for messages about heads: what a witness cosigns after a log of 5, and what not."""

import base64
from collections.abc import Iterator
from typing import Any, Final

from tocsin_federation.checkpoint import sign_checkpoint
from tocsin_federation.gossip import write_answer, write_question
from tocsin_federation.merkle import consistency_proof, root_of
from tocsin_federation.witness import MAX_PROOF_LINES, Submission, write_submission
from workshop.case import Case, Dice
from workshop.cast import ALDER, BIRCH

_LOG: Final = ALDER.identity.statement.log
_LEAVES: Final = [Dice(f"leaf {n}")(32) for n in range(12)]
_OTHER: Final = [Dice("another leaf")(32), *_LEAVES[1:]]
_HELD: Final = 5

Row = tuple[str, str, str, str, bytes, int]


def cases() -> Iterator[Case]:
    """All vectors of both checks."""
    for name, expect, rule, comment, body, held in (*_valid(), *_forms(), *_judged()):
        given: dict[str, Any] = {"vkey": _LOG.vkey, "body": body}
        if held:
            given |= {"size": held, "root": root_of(_LEAVES[:held])}
        yield Case("witness", name, expect, rule, comment, given)
    for name, expect, comment, question in _questions():
        yield Case("heads", name, expect, "P-172", comment, {"question": question})
    asked = {"question": write_question(bytes(16), [_LOG.origin]), "origins": [_LOG.origin]}
    yield Case("heads", "valid-named", "ok", "P-172", "The log that is asked about is Alder's.", asked)
    for name, expect, comment, answer in _answers():
        yield Case("heads", name, expect, "P-172", comment, {"answer": answer})


def _note(leaves: list[bytes], key: bytes = ALDER.keys.log) -> bytes:
    return sign_checkpoint(_LOG.origin, len(leaves), root_of(leaves), key)


def _body(
    size: int, old: int, *, leaves: list[bytes] = _LEAVES, proof: tuple[bytes, ...] | None = None
) -> bytes:
    shown = tuple(consistency_proof(leaves[:size], old)) if proof is None else proof
    return write_submission(Submission(old, shown, _note(leaves[:size])))


def _valid() -> Iterator[Row]:
    yield "valid", "ok", "P-168", "From 5 to 12.", _body(12, _HELD), _HELD
    yield "valid-first", "ok", "P-168", "Nothing was cosigned before: no proof.", _body(12, 0), 0
    yield "valid-unchanged", "ok", "P-171", "The same head, an hour later.", _body(_HELD, _HELD), _HELD
    yield "valid-empty-log", "ok", "P-168", "A log without entries.", _body(0, 0), 0
    cosigned = _body(12, _HELD) + f"\u2014 witness.example {base64.b64encode(bytes(76)).decode()}\n".encode()
    yield "valid-cosigned", "ok", "P-164", "Another witness has signed below.", cosigned, _HELD


def _forms() -> Iterator[Row]:
    malformed, good = "submission-malformed", _body(12, _HELD)
    line = base64.b64encode(bytes(32)).decode() + "\n"
    for name, comment, body in (
        ("empty", "Nothing.", b""),
        ("old-with-leading-zero", "old 05.", good.replace(b"old 5", b"old 05")),
        ("old-negative", "old -5.", good.replace(b"old 5", b"old -5")),
        ("old-of-5000-digits", "No size.", good.replace(b"old 5", b"old " + b"5" * 5000)),
        ("old-twice", "Two sizes.", b"old 5\n" + good),
        ("old-in-capitals", "OLD.", good.replace(b"old", b"OLD")),
        ("carriage-returns", "Lines of another system.", good.replace(b"\n", b"\r\n")),
        ("without-empty-line", "Proof and note are one.", good.replace(b"\n\n", b"\n", 1)),
        ("hash-short", "31 bytes.", b"old 5\n" + base64.b64encode(bytes(31)) + b"\n\n" + _note(_LEAVES)),
        ("hash-url-safe", "Another base64.", f"old 5\n{'_' * 43}=\n\n".encode() + _note(_LEAVES)),
        (
            "hashes-by-the-hundred",
            "64.",
            f"old 5\n{line * (MAX_PROOF_LINES + 1)}\n".encode() + _note(_LEAVES),
        ),
        ("not-a-note", "No signature line.", good.partition(b"\n\n")[0] + b"\n\nalder\n12\n"),
        ("signature-not-base64", "Letters that are none.", good[:-8] + b"*" + good[-7:]),
        ("not-ascii", "A proof in letters.", good.replace(b"old 5\n", "old 5\n\u00e9\n".encode(), 1)),
    ):
        yield name, malformed, "P-163", comment, body, _HELD
    other = write_submission(Submission(_HELD, (), sign_checkpoint("x", 12, bytes(32), ALDER.keys.log)))
    yield "another-log", "not-signed", "P-164", "Signed under another name.", other, _HELD
    forged = write_submission(Submission(_HELD, (), _note(_LEAVES, BIRCH.keys.log)))
    yield "signed-by-another", "not-signed", "P-164", "Birch's key under Alder's name.", forged, _HELD
    changed = _body(12, _HELD).replace(b"\n12\n", b"\n13\n")
    yield "size-changed", "not-signed", "P-164", "Changed after it was signed.", changed, _HELD


def _judged() -> Iterator[Row]:
    yield "old-above-the-checkpoint", "old-size", "P-165", "From 5 to 3.", _body(3, _HELD, proof=()), _HELD
    yield "old-behind", "conflict", "P-166", "From 3; 5 is cosigned.", _body(12, 3), _HELD
    yield "old-ahead", "conflict", "P-166", "From 7; 5 is cosigned.", _body(12, 7), _HELD
    yield (
        "old-of-a-log-never-cosigned",
        "conflict",
        "P-166",
        "From 5; nothing is cosigned.",
        _body(12, _HELD),
        0,
    )
    forked = _body(_HELD, _HELD, leaves=_OTHER, proof=())
    yield "another-root", "conflict", "P-166", "5 again, with another root.", forked, _HELD
    rooted = sign_checkpoint(_LOG.origin, 0, bytes(32), ALDER.keys.log)
    empty = write_submission(Submission(0, (), rooted))
    yield "root-of-an-empty-log", "conflict", "P-166", "No entries, and not the root of nothing.", empty, 0
    inconsistent = "inconsistent"
    yield (
        "another-past",
        inconsistent,
        "P-168",
        "A fork from the start.",
        _body(12, _HELD, leaves=_OTHER),
        _HELD,
    )
    proof = consistency_proof(_LEAVES, _HELD)
    yield (
        "proof-cut",
        inconsistent,
        "P-168",
        "A hash is missing.",
        _body(12, _HELD, proof=tuple(proof[:-1])),
        _HELD,
    )
    yield (
        "proof-longer",
        inconsistent,
        "P-168",
        "A hash too many.",
        _body(12, _HELD, proof=(*proof, bytes(32))),
        _HELD,
    )
    yield (
        "proof-from-nothing",
        inconsistent,
        "P-168",
        "From 0 with a proof.",
        _body(12, 0, proof=(bytes(32),)),
        0,
    )
    idle = _body(_HELD, _HELD, proof=(bytes(32),))
    yield "proof-of-nothing-new", inconsistent, "P-168", "Of one size, with a proof.", idle, _HELD


def _questions() -> Iterator[tuple[str, str, str, bytes]]:
    malformed, good = "heads-malformed", write_question(bytes(16), [_LOG.origin])
    yield "valid", "ok", "About one log.", good
    yield "valid-about-nothing", "ok", "About no log.", write_question(bytes(16), [])
    yield "empty", malformed, "Nothing.", b""
    yield "an-answer", malformed, "What a question brings.", write_answer([_note(_LEAVES)])
    yield "another-version", malformed, "A later form.", good.replace(b'"v":1', b'"v":2')
    yield "spare-space", malformed, "Not canonical.", good + b" "
    yield (
        "veil-short",
        malformed,
        "15 bytes.",
        good.replace(b'"logs":["', b'"logs":["AAAAAAAAAAAAAAAAAAAA","'),
    )
    many = write_question(bytes(16), [f"log {n}" for n in range(1025)])
    yield "logs-by-the-thousand", malformed, "1,025.", many


def _answers() -> Iterator[tuple[str, str, str, bytes]]:
    malformed, good = "heads-malformed", write_answer([_note(_LEAVES)])
    yield "valid-answer", "ok", "One head.", good
    yield "valid-answer-about-nothing", "ok", "None of these logs is known.", write_answer([])
    yield (
        "valid-answer-with-evidence",
        "ok",
        "What it proves is verified afterwards.",
        write_answer([], [b"{}"]),
    )
    yield "answer-empty", malformed, "Nothing.", b""
    yield "answer-is-a-question", malformed, "What was asked.", write_question(bytes(16), [])
    yield "answer-of-another-version", malformed, "A later form.", good.replace(b'"v":1', b'"v":2')
    yield (
        "answer-with-nine-pieces",
        malformed,
        "One piece of evidence too many.",
        write_answer([], [b"{}"] * 9),
    )
    long = write_answer([b"x" * 16_385])
    yield "answer-with-a-long-note", malformed, "A note above 16 KiB.", long
