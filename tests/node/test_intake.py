"""What becomes of a peer's entries: each gets one outcome, and a bad one never stops the others."""

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count

import asyncpg
import orjson
import pytest
from tests.node.conftest import QUICK
from tests.support.node import open_here, settings_on
from tests.support.reports import PUBLIC, report_by
from tests.support.villain import GRAVE, get, incident_id_of, outcomes, peer_status, post, until, villain

from tocsin_federation.envelope import wrap_info
from tocsin_federation.frames import Frame
from tocsin_federation.identity import extend
from tocsin_federation.merkle import leaf_hash
from tocsin_federation.messages import write_acknowledgement
from tocsin_node.services.arrival import heavy
from tocsin_schema.marking import MARKING_IDS, Tlp
from tocsin_schema.stix import revise, withdraw

STIX = {"Content-Type": "application/stix+json"}


COUNTED = count()


def now():
    """The time, a millisecond later at each call than it would be: versions made at once are apart."""
    return datetime.now(UTC) + timedelta(milliseconds=next(COUNTED))


async def titles(node):
    return sorted(item["name"] for item in (await get(node, "/v1/reports?limit=500"))["items"])


async def taken(node, peer):
    """(outcome, code) of every entry in the peer's log, in its order."""
    await peer.ring()
    return [(outcome, code) for _, outcome, code in await outcomes(node, len(peer.leaf_hashes), peer.name)]


def altered(raw, change):
    """A bundle's bytes after `change` was at its incident."""
    bundle = orjson.loads(raw)
    change(next(o for o in bundle["objects"] if o["type"] == "incident"))
    return orjson.dumps(bundle, option=orjson.OPT_SORT_KEYS)


def releafed(sealed, leaf):
    """The entry with another leaf, properly logged."""
    return replace(sealed, leaf=leaf, leaf_hash=leaf_hash(leaf))


# One entry each: what it is, what becomes of it ------------------------------------------------------------


def good(node, peer):
    peer.publish(node)


def not_json(node, peer):
    peer.publish(node, b"not json at all", id="incident--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a")


def not_a_bundle(node, peer):
    peer.publish(node, b"[1,2,3]", id="incident--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a")


def nothing(node, peer):
    peer.publish(node, b"", id="incident--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a")


def deeply_nested(node, peer):
    content = b"[" * 500_000 + b"]" * 500_000
    peer.publish(node, content, id="incident--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a")


def unknown_marking(node, peer):
    other = "marking-definition--00000000-0000-4000-8000-000000000000"
    raw = peer.bundle().replace(MARKING_IDS[Tlp.GREEN].encode(), other.encode())
    peer.publish(node, raw)


def no_marking(node, peer):
    peer.publish(node, altered(peer.bundle(), lambda incident: incident.pop("object_marking_refs")))


def nul_in_title(node, peer):
    peer.publish(node, altered(peer.bundle(), lambda incident: incident.update(name="a\0b")))


def header_milder_than_content(node, peer):
    peer.publish(node, peer.bundle(tlp="amber"), tlp=Tlp.GREEN)


def header_stricter_than_content(node, peer):
    peer.publish(node, peer.bundle(tlp="green"), tlp=Tlp.AMBER)


def above_ceiling(node, peer):
    peer.publish(node, peer.bundle(tlp="red"), tlp=Tlp.RED)


def amber_strict_above_amber(node, peer):
    peer.publish(node, peer.bundle(tlp="amber+strict"), tlp=Tlp.AMBER_STRICT)


def header_of_another_report(node, peer):
    peer.publish(node, peer.bundle(), id="incident--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a")


def revoke_without_revoked(node, peer):
    peer.publish(node, peer.bundle(), t="revoke")


def revoked_without_revoke(node, peer):
    peer.publish(node, withdraw(peer.bundle(), reason="No.", now=now()))


def withdrawn_from_the_start(node, peer):
    peer.publish(node, withdraw(peer.bundle(), reason="No.", now=now()), t="revoke")


def personal_data(node, peer):
    peer.publish(node, peer.bundle(personal_data="present"))


def garbage_wrap(node, peer):
    peer.append(node, peer.sealed(node, peer.bundle()), wrap=os.urandom(1168))


def short_wrap(node, peer):
    peer.append(node, peer.sealed(node, peer.bundle()), wrap=b"")


def wrap_of_another_data_key(node, peer):
    """What one would need to make one ciphertext open to two texts."""
    sealed = peer.sealed(node, peer.bundle())
    me = node.node.identity
    info = wrap_info(sealed.leaf_hash, peer.node_id, me.node_id)
    peer.append(node, sealed, wrap=me.enc_key(now()).wrap(os.urandom(32), info))


