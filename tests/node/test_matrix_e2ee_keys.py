"""The bot's keys: signed, lost, repeated, late, hostile. A real Synapse, a real database."""

import json
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from deploy.demo.synapse import MatrixRefused
from nacl.signing import VerifyKey
from tests.support.alarms import TITLE, bell, incident, transport_of
from tests.support.confidant import another_device, confidant, verify_device
from tests.support.homeserver import open_encrypted_room

from tocsin_node.links.transport import Heard, Ready, Retry, RoomEvent, Sent
from tocsin_node.settings.channels import MatrixSettings

pytest.importorskip("olm", reason="the extra e2ee is not installed")

import unpaddedbase64
from mautrix.crypto import OlmAccount
from mautrix.crypto.store import MemoryCryptoStore
from mautrix.types import EventType

from tocsin_node.links.matrix_answers import Answer
from tocsin_node.links.matrix_crypto import Machine, Refused, RoomState, _index
from tocsin_node.storage.matrix_crypto import KeyStore


def ringing_in(pool, directory, room, **options):
    return bell(pool, directory, room, encrypted=True, **options)


def settings_for(room, person, **options) -> MatrixSettings:
    fields = {
        "homeserver": person.url,
        "user_id": person.user_id,
        "room": room.id,
        "encrypted": True,
        "responders": (room.responder.user_id,),
        **options,
    }
    return MatrixSettings(**fields)


@asynccontextmanager
async def unready(pool, directory, room, person=None, **options):
    """The encrypted transport of the bot, or of another person, before it has looked at anything."""
    who = person or room.bot
    opened = transport_of(
        settings_for(room, who, **options), pool, directory, lambda: who.access_token, poll_s=2
    )
    try:
        yield opened
    finally:
        await opened.close()


@asynccontextmanager
async def transport(pool, directory, room, person=None, **options):
    """The same, ready."""
    async with unready(pool, directory, room, person, **options) as opened:
        assert isinstance(await opened.preflight(room.id), Ready)
        yield opened


async def heard_from(opened, position, count, *, tries=10):
    """The next `count` messages of others since `position`, and where that ends."""
    found = []
    for _ in range(tries):
        heard = await opened.sync(opened._settings.room, position)
        assert isinstance(heard, Heard), heard
        found += [e for e in heard.events if e.type == "m.room.message"]
        position = heard.next
        if len(found) >= count:
            return found, position
    raise AssertionError(found)


@pytest.fixture
async def second_pool(cluster, tmp_path):
    """Another person's database."""
    from tocsin_node.settings.record import Settings
    from tocsin_node.settings.server import NodeSettings
    from tocsin_node.storage.pool import open_pool

    async with (
        cluster.database() as address,
        open_pool(Settings(dir=tmp_path, node=NodeSettings(org="Other")), address) as opened,
    ):
        yield opened


async def test_keys_that_the_database_has_lost_are_told_and_a_new_device_goes_on(
    pool, keys_dir, encrypted_room, friend
):
    async with ringing_in(pool, keys_dir, encrypted_room) as ringing:
        await ringing.store(incident(title="First"))
        await friend.alert()
        await ringing.all_echoed(1)
    async with pool.acquire() as conn:
        await conn.execute("drop schema matrix_crypto cascade")
    async with ringing_in(pool, keys_dir, encrypted_room) as ringing:
        check = await ringing.check("matrix", "crypto-keys-lost")
        assert "--new-device" in check.hint
        await ringing.store(incident(title="Second"))
        ringing.token = another_device(encrypted_room.bot).access_token
        ringing.alarms._lines["matrix"].channel.look()
        assert "Second" in (await friend.alert())["content"]["body"]
        await ringing.all_echoed(2)


async def test_a_new_login_is_a_new_device_with_new_keys(pool, keys_dir, encrypted_room, friend):
    async with ringing_in(pool, keys_dir, encrypted_room) as ringing:
        await ringing.store(incident(title="First"))
        await friend.alert()
        await ringing.all_echoed(1)
    async with ringing_in(pool, keys_dir, encrypted_room, run=False) as ringing:
        ringing.token = another_device(encrypted_room.bot).access_token
        alert_id = await ringing.store(incident(title="Second"))
        from tests.support.alarms import running

        async with running(ringing):
            assert "Second" in (await friend.alert())["content"]["body"]
            await friend.say(encrypted_room.id, f"!ack {alert_id}")
            await ringing.standing_acks(alert_id, 1)


