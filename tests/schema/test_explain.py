"""What would change the grade is what the rules say, no more and no less."""

import copy

from hypothesis import given
from hypothesis import strategies as st
from tests.schema.strategies import extensions, wild_values

from tocsin_schema.explain import explain
from tocsin_schema.severity import CLAIMED, assess

FATAL = {
    "realization": "harm-event",
    "causality": "contributing",
    "harms": [{"harm_type": "physical-health"}],
    "quantities": {"deaths": 2, "economic_loss": {"amount": 20_000_000, "currency": "USD"}},
    "flags": ["ongoing"],
}


def told(changes):
    return {change.fact: change.grade for change in changes}


def test_discounts_numbers_and_flags_are_told_with_the_grade_that_they_give():
    found = explain(FATAL)
    assert (found.computed.level, found.computed.grade) == (3, "III")
    up, down = told(found.raised_by), told(found.lowered_by)
    assert up["causality=direct"] == up["deaths=10"] == up["serious_injuries=51"] == up["flag cbrn"] == "II"
    assert "economic_loss of 14,000,000 US dollars" not in down, "less of a loss than there is is no news"
    assert down["realization=near-miss"] == "IV"
    assert down["realization=no-harm"] == "none"
    assert not up.keys() & down.keys()


def test_one_fact_alone_does_not_lower_what_another_one_holds_up():
    lowered = told(explain(FATAL).lowered_by)
    assert "without deaths" not in lowered
    alone = copy.deepcopy(FATAL)
    del alone["quantities"]["economic_loss"]
    assert told(explain(alone).lowered_by)["without deaths"] == "IV"


def test_a_level_that_a_person_set_is_left_out():
    override = {"by_ref": "identity--x", "at": "2026-01-01T00:00:00Z", "reason": "Seen on site."}
    by_hand = {**FATAL, "severity_basis": "overridden", "severity_level": 5, "severity_override": override}
    assert explain(by_hand) == explain(FATAL)


def test_the_gravest_changes_come_first():
    levels = [change.level for change in explain({"realization": "near-miss"}).raised_by]
    assert levels == sorted(levels, reverse=True)
    assert len(levels) > 5


@given(extensions)
def test_every_change_changes_the_grade_in_its_direction(extension):
    found = explain(extension)
    assert found.computed == assess({k: v for k, v in extension.items() if k not in CLAIMED})
    for change in found.raised_by:
        assert change.level > found.computed.level
        assert change.grade != found.computed.grade
    for change in found.lowered_by:
        assert change.level < found.computed.level
        assert change.grade != found.computed.grade


@given(
    st.dictionaries(
        st.sampled_from(["realization", "causality", "harms", "quantities", "flags", "rights"]), wild_values
    )
)
def test_anything_at_all_is_explained(extension):
    before = copy.deepcopy(extension)
    explain(extension)
    assert extension == before