def another_ciphertext(node, peer):
    peer.append(node, peer.sealed(node, peer.bundle()), ct=peer.sealed(node, peer.bundle()).ct)


def flipped_ciphertext(node, peer):
    sealed = peer.sealed(node, peer.bundle())
    peer.append(node, sealed, ct=bytes([sealed.ct[0] ^ 1]) + sealed.ct[1:])


def another_leaf(node, peer):
    peer.append(node, peer.sealed(node, peer.bundle()), leaf=peer.sealed(node, peer.bundle()).leaf)


def spaced_header(node, peer):
    sealed = peer.sealed(node, peer.bundle())
    peer.append(node, releafed(sealed, sealed.leaf.replace(b":", b": ", 1)))


def header_is_not_json(node, peer):
    peer.append(node, releafed(peer.sealed(node, peer.bundle()), b"\xff\x00"))


def empty_header(node, peer):
    peer.append(node, releafed(peer.sealed(node, peer.bundle()), b""))


def audience_of_others(node, peer):
    sealed = peer.sealed(node, peer.bundle())
    me, other = node.node.identity.node_id.encode(), peer.node_id.replace("n1", "n1", 1).encode()
    leaf = sealed.leaf.replace(b'"by":"' + other, b'"by":"' + me).replace(me, other, 1)
    peer.append(node, releafed(sealed, leaf))


def acknowledges_what_is_not_ours(node, peer):
    incident = "incident--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a"
    said = write_acknowledgement(incident, 1, now(), revoked=False)
    peer.publish(node, said, t="ack", id=incident, ref=bytes(32))


def acknowledgement_of_something_else(node, peer):
    one, other = ("incident--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7" + end for end in "ab")
    said = write_acknowledgement(one, 1, now(), revoked=False)
    peer.publish(node, said, t="ack", id=other, ref=bytes(32))


def acknowledgement_that_is_none(node, peer):
    incident = "incident--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a"
    peer.publish(node, b"{}", t="ack", id=incident, ref=bytes(32))


STORED, REFUSED, QUARANTINED = "stored", "refused", "quarantined"
ENTRIES = {
    good: (STORED, None),
    withdrawn_from_the_start: (STORED, None),
    not_json: (QUARANTINED, "content-"),
    not_a_bundle: (QUARANTINED, "content-"),
    nothing: (QUARANTINED, "content-"),
    deeply_nested: (QUARANTINED, "content-"),
    unknown_marking: (QUARANTINED, "content-tlp-unknown"),
    no_marking: (QUARANTINED, "content-"),
    nul_in_title: (QUARANTINED, "content-"),
    header_milder_than_content: (REFUSED, "tlp-mismatch"),
    header_stricter_than_content: (REFUSED, "tlp-mismatch"),
    above_ceiling: (REFUSED, "above-ceiling"),
    amber_strict_above_amber: (REFUSED, "above-ceiling"),
    header_of_another_report: (QUARANTINED, "inner-mismatch"),
    revoke_without_revoked: (QUARANTINED, "inner-mismatch"),
    revoked_without_revoke: (QUARANTINED, "inner-mismatch"),
    personal_data: (REFUSED, "personal-data"),
    garbage_wrap: (QUARANTINED, "bad-wrap"),
    short_wrap: (QUARANTINED, "bad-wrap"),
    wrap_of_another_data_key: (QUARANTINED, "commitment"),
    another_ciphertext: (QUARANTINED, "ciphertext-mismatch"),
    flipped_ciphertext: (QUARANTINED, "ciphertext-mismatch"),
    another_leaf: (QUARANTINED, "hash-mismatch"),
    spaced_header: (QUARANTINED, "not-canonical"),
    header_is_not_json: (QUARANTINED, "not-canonical"),
    empty_header: (QUARANTINED, "not-canonical"),
    audience_of_others: (QUARANTINED, "wrong-origin"),
    acknowledges_what_is_not_ours: (REFUSED, "not-ours"),
    acknowledgement_of_something_else: (QUARANTINED, "inner-mismatch"),
    acknowledgement_that_is_none: (QUARANTINED, "content-invalid"),
}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.__name__)
async def test_an_entry_gets_its_outcome_and_the_one_after_it_is_stored(acme, mallory, entry):
    entry(acme, mallory)
    mallory.publish(acme, mallory.bundle("The one after"))
    (outcome, code), after = await taken(acme, mallory)
    expected = ENTRIES[entry]
    assert outcome == expected[0]
    assert code == expected[1] or (expected[1] == "content-" and code.startswith("content-"))
    assert after == (STORED, None)
    assert "The one after" in await titles(acme)
    status = await peer_status(acme)
    assert status["state"] == "active"
    assert status["log"]["lag"] == 0


