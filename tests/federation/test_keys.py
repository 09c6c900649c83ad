import hypothesis.strategies as st
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from tests.federation.nodes import Rng

from tocsin_federation.errors import KeyRefused
from tocsin_federation.keys import (
    VKEY_COSIGNATURE,
    check_public,
    decode_vkey,
    encode_vkey,
    generate,
    generate_enc,
    load_enc_private,
    load_enc_public,
    load_private,
    public_of,
    sign,
    verify,
)

KEY = generate(Rng("key"))


def code(call, *args):
    with pytest.raises(KeyRefused) as refused:
        call(*args)
    return refused.value.code


@given(st.binary(max_size=300))
def test_signatures_are_those_of_rfc_8032(message):
    other = ed25519.Ed25519PrivateKey.from_private_bytes(KEY[:32])
    signature = sign(KEY, message)
    assert signature == other.sign(message)
    verify(check_public(public_of(KEY)), message, signature)


@given(st.binary(min_size=1, max_size=64), st.data())
def test_a_flipped_bit_anywhere_does_not_verify(message, data):
    public, signature = public_of(KEY), sign(KEY, message)
    parts = [bytearray(message), bytearray(signature)]
    which = data.draw(st.integers(0, 1))
    bit = data.draw(st.integers(0, len(parts[which]) * 8 - 1))
    parts[which][bit // 8] ^= 1 << bit % 8
    assert code(verify, public, bytes(parts[0]), bytes(parts[1])) == "bad-signature"


def test_a_private_key_with_another_public_half_is_not_loaded():
    other = generate(Rng("other"))
    assert load_private(KEY) == KEY
    assert code(load_private, KEY[:32] + public_of(other)) == "key-mismatch"
    assert code(load_private, KEY[:32]) == "key-malformed"
    assert code(sign, KEY[:32], b"") == "key-malformed"


def test_no_byte_moves_between_message_and_signature():
    public = public_of(KEY)
    assert code(verify, public, b"m", sign(KEY, b"xm") + b"x") == "bad-signature"
    assert code(verify, public, b"xm", sign(KEY, b"m")[:63]) == "bad-signature"
    assert code(verify, public[:31], b"m", sign(KEY, b"m")) == "bad-signature"
    assert code(verify, public + b"x", b"m", sign(KEY, b"m")) == "bad-signature"


def test_openssl_would_take_what_we_refuse():
    """Why there is one verifier: with the neutral element as key, one signature fits every message."""
    weak, signature = b"\x01" + bytes(31), b"\x01" + bytes(63)
    lax = ed25519.Ed25519PublicKey.from_public_bytes(weak)
    lax.verify(signature, b"any message")
    lax.verify(signature, b"any other message")
    assert code(check_public, weak) == "key-weak"
    assert code(verify, weak, b"any message", signature) == "bad-signature"


# C2SP and Go's sumdb/note give these as examples of a verifier key.
GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


def test_vkeys_are_those_of_c2sp():
    key = decode_vkey(GO_VKEY)
    assert (key.name, key.key_id.hex(), key.algorithm) == ("PeterNeumann", "c74f20a3", 1)
    assert encode_vkey("PeterNeumann", 1, key.public) == GO_VKEY


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PeterNeumann",
        GO_VKEY.replace("PeterNeumann", "PeterNewmann"),
        GO_VKEY.replace("c74f20a3", "c74f20a4"),
        GO_VKEY.replace("c74f20a3", "C74F20A3"),
        GO_VKEY.replace("ARpc", "BBpc"),
        GO_VKEY + " ",
        GO_VKEY[:-4],
        "a b+00000000+AAAA",
        "+00000000+AAAA",
    ],
)
def test_a_vkey_has_one_spelling(text):
    assert code(decode_vkey, text) == "key-malformed"


def test_a_vkey_of_another_type_or_of_a_weak_key_is_refused():
    cosigner = encode_vkey("witness", VKEY_COSIGNATURE, public_of(KEY))
    assert decode_vkey(cosigner, VKEY_COSIGNATURE).public == public_of(KEY)
    assert code(decode_vkey, cosigner) == "key-malformed"
    assert code(decode_vkey, encode_vkey("weak", 1, b"\x01" + bytes(31))) == "key-weak"
    for name in ("", "two words", "two\u00a0words", "plus+", "new\nline", "bell\x07"):
        assert code(encode_vkey, name, 1, public_of(KEY)) == "key-malformed"


def test_a_wrap_opens_for_its_key_and_its_purpose_alone():
    mine, other = generate_enc(Rng("mine")), generate_enc(Rng("other"))
    wrap = load_enc_public(mine.public).wrap(bytes(32), b"purpose")
    assert len(wrap) == 1168
    assert mine.unwrap(wrap, b"purpose") == bytes(32)
    assert code(other.unwrap, wrap, b"purpose") == "bad-wrap"
    assert code(mine.unwrap, wrap, b"another purpose") == "bad-wrap"
    assert code(mine.unwrap, wrap[:-1], b"purpose") == "bad-wrap"
    assert code(mine.unwrap, wrap[:-1] + bytes([wrap[-1] ^ 1]), b"purpose") == "bad-wrap"
    for length in (0, 31, 33):
        other_length = load_enc_public(mine.public).wrap(bytes(length), b"purpose")
        assert code(mine.unwrap, other_length, b"purpose") == "bad-wrap"


def test_encryption_keys_that_would_fail_later_are_refused_at_once():
    good = generate_enc(Rng("good")).public
    assert code(load_enc_public, good[:-1]) == "key-malformed"
    assert code(load_enc_public, good[:1184] + bytes(32)) == "key-weak"
    assert code(load_enc_public, good[:1184] + b"\x01" + bytes(31)) == "key-weak"
    assert code(load_enc_public, b"\xff" * 1152 + good[1152:]) == "key-malformed"
    assert code(load_enc_private, bytes(31)) == "key-malformed"


@pytest.mark.parametrize("point", [bytes(32), b"\x01" + bytes(31), (2**255 - 19).to_bytes(32, "little")])
def test_a20_a_wrap_whose_x25519_half_is_a_point_of_small_order_opens_for_nobody(point):
    mine = generate_enc(Rng("mine"))
    wrap = load_enc_public(mine.public).wrap(bytes(32), b"purpose")
    spoilt = wrap[:1088] + point + wrap[1120:]
    assert code(mine.unwrap, spoilt, b"purpose") == "bad-wrap"


def test_private_keys_do_not_show_themselves():
    private = generate_enc(Rng("secret"))
    assert private.seed.hex() not in repr(private)
    assert str(private.seed) not in repr(private)
