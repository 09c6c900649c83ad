"""Keys and what is done with them: Ed25519 through libsodium alone, X-Wing through HPKE of `cryptography`.

Rules kept here:
- One verifier. Implementations of Ed25519 disagree on crafted keys and signatures; every signature in the
  federation is verified by libsodium, and a public key is taken only after its point was checked
  (`check_public`).
- A private signing key is libsodium's 64 bytes (seed, then public key): signing needs no derivation, and the
  public half cannot be confused with another's because `load_private` recomputes it.
- A key has no name but its own hash (`kid`), so that two keys can never share one.
- X-Wing keys are those of draft-connolly-cfrg-xwing-kem: a 32-byte seed, 1,216 public bytes.
"""

import hashlib
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import nacl.bindings as sodium
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)
from nacl.exceptions import CryptoError

from tocsin_federation.errors import KeyRefused

Rng = Callable[[int], bytes]  # n → n random bytes

PRIVATE_BYTES = 64
PUBLIC_BYTES = 32
SIGNATURE_BYTES = 64
ENC_SEED_BYTES = 32
ENC_PUBLIC_BYTES = 1216  # ML-KEM-768 (1,184) ‖ X25519 (32)
WRAP_BYTES = 1168  # encapsulation (1,120) ‖ sealed 32-byte key (48)
VKEY_ED25519 = 0x01  # C2SP signed-note: a log's key
VKEY_COSIGNATURE = 0x04  # C2SP tlog-cosignature: a witness's key

_HPKE: Final = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_MLKEM_PUBLIC_BYTES = 1184
_X25519_PROBE = bytes(
    range(32)
)  # any scalar: clamped it is a multiple of 8, which small-order points send to zero


def kid(public: bytes) -> str:
    """The name of a public key: the first 8 bytes of its SHA-256, in hex."""
    return hashlib.sha256(public).hexdigest()[:16]


# Ed25519 ----------------------------------------------------------------------------------------------


def generate(rng: Rng) -> bytes:
    """A new private signing key, 64 bytes."""
    return sodium.crypto_sign_seed_keypair(rng(32))[1]


def public_of(private: bytes) -> bytes:
    """The public half of a private signing key, 32 bytes."""
    return private[32:]


def load_private(raw: bytes) -> bytes:
    """A private signing key as read from a file.

    Raises: KeyRefused `key-malformed` (not 64 bytes), `key-mismatch` (signing with a wrong public half would
    give the private one away).
    """
    if len(raw) != PRIVATE_BYTES:
        raise KeyRefused("key-malformed")
    if sodium.crypto_sign_seed_keypair(raw[:32])[0] != raw[32:]:
        raise KeyRefused("key-mismatch")
    return raw


def sign(private: bytes, message: bytes) -> bytes:
    """The 64-byte Ed25519 signature of `message` (RFC 8032).

    Raises: KeyRefused `key-malformed` when the private key is not 64 bytes.
    """
    if len(private) != PRIVATE_BYTES:
        raise KeyRefused("key-malformed")
    return sodium.crypto_sign(message, private)[:SIGNATURE_BYTES]


def check_public(raw: bytes) -> bytes:
    """`raw` again, once it is known to be a public key that may be registered.

    Raises: KeyRefused `key-malformed` (not 32 bytes), `key-weak` (not canonical, not on the curve, or not of
    full order: some verifiers accept one fixed signature of such a key on every message).
    """
    if len(raw) != PUBLIC_BYTES:
        raise KeyRefused("key-malformed")
    if not sodium.crypto_core_ed25519_is_valid_point(raw):
        raise KeyRefused("key-weak")
    return raw


def verify(public: bytes, message: bytes, signature: bytes) -> None:
    """Return when `signature` over `message` is by `public`, a key that `check_public` let through.

    Raises: KeyRefused `bad-signature`.
    """
    if len(signature) != SIGNATURE_BYTES or len(public) != PUBLIC_BYTES:
        raise KeyRefused("bad-signature")
    try:
        sodium.crypto_sign_open(signature + message, public)
    except CryptoError as exc:
        raise KeyRefused("bad-signature") from exc


# C2SP verifier keys -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A C2SP vkey: the name in signature lines, the 4-byte key ID, the signature type, the public key."""

    name: str
    key_id: bytes
    algorithm: int
    public: bytes


def note_key_id(name: str, algorithm: int, public: bytes) -> bytes:
    """The 4-byte key ID of C2SP signed-note."""
    return hashlib.sha256(b"%s\n%c%s" % (name.encode(), algorithm, public)).digest()[:4]


