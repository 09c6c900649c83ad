"""The Matrix door against a real Synapse, and against what stands in front of one when things go wrong."""

import asyncio
import logging
import secrets
from contextlib import asynccontextmanager

import pytest
from tests.support.fault_proxy import fault_proxy
from tests.support.homeserver import Room, open_room

from tocsin_node.errors import SecretError
from tocsin_node.links.matrix import MatrixTransport
from tocsin_node.links.transport import BadMessage, ChannelDown, Ready, Retry, Sent
from tocsin_node.settings.channels import MatrixSettings

TEXT = {"msgtype": "m.text", "body": "grade I"}


@asynccontextmanager
async def transport(
    room: Room, *, url: str | None = None, token: str | None = None, poll_s: float = 2.0, **settings
):
    chosen = {
        "homeserver": url or room.bot.url,
        "user_id": room.bot.user_id,
        "room": room.id,
        "responders": (room.responder.user_id,),
        "request_timeout_s": 2.0,
        **settings,
    }
    opened = MatrixTransport(MatrixSettings(**chosen), lambda: token or room.bot.access_token, poll_s=poll_s)
    try:
        yield opened
    finally:
        await opened.close()


@asynccontextmanager
async def joined(room: Room, **options):
    async with transport(room) as patient:  # joining has its time, whatever is to be tried afterwards
        assert await patient.preflight(room.id) == Ready(present=1)
    async with transport(room, **options) as opened:
        assert await opened.preflight(room.id) == Ready(present=1)
        yield opened


def txn() -> str:
    return secrets.token_hex(8)


async def test_an_invited_bot_joins_and_its_words_are_seen_once(room):
    async with joined(room) as opened:
        name = txn()
        first = await opened.send(room.id, "m.room.message", TEXT, name)
        again = await opened.send(room.id, "m.room.message", TEXT, name)
        assert isinstance(first, Sent)
        assert again == first
    async with joined(room) as opened:  # the node was started anew
        assert await opened.send(room.id, "m.room.message", TEXT, name) == first
    assert [e["event_id"] for e in room.alerts()] == [first.event_id]


async def test_our_own_words_come_back_with_their_transaction_id(room):
    async with joined(room) as opened:
        start = await opened.sync(room.id, None)
        sent = await opened.send(room.id, "m.room.message", TEXT, "a name of ours")
        heard = await opened.sync(room.id, start.next)
    assert [(e.event_id, e.txn, e.sender) for e in heard.events] == [
        (sent.event_id, "a name of ours", room.bot.user_id)
    ]
    assert heard.complete


async def test_reactions_replies_and_redactions_are_heard_in_order(room):
    async with joined(room) as opened:
        start = await opened.sync(room.id, None)
        alert = (await opened.send(room.id, "m.room.message", TEXT, txn())).event_id
        reaction = room.responder.react(room.id, alert)
        room.responder.say(room.id, "!ack 1")
        room.responder.redact(room.id, reaction)
        events, position = [], start.next
        while len(events) < 4:
            heard = await opened.sync(room.id, position)
            events, position = [*events, *heard.events], heard.next
        assert [e.type for e in events] == [
            "m.room.message",
            "m.reaction",
            "m.room.message",
            "m.room.redaction",
        ]
        assert events[3].redacts == reaction
        assert await opened.relations(room.id, alert) == ()
        room.responder.react(room.id, alert, "✅")
        standing = await opened.relations(room.id, alert)
        assert [e.content["m.relates_to"]["key"] for e in standing] == ["✅"]


async def test_a_busy_room_hides_nothing(room):
    async with joined(room) as opened:
        start = await opened.sync(room.id, None)
        alert = (await opened.send(room.id, "m.room.message", TEXT, txn())).event_id
        reaction = room.responder.react(room.id, alert)
        chat = [room.responder.say(room.id, f"chat {n}") for n in range(70)]
        heard = await opened.sync(room.id, start.next)
        assert heard.complete
        assert [e.event_id for e in heard.events] == [alert, reaction, *chat]


async def test_a_second_equal_reaction_counts_as_sent(room):
    async with joined(room) as opened:
        alert = (await opened.send(room.id, "m.room.message", TEXT, txn())).event_id
        eyes = {"m.relates_to": {"rel_type": "m.annotation", "event_id": alert, "key": "👀"}}
        assert isinstance(await opened.send(room.id, "m.reaction", eyes, txn()), Sent)
        assert await opened.send(room.id, "m.reaction", eyes, txn()) == Sent(None)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ({"msgtype": "m.text", "body": "x", "n": 0.5}, "bad-json"),
        ({"msgtype": "m.text", "body": "x" * 70_000}, "too-large"),
    ],
)
async def test_a_bad_message_is_the_message_s_fault(room, content, code):
    async with joined(room) as opened:
        assert await opened.send(room.id, "m.room.message", content, txn()) == BadMessage(code)


