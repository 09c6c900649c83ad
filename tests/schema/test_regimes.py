"""Every regime file is sound, marks what nobody has verified, and matches what it should and nothing else."""

import tomllib
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path

import pytest

from tocsin_schema.authority.document import GAPS
from tocsin_schema.authority.filling import FILL
from tocsin_schema.duty import AI_ACT_TERMS, duties_of, triggers
from tocsin_schema.errors import RegimeUnknown
from tocsin_schema.organisation import ROLE, Organisation
from tocsin_schema.predicate import Facts
from tocsin_schema.regime import FILLINGS, read, regimes

AWARE = datetime(2028, 9, 5, 8, 0, tzinfo=UTC)  # a Tuesday, after every date of effect
FOLDER = Path(str(resources.files("tocsin_schema").joinpath("regimes")))
FILES = {file.name: file.read_text("utf-8") for file in FOLDER.glob("*.toml")}
HIGH_RISK = [{"eu_risk_class": "annex-iii"}]
SYSTEMIC = [{"gpai_class": "gpai-systemic"}]


def harm(kind, level):
    return {"harms": [{"harm_type": kind, "level": level, "materialised": True}]}


def deaths(number):
    return {"harms": [{"harm_type": "physical-health"}], "quantities": {"deaths": number}}


NO_FLAGS = {"flags": ["ongoing"]}
INFRASTRUCTURE = harm("critical-infrastructure", 4)
LEAKED = {"flags": ["personal-data"], "quantities": {"personal_records": 9}, **harm("privacy", 1)}
OPEN = "possible"
SURE = "applies"
# regime → role, jurisdiction, systems, facts that match, how sure, first due (hours after awareness; None: no clock),
# and facts of the same shape that do not match.
EXAMPLES = {
    "eu-aia-73-general": ("provider", "DE", HIGH_RISK, harm("environment", 3), SURE, 15 * 24, harm("environment", 2)),
    "eu-aia-73-critical": ("provider", "DE", HIGH_RISK, INFRASTRUCTURE, SURE, 48, harm("critical-infrastructure", 3)),
    "eu-aia-73-death": ("provider", "DE", HIGH_RISK, deaths(1), SURE, 10 * 24, deaths(0)),
    "eu-aia-26-5": ("deployer", "DE", HIGH_RISK, deaths(1), SURE, None, harm("economic", 2)),
    "eu-gpai-55": ("gpai-systemic-provider", "EU", SYSTEMIC, deaths(1), SURE, None, harm("economic", 2)),
    "eu-cop-9.3-1": ("gpai-code-signatory", "EU", [], INFRASTRUCTURE, SURE, 48, harm("critical-infrastructure", 3)),
    "eu-cop-9.3-2": ("gpai-code-signatory", "EU", [], {"flags": ["model-weights-exposed"]}, SURE, 5 * 24, harm("economic", 1)),
    "eu-cop-9.3-3": ("gpai-code-signatory", "EU", [], deaths(1), SURE, 10 * 24, deaths(0)),
    "eu-cop-9.3-4": ("gpai-code-signatory", "EU", [], harm("psychological", 3), SURE, 15 * 24, harm("harmful-content", 2)),
    "eu-cop-follow-up": ("gpai-code-signatory", "EU", [], deaths(1), SURE, None, harm("harmful-content", 2)),
    "eu-gdpr-33": ("controller", "FR", [], LEAKED, SURE, 72, harm("economic", 3)),
    "eu-nis2-23": ("nis2-entity", "FR", [], INFRASTRUCTURE, OPEN, 24, harm("reputational", 3)),
    "eu-dora-19": ("financial-entity", "FR", [], harm("economic", 3), OPEN, 24, None),
    "eu-cra-14-vulnerability": ("product-manufacturer", "FR", [], harm("ai-security", 3), OPEN, 24, {**harm("economic", 2), "ai_relation": ["malfunction"]}),
    "eu-cra-14-incident": ("product-manufacturer", "FR", [], harm("ai-security", 3), OPEN, 24, {**harm("economic", 2), "ai_relation": ["malfunction"]}),
    "eu-mdr-87-threat": ("device-manufacturer", "FR", [], {**deaths(12)}, OPEN, 48, harm("economic", 2)),
    "eu-mdr-87-death": ("device-manufacturer", "FR", [], deaths(1), SURE, 10 * 24, harm("economic", 2)),
    "eu-mdr-87-serious": ("device-manufacturer", "FR", [], harm("physical-health", 1), SURE, 15 * 24, harm("economic", 2)),
    "ca-sb53-15d": ("frontier-developer", "US-CA", [], {"flags": ["deception-of-developer"]}, SURE, 15 * 24, harm("reputational", 1)),
    "ca-sb53-24h": ("frontier-developer", "US-CA", [], {"flags": ["imminent-risk-to-life", "deception-of-developer"]}, SURE, 24, harm("reputational", 1)),
    "ny-raise-72h": ("frontier-developer", "US-NY", [], {"flags": ["deception-of-developer"]}, SURE, 72, harm("reputational", 1)),
    "ny-raise-24h": ("frontier-developer", "US-NY", [], {"flags": ["imminent-risk-to-life", "deception-of-developer"]}, SURE, 24, harm("reputational", 1)),
    "us-nhtsa-sgo-5d": ("vehicle-operator", "US", [], deaths(1), OPEN, 5 * 24, harm("economic", 2)),
    "us-nhtsa-sgo-monthly": ("vehicle-operator", "US", [], harm("property", 1), OPEN, 40 * 24 + 20, harm("economic", 2)),
    "us-fda-mdr-30d": ("device-manufacturer", "US", [], deaths(1), SURE, 30 * 24, {**harm("economic", 2), "ai_relation": ["overreliance"]}),
    "us-fda-mdr-5d": ("device-manufacturer", "US", [], deaths(1), OPEN, 5 * 24, {**harm("economic", 2), "ai_relation": ["overreliance"]}),
    "us-fda-mdr-facility": ("device-user-facility", "US", [], deaths(1), SURE, 10 * 24, harm("economic", 2)),
    "us-circia": ("critical-infrastructure-operator", "US", [], INFRASTRUCTURE, OPEN, 24, harm("economic", 2)),
    "cn-cac-cii": ("critical-infrastructure-operator", "CN", [], {"quantities": {"outage_minutes": 30}}, SURE, 1, None),
    "cn-cac-gov": ("state-organ", "CN", [], {"quantities": {"personal_records": 10**6}}, SURE, 2, None),
    "cn-cac-other": ("network-operator", "CN", [], {"quantities": {"views": 10_000}}, SURE, 4, None),
    "cn-genai-guide": ("genai-provider", "CN", [], {"quantities": {"reposts": 1000}}, SURE, None, None),
    "cn-pipl-57": ("controller", "CN", [], LEAKED, SURE, None, harm("economic", 3)),
    "kr-ai-basic": ("provider", "KR", [], deaths(1), SURE, None, harm("economic", 2)),
}  # fmt: skip
ELSEWHERE = "BR"


