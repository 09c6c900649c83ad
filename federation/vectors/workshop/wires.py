"""Vectors for what comes off the wire first: canonical JSON, frames, keys, invites."""

import base64
import hashlib
from collections.abc import Iterator
from datetime import timedelta
from struct import pack
from typing import Any, Final

import nacl.bindings as sodium

from tocsin_federation.frames import encode_frame, encode_trailer
from tocsin_federation.keys import public_of, sign
from tocsin_federation.peering import mint_invite
from workshop.case import Case, Dice
from workshop.cast import ALDER, NOW
from workshop.identities import SMALL_ORDER


def cases() -> Iterator[Case]:
    """All vectors of these checks."""
    for name, expect, comment, raw in _canonical():
        yield Case("canonical", name, expect, "P-10", comment, {"max_bytes": 4096, "bytes": raw})
    rules = {"frames-oversized": "P-71", "frames-disordered": "P-72"}
    for name, expect, comment, start, body in _frames():
        rule = rules.get(expect, "P-70")
        yield Case("frames", name, expect, rule, comment, {"start": start, "body": body})
    for name, expect, comment, given in _keys():
        yield Case("key", name, expect, "P-12", comment, given)
    for name, expect, comment, given in _tiles():
        yield Case("tile", name, expect, "P-75", comment, given)
    for name, expect, rule, comment, text in _invites():
        yield Case("invite", name, expect, rule, comment, {"now": NOW, "invite": text})


def _canonical() -> Iterator[tuple[str, str, str, bytes]]:
    bad = "not-canonical"
    yield (
        "valid",
        "ok",
        "Every kind of value.",
        '{"a":[null,true,false],"b":{"c":-1,"d":"é€😀\u007f"},"e":""}'.encode(),
    )
    yield "valid-escapes", "ok", "The escapes of RFC 8785.", rb'{"a":"\b\t\n\f\r\"\\/\u0000\u001f"}'
    yield "valid-largest-integer", "ok", "2^53 - 1.", b'{"a":9007199254740991,"b":-9007199254740991}'
    yield "valid-deepest", "ok", "32 levels.", b"[" * 32 + b"]" * 32
    yield "empty", bad, "Nothing.", b""
    yield "duplicate-key", bad, "Readers disagree which of the two counts.", b'{"a":1,"a":2}'
    yield "unsorted-keys", bad, "b before a.", b'{"b":1,"a":2}'
    yield "float", bad, "1.5.", b'{"a":1.5}'
    yield "float-that-is-whole", bad, "1.0.", b'{"a":1.0}'
    yield "exponent", bad, "1e2.", b'{"a":1e2}'
    yield "negative-zero", bad, "-0.", b'{"a":-0}'
    yield "integer-2-53", bad, "The first integer that some readers round.", b'{"a":9007199254740992}'
    yield "integer-leading-zero", bad, "01.", b'{"a":01}'
    yield "not-a-number", bad, "NaN.", b'{"a":NaN}'
    yield "space-inside", bad, "A space after the colon.", b'{"a": 1}'
    yield "newline-after", bad, "A newline at the end.", b'{"a":1}\n'
    yield "second-value", bad, "Two values.", b'{"a":1}{}'
    yield "byte-order-mark", bad, "A byte order mark.", b'\xef\xbb\xbf{"a":1}'
    yield "escaped-letter", bad, "An escape that need not be.", b'{"a":"\\u0061"}'
    yield "escape-in-capitals", bad, "\\u001F for \\u001f.", b'{"a":"\\u001F"}'
    yield "escaped-slash", bad, "\\/ for /.", b'{"a":"\\/"}'
    yield "lone-surrogate", bad, "Half a character.", b'{"a":"\\ud800"}'
    yield "surrogate-in-utf8", bad, "Half a character, as bytes.", b'{"a":"\xed\xa0\x80"}'
    yield "not-utf8", bad, "A byte that is no UTF-8.", b'{"a":"\xff"}'
    yield "overlong-utf8", bad, "A slash in two bytes.", b'{"a":"\xc0\xaf"}'
    yield "control-character", bad, "A raw newline in a string.", b'{"a":"\n"}'
    yield "null-byte", bad, "A raw NUL in a string.", b'{"a":"\x00"}'
    yield "non-ascii-key", bad, "Sorting by bytes and by UTF-16 would part.", '{"é":1}'.encode()
    yield "too-deep", bad, "33 levels.", b"[" * 33 + b"]" * 33
    yield "too-large", "too-large", "4,097 bytes where 4,096 are allowed.", b'"' + b"a" * 4095 + b'"'


