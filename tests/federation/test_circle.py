"""Circles: who may write the next manifest, what a chain proves, who is meant by an entry. The rest is in vectors."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.federation.nodes import NOW, REPORT_ID, A, B, C, Rng, enc_private
from tests.support.manifests import Founders

from tocsin_federation.circle import circle_entry_id, read_file, restore_circle, verify_circle, write_file
from tocsin_federation.circle_rules import (
    NOT_KNOWN,
    admit_addressed,
    admit_manifests,
    ending,
    first_difference,
    next_count,
    release_into,
    why_closed,
)
from tocsin_federation.envelope import open_entry, seal
from tocsin_federation.errors import CircleRefused, EntryRefused
from tocsin_federation.frames import Frame
from tocsin_federation.keys import generate
from tocsin_federation.messages import Audience, read_header
from tocsin_federation.sharing import PeerPolicy
from tocsin_schema.marking import Tlp

NODES = (A.node_id, B.node_id, C.node_id)


def founders(threshold=2, admins=3):
    rng = Rng("admins")
    return Founders(threshold=threshold, admins=[generate(rng) for _ in range(admins)])


def policy(node_id, *, tlp=Tlp.AMBER, active=True):
    return PeerPolicy(node_id, node_id[:6], tlp, tlp, active)


def test_a_circle_goes_from_epoch_to_epoch_and_its_id_stays():
    us = founders()
    first = verify_circle(read_file(us.next(NODES, now=NOW)), now=NOW)
    second = verify_circle(read_file(us.next(NODES[:2], now=NOW)), now=NOW, held=first)
    assert (second.id, second.epoch, set(second.newest.members)) == (first.id, 1, set(NODES[:2]))
    assert second.ever() == set(NODES)
    assert restore_circle(second.chain) == second
    assert circle_entry_id(second.id).startswith("circle--")


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_whatever_is_signed_an_epoch_stands_only_with_enough_of_both(data):
    old = data.draw(st.integers(1, 4), label="old admins")
    us = founders(threshold=data.draw(st.integers(1, old), label="old threshold"), admins=old)
    us.next(NODES, now=NOW)
    rng = Rng("new")
    fresh = [generate(rng) for _ in range(data.draw(st.integers(0, 3), label="new admins"))]
    kept = us.admins[: data.draw(st.integers(0 if fresh else 1, old), label="kept admins")]
    threshold = data.draw(st.integers(1, len(kept) + len(fresh)), label="new threshold")
    manifest = us.manifest(NODES[:2], admins=kept + fresh, now=NOW, threshold=threshold)
    signers = data.draw(st.lists(st.sampled_from(us.admins + fresh + [generate(Rng("x"))]), max_size=8))
    chain = [*us.chain, us.signed(manifest, signers)]
    ours = len({k for k in signers if k in us.admins}) >= us.threshold
    theirs = len({k for k in signers if k in kept + fresh}) >= threshold
    if ours and theirs:
        assert verify_circle(chain, now=NOW).epoch == 1
    else:
        with pytest.raises(CircleRefused, match="not signed by enough"):
            verify_circle(chain, now=NOW)


def test_in_whatever_order_chains_come_the_longest_stands():
    us = founders()
    files = [us.next(NODES, now=NOW), us.next(NODES[:2], now=NOW), us.next(NODES, now=NOW)]
    held = verify_circle(read_file(files[1]), now=NOW)
    with pytest.raises(CircleRefused) as refused:
        verify_circle(read_file(files[0]), now=NOW, held=held)
    assert refused.value.code == "circle-stale"
    assert verify_circle(read_file(files[2]), now=NOW, held=held).epoch == 2


def test_a_circle_without_members_is_nobody():
    us = founders()
    us.next((), now=NOW)
    released = release_into(us.circle, Tlp.CLEAR, [policy(B.node_id), policy(C.node_id)], me=A.node_id)
    assert released.to == ()
    assert {w.code for w in released.withheld} == {"not-named"}


@pytest.mark.parametrize("tlp", list(Tlp))
@pytest.mark.parametrize("most", [t for t in Tlp if t is not Tlp.RED])
@pytest.mark.parametrize("ceiling", list(Tlp))
def test_the_strictest_of_marking_circle_and_ceiling_decides(tlp, most, ceiling):
    us = founders()
    us.next(NODES[:2], now=NOW, max_tlp=most)
    peers = [policy(B.node_id, tlp=ceiling), policy(C.node_id, tlp=Tlp.RED)]
    released = release_into(us.circle, tlp, peers, me=A.node_id)
    allowed = tlp is not Tlp.RED and tlp.rank <= min(most.rank, ceiling.rank)
    assert [p.node_id for p in released.to] == ([B.node_id] if allowed else [])
    assert len(released.to) + len(released.withheld) == 2


def test_a_member_that_is_no_peer_is_named_and_a_stopped_one_gets_nothing():
    us = founders()
    us.next(NODES, now=NOW)
    released = release_into(us.circle, Tlp.GREEN, [policy(B.node_id, active=False)], me=A.node_id)
    assert released.to == ()
    assert {w.peer.node_id: w.code for w in released.withheld} == {
        B.node_id: "peer-inactive",
        C.node_id: "no-peer",
    }


def test_nothing_is_shared_into_a_circle_that_is_not_ours_to_share_into():
    us = founders()
    us.next(NODES[:2], now=NOW)
    later = NOW + timedelta(days=91)
    said = [
        why_closed(us.circle, me=A.node_id, state=state, now=NOW)
        for state in ("adopted", "offered", "left", "frozen")
    ]
    assert said == [None, "circle-not-adopted", "circle-left", "circle-frozen"]
    assert why_closed(us.circle, me=C.node_id, state="adopted", now=NOW) == "circle-not-member"
    assert why_closed(us.circle, me=A.node_id, state="adopted", now=later) == "circle-expired"


def sealed_to(us, *, epoch, members, cseq=1):
    keys = {i.node_id: i.enc_key(NOW) for i in (B, C) if i.node_id in members}
    return seal(
        t="publish",
        by=A.node_id,
        id=REPORT_ID,
        ver=1,
        tlp=Tlp.AMBER,
        content=b"{}",
        recipients=keys,
        now=NOW,
        rng=Rng(f"entry {epoch}"),
        aud=Audience(circle=us.circle.id, epoch=epoch, cseq=cseq, cprev=None if cseq == 1 else bytes(32)),
    )


def opened(sealed, name, me):
    frame = Frame(0, sealed.leaf, sealed.wraps.get(me, bytes(1168)), sealed.ct)
    return open_entry(
        frame, expected_leaf_hash=sealed.leaf_hash, origin=A.node_id, me=me, enc_private=enc_private(name)
    )


def test_a_member_that_was_taken_out_opens_nothing_of_later_epochs():
    us = founders()
    us.next(NODES, now=NOW)
    before = sealed_to(us, epoch=0, members=us.circle.newest.members)
    us.next(NODES[:2], now=NOW)
    after = sealed_to(us, epoch=1, members=us.circle.newest.members, cseq=2)
    assert opened(before, "gamma", C.node_id).content == b"{}"
    assert opened(after, "beta", B.node_id).content == b"{}"
    with pytest.raises(EntryRefused, match="does not open"):
        opened(after, "gamma", C.node_id)
    frame = Frame(0, after.leaf, after.wraps[B.node_id], after.ct)  # another member's wrap does not help
    with pytest.raises(EntryRefused, match="does not open"):
        open_entry(
            frame,
            expected_leaf_hash=after.leaf_hash,
            origin=A.node_id,
            me=C.node_id,
            enc_private=enc_private("gamma"),
        )


def test_the_header_of_an_entry_to_a_circle_names_no_reader():
    us = founders()
    us.next(NODES, now=NOW)
    leaf = sealed_to(us, epoch=0, members=NODES).leaf
    assert B.node_id.encode() not in leaf
    assert C.node_id.encode() not in leaf


def test_an_epoch_ends_for_who_was_taken_out_at_once_and_for_all_when_two_have_followed():
    us = founders()
    us.next(NODES, now=NOW)
    header = read_header(sealed_to(us, epoch=0, members=NODES).leaf)
    own_end = ending(us.circle, header)
    assert (own_end.by, own_end.at) == (None, us.circle.newest.expires_at)
    us.next(NODES, now=NOW)
    assert ending(us.circle, header).by is None
    us.next(NODES, now=NOW)
    assert ending(us.circle, header).by == 2
    out = founders()
    out.next(NODES, now=NOW)
    header = read_header(sealed_to(out, epoch=0, members=NODES).leaf)
    out.next(NODES[1:], now=NOW)
    assert ending(out.circle, header).by == 1
    late = NOW + timedelta(hours=2)
    with pytest.raises(EntryRefused, match="had ended"):
        admit_addressed(header, out.circle, me=B.node_id, ended_at=NOW, logged_by=late)


def test_manifests_are_taken_from_active_members_about_what_the_header_says():
    us = founders()
    us.next(NODES[:2], now=NOW)

    def header(**fields):
        sealed = seal(
            t="circle",
            by=A.node_id,
            tlp=Tlp.AMBER,
            content=write_file(us.chain),
            recipients={B.node_id: B.enc_key(NOW)},
            now=NOW,
            rng=Rng("told"),
            **{"id": circle_entry_id(us.circle.id), "ver": 1} | fields,
        )
        return read_header(sealed.leaf)

    admit_manifests(header(), us.circle, policy=policy(A.node_id), me=B.node_id)
    for code, given_header, who in (
        ("inner-mismatch", header(ver=2), policy(A.node_id)),
        ("inner-mismatch", header(id=circle_entry_id(bytes(32))), policy(A.node_id)),
        ("peer-inactive", header(), policy(A.node_id, active=False)),
        ("wrong-origin", header(), policy(C.node_id)),
    ):
        with pytest.raises(EntryRefused) as refused:
            admit_manifests(given_header, us.circle, policy=who, me=B.node_id)
        assert refused.value.code == code
    hidden = founders()
    hidden.next(NODES, now=NOW, v=2, roster="hidden")
    named = header(id=circle_entry_id(hidden.circle.id))
    with pytest.raises(EntryRefused) as refused:  # it goes by hand alone, whoever sends it
        admit_manifests(named, hidden.circle, policy=policy(A.node_id), me=B.node_id)
    assert refused.value.code == "content-invalid"
    others = founders(threshold=1)
    others.next([C.node_id], now=NOW)
    strange = header(id=circle_entry_id(others.circle.id))
    with pytest.raises(EntryRefused) as refused:
        admit_manifests(strange, others.circle, policy=policy(A.node_id), me=B.node_id)
    assert refused.value.code == "not-member"


def test_two_manifests_of_one_epoch_are_known_by_the_first_that_differs():
    us = founders()
    us.next(NODES, now=NOW)
    rival = Founders(threshold=2, admins=us.admins, chain=list(us.chain))
    us.next(NODES[:2], now=NOW)
    assert first_difference(us.circle, rival.circle) is None
    rival.next(NODES[1:], now=NOW)
    assert first_difference(us.circle, rival.circle) == 1


@given(st.lists(st.booleans(), max_size=40), st.data())
def test_no_restore_makes_an_author_give_a_number_twice_or_say_what_stands_before_it_wrongly(log, data):
    """`log`: which of its entries went to the circle. It is put back to any moment, and any of what was lost comes back."""
    written: dict[int, tuple[int, bytes]] = {}  # number → (place, leaf hash) of all that it ever signed

    def leaf(place: int) -> bytes:
        return place.to_bytes(32, "big", signed=False)[::-1]

    def say(place: int, known: set[int]) -> None:
        last = max((n for n, (at, _) in written.items() if at in known), default=0)
        after = written[last][0] if last else -1
        lost = sum(at > after and at not in known for at in range(place))
        number, before = next_count(last, written[last][1] if last else None, lost)
        assert number not in written
        assert (before is None) == (number == 1)
        if before not in {None, NOT_KNOWN}:
            assert before == written[number - 1][1]
        else:
            assert number == 1 or number - 1 not in written, "else who holds that one sees another past"
        written[number] = (place, leaf(place + 1))

    for place, to_circle in enumerate(log):
        if to_circle:
            say(place, set(range(place)))
    kept = data.draw(st.integers(0, len(log)))
    back = data.draw(st.sets(st.integers(kept, max(kept, len(log) - 1))))
    known = set(range(kept)) | {place for place in back if place < len(log)}
    for place in range(len(log), len(log) + 3):
        say(place, known)
        known.add(place)
        known |= data.draw(st.sets(st.integers(0, place)))
