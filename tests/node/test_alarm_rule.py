"""Which reports ring."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from tocsin_node.services.alarm_rule import AlarmRule, Ring
from tocsin_node.settings.alerting import AlertSettings
from tocsin_schema.marking import Tlp
from tocsin_schema.report import IncidentReport
from tocsin_schema.severity import Severity

LEVELS = {"I": 5, "II": 4, "III": 3, "IV": 2, "none": 0}


NOW = datetime(2026, 11, 23, tzinfo=UTC)


def report(
    grade: str, *flags: str, oecd: str = "incident", revoked: bool = False, **times: str
) -> IncidentReport:
    now = NOW
    severity = Severity(
        LEVELS[grade], LEVELS[grade] * 19, grade, oecd, ("physical-health: level",), 0, "computed"
    )
    return IncidentReport(
        id="incident--3b5e1c0e-7f3c-4a51-9d7d-0a3a9b0f4c11",
        wrapper_id="report--3b5e1c0e-7f3c-4a51-9d7d-0a3a9b0f4c12",
        created_by_ref="identity--3b5e1c0e-7f3c-4a51-9d7d-0a3a9b0f4c13",
        created=now,
        modified=now,
        name="A tram ran a red light",
        description="",
        tlp=Tlp.GREEN,
        realization="harm-event",
        revoked=revoked,
        extension={"flags": list(flags), **times},
        severity=severity,
        claimed={},
        systems=(),
        personal_data="none",
        source=None,
        raw=b"{}",
        sha256=bytes(32),
    )


def decide(subject, *, before: str | None = None, received: bool = True, **settings) -> Ring | None:
    rule = AlarmRule.from_settings(AlertSettings(**settings))
    return rule.decide(subject, previous_grade=before, received=received, now=NOW)


@pytest.mark.parametrize(
    ("grade", "rings"), [("I", True), ("II", True), ("III", False), ("IV", False), ("none", False)]
)
def test_the_two_highest_grades_ring_at_once(grade, rings):
    assert (decide(report(grade)) is not None) == rings


@pytest.mark.parametrize("flag", ["ongoing", "transferable"])
def test_grade_iii_rings_while_it_goes_on_or_may_spread(flag):
    assert decide(report("III", flag)).kind == "raise"
    assert decide(report("IV", flag)) is None


def test_grade_iii_rings_for_a_serious_hazard():
    assert decide(report("III", oecd="serious-hazard")).reasons == ("grade III and a serious hazard",)


def test_grade_iii_can_be_set_to_ring_always_or_never():
    assert decide(report("III"), grade_iii="always").kind == "raise"
    assert decide(report("III", "ongoing"), grade_iii="never") is None


@pytest.mark.parametrize("grade", LEVELS)
def test_imminent_risk_to_life_always_rings(grade):
    ring = decide(report(grade, "imminent-risk-to-life"), grades=(), grade_iii="never")
    assert ring.reasons[0] == "somebody may die soon"
    assert ring.urgent


@pytest.mark.parametrize(
    ("before", "now", "kind"), [("IV", "II", "escalate"), ("II", "I", "escalate"), ("none", "I", "escalate")]
)
def test_a_rising_grade_rings_again(before, now, kind):
    ring = decide(report(now), before=before)
    assert (ring.kind, ring.only) == (kind, "always")
    assert ring.reasons[0] == f"the grade rose from {before} to {now}"
    assert decide(report(now), before=before, grade_rise=False).only == "new"


@pytest.mark.parametrize(("before", "now"), [("I", "I"), ("I", "II")])
def test_a_grade_that_stays_or_falls_rings_only_if_nothing_rang_before(before, now):
    assert decide(report(now), before=before) == Ring(
        "raise", (f"grade {now}",), only="new", urgent=now == "I"
    )


def test_a_withdrawal_tells_those_whom_it_rang():
    ring = decide(report("I", revoked=True), before="I")
    assert (ring.kind, ring.only) == ("withdrawn", "rung")
    assert decide(report("I", revoked=True)) is None
    assert decide(report("I", revoked=True), before="I", withdrawn=False) is None


def test_reports_of_peers_can_be_kept_quiet():
    rule = AlarmRule.from_settings(AlertSettings(received=False))
    assert rule.decide(report("I"), previous_grade=None, received=True, now=NOW) is None
    assert rule.decide(report("I"), previous_grade=None, received=False, now=NOW) is not None


@pytest.mark.parametrize("flags", [None, "ongoing", {"ongoing": 1}, 7])
def test_flags_of_any_shape_do_no_harm(flags):
    odd = msgspec.structs.replace(report("III"), extension={"flags": flags})
    assert decide(odd) is None


def test_what_is_long_over_does_not_ring():
    old = {"occurred_start": "2018-03-18T00:00:00.000Z", "occurred_end": "2018-03-19T00:00:00.000Z"}
    assert decide(report("I", **old)) is None
    assert decide(report("I", **old), history_days=36_500).kind == "raise"
    assert decide(report("II", occurred_start="2026-08-26T00:00:00.000Z")).kind == "raise"


def test_an_old_case_rings_when_it_goes_on_or_was_noticed_only_now():
    old = {"occurred_start": "2018-03-18T00:00:00.000Z"}
    assert decide(report("I", "ongoing", **old)).kind == "raise"
    assert decide(report("II", "imminent-risk-to-life", **old)).kind == "raise"
    assert decide(report("I", aware_at="2026-11-22T00:00:00.000Z", **old)).kind == "raise"


@pytest.mark.parametrize(
    ("hours", "rings"), [(24, True), (72, True), (73, False), (None, False)], ids=["24", "72", "73", "none"]
)
def test_grade_iii_of_our_own_rings_for_a_short_legal_clock(hours, rings):
    def clock(_report, now):
        assert now == NOW
        return None if hours is None else timedelta(hours=hours)

    rule = AlarmRule.from_settings(AlertSettings(), clock)
    ring = rule.decide(report("III"), previous_grade=None, received=False, now=NOW)
    assert (ring is not None) == rings
    assert ring is None or ring.reasons == (f"grade III and a legal clock of {hours} hours",)
    assert rule.decide(report("III"), previous_grade=None, received=True, now=NOW) is None
    assert rule.decide(report("IV"), previous_grade=None, received=False, now=NOW) is None
    never = AlarmRule.from_settings(AlertSettings(grade_iii="never"), clock)
    assert never.decide(report("III"), previous_grade=None, received=False, now=NOW) is None
