"""The wraps are X-Wing in HPKE Base mode: checked against the published vector and an implementation of our own."""

import json
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from tests.federation import x_wing
from tests.federation.nodes import A_KEYS, B_KEYS, NOW, REPORT_ID, A, B, Rng

from tocsin_federation.envelope import seal, wrap_info
from tocsin_federation.keys import load_enc_private, load_enc_public
from tocsin_schema.marking import Tlp

VECTOR = json.loads(Path(__file__).with_name("hpke_647a_0001_0003.json").read_text())


def field(name: str) -> bytes:
    return bytes.fromhex(VECTOR[name])


def test_our_keys_are_those_of_the_published_vector():
    assert load_enc_private(field("skRm")).public == field("pkRm")


def test_the_oracle_reproduces_the_published_vector():
    keys = x_wing.schedule(field("skRm"), field("enc"), field("info"))
    assert keys.shared_secret == field("shared_secret")
    assert keys.key == field("key")
    assert keys.base_nonce == field("base_nonce")
    message = {name: bytes.fromhex(value) for name, value in VECTOR["encryption"].items()}
    assert x_wing.public_key(field("skRm")) == field("pkRm")
    assert (
        x_wing.open_wrap(field("skRm"), field("enc") + message["ct"], field("info"), message["aad"])
        == message["pt"]
    )


def test_the_oracle_opens_our_wraps():
    seed = field("skRm")
    wrap = load_enc_public(field("pkRm")).wrap(bytes(range(32)), b"purpose")
    assert x_wing.open_wrap(seed, wrap, b"purpose") == bytes(range(32))
    with pytest.raises(InvalidTag):
        x_wing.open_wrap(seed, wrap, b"another purpose")


def test_the_oracle_opens_a_sealed_entry_as_the_protocol_describes_it():
    """Every step of PROTOCOL.md, 6, taken again without the package."""
    import hashlib
    from base64 import b64decode

    import nacl.bindings as sodium
    import rfc8785

    rng = Rng("seal")
    key = B.enc_key(NOW)
    sealed = seal(
        t="publish", by=A.node_id, id=REPORT_ID, ver=1, tlp=Tlp.RED, content=b"content",
        recipients={B.node_id: key}, now=NOW, rng=rng,
    )  # fmt: skip
    header = json.loads(sealed.leaf)
    assert rfc8785.dumps(header) == sealed.leaf
    hashed = hashlib.sha256(b"\x00" + sealed.leaf).digest()
    info = b"tocsin/1/wrap\x00" + hashed + _raw(A.node_id) + _raw(B.node_id)
    assert info == wrap_info(sealed.leaf_hash, A.node_id, B.node_id)
    data_key = x_wing.open_wrap(B_KEYS.enc[key.kid], sealed.wraps[B.node_id], info)
    assert data_key == rng.drawn[0]
    enc = header.pop("enc")
    ctx = hashlib.sha256(b"tocsin/1/ctx\x00" + rfc8785.dumps(header)).digest()
    both = hashlib.blake2b(
        b64decode(enc["salt"]) + ctx, digest_size=64, key=data_key, person=b"tocsin/1/body"
    ).digest()
    assert both[32:] == b64decode(enc["kc"])
    assert hashlib.sha256(sealed.ct).digest() == b64decode(enc["ct"])
    plaintext = sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(sealed.ct, None, bytes(24), both[:32])
    assert plaintext == b"\x00" + (7).to_bytes(4, "big") + b"content" + bytes(1024 - 12)


def test_private_keys_of_a_node_do_not_show_themselves():
    assert repr(A_KEYS) == "NodeKeys(…)"


def _raw(node_id: str) -> bytes:
    from base64 import b32decode

    return b32decode(node_id[2:].upper() + "====")
