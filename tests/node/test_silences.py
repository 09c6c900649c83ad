"""Silences: rings that nobody wants for a while; none is lost."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.support.alarms import bell, incident, running
from tests.support.node import open_here, settings_on
from tests.support.villain import GRAVE, get, incident_id_of, outcomes, post, villain

from tocsin_node.services.silencing import Matchers, Silences, SilenceSpan, SilenceTooWide
from tocsin_node.storage import silences
from tocsin_node.storage.silences import Subject

HOUR = timedelta(hours=1)
STIX = {"Content-Type": "application/stix+json"}


async def silence(ringing, *, until_=None, by="mara", **about):
    now = datetime.now(UTC)
    return await Silences(ringing.pool, ringing.alarms).add(
        Matchers(**about), by=by, reason="known", until=until_ or now + HOUR, now=now
    )


async def test_a_silenced_alert_is_kept_listed_and_rings_when_the_silence_is_ended(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        report = incident("II")
        made = await silence(ringing, report_id=report.id)
        alert_id = await ringing.store(report)

        async def held():
            return (await ringing.alarms.get(alert_id))["silenced"]

        assert await ringing.until(held) == {k: made[k] for k in ("id", "by", "reason", "until")}
        assert (await ringing.alarms.get(alert_id))["state"] == "open"
        await ringing.store(incident(title="Something else"))
        assert "Something else" in (await room.alert())["content"]["body"]
        service = Silences(ringing.pool, ringing.alarms)
        assert (await service.get(made["id"]))["holding"] == 1
        ended = await service.expire(made["id"], by="noor")
        assert (ended["active"], ended["ended_by"], ended["holding"]) == (False, "noor", 1)
        assert report.id in (await room.alert())["content"]["body"]
        await ringing.all_echoed(2)
        assert (await ringing.alarms.get(alert_id))["silenced"] is None
    assert len(room.alerts()) == 2


async def test_a_silence_that_ends_by_itself_lets_ring_what_is_open_and_drops_what_is_not(
    pool, tmp_path, room
):
    async with bell(pool, tmp_path, room, run=False) as ringing:
        reports = [incident("II") for _ in range(2)]
        soon = datetime.now(UTC) + timedelta(seconds=3)
        for report in reports:
            await silence(ringing, report_id=report.id, until_=soon)
        taken, still = [await ringing.store(report) for report in reports]
        await ringing.alarms.act(taken, "ack", by="mara")

        async def dropped():
            return (await ringing.alarms.get(taken))["deliveries"][0]["held"] == "taken-up"

        async with running(ringing):
            seen = await room.alert()
            assert seen["content"]["org.tocsin.alert"]["alert"] == still
            assert datetime.now(UTC) >= soon
            await ringing.until(dropped)
    assert len(room.alerts()) == 1


async def test_grade_i_rings_through_a_silence_that_does_not_name_it(pool, tmp_path, room):
    async with bell(pool, tmp_path, room, run=False) as ringing:
        grave, risk, named = incident("I"), incident("III", flags=("imminent-risk-to-life",)), incident("I")
        for report in (grave, risk):
            await silence(ringing, report_id=report.id)
        await silence(ringing, report_id=named.id, max_grade="I")
        for report in (grave, risk, named):
            await ringing.store(report)
        async with running(ringing):
            await ringing.all_echoed(2)

            async def one_waits():
                async with pool.acquire() as conn:
                    return await conn.fetchval("select held from delivery where state = 'pending'")

            assert await ringing.until(one_waits) == "silence 3"
    assert {a["content"]["org.tocsin.alert"]["report"] for a in room.alerts()} == {grave.id, risk.id}


async def test_a_withdrawal_of_what_was_silenced_tells_nobody(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        report = incident("II")
        await silence(ringing, report_id=report.id)
        await ringing.store(report)
        await ringing.store(incident("II", report_id=report.id, revoked=True), ver=2, before="II")

        async def over():
            return await ringing.states() == ["superseded", "superseded"]

        await ringing.until(over)
    assert room.alerts() == []


async def test_a_silence_says_what_it_is_about_and_ends(pool, tmp_path):
    async with bell(pool, tmp_path, None, run=False) as ringing:
        with pytest.raises(SilenceTooWide):
            await silence(ringing, max_grade="I")
        for end in (datetime.now(UTC) - timedelta(seconds=1), datetime.now(UTC) + timedelta(days=31)):
            with pytest.raises(SilenceSpan):
                await silence(ringing, harm="privacy", until_=end)


@pytest.mark.parametrize(
    ("about", "holds"),
    [
        ({"origin": "n1a"}, True),
        ({"origin": "n1b"}, False),
        ({"harm": "Privacy"}, True),
        ({"harm": "property"}, False),
        ({"system": "Shuttle 3"}, True),
        ({"technique": "AML.T0051"}, True),
        ({"technique": "AML.T0099"}, False),
        ({"harm": "privacy", "system": "Shuttle 3", "origin": "n1a"}, True),
        ({"harm": "privacy", "system": "Tram"}, False),
        ({"report_id": "incident--1"}, True),
        ({"report_id": "incident--2"}, False),
        ({"harm": "privacy", "max_grade": "III"}, False),
    ],
)
async def test_all_that_a_silence_names_has_to_hold(pool, tmp_path, about, holds):
    subject = Subject("incident--1", "n1a", ["harm:privacy", "product:shuttle 3", "technique:aml.t0051"], 2)
    async with bell(pool, tmp_path, None, run=False) as ringing:
        await silence(ringing, **about)
        async with pool.acquire() as conn:
            assert (await silences.matching(conn, subject) is not None) == holds


async def test_the_api_takes_peers_by_name_and_tells_who_ended_what(database, tmp_path):
    async with open_here(settings_on(tmp_path / "acme", database, {})) as acme, villain() as mallory:
        await mallory.join(acme)
        peer = (await get(acme, "/v1/peers"))["items"][0]["name"]
        asked = {"reason": "their drill", "for_s": 3600, "origin": peer, "by": "Mara"}
        made = await post(acme, "/v1/silences", asked)
        assert (made["origin"], made["by"], made["max_grade"], made["active"]) == (peer, "Mara", "II", True)
        assert (await get(acme, "/v1/silences"))["items"] == [made]
        ended = await post(acme, f"/v1/silences/{made['id']}/expire", {"by": "Noor"})
        assert (ended["active"], ended["ended_by"]) == (False, "Noor")
        assert (await get(acme, "/v1/silences"))["items"] == []
        assert len((await get(acme, "/v1/silences?all=1"))["items"]) == 1
        for path, body, code in (
            (f"/v1/silences/{made['id']}/expire", {}, "silence-over"),
            ("/v1/silences/99/expire", {}, "silence-unknown"),
            ("/v1/silences", {"reason": "all", "for_s": 9}, "silence-too-wide"),
            ("/v1/silences", {"reason": "x", "for_s": 9, "origin": "nobody"}, "peer-unknown"),
        ):
            async with acme.client.post(path, json=body) as answer:
                assert (await answer.json())["code"] == code


async def test_the_way_of_a_report_is_told_without_ringing(database, tmp_path):
    values = {
        "mail": {"server": "127.0.0.1", "security": "none", "sender": "t@a.test", "recipients": ("o@a.test",)}
    }
    async with open_here(settings_on(tmp_path / "acme", database, values)) as acme, villain() as mallory:
        raw = mallory.bundle("Grave", **GRAVE)

        await mallory.join(acme)

        async def route():
            async with acme.client.post("/v1/alerts/route", data=raw, headers=STIX) as answer:
                return await answer.json()

        told = await route()
        [mail] = told["channels"]
        assert (told["rings"], mail["goes"], mail["channel"]) == (True, True, "mail")
        assert "Grave" in mail["text"]
        await post(acme, "/v1/silences", {"reason": "x", "for_s": 60, "origin": "us", "max_grade": "I"})
        told = await route()
        assert (told["rings"], told["channels"][0]["goes"]) == (False, False)
        assert told["channels"][0]["why"].startswith("silence 1 until ")
        mild = mallory.bundle("Mild")
        async with acme.client.post("/v1/alerts/route", data=mild, headers=STIX) as answer:
            told = await answer.json()
        assert (told["rings"], told["channels"]) == (False, [])
        assert "alerts.grades" in told["why"][0]
        assert (await get(acme, "/v1/alerts"))["items"] == []
        mallory.publish(acme, mild)
        await mallory.ring()
        await outcomes(acme, 1)
        report_id = incident_id_of(mild)
        assert (await get(acme, f"/v1/reports/{report_id}/route"))["rings"] is False