async def test_a_batch_of_everything_is_judged_entry_by_entry(acme, mallory):
    for entry in ENTRIES:
        entry(acme, mallory)
        mallory.publish(acme)
    await mallory.ring()
    async with acme.node.pool.acquire() as conn:

        async def all_judged():
            rows = await conn.fetch("select outcome, code from remote_entry order by idx")
            return rows if len(rows) == len(mallory.leaf_hashes) else None

        rows = [tuple(row) for row in await until(all_judged, within_s=60)]
        kept = await conn.fetchval("select count(*) from quarantine")
    assert [outcome for outcome, _ in rows[::2]] == [expected for expected, _ in ENTRIES.values()]
    assert {outcome for outcome, _ in rows[1::2]} == {STORED}
    assert kept == sum(outcome == QUARANTINED for outcome, _ in rows)


async def test_what_is_quarantined_is_kept_whole(acme, mallory):
    wrap_of_another_data_key(acme, mallory)
    await taken(acme, mallory)
    (frame,) = mallory.entries
    async with acme.node.pool.acquire() as conn:
        (row,) = await conn.fetch("select code, leaf, wrap, ct from quarantine")
    assert tuple(row) == ("commitment", frame.leaf, frame.wrap, frame.ct)


async def test_what_is_refused_or_quarantined_leaves_no_report(acme, mallory):
    for entry, (outcome, _) in ENTRIES.items():
        if outcome != STORED:
            entry(acme, mallory)
    await until(lambda: judged(acme, mallory), within_s=60)
    assert await titles(acme) == []


async def judged(node, peer):
    await peer.ring()
    return (await peer_status(node, peer.name))["log"]["next_index"] == len(peer.leaf_hashes)


def test_what_is_heavy_is_opened_beside_the_event_loop_however_few_entries_it_is():
    small, large = Frame(0, b"{}", b"", bytes(1024)), Frame(0, b"{}", b"", bytes(100_000))
    assert [heavy(frames) for frames in ([small], [small] * 16, [large])] == [False, True, True]


# Versions ------------------------------------------------------------------------------------------------


async def test_versions_end_in_the_newest_in_whatever_order_they_come(acme, mallory):
    first = mallory.bundle("First words")
    second = revise(first, {"title": "Second words"}, now=now())
    third = revise(second, {"title": "Third words"}, now=now())
    for raw, ver in ((first, 1), (third, 3), (second, 2), (third, 3), (first, 1)):
        mallory.publish(acme, raw, ver=ver)
    got = await taken(acme, mallory)
    assert [outcome for outcome, _ in got] == ["stored", "stored", "superseded", "unchanged", "superseded"]
    assert await titles(acme) == ["Third words"]


async def test_a_second_text_under_one_version_is_refused(acme, mallory):
    first = mallory.bundle("First words")
    mallory.publish(acme, first)
    mallory.publish(acme, revise(first, {"title": "Other words"}, now=now()))
    assert (await taken(acme, mallory))[1] == ("refused", "version-conflict")
    assert await titles(acme) == ["First words"]


async def test_a_withdrawal_is_final(acme, mallory):
    first = mallory.bundle("Taken back")
    gone = withdraw(first, reason="No.", now=now())
    mallory.publish(acme, first)
    mallory.publish(acme, gone, ver=2, t="revoke")
    mallory.publish(acme, revise(first, {"title": "Back again"}, now=now()), ver=3)
    got = await taken(acme, mallory)
    assert got == [("stored", None), ("stored", None), ("refused", "already-withdrawn")]
    report = await get(acme, f"/v1/reports/{incident_id_of(first)}")
    assert (report["state"], report["ver"]) == ("withdrawn", 2)


async def test_nobody_takes_over_a_report_of_ours(acme, mallory):
    raw = acme.bundle("Ours")
    async with acme.client.post("/v1/reports?share=0", data=raw, headers=STIX) as answer:
        assert answer.status == 201
    mallory.publish(acme, revise(raw, {"title": "Theirs now"}, now=now()), ver=2)
    mallory.publish(acme, withdraw(raw, reason="No.", now=now()), ver=2, t="revoke")
    mallory.publish(acme, raw)
    mallory.publish(acme, mallory.bundle("In their own name", incident_id=incident_id_of(raw)), ver=2)
    assert await taken(acme, mallory) == [("refused", "foreign-creator")] * 3 + [("refused", "not-owner")]
    assert await titles(acme) == ["Ours"]