async def test_other_keys_than_the_homeserver_has_are_told(pool, keys_dir, encrypted_room):
    async with transport(pool, keys_dir, encrypted_room):
        pass
    store = KeyStore(pool, encrypted_room.bot.user_id, (keys_dir / "keys/matrix-pickle-key").read_text())
    await store.get_device_id()
    await store.put_account(OlmAccount())
    async with unready(pool, keys_dir, encrypted_room) as opened:
        assert (await opened.preflight(encrypted_room.id)).code == "crypto-keys-differ"


@pytest.mark.parametrize("what", ["missing", "another"])
async def test_without_the_key_that_opens_them_the_keys_are_not_used(pool, keys_dir, encrypted_room, what):
    async with transport(pool, keys_dir, encrypted_room):
        pass
    file = keys_dir / "keys/matrix-pickle-key"
    file.unlink() if what == "missing" else file.write_text("another")
    async with unready(pool, keys_dir, encrypted_room) as opened:
        assert (await opened.preflight(encrypted_room.id)).code == "crypto-key-missing"
        assert not isinstance(
            await opened.send(encrypted_room.id, "m.room.message", {"body": "x"}, "t"), Sent
        )
    assert not [
        e for e in encrypted_room.responder.events(encrypted_room.id) if e["type"] == "m.room.encrypted"
    ]


async def test_a_room_without_encryption_is_refused(pool, keys_dir, room):
    async with unready(pool, keys_dir, room) as opened:
        assert (await opened.preflight(room.id)).code == "room-not-encrypted"


async def test_an_answer_that_was_not_committed_is_read_again_by_the_next_process(
    pool, keys_dir, encrypted_room, friend
):
    async with transport(pool, keys_dir, encrypted_room) as first:
        start = (await first.sync(encrypted_room.id, None)).next
        await friend.listen(wait_s=0.1)
        await friend.say(encrypted_room.id, "!ack 1")
        [said], _ = await heard_from(first, start, 1)
    async with transport(pool, keys_dir, encrypted_room) as second:
        [again], _ = await heard_from(second, start, 1)
    assert said == again
    assert said.content["body"] == "!ack 1"


async def test_when_all_keys_were_taken_new_devices_are_heard_and_the_keys_replaced(
    pool, keys_dir, tmp_path, encrypted_room, friend
):
    bot = encrypted_room.bot
    device = {bot.user_id: {bot.device_id: "signed_curve25519"}}
    async with transport(pool, keys_dir, encrypted_room) as opened:
        start = (await opened.sync(encrypted_room.id, None)).next
        claim = {"one_time_keys": device}
        taken = [encrypted_room.responder.call("POST", "/keys/claim", claim) for _ in range(60)]
        kinds = [next(iter(keys["one_time_keys"][bot.user_id][bot.device_id].values())) for keys in taken]
        assert [k for k in kinds if k.get("fallback")], (
            "all one-time keys are gone, and new devices still get one"
        )
        async with confidant(another_device(encrypted_room.responder), tmp_path / "tablet") as tablet:
            await tablet.say(encrypted_room.id, "!ack 6")
            [said], start = await heard_from(opened, start, 1)
        assert said.content["body"] == "!ack 6"
        left = encrypted_room.bot.call("POST", "/keys/upload", {})["one_time_key_counts"]
        assert left["signed_curve25519"] >= 50
        async with confidant(another_device(encrypted_room.responder), tmp_path / "phone") as phone:
            await phone.say(encrypted_room.id, "!ack 7")
            [said], _ = await heard_from(opened, start, 1)
    assert said.content["body"] == "!ack 7"


