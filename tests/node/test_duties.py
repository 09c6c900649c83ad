"""Duties at a node: from a filed report to dates, warnings, people's decisions and the history; the clock is ours."""

import json
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from tests.contract.test_openapi import check_answer
from tests.support.node import open_here, settings_on
from tests.support.reports import PUBLIC

from tocsin_node.schedule import timetable
from tocsin_schema.stix import build, revise

STIX = {"Content-Type": "application/stix+json"}
START = datetime(2026, 10, 5, 8, 0, tzinfo=UTC)  # a Monday
SETTINGS = {
    "duties": {
        "roles": ["nis2-entity", "controller", "gpai-code-signatory"],
        "jurisdictions": ["DE"],
        "zone": "Europe/Berlin",
    },
    "alerts": {"grades": ["I"]},
}
FORM = {
    "title": "Copies of patient files left the model",
    "description": "The assistant quoted files of other patients.",
    "tlp": "green",
    "realization": "harm-event",
    "aware_at": START.isoformat(),
    "harms": [{"harm_type": "privacy", "materialised": True}],
    "quantities": {"personal_records": 120},
    "flags": ["personal-data"],
}


class Clock:
    """The node's clock, which a test moves."""

    def __init__(self):
        self.at = START

    def __call__(self):
        return self.at

    def go(self, **delta):
        self.at = START + timedelta(**delta)


class Place:
    """A node with roles, its clock, and the few calls that a story needs."""

    def __init__(self, served, clock):
        self.served, self.clock = served, clock
        self.producer = dict(served.node.producer)

    async def call(self, method, path, *, template=None, send=None, data=None, headers=None, expect=200):
        async with self.served.client.request(method, path, json=send, data=data, headers=headers) as answer:
            body = await answer.json(content_type=None)
            assert answer.status == expect, body
            if template:
                check_answer(method, template, answer.status, answer.content_type, body)
            return body

    async def file(self, **changes):
        incident_id = f"incident--{uuid.uuid4()}"
        raw = build({**FORM, **changes}, producer=self.producer, incident_id=incident_id, now=self.clock.at)
        await self.call("POST", "/v1/reports", data=raw, headers=STIX, expect=201)
        return incident_id, raw

    async def duties(self, query=""):
        return (await self.call("GET", f"/v1/duties{query}", template="/v1/duties"))["items"]

    async def duty(self, number):
        return await self.call("GET", f"/v1/duties/{number}", template="/v1/duties/{id}")

    async def decide(self, number, verb, expect=200, **send):
        path = "/v1/duties/{id}/" + verb
        return await self.call(
            "POST",
            f"/v1/duties/{number}/{verb}",
            template=path,
            send={"by": "Mara Voss", **send},
            expect=expect,
        )

    async def watch(self):
        """What the timetable does every minute."""
        job = next(job for job in timetable(self.served.node) if job.name == "duties")
        await job.run(self.served.node)

    async def alerts(self):
        found = await self.call("GET", "/v1/alerts", template="/v1/alerts")
        return [alert for alert in found["items"] if alert["kind"] == "duty"]

    async def health(self):
        report = await self.served.node.duties.health()
        return report.status, report.code


@pytest.fixture
async def place(database, tmp_path):
    clock = Clock()
    async with open_here(settings_on(tmp_path / "node", database, SETTINGS), now=clock) as served:
        yield Place(served, clock)


def by_rule(items, regime, stage):
    return next(one for one in items if (one["regime"], one["stage"]) == (regime, stage))


async def gdpr(place):
    return by_rule(await place.duties(), "eu-gdpr-33", "authority")


async def test_a_filed_report_has_its_duties_at_once_shortest_due_first(place):
    incident_id, _ = await place.file()
    items = await place.duties("?open=1")
    assert {one["regime"] for one in items} >= {"eu-gdpr-33"}
    dues = [one["due_conservative"] for one in items if one["due_conservative"]]
    assert dues == sorted(dues)
    one = await gdpr(place)
    assert one["report_id"] == incident_id
    assert (one["standing"], one["state"], one["verified"]) == ("applies", "proposed", False)
    assert one["due_conservative"] == "2026-10-08T08:00:00Z"
    assert "personal_records=120" in one["reasons"]
    assert any("not verified" in doubt for doubt in one["doubts"])


