import json

import pytest
import stix2
from stix2.exceptions import STIXError
from tests.schema.exports.reports import hostile, report, rich, sound
from tests.schema.samples import FULL, build

from tocsin_schema.exports import opencti


def incident_of(one):
    objects = json.loads(b"".join(opencti.write([one])))["objects"]
    return next(obj for obj in objects if obj["type"] == "incident")


def test_the_properties_that_opencti_reads_stand_at_the_top():
    made = incident_of(rich())
    assert made["incident_type"] == "ai-incident"
    assert made["severity"] == "medium"
    assert made["first_seen"] == "2025-03-23T16:02:00.000Z"
    assert made["last_seen"] == "2025-03-23T16:49:00.000Z"
    assert made["source"] == "Example Energy AG"
    assert "objective" not in made
    extension = made["extensions"][opencti.OPENCTI_EXTENSION]
    assert extension["score"] == 57
    assert extension["labels"] == made["labels"]
    assert 'ai-incident:harm="critical-infrastructure"' in made["labels"]


@pytest.mark.parametrize(("deaths", "severity"), [(0, "low"), (1, "high"), (10, "critical")])
def test_severity_follows_the_level(deaths, severity):
    form = {
        "title": "A",
        "description": "B",
        "tlp": "clear",
        "realization": "harm-event",
        "quantities": {"deaths": deaths},
    }
    assert incident_of(report(build(form)))["severity"] == severity


def test_a_last_seen_that_opencti_would_refuse_is_left_out():
    same = FULL["occurred_start"]
    assert "last_seen" not in incident_of(report(build({**FULL, "occurred_end": same})))


def test_an_objective_is_there_only_where_somebody_meant_it():
    form = {**FULL, "causal_intent": "intentional", "ai_relation": ["malicious-use"]}
    assert incident_of(report(build(form)))["objective"] == "malicious-use"


def test_name_and_creation_stay_since_opencti_knows_an_incident_by_them():
    for one in sound():
        made = incident_of(one)
        assert made["name"] == one.name
        assert made["id"] == one.id


def test_it_is_not_strict_stix_as_it_says():
    assert "not strict STIX" in opencti.LOSSES[0]
    with pytest.raises(STIXError):
        stix2.parse(incident_of(rich()), allow_custom=False, version="2.1")


def test_the_same_reports_give_the_same_bytes_and_hostile_text_stays_text():
    assert b"".join(opencti.write(sound())) == b"".join(opencti.write(sound()))
    assert incident_of(hostile('"},{"type":"x'))["name"] == '"},{"type":"x'