async def test_an_event_without_its_key_waits_is_told_and_is_read_when_the_key_comes(
    pool, second_pool, keys_dir, encrypted_room
):
    room, author = encrypted_room, encrypted_room.responder
    async with (
        transport(pool, keys_dir, room) as bot,
        transport(second_pool, keys_dir, room, author) as other,
    ):
        start = (await bot.sync(room.id, None)).next
        async with other._working():
            machine: Machine = await other._load()
            other._shared = await machine.share(room.id, [author.user_id])  # and not to the bot
        text = {"msgtype": "m.text", "body": "!ack 3"}
        assert isinstance(await other.send(room.id, "m.room.message", text, "late"), Sent)
        heard = await bot.sync(room.id, start)
        while not heard.warning:
            heard = await bot.sync(room.id, heard.next)
        assert heard.warning.code == "events-unreadable"
        assert (await bot.preflight(room.id)).warning is not None
        asked = author.call("GET", "/sync?timeout=0")["to_device"]["events"]
        assert [e["content"]["body"]["session_id"] for e in asked if e["type"] == "m.room_key_request"] == [
            other._shared
        ]
        async with other._working():
            machine = await other._load()
            session = await machine.crypto_store.get_outbound_group_session(room.id)
            device = await machine.get_or_fetch_device(room.bot.user_id, room.bot.device_id)
            stored = await machine.crypto_store.get_group_session(room.id, session.id)
            content = session.share_content
            content.session_key = session.session_key
            first = stored.export_session(0)
            forwarded = {
                "algorithm": "m.megolm.v1.aes-sha2",
                "room_id": room.id,
                "session_id": session.id,
                "session_key": first,
                "sender_key": machine.account.identity_key,
                "sender_claimed_ed25519_key": machine.account.signing_key,
                "forwarding_curve25519_key_chain": [],
            }
            await machine.send_encrypted_to_device(device, EventType.FORWARDED_ROOM_KEY, forwarded)
        [said], position = await heard_from(bot, heard.next, 1)
        assert said.content["body"] == "!ack 3"
        heard = await bot.sync(room.id, position)
        assert (heard.events, heard.warning) == ((), None)


async def test_a_key_that_nobody_asked_for_is_not_taken(pool, second_pool, keys_dir, encrypted_room):
    room, author = encrypted_room, encrypted_room.responder
    async with (
        transport(pool, keys_dir, room) as bot,
        transport(second_pool, keys_dir, room, author) as other,
    ):
        start = (await bot.sync(room.id, None)).next
        async with other._working():
            machine: Machine = await other._load()
            session_id = await machine.share(room.id, [author.user_id])
            stored = await machine.crypto_store.get_group_session(room.id, session_id)
            device = await machine.get_or_fetch_device(room.bot.user_id, room.bot.device_id)
            forwarded = {
                "algorithm": "m.megolm.v1.aes-sha2",
                "room_id": room.id,
                "session_id": session_id,
                "session_key": stored.export_session(0),
                "sender_key": machine.account.identity_key,
                "sender_claimed_ed25519_key": machine.account.signing_key,
                "forwarding_curve25519_key_chain": [],
            }
            await machine.send_encrypted_to_device(device, EventType.FORWARDED_ROOM_KEY, forwarded)
        await bot.sync(room.id, start)
        async with bot._working():
            assert not await (await bot._load()).crypto_store.has_group_session(room.id, session_id)


async def test_what_another_device_wrote_is_not_taken_for_its_alleged_senders(
    pool, keys_dir, encrypted_room, friend
):
    async with transport(pool, keys_dir, encrypted_room) as opened:
        start = (await opened.sync(encrypted_room.id, None)).next
        await friend.listen(wait_s=0.1)
        await friend.say(encrypted_room.id, "!ack 1")
        listened, _ = await opened._listen(encrypted_room.id, start, True)
        [sealed] = [e for e in listened.events if e.type == "m.room.encrypted"]
        await heard_from(opened, start, 1)
        async with opened._working():
            machine = await opened._load()
            assert (await opened._read(machine, sealed)).content["body"] == "!ack 1"
            forged = replace(sealed, sender=encrypted_room.outsider.user_id)
            assert await opened._read(machine, forged) is None
            moved = replace(sealed, event_id="$another")
            assert await opened._read(machine, moved) is None, "the same words twice"


HOSTILE = (
    {},
    {"algorithm": "m.olm.v1.curve25519-aes-sha2"},
    {"algorithm": "m.olm.v1.curve25519-aes-sha2", "sender_key": "x\u0000", "ciphertext": {"x": 1}},
    {"algorithm": "m.olm.v1.curve25519-aes-sha2", "sender_key": "A" * 43, "ciphertext": []},
    {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "AwgA", "session_id": "x\u0000", "sender_key": "y"},
    {"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": 7, "session_id": 7},
)