async def test_shipped_rate_limits_say_how_long_to_wait(limited_homeserver):
    room = open_room(limited_homeserver)
    async with joined(room) as opened:
        outcomes = [await opened.send(room.id, "m.room.message", TEXT, txn()) for _ in range(12)]
    limited = [o for o in outcomes if isinstance(o, Retry)]
    assert limited
    assert all(o.code == "limited" and 0.5 < o.after_s < 10 for o in limited)


# Proxies and networks --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("bad-gateway", Retry("http-502")),
        ("html", Retry("http-200")),
        ("limited-without-json", Retry("limited", 1.0)),
        ("hang", Retry("homeserver-silent")),
        ("reset-after-commit", Retry("homeserver-unreachable")),
        ("cut-body", Retry("answer-cut")),
    ],
)
async def test_what_a_proxy_does_is_retried_under_the_same_name(homeserver, room, fault, expected):
    async with (
        fault_proxy(homeserver.url) as proxy,
        joined(room, url=proxy.url, request_timeout_s=3.0) as opened,
    ):
        name = txn()
        proxy.fail(
            fault, times=2
        )  # aiohttp itself repeats a request on a connection that dies before the answer
        assert await opened.send(room.id, "m.room.message", TEXT, name) == expected
        proxy.heal()
        assert isinstance(await opened.send(room.id, "m.room.message", TEXT, name), Sent)
    assert len(room.alerts()) == 1


async def test_a_redirect_is_not_followed_with_an_alert_in_hand(homeserver, room):
    async with fault_proxy(homeserver.url) as proxy, joined(room, url=proxy.url) as opened:
        proxy.fail("redirect")
        down = await opened.send(room.id, "m.room.message", TEXT, txn())
    assert isinstance(down, ChannelDown)
    assert down.code == "redirected"


async def test_a_hanging_homeserver_is_given_up_in_time(homeserver, room):
    async with joined(room, request_timeout_s=2.0) as opened:
        homeserver.pause()
        async with asyncio.timeout(60):
            assert await opened.send(room.id, "m.room.message", TEXT, "slow") == Retry("homeserver-silent")
        homeserver.resume()
        assert isinstance(await opened.send(room.id, "m.room.message", TEXT, "slow"), Sent)
    assert len(room.alerts()) == 1


async def test_a_dead_homeserver_is_unreachable_at_once(homeserver, room):
    async with joined(room) as opened:
        homeserver.kill()
        assert await opened.send(room.id, "m.room.message", TEXT, txn()) == Retry("homeserver-unreachable")
        assert await opened.preflight(room.id) == Retry("homeserver-unreachable")
        assert await opened.sync(room.id, None) == Retry("homeserver-unreachable")


# What a person must mend -------------------------------------------------------------------------------


async def codes(opened, room):
    """How the channel is down, for a message and for the preflight after it."""
    sent = await opened.send(room.id, "m.room.message", TEXT, txn())
    looked = await opened.preflight(room.id)
    return getattr(sent, "code", "sent"), getattr(looked, "code", "ready")


async def test_a_kicked_bot_says_so_and_comes_back_when_invited(room):
    async with joined(room) as opened:
        start = await opened.sync(room.id, None)
        room.responder.call("POST", f"/rooms/{room.id}/kick", {"user_id": room.bot.user_id})
        heard = await opened.sync(room.id, start.next)
        assert heard.trouble.code == "not-in-room"
        assert await codes(opened, room) == ("forbidden", "not-in-room")
        assert not await opened.invited(room.id)
        room.responder.call("POST", f"/rooms/{room.id}/invite", {"user_id": room.bot.user_id})
        assert await opened.invited(room.id)
        assert await opened.preflight(room.id) == Ready(present=1)
        assert isinstance(await opened.send(room.id, "m.room.message", TEXT, txn()), Sent)


async def test_a_banned_bot_says_so(room):
    async with joined(room) as opened:
        room.responder.call("POST", f"/rooms/{room.id}/ban", {"user_id": room.bot.user_id})
        assert await codes(opened, room) == ("forbidden", "not-in-room")


