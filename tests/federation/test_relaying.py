"""What is handed on by co-recipients, by the rules alone."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.federation.nodes import NOW, A, B, C, enc_private
from tests.federation.test_envelope import opened, refused, sealed_to
from tests.support.manifests import Founders

from tocsin_federation.checkpoint import Checkpoint
from tocsin_federation.envelope import open_returned, wrap_info
from tocsin_federation.errors import EntryRefused, LogBroken
from tocsin_federation.following import MAX_GROWTH
from tocsin_federation.frames import Frame
from tocsin_federation.merkle import Frontier, leaf_hash
from tocsin_federation.messages import Audience, read_header
from tocsin_federation.relaying import LAID_TO_THE_GIVER, MENDABLE, hand_on, may_hand_on, offered
from tocsin_federation.sharing import PeerPolicy
from tocsin_schema.marking import Tlp

LEAVES = [leaf_hash(bytes([n])) for n in range(9)]


def caller(node=C, *, out=Tlp.RED, active=True) -> PeerPolicy:
    return PeerPolicy(node.node_id, "gamma", out, Tlp.RED, active)


def header(*nodes, **changes):
    return read_header(sealed_to(*nodes, **changes).leaf)


@settings(max_examples=40)
@given(st.binary(max_size=4096))
def test_a_co_recipient_makes_the_entry_whole_again_to_the_byte(content):
    """Birch kept content and key, no ciphertext; gamma opens what it is given as if the author had served it."""
    sealed = sealed_to(B, C, content=content)
    held = opened(sealed)
    handed = hand_on(held.header, sealed.leaf, held.content, held.data_key, C.node_id, C.enc_key(NOW))
    assert (handed.leaf, handed.ct) == (sealed.leaf, sealed.ct)
    assert opened(sealed, wrap=handed.wrap, ct=handed.ct, me=C, keys="gamma").content == content


def test_a_wrap_made_for_one_opens_for_nobody_else_and_at_no_other_place():
    sealed, other = sealed_to(B, C), sealed_to(B, C, ver=2)
    held = opened(sealed)
    wrap = hand_on(held.header, sealed.leaf, held.content, held.data_key, C.node_id, C.enc_key(NOW)).wrap
    assert refused(sealed, wrap=wrap) == "bad-wrap"
    assert refused(other, wrap=wrap, me=C, keys="gamma") == "bad-wrap"


def test_what_the_entry_was_not_sealed_from_cannot_be_handed_on():
    sealed = sealed_to(B, C, content=b"true")
    held = opened(sealed)
    for content, key in ((b"false", held.data_key), (b"true", bytes(32))):
        with pytest.raises(EntryRefused):
            hand_on(held.header, sealed.leaf, content, key, C.node_id, C.enc_key(NOW))


def returned(sealed, *, leaf=None, wrap=None, ct=None, me=A, keys="alpha"):
    """What the author makes of an entry of its own that beta gives back."""
    held = opened(sealed)
    handed = hand_on(held.header, sealed.leaf, held.content, held.data_key, A.node_id, A.enc_key(NOW))
    frame = Frame(
        0,
        handed.leaf if leaf is None else leaf,
        handed.wrap if wrap is None else wrap,
        handed.ct if ct is None else ct,
    )
    return open_returned(
        frame, expected_leaf_hash=sealed.leaf_hash, me=me.node_id, enc_private=enc_private(keys)
    )


def test_the_author_opens_what_it_gets_back():
    sealed = sealed_to(B, content=b"what was lost")
    assert returned(sealed).content == b"what was lost"


def test_nobody_can_give_an_author_back_what_it_did_not_write():
    sealed, other = sealed_to(B, content=b"true"), sealed_to(B, content=b"false", ver=2)
    lies = {
        "hash-mismatch": {"leaf": other.leaf},
        "ciphertext-mismatch": {"ct": other.ct},
        "bad-wrap": {"wrap": sealed.wraps[B.node_id]},
        "commitment": {
            "wrap": A.enc_key(NOW).wrap(bytes(32), wrap_info(sealed.leaf_hash, A.node_id, A.node_id))
        },
        "wrong-origin": {"me": C, "keys": "gamma"},
        "too-large": {"leaf": bytes(20_000)},
    }
    for code, lie in lies.items():
        with pytest.raises(EntryRefused) as caught:
            returned(sealed, **lie)
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("may", "made", "to"),
    [
        (True, header(B, C), caller()),
        (False, header(B), caller()),
        (False, header(B, C), caller(active=False)),
        (True, header(B, C, tlp=Tlp.AMBER_STRICT), caller()),
        (False, header(B, C, tlp=Tlp.AMBER_STRICT), caller(out=Tlp.AMBER)),
        (False, header(B, C, tlp=Tlp.RED), caller()),
        (True, header(B, tlp=Tlp.RED), caller(A, out=Tlp.CLEAR)),
        (False, header(B, tlp=Tlp.RED), caller(A, active=False)),
        (True, header(B, C, t="remark", ref=bytes(32)), caller()),
        (False, header(B, C, t="ack", ref=bytes(32)), caller()),
    ],
)
def test_only_those_that_the_author_named_get_anything_and_red_nobody_but_the_author(may, made, to):
    assert may_hand_on(made, to) is may


CIRCLE = Founders()
CIRCLE.next([A.node_id, B.node_id, C.node_id])
CIRCLE.next([A.node_id, B.node_id])
CIRCLE.next([A.node_id, C.node_id])
TODAY = CIRCLE.circle
LAST = {"circle": TODAY.id, "epoch": 0, "cseq": 1}


def to_circle(tlp=Tlp.GREEN, **aud):
    return header(B, tlp=tlp, aud=Audience(**{**LAST, **aud}))


@pytest.mark.parametrize(
    ("may", "made", "to", "circle"),
    [
        (True, to_circle(), caller(), TODAY),
        (True, to_circle(Tlp.CLEAR), caller(), TODAY),
        (False, to_circle(Tlp.AMBER), caller(), TODAY),
        (False, to_circle(Tlp.AMBER_STRICT), caller(), TODAY),
        (True, to_circle(Tlp.AMBER), caller(A), TODAY),  # its own word
        (False, to_circle(), caller(out=Tlp.CLEAR), TODAY),
        (False, to_circle(), caller(active=False), TODAY),
        (False, to_circle(), caller(), None),  # not known here, left or contradicted
        (False, to_circle(circle=bytes(32)), caller(), TODAY),
        (False, to_circle(epoch=1), caller(), TODAY),  # it was no member then
        (False, to_circle(), caller(B), TODAY),  # it is none today
        (False, to_circle(epoch=9), caller(), TODAY),
        (False, header(B, tlp=Tlp.GREEN, aud=Audience(unnamed=True)), caller(), TODAY),
        (True, header(B, C, t="share", ref=bytes(32), tlp=Tlp.AMBER), caller(), None),
        (False, header(B, t="share", ref=bytes(32), tlp=Tlp.GREEN), caller(), None),
    ],
)
def test_of_a_circle_members_then_and_now_get_what_anybody_may_have_and_shares_go_to_whom_they_name(
    may, made, to, circle
):
    assert may_hand_on(made, to, circle=circle) is may
    stricter = Tlp.RED if made.tlp is not Tlp.RED else None
    assert may_hand_on(made, to, stricter, circle) is (may and made.by == to.node_id)


def head(size: int, root: bytes | None = None) -> Checkpoint:
    return Checkpoint("alpha.example", size, _frontier(size).root() if root is None else root)


def _frontier(size: int) -> Frontier:
    frontier = Frontier()
    frontier.extend(LEAVES[:size])
    return frontier


@given(st.integers(0, 9), st.integers(0, 9))
def test_of_a_giver_only_a_longer_head_counts(held, shown):
    said = offered(held, _frontier(held).to_bytes(), head(shown))
    assert said == ("longer" if shown > held else "nothing")


def test_a_giver_cannot_have_an_author_stopped_for_a_size():
    assert offered(3, _frontier(3).to_bytes(), Checkpoint("a", 3 + MAX_GROWTH + 1, bytes(32))) == "nothing"
    assert offered(3, _frontier(3).to_bytes(), Checkpoint("a", 2, bytes(32))) == "nothing"
    with pytest.raises(LogBroken, match="two pasts") as caught:
        offered(3, _frontier(3).to_bytes(), Checkpoint("a", 3, bytes(32)))
    assert caught.value.code == "log-fork"


def test_what_speaks_of_the_content_is_never_laid_to_who_handed_it_on():
    of_the_author = {"bad-ciphertext", "padding", "content-invalid", "inner-mismatch", "wrong-origin"}
    assert not of_the_author & LAID_TO_THE_GIVER
    assert MENDABLE < LAID_TO_THE_GIVER
