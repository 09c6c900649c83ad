import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.schema.strategies import COUNTS, extensions, wild_values

from tocsin_schema import vocabulary as voc
from tocsin_schema.severity import BANDS, GRADES, assess


def level(**facts):
    return assess({"realization": "harm-event", **facts}).level


def harm(kind, **more):
    return [{"harm_type": kind, **more}]


@pytest.mark.parametrize(
    ("quantities", "expected"),
    [
        ({"injuries": 1}, 2),
        ({"injuries": 9}, 2),
        ({"injuries": 10}, 3),
        ({"serious_injuries": 1}, 3),
        ({"serious_injuries": 10}, 4),
        ({"injuries": 100}, 4),
        ({"deaths": 1}, 4),
        ({"deaths": 9}, 4),
        ({"deaths": 10}, 5),
        ({"deaths": 1, "serious_injuries": 49}, 4),
        ({"deaths": 1, "serious_injuries": 50}, 5),
        ({"personal_records": 1}, 1),
        ({"personal_records": 99}, 1),
        ({"personal_records": 100}, 2),
        ({"personal_records": 10_000}, 3),
        ({"personal_records": 1_000_000}, 4),
        ({"personal_records": 100_000_000}, 5),
        ({"economic_loss": {"amount": 9_999, "currency": "USD"}}, 1),
        ({"economic_loss": {"amount": 10_000, "currency": "USD"}}, 2),
        ({"economic_loss": {"amount": 700_000, "currency": "USD"}}, 3),
        ({"economic_loss": {"amount": 14_000_000, "currency": "USD"}}, 4),
        ({"economic_loss": {"amount": 1_000_000_000, "currency": "USD"}}, 5),
        ({"economic_loss": {"amount": 5_200_000, "currency": "CNY"}}, 3),
    ],
)
def test_a_number_alone_places_the_incident_on_its_ladder(quantities, expected):
    assert level(quantities=quantities) == expected


@pytest.mark.parametrize(
    ("kind", "quantities", "more", "expected"),
    [
        ("critical-infrastructure", {}, {}, 1),
        ("critical-infrastructure", {"outage_minutes": 29}, {}, 2),
        ("critical-infrastructure", {"outage_minutes": 30}, {}, 3),
        ("critical-infrastructure", {"outage_minutes": 30}, {"reversibility": "irreversible"}, 4),
        ("critical-infrastructure", {"outage_minutes": 120}, {}, 4),
        ("critical-infrastructure", {"outage_minutes": 360}, {}, 5),
        ("critical-infrastructure", {"persons_affected": 10_000_000}, {}, 5),
        ("discrimination", {}, {}, 2),
        ("discrimination", {}, {"materialised": False}, 1),
        ("discrimination", {}, {"level": 1}, 1),
        ("discrimination", {"persons_affected": 1}, {}, 2),
        ("fundamental-rights", {"persons_affected": 10}, {}, 3),
        ("fundamental-rights", {"persons_affected": 1_000}, {}, 4),
        ("fundamental-rights", {"persons_affected": 1_000_000}, {}, 5),
        ("fundamental-rights", {}, {"reversibility": "irreversible"}, 4),
        ("harmful-content", {"views": 1_000}, {}, 2),
        ("harmful-content", {"reposts": 1_000}, {}, 3),
        ("democratic-social", {"views": 100_000}, {}, 4),
        ("harmful-content", {"views": 1_000_000}, {}, 4),
        ("harmful-content", {"views": 1_000_000, "injuries": 1}, {}, 5),
        ("psychological", {"persons_affected": 10**6}, {}, 2),
        ("reputational", {}, {}, 1),
        ("psychological", {}, {"level": 3}, 3),
        ("environment", {}, {"level": 0}, 1),
    ],
)
def test_numbers_count_for_the_harm_that_is_listed(kind, quantities, more, expected):
    assert level(harms=harm(kind, **more), quantities=quantities) == expected


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"cvss": {"base_score": 3.9}}, 1),
        ({"cvss": {"base_score": 4}}, 2),
        ({"cvss": {"base_score": 7.0}}, 3),
        ({"cvss": {"base_score": 9.8}}, 4),
        ({"flags": ["model-weights-exposed"]}, 4),
        ({"flags": ["loss-of-control"]}, 4),
        ({"flags": ["deception-of-developer"]}, 4),
        ({"flags": ["cbrn"]}, 5),
        ({"flags": ["csam"]}, 3),
        ({"flags": ["special-category-data"], "quantities": {"personal_records": 500}}, 3),
        ({"rights": ["liberty"], "harms": harm("fundamental-rights")}, 3),
        ({"harms": harm("ai-security"), "flags": ["transferable"]}, 3),
    ],
)
def test_circumstances_place_the_incident_too(facts, expected):
    assert level(**facts) == expected


