"""What seems to be personal data or a secret: found where it can be, never repeated, in time that grows with the text."""

import csv
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.schema import labelled
from tests.schema.samples import DATA, FULL_RAW, MINIMAL, PRODUCER, WING, build, changed, facts, find
from tests.schema.strategies import wild_texts, wild_values
from tests.support.measured import seconds_of

from tocsin_schema import personal, personal_number, secret
from tocsin_schema.check import check_bundle
from tocsin_schema.ids import party_id
from tocsin_schema.imports.party import is_name
from tocsin_schema.suspicion import MOST, findings_of, suspicions, suspicions_of_form


def kinds(text, *countries):
    form = {"description": text, **({"countries": list(countries)} if countries else {})}
    return {each.kind for each in suspicions_of_form(form)}


ALL = {**labelled.SECRETS, **labelled.PERSONAL}


@pytest.mark.parametrize("kind", ALL)
def test_of_each_kind_all_labelled_texts_are_suspected(kind):
    missed = [text for text in ALL[kind] if kind not in kinds(text, "DE", "GB")]
    assert missed == []


def test_what_only_looks_like_it_is_left_alone():
    wrong = {text: found for text in labelled.HARMLESS if (found := kinds(text, "DE", "US"))}
    assert wrong == {}


def test_names_in_running_text_are_not_found_and_the_documents_say_so():
    """Not a promise but a measure: when this fails, something got better and the documents should say so."""
    assert [text for text in labelled.OUT_OF_REACH if kinds(text)] == []
    assert "Other names in running text are not found" in " ".join(
        (WING / "README.md").read_text("utf-8").split()
    )


# What is said of it ----------------------------------------------------------------------------------------


def runs(text):
    """The pieces of a text of which one alone would give it away."""
    return re.findall(r"[^\W_]{3,}", text)


@pytest.mark.parametrize("text", [text for texts in ALL.values() for text in texts])
def test_a_finding_repeats_nothing_of_what_it_is_about(text):
    for each in suspicions_of_form({"description": text}):
        finding = each.finding()
        told = f"{each.shape} {each.place}"
        assert not any(run in told for run in runs(text))
        assert (finding.level, finding.path) == ("warning", "description")
        assert "•" in finding.message
        assert finding.hint


@given(
    st.text(max_size=80), st.sampled_from([t for texts in ALL.values() for t in texts]), st.text(max_size=80)
)
@settings(max_examples=60, deadline=None)
def test_whatever_stands_around_it_no_finding_repeats_it(before, text, after):
    for each in suspicions_of_form({"description": f"{before} {text} {after}"}):
        assert not any(run in f"{each.shape} {each.place}" for run in runs(text) if len(run) > 4)


def test_a_finding_leads_to_the_place():
    raw = build({**MINIMAL, "description": "First line.\nRing +49 30 901820."})
    (found,) = findings_of(suspicions(raw))
    assert (found.code, found.path) == ("personal-data-suspected", "incident.description")
    assert "at character 6 of line 2" in found.message
    assert "“+•• •• ••••••”" in found.message


def test_the_same_thing_is_told_once_where_it_stands_first_although_the_wrapper_repeats_it():
    raw = build(
        {**MINIMAL, "description": "Ring +49 30 901820.", "failure_modes": ["no answer at +49 30 901820"]}
    )
    assert [each.path for each in suspicions(raw)] == ["incident.description"]


# Where it looks --------------------------------------------------------------------------------------------


def test_every_text_of_every_object_is_looked_at_those_of_later_profiles_too():
    phone = "+49 30 90182{}"

    def add(bundle):
        facts(bundle)["harms"][1]["note"] = phone.format(0)
        facts(bundle)["later_property"] = {"deep": [{"er": phone.format(1)}]}
        find(bundle, "incident")["external_references"][0]["description"] = phone.format(2)
        find(bundle, "software")["vendor"] = phone.format(3)
        find(bundle, "report")["labels"].append(phone.format(4))
        find(bundle, "relationship")["description"] = phone.format(5)

    found = suspicions(changed(add))
    assert len(found) == 6
    assert {
        "incident.extensions.ai-incident.harms[1].note", "incident.extensions.ai-incident.later_property.deep[0].er",
        "incident.external_references[0].description", "report.labels[2]",
    } <= {each.path for each in found}  # fmt: skip


def test_a_private_person_among_the_parties_is_suspected_and_the_organisation_that_answers_is_not():
    def add(bundle):
        person = {
            **{key: PRODUCER[key] for key in ("type", "spec_version", "created", "modified")},
            "id": party_id("individual", "Vek"), "name": "Vek", "identity_class": "individual",
        }  # fmt: skip
        bundle["objects"].append(person)
        find(bundle, "identity")["contact_information"] = "Mrs Quirinius, +49 30 901820"

    raw = changed(add)
    assert [each.kind for each in suspicions(raw)] == ["person-party"]
    form = {"affected": ["patients", {"name": "Vek", "class": "individual"}]}
    assert [(each.kind, each.path) for each in suspicions_of_form(form)] == [("person-party", "affected[1]")]


def test_the_check_that_reports_of_peers_pass_does_not_look():
    raw = build({**MINIMAL, "description": "Ring +49 30 901820."})
    assert check_bundle(raw).findings == ()


def test_plain_national_numbers_count_in_the_countries_that_the_report_names():
    assert kinds("Durchwahl 030/901820", "DE") == {"telephone"}
    assert kinds("Durchwahl 030/901820") == set()


