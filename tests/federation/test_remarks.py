"""Who may remark on what, and that the remark that stands is the same in whatever order they come."""

from datetime import UTC, datetime
from hashlib import sha256

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given
from tests.federation.nodes import NOW, REPORT_ID, A, B, C, Rng
from tests.federation.test_sharing import header, policy

from tocsin_federation.envelope import seal
from tocsin_federation.errors import EntryRefused, SealRefused
from tocsin_federation.inbox import Outcome
from tocsin_federation.remarks import Ground, Standing, admit_remark, decide_remark, refuse_groundless
from tocsin_schema.ids import node_identity_id
from tocsin_schema.marking import Tlp
from tocsin_schema.remark import Remark

REMARK = Remark(
    id="note--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a", kind="exposure", incident_id=REPORT_ID,
    created_by_ref=node_identity_id(A.node_id), created=NOW, modified=NOW, tlp=Tlp.AMBER, revoked=False,
    said="affected", text="", count=None, first_seen=None, last_seen=None, raw=b"", sha256=bytes(32),
)  # fmt: skip
HEAD = header(t="remark", ref=bytes(32))
OURS = Ground(B.node_id, (A.node_id,), 1, Tlp.AMBER)


def remark(**changes):
    return msgspec.structs.replace(REMARK, **changes)


def refusal(call):
    try:
        call()
    except EntryRefused as exc:
        return exc.code
    return None


def test_what_should_come_in_comes_in():
    admit_remark(HEAD, REMARK, policy=policy(), me=B.node_id)
    refuse_groundless(REMARK, OURS, by=A.node_id, me=B.node_id)


@given(st.sampled_from(Tlp), st.sampled_from(Tlp))
def test_nothing_above_the_ceiling_comes_in(tlp, ceiling):
    head, said = header(t="remark", ref=bytes(32), tlp=tlp), remark(tlp=tlp)
    code = refusal(lambda: admit_remark(head, said, policy=policy(into=ceiling), me=B.node_id))
    assert code == (None if tlp.rank <= ceiling.rank else "above-ceiling")


@given(st.sampled_from([A, B, C]))
def test_nobody_speaks_in_anothers_name(creator):
    said = remark(created_by_ref=node_identity_id(creator.node_id))
    code = refusal(lambda: admit_remark(HEAD, said, policy=policy(), me=B.node_id))
    assert code == (None if creator is A else "foreign-creator")


@given(
    origin=st.sampled_from([A, B, C]),
    told=st.sets(st.sampled_from([A.node_id, C.node_id])),
    theirs=st.sampled_from(Tlp),
    own=st.sampled_from(Tlp),
)
def test_only_who_made_the_report_or_had_it_from_us_may_remark_and_never_more_mildly(
    origin, told, theirs, own
):
    ground = Ground(origin.node_id, tuple(told), 1, theirs)
    code = refusal(lambda: refuse_groundless(remark(tlp=own), ground, by=A.node_id, me=B.node_id))
    if origin is C or (origin is B and A.node_id not in told):
        assert code == "not-recipient"
    else:
        assert code == ("marking-looser" if own.rank < theirs.rank else None)


@pytest.mark.parametrize("ground", [None, Ground(B.node_id, (A.node_id,), 7, None)])
def test_what_is_not_held_cannot_be_remarked_on(ground):
    assert refusal(lambda: refuse_groundless(REMARK, ground, by=A.node_id, me=B.node_id)) == "unknown-report"


SAID = st.builds(
    lambda ms, salt: remark(
        modified=datetime.fromtimestamp(1_700_000_000 + ms / 1000, UTC),
        sha256=sha256(bytes([ms, salt])).digest(),
    ),
    st.integers(0, 3),
    st.integers(0, 3),
)


def standing(said):
    held = None
    for each in said:
        if decide_remark(held, each) is Outcome.STORED:
            held = Standing(each.modified, each.sha256)
    return held


@given(
    st.lists(SAID, min_size=1, max_size=6).flatmap(
        lambda said: st.tuples(st.just(said), st.permutations(said))
    )
)
def test_the_same_remarks_end_alike_in_any_order_and_said_twice(both):
    said, other = both
    latest = max((each.modified, each.sha256) for each in said)
    assert standing(said) == standing(other) == standing([*said, *other]) == Standing(*latest)


def test_the_very_same_bytes_are_unchanged_and_an_older_remark_is_superseded():
    held = Standing(NOW, b"b" * 32)
    assert decide_remark(held, remark(sha256=b"b" * 32)) is Outcome.UNCHANGED
    assert decide_remark(held, remark(sha256=b"a" * 32)) is Outcome.SUPERSEDED
    assert decide_remark(held, remark(sha256=b"c" * 32)) is Outcome.STORED


def test_a_remark_cannot_be_sealed_without_what_it_answers():
    with pytest.raises(SealRefused) as caught:
        seal(
            t="remark", by=A.node_id, id=REPORT_ID, ver=1, tlp=Tlp.GREEN, content=b"", now=NOW, rng=Rng(),
            recipients={B.node_id: B.enc_key(NOW)},
        )  # fmt: skip
    assert caught.value.code == "header-invalid"
