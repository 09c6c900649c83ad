"""Who wants to be told of some alerts besides the room is told once, at the right time, and of no more than agreed."""

import asyncio
import uuid
from contextlib import asynccontextmanager
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.alarms import SUMMARY, TITLE, bell, incident, running
from tests.support.node import open_here, settings_on
from tests.support.post_office import post_office
from tests.support.villain import get, post, until

from tocsin_node.services.quiet import due_at, following, is_quiet
from tocsin_node.services.subscriptions import SubscriptionInvalid, SubscriptionUnknown, Wanted
from tocsin_node.storage import subscriptions as stored
from tocsin_schema.marking import Tlp
from tocsin_schema.stix import build

BERLIN = ZoneInfo("Europe/Berlin")
ADA, BO = "ada@example.org", "bo@example.org"
STIX = {"Content-Type": "application/stix+json"}

instants = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
clocks = st.times().map(lambda t: t.replace(second=0, microsecond=0))
zones = st.sampled_from(("Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "UTC")).map(ZoneInfo)


@given(instants, clocks, zones)
def test_a_digest_comes_within_a_day_and_never_now(now, clock, zone):
    at = following(now, clock, zone)
    assert now < at <= now + timedelta(hours=25)


@given(instants, clocks, clocks, zones)
def test_what_comes_in_the_quiet_comes_when_it_ends(now, begin, end, zone):
    at = due_at(now, zone, digest_at=None, quiet=(begin, end), breaks=False)
    if is_quiet(now, zone, begin, end):
        assert at == following(now, end, zone)
        assert not is_quiet(at, zone, begin, end)
    else:
        assert at == now
    assert due_at(now, zone, digest_at=None, quiet=(begin, end), breaks=True) == now


def test_a_night_reaches_over_midnight():
    night = (time(22), time(7))
    for hour, quiet in ((21, False), (22, True), (23, True), (0, True), (6, True), (7, False), (12, False)):
        assert is_quiet(datetime(2027, 1, 4, hour, tzinfo=BERLIN), BERLIN, *night) is quiet


@asynccontextmanager
async def ringing_by_mail(pool, tmp_path, now, **mail):
    async with (
        post_office() as office,
        bell(pool, tmp_path, None, run=False, now=lambda: now[0], mail=office.settings(**mail)) as ringing,
    ):
        yield ringing, office


async def letters(ringing, office, count):
    """The mails to single people, as soon as so many mails came. One may come twice, under the same name."""

    def mails():
        pairs = zip(office.mails, office.envelopes, strict=True)
        return {mail["Message-ID"]: (mail, envelope) for mail, envelope in pairs}

    async def there():  # and it is kept that they are taken: who is cut off before that sends once more
        taken = (await ringing.states()).count("accepted")
        return min(len(mails()), taken) >= count

    async with running(ringing):
        await ringing.until(there, within_s=60)
    return [mail for mail, envelope in mails().values() if len(envelope) == 1]


async def test_an_alert_that_fits_is_a_letter_of_its_own_and_comes_once(pool, tmp_path):
    now = [datetime.now(UTC)]
    async with ringing_by_mail(pool, tmp_path, now, min_grade="I") as (ringing, office):
        made = await ringing.alarms.subscriptions.subscribe(Wanted(ADA, grades=("II",)), by="ops")
        assert (made["person"], made["grades"], made["by"]) == (ADA, ["II"], "ops")
        await ringing.store(incident("II"))
        await ringing.store(incident("I"))  # for all; it does not fit hers
        [mail] = await letters(ringing, office, 2)
        assert mail["To"] == ADA
        assert f"{ADA}: it fits your subscription {made['id']}." in mail.get_content()
        assert SUMMARY in mail.get_content()
        assert await ringing.alarms.subscriptions.offer_next() is False
        assert await ringing.alarms.subscriptions.tell_next() is False


async def test_a_subscription_that_cannot_be_told_keeps_no_other_waiting_and_is_told_later(pool, tmp_path):
    now = [datetime.now(UTC)]
    async with ringing_by_mail(pool, tmp_path, now, min_grade="I") as (ringing, office):
        subscriptions = ringing.alarms.subscriptions
        for person in (ADA, BO):
            await subscriptions.subscribe(Wanted(person), by="ops")
        await ringing.store(incident("II"))
        assert await subscriptions.offer_next()
        write = ringing.alarms.write

        async def broken(conn, alert, people, *args, **more):
            if people == [ADA]:
                raise ValueError("a fault of ours")
            await write(conn, alert, people, *args, **more)

        ringing.alarms.write = broken
        assert [await subscriptions.tell_next() for _ in range(3)] == [True, True, False]
        assert [m["To"] for m in await letters(ringing, office, 1)] == [BO]
        ringing.alarms.write = write
        now[0] += timedelta(minutes=1)
        assert [await subscriptions.tell_next() for _ in range(2)] == [True, False]
        assert [m["To"] for m in await letters(ringing, office, 2)] == [BO, ADA]


async def test_an_alert_that_cannot_be_held_against_them_keeps_no_other_waiting(pool, tmp_path, monkeypatch):
    now = [datetime.now(UTC)]
    async with ringing_by_mail(pool, tmp_path, now, min_grade="I") as (ringing, _):
        subscriptions = ringing.alarms.subscriptions
        await subscriptions.subscribe(Wanted(ADA), by="ops")
        bad, good = await ringing.store(incident("II")), await ringing.store(incident("II"))
        fitting = stored.fitting

        async def broken(conn, alert_id):
            if alert_id == bad:
                raise ValueError("a fault of ours")
            return await fitting(conn, alert_id)

        monkeypatch.setattr(stored, "fitting", broken)
        assert [await subscriptions.offer_next() for _ in range(3)] == [True, True, False]
        assert await promised(pool) == [good]
        monkeypatch.undo()
        now[0] += timedelta(minutes=1)
        assert [await subscriptions.offer_next() for _ in range(2)] == [True, False]
        assert await promised(pool) == [bad, good]


async def promised(pool):
    async with pool.acquire() as conn:
        return [
            row[0] for row in await conn.fetch("select alert_id from subscription_alert order by alert_id")
        ]


async def test_what_rang_before_and_what_comes_after_the_end_is_not_told(pool, tmp_path):
    now = [datetime.now(UTC)]
    async with ringing_by_mail(pool, tmp_path, now, min_grade="I") as (ringing, office):
        await ringing.store(incident("II"))
        made = await ringing.alarms.subscriptions.subscribe(Wanted(ADA), by="ops")
        ended = await ringing.alarms.subscriptions.end(made["id"], by="ops")
        assert ended["ended_at"] is not None
        with pytest.raises(SubscriptionUnknown):
            await ringing.alarms.subscriptions.end(made["id"], by="ops")
        await ringing.store(incident("II"))
        while await ringing.alarms.subscriptions.offer_next():
            pass
        assert await ringing.alarms.subscriptions.tell_next() is False
        assert office.mails == []


async def test_a_digest_waits_for_its_time_and_tells_all_at_once(pool, tmp_path):
    now = [datetime(2027, 3, 27, 12, tzinfo=UTC)]
    async with ringing_by_mail(pool, tmp_path, now, min_grade="I") as (ringing, office):
        wanted = Wanted(ADA, digest_at="08:00", zone="Europe/Berlin", break_quiet=False)
        await ringing.alarms.subscriptions.subscribe(wanted, by="ops")
        ids = [await ringing.store(incident("II", title=f"Case {n}")) for n in range(3)]
        while await ringing.alarms.subscriptions.offer_next():
            pass
        now[0] = datetime(2027, 3, 28, 5, 59, tzinfo=UTC)  # the clocks went forward in the night
        assert await ringing.alarms.subscriptions.tell_next() is False
        now[0] = datetime(2027, 3, 28, 6, 0, tzinfo=UTC)
        assert await ringing.alarms.subscriptions.tell_next() is True
        [mail] = await letters(ringing, office, 1)
        assert mail["Subject"] == "[Tocsin] 3 alerts that fit your subscription 1"
        assert all(f"Alert {n}: " in mail.get_content() for n in ids)
        assert "Case 2" in mail.get_content()


async def test_grade_i_breaks_the_quiet_unless_it_must_not(pool, tmp_path):
    now = [datetime(2027, 1, 4, 23, tzinfo=UTC)]
    async with ringing_by_mail(pool, tmp_path, now, min_grade="I") as (ringing, _):
        quiet = {"quiet": ("22:00", "07:00"), "zone": "UTC"}
        for person, breaks in ((ADA, True), ("bo@example.org", False)):
            await ringing.alarms.subscriptions.subscribe(
                Wanted(person, break_quiet=breaks, **quiet), by="ops"
            )
        await ringing.store(incident("I"))
        await ringing.store(incident("II"))
        while await ringing.alarms.subscriptions.offer_next():
            pass
        async with pool.acquire() as conn:
            rows = await conn.fetch(
                "select s.person, a.grade, p.due_at from subscription_alert p join subscription s on s.id ="
                " p.subscription_id join alert a on a.id = p.alert_id order by s.id, a.id"
            )
    morning = datetime(2027, 1, 5, 7, tzinfo=UTC)
    assert [tuple(row) for row in rows] == [
        (ADA, "I", now[0]),
        (ADA, "II", morning),
        ("bo@example.org", "I", morning),
        ("bo@example.org", "II", morning),
    ]


@pytest.mark.parametrize(("ceiling", "shown"), [("clear", False), ("green", True)])
async def test_nobody_is_told_more_than_the_subscription_allows(pool, tmp_path, ceiling, shown):
    now = [datetime.now(UTC)]
    async with ringing_by_mail(pool, tmp_path, now, min_grade="I", max_tlp="green") as (ringing, office):
        await ringing.alarms.subscriptions.subscribe(Wanted(ADA, max_tlp=ceiling), by="ops")
        await ringing.store(incident("II", tlp=Tlp.GREEN))
        [mail] = await letters(ringing, office, 1)
        assert (TITLE in mail.get_content()) is shown


async def test_a_crash_between_promise_and_letter_loses_none_and_doubles_none(pool, tmp_path):
    now = [datetime.now(UTC)]
    async with ringing_by_mail(pool, tmp_path, now, min_grade="I") as (ringing, office):
        await ringing.alarms.subscriptions.subscribe(Wanted(ADA), by="ops")
        await ringing.store(incident("II"))
        assert await ringing.alarms.subscriptions.offer_next() is True
        write = ringing.alarms.write

        async def killed(*_args, **_more):
            raise asyncio.CancelledError  # what a kill leaves behind: nothing that was under way

        ringing.alarms.write = killed
        with pytest.raises(asyncio.CancelledError):
            await ringing.alarms.subscriptions.tell_next()
        ringing.alarms.write = write
        assert len(await letters(ringing, office, 1)) == 1


async def test_in_the_room_a_person_is_mentioned_in_the_thread_and_can_end_it_there(pool, tmp_path, room):
    me = room.responder.user_id
    async with bell(pool, tmp_path, room) as ringing:
        made = await ringing.alarms.subscriptions.subscribe(Wanted(me, grades=("II",)), by="ops")
        await ringing.store(incident("II"))
        root = await room.said("ALERT, grade II")
        told = await room.said(f"{me}: it fits your subscription")
        assert told["content"]["m.mentions"] == {"user_ids": [me]}
        assert told["content"]["msgtype"] == "m.text"
        assert told["content"]["m.relates_to"]["event_id"] == root["event_id"]
        assert TITLE not in told["content"]["body"]
        room.responder.say(room.id, "!subscriptions")
        await room.said(f"{made['id']}: grades II; at once")
        room.responder.say(room.id, "!unsubscribe 99")
        await room.said("You have no subscription 99.")
        room.responder.say(room.id, f"!unsubscribe {made['id']}")
        await room.said(f"Subscription {made['id']} has ended.")
        assert await ringing.alarms.subscriptions.standing() == []


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted("@ada:hs"),  # no room here
        Wanted(ADA, digest_at="late"),
        Wanted(ADA, quiet=("22:00", "dawn")),
        Wanted(ADA, zone="Europe/Atlantis"),
    ],
)
async def test_what_cannot_be_meant_is_refused(pool, tmp_path, wanted):
    now = [datetime.now(UTC)]
    async with ringing_by_mail(pool, tmp_path, now) as (ringing, _):
        with pytest.raises(SubscriptionInvalid):
            await ringing.alarms.subscriptions.subscribe(wanted, by="ops")
        assert await ringing.alarms.subscriptions.standing() == []


