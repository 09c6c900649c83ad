from datetime import timedelta

import hypothesis.strategies as st
import msgspec
import pytest
import rfc8785
from hypothesis import given
from tests.federation.nodes import NOW, REPORT_ID, A, B, C

from tocsin_federation.canonical import canon
from tocsin_federation.errors import EntryRefused
from tocsin_federation.messages import (
    FACTS,
    HEADER,
    Audience,
    Encryption,
    Header,
    facts_of,
    read_acknowledgement,
    read_header,
    write_acknowledgement,
)
from tocsin_schema.marking import Tlp

NODES = sorted([A.node_id, B.node_id, C.node_id])
hashes = st.binary(min_size=32, max_size=32)
headers = st.builds(
    Header,
    v=st.just(1),
    t=st.sampled_from(["publish", "revoke"]),
    by=st.just(NODES[0]),
    id=st.uuids(version=4).map(lambda u: f"incident--{u}"),
    ver=st.integers(2, 2**31 - 1),
    ts=st.integers(0, 2**53 - 1),
    aud=st.sampled_from([Audience(nodes=(NODES[1],)), Audience(nodes=(NODES[1], NODES[2]))]),
    tlp=st.sampled_from(Tlp),
    prev=st.none() | hashes,
    enc=st.builds(
        Encryption, suite=st.just(1), salt=st.binary(min_size=24, max_size=24), kc=hashes, ct=hashes,
        n=st.integers(0, 2**53 - 1),
    ),
)  # fmt: skip


@given(headers)
def test_a_header_is_canonical_by_rfc_8785_and_is_read_back(header):
    leaf = HEADER.encode(header)
    assert leaf == rfc8785.dumps(msgspec.json.decode(leaf)) == canon(msgspec.json.decode(leaf))
    assert read_header(leaf) == header
    assert FACTS.encode(facts_of(header)) == rfc8785.dumps(
        {key: value for key, value in msgspec.json.decode(leaf).items() if key != "enc"}
    )


@given(headers, st.data())
def test_a_flipped_bit_gives_another_header_or_none(header, data):
    leaf = bytearray(HEADER.encode(header))
    bit = data.draw(st.integers(0, len(leaf) * 8 - 1))
    leaf[bit // 8] ^= 1 << bit % 8
    try:
        other = read_header(bytes(leaf))
    except EntryRefused:
        return
    assert other != header
    assert HEADER.encode(other) == leaf


@given(st.binary(max_size=200))
def test_noise_is_refused_and_nothing_else(raw):
    with pytest.raises(EntryRefused):
        read_header(raw)
    with pytest.raises(EntryRefused):
        read_acknowledgement(raw)


@pytest.mark.parametrize("depth", [33, 10_000])
def test_deep_headers_are_refused(depth):
    with pytest.raises(EntryRefused):
        read_header(b'{"a":' * depth)


@pytest.mark.parametrize("state", ["acknowledged", "taken", "resolved", "unanswered"])
@pytest.mark.parametrize("revoked", [True, False])
def test_an_acknowledgement_is_read_back(state, revoked):
    content = write_acknowledgement(REPORT_ID, 3, NOW, revoked=revoked, state=state)
    said = read_acknowledgement(content)
    assert (said.report_id, said.ver, said.revoked, said.state) == (REPORT_ID, 3, revoked, state)
    assert said.at == int(NOW.timestamp() * 1000)
    assert said.v == (1 if state == "acknowledged" else 2), "what every node knows keeps its form"


def test_an_acknowledgement_of_a_later_version_is_told_apart():
    content = write_acknowledgement(REPORT_ID, 3, NOW + timedelta(seconds=1), revoked=False)
    for changed, code in (
        (content.replace(b'"v":1', b'"v":2'), "content-invalid"),
        (content.replace(b'"v":1', b'"v":3'), "unsupported"),
        (content.replace(b'"ver":3', b'"ver":0'), "content-invalid"),
        (content + b" ", "content-invalid"),
        (content.replace(b'"at"', b'"who":"ada","at"'), "content-invalid"),
        (b"[]", "content-invalid"),
    ):
        with pytest.raises(EntryRefused) as caught:
            read_acknowledgement(changed)
        assert caught.value.code == code
