"""Who may call about what, and that an emergency ends the same in whatever order its calls come."""

from datetime import UTC, datetime
from hashlib import sha256

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given
from tests.federation.nodes import NOW, REPORT_ID, A, B, C, Rng
from tests.federation.test_sharing import header, policy

from tocsin_federation.calls import (
    ANSWER,
    CALL,
    LAST,
    Basis,
    Call,
    CallAnswer,
    Standing,
    Step,
    admit_answer,
    admit_call,
    decide_call,
    emergency_id,
    moment,
    read_answer,
    read_call,
    refuse_baseless,
)
from tocsin_federation.envelope import seal
from tocsin_federation.errors import EntryRefused, SealRefused
from tocsin_federation.inbox import Outcome
from tocsin_federation.sharing import servable
from tocsin_schema.marking import Tlp

KEY = "6f1d3c52-7a0e-4c5b-9f43-0b8f3c1f2a77"
FIRST = Call(
    v=1, key=KEY, report_id=REPORT_ID, ver=1, seq=1, state="declared", drill=False, reason="It goes on.",
    since=1_000, at=1_000,
)  # fmt: skip
REPORTED = CallAnswer(
    v=1, emergency=emergency_id(A.node_id, KEY), report_id=REPORT_ID, ver=1, stage="stored", at=2_000, revoked=False
)  # fmt: skip
HEAD = header(t="call", ref=bytes(32))


def refusal(call):
    try:
        call()
    except EntryRefused as exc:
        return exc.code
    return None


def digest(call):
    return sha256(CALL.encode(call)).digest()


def standing_of(call):
    return Standing(call.report_id, call.drill, call.seq, digest(call), call.state == "stood-down")


def later(seq, state="updated", **changes):
    return msgspec.structs.replace(FIRST, seq=seq, state=state, at=1_000 + seq, **changes)


@given(
    reason=st.text(min_size=1, max_size=500),
    steps=st.lists(
        st.builds(
            Step,
            id=st.uuids(version=4).map(lambda each: f"course-of-action--{each}"),
            name=st.text(min_size=1, max_size=120),
            description=st.text(max_size=500),
        ),
        max_size=20,
        unique_by=lambda step: step.id,
    ),
    drill=st.booleans(),
)
def test_a_call_reads_back_as_it_was_written(reason, steps, drill):
    call = msgspec.structs.replace(FIRST, reason=reason, steps=tuple(steps), drill=drill)
    assert read_call(CALL.encode(call)) == call


@given(st.binary(max_size=200))
def test_noise_is_no_call_and_no_answer(noise):
    assert refusal(lambda: read_call(noise)) == "content-invalid"
    assert refusal(lambda: read_answer(noise)) == "content-invalid"


def test_the_largest_call_fits():
    steps = tuple(
        Step(id=f"course-of-action--{KEY[:-2]}{n:02}", name="𝄞" * 120, description="𝄞" * 500)
        for n in range(20)
    )
    call = msgspec.structs.replace(FIRST, reason="𝄞" * 500, steps=steps)
    assert read_call(CALL.encode(call)) == call


@given(st.sampled_from(Tlp), st.sampled_from(Tlp))
def test_nothing_above_the_ceiling_comes_in_and_answers_whatever_the_ceiling(tlp, ceiling):
    head = header(t="call", ref=bytes(32), tlp=tlp)
    code = refusal(lambda: admit_call(head, FIRST, policy=policy(into=ceiling), me=B.node_id))
    assert code == (None if tlp.rank <= ceiling.rank else "above-ceiling")
    head = header(t="answer", ref=bytes(32), tlp=tlp)
    admit_answer(head, REPORTED, policy=policy(into=ceiling), me=B.node_id)


@given(
    origin=st.sampled_from([A, B, C]),
    held=st.sampled_from([*Tlp, None]),
    own=st.sampled_from(Tlp),
    withdrawn=st.booleans(),
    over=st.booleans(),
)
def test_only_the_author_calls_about_a_version_that_it_gave_and_never_more_mildly(
    origin, held, own, withdrawn, over
):
    call = later(2, "stood-down") if over else FIRST
    basis = Basis(origin.node_id, held, withdrawn)
    code = refusal(lambda: refuse_baseless(call, own, basis, by=A.node_id))
    if held is None:
        assert code == "unknown-report"
    elif origin is not A:
        assert code == "not-owner"
    elif own.rank < held.rank:
        assert code == "marking-looser"
    else:
        assert code == ("already-withdrawn" if withdrawn and not over else None)
    assert refusal(lambda: refuse_baseless(call, own, None, by=A.node_id)) == "unknown-report"