async def test_filters_are_held_against_the_report_itself(database, tmp_path):
    """Of each list one must fit, and all lists must."""
    cases = {
        "harm": ({"harms": ["privacy"]}, True),
        "other harm": ({"harms": ["property"]}, False),
        "one of two": ({"harms": ["property", "privacy"]}, True),
        "class": ({"classes": ["mit-risk-domain:7.3"]}, True),
        "system": ({"systems": ["Triage Bot"]}, True),
        "other system": ({"systems": ["Navya"]}, False),
        "origin": ({"origins": ["ACME"]}, True),
        "other origin": ({"origins": ["St. Example"]}, False),
        "both": ({"harms": ["privacy"], "grades": ["I", "II"]}, True),
        "one of both": ({"harms": ["privacy"], "grades": ["IV"]}, False),
    }
    async with post_office() as office:
        values = {"mail": {**office.settings(), "recipients": ["duty@example.org"]}}
        async with open_here(settings_on(tmp_path / "acme", database, values)) as acme:
            made = {
                (await post(acme, "/v1/subscriptions", {"person": ADA, **filters}))["id"]: (name, fits)
                for name, (filters, fits) in cases.items()
            }
            form = {
                "title": "Records of patients shown to others",
                "tlp": "green",
                "realization": "harm-event",
                "description": "Two people died.",
                "causality": "direct",
                "harms": [{"harm_type": "privacy", "level": 4, "materialised": True}],
                "quantities": {"deaths": 2},
                "classifications": [{"scheme": "mit-risk-domain", "code": "7.3"}],
                "systems": [{"name": "Triage Bot", "version": "2", "role": "primary"}],
            }
            producer = (await get(acme, "/v1/node"))["identity"]
            raw = build(
                form,
                producer=producer,
                incident_id=f"incident--{uuid.uuid4()}",
                now=datetime.now(UTC) - timedelta(seconds=1),
            )
            async with acme.client.post("/v1/reports", data=raw, headers=STIX) as answer:
                filed = await answer.json()
                assert answer.status == 201, filed

            async def told():
                async with acme.node.pool.acquire() as conn:
                    if await conn.fetchval("select count(*) from followup where offered_at is null"):
                        return None
                    rows = await conn.fetch("select subscription_id from subscription_alert order by 1")
                return [row[0] for row in rows]

            found = await until(told)
    assert [made[n][0] for n in found] == [name for name, fits in made.values() if fits]