async def test_nobody_takes_over_a_report_of_another_peer(acme, mallory):
    async with villain("honest") as honest:
        await honest.join(acme)
        raw = honest.bundle("Honest words")
        honest.publish(acme, raw)
        await taken(acme, honest)
        mallory.publish(acme, revise(raw, {"title": "Stolen words"}, now=now()), ver=2)
        mallory.publish(acme, mallory.bundle("In their own name", incident_id=incident_id_of(raw)), ver=2)
        assert await taken(acme, mallory) == [("refused", "foreign-creator"), ("refused", "not-owner")]
        honest.publish(acme, revise(raw, {"title": "Better words"}, now=now()), ver=2)
        assert (await taken(acme, honest))[1] == ("stored", None)
    assert await titles(acme) == ["Better words"]


async def test_an_entry_of_another_peer_cannot_be_passed_off_as_ones_own(acme, mallory):
    async with villain("honest") as honest:
        await honest.join(acme)
        frame = honest.publish(acme, honest.bundle("Honest words"))
        mallory.entries.append(Frame(0, frame.leaf, frame.wrap, frame.ct))
        mallory.leaf_hashes.append(leaf_hash(frame.leaf))
        assert await taken(acme, mallory) == [("quarantined", "wrong-origin")]
        assert await taken(acme, honest) == [("stored", None)]


# Acknowledgements ----------------------------------------------------------------------------------------


async def test_an_acknowledgement_counts_only_from_those_who_were_told(acme, mallory):
    async with villain("honest") as honest:
        await honest.join(acme)
        raw = acme.bundle("For honest only")
        async with acme.client.post("/v1/reports?to=honest", data=raw, headers=STIX) as answer:
            leaf = bytes.fromhex((await answer.json())["entry"]["leaf_hash"])
        incident = incident_id_of(raw)
        for peer in (mallory, honest):
            said = write_acknowledgement(incident, 1, now(), revoked=False)
            peer.publish(acme, said, t="ack", id=incident, ref=leaf)
        assert await taken(acme, mallory) == [("refused", "not-ours")]
        assert await taken(acme, honest) == [("stored", None)]
        acknowledged = (await get(acme, f"/v1/reports/{incident}"))["acknowledgements"]
        assert [a["by"] for a in acknowledged] == ["honest"]


async def test_nobody_acknowledges_a_version_that_was_never_sent_to_it_nor_one_entry_for_another(
    acme, mallory
):
    """The second version is TLP:RED and stays here; the third goes out."""
    raw = acme.bundle("Ours", tlp="amber")
    incident = incident_id_of(raw)
    red = revise(raw, {"tlp": "red"}, now=now())
    leaves = []
    async with acme.client.post("/v1/reports", data=raw, headers=STIX) as answer:
        leaves.append((await answer.json())["entry"])
    for version in (red, revise(red, {"tlp": "green"}, now=now())):
        async with acme.client.put(f"/v1/reports/{incident}", data=version, headers=STIX) as answer:
            leaves.append((await answer.json())["entry"])
    first, third = (bytes.fromhex(leaf["leaf_hash"]) for leaf in leaves if leaf)
    cases = [(2, first), (2, bytes(32)), (3, first), (1, third), (4, third), (1, first), (3, third)]
    for ver, ref in cases:
        said = write_acknowledgement(incident, ver, now(), revoked=False)
        mallory.publish(acme, said, t="ack", id=incident, ver=ver, ref=ref)
    assert await taken(acme, mallory) == [("refused", "not-ours")] * 5 + [("stored", None)] * 2
    acknowledged = (await get(acme, f"/v1/reports/{incident}"))["acknowledgements"]
    assert sorted(a["ver"] for a in acknowledged) == [1, 3]


async def test_an_acknowledgement_from_the_far_future_is_dated_now(acme, mallory):
    raw = acme.bundle("Ours")
    async with acme.client.post("/v1/reports", data=raw, headers=STIX) as answer:
        leaf = bytes.fromhex((await answer.json())["entry"]["leaf_hash"])
    incident = incident_id_of(raw)
    for ms in (2**53 - 1, 0):
        content = orjson.dumps({"at": ms, "report_id": incident, "revoked": False, "v": 1, "ver": 1})
        mallory.publish(acme, content, t="ack", id=incident, ref=leaf)
    assert await taken(acme, mallory) == [("stored", None)] * 2
    (acknowledged,) = (await get(acme, f"/v1/reports/{incident}"))["acknowledgements"]
    assert acknowledged["at"] <= now().isoformat()


