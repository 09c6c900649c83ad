"""Alerts to a program: signed, known again, as much as it may read, and never lost while nobody is there."""

import base64
import json

import pytest
from standardwebhooks.webhooks import Webhook as Reference
from tests.support.alarms import DRIVER, ORIGIN, SUMMARY, SYSTEM, TITLE, bell, incident, running
from tests.support.pager import pager

from tocsin_node.errors import SecretError
from tocsin_node.links.transport import BadMessage, ChannelDown, Retry, Sent
from tocsin_node.links.webhook import key_from, meaning, sign
from tocsin_schema.marking import Tlp


async def test_an_alert_is_taken_by_a_receiver_that_verifies(pool, tmp_path):
    async with pager() as there, bell(pool, tmp_path, None, webhook=there.settings(tmp_path)) as ringing:
        report = incident("I")
        alert_id = await ringing.store(report, ver=3)
        await ringing.all_taken(1, "webhook")
        [alert] = there.alerts
        assert {
            k: alert[k] for k in ("id", "kind", "grade", "tlp", "report_id", "ver", "title", "summary")
        } == {
            "id": alert_id,
            "kind": "raise",
            "grade": "I",
            "tlp": "green",
            "report_id": report.id,
            "ver": 3,
            "title": TITLE,
            "summary": SUMMARY,
        }
        assert f"Acknowledge: tocsin alert ack {alert_id}" in alert["text"]
        assert "!ack" not in alert["text"]
        assert alert["raised_at"].endswith("Z")
        [(headers, _)] = there.tries
        assert headers["Idempotency-Key"] == headers["webhook-id"]
        shown = await ringing.alarms.get(alert_id)
        [delivery] = shown["deliveries"]
        assert (delivery["channel"], delivery["state"]) == ("webhook", "accepted")
        assert delivery["room"].startswith("127.0.0.1 (")
        assert "hush" not in json.dumps(shown, default=str)
        assert [(c.name, c.status) for c in await ringing.alarms.health()] == [
            ("webhook", "ok"),
            ("alerts", "ok"),
            ("answers", "ok"),
        ]


async def test_what_is_repeated_old_changed_or_forged_is_refused(pool, tmp_path):
    async with pager() as there, bell(pool, tmp_path, None, webhook=there.settings(tmp_path)) as ringing:
        await ringing.store(incident())
        await ringing.all_taken(1, "webhook")
        [(headers, body)] = there.tries
        assert there.receive(headers, body) == 200
        assert (there.repeats, len(there.alerts)) == (1, 1), "a repeated request is known and counts once"
        key = key_from(there.secret.encode())
        name, at_s = headers["webhook-id"], int(headers["webhook-timestamp"])
        old = {**headers, "webhook-timestamp": str(at_s - 3600)}
        assert there.receive(old, body) == 401
        old["webhook-signature"] = sign(key, name, at_s - 3600, body)
        assert there.receive(old, body) == 401, "rightly signed, but an hour ago"
        assert there.receive({**headers, "webhook-id": "another"}, body) == 401
        assert there.receive(headers, body + b" ") == 401
        forged = sign(b"x" * 32, name, at_s, body)
        assert there.receive({**headers, "webhook-signature": forged}, body) == 401
        assert len(there.alerts) == 1


def test_the_signature_is_that_of_the_reference():
    from datetime import UTC, datetime

    secret = "whsec_" + base64.b64encode(bytes(range(32))).decode()
    at = datetime(2026, 11, 20, tzinfo=UTC)
    body = '{"title":"Übung"}'
    ours = sign(key_from(secret.encode()), "tocsin-1", int(at.timestamp()), body.encode())
    assert ours == Reference(secret).sign("tocsin-1", at, body)


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "whsec_%%%", "hush", "whsec_" + base64.b64encode(b"short").decode(), "whsec_\xff"],
)
def test_a_weak_or_broken_secret_is_none(secret):
    with pytest.raises(SecretError) as refused:
        key_from(secret.encode())
    assert len(secret) < 8 or secret not in str(refused.value)


