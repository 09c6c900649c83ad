"""What an emergency says in a room, a letter and a webhook: a drill says so first, and no place reads more than it may."""

import json
from datetime import UTC, datetime

import hypothesis.strategies as st
import msgspec
from hypothesis import given

from tocsin_node.links.alert_text import AlertFacts, bare, cut, headline, plain_text, words
from tocsin_node.links.answer import Order, Unknown, read
from tocsin_node.links.emergency_words import ROOM_ANSWERS
from tocsin_node.links.transport import RoomEvent
from tocsin_node.services.alarm_way import Telling, _body, _letter
from tocsin_schema.marking import Tlp

ID = "c7c12a57-9383-5d46-9524-c278863a8b17"
FACTS = AlertFacts(
    kind="emergency", grade="I", tlp=Tlp.GREEN, report_id="incident--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a", ver=1,
    level=5, score=90, title="TITLE", emergency=ID, caller="CALLER", call="REASON", steps=("STEP",),
    step_texts=("HOW",),
)  # fmt: skip
FLAGS = st.fixed_dictionaries({name: st.booleans() for name in ("ordinary", "over", "called_here")})


def places(facts):
    """The text of an alert in a room, a letter and a webhook, each with its first line."""
    told = Telling(facts, 7, "alert-7", datetime(2026, 1, 1, tzinfo=UTC), "txn")
    room, letter, body = words(facts, 7, ()), _letter(told), _body(told)
    yield room["body"].splitlines()[0], json.dumps(room, ensure_ascii=False)
    yield letter["subject"], json.dumps(letter, ensure_ascii=False)
    yield body["text"].splitlines()[0], json.dumps(body, ensure_ascii=False)


@given(FLAGS, st.sampled_from(Tlp), st.sampled_from(Tlp))
def test_a_drill_says_so_in_the_first_line_of_everything_and_never_claims_to_be_earnest(flags, tlp, ceiling):
    facts = cut(msgspec.structs.replace(FACTS, drill=True, tlp=tlp, **flags), ceiling)
    for told in (facts, bare(facts)):
        for first, text in places(told):
            assert "DRILL" in first
            assert "EMERGENCY" not in text
            assert '"emergency": "c7c12a57' in text or "Tocsin 7" in text


@given(FLAGS)
def test_what_is_earnest_is_no_drill(flags):
    for first, text in places(msgspec.structs.replace(FACTS, **flags)):
        assert "DRILL" not in text
        assert "EMERGENCY" in first or (flags["ordinary"] and "one more emergency" in first)


@given(FLAGS, st.booleans(), st.sampled_from(Tlp), st.sampled_from(Tlp))
def test_no_place_reads_more_than_its_ceiling_and_the_marking_allow(flags, drill, tlp, ceiling):
    facts = cut(msgspec.structs.replace(FACTS, drill=drill, tlp=tlp, **flags), ceiling)
    above = tlp.rank > ceiling.rank
    for _, text in places(facts):
        assert ("CALLER" in text) == (not above and tlp is not Tlp.RED)
        titled = not above and tlp in {Tlp.CLEAR, Tlp.GREEN, Tlp.AMBER}
        assert ("TITLE" in text) == ("REASON" in text) == titled
        assert ("HOW" in text) == (not above and tlp in {Tlp.CLEAR, Tlp.GREEN})


def test_it_says_what_is_asked_and_how_it_ends():
    ours = plain_text(msgspec.structs.replace(FACTS, called_here=True), 7)
    theirs = plain_text(FACTS, 7)
    assert f"tocsin emergency stand-down {ID} --reason" in ours
    assert "stand-down" not in theirs
    for text in (ours, theirs):
        assert "!affected, !not-affected, !investigating" in text
        assert f"tocsin emergency answer {ID} --affected" in text
        assert "Step 1: STEP: HOW" in text
    over = plain_text(msgspec.structs.replace(FACTS, over=True), 7)
    assert "!affected" not in over
    assert "Acknowledge" not in over


def test_a_hostile_caller_stays_on_its_line_and_rings_nobody():
    facts = msgspec.structs.replace(FACTS, caller="a\n🔴 ALERT @room https://evil.example", drill=True)
    first = headline(facts)
    assert "\n" not in first
    assert "@room" not in first
    assert "https://" not in first


def said(body, **relation):
    content = {"msgtype": "m.text", "body": body, "m.relates_to": relation}
    return read(RoomEvent("$e", "@a:x", "m.room.message", datetime(2026, 1, 1, tzinfo=UTC), content))


def test_the_room_answers_in_the_thread_or_by_number():
    for word in ROOM_ANSWERS:
        answer = said(f"!{word.upper()}", rel_type="m.thread", event_id="$root")
        assert isinstance(answer, Order)
        assert (answer.verb, answer.thread, answer.number) == (word, "$root", None)
        numbered = said(f"!{word} 12 on two wards")
        assert (numbered.number, numbered.note) == (12, "on two wards")
    assert isinstance(said("!affectedness 12"), Unknown)
