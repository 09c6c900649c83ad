"""From facts to duties: starts that are assumed, clocks that follow others, repetitions, and what is open."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.schema.samples import FULL, INCIDENT_ID, NOW, PRODUCER, stix
from tests.schema.strategies import wild_values

from tocsin_schema.check import check_bundle
from tocsin_schema.duty import MAX_REPEATS, duties_of, facts_of, progress
from tocsin_schema.extension import INCIDENT, SYSTEM
from tocsin_schema.organisation import ROLE, Organisation, within
from tocsin_schema.predicate import Facts

T0 = datetime(2026, 10, 5, 8, 0, tzinfo=UTC)
DEATH = {
    "realization": "harm-event",
    "harms": [{"harm_type": "physical-health"}],
    "quantities": {"deaths": 1},
    "flags": ["ongoing"],
}
SIGNATORY = Organisation("X", frozenset(["gpai-code-signatory"]), frozenset(["EU"]))
EVERYBODY = Organisation("X", frozenset(ROLE), frozenset(["EU", "US", "US-CA", "US-NY", "CN", "KR"]))
INITIAL = ("eu-cop-9.3-3", "initial", 1)


def stamp(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def reckoned(facts, now=T0, organisation=SIGNATORY, created=T0, **more):
    found = duties_of(Facts({**DEATH, **facts}, [], created), organisation, now, **more)
    return {(duty.regime, d.stage, d.nth): d for duty in found for d in duty.deadlines}


def test_a_start_that_is_not_stated_is_assumed_at_the_earliest_time_that_was_known():
    deadline = reckoned({})[INITIAL]
    assert (deadline.start_at, deadline.start_from) == (T0, "created")
    assert deadline.assumed.startswith("aware_at")
    noticed = T0 - timedelta(days=2)
    deadline = reckoned({"detected_at": stamp(noticed)})[INITIAL]
    assert (deadline.start_at, deadline.start_from) == (noticed, "detected_at")
    deadline = reckoned({"detected_at": stamp(noticed), "aware_at": stamp(T0)})[INITIAL]
    assert (deadline.start_at, deadline.assumed) == (T0, "")


def test_what_a_person_says_about_the_start_wins():
    said = T0 - timedelta(hours=3)
    deadline = reckoned({"aware_at": stamp(T0)}, stated={INITIAL: said})[INITIAL]
    assert (deadline.start_at, deadline.start_from) == (said, "a person's word")


def test_the_follow_up_waits_for_the_first_report_and_starts_with_it():
    facts = {"aware_at": stamp(T0)}
    key = ("eu-cop-follow-up", "follow-up", 1)
    assert reckoned(facts)[key].standing == "waiting"
    made = T0 + timedelta(days=3)
    deadline = reckoned(facts, now=made, done={INITIAL: made})[key]
    assert deadline.due_conservative == made + timedelta(days=28)
    assert reckoned(facts)[("eu-cop-follow-up", "final", 1)].standing == "waiting"


def test_the_follow_up_of_a_report_that_was_never_made_runs_from_when_that_was_due():
    late = T0 + timedelta(days=11)
    deadline = reckoned({"aware_at": stamp(T0)}, now=late)[("eu-cop-follow-up", "follow-up", 1)]
    assert deadline.start_at == T0 + timedelta(days=10)
    assert "still owed" in deadline.assumed


def test_repetitions_go_on_until_it_is_resolved_each_from_the_last():
    facts, done = {"aware_at": stamp(T0)}, {INITIAL: T0}
    now = T0 + timedelta(days=70)
    found = reckoned(facts, now=now, done=done)
    dues = [d.due_conservative for key, d in found.items() if key[1] == "follow-up"]
    assert dues == [T0 + timedelta(days=28 * n) for n in (1, 2, 3)]
    early = T0 + timedelta(days=10)
    found = reckoned(facts, now=early, done={**done, ("eu-cop-follow-up", "follow-up", 1): early})
    assert found["eu-cop-follow-up", "follow-up", 2].due_conservative == early + timedelta(days=28)
    resolved = {"resolved_at": stamp(T0 + timedelta(days=40))}
    found = reckoned(facts | resolved, now=now, done=done)
    assert [key[2] for key in found if key[1] == "follow-up"] == [1]
    final = found["eu-cop-follow-up", "final", 1]
    assert final.due_conservative == T0 + timedelta(days=100)


def test_repetitions_end_after_ten_years():
    found = reckoned({"aware_at": "1950-01-01T00:00:00.000Z"}, now=T0)
    assert sum(key[1] == "follow-up" for key in found) == MAX_REPEATS


def test_holidays_of_the_organisation_count_in_the_legal_date_alone():
    facts = {"aware_at": stamp(T0)}
    plain = reckoned(facts)[INITIAL]
    festive = Organisation("X", SIGNATORY.roles, SIGNATORY.jurisdictions, frozenset([date(2026, 10, 15)]))
    put_off = reckoned(facts, organisation=festive)[INITIAL]
    assert put_off.due_conservative == plain.due_conservative
    assert put_off.due_legal == plain.due_legal + timedelta(days=1)


def test_a_report_as_a_deployer_leaves_open_whether_we_are_its_provider():
    organisation = Organisation("X", frozenset(["provider"]), frozenset(["DE"]))
    facts = Facts({**DEATH, "reporter_role": "deployer"}, [{"eu_risk_class": "annex-iii"}], T0)
    duty = next(d for d in duties_of(facts, organisation, T0) if d.regime == "eu-aia-73-death")
    assert duty.standing == "possible"
    assert "reporter_role says deployer" in duty.missing[0]


def test_where_it_happened_counts_beside_where_the_organisation_is():
    organisation = Organisation("X", frozenset(["controller"]), frozenset(["US"]))
    breach = {"realization": "harm-event", "flags": ["personal-data"], "countries": ["FR"]}
    found = duties_of(Facts(breach, [], T0), organisation, T0)
    assert [duty.regime for duty in found] == ["eu-gdpr-33"]
    assert "it happened in FR" in found[0].reasons


@pytest.mark.parametrize(
    ("code", "places", "answer"),
    [
        ("EU", ["DE"], True), ("DE", ["EU"], False), ("US", ["US-CA"], True), ("US-CA", ["US"], None),
        ("US-CA", ["US", "US-NY"], False), ("US-CA", ["US-CA"], True), ("CN", ["DE"], False), ("EU", [], False),
    ],
)  # fmt: skip
def test_what_lies_within_what(code, places, answer):
    assert within(code, places) is answer


def test_the_shortest_due_comes_first_and_what_is_asked_at_once_before_it():
    found = duties_of(Facts({**DEATH, "aware_at": stamp(T0)}, [], T0), EVERYBODY, T0)
    ranks = [duty.urgency[0] for duty in found]
    assert ranks == sorted(ranks)
    dues = [duty.urgency[1] for duty in found if duty.urgency[0] == 1]
    assert dues == sorted(dues)
    assert found[0].deadlines[0].standing == "unclocked"


def test_facts_come_from_a_checked_report_and_its_systems():
    report = check_bundle(stix.build(FULL, producer=PRODUCER, incident_id=INCIDENT_ID, now=NOW)).report
    facts = facts_of(report)
    assert [system.get("eu_risk_class") for system in facts.systems] == ["annex-iii", None]
    organisation = Organisation("X", frozenset(["provider"]), frozenset(["DE"]))
    assert duties_of(facts, organisation, NOW) == duties_of(facts, organisation, NOW)


def test_the_same_facts_with_less_said_never_lose_a_duty():
    """Leaving facts out opens questions; it does not close them (but harms and flags, which are lists of all)."""
    full = {**DEATH, "aware_at": stamp(T0), "countries": ["DE"]}
    whole = {d.regime for d in duties_of(Facts(full, [{"eu_risk_class": "annex-iii"}], T0), EVERYBODY, T0)}
    for left_out in ("quantities", "aware_at", "countries", "flags", "harms"):
        less = {name: value for name, value in full.items() if name != left_out}
        found = {d.regime for d in duties_of(Facts(less, [{}], T0), EVERYBODY, T0)}
        assert whole <= found, left_out


names = st.sampled_from([*INCIDENT.fields, *SYSTEM.fields, "quantities"])
hostile = st.dictionaries(names, wild_values, max_size=12)


@given(hostile, st.lists(hostile, max_size=3), st.datetimes(timezones=st.just(UTC)))
def test_no_facts_however_broken_stop_the_reckoning(extension, systems, now):
    for duty in duties_of(Facts(extension, systems, now), EVERYBODY, now):
        assert duty.standing == "possible" or duty.reasons
        for deadline in duty.deadlines:
            if deadline.due_legal is not None:
                assert deadline.due_conservative <= deadline.due_legal


@given(st.integers(0, 400))
def test_progress_is_the_share_of_the_time(hours):
    assert progress(T0, T0 + timedelta(hours=100), T0 + timedelta(hours=hours)) == hours / 100


def test_no_time_at_all_is_over_at_once():
    assert progress(T0, T0, T0 + timedelta(seconds=2)) >= 1
    assert json.dumps(progress(T0, T0, T0 - timedelta(days=1))) == "0.0"