async def test_how_far_a_peer_is_with_a_report_is_shown_and_a_state_not_known_yet_is_kept_and_passed_over(
    acme, mallory
):
    raw = acme.bundle("Ours", **GRAVE)
    async with acme.client.post("/v1/reports", data=raw, headers=STIX) as answer:
        filed = await answer.json()
    leaf, incident = bytes.fromhex(filed["entry"]["leaf_hash"]), incident_id_of(raw)
    taken_up = write_acknowledgement(incident, 1, now(), revoked=False, state="taken")
    for content in (
        write_acknowledgement(incident, 1, now(), revoked=False, state="unanswered"),
        taken_up.replace(b'"taken"', b'"handed-over"'),
        write_acknowledgement(incident, 1, now(), revoked=False),
        taken_up,
        write_acknowledgement(incident, 1, now(), revoked=True, state="unanswered"),
        write_acknowledgement(incident, 1, now(), revoked=False, state="resolved"),
    ):
        mallory.publish(acme, content, t="ack", id=incident, ref=leaf)
    stored, aside = ("stored", None), ("quarantined", "unsupported")
    assert await taken(acme, mallory) == [stored, aside, stored, stored, stored, stored]
    shown = await get(acme, f"/v1/reports/{incident}")
    assert [a["node"] for a in shown["acknowledgements"]] == [mallory.node_id]
    standing = {a["kind"]: a["revoked_at"] is None for a in shown["progress"]}
    assert standing == {"unanswered": False, "take": True, "resolve": True}
    alert = await get(acme, f"/v1/alerts/{filed['alert']}")
    assert alert["state"] == "acknowledged", "that it is over there does not end it here"
    assert (alert["assigned"], alert["next_escalation_at"] is None) == (None, False)
    assert {a["kind"] for a in alert["history"]} == {"unanswered", "ack", "take", "resolve"}


async def test_what_a_peer_mutes_and_whom_it_calls_is_shown_and_changes_nothing_here(acme, mallory):
    raw = acme.bundle("Ours", **GRAVE)
    async with acme.client.post("/v1/reports", data=raw, headers=STIX) as answer:
        filed = await answer.json()
    leaf, incident = bytes.fromhex(filed["entry"]["leaf_hash"]), incident_id_of(raw)
    far = datetime(9999, 1, 1, tzinfo=UTC)

    def said(at, *, revoked=False, **more):
        content = write_acknowledgement(incident, 1, at, revoked=revoked, **more)
        mallory.publish(acme, content, t="ack", id=incident, ref=leaf)

    said(now(), state="escalated")
    said(far, state="muted", until=far + timedelta(days=30))
    assert await taken(acme, mallory) == [("stored", None)] * 2
    alert = await get(acme, f"/v1/alerts/{filed['alert']}")
    assert (alert["state"], alert["muted_until"], alert["next_escalation_at"] is None) == (
        "open",
        None,
        False,
    )
    report = await get(acme, f"/v1/reports/{incident}")
    for shown in (alert["history"], report["progress"]):
        called, muted = sorted(shown, key=lambda act: act["kind"])
        assert (called["kind"], muted["kind"]) == ("escalate", "mute")
        assert {called["node"], muted["node"]} == {mallory.node_id}
        span = datetime.fromisoformat(muted["until"]) - datetime.fromisoformat(muted["at"])
        assert (muted["at"] <= now().isoformat(), span) == (True, timedelta(days=30)), "dated by our clock"
    said(now(), revoked=True, state="muted")
    assert (await taken(acme, mallory))[2:] == [("stored", None)]
    report = await get(acme, f"/v1/reports/{incident}")
    standing = {a["kind"]: a["revoked_at"] is None for a in report["progress"]}
    assert standing == {"mute": False, "escalate": True}


# Alarms --------------------------------------------------------------------------------------------------


