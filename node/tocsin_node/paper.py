"""A root key on paper: a text that can be printed, kept in a safe and typed back.

    TOCSIN ROOT KEY, signs statement 3
     1  AAAA AEZH 7QX2 …
     …

Each numbered line holds 7 bytes and 3 that check them (base32, RFC 4648: A to Z and 2 to 7), so a slip of the pen is
found in its line. The bytes: kind (1), number of the statement (u16), then the 32-byte seed of a plain key (kind 0),
or of a locked one (kind 1) ops (u8), mem in KiB (u32), salt (16), nonce (24) and the locked seed (48). Zeros fill the
last line.
"""

import base64
import hashlib
import re
import struct

import msgspec

from tocsin_federation.keys import generate
from tocsin_node.errors import SecretError
from tocsin_node.passphrase import LockedKey, Passphrase, decode_key, is_locked

_LINE_BYTES, _CHECK_BYTES = 7, 3
_SEED_BYTES = 32
_PLAIN, _LOCKED = 0, 1
_HEAD = struct.Struct(">BH")
_COST = struct.Struct(">BI16s")
_LOCKED_BYTES = _HEAD.size + _COST.size + 24 + _SEED_BYTES + 16
_PLAIN_BYTES = _HEAD.size + _SEED_BYTES
_NUMBERED = re.compile(r"^\s*(\d{1,2})\s*[.:)]?\s+(.+?)\s*$")
_ALIKE = str.maketrans("018", "OIB")  # none of the three is in the alphabet


class PaperUnread(SecretError):
    """The typed root key is not what was printed."""

    code = "paper-unread"
    hint = "Compare that line with the paper, letter by letter; every line has 16 letters and digits."


def is_paper(content: bytes) -> bool:
    """Whether this may be a typed paper and not a key file."""
    return not is_locked(content) and len(content.split()) > 1


def write_paper(number: int, private: bytes, *, name: str, org: str, passphrase: Passphrase | None) -> str:
    """The printable text of the root key `private` (64 bytes) called `name`, which signs statement `number`."""
    seed = private[:_SEED_BYTES]
    if passphrase is None:
        body = _HEAD.pack(_PLAIN, number) + seed
    else:
        locked = msgspec.json.decode(passphrase.lock(name, seed), type=LockedKey)
        body = (
            _HEAD.pack(_LOCKED, number) + _COST.pack(locked.ops, locked.mem // 1024, locked.salt) + locked.box
        )
    lines = [_line(at, body[at * _LINE_BYTES :][:_LINE_BYTES]) for at in range(-(-len(body) // _LINE_BYTES))]
    protection = (
        "locked by the passphrase of that day" if passphrase else "not locked: whoever reads it has it"
    )
    return "\n".join(
        [
            f"TOCSIN ROOT KEY of {org}",
            f"signs statement {number}, once; {protection}",
            "",
            *lines,
            "",
            "Type these lines into a file and give it: tocsin key rotate DIR --root-key FILE",
            "",
        ]
    )


def read_paper(content: bytes, passphrase: Passphrase | None) -> tuple[int, bytes]:
    """The statement's number and the private key (64 bytes) on a typed paper; lines without a number are passed over.

    Raises: PaperUnread, which names the line; KeyLocked, PassphraseWrong.
    """
    found = [_NUMBERED.match(line) for line in content.decode("utf-8", errors="replace").splitlines()]
    typed = [(int(match[1]), match[2]) for match in found if match]
    if [number for number, _ in typed] != list(range(1, len(typed) + 1)) or not typed:
        raise PaperUnread("The numbered lines are not there one after the other, from 1 on.")
    body = b"".join(_bytes_of(number - 1, text) for number, text in typed)
    kind, number = _HEAD.unpack_from(body.ljust(_HEAD.size))
    wanted = {_PLAIN: _PLAIN_BYTES, _LOCKED: _LOCKED_BYTES}.get(kind)
    if wanted is None or len(typed) != -(-wanted // _LINE_BYTES):
        raise PaperUnread(f"There are {len(typed)} lines; some are missing, or they are of a later version.")
    if kind == _PLAIN:
        return number, _private(body[_HEAD.size : _PLAIN_BYTES])
    ops, mem_kib, salt = _COST.unpack_from(body, _HEAD.size)
    box = body[_HEAD.size + _COST.size : _LOCKED_BYTES]
    name = f"next-root-{number:04}"
    locked = msgspec.json.encode(LockedKey(1, name, "argon2id", ops, mem_kib * 1024, salt, box))
    return number, _private(decode_key(name, locked, passphrase))


def _private(seed: bytes) -> bytes:
    return generate(lambda _count: seed)


def _line(at: int, part: bytes) -> str:
    whole = part.ljust(_LINE_BYTES, b"\0")
    text = base64.b32encode(whole + _check(at, whole)).decode()
    return f"{at + 1:2}  " + " ".join(text[n : n + 4] for n in range(0, len(text), 4))


def _bytes_of(at: int, text: str) -> bytes:
    letters = "".join(text.split()).replace("-", "").upper().translate(_ALIKE)
    try:
        raw = base64.b32decode(letters)
    except ValueError:
        raw = b""
    part, check = raw[:_LINE_BYTES], raw[_LINE_BYTES:]
    if len(raw) != _LINE_BYTES + _CHECK_BYTES or check != _check(at, part):
        raise PaperUnread(f"Line {at + 1} is not what was printed.")
    return part


def _check(at: int, part: bytes) -> bytes:
    return hashlib.sha256(b"tocsin/1/paper\0%c%s" % (at, part)).digest()[:_CHECK_BYTES]