async def test_each_threshold_is_told_once_and_survives_a_restart(place, database, tmp_path):
    await place.file()
    number = (await gdpr(place))["id"]
    told = []
    for hours in (1, 36, 37, 58, 59, 72, 73):
        place.clock.go(hours=hours)
        await place.watch()
        await place.watch()
        told.append((hours, (await place.duty(number))["warned"], len(await place.alerts())))
    assert told == [
        (1, [], 0), (36, [50], 1), (37, [50], 1), (58, [50, 80], 2), (59, [50, 80], 2), (72, [50, 80, 100], 3),
        (73, [50, 80, 100], 3),
    ]  # fmt: skip
    node = place.served.node
    fresh = type(node.duties)(
        node.pool,
        node.alarms,
        node.duties.organisation,
        node.ownership,
        node_id=node.identity.node_id,
        history_days=90,
        now=place.clock,
    )
    await fresh.watch()
    assert len(await place.alerts()) == 3
    history = [step["what"] for step in (await place.duty(number))["history"]]
    assert history == ["proposed", "warned", "warned", "warned", "missed"]


async def test_a_clock_found_beyond_all_thresholds_rings_once_with_all_of_them_noted(place):
    await place.file()
    place.clock.go(days=4)
    await place.watch()
    one = await gdpr(place)
    assert one["warned"] == [50, 80, 100]
    (alert,) = await place.alerts()
    assert alert["title"].startswith("100 % has run, due 2026-10-08 08:00 UTC")


async def test_the_alert_says_no_more_than_the_marking_allows(place):
    for tlp in ("amber", "red"):
        incident_id = f"incident--{uuid.uuid4()}"
        raw = build({**FORM, "tlp": tlp}, producer=place.producer, incident_id=incident_id, now=START)
        await place.call("POST", "/v1/reports?share=0", data=raw, headers=STIX, expect=201)
    place.clock.go(hours=40)
    await place.watch()
    async with place.served.node.pool.acquire() as conn:
        facts = [
            json.loads(row[0])
            for row in await conn.fetch("select facts from alert where kind = 'duty' order by tlp")
        ]
    amber, red = facts
    assert amber["title"] == FORM["title"]
    assert "title" not in red
    for one in facts:
        assert "duties" not in one
        assert one["clock"].startswith("50 % has run")


async def test_health_says_when_a_clock_needs_somebody(place):
    await place.file()
    assert await place.health() == ("ok", None)
    place.clock.go(hours=40)
    assert await place.health() == ("ok", "duty-clock-half")
    place.clock.go(hours=60)
    assert await place.health() == ("degraded", "duty-clock-late")


async def test_a_missed_one_is_kept_and_can_still_be_settled_late(place):
    await place.file()
    place.clock.go(days=10)
    await place.watch()
    one = await gdpr(place)
    assert one["missed_at"] == "2026-10-15T08:00:00Z"
    assert one["id"] in {each["id"] for each in await place.duties("?open=1")}
    settled = await place.decide(one["id"], "done", reference="DPA 26-114")
    assert (settled["state"], settled["late"], settled["reference"]) == ("done", True, "DPA 26-114")
    assert settled["missed_at"] == one["missed_at"]
    assert [step["by"] for step in settled["history"] if step["what"] == "done"] == ["Mara Voss"]
    assert one["id"] not in {each["id"] for each in await place.duties("?open=1")}
    assert (await place.decide(one["id"], "done", expect=409))["code"] == "duty-closed"


async def test_recorded_later_than_made_is_not_late(place):
    await place.file()
    place.clock.go(days=5)
    await place.watch()
    settled = await place.decide((await gdpr(place))["id"], "done", at="2026-10-07T12:00:00Z")
    assert settled["late"] is False
    assert settled["missed_at"] is not None
    future = await place.decide(settled["id"], "confirm", expect=422, start="2031-01-01T00:00:00Z")
    assert future["code"] == "not-yet"


