import json

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings
from tests.federation.nodes import NOW, REPORT_ID, A, B, C, Rng, enc_private

from tocsin_federation.envelope import Sealed, open_entry, seal, wrap_info
from tocsin_federation.errors import EntryRefused, KeyRefused, SealRefused
from tocsin_federation.frames import MAX_CT_BYTES, Frame
from tocsin_federation.keys import load_enc_public
from tocsin_federation.merkle import leaf_hash
from tocsin_federation.messages import HEADER, Header, read_header
from tocsin_federation.node_id import node_id_from_bytes
from tocsin_federation.padding import MAX_CONTENT_BYTES, padded_length
from tocsin_schema.marking import Tlp

HASH = bytes(range(32))


def sealed_to(*nodes, **changes) -> Sealed:
    fields = {
        "t": "publish", "by": A.node_id, "id": REPORT_ID, "ver": 1, "tlp": Tlp.AMBER, "content": b"{}",
        "recipients": {node.node_id: node.enc_key(NOW) for node in nodes}, "now": NOW, "rng": Rng("seal"),
    }  # fmt: skip
    return seal(**fields | changes)


def opened(sealed: Sealed, *, leaf=None, wrap=None, ct=None, expected=None, origin=A, me=B, keys="beta"):
    leaf = sealed.leaf if leaf is None else leaf
    frame = Frame(
        0, leaf, sealed.wraps[me.node_id] if wrap is None else wrap, sealed.ct if ct is None else ct
    )
    return open_entry(
        frame,
        expected_leaf_hash=sealed.leaf_hash if expected is None else expected,
        origin=origin.node_id,
        me=me.node_id,
        enc_private=enc_private(keys),
    )


def refused(*args, **changes):
    with pytest.raises(EntryRefused) as caught:
        opened(*args, **changes)
    return caught.value.code


SEALED = sealed_to(B, content=b'{"severity":"high"}')


@settings(max_examples=60)
@given(st.integers(0, 70 * 1024), st.binary(min_size=1, max_size=8))
def test_what_is_sealed_is_what_is_opened_and_its_length_hides_in_a_class(length, pattern):
    content = (pattern * (length // len(pattern) + 1))[:length]
    sealed = sealed_to(B, content=content)
    assert opened(sealed).content == content
    assert len(sealed.ct) == padded_length(length + 5) + 16


def test_each_recipient_opens_and_nobody_else():
    sealed = sealed_to(B, C)
    assert opened(sealed).content == opened(sealed, me=C, keys="gamma").content == b"{}"
    assert refused(sealed, keys="gamma") == "bad-wrap"
    assert refused(sealed, me=C, keys="beta") == "bad-wrap"


def flip(raw: bytes, bit: int) -> bytes:
    flipped = bytearray(raw)
    flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)


@given(st.data())
def test_a_flipped_bit_anywhere_is_refused(data):
    part = data.draw(st.sampled_from(["leaf", "wrap", "ct"]))
    raw = {"leaf": SEALED.leaf, "wrap": SEALED.wraps[B.node_id], "ct": SEALED.ct}[part]
    changed = flip(raw, data.draw(st.integers(0, len(raw) * 8 - 1)))
    code = refused(SEALED, **{part: changed})
    assert code == {"leaf": "hash-mismatch", "wrap": "bad-wrap", "ct": "ciphertext-mismatch"}[part]


@given(st.data())
def test_a_flipped_bit_in_a_leaf_that_its_log_confirms_is_refused_too(data):
    """The origin itself can log any leaf; it still cannot make the sealed body say it."""
    leaf = flip(SEALED.leaf, data.draw(st.integers(0, len(SEALED.leaf) * 8 - 1)))
    assert refused(SEALED, leaf=leaf, expected=leaf_hash(leaf))


HEADER_CHANGES = [
    ("t", "revoke"), ("by", C.node_id), ("id", REPORT_ID.replace("5ee", "6ee")), ("ver", 2), ("ts", 0),
    ("tlp", Tlp.CLEAR), ("tlp", Tlp.RED),
    ("aud", msgspec.json.decode(SEALED.leaf)["aud"] | {"nodes": sorted([B.node_id, C.node_id])}),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), HEADER_CHANGES, ids=lambda v: str(v)[:20])
def test_every_field_of_the_header_is_bound_to_the_key(field, value):
    header = read_header(SEALED.leaf)
    changed = msgspec.convert(msgspec.to_builtins(header) | {field: value}, Header)
    leaf = HEADER.encode(changed)
    hashed = leaf_hash(leaf)
    origin = C if field == "by" else A
    # The origin makes a new wrap of the same data key for the new leaf: only the commitment stands in its way.
    rng = Rng("seal")
    wrap = B.enc_key(NOW).wrap(rng(32), wrap_info(hashed, origin.node_id, B.node_id))
    assert refused(SEALED, leaf=leaf, expected=hashed, wrap=wrap, origin=origin) == "commitment"


def test_every_field_of_the_header_is_among_those_changed():
    optional = {
        "prev",
        "ref",
        "v",
        "enc",
    }  # v has one value, enc carries the seal, prev and ref are tried below
    assert {name for name, _ in HEADER_CHANGES} == set(Header.__struct_fields__) - optional


