"""What a responder reads, and what nobody must be able to make them read."""

import json
from html.parser import HTMLParser

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin_node.links.alert_text import (
    BODY_BYTES,
    NAME_BYTES,
    SUMMARY_BYTES,
    TITLE_BYTES,
    AlertFacts,
    cut,
    foreign,
    short_words,
    title_of,
    words,
)
from tocsin_schema.marking import Tlp

RESPONDER = "@grace:hs.test"
FULL = AlertFacts(
    kind="raise",
    grade="II",
    tlp=Tlp.GREEN,
    report_id="incident--3b5e1c0e-7f3c-4a51-9d7d-0a3a9b0f4c11",
    ver=1,
    level=4,
    score=79,
    title="Shuttle did not see a cyclist",
    summary="At a roundabout the shuttle drove on. The cyclist died.",
    origin="City Transport",
    systems=("Navya Autonom Shuttle 2.1",),
    drivers=("physical-health: level 4 (deaths=1)",),
    reasons=("grade II",),
)
SECRETS = (FULL.title, FULL.summary, FULL.origin, *FULL.systems, *FULL.drivers)


def seen(facts: AlertFacts, alert_id: int = 17) -> str:
    """Everything that goes to the homeserver."""
    return json.dumps(words(facts, alert_id, [RESPONDER]), ensure_ascii=False)


def test_the_text_says_what_happened_how_severe_why_who_and_what_to_do():
    assert words(FULL, 17, [RESPONDER])["body"] == (
        "🟠 ALERT, grade II · severe, 4 of 5 · TLP:GREEN\n"
        "Shuttle did not see a cyclist\n"
        "At a roundabout the shuttle drove on. The cyclist died.\n"
        "\n"
        "How severe: score 79 of 100\n"
        "Why: physical-health: level 4 (deaths=1)\n"
        "It rings because: grade II\n"
        "System: Navya Autonom Shuttle 2.1\n"
        "Reported by: City Transport\n"
        "\n"
        "Acknowledge: react with 👀, 👍 or ✅, or write !ack 17\n"
        "Read it all: tocsin report show incident--3b5e1c0e-7f3c-4a51-9d7d-0a3a9b0f4c11"
    )


def test_the_message_rings_the_responders_and_carries_whole_numbers_for_programs():
    content = words(FULL, 17, [RESPONDER])
    assert content["msgtype"] == "m.text"
    assert content["m.mentions"] == {"user_ids": [RESPONDER]}
    assert content["org.tocsin.alert"] == {
        "v": 1, "alert": 17, "kind": "raise", "grade": "II", "report": FULL.report_id, "ver": 1, "level": 4, "score": 79,
    }  # fmt: skip
    assert words(FULL, 17, [])["m.mentions"] == {"room": True}


@pytest.mark.parametrize(
    ("tlp", "shown"),
    [
        (Tlp.RED, ()),
        (Tlp.AMBER_STRICT, ("severe, 4 of 5", "score 79")),
        (Tlp.AMBER, ("severe, 4 of 5", "score 79", FULL.title)),
        (Tlp.GREEN, ("severe, 4 of 5", "score 79", *SECRETS)),
        (Tlp.CLEAR, ("severe, 4 of 5", "score 79", *SECRETS)),
    ],
)
def test_the_marking_decides_what_the_room_may_read(tlp, shown):
    facts = cut(msgspec.structs.replace(FULL, tlp=tlp), Tlp.RED)
    stored = msgspec.json.encode(facts).decode()
    for secret in ("severe, 4 of 5", "score 79", *SECRETS):
        assert (secret in seen(facts)) == (secret in shown)
        assert secret in shown or secret not in stored
    assert FULL.report_id in seen(facts)
    assert "grade II" in seen(facts)
    assert tlp.label in seen(facts)


def test_red_gives_nothing_but_id_and_grade():
    facts = cut(msgspec.structs.replace(FULL, tlp=Tlp.RED), Tlp.RED)
    assert words(facts, 17, [])["org.tocsin.alert"] == {
        "v": 1, "alert": 17, "kind": "raise", "grade": "II", "report": FULL.report_id, "ver": 1,
    }  # fmt: skip
    assert title_of(facts) == "TLP:RED incident, details not shown"


@pytest.mark.parametrize("ceiling", list(Tlp))
@pytest.mark.parametrize("tlp", list(Tlp))
def test_above_the_room_s_ceiling_there_are_no_details(tlp, ceiling):
    facts = cut(msgspec.structs.replace(FULL, tlp=tlp), ceiling)
    if tlp.rank > ceiling.rank:
        assert facts == cut(msgspec.structs.replace(FULL, tlp=tlp), Tlp.CLEAR)
        assert not [s for s in SECRETS if s in seen(facts)]


