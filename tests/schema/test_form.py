import tomllib
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.schema.samples import FULL, MINIMAL
from tests.schema.strategies import wild_texts, wild_values

from tocsin_schema.form import FORM, check_form, examine
from tocsin_schema.template import examples, form_template
from tocsin_schema.vocabulary import LIFECYCLE_PHASE, SECTOR


def codes(**changes):
    return {(finding.code, finding.path) for finding in check_form({**MINIMAL, **changes})}


def test_a_filled_in_form_has_no_findings():
    assert check_form(MINIMAL) == ()
    assert check_form(FULL) == ()


@pytest.mark.parametrize("form", [None, 5, "title", [], [MINIMAL]], ids=str)
def test_what_is_no_form_is_refused(form):
    assert [finding.code for finding in check_form(form)] in (["wrong-type"], ["null-value"])


def test_everything_wrong_is_said_at_once_in_the_words_of_the_form():
    found = codes(title="", tlp="yellow", realisation="x", causality="maybe", confidence=101, countries="DE")
    assert {
        ("empty-text", "title"),
        ("unknown-word", "tlp"),
        ("unknown-field", "realisation"),
        ("unknown-word", "causality"),
        ("out-of-range", "confidence"),
        ("wrong-type", "countries"),
    } <= found


def test_a_misspelt_field_is_answered_with_the_nearest_one():
    finding = next(one for one in check_form({**MINIMAL, "realisation": "x"}) if one.code == "unknown-field")
    assert "realization" in finding.hint


def test_what_the_form_needs_is_named_with_its_meaning():
    found = {finding.path: finding for finding in check_form({})}
    assert set(found) == {"title", "description", "tlp", "realization"}
    assert "amber+strict" in found["tlp"].hint


@pytest.mark.parametrize(
    "name", ["systems_ref", "severity_score", "response_grade", "oecd_class", "parties", "profile_version"]
)
def test_what_is_computed_cannot_be_filled_in(name):
    assert ("unknown-field", name) in codes(**{name: 1})


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2025-03-24T10:15:00+01:00", "2025-03-24T09:15:00.000Z"),
        ("2025-03-24 10:15Z", "2025-03-24T10:15:00.000Z"),
        ("2025-03-24", "2025-03-24T00:00:00.000Z"),
        (date(2025, 3, 24), "2025-03-24T00:00:00.000Z"),
        (datetime(2025, 3, 24, 10, 15, tzinfo=UTC), "2025-03-24T10:15:00.000Z"),
        (datetime(2025, 3, 24, 10, 15, tzinfo=timezone(timedelta(hours=-5))), "2025-03-24T15:15:00.000Z"),
    ],
    ids=repr,
)
def test_times_are_read_as_people_write_them(written, read):
    tidy, found = examine({**MINIMAL, "aware_at": written})
    assert tidy["aware_at"] == read
    assert found == ()


@pytest.mark.parametrize(
    "written",
    ["10:15", "yesterday", "2025-03-24T10:15:00", datetime.fromisoformat("2025-03-24"), "2025-02-30", 5, ""],
    ids=str,
)
def test_a_time_without_zone_or_day_is_refused(written):
    assert codes(aware_at=written) & {("bad-timestamp", "aware_at"), ("wrong-type", "aware_at")}


def test_a_day_is_good_to_the_day():
    tidy, _ = examine({**MINIMAL, "occurred_start": date(2025, 3, 24)})
    assert tidy["occurred_fidelity"] == "day"
    tidy, _ = examine({**MINIMAL, "occurred_start": "2025-03-24", "occurred_fidelity": "month"})
    assert tidy["occurred_fidelity"] == "month"


@pytest.mark.parametrize(
    "written", ["TLP:AMBER+STRICT", "amber+strict", " Amber+Strict ", "tlp: amber+strict"]
)
def test_a_marking_is_read_as_people_write_it(written):
    tidy, found = examine({**MINIMAL, "tlp": written})
    assert (tidy["tlp"], found) == ("amber+strict", ())


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"severity_level": 4}, "severity_basis"),
        ({"severity_basis": "overridden"}, "severity_level"),
        ({"severity_basis": "overridden", "severity_level": 4}, "severity_override"),
        ({"severity_override": {"reason": "x"}}, "severity_basis"),
        ({"severity_basis": "reported"}, "severity_level"),
    ],
)
def test_a_level_set_by_hand_needs_its_whole_story(fields, path):
    assert ("override-incomplete", path) in codes(**fields)


def test_harm_in_an_event_without_harm_is_refused():
    assert ("realization-contradicts", "realization") in codes(
        realization="no-harm", quantities={"deaths": 1}
    )
    assert ("realization-doubtful", "realization") in codes(quantities={"deaths": 1})


def test_a_report_is_not_withdrawn_by_its_status():
    assert ("half-withdrawn", "report_status") in codes(report_status="withdrawn")


def test_the_template_lacks_only_the_required_fields():
    found = check_form(tomllib.loads(form_template()))
    assert {finding.path for finding in found} == {"title", "description", "tlp", "realization"}
    filled = form_template()
    for name, value in (("title", "A"), ("tlp", "green"), ("realization", "unknown")):
        filled = filled.replace(f'{name} = ""', f'{name} = "{value}"')
    filled = filled.replace('description = """\n\n"""', 'description = """\nWhat happened.\n"""')
    assert check_form(tomllib.loads(filled)) == ()


@pytest.mark.parametrize("name", examples())
def test_every_example_of_the_template_can_be_uncommented(name):
    assert f"#{name} = " in form_template()
    value = tomllib.loads(f"value = {examples()[name]}")["value"]
    whole = {"severity_basis": "overridden", "severity_level": 4, "severity_override": {"reason": "x"}}
    form = {
        **MINIMAL,
        "realization": "harm-event",
        **(whole if name.startswith("severity") else {}),
        name: value,
    }
    assert check_form(form) == ()


@pytest.mark.parametrize("codes", [LIFECYCLE_PHASE, SECTOR])
def test_the_template_says_what_codes_mean(codes):
    lines = [line.split(maxsplit=2) for line in form_template().splitlines()]
    assert [
        ["#", code, meaning] for code, meaning in codes.items() if ["#", code, meaning] not in lines
    ] == []


def test_the_template_offers_every_field():
    assert {*examples(), "title", "description", "tlp", "realization"} == set(FORM.fields)
    assert all(len(line) <= 110 for line in form_template().splitlines())


@given(st.dictionaries(st.sampled_from(list(FORM.fields)) | wild_texts, wild_values, max_size=8))
def test_a_form_of_anything_gets_findings_and_never_an_exception(form):
    for finding in check_form(form):
        assert finding.code
        assert finding.message.isprintable()
        assert finding.path.isprintable()


@given(wild_values)
def test_anything_at_all_may_be_handed_in(value):
    assert check_form(value)