async def test_a_person_confirms_a_whole_rule_and_what_it_asks_for_later_is_confirmed_too(place):
    harms = [{"harm_type": "critical-infrastructure", "level": 4, "materialised": True}]
    await place.file(harms=harms, flags=["critical-infrastructure"])
    items = await place.duties()
    assert by_rule(items, "eu-nis2-23", "early-warning")["standing"] == "possible"
    first = by_rule(items, "eu-nis2-23", "notification")
    await place.decide(first["id"], "confirm", reason="It is significant.")
    items = await place.duties()
    assert {one["state"] for one in items if one["regime"] == "eu-nis2-23"} == {"confirmed"}
    final = by_rule(items, "eu-nis2-23", "final")
    assert (final["clock"], final["due_conservative"]) == ("waiting", None)
    place.clock.go(hours=10)
    await place.decide(first["id"], "done")
    final = by_rule(await place.duties(), "eu-nis2-23", "final")
    assert (final["clock"], final["due_conservative"]) == ("running", "2026-11-05T18:00:00Z")
    assert final["due_legal"] == "2026-11-05T23:00:00Z"
    said = "; ".join(step["said"] or "" for step in (await place.duty(final["id"]))["history"])
    assert "start: 2026-10-05 18:00 UTC (was not set)" in said
    assert "None" not in said
    initial = by_rule(items, "eu-cop-9.3-1", "initial")
    await place.decide(initial["id"], "confirm")
    await place.decide(initial["id"], "done")
    follow = by_rule(await place.duties(), "eu-cop-follow-up", "follow-up")
    place.clock.go(days=30)
    await place.watch()
    repeated = [one for one in await place.duties() if one["stage"] == "follow-up"]
    assert [one["nth"] for one in repeated] == [1, 2]
    assert repeated[0]["id"] == follow["id"]


async def test_a_dismissed_one_rings_no_more_and_needs_a_reason(place):
    await place.file()
    number = (await gdpr(place))["id"]
    assert (await place.decide(number, "dismiss", expect=400))["code"] == "bad-json"
    gone = await place.decide(number, "dismiss", reason="The records were invented.")
    assert (gone["state"], gone["decided_by"], gone["reason"]) == (
        "dismissed",
        "Mara Voss",
        "The records were invented.",
    )
    place.clock.go(days=5)
    await place.watch()
    assert (await place.duty(number))["warned"] == []
    again = await place.decide(number, "confirm")
    assert again["state"] == "confirmed"
    assert [step["what"] for step in again["history"]] == ["proposed", "dismissed", "confirmed"]


async def test_changed_facts_are_reckoned_anew_and_nothing_is_dropped(place):
    incident_id, raw = await place.file()
    number = (await gdpr(place))["id"]
    place.clock.go(hours=1)
    earlier = revise(raw, {"aware_at": (START - timedelta(days=1)).isoformat()}, now=place.clock.at)
    await place.call("PUT", f"/v1/reports/{incident_id}", data=earlier, headers=STIX, expect=201)
    one = await place.duty(number)
    assert one["due_conservative"] == "2026-10-07T08:00:00Z"
    assert any(
        "2026-10-08 08:00 UTC → 2026-10-07 08:00 UTC" in (step["said"] or "") for step in one["history"]
    )
    place.clock.go(hours=2)
    nothing = revise(
        earlier,
        {"harms": [{"harm_type": "reputational"}], "quantities": {"views": 3}, "flags": ["transferable"]},
        now=place.clock.at,
    )
    await place.call("PUT", f"/v1/reports/{incident_id}", data=nothing, headers=STIX, expect=201)
    one = await place.duty(number)
    assert one["standing"] == "no-longer"
    assert one["state"] == "proposed"
    place.clock.go(days=9)
    await place.watch()
    assert not await place.alerts()