async def test_a_peer_cannot_ring_more_often_than_its_budget(database, tmp_path):
    values = {"alerts": {"peer_budget_per_day": 3}, "federation": {"backoff_max_s": 0.3, "long_poll_s": 1.0}}
    async with open_here(settings_on(tmp_path / "acme", database, values)) as acme, villain() as mallory:
        await mallory.join(acme)
        for n in range(4):
            mallory.publish(acme, mallory.bundle(f"Grave {n}", **GRAVE))
        assert await taken(acme, mallory) == [("stored", None)] * 4
        for n in range(4, 8):
            mallory.publish(acme, mallory.bundle(f"Grave {n}", **GRAVE))
        assert await taken(acme, mallory) == [("stored", None)] * 8
        assert len((await get(acme, "/v1/alerts"))["items"]) == 3
        assert len(await titles(acme)) == 8
        assert (await peer_status(acme))["problem"]["code"] == "alert-budget"


async def test_a10_a_thousand_grave_reports_ring_no_more_than_their_budget_and_are_all_kept(
    database, tmp_path
):
    values = {"alerts": {"peer_budget_per_day": 20}, "federation": {"backoff_max_s": 0.3, "long_poll_s": 1.0}}
    async with open_here(settings_on(tmp_path / "acme", database, values)) as acme, villain() as mallory:
        await mallory.join(acme)
        urgent = {**GRAVE, "flags": ["imminent-risk-to-life"]}
        for n in range(1000):
            mallory.publish(acme, mallory.bundle(f"Grave {n}", **(urgent if n % 2 else GRAVE)))
        await mallory.ring()

        async def all_taken():
            async with acme.node.pool.acquire() as conn:
                return (
                    await conn.fetchval("select count(*) from remote_entry where outcome = 'stored'") == 1000
                )

        await until(all_taken, within_s=300.0)
        async with acme.node.pool.acquire() as conn:
            assert await conn.fetchval("select count(*) from alert where report_id is not null") == 20
            assert (
                await conn.fetchval("select count(*) from report where origin = $1", mallory.node_id) == 1000
            )
        assert (await peer_status(acme))["problem"]["code"] == "alert-budget"


async def test_lesser_alerts_cannot_use_up_what_is_kept_for_lives_at_risk(database, tmp_path):
    values = {"alerts": {"peer_budget_per_day": 5}, "federation": {"backoff_max_s": 0.3, "long_poll_s": 1.0}}
    async with open_here(settings_on(tmp_path / "acme", database, values)) as acme, villain() as mallory:
        await mallory.join(acme)
        urgent = {**GRAVE, "flags": ["imminent-risk-to-life"]}
        for n in range(6):
            mallory.publish(acme, mallory.bundle(f"Lesser {n}", **GRAVE))
        mallory.publish(acme, mallory.bundle("Urgent in the batch", **urgent))
        await taken(acme, mallory)
        rung = [alert["title"] for alert in (await get(acme, "/v1/alerts"))["items"]]
        assert sorted(rung) == ["Lesser 0", "Lesser 1", "Lesser 2", "Urgent in the batch"]
        assert "only what is most urgent still rings" in (await peer_status(acme))["problem"]["hint"]
        mallory.publish(acme, mallory.bundle("Lesser again", **GRAVE))
        mallory.publish(acme, mallory.bundle("Urgent again", **urgent))
        mallory.publish(acme, mallory.bundle("One too many", **urgent))
        await taken(acme, mallory)
        rung = [alert["title"] for alert in (await get(acme, "/v1/alerts"))["items"]]
        assert rung[:-4] == ["Urgent again"]


# Damage and trouble on our side --------------------------------------------------------------------------


async def test_bytes_damaged_on_the_way_are_asked_for_again(acme, mallory):
    frame = mallory.publish(acme, mallory.bundle("Undamaged"))
    mallory.entries[0] = Frame(0, frame.leaf, frame.wrap, frame.ct[:-1] + bytes([frame.ct[-1] ^ 1]))
    asked = 0

    async def spoilt_twice(_request):
        nonlocal asked
        asked += 1
        if asked == 3:
            mallory.entries[0] = frame

    mallory.hooks["entries"] = spoilt_twice
    assert await taken(acme, mallory) == [("stored", None)]
    assert asked == 3


async def test_many_damaged_entries_cost_three_requests_together(acme, mallory):
    for _ in range(40):
        flipped_ciphertext(acme, mallory)
    mallory.publish(acme, mallory.bundle("The last one"))
    await until(lambda: judged(acme, mallory))
    assert await titles(acme) == ["The last one"]
    assert sum("entries" in path for path in mallory.asked) <= 4


async def forbid(node, condition, state):
    """Make the database refuse some reports, with an SQLSTATE."""
    async with node.node.pool.acquire() as conn:
        await conn.execute(
            f"create function forbid() returns trigger language plpgsql as $$ begin if {condition} then"
            f" raise exception 'forbidden' using errcode = '{state}'; end if; return new; end $$;"
            " create trigger forbid before insert on report for each row execute function forbid()"
        )


