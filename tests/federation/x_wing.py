"""X-Wing and HPKE written anew from their texts, as an oracle for what `cryptography` does.

draft-connolly-cfrg-xwing-kem 5 (keys, combiner) and RFC 9180 4 and 5 (key schedule, Base mode, one message), over
ML-KEM-768, X25519 and ChaCha20-Poly1305 as bare primitives.
"""

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

SUITE_ID = b"HPKE" + bytes.fromhex("647a00010003")


@dataclass(frozen=True)
class Schedule:
    shared_secret: bytes
    key: bytes
    base_nonce: bytes


def public_key(seed: bytes) -> bytes:
    mlkem, x25519 = _expand(seed)
    return mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()


def schedule(seed: bytes, enc: bytes, info: bytes) -> Schedule:
    secret = _decapsulate(seed, enc)
    psk_id_hash = _extract(b"", b"psk_id_hash", b"")
    info_hash = _extract(b"", b"info_hash", info)
    context = b"\x00" + psk_id_hash + info_hash
    prk = _extract(secret, b"secret", b"")
    return Schedule(
        secret, _expand_label(prk, b"key", context, 32), _expand_label(prk, b"base_nonce", context, 12)
    )


def open_wrap(seed: bytes, wrap: bytes, info: bytes, aad: bytes = b"") -> bytes:
    keys = schedule(seed, wrap[:1120], info)
    return ChaCha20Poly1305(keys.key).decrypt(keys.base_nonce, wrap[1120:], aad)


def _expand(seed: bytes) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    expanded = hashlib.shake_256(seed).digest(96)
    return (
        MLKEM768PrivateKey.from_seed_bytes(expanded[:64]),
        X25519PrivateKey.from_private_bytes(expanded[64:]),
    )


def _decapsulate(seed: bytes, enc: bytes) -> bytes:
    mlkem, x25519 = _expand(seed)
    first = mlkem.decapsulate(enc[:1088])
    second = x25519.exchange(X25519PublicKey.from_public_bytes(enc[1088:]))
    ours = x25519.public_key().public_bytes_raw()
    return hashlib.sha3_256(first + second + enc[1088:] + ours + b"\\.//^\\").digest()


def _extract(salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + SUITE_ID + label + ikm, "sha256")


def _expand_label(prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    labelled = length.to_bytes(2, "big") + b"HPKE-v1" + SUITE_ID + label + info
    return hmac.digest(prk, labelled + b"\x01", "sha256")[:length]
