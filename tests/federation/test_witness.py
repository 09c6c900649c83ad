"""What a witness cosigns, what a cosignature says, and how many are enough."""

import hashlib
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.federation.nodes import A_KEYS, B_KEYS, A, B, C

from tocsin_federation.checkpoint import (
    MAX_NOTE_BYTES,
    Checkpoint,
    checkpoint_text,
    open_checkpoint,
    sign_checkpoint,
)
from tocsin_federation.cosignature import AHEAD_S, cosign, cosignatures, read_lines, with_lines
from tocsin_federation.errors import CheckpointRefused, WitnessRefused
from tocsin_federation.keys import VKEY_COSIGNATURE, decode_vkey, encode_vkey, public_of
from tocsin_federation.merkle import consistency_proof, root_of
from tocsin_federation.witness import (
    Submission,
    judge,
    open_submission,
    quorum,
    read_submission,
    write_submission,
)

LEAVES = [hashlib.sha256(bytes([n])).digest() for n in range(70)]
NOTE = sign_checkpoint(A.statement.log.origin, 5, root_of(LEAVES[:5]), A_KEYS.log)
TEXT = checkpoint_text(open_checkpoint(NOTE, A.statement.log.vkey))
NAME = decode_vkey(B.statement.wit, VKEY_COSIGNATURE).name
AT = 1_772_452_800


def line(at=AT, text=TEXT, name=NAME, key=B_KEYS.witness):
    return cosign(text, name, key, at=at)


def found(note, *vkeys, now=AT):
    return cosignatures(note, vkeys or (B.statement.wit, C.statement.wit), now=now)


def test_the_published_example_verifies():
    """The checkpoint of c2sp.org/tlog-cosignature has no key beside it; its form is read, and is nobody's we know."""
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    own = (
        "\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo"
        "+zyWE+xeMcTOAYQ8="
    )
    theirs = (
        "\u2014 witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5"
        "nNo0xUe+mbIUBkBIfZ+qnA=="
    )
    note = f"{text}\n{own}\n{theirs}\n".encode()
    assert found(note) == []
    assert read_lines(f"{theirs}\n".encode()) == [theirs]


def test_a_cosignature_says_who_and_when():
    note = with_lines(NOTE, [line()])
    (one,) = found(note)
    assert (one.vkey, one.at, one.line) == (B.statement.wit, AT, line())
    assert open_checkpoint(note, A.statement.log.vkey).size == 5
    assert f"time {AT}".encode() not in note


def test_of_one_witness_the_latest_counts_and_a_note_keeps_one_line():
    note = with_lines(with_lines(NOTE, [line(AT)]), [line(AT + 3600)])
    assert [each.at for each in found(note, now=AT + 3600)] == [AT + 3600]
    assert note.count(NAME.encode()) == 1


@pytest.mark.parametrize(
    "bad",
    [
        line(AT + AHEAD_S + 1),
        line(text=TEXT.replace("\n5\n", "\n6\n")),
        line(key=A_KEYS.witness),
        line(name="somebody.else/witness"),
        line()[:-8] + "AAAAAAA=",
    ],
    ids=["of-the-future", "of-another-head", "by-another-key", "by-another-name", "damaged"],
)
def test_what_is_no_cosignature_counts_for_nothing(bad):
    assert found(with_lines(NOTE, [bad])) == []


def test_a_logs_own_signature_is_no_cosignature_even_by_one_key():
    """One key in both roles: the texts that are signed begin differently."""
    vkey = encode_vkey(A.statement.log.origin, VKEY_COSIGNATURE, public_of(A_KEYS.log))
    assert found(NOTE, vkey) == []


def test_a_note_has_room_for_63():
    lines = [line(name=f"witness-{n}") for n in range(70)]
    note = with_lines(NOTE, lines)
    assert note.count("\u2014".encode()) == 64
    assert open_checkpoint(note, A.statement.log.vkey).size == 5


def test_a_note_never_grows_beyond_what_readers_take():
    note = with_lines(NOTE, [line(name=f"{'w' * 500}-{n}") for n in range(63)])
    assert 10_000 < len(note) <= MAX_NOTE_BYTES
    assert open_checkpoint(note, A.statement.log.vkey).size == 5


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\n",
        line().encode(),
        b"x\n",
        (line() + "\n").encode() * 64,
        b"\xff\n",
        "\u2014 a\x07 AAAAAAA=\n".encode(),
    ],
)
def test_an_answer_is_lines_and_nothing_else(body):
    with pytest.raises(CheckpointRefused) as caught:
        read_lines(body)
    assert caught.value.code == "note-malformed"


# What is cosigned ---------------------------------------------------------------------------------------


@given(st.integers(0, 70), st.integers(0, 70), st.integers(0, 70), st.booleans(), st.data())
def test_whatever_is_brought_only_what_goes_on_from_the_last_head_is_cosigned(last, old, size, forked, data):
    leaves = list(LEAVES)
    if forked and size:
        leaves[data.draw(st.integers(0, size - 1))] = bytes(32)
    proof = tuple(consistency_proof(leaves[:size], old)) if old <= size else ()
    note = sign_checkpoint(A.statement.log.origin, size, root_of(leaves[:size]), A_KEYS.log)
    submission = read_submission(write_submission(Submission(old, proof, note)))
    before = Checkpoint(A.statement.log.origin, last, root_of(LEAVES[:last])) if last else None
    consistent = leaves[:last] == LEAVES[:last] and last <= size
    checkpoint = open_submission(submission, A.statement.log.vkey)
    code = None
    try:
        judge(submission, checkpoint, before)
    except WitnessRefused as exc:
        code = exc.code
    assert (code is None) == (consistent and old == last)
    assert code in {None, "old-size", "conflict", "inconsistent"}


# How many are enough ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "f", "k"), [(4, 1, 3), (5, 1, 4), (7, 2, 5), (3, 1, 3), (2, 1, 2), (1, 1, 2), (1, 0, 1)]
)
def test_the_quorum_is_the_rule(n, f, k):
    assert quorum(n, f) == k


def test_a14_two_quora_have_an_honest_witness_in_common_with_f_liars_and_may_have_none_with_more():
    for n in range(1, 8):
        for f in range(n):
            k = quorum(n, f)
            if k > n:
                continue
            groups = [set(group) for group in combinations(range(n), k)]
            smallest = min(len(one & other) for one in groups for other in groups)
            assert smallest > f
            assert smallest <= f + 2  # no more is asked than is needed
