"""Evidence of a fork convinces a stranger, and nothing else does."""

import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.federation.nodes import A_KEYS, A, B

from tocsin_federation.checkpoint import Checkpoint, sign_checkpoint
from tocsin_federation.errors import FederationError
from tocsin_federation.evidence import Evidence, read_evidence, verify_evidence, write_evidence
from tocsin_federation.following import past_of
from tocsin_federation.merkle import Frontier, past_proof, root_of, roots_of_past

LEAVES = [hashlib.sha256(bytes([n])).digest() for n in range(60)]
ELSE = [hashlib.sha256(b"else" + bytes([n])).digest() for n in range(60)]


def note(leaves) -> bytes:
    return sign_checkpoint(A.statement.log.origin, len(leaves), root_of(leaves), A_KEYS.log)


def evidence(held, offered, path=()) -> Evidence:
    return Evidence(v=1, kind="fork", chain=tuple(A.chain), held=held, offered=offered, path=tuple(path))


def refusal(told: Evidence | bytes, **expected) -> str:
    with pytest.raises(FederationError) as caught:
        verify_evidence(told if isinstance(told, Evidence) else read_evidence(told), **expected)
    return caught.value.code


@given(st.integers(1, 59), st.data())
def test_another_past_convicts_and_the_same_past_does_not(size, data):
    """For all sizes: the log that replaced its first leaf, beside the one that only grew."""
    whole = data.draw(st.integers(size + 1, 60))
    changed = data.draw(st.integers(0, size - 1))
    forked = [*LEAVES[:changed], ELSE[changed], *LEAVES[changed + 1 : whole]]
    told = evidence(note(LEAVES[:size]), note(forked), past_proof(forked, size))
    convicted = verify_evidence(read_evidence(write_evidence(told)), expected=A.node_id)
    assert (convicted.first.size, convicted.second.size) == (size, whole)
    swapped = msgspec.structs.replace(told, held=told.offered, offered=told.held)
    assert verify_evidence(swapped).first == convicted.first
    honest = evidence(note(LEAVES[:size]), note(LEAVES[:whole]), past_proof(LEAVES[:whole], size))
    assert refusal(honest) == "proof-mismatch"


@given(st.integers(1, 60))
def test_two_roots_of_one_size_convict(size):
    assert verify_evidence(evidence(note(LEAVES[:size]), note(ELSE[:size]))).first.size == size
    assert refusal(evidence(note(LEAVES[:size]), note(LEAVES[:size]))) == "proof-mismatch"


@given(st.integers(1, 59), st.data())
def test_hashes_of_ones_own_making_convict_nobody(size, data):
    whole = data.draw(st.integers(size + 1, 60))
    path = past_proof(LEAVES[:whole], size)
    at = data.draw(st.integers(0, len(path) - 1))
    path[at] = bytes(32)
    assert refusal(evidence(note(LEAVES[:size]), note(LEAVES[:whole]), path)) == "proof-mismatch"
    assert refusal(evidence(note(LEAVES[:size]), note(LEAVES[:whole]), path[:-1])) == "proof-mismatch"
    assert (
        refusal(evidence(note(LEAVES[:size]), note(LEAVES[:whole]), [*path, bytes(32)])) == "proof-mismatch"
    )
    assert refusal(evidence(note(LEAVES[:size]), note(LEAVES[:whole]))) in {
        "proof-mismatch",
        "proof-malformed",
    }


def test_an_empty_log_contradicts_nothing():
    assert refusal(evidence(note([]), note(LEAVES))) == "proof-mismatch"


def test_notes_of_others_convict_nobody():
    told = evidence(note(LEAVES[:3]), note(ELSE[:3]))
    assert refusal(told, expected=B.node_id) == "wrong-node"
    assert refusal(msgspec.structs.replace(told, chain=tuple(B.chain))) == "note-unsigned"
    spoilt = told.held[:-10] + bytes([told.held[-10] ^ 1]) + told.held[-9:]
    assert refusal(msgspec.structs.replace(told, held=spoilt)) in {"bad-signature", "note-malformed"}


@given(st.binary(max_size=300))
def test_whatever_is_no_evidence_is_refused(junk):
    assert refusal(junk) == "proof-malformed"


def test_a_past_proof_gives_both_roots_for_all_small_trees():
    for whole in range(2, 61):
        for size in range(1, whole):
            shown = roots_of_past(size, whole, past_proof(LEAVES[:whole], size))
            assert shown == (root_of(LEAVES[:size]), root_of(LEAVES[:whole]))


@given(st.integers(1, 59), st.data())
def test_a_log_that_was_only_damaged_on_the_way_shows_no_other_past(size, data):
    """What did not fit at first may fit when it is fetched anew: that convicts nobody."""
    whole = data.draw(st.integers(size + 1, 60))
    verified = Frontier()
    verified.extend(LEAVES[:size])
    head = Checkpoint("log", whole, root_of(LEAVES[:whole]))
    assert past_of(verified.to_bytes(), LEAVES[:whole], head) is None
    assert past_of(verified.to_bytes(), ELSE[:whole], head) is None
    forked = [ELSE[0], *LEAVES[1:whole]]
    assert past_of(verified.to_bytes(), forked, Checkpoint("log", whole, root_of(forked))) is not None