HONEST = [FIRST, later(2), later(3), later(4, "stood-down")]


def taken(calls):
    """What stands after some calls, and which of them were stored."""
    standing, stored = None, []
    for call in calls:
        outcome, code = decide_call(standing, call, sha256=digest(call))
        assert code is None
        if outcome is Outcome.STORED:
            standing = standing_of(call)
            stored.append(call)
    return standing, stored


@given(st.lists(st.sampled_from(HONEST), min_size=1, max_size=8))
def test_an_honest_authors_calls_end_alike_in_any_order_and_however_often_they_come(order):
    """Whatever is lost, repeated or late: the highest count stands, and no call is stored twice."""
    standing, stored = taken(order)
    assert standing == standing_of(max(order, key=lambda call: call.seq))
    assert [call.seq for call in stored] == sorted({call.seq for call in stored})


@given(st.lists(st.sampled_from(HONEST), max_size=6))
def test_nothing_undoes_a_stand_down(replayed):
    standing, _ = taken([HONEST[-1], *replayed])
    assert standing.final
    revived = later(9)
    assert decide_call(standing, revived, sha256=digest(revived)) == (Outcome.REFUSED, "already-stood-down")


@given(st.sampled_from(HONEST), st.integers(2, 9))
def test_earnest_is_never_made_of_a_drill_nor_a_drill_of_earnest(held, seq):
    for drill in (True, False):
        before = standing_of(msgspec.structs.replace(held, drill=drill))
        call = later(seq, drill=not drill)
        assert decide_call(before, call, sha256=digest(call)) == (Outcome.REFUSED, "call-changed")


def test_one_count_has_one_content():
    held = standing_of(later(2))
    other = later(2, reason="All is well.")
    assert decide_call(held, other, sha256=digest(other)) == (Outcome.REFUSED, "version-conflict")


def test_the_name_of_an_emergency_is_its_authors_alone():
    names = {emergency_id(node.node_id, KEY) for node in (A, B, C)}
    assert len(names) == 3
    assert emergency_id(A.node_id, KEY) == emergency_id(A.node_id, KEY)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"by": C.node_id}, "wrong-origin"),
        ({"t": "ack"}, "header-invalid"),
        ({"ver": 2}, "inner-mismatch"),
        ({"id": REPORT_ID.replace("5ee", "6ee")}, "inner-mismatch"),
    ],
)
def test_an_answer_is_held_against_its_header(changes, code):
    head = header(**{"t": "answer", "ref": bytes(32)} | changes)
    assert refusal(lambda: admit_answer(head, REPORTED, policy=policy(), me=B.node_id)) == code


def test_an_answer_has_a_word_where_it_answers_and_nowhere_else():
    said = CallAnswer(**{**msgspec.structs.asdict(REPORTED), "stage": "answered", "said": "affected"})
    assert read_answer(ANSWER.encode(said)) == said
    raw = ANSWER.encode(said)
    for bad in (raw.replace(b'"said":"affected",', b""), raw.replace(b'"answered"', b'"stored"')):
        assert refusal(lambda bad=bad: read_answer(bad)) == "content-invalid"


@pytest.mark.parametrize("t", ["call", "answer"])
def test_neither_can_be_sealed_without_what_it_speaks_of(t):
    with pytest.raises(SealRefused) as caught:
        seal(
            t=t, by=A.node_id, id=REPORT_ID, ver=1, tlp=Tlp.GREEN, content=b"", now=NOW, rng=Rng(),
            recipients={B.node_id: B.enc_key(NOW)},
        )  # fmt: skip
    assert caught.value.code == "header-invalid"


@given(st.sampled_from(Tlp), st.sampled_from(Tlp))
def test_a_call_is_served_up_to_the_ceiling_of_the_moment_and_an_answer_always(tlp, ceiling):
    for t, always in (("call", False), ("answer", True)):
        leaf = seal(
            t=t, by=A.node_id, id=REPORT_ID, ver=1, tlp=tlp, content=b"", now=NOW, rng=Rng(), ref=bytes(32),
            recipients={B.node_id: B.enc_key(NOW)},
        ).leaf  # fmt: skip
        assert servable(leaf, policy(node=B, out=ceiling)) == (always or tlp.rank <= ceiling.rank)


def test_a_moment_beyond_the_calendar_is_the_last_there_is():
    assert moment(2**53 - 1) == moment(253_402_300_799_999) == LAST < datetime.max.replace(tzinfo=UTC)