def duties(role, jurisdiction, systems, facts, **more):
    extension = {
        "realization": "harm-event",
        "aware_at": AWARE.isoformat()[:-6] + "Z",
        **NO_FLAGS,
        **facts,
        **more,
    }
    organisation = Organisation("X", frozenset([role]), frozenset([jurisdiction]))
    found = duties_of(
        Facts(extension, systems, AWARE + timedelta(hours=1)), organisation, AWARE + timedelta(minutes=5)
    )
    return {duty.regime: duty for duty in found}


def test_every_file_is_read_and_every_regime_has_an_example():
    assert {f"{name}.toml" for name in regimes().by_id} == FILES.keys() - {"_terms.toml"}
    assert EXAMPLES.keys() == regimes().by_id.keys()


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_regime_matches_its_example_with_its_time(name):
    role, jurisdiction, systems, facts, standing, hours, _ = EXAMPLES[name]
    duty = duties(role, jurisdiction, systems, facts)[name]
    assert duty.standing == standing
    assert duty.in_force == (name != "us-circia")
    assert bool(duty.missing) == (standing == OPEN) or name == "eu-gdpr-33"
    dues = [d.due_conservative for d in duty.deadlines if d.due_conservative]
    if hours is None:
        assert all(d.standing != "running" for d in duty.deadlines)
    else:
        assert min(dues) == AWARE + timedelta(hours=hours)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_regime_matches_nobody_else(name):
    role, jurisdiction, systems, facts, _, _, other = EXAMPLES[name]
    assert name not in duties(
        "state-organ" if role != "state-organ" else "controller", jurisdiction, systems, facts
    )
    assert name not in duties(role, ELSEWHERE, systems, facts)
    if other is not None:
        assert name not in duties(role, jurisdiction, systems, other)


