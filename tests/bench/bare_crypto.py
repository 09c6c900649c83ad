"""The cryptography alone, one thread, with the libraries and the sizes that an entry has."""

import hashlib
import os
from datetime import UTC, datetime

import nacl.bindings as sodium
import orjson
from tests.bench.measure import Limit, rate

from tocsin_federation.envelope import Sealed, seal
from tocsin_federation.keys import generate, generate_enc, load_enc_public, public_of, sign, verify
from tocsin_federation.node_id import node_id_from_bytes
from tocsin_federation.padding import pad
from tocsin_schema.marking import Tlp

NONCE = bytes(24)


def rates(bundle: bytes, *, seconds: float) -> dict[str, Limit]:
    """What each step can be done how often a second for a report like `bundle`."""
    signing = generate(os.urandom)
    signature, public = sign(signing, bundle[:200]), public_of(signing)
    private = generate_enc(os.urandom)
    enc = load_enc_public(private.public)
    key, padded, info = os.urandom(32), pad(bundle), os.urandom(100)
    wrap = enc.wrap(key, info)
    ct = sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(padded, None, NONCE, key)
    works = {
        "ed25519 sign": lambda: sign(signing, bundle[:200]),
        "ed25519 verify": lambda: verify(public, bundle[:200], signature),
        "x-wing wrap": lambda: enc.wrap(key, info),
        "x-wing unwrap": lambda: private.unwrap(wrap, info),
        "xchacha20-poly1305 seal": lambda: sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(
            padded, None, NONCE, key
        ),
        "xchacha20-poly1305 open": lambda: sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(
            ct, None, NONCE, key
        ),
        "sha-256": lambda: hashlib.sha256(bundle).digest(),
        "orjson read": lambda: orjson.loads(bundle),
    }
    return {name: Limit(name, rate(work, seconds=seconds), "/s") for name, work in works.items()}


def sealed_size(bundle: bytes, incident_id: str) -> int:
    """How many bytes an entry for one recipient has: leaf, ciphertext, wrap."""
    me, other = (node_id_from_bytes(bytes([number]) * 32) for number in (1, 2))
    sealed: Sealed = seal(
        t="publish",
        by=me,
        id=incident_id,
        ver=1,
        tlp=Tlp.GREEN,
        content=bundle,
        recipients={other: load_enc_public(generate_enc(os.urandom).public)},
        now=datetime.now(UTC),
        rng=os.urandom,
    )
    return len(sealed.leaf) + len(sealed.ct) + sum(map(len, sealed.wraps.values()))