async def test_an_entry_that_the_database_refuses_is_set_aside_alone(acme, mallory):
    await forbid(acme, "new.name = 'Poison'", "23514")
    for title in ("One", "Two", "Poison", "Three"):
        mallory.publish(acme, mallory.bundle(title))
    got = await taken(acme, mallory)
    assert [outcome for outcome, _ in got] == ["stored", "stored", "quarantined", "stored"]
    assert await titles(acme) == ["One", "Three", "Two"]


@pytest.mark.parametrize("state", ["22003", "22P05", "54000"])
async def test_what_the_database_cannot_hold_is_set_aside_too(acme, mallory, state):
    await forbid(acme, "new.name = 'Poison'", state)
    mallory.publish(acme, mallory.bundle("Poison"))
    mallory.publish(acme, mallory.bundle("The one after"))
    assert await taken(acme, mallory) == [("quarantined", "storage-unfit"), ("stored", None)]


@pytest.mark.parametrize("state", ["58030", "53000", "XX000", "XX001", "28000", "0A000", "42501"])
async def test_a_fault_of_the_database_is_not_held_against_an_entry_and_its_alert_is_not_lost(
    acme, mallory, state
):
    async with acme.node.pool.acquire() as conn:
        await conn.execute("create sequence tries")
    await forbid(acme, "nextval('tries') < 3", state)
    mallory.publish(acme, mallory.bundle("Grave", **GRAVE))
    assert await taken(acme, mallory) == [("stored", None)]
    assert len((await get(acme, "/v1/alerts"))["items"]) == 1


@pytest.mark.parametrize("state", ["40001", "40P01", "53100", "57014", "55P03"])
async def test_a_moment_of_trouble_in_the_database_is_not_a_judgement(acme, mallory, state):
    async with acme.node.pool.acquire() as conn:
        await conn.execute("create sequence tries")
    await forbid(acme, "nextval('tries') < 4", state)
    mallory.publish(acme, mallory.bundle("Patience"))
    assert await taken(acme, mallory) == [("stored", None)]
    assert await titles(acme) == ["Patience"]


async def test_what_an_update_makes_readable_is_found_behind_all_that_nobody_reads_and_rings(
    database, tmp_path
):
    """Sixty entries of another version come first, and the database stumbles over the first attempt."""
    settings = settings_on(tmp_path / "acme", database, QUICK)
    async with villain() as peer:
        async with open_here(settings) as node:
            await peer.join(node)
            for _ in range(60):
                sealed = peer.sealed(node, peer.bundle())
                peer.append(node, releafed(sealed, sealed.leaf.replace(b'"v":1,', b'"v":9,')))
            peer.publish(node, peer.bundle("Grave", **GRAVE))
            await until(lambda: judged(node, peer))
            await forget(node, peer.entries[-1])
            async with node.node.pool.acquire() as conn:
                await conn.execute("create sequence tries")
            await forbid(node, "nextval('tries') < 2", "58030")
        async with open_here(settings) as node:

            async def rung():
                return (await get(node, "/v1/alerts"))["items"]

            (alert,) = await until(rung)
            assert alert["report_id"] == (await get(node, "/v1/reports"))["items"][0]["id"]
            counts = (await peer_status(node))["outcomes"]
            assert (counts["stored"], counts["quarantined"]) == (1, {"unsupported": 60})


async def forget(node, frame):
    """Make it as if this entry had been of a version that the node did not know when it came."""
    async with node.node.pool.transaction() as conn:
        await conn.execute("delete from followup; delete from alert")
        await conn.execute("delete from report_facet")
        await conn.execute("delete from report")
        await conn.execute(
            "update remote_entry set outcome = 'quarantined', code = 'unsupported' where idx = $1", frame.idx
        )
        await conn.execute(
            "insert into quarantine (origin, gen, idx, code, leaf, wrap, ct)"
            " select origin, gen, idx, code, $2, $3, $4 from remote_entry where idx = $1",
            *(frame.idx, frame.leaf, frame.wrap, frame.ct),
        )


