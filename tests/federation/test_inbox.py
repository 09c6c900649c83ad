import itertools
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.federation.nodes import REPORT_ID, A, B, C

from tocsin_federation.inbox import Held, Outcome, decide
from tocsin_federation.messages import Audience, Encryption, Header
from tocsin_schema.marking import Tlp

ENC = Encryption(suite=1, salt=bytes(24), kc=bytes(32), ct=bytes(32), n=1040)
ME = Audience(nodes=(B.node_id,))


def header(ver, t="publish", by=A):
    return Header(v=1, t=t, by=by.node_id, id=REPORT_ID, ver=ver, ts=0, aud=ME, tlp=Tlp.GREEN, enc=ENC)


def content(ver):
    return sha256(f"version {ver}".encode()).digest()


HELD = Held(A.node_id, 2, content(2), final=False)


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
            Held(A.node_id, 2, content(2), final=True),
            3,
            content(3),
            A,
            (Outcome.REFUSED, "already-withdrawn"),
        ),
        (Held(A.node_id, 2, content(2), final=True), 1, content(1), A, (Outcome.SUPERSEDED, None)),
        (Held(A.node_id, 2, content(2), final=True), 2, content(2), A, (Outcome.UNCHANGED, None)),
    ],
)
def test_every_case(held, ver, sha, origin, expected):
    assert decide(held, header(ver, by=origin), sha256=sha, origin=origin.node_id) == expected


@given(st.permutations([1, 2, 3, 4]), st.booleans())
def test_an_honest_authors_versions_end_alike_in_any_order(order, withdrawn):
    held = None
    for ver in order:
        last = withdrawn and ver == 4
        outcome, _ = decide(
            held, header(ver, "revoke" if last else "publish"), sha256=content(ver), origin=A.node_id
        )
        if outcome is Outcome.STORED:
            held = Held(A.node_id, ver, content(ver), final=last)
    assert held == Held(A.node_id, 4, content(4), final=withdrawn)


def test_nobody_but_the_owner_changes_anything():
    for held_ver, ver, final in itertools.product((1, 2), (1, 2, 3), (True, False)):
        held = Held(A.node_id, held_ver, content(held_ver), final)
        outcome, _ = decide(held, header(ver, by=C), sha256=content(99), origin=C.node_id)
        assert outcome is Outcome.REFUSED