def test_the_gravest_harm_counts_and_is_named():
    severity = assess(
        {"realization": "harm-event", "harms": harm("property", level=2), "quantities": {"deaths": 1}}
    )
    assert severity.level == 4
    assert severity.drivers[0] == "physical-health: level 4 (deaths=1)"


def test_an_assessed_level_raises_and_never_lowers():
    assert level(harms=harm("privacy", level=4), quantities={"personal_records": 5}) == 4
    assert level(harms=harm("privacy", level=1), quantities={"personal_records": 10**6}) == 4


@pytest.mark.parametrize(
    ("realization", "causality", "expected", "plausible"),
    [
        ("harm-event", "direct", 4, 4),
        ("harm-event", "contributing", 3, 4),
        ("harm-event", "indirect", 2, 4),
        ("harm-event", "disputed", 1, 4),
        ("near-miss", "direct", 3, 4),
        ("potential", "direct", 2, 4),
        ("potential", "not-established", 1, 4),
        ("unknown", "direct", 4, 4),
        ("no-harm", "direct", 0, 4),
    ],
)
def test_causality_and_realization_discount_down_to_one(realization, causality, expected, plausible):
    severity = assess(
        {"realization": realization, "causality": causality, "harms": harm("property", level=4)}
    )
    assert (severity.level, severity.plausible_level) == (expected, plausible)


def test_a_harm_that_has_not_come_about_counts_two_less_in_an_event_that_has():
    assert level(harms=harm("physical-health", level=4, materialised=False)) == 2
    assert (
        assess(
            {"realization": "near-miss", "harms": harm("physical-health", level=4, materialised=False)}
        ).level
        == 3
    )


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"realization": "harm-event", "quantities": {"deaths": 1}}, "serious-incident"),
        ({"realization": "harm-event", "flags": ["capacity-exceeded"]}, "disaster"),
        ({"realization": "harm-event", "quantities": {"injuries": 1}}, "incident"),
        ({"realization": "near-miss", "harms": harm("physical-health", level=4)}, "serious-hazard"),
        ({"realization": "potential", "harms": harm("physical-health", level=3)}, "hazard"),
        ({"realization": "unknown"}, "other"),
        ({"realization": "no-harm"}, "other"),
    ],
)
def test_the_oecd_class_follows(facts, expected):
    assert assess(facts).oecd_class == expected


def test_the_score_stays_inside_the_band_of_its_level():
    flags = ["ongoing", "irreversible", "vulnerable-group", "population-scale", "cross-border"]
    kinds = [{"harm_type": kind, "level": 2} for kind in voc.HARM_TYPE]
    severity = assess({"realization": "harm-event", "flags": flags, "harms": kinds})
    assert severity.score == 49
    assert "ongoing: +4" in severity.drivers


def test_a_named_person_may_set_the_level_and_the_computed_one_stays_visible():
    facts = {
        "realization": "harm-event",
        "quantities": {"deaths": 1},
        "severity_basis": "overridden",
        "severity_level": 2,
        "severity_override": {"by_ref": "identity--1", "at": "2025-01-01T00:00:00Z", "reason": "A drill."},
    }
    severity = assess(facts)
    assert (severity.level, severity.grade, severity.basis) == (2, "IV", "overridden")
    assert severity.drivers[0] == "overridden to level 2: A drill."
    assert severity.drivers[1] == "computed from the facts: level 4, score 75"
    del facts["severity_override"]["reason"]
    assert assess(facts).level == 4