@pytest.mark.parametrize(
    ("status", "after", "wanted"),
    [
        (200, None, Sent(None)),
        (204, None, Sent(None)),
        (302, None, "webhook-moved"),
        (400, None, "webhook-refused"),
        (401, None, "webhook-signature-refused"),
        (404, None, "webhook-refused"),
        (408, None, Retry("webhook-answered-408")),
        (410, None, "webhook-gone"),
        (413, None, BadMessage("webhook-too-long")),
        (425, None, Retry("webhook-answered-425")),
        (429, None, Retry("webhook-limited", 5.0)),
        (429, "7", Retry("webhook-limited", 7.0)),
        (429, "99999999", Retry("webhook-limited", 3600.0)),
        (429, "-1", Retry("webhook-limited", 5.0)),
        (500, "7", Retry("webhook-answered-500")),
        (503, None, Retry("webhook-answered-503")),
        (503, "2", Retry("webhook-limited", 2.0)),
        (503, "Wed, 21 Oct 2026 07:28:00 GMT", Retry("webhook-answered-503")),
    ],
)
def test_every_answer_has_a_meaning(status, after, wanted):
    found = meaning(status, after)
    if isinstance(wanted, str):
        assert isinstance(found, ChannelDown)
        assert found.code == wanted
    else:
        assert found == wanted


@pytest.mark.parametrize("ceiling", ["clear", "green", "amber"])
async def test_above_its_ceiling_it_is_told_id_and_grade(pool, tmp_path, ceiling):
    async with (
        pager() as there,
        bell(pool, tmp_path, None, webhook=there.settings(tmp_path, max_tlp=ceiling)) as ringing,
    ):
        report = incident("I", tlp=Tlp.AMBER)
        await ringing.store(report)
        await ringing.all_taken(1, "webhook")
    [(_, body)] = there.tries
    told = [s for s in (TITLE, SUMMARY, DRIVER, SYSTEM, ORIGIN) if s in body.decode()]
    assert told == ([TITLE] if ceiling == "amber" else [])
    assert report.id in body.decode()
    assert ("title" in there.alerts[0]) == (ceiling == "amber")


async def test_a_room_and_a_webhook_are_told_each_what_it_may_read(pool, tmp_path, room):
    hook = {"max_tlp": "clear"}
    async with (
        pager() as there,
        bell(pool, tmp_path, room, webhook=there.settings(tmp_path, **hook)) as ringing,
    ):
        alert_id = await ringing.store(incident("I", tlp=Tlp.GREEN))
        assert TITLE in (await room.alert())["content"]["body"]
        await ringing.all_taken(1, "webhook")
        await ringing.all_echoed(1)
        deliveries = (await ringing.alarms.get(alert_id))["deliveries"]
        assert sorted((d["channel"], d["state"]) for d in deliveries) == [
            ("matrix", "echoed"),
            ("webhook", "accepted"),
        ]
        assert [c.name for c in await ringing.alarms.health()] == [
            "matrix",
            "matrix-canary",
            "webhook",
            "alerts",
            "answers",
        ]
    assert TITLE not in there.tries[0][1].decode()
    assert (len(there.tries), len(room.alerts())) == (1, 1)


async def test_a_webhook_of_a_higher_ceiling_tells_the_room_no_more(pool, tmp_path, room):
    hook = {"max_tlp": "amber"}
    async with (
        pager() as there,
        bell(pool, tmp_path, room, room_max_tlp="green", webhook=there.settings(tmp_path, **hook)) as ringing,
    ):
        await ringing.store(incident("I", tlp=Tlp.AMBER))
        assert TITLE not in (await room.alert())["content"]["body"]
        await ringing.all_taken(1, "webhook")
        await ringing.all_echoed(1)
    assert there.alerts[0]["title"] == TITLE


async def test_a_marking_that_rose_while_it_waited_counts(pool, tmp_path):
    async with pager() as there:
        async with bell(pool, tmp_path, None, run=False, webhook=there.settings(tmp_path)) as ringing:
            await ringing.store(incident("I", tlp=Tlp.GREEN))
        lower = there.settings(tmp_path, max_tlp="clear")
        async with bell(pool, tmp_path, None, webhook=lower) as ringing:
            await ringing.all_taken(1, "webhook")
    assert TITLE not in there.tries[0][1].decode()
    assert there.alerts[0]["tlp"] == "green"


async def test_only_what_is_grave_enough_is_sent_and_what_was_told_is_taken_back(pool, tmp_path):
    async with (
        pager() as there,
        bell(pool, tmp_path, None, webhook=there.settings(tmp_path, min_grade="I")) as ringing,
    ):
        await ringing.store(incident("II"))
        grave = incident("I")
        await ringing.store(grave)
        await ringing.store(incident("IV", flags=("imminent-risk-to-life",)))
        await ringing.all_taken(2, "webhook")
        await ringing.store(incident("III", report_id=grave.id, revoked=True), ver=2, before="I")
        await ringing.all_taken(3, "webhook")
    assert sorted((a["kind"], a["grade"]) for a in there.alerts) == [
        ("raise", "I"),
        ("raise", "IV"),
        ("withdrawn", "III"),
    ]


