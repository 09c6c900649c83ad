from collections import OrderedDict
from datetime import UTC, datetime, timedelta

import hypothesis.strategies as st
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    InvalidSignature,
    algorithms,
)
from http_sf.compat import Item
from hypothesis import given
from nacl.signing import SigningKey
from tests.federation.nodes import A_KEYS, NOW, A, B, Rng

from tocsin_federation.errors import AuthRefused
from tocsin_federation.keys import public_of
from tocsin_federation.request_auth import (
    Caller,
    NonceCache,
    content_digest,
    keyid_of,
    sign_request,
    signature_base,
    verify_request,
)

KEYID = keyid_of(A.node_id, public_of(A_KEYS.http))
REQUEST = {
    "method": "GET",
    "authority": "beta.example",
    "path": "/f1/log/00/entries",
    "query": "from=0",
    "body": b"",
}


def signed(now=NOW, seed="nonce", dest=B.node_id, **changes):
    return sign_request(**REQUEST | changes, dest=dest, key=A_KEYS.http, keyid=KEYID, now=now, rng=Rng(seed))


def verified(headers, nonces=None, now=NOW, **changes):
    return verify_request(
        **REQUEST | changes,
        headers=headers,
        me=B.node_id,
        lookup={KEYID: public_of(A_KEYS.http)}.get,
        nonces=NonceCache() if nonces is None else nonces,
        now=now,
    )


def refused(*args, **changes):
    with pytest.raises(AuthRefused) as caught:
        verified(*args, **changes)
    return caught.value


def test_a_request_says_who_sent_it():
    caller = verified(signed())
    assert caller == Caller(A.node_id, KEYID, caller.nonce)


def test_a_request_works_once():
    nonces, headers = NonceCache(), signed()
    verified(headers, nonces)
    assert refused(headers, nonces).code == "nonce-replayed"
    verified(signed(seed="another"), nonces)


def test_a_replay_at_the_edge_of_the_window_is_still_known():
    """Signed 120 s ahead of us, it stays fresh for 240 s; the nonce is kept for 300."""
    nonces, headers = NonceCache(), signed(now=NOW + timedelta(seconds=120))
    verified(headers, nonces)
    assert refused(headers, nonces, now=NOW + timedelta(seconds=240)).code == "nonce-replayed"
    assert refused(headers, nonces, now=NOW + timedelta(seconds=241)).code == "clock-skew"


def test_a_replay_is_known_before_any_key_is_looked_up():
    nonces, headers = NonceCache(), signed()
    verified(headers, nonces)

    def lookup(keyid: str) -> bytes | None:
        raise AssertionError(keyid)

    with pytest.raises(AuthRefused) as caught:
        verify_request(**REQUEST, headers=headers, me=B.node_id, lookup=lookup, nonces=nonces, now=NOW)
    assert caught.value.code == "nonce-replayed"


def test_a_forger_cannot_use_up_the_nonces_of_another():
    nonces, headers = NonceCache(), signed()
    forged = headers | {"Signature": "tocsin=:" + "A" * 86 + "==:"}
    assert refused(forged, nonces).code == "bad-signature"
    verified(headers, nonces)


def test_a_wrong_clock_is_told_and_everything_else_is_not():
    late = refused(signed(now=NOW - timedelta(seconds=500)))
    assert (late.code, late.outward, late.skew_s) == ("clock-skew", "clock-skew", -500)
    for headers in ({}, signed(dest=A.node_id), signed() | {"Signature": "tocsin=:" + "A" * 86 + "==:"}):
        assert refused(headers).outward == "not-authenticated"


@given(st.sampled_from(["method", "authority", "path", "query", "body"]), st.data())
def test_nothing_that_is_covered_can_change(field, data):
    headers = signed(body=b"body", query="a=1")
    value = data.draw(
        st.binary(max_size=9) if field == "body" else st.from_regex(r"[a-z0-9/]{1,9}", fullmatch=True)
    )
    original = {**REQUEST, "body": b"body", "query": "a=1"}
    if value != original[field]:
        assert refused(headers, **original | {field: value}).code in {"bad-signature", "digest-mismatch"}