def test_a_source_may_report_more_than_the_facts_give_but_not_less():
    facts = {"realization": "harm-event", "quantities": {"injuries": 1}, "severity_basis": "reported"}
    assert assess({**facts, "severity_level": 4}).level == 4
    assert assess({**facts, "severity_level": 1}).level == 2


def test_cases_that_experts_graded_come_out_as_they_did():
    # CSETv0's hand-assigned severities of public fatal cases.
    assert level(causality="direct", quantities={"deaths": 189}) == 5
    assert level(causality="direct", quantities={"deaths": 1}) == 4
    assert level(causality="contributing", quantities={"deaths": 144}) == 4
    assert level(causality="indirect", quantities={"deaths": 51}) == 3


@given(extensions)
def test_level_score_and_grade_belong_together(extension):
    severity = assess(extension)
    low, high = BANDS[severity.level]
    assert low <= severity.score <= high
    assert severity.grade == GRADES[severity.level]
    assert severity.plausible_level >= severity.level
    assert severity.level == 0 or severity.drivers
    assert all(0 < len(driver) <= 250 for driver in severity.drivers)


@given(extensions, st.randoms(use_true_random=False))
def test_the_order_in_which_facts_are_written_does_not_matter(extension, random):
    shuffled = copy.deepcopy(extension)
    for name in ("harms", "flags", "rights"):
        random.shuffle(shuffled.get(name, []))
    items = list(shuffled.items())
    random.shuffle(items)
    assert assess(dict(items)) == assess(extension)


def _more(draw, extension):
    """The same incident with one fact more, or more of it."""
    more = copy.deepcopy(extension)
    harms = more.get("harms", [])
    choice = draw(
        st.sampled_from(["count", "loss", "cvss", "flag", "right", "harm", "level", "happened", "lasting"])
    )
    quantities = more.setdefault("quantities", {})
    if choice == "count":
        name = draw(st.sampled_from(COUNTS))
        quantities[name] = quantities.get(name, 0) + draw(st.integers(1, 10**8))
    elif choice == "loss":
        loss = quantities.setdefault("economic_loss", {"amount": 0, "currency": "EUR"})
        loss["amount"] += draw(st.integers(1, 10**9))
    elif choice == "cvss":
        score = more.get("cvss", {"base_score": 0})["base_score"]
        more["cvss"] = {"base_score": draw(st.floats(score, 10))}
    elif choice in ("flag", "right"):
        name, words = ("flags", voc.FLAG) if choice == "flag" else ("rights", voc.RIGHT_OV)
        more[name] = [*more.get(name, []), draw(st.sampled_from(list(words)))]
    elif choice == "harm":
        more["harms"] = [
            *harms,
            {"harm_type": draw(st.sampled_from(list(voc.HARM_TYPE))), "level": draw(st.integers(0, 5))},
        ]
    elif harms:
        one = harms[draw(st.integers(0, len(harms) - 1))]
        if choice == "level" and "level" in one:
            one["level"] = draw(st.integers(one["level"], 5))
        elif choice == "happened":
            one["materialised"] = True
        elif choice == "lasting":
            one["reversibility"] = "irreversible"
    return more


@settings(max_examples=400)
@given(st.data(), extensions)
def test_more_of_any_fact_never_gives_less_severity(data, extension):
    before = assess(extension)
    after = assess(_more(data.draw, extension))
    assert after.level >= before.level
    assert after.score >= before.score
    assert after.plausible_level >= before.plausible_level


STEPS = ["not-established", "indirect", "contributing", "direct"]


@given(extensions)
def test_a_closer_link_never_gives_less_severity(extension):
    levels = [assess({**extension, "causality": step}).score for step in STEPS]
    assert levels == sorted(levels)


@given(extensions)
def test_harm_that_came_closer_never_gives_less_severity(extension):
    scores = [
        assess({**extension, "realization": step}).level for step in ("no-harm", "potential", "near-miss")
    ]
    assert scores == sorted(scores)


@given(st.dictionaries(st.sampled_from(["harms", "quantities", "flags", "rights", "cvss", "realization", "causality",
                                        "severity_level", "severity_basis", "severity_override"]), wild_values))  # fmt: skip
def test_anything_at_all_gets_an_answer(extension):
    severity = assess(extension)
    assert 0 <= severity.level <= 5