@pytest.mark.parametrize("name", [n for n, example in EXAMPLES.items() if "harms" in example[3]])
def test_what_did_not_happen_is_not_a_harm_that_happened(name):
    role, jurisdiction, systems, facts, *_ = EXAMPLES[name]
    found = duties(role, jurisdiction, systems, facts, realization="near-miss")
    # A classification by people; a flag that says data got out; what malfunctioned or was attacked, harm or not.
    allowed = {"eu-dora-19", "eu-gdpr-33", "cn-pipl-57", "eu-cra-14-vulnerability", "eu-cra-14-incident"}
    allowed |= {"us-fda-mdr-30d", "us-fda-mdr-5d"}
    assert name not in found or name in allowed


@pytest.mark.parametrize("name", EXAMPLES)
def test_nothing_known_is_possible_at_most_and_says_what_would_decide(name):
    role, jurisdiction, *_ = EXAMPLES[name]
    organisation = Organisation("X", frozenset([role]), frozenset([jurisdiction]))
    found = duties_of(Facts({"realization": "harm-event"}, [], AWARE), organisation, AWARE)
    duty = next(duty for duty in found if duty.regime == name)
    assert duty.standing == "possible"
    assert duty.missing


def test_what_rests_on_others_or_on_memory_says_so():
    read_in_full = {"eu-gpai-55", "eu-cop-follow-up", *(f"eu-cop-9.3-{n}" for n in "1234")}
    assert {name for name, regime in regimes().by_id.items() if regime.verified} == read_in_full


def test_an_unknown_regime_names_those_there_are():
    with pytest.raises(RegimeUnknown) as caught:
        regimes().get("eu-gdpr")
    assert "eu-gdpr-33" in caught.value.hint


def test_every_filling_has_a_function_and_a_word_for_its_absence():
    assert FILL.keys() == FILLINGS == GAPS.keys()


def test_the_boundary_of_a_grade_is_the_number_itself():
    at, below = (
        {"quantities": {"outage_minutes": 30}},
        {"quantities": {"outage_minutes": 29}, **harm("critical-infrastructure", 1)},
    )
    assert "cn-cac-cii" in duties("critical-infrastructure-operator", "CN", [], at)
    found = duties("critical-infrastructure-operator", "CN", [], below)
    assert found["cn-cac-cii"].standing == "possible"
    assert found["cn-cac-cii"].missing == ("quantities.persons_affected",)


def test_an_incident_before_the_date_of_effect_is_shown_and_not_in_force():
    organisation = Organisation("X", frozenset(["provider"]), frozenset(["DE"]))
    for aware, in_force in (("2027-12-01T23:00:00Z", False), ("2027-12-02T01:00:00Z", True)):
        facts = Facts({"realization": "harm-event", "aware_at": aware, **deaths(1)}, HIGH_RISK, AWARE)
        duty = next(d for d in duties_of(facts, organisation, AWARE) if d.regime == "eu-aia-73-death")
        assert duty.in_force is in_force
        assert str(duty.effective_from) == "2027-12-02"
    product = Facts({"realization": "harm-event", **deaths(1)}, [{"eu_risk_class": "annex-i"}], AWARE)
    duty = next(d for d in duties_of(product, organisation, AWARE) if d.regime == "eu-aia-73-death")
    assert str(duty.effective_from) == "2028-08-02"