async def test_nothing_is_lost_or_doubled_while_the_receiver_is_dead_and_the_node_restarts(pool, tmp_path):
    async with pager(start=False) as there:
        section = there.settings(tmp_path)
        async with bell(pool, tmp_path, None, webhook=section) as ringing:
            for _ in range(3):
                await ringing.store(incident())
            await ringing.check("webhook", "webhook-unreachable")
        async with bell(pool, tmp_path, None, webhook=section) as ringing:
            await ringing.store(incident())
            await ringing.check("webhook", "webhook-unreachable")
            await there.start()
            await ringing.all_taken(4, "webhook")
            await ringing.check("webhook", None)
            await there.stop()
            await ringing.store(incident())
            await ringing.check("webhook", "webhook-unreachable")
            await there.start()
            await ringing.all_taken(5, "webhook")
        async with bell(pool, tmp_path, None, webhook=section, run=False) as ringing, running(ringing):
            await ringing.check("webhook", None)
    assert sorted(a["id"] for a in there.alerts) == [1, 2, 3, 4, 5]
    assert (there.repeats, len(there.tries)) == (0, 5)


async def test_a_try_whose_answer_was_lost_is_the_same_message_again(pool, tmp_path):
    async with pager() as there, bell(pool, tmp_path, None, webhook=there.settings(tmp_path)) as ringing:
        there.forget_answer = True
        there.answers = [(500, {}), (429, {"Retry-After": "1"})]
        await ringing.store(incident())
        await ringing.all_taken(1, "webhook")
    assert len({headers["webhook-id"] for headers, _ in there.tries}) == 1
    assert len({body for _, body in there.tries}) == 1
    assert (len(there.alerts), there.repeats, len(there.tries)) == (1, 1, 4)


async def test_a_refusal_stops_the_channel_until_it_is_mended(pool, tmp_path):
    async with pager() as there, bell(pool, tmp_path, None, webhook=there.settings(tmp_path)) as ringing:
        await ringing.check("webhook", None)
        there.always = 410
        await ringing.store(incident())
        down = await ringing.check("webhook", "webhook-gone")
        assert (down.status, "[webhook]" in down.hint) == ("down", True)
        assert await ringing.states() == ["pending"]
        there.always = None
        await ringing.all_taken(1, "webhook")
        await ringing.check("webhook", None)
        assert len(there.alerts) == 1


async def test_a_redirect_is_not_followed(pool, tmp_path):
    async with pager() as elsewhere, pager() as there:
        async with bell(pool, tmp_path, None, webhook=there.settings(tmp_path)) as ringing:
            there.answers = [(307, {"Location": elsewhere.url})]
            await ringing.store(incident())
            await ringing.until(lambda: _soon(there.tries))
            await ringing.all_taken(1, "webhook")
        assert (len(there.alerts), elsewhere.tries) == (1, [])


async def _soon(found):
    return bool(found)


async def test_a_message_that_is_too_long_is_sent_in_short(pool, tmp_path):
    async with pager() as there, bell(pool, tmp_path, None, webhook=there.settings(tmp_path)) as ringing:
        there.answers = [(413, {})]
        report = incident()
        await ringing.store(report)
        await ringing.all_taken(1, "webhook")
        assert await ringing.states() == ["failed", "accepted"]
    [alert] = there.alerts
    assert (alert["report_id"], "title" in alert) == (report.id, False)


async def test_a_missing_secret_is_named_and_a_later_one_taken_up(pool, tmp_path):
    async with pager() as there:
        section = there.settings(tmp_path)
        file = tmp_path / "webhook-secret"
        file.chmod(0o644)
        async with bell(pool, tmp_path, None, webhook=section) as ringing:
            await ringing.store(incident())
            down = await ringing.check("webhook", "webhook-secret-missing")
            assert "chmod 600" in down.hint
            assert there.tries == []
            file.chmod(0o600)
            await ringing.all_taken(1, "webhook")


async def test_a_test_alert_goes_through_it_and_is_closed(pool, tmp_path):
    async with pager() as there, bell(pool, tmp_path, None, webhook=there.settings(tmp_path)) as ringing:
        alert = await ringing.alarms.test()
        await ringing.all_taken(1, "webhook")
        assert there.alerts[0]["kind"] == "test"
        assert (await ringing.alarms.get(alert["id"]))["state"] == "closed"
        assert await ringing.alarms.list(open_only=True, before=None, limit=9) == []