def test_a1_nobody_is_talked_down_to_another_suite_or_a_weaker_key():
    """A sender has one suite; a reader knows no other; and a key that is classical alone is no key."""
    sealed = sealed_to(B)
    assert json.loads(sealed.leaf)["enc"]["suite"] == 1
    for suite in (0, 2, 3):
        leaf = sealed.leaf.replace(b'"suite":1', b'"suite":%d' % suite)
        assert refused(sealed, leaf=leaf, expected=leaf_hash(leaf)) == "unsupported"
    for classical in (key.public[1184:] for key in enc_private("beta").values()):
        assert len(classical) == 32
        with pytest.raises(KeyRefused) as caught:
            load_enc_public(classical)
        assert caught.value.code == "key-malformed"


def test_prev_and_ref_are_bound_to_the_key():
    second = sealed_to(B, ver=2, prev=HASH)
    header = read_header(second.leaf)
    assert header.prev == HASH
    leaf = HEADER.encode(msgspec.structs.replace(header, prev=bytes(32)))
    assert refused(second, leaf=leaf, expected=leaf_hash(leaf)) in {"bad-wrap", "commitment"}
    ack = sealed_to(B, t="ack", ref=HASH)
    assert opened(ack).header.ref == HASH


def test_the_header_says_what_was_asked_for():
    header = read_header(sealed_to(C, B, t="revoke", ver=3, prev=HASH, tlp=Tlp.RED).leaf)
    assert (header.v, header.t, header.by, header.id, header.ver) == (1, "revoke", A.node_id, REPORT_ID, 3)
    assert header.aud.nodes == tuple(sorted([B.node_id, C.node_id]))
    assert (header.tlp, header.prev, header.ref, header.at) == (Tlp.RED, HASH, None, NOW)
    assert header.enc.suite == 1


def test_two_sealings_of_one_report_share_nothing():
    first, second = sealed_to(B, rng=Rng("one")), sealed_to(B, rng=Rng("two"))
    one, two = read_header(first.leaf).enc, read_header(second.leaf).enc
    assert first.leaf_hash != second.leaf_hash
    assert not {one.salt, one.kc, one.ct} & {two.salt, two.kc, two.ct}


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("no-recipient", {"recipients": {}}),
        ("own-recipient", {"recipients": {A.node_id: B.enc_key(NOW)}}),
        ("too-many-recipients", {"recipients": dict.fromkeys(map(str, range(257)), B.enc_key(NOW))}),
        ("content-too-large", {"content": bytes(MAX_CONTENT_BYTES + 1)}),
        ("header-invalid", {"ver": 0}),
        ("header-invalid", {"ver": 1, "prev": HASH}),
        ("header-invalid", {"id": "report--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a"}),
        ("header-invalid", {"id": REPORT_ID + "\n"}),
        ("header-invalid", {"by": "n1nobody"}),
        ("header-invalid", {"ref": HASH}),
        ("header-invalid", {"t": "ack"}),
        ("header-invalid", {"t": "share"}),
        ("header-invalid", {"prev": b"short", "ver": 2}),
        ("header-invalid", {"recipients": {"n1nobody": B.enc_key(NOW)}}),
    ],
)
def test_what_peers_would_refuse_is_not_sealed(code, changes):
    with pytest.raises(SealRefused) as caught:
        sealed_to(B, **changes)
    assert caught.value.code == code


def test_the_largest_report_fits_and_so_do_256_recipients():
    largest = sealed_to(B, content=bytes(MAX_CONTENT_BYTES))
    assert len(largest.ct) == MAX_CT_BYTES
    assert len(opened(largest).content) == MAX_CONTENT_BYTES
    many = {node_id_from_bytes(i.to_bytes(32, "big")): B.enc_key(NOW) for i in range(255)}
    crowd = sealed_to(B, recipients=many | {B.node_id: B.enc_key(NOW)})
    assert len(crowd.wraps) == 256
    assert len(crowd.leaf) <= 16 * 1024
    assert opened(crowd).content == b"{}"


def test_reports_of_1100_and_1150_bytes_look_alike():
    assert len(sealed_to(B, content=bytes(1100)).ct) == len(sealed_to(B, content=bytes(1115)).ct)


def test_sizes_are_judged_before_anything_is_hashed():
    assert refused(SEALED, leaf=bytes(16 * 1024 + 1)) == "too-large"
    assert refused(SEALED, leaf=bytes(16 * 1024)) == "hash-mismatch"
    assert refused(SEALED, ct=bytes(MAX_CT_BYTES + 1)) == "too-large"
    assert refused(SEALED, ct=bytes(MAX_CT_BYTES)) == "ciphertext-mismatch"


def test_at_most_sixteen_keys_are_tried():
    wrong = enc_private("gamma")
    right = enc_private("beta")
    keys = {f"{i}": next(iter(wrong.values())) for i in range(15)} | right
    frame = Frame(0, SEALED.leaf, SEALED.wraps[B.node_id], SEALED.ct)
    arguments = {"expected_leaf_hash": SEALED.leaf_hash, "origin": A.node_id, "me": B.node_id}
    assert open_entry(frame, enc_private=keys, **arguments).content == b'{"severity":"high"}'
    with pytest.raises(EntryRefused):
        open_entry(frame, enc_private={"more": next(iter(wrong.values()))} | keys, **arguments)


def test_contents_and_keys_do_not_show_themselves():
    assert "severity" not in repr(opened(SEALED))
    assert str(SEALED.ct[:20]) not in repr(SEALED)