async def test_hostile_messages_between_devices_and_in_the_room_stop_nothing(
    pool, keys_dir, encrypted_room, friend
):
    room, bot = encrypted_room, encrypted_room.bot
    async with ringing_in(pool, keys_dir, room) as ringing:
        alert_id = await ringing.store(incident())
        seen = await friend.alert()
        await ringing.all_echoed(1)
        async with transport(pool, keys_dir, room) as looking:
            own = (await looking._keys_of_device())["curve25519"]
        for number, content in enumerate(HOSTILE):
            for kind in ("m.room.encrypted", "m.room_key_request", "m.room_key"):
                aimed = (
                    {**content, "ciphertext": {own: {"type": 0, "body": "AwgA"}}} if number == 3 else content
                )
                body = {"messages": {bot.user_id: {bot.device_id: aimed}}}
                room.responder.call("PUT", f"/sendToDevice/{kind}/{number}{kind}", body)
            room.responder.send(room.id, "m.room.encrypted", content)
        await friend.say(room.id, f"!ack {alert_id}")
        await ringing.standing_acks(alert_id, 1)
        await friend.react(room.id, seen["event_id"])
        await ringing.standing_acks(alert_id, 2)


async def test_keys_that_are_garbage_keep_nobody_else_from_reading(
    pool, second_pool, keys_dir, encrypted_room
):
    room, mallory = encrypted_room, encrypted_room.outsider
    taken = []
    for number, keys in enumerate(
        (
            {"keys": {f"ed25519:{mallory.device_id}": "short", f"curve25519:{mallory.device_id}": "x\u0000"}},
            {"keys": {"nonsense": "x"}, "signatures": {mallory.user_id: {"nonsense": "x"}}},
            {"algorithms": ["x" * 300, "\u0000"], "unsigned": 7},
        )
    ):
        device = another_device(mallory) if number else mallory
        names = (f"curve25519:{device.device_id}", f"ed25519:{device.device_id}")
        good = {
            "user_id": device.user_id,
            "device_id": device.device_id,
            "algorithms": ["m.megolm.v1.aes-sha2", "m.olm.v1.curve25519-aes-sha2"],
            "keys": dict.fromkeys(names, "A" * 43),
            "signatures": {device.user_id: {names[1]: "B" * 86}},
        }
        one_time = {"signed_curve25519:AAAAAQ": {"key": 7, "signatures": {}}}
        for body in ({"device_keys": good | keys}, {"one_time_keys": one_time}):
            try:
                device.call("POST", "/keys/upload", body)
            except MatrixRefused:
                continue
            taken.append(number)
    assert taken, "the homeserver lets none of it through"
    async with transport(second_pool, keys_dir, room, room.responder) as reader:
        start = (await reader.sync(room.id, None)).next
        async with ringing_in(pool, keys_dir, room) as ringing:
            await ringing.store(incident())
            [seen], _ = await heard_from(reader, start, 1)
            assert TITLE in seen.content["body"]
            await ringing.all_echoed(1)


async def test_the_device_is_signed_by_the_bots_own_identity(pool, keys_dir, encrypted_room, friend):
    room, bot = encrypted_room, encrypted_room.bot
    async with transport(pool, keys_dir, room) as unsigned:
        assert (await unsigned.preflight(room.id)).warning.code == "device-not-verified"
    file = keys_dir / "keys/matrix-recovery-key"
    file.write_text(await verify_device(bot))
    file.chmod(0o600)
    renewed = another_device(bot)
    async with transport(pool, keys_dir, room, renewed) as signed:
        assert (await signed.preflight(room.id)).warning is None
    told = room.responder.call("POST", "/keys/query", {"device_keys": {bot.user_id: []}})
    device = told["device_keys"][bot.user_id][renewed.device_id]
    master = next(iter(told["master_keys"][bot.user_id]["keys"].values()))
    signer = told["self_signing_keys"][bot.user_id]
    [own] = signer["keys"].values()
    assert verified(signer, bot.user_id, master)
    assert verified(device, bot.user_id, own)


