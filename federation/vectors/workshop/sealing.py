"""Making entries, honest and not: sealed by the package, then changed as a dishonest origin can change them."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
import nacl.bindings as sodium

from tocsin_federation.envelope import Sealed, seal, wrap_info
from tocsin_federation.errors import KeyRefused
from tocsin_federation.keys import EncPrivateKey
from tocsin_federation.merkle import leaf_hash
from tocsin_federation.messages import FACTS, HEADER, Audience, Header, facts_of, read_header
from tocsin_federation.padding import pad
from tocsin_schema.marking import Tlp
from workshop.case import Dice
from workshop.cast import ALDER, BIRCH, NOW, REPORT_ID, Player
from workshop.salamander import two_faced

CONTENT: Final = b'{"type":"bundle","objects":[]}'
_NONCE = bytes(24)
_SALT = Dice("salt")(24)


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry on its way to Birch, with the data key that sealed it."""

    sealed: Sealed
    data_key: bytes

    @property
    def header(self) -> Header:
        """Its header."""
        return read_header(self.sealed.leaf)


class Wraps:
    """Sealed data keys: HPKE cannot be made to repeat itself, so those made last time are kept while they open."""

    def __init__(self, old: Iterable[bytes]) -> None:
        self._old = sorted(set(old))
        self._known: dict[tuple[bytes, bytes, str], bytes] = {}

    def given(self, entry: Entry, *, to: Player = BIRCH, origin: Player = ALDER) -> dict[str, Any]:
        """What Birch is served of `entry`, with the wrap for `to`."""
        info = wrap_info(entry.sealed.leaf_hash, origin.node_id, to.node_id)
        key = info, entry.data_key, to.enc.kid
        if key not in self._known:
            kept = [w for w in self._old if _opens(w, info, entry.data_key, to.enc)]
            self._known[key] = kept[0] if kept else to.identity.enc_key(NOW).wrap(entry.data_key, info)
        return {
            "origin": origin.node_id,
            "me": BIRCH.node_id,
            "enc_seeds": [BIRCH.enc.seed],
            "leaf_hash": entry.sealed.leaf_hash,
            "leaf": entry.sealed.leaf,
            "wrap": self._known[key],
            "ct": entry.sealed.ct,
        }


def _opens(wrap: bytes, info: bytes, data_key: bytes, key: EncPrivateKey) -> bool:
    try:
        return key.unwrap(wrap, info) == data_key
    except KeyRefused:
        return False


def salamander() -> tuple[Entry, Entry]:
    """One leaf and one ciphertext, with two data keys that both open it; the leaf commits to the first."""
    entry = sealed()
    facts = facts_of(entry.header)
    keys = (Dice("first face")(32), Dice("second face")(32))
    body_keys = [derive(key, FACTS.encode(facts)) for key in keys]
    content = b'{"severity":"critical","x":"'.ljust(1019 - 2, b".") + b'"}'
    first = pad(content)
    second = bytes(128) + b'"severity":"low"' + bytes(1024 - 144)
    ct = two_faced(first, second, (body_keys[0][0], body_keys[1][0]), (20, 21))
    enc = msgspec.structs.replace(entry.header.enc, salt=_SALT, kc=body_keys[0][1])
    base = releaf(entry, header_bytes(msgspec.structs.replace(entry.header, enc=enc)))
    whole = with_ct(base, ct)
    return replace(whole, data_key=keys[0]), replace(whole, data_key=keys[1])


def sealed(
    *,
    t: Any = "publish",
    content: bytes = CONTENT,
    recipients: tuple[Player, ...] = (BIRCH,),
    ref: bytes | None = None,
    label: str = "entry",
    aud: Audience | None = None,
    id: str = REPORT_ID,  # noqa: A002 (the header's own name)
) -> Entry:
    """An entry of Alder, as the package seals it, with its data key."""
    drawn: list[bytes] = []
    dice = Dice(label)

    def rng(length: int) -> bytes:
        drawn.append(dice(length))
        return drawn[-1]

    made = seal(
        t=t,
        by=ALDER.node_id,
        id=id,
        ver=1,
        tlp=Tlp.AMBER,
        content=content,
        recipients={player.node_id: player.identity.enc_key(NOW) for player in recipients},
        now=NOW,
        rng=rng,
        ref=ref,
        aud=aud,
    )
    return Entry(made, drawn[0])


def sealed_plaintext(plaintext: bytes) -> Entry:
    """An entry whose origin pads as it likes."""
    entry = sealed()
    key, _ = derive(entry.data_key, FACTS.encode(facts_of(entry.header)), entry.header.enc.salt)
    ct = sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(plaintext, None, _NONCE, key)
    return with_ct(entry, ct)


def derive(data_key: bytes, facts: bytes, salt: bytes = _SALT) -> tuple[bytes, bytes]:
    """Written anew from PROTOCOL.md, so that the vectors do not rest on the code they test."""
    ctx = hashlib.sha256(b"tocsin/1/ctx\x00" + facts).digest()
    both = hashlib.blake2b(salt + ctx, digest_size=64, key=data_key, person=b"tocsin/1/body").digest()
    return both[:32], both[32:]


def with_ct(entry: Entry, ct: bytes) -> Entry:
    """The same header around another ciphertext."""
    enc = msgspec.structs.replace(entry.header.enc, ct=hashlib.sha256(ct).digest(), n=len(ct))
    leaf = header_bytes(msgspec.structs.replace(entry.header, enc=enc))
    made = releaf(entry, leaf)
    return replace(made, sealed=replace(made.sealed, ct=ct))


def releaf(entry: Entry, leaf: bytes) -> Entry:
    """The same ciphertext under another leaf, as its origin can always make it."""
    return replace(entry, sealed=replace(entry.sealed, leaf=leaf, leaf_hash=leaf_hash(leaf)))


def header_bytes(header: Header) -> bytes:
    """The leaf of a header."""
    return HEADER.encode(header)


def flip(raw: bytes, position: int) -> bytes:
    """`raw` with one bit changed."""
    return raw[:position] + bytes([raw[position] ^ 1]) + raw[position + 1 :]