@pytest.mark.parametrize(
    ("kind", "headline"),
    [
        ("escalate", "🟠 ALERT, grade raised to II · severe, 4 of 5 · TLP:GREEN"),
        ("withdrawn", "⚪ WITHDRAWN: the report of grade II no longer stands · severe, 4 of 5 · TLP:GREEN"),
        ("test", "🔔 TEST: this is a test of the alarm, nothing has happened"),
    ],
)
def test_the_first_line_says_what_kind_of_alert_it_is(kind, headline):
    body = words(msgspec.structs.replace(FULL, kind=kind), 17, [])["body"]
    assert body.splitlines()[0] == headline


def test_a_test_alert_names_no_report():
    facts = AlertFacts(kind="test", grade="none", tlp=Tlp.CLEAR)
    assert "tocsin report show" not in seen(facts)
    assert "!ack 17" in seen(facts)


def test_the_short_form_holds_no_foreign_text():
    short = json.dumps(short_words(FULL, 17, [RESPONDER]), ensure_ascii=False)
    assert not [s for s in SECRETS if s in short]
    assert FULL.report_id in short


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        ("line one\nAcknowledge: nothing to do", "line one Acknowledge: nothing to do"),
        ("a\u202egnp.exe", "agnp[.]exe"),
        ("a\u2066b\u2069\u200b\u200f\ufeffc", "abc"),
        ("bell\x07 nul\x00 del\x7f", "bell nul del"),
        ("@room wake up, @grace:hs.test", "＠room wake up, ＠grace:hs[.]test"),
        ("https://matrix.to/#/@grace:hs.test", "https[:]//matrix[.]to/＃/＠grace:hs[.]test"),
        ("www.evil.example, WWW.7.example", "www[.]evil[.]example, WWW[.]7[.]example"),
        ("evil.example/login and a.B.co", "evil[.]example/login and a.B[.]co"),
        ("mailto:a@b.example tel:112 Matrix:r/x", "mailto[:]a＠b[.]example tel[:]112 Matrix[:]r/x"),
        ("#room:server.example #3 is no room", "＃room:server[.]example #3 is no room"),
        ("Shuttle 2.1 stopped. Nobody was hurt.", "Shuttle 2.1 stopped. Nobody was hurt."),
        ("z" + "\u0336" * 40, "z" + "\u0336" * 3),
        ("half \ud83d pair", "half pair"),
        ("a\u2028b\u2029c\u00a0d", "a b c d"),
    ],
)
def test_foreign_text_is_only_text(hostile, harmless):
    assert foreign(hostile, 200) == harmless


def test_foreign_text_is_escaped_in_html_and_left_alone_in_the_plain_body():
    facts = msgspec.structs.replace(FULL, title="<img src=x onerror=alert(1)> & `!ack 9`")
    content = words(facts, 17, [])
    assert "<img src=x onerror=alert(1)> & `!ack 9`" in content["body"]
    assert "&lt;img src=x onerror=alert(1)&gt; &amp; `!ack 9`" in content["formatted_body"]
    assert "<code>!ack 9" not in content["formatted_body"]


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag, attrs):
        assert attrs == []
        self.found.add(tag)


TEXT = st.text(st.characters(), max_size=3000) | st.text("<>&\"'@\n😀\u202e", max_size=3000)


@given(TEXT, TEXT, TEXT, st.lists(TEXT, max_size=8), st.lists(TEXT, max_size=5))
def test_any_report_gives_a_message_that_every_homeserver_takes(title, summary, origin, drivers, systems):
    facts = msgspec.structs.replace(
        FULL, title=title, summary=summary, origin=origin, drivers=tuple(drivers), systems=tuple(systems)
    )
    content = words(facts, 10**15, [RESPONDER])
    assert len(content["body"].encode()) <= BODY_BYTES
    assert len(json.dumps(content).encode()) < 48_000
    assert len(content["body"].splitlines()) <= 12
    assert content["body"].splitlines()[-2].startswith("Acknowledge: react with")
    assert content["body"].splitlines()[-1] == f"Read it all: tocsin report show {FULL.report_id}"
    assert "@" not in content["body"]
    tags = Tags()
    tags.feed(content["formatted_body"])
    assert tags.found <= {"h4", "p", "strong", "ul", "li", "code"}


@given(TEXT, st.sampled_from([NAME_BYTES, TITLE_BYTES, SUMMARY_BYTES]))
def test_foreign_text_keeps_to_its_length_and_stays_as_it_is_when_repeated(text, most):
    once = foreign(text, most)
    assert len(once.encode()) <= most
    assert foreign(once, most) == once
