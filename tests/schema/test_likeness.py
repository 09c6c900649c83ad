"""Likeness: the same event scores high, whichever way round, and every point has a reason."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.schema.samples import DATA  # noqa: F401  the samples' module is where the forms live

from tocsin_schema import ids
from tocsin_schema.check import check_bundle
from tocsin_schema.errors import BadId, NotADuplicate
from tocsin_schema.facets import Facets, duplicates_named, facets_of, key, url_key
from tocsin_schema.likeness import LIKELY, Rarity, compare, traits_from, traits_of
from tocsin_schema.secret import without_secrets
from tocsin_schema.stix import build, mark_duplicate, node_identity, revise, to_form, unmark_duplicate

PRODUCER = node_identity("Acme", "n1" + "a" * 52)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
RARITY = Rarity(1000, {"the": 900, "a": 800, "system": 400, "truck": 5})
FORM = {
    "title": "Shuttle hits a truck",
    "description": "A self-driving shuttle in Las Vegas was hit by a delivery truck on its first day.",
    "tlp": "green",
    "realization": "harm-event",
    "occurred_start": "2025-03-24",
    "systems": [{"name": "Autonom", "vendor": "Navya"}],
    "deployers": ["Keolis Nord"],
}
OTHER = "incident--00000000-0000-4000-8000-000000000009"


def made(**fields):
    raw = build({**FORM, **fields}, producer=PRODUCER, incident_id=ids.new_incident_id(), now=NOW)
    return check_bundle(raw).report


def like(*, one=None, other=None):
    return compare(traits_of(made(**(one or {}))), traits_of(made(**(other or {}))), RARITY)


def test_the_same_event_in_other_words_is_likely_and_another_is_not():
    retold = {
        "title": "Driverless shuttle of Navya struck by truck",
        "description": "Las Vegas: a delivery truck hit it.",
    }
    same = like(other={**retold, "occurred_start": "2025-03-25"})
    assert same.score >= LIKELY
    assert any(reason.startswith("the same system") for reason in same.reasons)
    bare = {
        "title": "Chat model insults pupils",
        "description": "At school.",
        "systems": [{"name": "Chatter"}],
    }
    assert like(other={**bare, "deployers": ["A school"], "occurred_start": "2019-01-01"}).score < 10


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"sources": [{"name": "Daily", "url": "http://www.example.org/a/#top"}]}, "the same source"),
        ({}, "the same system"),
        ({}, "the same parties"),
        ({}, "on the same day"),
        ({"countries": ["US"]}, "the same country: US"),
        ({"harms": [{"harm_type": "property"}]}, "the same kind of harm: property"),
    ],
)
def test_each_kind_of_evidence_is_named(change, reason):
    assert any(each.startswith(reason) for each in like(one=change, other=change).reasons)


def test_years_between_two_events_take_away():
    near, far = like(), like(other={"occurred_start": "2015-03-24"})
    assert far.score < near.score


words = st.lists(st.sampled_from(["truck", "the", "shuttle", "brake", "camera", "a", "system"]), max_size=12)
texts = st.tuples(words.map(" ".join), words.map(" ".join))


@given(texts, texts, st.integers(0, 4000))
def test_a_score_is_between_0_and_100_and_the_same_either_way_round(one, other, days):
    facets = Facets((key("party", "x"),), "", "", "", NOW, None)
    later = Facets((), "", "", "", NOW + timedelta(days=days), None)
    left, right = traits_from("1", *one, facets), traits_from("2", *other, later)
    there, back = compare(left, right, RARITY), compare(right, left, RARITY)
    assert there == back
    assert 0 <= there.score <= 100
    assert bool(there.reasons) or there.score == 0


def test_the_address_of_a_page_is_the_same_with_and_without_what_tells_nothing():
    assert url_key("https://www.example.org/a/") == url_key("http://example.org/a#b") == "url:example.org/a"
    assert url_key("https://example.org/a?id=1") != url_key("https://example.org/a?id=2")
    assert url_key("http://[broken") is None


def test_keys_of_any_length_stay_short_and_apart():
    one, other = key("party", "x" * 499 + "1"), key("party", "x" * 499 + "2")
    assert one != other
    assert max(len(one), len(other)) < 200


def test_a_report_that_says_what_it_duplicates_is_sound_and_keeps_saying_it():
    raw = build(FORM, producer=PRODUCER, incident_id=ids.new_incident_id(), now=NOW)
    said = mark_duplicate(raw, OTHER, now=NOW + timedelta(seconds=1))
    report = check_bundle(said).report
    assert f"duplicate-of:{OTHER}" in facets_of(report).keys
    assert to_form(said) == to_form(raw)
    later = revise(said, {"title": "Another title"}, now=NOW + timedelta(seconds=2))
    assert f"duplicate-of:{OTHER}" in facets_of(check_bundle(later).report).keys
    again = mark_duplicate(later, OTHER, now=NOW + timedelta(seconds=3))
    assert again.count(b'"relationship_type":"duplicate-of"') == 1


@pytest.mark.parametrize("other", ["", "incident--x", "report--00000000-0000-4000-8000-000000000009"])
def test_a_duplicate_needs_another_incident(other):
    raw = build(FORM, producer=PRODUCER, incident_id=OTHER, now=NOW)
    for each in (other, OTHER):
        with pytest.raises(BadId):
            mark_duplicate(raw, each, now=NOW + timedelta(seconds=1))


def test_what_was_said_to_be_a_duplicate_is_unsaid_without_a_trace_and_can_be_said_again():
    raw = build(FORM, producer=PRODUCER, incident_id=ids.new_incident_id(), now=NOW)
    said = mark_duplicate(raw, OTHER, now=NOW + timedelta(seconds=1))
    unsaid = unmark_duplicate(said, OTHER, now=NOW + timedelta(seconds=2))
    assert OTHER.encode() not in unsaid
    assert to_form(unsaid) == to_form(raw)
    assert duplicates_named(check_bundle(said).report) == (OTHER,)
    assert duplicates_named(check_bundle(unsaid).report) == ()
    with pytest.raises(NotADuplicate):
        unmark_duplicate(unsaid, OTHER, now=NOW + timedelta(seconds=3))
    again = mark_duplicate(unsaid, OTHER, now=NOW + timedelta(seconds=3))
    assert duplicates_named(check_bundle(again).report) == (OTHER,)


# What no reason repeats, and no index holds -------------------------------------------------------------------

PERSON = {
    "title": "Mrs Quirinius was left waiting",
    "description": "Mrs Quirinius rang +49 30 901820 and mail@quirinius.example; the queue was wrong.",
    "affected": ["Jolanthe Quirinius"],
}
KEYS = {
    "private key": "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANB\n-----END PRIVATE KEY-----",
    "token": "ghp_" + "a1B2" * 9,
    "password": "password: hunter2hunter",
    "url": "postgres://admin:s3cr3tword@db.example.org",
    "aws": "AKIA" + "ABCDEFGH23456723",
}


def test_reasons_repeat_no_word_of_what_seems_to_be_personal_data():
    for other in (PERSON, {**PERSON, "title": "Herr Quirinius waited"}):
        found = like(one=PERSON, other=other)
        assert found.score >= LIKELY
        said = " ".join(found.reasons).casefold()
        assert "similar words" in said
        assert not [word for word in ("quirinius", "901820") if word in said]
    alone = like(one={**PERSON, "title": "Quirinius"}, other={**PERSON, "title": "Quirinius"})
    assert any("may be personal data" in reason for reason in alone.reasons)


@pytest.mark.parametrize("secret", KEYS.values(), ids=KEYS.keys())
def test_a_secret_is_in_nothing_that_a_report_is_found_by_or_compared_by(secret):
    text = f"The operator pasted {secret} into the chat by mistake."
    report = made(
        title=text.replace("\n", " ")[:200],
        description=text,
        deployers=[f"Keolis {secret}".replace("\n", " ")],
        sources=[{"name": "Paste", "url": "https://user:Xy9w0rdX@paste.example/raw"}],
    )
    facets, traits = facets_of(report), traits_of(report)
    held = " ".join((*facets.keys, facets.title, facets.names, facets.text, *traits.words)).casefold()
    words = ("miievqibadanb", "a1b2a1b2", "hunter2", "s3cr3tword", "abcdefgh23456723", "xy9w0rdx")
    assert not [word for word in words if word in held]
    assert "pasted" in facets.text
    assert "mistake" in facets.text
    assert not [reason for reason in compare(traits, traits, RARITY).reasons if "hunter" in reason]


@given(st.text(max_size=200), st.sampled_from(sorted(KEYS.values())), st.text(max_size=200))
def test_taking_secrets_out_leaves_none_and_keeps_what_is_around(before, secret, after):
    text = f"{before} {secret} {after}"
    left = without_secrets(text)
    assert without_secrets(left) == left or len(without_secrets(left)) < len(left)
    assert secret not in left
    for plain in ("Nothing to hide.", "The key reason was a cache."):
        assert without_secrets(plain) == plain