def test_the_limbs_of_article_3_49_follow_from_facts_and_the_third_needs_a_person():
    assert AI_ACT_TERMS.keys() == set("abcd")
    organisation = Organisation("X")

    def limbs(extension):
        found = triggers(Facts({"realization": "harm-event", **extension}, [], AWARE), organisation)
        return {letter: verdict.holds for letter, verdict in found.items()}

    assert limbs(deaths(1)) == {"a": True, "b": False, "c": False, "d": False}
    assert limbs(INFRASTRUCTURE) == {"a": False, "b": True, "c": False, "d": False}
    rights = harm("discrimination", 3)
    assert limbs(rights)["c"] is None
    said = {"scheme": "eu-ai-act-3-49", "code": "c", "assigned_by": "human"}
    assert limbs({**rights, "classifications": [said]})["c"] is True
    assert limbs({**rights, "classifications": [said | {"assigned_by": "rule"}]})["c"] is None
    assert limbs(harm("economic", 3))["d"] is True


BROKEN = {
    "an unknown key": ("eu-gdpr-33", 'id = "eu-gdpr-33"', 'id = "eu-gdpr-33"\ncolour = "red"', "colour"),
    "another name than the file": ("eu-gdpr-33", 'id = "eu-gdpr-33"', 'id = "eu-gdpr-34"', "eu-gdpr-34"),
    "an unknown role": ("eu-gdpr-33", 'role = ["controller"]', 'role = ["controler"]', "controler"),
    "an unknown fact": ("cn-cac-cii", 'term = "cn-relatively-major"', 'count = "dead", at_least = 1', "dead"),
    "an unknown term": ("cn-cac-cii", 'term = "cn-relatively-major"', 'term = "cn-major"', "cn-major"),
    "two forms in one": ("cn-cac-cii", '{ jurisdiction = ["CN"] }', '{ jurisdiction = ["CN"], flag = ["cbrn"] }', "one form"),
    "no form": ("cn-cac-cii", '{ jurisdiction = ["CN"] }', "{ level = 3 }", "one form"),
    "a clock that nothing starts": ("eu-gdpr-33", 'starts = "aware_at"', 'starts = "awake_at"', "awake_at"),
    "a report that nobody makes": ("eu-nis2-23", "done:eu-nis2-23/notification", "done:eu-nis2-23/letter", "letter"),
    "a filling without a function": ("eu-gdpr-33", 'fill = ["nobody"]', 'fill = ["somebody"]', "somebody"),
    "verified and not": ("eu-gdpr-33", "verified = false", "verified = true", "verified"),
    "a time zone that is none": ("cn-cac-cii", "Asia/Shanghai", "Asia/Shanghia", "Shanghia"),
    "a limit and no count": ("eu-gdpr-33", 'unit = "hours", count = "elapsed"', 'unit = "hours", count = "eu"', "elapsed"),
    "code instead of data": ("eu-gdpr-33", '{ role = ["controller"] }', '"__import__(\'os\')"', "Condition|object"),
    "no TOML": ("eu-gdpr-33", "[source]", "[source", "eu-gdpr-33.toml"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_malformed_file_is_refused_by_name(what):
    name, before, after, told = BROKEN[what]
    text = FILES[f"{name}.toml"]
    assert before in text
    with pytest.raises(ValueError, match=told):
        read(FILES | {f"{name}.toml": text.replace(before, after, 1)})


def test_every_source_is_named_and_every_address_is_https():
    for name, text in FILES.items():
        if name != "_terms.toml":
            source = tomllib.loads(text)["source"]
            assert len(source["citation"]) > 10
            assert source.get("url", "https://").startswith("https://")


def test_the_glossary_names_every_role_and_every_regime_and_says_who_verified():
    page = (Path(__file__).parents[2] / "schema/README.md").read_text("utf-8")
    for role, meaning in ROLE.items():
        assert f"| `{role}` | {meaning} |" in page
    for name, regime in regimes().by_id.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert row.endswith(f"| {'yes' if regime.verified else 'no'} |")
        for stage in regime.stages:
            assert f"{stage.title.lower()}: {stage.words or stage.within.words()}" in row