async def test_what_a_person_confirmed_stays_when_the_facts_no_longer_ask_for_it(place):
    incident_id, raw = await place.file()
    number = (await gdpr(place))["id"]
    await place.decide(number, "confirm")
    place.clock.go(hours=2)
    nothing = revise(
        raw,
        {"harms": [{"harm_type": "reputational"}], "quantities": {"views": 3}, "flags": ["transferable"]},
        now=place.clock.at,
    )
    await place.call("PUT", f"/v1/reports/{incident_id}", data=nothing, headers=STIX, expect=201)
    place.clock.go(days=4)
    await place.watch()
    one = await place.duty(number)
    assert (one["standing"], one["warned"]) == ("applies", [50, 80, 100])


async def test_a_person_can_set_the_start_of_a_clock(place):
    await place.file()
    number = (await gdpr(place))["id"]
    place.clock.go(hours=5)
    set_ = await place.decide(number, "confirm", start="2026-10-05T10:00:00Z")
    assert (set_["start_from"], set_["due_conservative"]) == ("a person's word", "2026-10-08T10:00:00Z")


@pytest.mark.parametrize(
    "record", [{"source_record": {"source": "aiid", "id": "7"}}, {}], ids=["public", "mailed"]
)
async def test_what_was_imported_has_duties_only_when_a_person_tracks_it(place, record):
    incident_id = f"incident--{uuid.uuid4()}"
    raw = build({**FORM, **record}, producer=PUBLIC, incident_id=incident_id, now=START)
    await place.call("POST", "/v1/imports", data=raw, headers={"Content-Type": "application/x-ndjson"})
    await place.watch()
    assert await place.duties() == []
    asked = {"report_id": incident_id, "by": "Mara Voss", "reason": "It is our assistant."}
    found = await place.call("POST", "/v1/duties/track", template="/v1/duties/track", send=asked)
    assert by_rule(found["items"], "eu-gdpr-33", "authority")["standing"] == "applies"
    unknown = await place.call(
        "POST", "/v1/duties/track", send={**asked, "report_id": f"incident--{uuid.uuid4()}"}, expect=404
    )
    assert unknown["code"] == "report-unknown"


async def test_an_acknowledged_clock_is_told_to_nobody_outside(place):
    await place.file()
    place.clock.go(hours=40)
    await place.watch()
    (alert,) = await place.alerts()
    await place.call("POST", f"/v1/alerts/{alert['id']}/ack", send={})
    from tocsin_node.storage import acknowledgements

    async with place.served.node.pool.acquire() as conn:
        assert await acknowledgements.untold(conn, [place.served.node.identity.node_id], 10) == []


async def test_a_clock_rings_beside_the_report_and_does_not_silence_a_later_version(place):
    incident_id, raw = await place.file()
    place.clock.go(hours=40)
    await place.watch()
    assert len(await place.alerts()) == 1
    worse = revise(raw, {"quantities": {"deaths": 20}}, now=place.clock.at)
    answer = await place.call("PUT", f"/v1/reports/{incident_id}", data=worse, headers=STIX, expect=201)
    assert answer["alert"] is not None


