import itertools

import hypothesis.strategies as st
import pytest
from hypothesis import given
from tests.federation.nodes import NOW, REPORT_ID, A, B, C

from tocsin_federation.errors import EntryRefused
from tocsin_federation.messages import (
    Audience,
    Encryption,
    Header,
    read_acknowledgement,
    write_acknowledgement,
)
from tocsin_federation.sharing import PeerPolicy, admit, admit_acknowledgement, release
from tocsin_schema.marking import Tlp

ENC = Encryption(suite=1, salt=bytes(24), kc=bytes(32), ct=bytes(32), n=1040)


def policy(node=A, out=Tlp.RED, into=Tlp.RED, active=True):
    return PeerPolicy(node.node_id, node.statement.org.name, out, into, active)


def header(**changes):
    fields = {
        "v": 1, "t": "publish", "by": A.node_id, "id": REPORT_ID, "ver": 1, "ts": 0,
        "aud": Audience(nodes=(B.node_id,)), "tlp": Tlp.AMBER, "enc": ENC,
    }  # fmt: skip
    return Header(**fields | changes)


def admitted(head=None, *, peer=None, me=B, **changes):
    content = {
        "content_id": REPORT_ID,
        "content_tlp": Tlp.AMBER,
        "content_revoked": False,
        "content_node": None,
    }
    content |= changes
    admit(head or header(), policy=peer or policy(), me=me.node_id, **content)


def refused(*args, **changes):
    with pytest.raises(EntryRefused) as caught:
        admitted(*args, **changes)
    return caught.value.code


@pytest.mark.parametrize(
    ("tlp", "ceiling", "active", "named"),
    list(itertools.product([*Tlp, None], Tlp, [True, False], [True, False, None])),
)
def test_release_in_every_case(tlp, ceiling, active, named):
    """`named`: True, named; False, others were named; None, nobody was."""
    peer = policy(out=ceiling, active=active)
    requested = {True: [A.node_id], False: [C.node_id], None: None}[named]
    result = release(tlp, [peer], requested=requested)
    allowed = (
        tlp is not None
        and active
        and tlp.rank <= ceiling.rank
        and (named is True or (named is None and tlp is not Tlp.RED))
    )
    assert result.to == ((peer,) if allowed else ())
    assert [w.peer for w in result.withheld] == ([] if allowed else [peer])
    for withheld in result.withheld:
        assert withheld.reason
        assert withheld.code in {"tlp-unknown", "not-named", "peer-inactive", "red-unnamed", "above-ceiling"}


@given(st.lists(st.sampled_from([A, B, C]), unique=True), st.sampled_from(Tlp))
def test_every_peer_is_accounted_for_in_order(nodes, tlp):
    peers = [policy(node, out=Tlp.GREEN) for node in nodes]
    result = release(tlp, peers, requested=None)
    assert sorted([*result.to, *(w.peer for w in result.withheld)], key=peers.index) == peers
    assert list(result.to) == [p for p in peers if p in result.to]


def test_no_marking_goes_to_nobody_even_when_named():
    result = release(None, [policy()], requested=[A.node_id])
    assert result.to == ()
    assert result.withheld[0].code == "tlp-unknown"


def test_what_should_come_in_comes_in():
    admitted()
    admitted(header(t="revoke", ver=2), content_revoked=True)


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("wrong-origin", {"peer": policy(C)}),
        ("not-addressed", {"me": C}),
        ("header-invalid", {"head": header(t="ack", ref=bytes(32))}),
        ("inner-mismatch", {"content_id": REPORT_ID.replace("5ee", "6ee")}),
        ("inner-mismatch", {"content_revoked": True}),
        ("inner-mismatch", {"head": header(t="revoke", ver=2)}),
        ("tlp-unknown", {"content_tlp": None}),
        ("tlp-mismatch", {"content_tlp": Tlp.RED}),
        ("tlp-mismatch", {"content_tlp": Tlp.CLEAR}),
        ("foreign-creator", {"content_node": B.node_id}),
        ("foreign-creator", {"content_node": C.node_id}),
        ("peer-inactive", {"peer": policy(active=False)}),
        ("above-ceiling", {"peer": policy(into=Tlp.GREEN)}),
    ],
    ids=str,
)
def test_receipt_judges_again(code, changes):
    changes = dict(changes)
    assert refused(changes.pop("head", None), **changes) == code


def test_what_a_node_created_comes_from_it_and_what_no_node_created_from_any():
    for creator in (A.node_id, None):
        admitted(content_node=creator)


@given(st.sampled_from(Tlp), st.sampled_from(Tlp))
def test_nothing_above_the_ceiling_comes_in(tlp, ceiling):
    peer, head = policy(into=ceiling), header(tlp=tlp)
    if tlp.rank <= ceiling.rank:
        admitted(head, peer=peer, content_tlp=tlp)
    else:
        assert refused(head, peer=peer, content_tlp=tlp) == "above-ceiling"


def test_an_acknowledgement_comes_in_whatever_the_ceiling():
    head = header(t="ack", ref=bytes(32), ver=2, tlp=Tlp.RED)
    acknowledgement = read_acknowledgement(write_acknowledgement(REPORT_ID, 2, NOW, revoked=False))
    admit_acknowledgement(head, acknowledgement, policy=policy(into=Tlp.CLEAR), me=B.node_id)
    other = read_acknowledgement(write_acknowledgement(REPORT_ID, 3, NOW, revoked=False))
    for code, given_head, given_ack, peer, me in (
        ("inner-mismatch", head, other, policy(), B),
        ("peer-inactive", head, acknowledgement, policy(active=False), B),
        ("header-invalid", header(ver=2), acknowledgement, policy(), B),
        ("wrong-origin", head, acknowledgement, policy(C), B),
        ("not-addressed", head, acknowledgement, policy(), C),
    ):
        with pytest.raises(EntryRefused) as caught:
            admit_acknowledgement(given_head, given_ack, policy=peer, me=me.node_id)
        assert caught.value.code == code


def test_a_rule_and_a_fault_are_told_apart():
    assert EntryRefused("above-ceiling").by_policy
    assert not EntryRefused("commitment").by_policy