async def test_a_revoked_token_says_so_and_a_new_one_is_taken_up(room, caplog):
    caplog.set_level(logging.DEBUG)
    tokens = [room.bot.access_token]
    settings = MatrixSettings(homeserver=room.bot.url, user_id=room.bot.user_id, room=room.id)
    opened = MatrixTransport(settings, lambda: tokens[-1])
    try:
        await opened.preflight(room.id)
        room.bot.call("POST", "/logout", {})
        assert await codes(opened, room) == ("token-rejected", "token-rejected")
        assert (await opened.sync(room.id, None)).code == "token-rejected"
        tokens.append(room.responder.access_token)
        wrong = await opened.preflight(room.id)
        assert wrong.code == "wrong-user"
    finally:
        await opened.close()
    told = caplog.text + repr(opened) + repr(vars(opened)) + repr(wrong)
    assert not [t for t in tokens if t in told]


async def test_a_token_of_another_device_is_refused_before_it_can_post_twice(room):
    async with transport(room, device_id="ANOTHER") as opened:
        assert (await opened.preflight(room.id)).code == "wrong-device"


async def test_a_missing_token_says_where_to_get_one(room):
    def missing() -> str:
        raise SecretError("matrix-token cannot be read.")

    opened = MatrixTransport(
        MatrixSettings(homeserver=room.bot.url, user_id=room.bot.user_id, room=room.id), missing
    )
    down = await opened.preflight(room.id)
    await opened.close()
    assert down.code == "token-missing"
    assert "tocsin matrix login" in down.hint


async def test_encryption_that_is_switched_on_after_the_look_stops_the_next_message(room):
    async with joined(room) as opened:
        room.responder.set_state(room.id, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
        outcome = await opened.send(room.id, "m.room.message", TEXT, txn())
    assert outcome.code == "room-encrypted"
    assert "matrix.encrypted" in outcome.hint
    assert room.alerts() == []


async def test_an_encrypted_room_is_refused(room):
    async with joined(room) as opened:
        start = await opened.sync(room.id, None)
        room.responder.set_state(room.id, "m.room.encryption", {"algorithm": "m.megolm.v1.aes-sha2"})
        assert (await opened.sync(room.id, start.next)).trouble.code == "room-encrypted"
        assert (await opened.preflight(room.id)).code == "room-encrypted"


async def test_an_upgraded_room_is_not_rung_and_the_new_one_is_named(room):
    async with joined(room) as opened:
        start = await opened.sync(room.id, None)
        answer = room.responder.call("POST", f"/rooms/{room.id}/upgrade", {"new_version": "11"})
        assert (await opened.sync(room.id, start.next)).trouble.code == "room-upgraded"
        down = await opened.preflight(room.id)
    assert down.code == "room-upgraded"
    assert answer["replacement_room"] in down.detail


@pytest.mark.parametrize("version", ["10", "12"])
async def test_a_bot_without_a_voice_says_so_before_the_first_alert(homeserver, version):
    room = open_room(
        homeserver, room_version=version, power_level_content_override={"events": {"m.room.message": 50}}
    )
    async with transport(room) as opened:
        assert (await opened.preflight(room.id)).code == "muted"


async def test_the_creator_of_a_room_of_version_12_has_a_voice_without_a_number(homeserver):
    room = open_room(homeserver)
    own = room.bot.create_room(
        room.responder.user_id,
        room_version="12",
        power_level_content_override={"events": {"m.room.message": 90}},
    )
    room.responder.join(own)
    async with transport(room) as opened:
        assert await opened.preflight(own) == Ready(present=1)
        assert isinstance(await opened.send(own, "m.room.message", TEXT, txn()), Sent)


async def test_a_room_without_a_responder_is_rung_with_a_warning(room):
    async with transport(room, responders=("@nobody:hs.test",)) as opened:
        looked = await opened.preflight(room.id)
        assert looked.warning.code == "no-responder"


async def test_a_room_may_be_named_by_its_alias(homeserver, room):
    alias = f"#alerts-{secrets.token_hex(4)}:hs.test"
    room.responder.call("PUT", f"/directory/room/{alias.replace('#', '%23')}", {"room_id": room.id})
    async with transport(room) as opened:
        assert await opened.preflight(alias) == Ready(present=1)
        assert isinstance(await opened.send(alias, "m.room.message", TEXT, txn()), Sent)
        assert (await opened.preflight("#nowhere:hs.test")).code == "room-unknown"
    assert len(room.alerts()) == 1


async def test_an_address_without_a_homeserver_is_not_taken_for_one(room):
    async with transport(room, url=f"{room.bot.url}/_matrix") as opened:
        assert (await opened.preflight(room.id)).code == "not-a-homeserver"