def _frames() -> Iterator[tuple[str, str, str, int, bytes]]:
    one, two = encode_frame(5, b"leaf", b"wrap", b"ct"), encode_frame(9, b"leaf 2", b"", b"ct 2")
    end = encode_trailer(12)
    yield "valid", "ok", "Two frames and the trailer.", 5, one + two + end
    yield "valid-empty", "ok", "Nothing to see up to 12.", 5, end
    cut, malformed, order = "frames-truncated", "frames-malformed", "frames-disordered"
    yield "empty", cut, "No bytes.", 5, b""
    yield "without-trailer", cut, "The connection ended between frames.", 5, one + two
    yield "cut-in-a-frame", cut, "The connection ended inside a frame.", 5, one + two[:-1]
    yield "cut-in-the-trailer", cut, "The connection ended inside the trailer.", 5, one + end[:-1]
    yield "trailing-bytes", "frames-trailing", "A byte after the trailer.", 5, one + end + b"\x00"
    yield "frame-after-the-trailer", "frames-trailing", "A frame after the trailer.", 5, end + one
    yield "kind-unknown", malformed, "Neither frame nor trailer.", 5, b"\x02" + one[1:] + end
    yield (
        "index-above-2-53",
        malformed,
        "An index no JSON could carry.",
        5,
        (b"\x01" + pack(">Q", 2**53) + one[9:] + end),
    )
    yield "next-above-2-53", malformed, "A cursor no JSON could carry.", 5, b"\x00" + pack(">Q", 2**53)
    yield "backwards", order, "9, then 5.", 5, two + one + end
    yield "one-index-twice", order, "5, then 5.", 5, one + one + end
    yield "before-the-start", order, "5 where 6 was asked for.", 6, one + end
    yield "next-behind-the-last", order, "The trailer would fetch 9 again.", 5, one + two + encode_trailer(9)
    yield "next-behind-the-start", order, "The trailer would go back for ever.", 5, encode_trailer(4)
    big = "frames-oversized"
    yield "leaf-of-2-gib", big, "A claim; no such bytes follow.", 5, b"\x01" + pack(">QI", 5, 2**31)
    yield "wrap-of-64-kib", big, "A claim.", 5, b"\x01" + pack(">QI", 5, 4) + b"leaf" + pack(">H", 65_535)
    yield (
        "ciphertext-of-2-gib",
        big,
        "A claim.",
        5,
        (b"\x01" + pack(">QI", 5, 4) + b"leaf" + pack(">H", 0) + pack(">I", 2**31)),
    )
    yield (
        "frames-by-the-thousand",
        big,
        "513 frames.",
        5,
        (b"".join(encode_frame(5 + i, b"", b"", b"") for i in range(513)) + encode_trailer(1000)),
    )


def _tiles() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Names of tiles: `level`, `index` and `width`, where the path is one."""
    for name, comment, path, place in (
        ("valid", "C2SP's own example.", "tile/0/x001/x234/067", (0, 1_234_067, 256)),
        ("valid-first", "The first.", "tile/0/000", (0, 0, 256)),
        ("valid-partial", "17 hashes of a level above.", "tile/3/005.p/17", (3, 5, 17)),
        ("valid-last-of-three-digits", "999.", "tile/1/999", (1, 999, 256)),
        ("valid-first-of-six-digits", "1,000.", "tile/1/x001/000.p/255", (1, 1000, 255)),
    ):
        level, index, width = place
        yield name, "ok", comment, {"path": path, "level": level, "index": index, "width": width}
    for name, comment, path in (
        ("index-in-two-digits", "67 for 067.", "tile/0/67"),
        ("index-with-zeros-before", "A second spelling of 67.", "tile/0/x000/067"),
        ("index-in-one-group", "1,234,067 without groups.", "tile/0/1234067"),
        ("width-nought", "Of no hashes.", "tile/0/000.p/0"),
        ("width-of-a-full-tile", "A second spelling of a full tile.", "tile/0/000.p/256"),
        ("width-with-zero-before", "05.", "tile/0/000.p/05"),
        ("level-with-zero-before", "01.", "tile/01/000"),
        ("level-negative", "-1.", "tile/-1/000"),
        ("entries", "There are no bundles of entries.", "tile/entries/000"),
        ("beyond", "Another folder.", "tile/0/../000"),
        ("empty", "Nothing.", ""),
    ):
        yield name, "proof-malformed", comment, {"path": path}


def _keys() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Points and signatures on which verifiers disagree (Chalkias et al., "Taming the many EdDSAs", 2020)."""
    good, message = public_of(ALDER.keys.log), b"message"
    signature = sign(ALDER.keys.log, message)

    def given(public: bytes, text: bytes = message, signed: bytes = signature) -> dict[str, Any]:
        return {"public": public, "message": text, "signature": signed}

    yield "valid", "ok", "A key and its signature.", given(good)
    yield "short", "key-malformed", "31 bytes.", given(good[:31])
    yield (
        "order-1",
        "key-weak",
        "The neutral element: one signature fits every message.",
        given(b"\x01" + bytes(31), signed=b"\x01" + bytes(63)),
    )
    yield "order-2", "key-weak", "The point (0, -1).", given(b"\xec" + b"\xff" * 30 + b"\x7f")
    yield "order-4", "key-weak", "y = 0.", given(bytes(32))
    yield "order-8", "key-weak", "A point of order 8.", given(SMALL_ORDER)
    yield "not-on-the-curve", "key-weak", "No point has this y.", given(b"\x02" + bytes(31))
    yield (
        "not-canonical",
        "key-weak",
        "y = p + 1, a second spelling of the neutral element.",
        given(b"\xee" + b"\xff" * 30 + b"\x7f"),
    )
    yield "mixed-order", "key-weak", "A good key plus a point of order 8.", given(_MIXED)
    yield (
        "signature-flipped",
        "bad-signature",
        "One bit.",
        given(good, signed=bytes([signature[0] ^ 1]) + signature[1:]),
    )
    yield "signature-of-another-message", "bad-signature", "Another message.", given(good, b"massage")
    order = 2**252 + 27742317777372353535851937790883648493
    more = int.from_bytes(signature[32:], "little") + order
    yield (
        "signature-malleated",
        "bad-signature",
        "s + L.",
        given(good, signed=signature[:32] + more.to_bytes(32, "little")),
    )
    yield "signature-short", "bad-signature", "63 bytes.", given(good, signed=signature[:63])


