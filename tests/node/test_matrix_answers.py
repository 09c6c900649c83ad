"""Refusals and events, without a homeserver: every answer means something and none of them breaks us."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin_node.links import answer
from tocsin_node.links.answer import Order, Unknown
from tocsin_node.links.matrix_answers import (
    Answer,
    events,
    joined,
    may_post,
    not_about_message,
    refusal,
    room_trouble,
)
from tocsin_node.links.transport import BadMessage, ChannelDown, Retry

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def said(status: int, errcode: str | None = None, retry_after: str | None = None, **more) -> Answer:
    body = {"errcode": errcode, "error": "…", **more} if errcode else None
    return Answer(status, body, retry_after)


@pytest.mark.parametrize(
    ("given_answer", "expected"),
    [
        (said(429, "M_LIMIT_EXCEEDED", retry_after_ms=4463), Retry("limited", 4.463)),
        (said(429, "M_LIMIT_EXCEEDED", "7"), Retry("limited", 7.0)),
        (said(429, None, "7"), Retry("limited", 7.0)),
        (said(429), Retry("limited", 5.0)),
        (said(429, None, "Wed, 21 Oct 2026 07:28:00 GMT"), Retry("limited", 5.0)),
        (said(429, "M_LIMIT_EXCEEDED", retry_after_ms=10**12), Retry("limited", 3600.0)),
        (said(429, "M_LIMIT_EXCEEDED", retry_after_ms=-1), Retry("limited", 5.0)),
        (said(429, "M_LIMIT_EXCEEDED", retry_after_ms=0), Retry("limited", 0.05)),
        (said(500, "M_UNKNOWN"), Retry("http-500")),
        (said(502), Retry("http-502")),
        (said(504), Retry("http-504")),
        (said(403), Retry("http-403")),
        (said(404), Retry("http-404")),
        (said(408, "M_UNKNOWN"), Retry("http-408")),
        (Answer(200, {}), Retry("answer-strange")),
        (said(400, "M_BAD_JSON"), BadMessage("bad-json")),
        (said(413, "M_TOO_LARGE"), BadMessage("too-large")),
    ],
)
def test_what_is_to_be_done_follows_from_the_answer(given_answer, expected):
    assert refusal(given_answer) == expected


@pytest.mark.parametrize(
    ("given_answer", "code"),
    [
        (said(302), "redirected"),
        (said(401, "M_UNKNOWN_TOKEN"), "token-rejected"),
        (said(401, "M_MISSING_TOKEN"), "token-rejected"),
        (said(401, "M_SOMETHING_NEW"), "token-rejected"),
        (said(403, "M_USER_DEACTIVATED"), "bot-deactivated"),
        (said(403, "M_FORBIDDEN"), "forbidden"),
        (said(404, "M_NOT_FOUND"), "room-unknown"),
        (said(404, "M_UNRECOGNIZED"), "not-a-homeserver"),
        (said(418, "M_TEAPOT"), "homeserver-refuses"),
    ],
)
def test_what_a_person_must_mend_is_named_with_advice(given_answer, code):
    down = refusal(given_answer)
    assert isinstance(down, ChannelDown)
    assert (down.code, down.hint.endswith(".")) == (code, True)


def test_a_bad_request_without_a_message_is_the_channel_s_trouble():
    assert isinstance(not_about_message(BadMessage("bad-json")), ChannelDown)
    assert not_about_message(Retry("http-502")) == Retry("http-502")


def event(kind: str, content: object, **more: object) -> dict[str, object]:
    return {
        "event_id": "$e",
        "sender": "@amy:hs",
        "type": kind,
        "content": content,
        "origin_server_ts": 1,
        **more,
    }


@given(st.integers(100, 599), JSON, st.none() | st.text(max_size=8))
def test_any_answer_means_something(status, body, retry_after):
    assert isinstance(refusal(Answer(status, body, retry_after)), Retry | ChannelDown | BadMessage)


@given(
    st.sampled_from(
        ["m.room.message", "m.reaction", "m.room.redaction", "m.room.create", "m.room.power_levels"]
    ),
    JSON
    | st.fixed_dictionaries(
        {},
        optional={
            "msgtype": JSON | st.just("m.text"),
            "body": JSON | st.text("!ack 1>\n", max_size=30),
            "m.relates_to": JSON
            | st.fixed_dictionaries(
                {},
                optional={
                    "rel_type": st.just("m.annotation") | JSON,
                    "event_id": JSON,
                    "key": JSON,
                    "m.in_reply_to": JSON,
                },
            ),
            "users": JSON,
            "redacts": JSON,
            "room_version": JSON,
        },
    ),
    JSON,
    JSON,
)
def test_no_event_that_anybody_can_write_breaks_the_ear(kind, content, unsigned, at):
    found = events([event(kind, content, unsigned=unsigned, origin_server_ts=at, state_key=""), unsigned, at])
    for one in found:
        answer.read(one)
        assert one.at <= datetime.now(UTC) + timedelta(seconds=1)
    room_trouble(found, encrypted=False)
    room_trouble(found, encrypted=True)
    may_post(found, "@amy:hs")
    joined(found)


def test_a_clock_that_lies_is_not_believed():
    late = datetime.now(UTC) + timedelta(days=9)
    [one] = events([event("m.reaction", {}, origin_server_ts=late.timestamp() * 1000)])
    assert one.at <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("version", "user", "may"),
    [
        ("12", "@amy:hs", True),
        ("12", "@also:hs", True),
        ("12", "@bot:hs", False),
        ("11", "@amy:hs", False),
        ("x", "@amy:hs", False),
    ],
)
def test_creators_stand_above_power_levels_only_from_version_12(version, user, may):
    state = events(
        [
            event(
                "m.room.create", {"room_version": version, "additional_creators": ["@also:hs"]}, state_key=""
            ),
            event("m.room.power_levels", {"events_default": "50", "users_default": 0}, state_key=""),
        ]
    )
    assert may_post(state, user) == may


IN_THREAD = {
    "rel_type": "m.thread",
    "event_id": "$t",
    "is_falling_back": True,
    "m.in_reply_to": {"event_id": "$last"},
}


@pytest.mark.parametrize(
    ("body", "relation", "expected"),
    [
        ("!ack 17", {}, Order("ack", 17)),
        ("  !ack #17  going  ", {}, Order("ack", 17, note="going")),
        ("!ack", {"m.in_reply_to": {"event_id": "$a"}}, Order("ack", target="$a")),
        ("!ack", {"rel_type": "m.thread", "event_id": "$t"}, Order("ack", thread="$t")),
        ("!ack", IN_THREAD, Order("ack", thread="$t")),
        (
            "!ack",
            {**IN_THREAD, "is_falling_back": False},
            Order("ack", target="$last", thread="$t"),
        ),
        ("> <@bot:hs> !ack 1\n\n!ack 2", {}, Order("ack", 2)),
        ("!ack 5 a\x00b\nsecond line", {}, Order("ack", 5, note="a b")),
        ("!ack", {}, Order("ack")),
        ("!ack １７", {}, Order("ack", note="１７")),
        ("!ACK 17", {}, Order("ack", 17)),
        ("!take 3 mine", {}, Order("take", 3, note="mine")),
        ("!resolve 3", {}, Order("resolve", 3)),
        ("!mute 2h 7", {}, Order("mute", 7, span=timedelta(hours=2))),
        (
            "!mute 7 30min a lot of noise",
            {},
            Order("mute", 7, span=timedelta(minutes=30), note="a lot of noise"),
        ),
        (
            "!mute 30m",
            {"rel_type": "m.thread", "event_id": "$t"},
            Order("mute", None, None, "$t", timedelta(minutes=30)),
        ),
        ("!mute 2 hours", {}, Order("mute", 2, note="hours")),
        ("!mute 99999h", {}, Order("mute", None, note="99999h")),
        ("!status", {}, Order("status")),
        ("!help me", {}, Order("help", note="me")),
        ("!unsubscribe 4", {}, Order("unsubscribe", 4)),
        ("!ack17", {}, None),
        ("!shout", {}, Unknown("shout")),
        ("!shout", {"rel_type": "m.thread", "event_id": "$t"}, Unknown("shout", "$t")),
        ("!", {}, None),
        ("!!", {}, None),
        ("! ack 17", {}, None),
        ("well, !ack 17", {}, None),
        ("!ack 17", {"rel_type": "m.replace", "event_id": "$x"}, None),
    ],
)
def test_an_order_stands_at_the_start_of_what_was_said(body, relation, expected):
    content = {"msgtype": "m.text", "body": body, "m.relates_to": relation}
    [one] = events([event("m.room.message", content)])
    assert answer.read(one) == expected


def test_notices_are_never_answered_so_that_no_two_programs_talk_to_each_other():
    for msgtype in ("m.notice", "m.emote", "m.image"):
        [one] = events([event("m.room.message", {"msgtype": msgtype, "body": "!help"})])
        assert answer.read(one) is None