async def test_pages_go_on_where_they_ended(place):
    for _ in range(3):
        await place.file()
    whole = [one["id"] for one in await place.duties()]
    seen, cursor = [], ""
    while True:
        page = await place.call("GET", f"/v1/duties?limit=2{cursor}")
        seen += [one["id"] for one in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next'].replace('+', '%2B')}"
    assert seen == whole
    for bad in ("x", "2026-01-01~1", "~", "2026-01-01T00:00:00%2B00:00~-1"):
        assert (await place.call("GET", f"/v1/duties?cursor={bad}", expect=400))["code"] == "bad-parameter"


async def test_unknown_numbers_and_bad_names_are_refused(place):
    assert (await place.call("GET", "/v1/duties/99", expect=404))["code"] == "duty-unknown"
    assert (await place.decide(99, "confirm", expect=404))["code"] == "duty-unknown"
    for by in ("", "   ", "a\u0000b", "x" * 201):
        await place.decide(99, "confirm", expect=400, by=by)


async def test_an_organisation_that_has_not_said_what_it_is_has_no_duties_and_says_so(acme):
    place = Place(acme, Clock())
    await place.file()
    page = await place.call("GET", "/v1/duties", template="/v1/duties")
    assert page["items"] == []
    assert page["organisation"]["stated"] is False
    await place.watch()
    asked = {"report_id": f"incident--{uuid.uuid4()}", "by": "Mara Voss"}
    refused = await place.call("POST", "/v1/duties/track", send=asked, expect=409)
    assert refused["code"] == "organisation-unstated"


async def test_other_roles_are_reckoned_anew_for_what_is_held(database, tmp_path):
    clock = Clock()
    plain = settings_on(tmp_path / "node", database)
    async with open_here(plain, now=clock) as served:
        await Place(served, clock).file()
    import msgspec

    from tocsin_node.settings.duties import DutySettings

    stated = msgspec.structs.replace(plain, duties=DutySettings(roles=("controller",), jurisdictions=("DE",)))
    async with open_here(stated, now=clock) as served:
        place = Place(served, clock)
        await place.watch()
        assert (await gdpr(place))["standing"] == "applies"


def test_the_words_of_a_clock_say_what_to_do_and_keep_what_the_room_may_not_read():
    from tocsin_node.links.alert_text import AlertFacts, cut, short_words, words
    from tocsin_schema.marking import Tlp

    facts = AlertFacts(
        kind="duty",
        grade="II",
        tlp=Tlp.GREEN,
        report_id="incident--1",
        title="Copies <b>left</b> @room",
        clock="80 % has run, due 2026-10-08 08:00 UTC, duty 7",
        duties=("80 %: GDPR, to the authority",),
    )
    for made in (words(facts, 3, ()), words(cut(facts, Tlp.RED), 3, ())):
        assert made["body"].startswith(
            "⏳ LEGAL CLOCK: 80 % has run, due 2026-10-08 08:00 UTC, duty 7 · TLP:GREEN"
        )
        assert "Owed: 80 %: GDPR, to the authority" in made["body"]
        assert "<code>tocsin duty list --report incident--1</code>" in made["formatted_body"]
        assert "<b>" not in made["formatted_body"]
        assert "@room" not in made["body"]
    for made in (words(cut(facts, Tlp.CLEAR), 3, ()), short_words(facts, 3, ())):
        assert "Copies" not in made["body"]
        assert "GDPR" not in made["body"]
        assert "duty 7" in made["body"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"zone": "Europe/Brussel"}, "duties.zone"),
        ({"zone": "../etc/passwd"}, "duties.zone"),
        ({"holidays": ["2026-02-30"]}, "duties.holidays"),
        ({"roles": ["king"]}, "duties.roles"),
        ({"jurisdictions": ["Germany"]}, "duties.jurisdictions"),
    ],
)
def test_settings_that_no_calendar_and_no_rule_knows_are_refused(tmp_path, wrong, told):
    from tocsin_node.errors import SettingsError
    from tocsin_node.settings.loading import parse

    with pytest.raises(SettingsError, match=told):
        parse({"node": {"org": "A"}, "duties": wrong}, tmp_path, {})


def test_the_roles_of_the_settings_are_those_of_the_rules():
    from typing import get_args

    from tocsin_node.settings.duties import DutySettings
    from tocsin_schema.organisation import ROLE

    listed = DutySettings.__annotations__["roles"]
    assert set(get_args(get_args(get_args(listed)[0])[0])) == set(ROLE)


async def test_grade_iii_rings_at_once_where_a_legal_clock_is_short_and_not_where_none_is(place):
    breach, _ = await place.file(quantities={"personal_records": 20_000})
    other, _ = await place.file(
        flags=["cross-border"],
        harms=[{"harm_type": "economic"}],
        quantities={"economic_loss": {"amount": 900_000, "currency": "USD"}},
    )
    graded = {}
    for one in (breach, other):
        graded[one] = (await place.call("GET", f"/v1/reports/{one}"))["grade"]
    assert graded == {breach: "III", other: "III"}
    raised = (await place.call("GET", "/v1/alerts", template="/v1/alerts"))["items"]
    assert [alert["report_id"] for alert in raised if alert["kind"] == "raise"] == [breach]
    async with place.served.node.pool.acquire() as conn:
        facts = await conn.fetchval("select facts from alert where report_id = $1 and kind = 'raise'", breach)
    assert "a legal clock of 72 hours" in facts
