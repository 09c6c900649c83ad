"""Vectors for `open_checkpoint`: notes that a log did not sign, or not so."""

import base64
from collections.abc import Iterator
from typing import Final

from tocsin_federation.checkpoint import sign_checkpoint, sign_note
from tocsin_federation.keys import VKEY_COSIGNATURE, note_key_id, public_of, sign
from workshop.case import Case, Dice
from workshop.cast import ALDER, BIRCH

_LOG: Final = ALDER.identity.statement.log
_ROOT: Final = Dice("root")(32)
_ROOT_TEXT: Final = base64.b64encode(_ROOT).decode()
_GOOD: Final = sign_checkpoint(_LOG.origin, 42, _ROOT, ALDER.keys.log)


def cases() -> Iterator[Case]:
    """All vectors of this check."""
    for name, expect, rule, comment, note in (*_valid(), *_notes(), *_signatures(), *_texts()):
        yield Case("checkpoint", name, expect, rule, comment, {"vkey": _LOG.vkey, "note": note})


Row = tuple[str, str, str, str, bytes]


def _valid() -> Iterator[Row]:
    yield "valid", "ok", "P-40", "Size 42.", _GOOD
    empty = base64.b64decode("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")
    yield "valid-empty-log", "ok", "P-40", "Size 0.", sign_checkpoint(_LOG.origin, 0, empty, ALDER.keys.log)
    yield "valid-cosigned", "ok", "P-41", "A witness has signed below.", _GOOD + _cosignature()
    yield (
        "valid-cosigned-above",
        "ok",
        "P-41",
        "A witness's line stands first.",
        _GOOD.replace(b"\n\n", b"\n\n" + _cosignature()),
    )


def _notes() -> Iterator[Row]:
    malformed = "note-malformed"
    yield "empty", malformed, "P-40", "Nothing.", b""
    yield "without-signatures", malformed, "P-40", "The text alone.", _GOOD.partition(b"\n\n")[0] + b"\n"
    yield "without-last-newline", malformed, "P-40", "Cut by one byte.", _GOOD[:-1]
    yield "trailing-bytes", malformed, "P-40", "Something after the signatures.", _GOOD + b"more"
    yield "carriage-returns", malformed, "P-40", "Lines end in CR LF.", _GOOD.replace(b"\n", b"\r\n")
    yield "not-utf8", malformed, "P-40", "A byte that is no UTF-8.", b"\xff" + _GOOD
    yield "null-byte", malformed, "P-40", "A control character in the text.", b"\x00" + _GOOD
    yield (
        "hyphen-for-dash",
        malformed,
        "P-40",
        "A hyphen in place of the em dash.",
        _GOOD.replace("— ".encode(), b"- "),
    )
    yield (
        "signature-not-base64",
        malformed,
        "P-40",
        "A signature line that is no base64.",
        _GOOD + (b"\xe2\x80\x94 w *\n"),
    )
    yield "signatures-by-the-hundred", malformed, "P-40", "65 signature lines.", _GOOD + 64 * _cosignature()
    alone = _GOOD.partition(b"\n\n")[0] + b"\n\n"
    yield "blank-line-without-signatures", malformed, "P-40", "Nothing after the blank line.", alone
    yield (
        "signature-without-dash",
        malformed,
        "P-40",
        "The dash is missing.",
        _GOOD.replace("— ".encode(), b""),
    )
    yield (
        "signature-without-name",
        malformed,
        "P-40",
        "A line that names no key.",
        _GOOD + "—  AAAAAAA=\n".encode(),
    )
    yield "name-with-plus", malformed, "P-40", "A key name with a plus.", _GOOD + "— a+b AAAAAAA=\n".encode()
    yield "signature-of-a-key-id-alone", malformed, "P-40", "Four bytes.", _GOOD + "— w AAAAAA==\n".encode()
    yield "larger-than-16-kib", malformed, "P-40", "One long line.", b"x" * 16_384 + _GOOD