def _invites() -> Iterator[tuple[str, str, str, str, str]]:
    good, _ = mint_invite(
        ALDER.node_id, ALDER.identity.statement.urls[0], now=NOW, ttl=timedelta(days=1), rng=Dice("invite")
    )
    yield "valid", "ok", "P-30", "Good for a day.", good
    yield (
        "valid-wrapped-by-a-mailer",
        "ok",
        "P-30",
        "Lines broken, spaces around.",
        f"  {good[:60]}\n {good[60:]} \n",
    )
    old, _ = mint_invite(
        ALDER.node_id,
        ALDER.identity.statement.urls[0],
        now=NOW - timedelta(days=1),
        ttl=timedelta(days=1),
        rng=Dice("invite"),
    )
    yield "expired", "invite-expired", "P-31", "It ended this second.", old
    bad = "invite-malformed"
    yield "cut", bad, "P-30", "The last letter is missing.", good[:-1]
    yield (
        "miscopied",
        bad,
        "P-30",
        "One letter is another.",
        good.replace(good[40], "A" if good[40] != "A" else "B", 1),
    )
    yield "version-2", bad, "P-30", "An invite of a later version.", good.replace("tocsin1.", "tocsin2.")
    yield "not-base64", bad, "P-30", "Letters that are none.", "tocsin1.***"
    comma = f"{good[:50]},{good[50:]}"
    yield "stray-comma", bad, "P-30", "A comma that many decoders pass over.", comma
    padded = good + "=" * (-len(good.removeprefix("tocsin1.")) % 4)
    yield (
        "padded",
        bad,
        "P-30",
        "A second spelling: base64url is not padded here.",
        padded + "=" * (padded == good),
    )
    yield "empty", bad, "P-30", "Nothing after the prefix.", "tocsin1."
    yield "too-long", bad, "P-30", "More than 1,024 letters.", "tocsin1." + "A" * 1024
    for name, comment, url in (
        ("address-with-password", "An address with credentials.", "https://a:b@alder.example"),
        ("address-of-a-file", "An address that is no web address.", "file:///etc/passwd"),
        ("address-empty", "No address.", ""),
    ):
        yield name, bad, "P-30", comment, _invite_to(good, url)


def _invite_to(good: str, url: str) -> str:
    """The good invite with another address and a right check."""
    raw = base64.urlsafe_b64decode(good.removeprefix("tocsin1.") + "==")
    payload = raw[:88] + url.encode()
    check = hashlib.sha256(b"tocsin/1/check\x00" + payload).digest()[:4]
    return "tocsin1." + base64.urlsafe_b64encode(payload + check).decode().rstrip("=")


def _mixed_order() -> bytes:
    return sodium.crypto_core_ed25519_add(public_of(ALDER.keys.log), SMALL_ORDER)


_MIXED: Final = _mixed_order()