@given(st.sampled_from(["Content-Digest", "Tocsin-Dest", "Signature-Input", "Signature"]), st.data())
def test_a_flipped_bit_in_a_header_is_refused(name, data):
    headers = signed()
    raw = bytearray(headers[name].encode())
    bit = data.draw(st.integers(0, len(raw) * 7 - 1))
    raw[bit // 7] ^= 1 << bit % 7
    changed = raw.decode()
    if name == "Signature" and changed.strip("tocsin=:")[:85] == headers[name].strip("tocsin=:")[:85]:
        return  # the last letter of base64 has spare bits: another spelling of the same signature
    refused(headers | {name: changed})


@pytest.mark.parametrize("noise", ["\udcff", "é", "\n", "\x00", "٣"])
def test_bytes_that_are_no_text_are_refused_and_break_nothing(noise):
    headers = signed()
    for name in headers:
        refused(headers | {name: headers[name] + noise})
        refused(headers | {name: noise})
    for field in ("method", "authority", "path", "query"):
        assert refused(headers, **{field: REQUEST[field] + noise}).code == "bad-signature"


def test_nonces_are_forgotten_a_key_at_a_time():
    nonces = NonceCache(max_entries=3)
    for n in range(4):
        assert nonces.check_and_add("a", str(n), NOW)
    assert not nonces.seen("a", "0", NOW)
    assert nonces.seen("a", "1", NOW)
    assert nonces.check_and_add("b", "1", NOW)
    assert not nonces.check_and_add("b", "1", NOW + timedelta(seconds=299))
    assert nonces.check_and_add("b", "1", NOW + timedelta(seconds=300))
    for n in range(1024):
        nonces.check_and_add(f"stranger {n}", "x", NOW)
    assert not nonces.seen("a", "1", NOW)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5), st.integers(0, 400)), max_size=40))
def test_within_its_time_no_nonce_passes_twice(steps):
    nonces, kept, clock = NonceCache(), {}, NOW
    for key, nonce, wait in steps:
        clock += timedelta(seconds=wait)
        fresh = (key, nonce) not in kept or clock >= kept[key, nonce] + timedelta(seconds=300)
        assert nonces.check_and_add(key, str(nonce), clock) == fresh
        if fresh:
            kept[key, nonce] = clock


# The same, by another hand ---------------------------------------------------------------------------


class Message:
    """A request as http-message-signatures wants it."""

    def __init__(self, headers: dict[str, str]) -> None:
        self.method, self.headers = "POST", headers
        self.url = "https://beta.example/f1/peer/join?a=1&b=%20"


class Resolver(HTTPSignatureKeyResolver):
    def resolve_public_key(self, key_id: str) -> Ed25519PublicKey:
        assert key_id == KEYID
        return Ed25519PublicKey.from_public_bytes(public_of(A_KEYS.http))


POST = {"method": "POST", "path": "/f1/peer/join", "query": "a=1&b=%20", "body": b"{}"}


def test_another_implementation_verifies_our_signatures():
    now = datetime.now(UTC)
    message = Message(signed(now=now, **POST))
    verifier = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=Resolver())
    (result,) = verifier.verify(message, max_age=timedelta(minutes=1))
    assert result.parameters["tag"] == "tocsin/1"
    verifier.verify_body(message, [result], b"{}")
    with pytest.raises(InvalidSignature):
        verifier.verify_body(message, [result], b"{ }")
    message.url = message.url.replace("a=1", "a=2")
    with pytest.raises(InvalidSignature):
        verifier.verify(message, max_age=timedelta(minutes=1))


@given(
    st.sampled_from(["GET", "POST"]),
    st.from_regex(r"(/[a-z0-9._~-]{1,8}){1,3}", fullmatch=True),
    st.from_regex(r"([a-z]=([a-z0-9]|%20){0,6}&?){1,3}", fullmatch=True),
    st.binary(max_size=20),
)
def test_the_bytes_that_are_signed_are_those_of_another_implementation(method, path, query, body):
    message = Message(signed(method=method, path=path, query=query, body=body))
    message.method, message.url = method, f"https://beta.example{path}?{query}"
    given_params = message.headers["Signature-Input"].removeprefix("tocsin=")
    theirs, *_ = HTTPMessageSigner(signature_algorithm=algorithms.ED25519)._build_signature_base(
        message,
        covered_component_ids=[
            Item(name)
            for name in ("@method", "@authority", "@path", "@query", "content-digest", "tocsin-dest")
        ],
        signature_params=OrderedDict(
            created=int(NOW.timestamp()),
            keyid=KEYID,
            nonce=given_params.partition('nonce="')[2].partition('"')[0],
            alg="ed25519",
            tag="tocsin/1",
        ),
    )
    ours = signature_base(method, "beta.example", path, query, content_digest(body), B.node_id, given_params)
    assert ours.decode() == theirs


def test_the_bytes_that_are_signed_are_those_of_the_rfc():
    """Written out by hand from RFC 9421 2.5."""
    headers = signed(**POST)
    params = headers["Signature-Input"].removeprefix("tocsin=")
    base = "\n".join(
        (
            '"@method": POST',
            '"@authority": beta.example',
            '"@path": /f1/peer/join',
            '"@query": ?a=1&b=%20',
            f'"content-digest": {headers["Content-Digest"]}',
            f'"tocsin-dest": {B.node_id}',
            f'"@signature-params": {params}',
        )
    )
    from base64 import b64decode, b64encode
    from hashlib import sha256

    signature = b64decode(headers["Signature"].removeprefix("tocsin=:").removesuffix(":"))
    SigningKey(A_KEYS.http[:32]).verify_key.verify(base.encode(), signature)
    assert headers["Content-Digest"] == f"sha-256=:{b64encode(sha256(b'{}').digest()).decode()}:"