def encode_vkey(name: str, algorithm: int, public: bytes) -> str:
    """`name+hex(key id)+base64(type ‖ key)`.

    Raises: KeyRefused `key-malformed` for a name that no note can carry.
    """
    _check_note_name(name)
    key = b64encode(bytes([algorithm]) + public).decode()
    return f"{name}+{note_key_id(name, algorithm, public).hex()}+{key}"


@lru_cache(maxsize=1024)
def decode_vkey(text: str, algorithm: int = VKEY_ED25519) -> VerifierKey:
    """The verifier key that `text` holds; its point is checked.

    Raises: KeyRefused `key-malformed` (form, key ID, or another type than `algorithm`), `key-weak`.
    """
    try:
        name, key_id_hex, key_text = text.split("+", 2)
        public = b64decode(key_text, validate=True)[1:]
        key_id = bytes.fromhex(key_id_hex)
    except (ValueError, Base64Error) as exc:
        raise KeyRefused("key-malformed") from exc
    if encode_vkey(name, algorithm, public) != text:  # another type, key ID or spelling
        raise KeyRefused("key-malformed")
    return VerifierKey(name, key_id, algorithm, check_public(public))


def _check_note_name(name: str) -> None:
    if not name or not name.isprintable() or "+" in name or any(c.isspace() for c in name):
        raise KeyRefused("key-malformed")


# X-Wing -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EncKey:
    """An X-Wing public key, checked and ready. `raw`: 1,216 bytes."""

    kid: str
    raw: bytes = field(repr=False)
    _key: MLKEM768X25519PublicKey = field(repr=False, compare=False)

    def wrap(self, data_key: bytes, info: bytes) -> bytes:
        """Seal a 32-byte key to this one (HPKE Base mode, RFC 9180): exactly 1,168 bytes."""
        return _HPKE.encrypt(data_key, self._key, info)


@dataclass(frozen=True, slots=True)
class EncPrivateKey:
    """An X-Wing private key, ready. `seed`: 32 bytes, the form in which it is kept."""

    kid: str
    public: bytes = field(repr=False)
    seed: bytes = field(repr=False)
    _key: MLKEM768X25519PrivateKey = field(repr=False, compare=False)

    def unwrap(self, wrap: bytes, info: bytes) -> bytes:
        """The key inside `wrap`.

        Raises: KeyRefused `bad-wrap` (length, sealed to another key or with another `info`, changed).
        """
        if len(wrap) != WRAP_BYTES:
            raise KeyRefused("bad-wrap")
        try:
            return _HPKE.decrypt(wrap, self._key, info)
        except (InvalidTag, ValueError) as exc:
            raise KeyRefused("bad-wrap") from exc


def generate_enc(rng: Rng) -> EncPrivateKey:
    """A new X-Wing key pair."""
    return load_enc_private(rng(ENC_SEED_BYTES))


def load_enc_private(seed: bytes) -> EncPrivateKey:
    """The key pair of a 32-byte seed (draft-connolly-cfrg-xwing-kem, 5.2).

    Raises: KeyRefused `key-malformed`.
    """
    if len(seed) != ENC_SEED_BYTES:
        raise KeyRefused("key-malformed")
    expanded = hashlib.shake_256(seed).digest(96)
    mlkem = MLKEM768PrivateKey.from_seed_bytes(expanded[:64])
    x25519 = X25519PrivateKey.from_private_bytes(expanded[64:])
    public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
    return EncPrivateKey(kid(public), public, seed, MLKEM768X25519PrivateKey(mlkem, x25519))


@lru_cache(maxsize=1024)
def load_enc_public(raw: bytes) -> EncKey:
    """A peer's X-Wing public key, checked so that sealing to it cannot fail later.

    Raises: KeyRefused `key-malformed` (length, ML-KEM modulus), `key-weak` (X25519 point of small order).
    """
    if len(raw) != ENC_PUBLIC_BYTES:
        raise KeyRefused("key-malformed")
    point = raw[_MLKEM_PUBLIC_BYTES:]
    try:
        mlkem = MLKEM768PublicKey.from_public_bytes(raw[:_MLKEM_PUBLIC_BYTES])
        x25519 = X25519PublicKey.from_public_bytes(point)
    except ValueError as exc:
        raise KeyRefused("key-malformed") from exc
    try:
        X25519PrivateKey.from_private_bytes(_X25519_PROBE).exchange(x25519)
    except ValueError as exc:
        raise KeyRefused("key-weak") from exc
    return EncKey(kid(raw), raw, MLKEM768X25519PublicKey(mlkem, x25519))