async def meet(acme, mallory, bundles):
    """A peer publishes what is imported at the same time: what came of each at both doors."""
    for raw in bundles:
        mallory.publish(acme, raw)
    await mallory.ring()
    lines = b"\n".join(reversed(bundles))
    kind = {"Content-Type": "application/x-ndjson"}
    async with acme.client.post("/v1/imports?share=1", data=lines, headers=kind) as answer:
        assert answer.status == 200, await answer.text()
        ours = [item["outcome"] for item in (await answer.json())["items"]]
    await until(lambda: judged(acme, mallory))
    async with acme.node.pool.acquire() as conn:
        theirs = [row[0] for row in await conn.fetch("select outcome from remote_entry order by idx desc")]
    assert len(await titles(acme)) == 30
    return list(zip(ours, theirs, strict=True))


async def test_an_import_and_a_peers_entry_of_one_public_record_meet_without_harm(acme, mallory):
    pairs = await meet(acme, mallory, [report_by(PUBLIC, f"Both of us {n}") for n in range(30)])
    assert all(sorted(pair) == ["stored", "unchanged"] for pair in pairs)


async def test_an_import_and_the_creators_own_entry_meet_and_the_creators_stands(acme, mallory):
    pairs = await meet(acme, mallory, [mallory.bundle(f"Theirs {n}") for n in range(30)])
    assert {theirs for _, theirs in pairs} == {"stored"}
    found = (await get(acme, "/v1/reports?limit=100"))["items"]
    assert {item["origin"]["name"] for item in found} == {"mallory"}


async def test_a_node_that_stops_in_the_middle_takes_every_entry_once(database, tmp_path):
    settings = settings_on(tmp_path / "acme", database, {"federation": {"batch_entries": 7}})
    async with villain() as mallory:
        async with open_here(settings) as acme:
            await mallory.join(acme)
            for n in range(50):
                mallory.publish(acme, mallory.bundle(f"Report {n:02}"))
            await mallory.ring()
            await until(lambda: some_of(acme))
        async with open_here(settings) as acme:
            await until(lambda: judged(acme, mallory))
            assert await titles(acme) == [f"Report {n:02}" for n in range(50)]
            assert (await peer_status(acme))["outcomes"]["stored"] == 50


async def some_of(node):
    return len(await titles(node)) > 0


async def test_an_active_peer_that_is_stopped_keeps_what_it_sent(acme, mallory):
    mallory.publish(acme, mallory.bundle("Before"))
    await taken(acme, mallory)
    async with acme.client.delete("/v1/peers/mallory") as answer:
        assert answer.status == 204
    assert await titles(acme) == ["Before"]
    asked = len(mallory.asked)
    mallory.publish(acme, mallory.bundle("After"))
    await mallory.ring()
    await mallory.join(acme)
    await until(lambda: judged(acme, mallory))
    assert await titles(acme) == ["After", "Before"]
    assert len(mallory.asked) > asked


async def test_the_outcomes_survive_in_postgres_as_one_row_an_entry(acme, mallory, database):
    for _ in range(3):
        mallory.publish(acme)
    await taken(acme, mallory)
    await post(acme, "/v1/peers/mallory/sync", {})
    await taken(acme, mallory)
    conn = await asyncpg.connect(database.url)
    try:
        assert await conn.fetchval("select count(*) from remote_entry") == 3
        assert await conn.fetchval("select next_index from remote_log") == 3
    finally:
        await conn.close()


async def test_alerts_and_acknowledgements_name_a_peer_as_its_operator_does_whatever_it_calls_itself(
    acme, mallory
):
    _, statement = extend(
        mallory.chain, root_private=mallory.keys.next_root, now=now(), rng=os.urandom, org="Acme"
    )
    mallory.chain.append(statement)
    await acme.node.peering.learn_chain(mallory.node_id, list(mallory.chain))
    status = await peer_status(acme)
    assert (status["org"], status["former_orgs"]) == ("Acme", ["mallory"])
    raw = acme.bundle("Ours")
    async with acme.client.post("/v1/reports", data=raw, headers=STIX) as answer:
        leaf = bytes.fromhex((await answer.json())["entry"]["leaf_hash"])
    incident = incident_id_of(raw)
    mallory.publish(acme, mallory.bundle("Grave", **GRAVE))
    said = write_acknowledgement(incident, 1, now(), revoked=False)
    mallory.publish(acme, said, t="ack", id=incident, ref=leaf)
    assert await taken(acme, mallory) == [("stored", None)] * 2
    (alert,) = (await get(acme, "/v1/alerts"))["items"]
    (acknowledged,) = (await get(acme, f"/v1/reports/{incident}"))["acknowledgements"]
    assert [alert["origin"], acknowledged["by"]] == ["mallory (it says: Acme)"] * 2