# Whatever comes --------------------------------------------------------------------------------------------


@given(wild_values, wild_texts)
@settings(max_examples=150, deadline=None)
def test_nothing_makes_it_raise(value, text):
    suspicions_of_form({"description": text, "harms": value} if not isinstance(value, dict) else value)
    suspicions(text.encode("utf-8", "surrogatepass"))
    suspicions(
        json.dumps({"type": "bundle", "objects": [value, {"type": "incident", "extensions": value}]}).encode()
    )
    list(secret.secrets(text))
    list(personal.personal(text, ("DE", "XX", "")))
    list(personal_number.numbers(text, ("DE", "nowhere")))


def test_a_report_full_of_it_gives_a_bounded_number_of_findings():
    text = " ".join(f"ring +49 30 90{n:04}" for n in range(1500))
    assert len(suspicions_of_form({"description": text})) == MOST


def test_a_text_with_more_numbers_than_are_looked_at_is_suspected_as_a_whole():
    text = " ".join(f"{n:04}-{n:04}-{n:04}-{n:04}" for n in range(personal_number.MOST + 100))
    assert "many-numbers" in kinds(text)


HOSTILE = [
    "a", "1", " ", "-", "+", "(", "@", ".", "a.", "a@", "@a.", "a@a.", "A", "Aa ", "Mr ", "Mr. A", "1 ", "1-", "1 A", "+1 ",
    "(1", "0 ", "eyJ", "eyJa.", "eyJaaaaaaaaa.eyJ", "sk-", "sk-a1", "sk-sk-", "xoxb-", "-----BEGIN PRIVATE KEY-----",
    "-----BEGIN ", "a://", "a://a:", "a://a:a@", "https://", "password is ", "password:", "secret=secret=", "bearer ",
    "Bearer a1", "key", "tel ", "tel 1", "phone number is ", "born ", "born 1 a", "dob 1/", "id 1", "patient id ", "1 Aa Street ",
    "12 rue de ", "Lindenstraße ", "van de ", "Aa van ", "Aa Bb, 1", "-year-old ", "1-year-old a ", "AKIA", "ghp_", "1234567890 ",
    "1.1.1.", "1a", "a1b2", "DE89 3704 ", "•", "é", "\n", "\u202e", "A-", "A'", "www.", "8Q~", "aaa8Q~", "SG.a", ":AA", "1:AA",
]  # fmt: skip


def work(unit, length):
    text = (unit * (length // len(unit) + 1))[:length]

    def look():
        list(secret.secrets(text))
        list(personal.personal(text, ("DE", "US")))

    return min(seconds_of(look) for _ in range(2))


@pytest.mark.parametrize("unit", HOSTILE)
def test_eight_times_the_text_takes_nowhere_near_sixty_four_times_the_work(unit):
    """Quadratic work would be 64 times as much. Counted in processor time of this thread, not by the clock on the wall."""
    short, long = work(unit, 5_000), work(unit, 40_000)
    assert long < max(24 * short, 0.25), (short, long)


# The real texts --------------------------------------------------------------------------------------------


def texts_of_aiid():
    with (DATA / "aiid" / "incidents.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            yield f"{row['title']}\n{row['description']}"


def texts_of_avid():
    for line in (DATA / "avid" / "reports.jsonl").read_text("utf-8").splitlines():
        yield "\n".join(strings(json.loads(line)))


def texts_of_atlas():
    for obj in json.loads((DATA / "atlas" / "stix-atlas.json").read_text("utf-8"))["objects"]:
        yield f"{obj.get('name', '')}\n{obj.get('description', '')}"


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings(item)


needs_data = pytest.mark.skipif(
    not DATA.is_dir(), reason=f"{DATA} is not there: the public collections are not part of the repository"
)


@needs_data
@pytest.mark.parametrize(
    ("source", "share"), [(texts_of_aiid, 0.07), (texts_of_avid, 0.07), (texts_of_atlas, 0.005)]
)
def test_of_the_public_collections_little_is_held_up_and_nothing_but_names(source, share):
    """Their texts were edited for publication: what is suspected there are authors and public figures."""
    texts = list(source())
    found = [kinds(text, "US") for text in texts]
    assert set().union(*found) <= {"person-name"}
    held = sum(map(bool, found))
    print(f"{source.__name__}: {held} of {len(texts)} suspected")
    assert len(texts) > 400
    assert held / len(texts) <= share


@needs_data
def test_most_harmed_persons_with_a_common_given_name_are_found_in_running_text():
    """Only counts are told. The names are those that the collection lists among the harmed and tells of in full."""
    there = seen = 0
    with (DATA / "aiid" / "incidents.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            text = f"{row['title']}\n{row['description']}"
            for slug in filter(is_name, json.loads(row["Alleged harmed or nearly harmed parties"])):
                words = [word for word in re.split(r"[-_ ]+", slug) if word]
                match = re.search(r"\W+".join(map(re.escape, words)), text, re.IGNORECASE)
                if match is None or len(words) < 2:
                    continue
                there += 1
                spots = (spot for spot in personal.personal(text) if spot.kind == "person-name")
                seen += any(spot.start < match.end() and match.start() < spot.end for spot in spots)
    print(f"{seen} of {there} found")
    assert there > 20
    assert seen / there >= 0.7


def test_the_full_example_is_clean():
    assert suspicions(FULL_RAW) == ()