def _signatures() -> Iterator[Row]:
    text = _text(_LOG.origin, "42", _ROOT_TEXT)
    yield (
        "unsigned-by-the-log",
        "note-unsigned",
        "P-41",
        "A witness alone has signed.",
        (text.encode() + b"\n" + _cosignature()),
    )
    yield (
        "signed-by-another-log",
        "note-unsigned",
        "P-41",
        "Birch's log has signed Alder's text.",
        sign_note(text, BIRCH.identity.statement.log.origin, BIRCH.keys.log),
    )
    yield (
        "signed-with-another-key",
        "note-unsigned",
        "P-41",
        "Birch's key under Alder's name.",
        sign_note(text, _LOG.origin, BIRCH.keys.log),
    )
    flipped = bytearray(_GOOD)
    at = _GOOD.rindex(b" ") + 20
    flipped[at] = ord("A") if flipped[at] != ord("A") else ord("B")
    yield "signature-flipped", "bad-signature", "P-41", "One letter of the signature.", bytes(flipped)
    yield "size-changed", "bad-signature", "P-41", "42 became 43.", _GOOD.replace(b"\n42\n", b"\n43\n")
    key_id = note_key_id(_LOG.origin, 1, public_of(ALDER.keys.log))
    forged = base64.b64encode(key_id + sign(BIRCH.keys.log, text.encode())).decode()
    line = f"— {_LOG.origin} {forged}\n".encode()
    yield (
        "forged-line-before-the-good",
        "bad-signature",
        "P-41",
        "The first line by that key decides.",
        (_GOOD.replace(b"\n\n", b"\n\n" + line)),
    )
    short = base64.b64encode(key_id + bytes(63)).decode()
    yield (
        "signature-short",
        "bad-signature",
        "P-41",
        "63 bytes of signature.",
        (f"{text}\n— {_LOG.origin} {short}\n".encode()),
    )
    request = sign_note('"@method": GET\n', _LOG.origin, ALDER.keys.log)
    yield "signed-something-else", "checkpoint-malformed", "P-42", "The key signed a request's text.", request


def _texts() -> Iterator[Row]:
    def texts(name: str, comment: str, text: str, expect: str = "checkpoint-malformed") -> Row:
        return name, expect, "P-42", comment, sign_note(text, _LOG.origin, ALDER.keys.log)

    origin = _LOG.origin
    yield texts(
        "other-origin",
        "The log's key signs for another log.",
        _text("birch.example/log", "42", _ROOT_TEXT),
        "wrong-origin",
    )
    yield texts("two-lines", "No root.", f"{origin}\n42\n")
    yield texts("extension-line", "A fourth line.", _text(origin, "42", _ROOT_TEXT) + "extension\n")
    yield texts("origin-empty", "No origin.", _text("", "42", _ROOT_TEXT))
    yield texts("size-leading-zero", "042.", _text(origin, "042", _ROOT_TEXT))
    yield texts("size-signed", "+42.", _text(origin, "+42", _ROOT_TEXT))
    yield texts("size-arabic-digits", "Digits of another script.", _text(origin, "٤٢", _ROOT_TEXT))
    yield texts("size-above-2-53", "9007199254740992.", _text(origin, "9007199254740992", _ROOT_TEXT))
    yield texts(
        "size-of-5000-digits",
        "More digits than Python turns into a number.",
        _text(origin, "9" * 5000, _ROOT_TEXT),
    )
    yield texts("root-short", "31 bytes of root.", _text(origin, "42", base64.b64encode(_ROOT[:31]).decode()))
    spare = _ROOT_TEXT[:-2] + chr(ord(_ROOT_TEXT[-2]) + 1) + "="
    yield texts("root-spare-bits", "A second spelling of the root.", _text(origin, "42", spare))


def _text(origin: str, size: str, root: str) -> str:
    return f"{origin}\n{size}\n{root}\n"


def _cosignature() -> bytes:
    """A signature line of a witness (C2SP tlog-cosignature), as it would stand under the good note."""
    name = BIRCH.identity.statement.wit.partition("+")[0]
    text = _GOOD.partition(b"\n\n")[0] + b"\n"
    at = 1_772_452_800
    signature = sign(BIRCH.keys.witness, b"cosignature/v1\ntime %d\n%s" % (at, text))
    blob = (
        note_key_id(name, VKEY_COSIGNATURE, public_of(BIRCH.keys.witness)) + at.to_bytes(8, "big") + signature
    )
    return f"— {name} {base64.b64encode(blob).decode()}\n".encode()