def verified(signed: dict, user: str, key: str) -> bool:
    """Whether an object is signed with an Ed25519 key (Matrix, signing JSON)."""
    bare = {name: value for name, value in signed.items() if name not in {"signatures", "unsigned"}}
    text = json.dumps(bare, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    signature = unpaddedbase64.decode_base64(signed["signatures"][user][f"ed25519:{key}"])
    return bool(VerifyKey(unpaddedbase64.decode_base64(key)).verify(text.encode(), signature))


async def test_the_database_holds_neither_key_that_opens_it(pool, keys_dir, encrypted_room, friend):
    async with ringing_in(pool, keys_dir, encrypted_room) as ringing:
        await ringing.store(incident())
        assert TITLE in (await friend.alert())["content"]["body"]
    key = (keys_dir / "keys/matrix-pickle-key").read_text()
    async with pool.acquire() as conn:
        tables = await conn.fetch(
            "select table_schema || '.' || table_name from information_schema.tables where table_schema in "
            "('public', 'matrix_crypto')"
        )
        rows = [row for table in tables for row in await conn.fetch(f"select t::text from {table[0]} t")]
    assert len(rows) > 5
    assert not [row for row in rows if key in row[0] or key.encode().hex() in row[0]]


def test_without_the_extra_the_settings_are_refused_with_what_to_install(tmp_path):
    code = (
        "import sys; sys.modules['mautrix'] = None\n"
        "from pathlib import Path\n"
        "from tocsin_node.services.alarm_carriers import room_transport\n"
        "from tocsin_node.settings.channels import MatrixSettings\n"
        "from tocsin_node.settings.record import Settings\n"
        "from tocsin_node.settings.server import NodeSettings\n"
        "matrix = MatrixSettings(homeserver='http://x', user_id='@a:x', room='!r:x', encrypted=True)\n"
        "try: room_transport(Settings(dir=Path(), node=NodeSettings(org='A'), matrix=matrix), 'matrix', matrix, None)\n"
        "except Exception as exc: print(exc.code, exc.hint)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("e2ee-missing ")
    assert "tocsin[node,e2ee]" in ran.stdout


async def test_two_rooms_do_not_share_a_key(pool, keys_dir, homeserver, encrypted_room):
    other = open_encrypted_room(homeserver)
    other.responder.call("POST", f"/rooms/{other.id}/invite", {"user_id": encrypted_room.bot.user_id})
    async with transport(pool, keys_dir, encrypted_room) as one:
        first = one._shared
    async with transport(pool, keys_dir, other, encrypted_room.bot) as two:
        assert two._shared != first


async def test_one_whose_keys_cannot_even_be_parsed_is_left_out_and_the_rest_looked_up():
    asked = []

    async def ask(method, path, body):
        asked.append(sorted(body["device_keys"]))
        found = {user: {"DEVICE": 7} if user == "@bad:hs" else {} for user in body["device_keys"]}
        return Answer(200, {"device_keys": found, "failures": {}})

    store = MemoryCryptoStore("@bot:hs", "none")
    machine = Machine(ask, store, RoomState(), "@bot:hs", "BOT", only_verified=False)
    assert await machine.look_up(["@amy:hs", "@bad:hs", "@bob:hs"]) == ["@amy:hs", "@bob:hs"]
    assert asked == [["@amy:hs", "@bad:hs", "@bob:hs"], ["@amy:hs"], ["@bad:hs"], ["@bob:hs"]]


async def test_a_homeserver_that_is_away_is_not_taken_for_a_fault_of_its_users():
    async def ask(method, path, body):
        return Retry("homeserver-unreachable")

    machine = Machine(
        ask, MemoryCryptoStore("@bot:hs", "none"), RoomState(), "@bot:hs", "BOT", only_verified=False
    )
    with pytest.raises(Refused) as refused:
        await machine.look_up(["@amy:hs"])
    assert refused.value.trouble == Retry("homeserver-unreachable")


@pytest.mark.parametrize(
    ("body", "place"),
    [(b"\x03\x08\x00\x12\x01x", 0), (b"\x03\x08\x7f\x12", 127), (b"\x03\x08\x80\x01\x12", 128), (b"", 0)],
)
def test_the_place_of_a_message_is_read_from_its_first_bytes(body, place):
    sealed = {"ciphertext": unpaddedbase64.encode_base64(body)}
    assert _index(RoomEvent("$e", "@a:hs", "m.room.encrypted", datetime.now(UTC), sealed)) == place
