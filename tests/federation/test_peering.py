from datetime import timedelta

import hypothesis.strategies as st
import pytest
from hypothesis import given
from tests.federation.nodes import A_KEYS, B_KEYS, NOW, A, B, C, Rng

from tocsin_federation.errors import HandshakeRefused
from tocsin_federation.peering import (
    answer_mac,
    check_answer_mac,
    check_join_mac,
    join_mac,
    join_nonce,
    mint_invite,
    parse_invite,
    sas_words,
)
from tocsin_federation.words import WORDS

URL = "https://alpha.example"
nonces = st.binary(min_size=32, max_size=32)


def minted(ttl=timedelta(days=1), seed="invite"):
    return mint_invite(A.node_id, URL, now=NOW, ttl=ttl, rng=Rng(seed))


def code(call, *args, **changes):
    with pytest.raises(HandshakeRefused) as caught:
        call(*args, **changes)
    return caught.value.code


def test_the_whole_handshake():
    text, record = minted()
    invite = parse_invite(text, now=NOW)
    assert (invite.node_id, invite.url, invite.id) == (A.node_id, URL, record.id)
    assert invite.expires_at == record.expires_at == NOW + timedelta(days=1)
    ours = join_nonce(B_KEYS.http, invite.id)
    check_join_mac(
        join_mac(invite.mac_key, A.node_id, B.node_id, ours), record.mac_key, A.node_id, B.node_id, ours
    )
    answer = answer_mac(record.mac_key, A.node_id, B.node_id, ours, record.nonce)
    check_answer_mac(answer, invite, B.node_id, ours, record.nonce)
    at_a = sas_words(A.node_id, B.node_id, record.nonce, ours)
    at_b = sas_words(B.node_id, A.node_id, ours, record.nonce)
    assert at_a == at_b
    assert len(at_a) == 8


def test_the_inviter_keeps_nothing_that_would_write_the_invite_again():
    text, record = minted()
    invite = parse_invite(text, now=NOW)
    assert record.nonce not in (invite.commitment, invite.mac_key)
    secret = Rng("invite")(16)
    assert secret not in record.id + record.mac_key + record.nonce
    for value in (secret, record.mac_key, record.nonce):
        assert str(value) not in repr(record) + repr(invite)


@pytest.mark.parametrize("ttl", [timedelta(0), timedelta(seconds=-1), timedelta(days=7, seconds=1)])
def test_no_invite_outlives_a_week(ttl):
    assert code(minted, ttl) == "invite-ttl"


def test_an_invite_lives_for_a_week_at_most():
    text, record = minted(timedelta(days=7))
    assert parse_invite(text, now=NOW + timedelta(days=7, seconds=-1)).id == record.id
    assert code(parse_invite, text, now=NOW + timedelta(days=7)) == "invite-expired"


def test_an_invite_to_nowhere_is_not_made():
    assert (
        code(mint_invite, A.node_id, "alpha", now=NOW, ttl=timedelta(days=1), rng=Rng())
        == "handshake-malformed"
    )


@given(st.data())
def test_a_miscopied_letter_is_noticed(data):
    text, _ = minted()
    at = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from("ABCabc019-_"))
    if text[at] != letter:
        assert code(parse_invite, text[:at] + letter + text[at + 1 :], now=NOW) == "invite-malformed"


@given(st.text(st.characters(), max_size=80) | st.just("\udcff"))
def test_noise_is_no_invite(text):
    assert code(parse_invite, text, now=NOW) == "invite-malformed"
    assert code(parse_invite, "tocsin1." + text, now=NOW) == "invite-malformed"


def test_a_proof_holds_for_these_two_nodes_and_nonces_alone():
    text, record = minted()
    nonce, other = bytes(32), bytes(31) + b"\x01"
    proof = join_mac(record.mac_key, A.node_id, B.node_id, nonce)
    for joiner, used in ((C.node_id, nonce), (B.node_id, other)):
        assert code(check_join_mac, proof, record.mac_key, A.node_id, joiner, used) == "bad-proof"
    assert code(check_join_mac, proof, record.mac_key, C.node_id, B.node_id, nonce) == "bad-proof"
    assert (
        code(check_join_mac, proof, minted(seed="x")[1].mac_key, A.node_id, B.node_id, nonce) == "bad-proof"
    )
    assert (
        code(check_join_mac, proof[:31], record.mac_key, A.node_id, B.node_id, nonce) == "handshake-malformed"
    )
    assert code(check_join_mac, proof, record.mac_key, A.node_id, B.node_id, b"") == "handshake-malformed"
    invite = parse_invite(text, now=NOW)
    answer = answer_mac(record.mac_key, A.node_id, B.node_id, nonce, record.nonce)
    check_answer_mac(answer, invite, B.node_id, nonce, record.nonce)
    assert code(check_answer_mac, answer, invite, C.node_id, nonce, record.nonce) == "bad-proof"
    assert code(check_answer_mac, answer, invite, B.node_id, other, record.nonce) == "bad-proof"
    assert code(check_answer_mac, answer[1:], invite, B.node_id, nonce, record.nonce) == "handshake-malformed"


def test_a_proof_cannot_be_sent_back_as_an_answer():
    text, record = minted()
    invite = parse_invite(text, now=NOW)
    proof = join_mac(record.mac_key, A.node_id, B.node_id, bytes(32))
    assert code(check_answer_mac, proof, invite, B.node_id, bytes(32), record.nonce) == "bad-proof"


def test_a_thief_between_the_two_cannot_choose_the_words():
    """Who stole the invite answers B in A's name; he must show A's nonce, which only A knows, or be found out."""
    text, record = minted()
    invite = parse_invite(text, now=NOW)
    ours = join_nonce(B_KEYS.http, invite.id)
    for attempt in range(20):
        chosen = Rng(f"thief {attempt}")(32)
        answer = answer_mac(invite.mac_key, A.node_id, B.node_id, ours, chosen)
        assert code(check_answer_mac, answer, invite, B.node_id, ours, chosen) == "nonce-changed"
    # A thief who makes an invite of his own has another NodeID, and the words part.
    with_b = sas_words(C.node_id, B.node_id, bytes(32), ours)
    with_a = sas_words(A.node_id, C.node_id, record.nonce, bytes(32))
    assert with_a != with_b


def test_a_join_can_be_said_again_word_for_word():
    one, two = minted(seed="one")[1], minted(seed="two")[1]
    assert join_nonce(B_KEYS.http, one.id) == join_nonce(B_KEYS.http, one.id)
    assert len({join_nonce(keys.http, record.id) for keys in (A_KEYS, B_KEYS) for record in (one, two)}) == 4


@given(nonces, nonces)
def test_both_sides_read_the_same_words(first, second):
    assert sas_words(A.node_id, B.node_id, first, second) == sas_words(B.node_id, A.node_id, second, first)
    assert set(sas_words(A.node_id, B.node_id, first, second)) <= set(WORDS)
    if first != second:
        assert sas_words(A.node_id, B.node_id, first, second) != sas_words(
            A.node_id, B.node_id, second, first
        )


def test_the_words_are_apart():
    assert len(set(WORDS)) == 256
    assert len({word[:4] for word in WORDS}) == 256
    assert all(word.isascii() and word.islower() and 4 <= len(word) <= 8 for word in WORDS)
    assert min(_distance(a, b) for i, a in enumerate(WORDS) for b in WORDS[:i]) >= 3


def _distance(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        following = [i]
        for j, y in enumerate(b, 1):
            following.append(min(row[j] + 1, following[-1] + 1, row[j - 1] + (x != y)))
        row = following
    return row[-1]
