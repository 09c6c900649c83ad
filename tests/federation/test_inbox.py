import itertools
from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.federation.nodes import REPORT_ID, A, B, C

from tocsin_federation.inbox import Held, Outcome, decide
from tocsin_federation.messages import Audience, Encryption, Header
from tocsin_schema.ids import derive, node_identity_id
from tocsin_schema.marking import Tlp

ENC = Encryption(suite=1, salt=bytes(24), kc=bytes(32), ct=bytes(32), n=1040)
ME = Audience(nodes=(B.node_id,))


def header(ver, t="publish", by=A):
    return Header(v=1, t=t, by=by.node_id, id=REPORT_ID, ver=ver, ts=0, aud=ME, tlp=Tlp.GREEN, enc=ENC)


def content(ver):
    return sha256(f"version {ver}".encode()).digest()


PUBLIC = derive("identity", "source:aiid")
BY_A, BY_C = (node_identity_id(node.node_id) for node in (A, C))
HELD = Held(A.node_id, BY_A, 2, content(2), final=False)
WITHDRAWN = Held(A.node_id, BY_A, 2, content(2), final=True)
DISPUTED = Held(A.node_id, BY_A, 2, content(2), final=False, disputed=True)
DISPUTED_END = Held(A.node_id, BY_A, 2, content(2), final=True, disputed=True)


@pytest.mark.parametrize(
    ("held", "ver", "sha", "origin", "expected"),
    [
        (None, 1, content(1), A, (Outcome.STORED, None)),
        (None, 7, content(7), A, (Outcome.STORED, None)),
        (HELD, 2, content(2), A, (Outcome.UNCHANGED, None)),
        (HELD, 5, content(2), A, (Outcome.UNCHANGED, None)),
        (HELD, 1, content(2), C, (Outcome.UNCHANGED, None)),
        (HELD, 3, content(3), C, (Outcome.REFUSED, "not-owner")),
        (HELD, 1, content(1), A, (Outcome.SUPERSEDED, None)),
        (HELD, 2, content(3), A, (Outcome.REFUSED, "version-conflict")),
        (HELD, 3, content(3), A, (Outcome.STORED, None)),
        (
            WITHDRAWN,
            3,
            content(3),
            A,
            (Outcome.REFUSED, "already-withdrawn"),
        ),
        (WITHDRAWN, 1, content(1), A, (Outcome.SUPERSEDED, None)),
        (WITHDRAWN, 2, content(2), A, (Outcome.UNCHANGED, None)),
        # What its author disputes gives way to whatever that author says in its log of today, and to nobody else.
        (DISPUTED, 2, content(2), A, (Outcome.UNCHANGED, None)),
        (DISPUTED, 1, content(2), A, (Outcome.STORED, None)),
        (DISPUTED, 1, content(1), A, (Outcome.STORED, None)),
        (DISPUTED, 2, content(3), A, (Outcome.STORED, None)),
        (DISPUTED, 3, content(3), A, (Outcome.STORED, None)),
        (DISPUTED_END, 1, content(1), A, (Outcome.STORED, None)),
        (DISPUTED_END, 3, content(3), A, (Outcome.STORED, None)),
        (DISPUTED, 3, content(3), C, (Outcome.REFUSED, "not-owner")),
        (DISPUTED, 1, content(2), C, (Outcome.UNCHANGED, None)),
    ],
)
def test_every_case(held, ver, sha, origin, expected):
    head = header(ver, by=origin)
    assert decide(held, head, sha256=sha, origin=origin.node_id, creator=BY_A) == expected


@given(st.permutations([1, 2, 3, 4]), st.booleans())
def test_an_honest_authors_versions_end_alike_in_any_order(order, withdrawn):
    held = None
    for ver in order:
        last = withdrawn and ver == 4
        outcome, _ = decide(
            *(held, header(ver, "revoke" if last else "publish")),
            sha256=content(ver),
            origin=A.node_id,
            creator=BY_A,
        )
        if outcome is Outcome.STORED:
            held = Held(A.node_id, BY_A, ver, content(ver), final=last)
    assert held == Held(A.node_id, BY_A, 4, content(4), final=withdrawn)


def test_nobody_but_the_owner_changes_anything():
    cases = itertools.product((1, 2), (1, 2, 3), (True, False), (BY_A, PUBLIC), (BY_A, BY_C, PUBLIC))
    for held_ver, ver, final, was, now in cases:
        held = Held(A.node_id, was, held_ver, content(held_ver), final)
        got = decide(held, header(ver, by=C), sha256=content(99), origin=C.node_id, creator=now)
        assert got == (Outcome.REFUSED, "not-owner")


def test_a_report_keeps_its_creator_through_all_versions():
    for was, now in ((BY_A, PUBLIC), (PUBLIC, BY_A), (PUBLIC, BY_C)):
        held = Held(A.node_id, was, 1, content(1), final=False)
        got = decide(held, header(2), sha256=content(2), origin=A.node_id, creator=now)
        assert got == (Outcome.REFUSED, "not-owner")


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_the_creator_takes_over_any_copy_of_its_report_and_nobody_takes_it_back(copy_ver, ver, said, final):
    copy = Held(B.node_id, BY_A, copy_ver, content(copy_ver), final)
    got = decide(copy, header(ver), sha256=content(said), origin=A.node_id, creator=BY_A)
    assert got == (Outcome.STORED, None)
    taken = Held(A.node_id, BY_A, ver, content(said), final=False)
    for creator in (BY_A, BY_C):
        got = decide(taken, header(9, by=C), sha256=content(99), origin=C.node_id, creator=creator)
        assert got == (Outcome.REFUSED, "not-owner")


@given(
    st.integers(1, 4),
    st.booleans(),
    st.integers(0, 4),
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 9), st.booleans()), max_size=6),
)
def test_after_a_void_and_what_the_author_says_again_every_reader_holds_the_authors_newest(
    newest, withdrawn, read, forged
):
    """However far it had read, and whatever a thief signed under whatever count beyond the last good entry."""
    own = [(ver, content(ver), withdrawn and ver == newest) for ver in range(1, newest + 1)]
    beyond = [(ver, content(f"forged {text}"), final) for ver, text, final in forged]
    held = None
    for nth, (ver, sha, final) in enumerate([*own[:read], *beyond]):
        outcome, _ = decide(held, header(ver), sha256=sha, origin=A.node_id, creator=BY_A)
        if (
            outcome is Outcome.STORED
        ):  # at or beyond the last good entry it is disputed, once the void is known
            held = Held(A.node_id, BY_A, ver, sha, final, disputed=nth >= len(own[:read]))
    for ver, sha, final in [own[-1], own[-1]]:  # said again, twice
        outcome, code = decide(held, header(ver), sha256=sha, origin=A.node_id, creator=BY_A)
        assert outcome in {Outcome.STORED, Outcome.UNCHANGED}, code
        if outcome is Outcome.STORED:
            held = Held(A.node_id, BY_A, ver, sha, final)
        elif held.disputed:
            held = replace(held, disputed=False)
    assert (held.ver, held.sha256, held.final, held.disputed) == (*own[-1], False)
    following = decide(held, header(newest + 1), sha256=content(newest + 1), origin=A.node_id, creator=BY_A)
    assert following == ((Outcome.REFUSED, "already-withdrawn") if withdrawn else (Outcome.STORED, None))
