"""A node that is killed at any moment, in an encrypted room: real processes, SIGKILL."""

import asyncio
import random
import secrets
import signal

import aiohttp
import pytest
from tests.bench import samples
from tests.node.test_matrix_e2ee import places
from tests.support.node import NodeProcess, settings_on

pytest.importorskip("olm", reason="the extra e2ee is not installed")

SEED = 20_261_130
STIX = {"Content-Type": "application/stix+json"}


def put_secret(directory, name, content):
    file = directory / "keys" / name
    file.touch(mode=0o600)
    file.write_text(content)


@pytest.mark.timeout(300)
async def test_a_killed_node_loses_no_alert_no_key_and_no_answer_and_uses_no_place_twice(
    pool, database, tmp_path, encrypted_room, friend
):
    room, chance = encrypted_room, random.Random(SEED)
    matrix = {
        "homeserver": room.bot.url,
        "user_id": room.bot.user_id,
        "room": room.id,
        "encrypted": True,
        "responders": [room.responder.user_id],
        "sends_per_s": 1000,
        "send_burst": 1000,
    }
    settings = settings_on(tmp_path / "killed", database, {"matrix": matrix})
    put_secret(settings.dir, "matrix-token", room.bot.access_token)
    put_secret(settings.dir, "matrix-pickle-key", secrets.token_hex(32))
    headers = STIX | {"Authorization": f"Bearer {(settings.dir / 'token').read_text().strip()}"}
    filed, said = 0, 0
    for last in (False, False, False, False, True):
        node = NodeProcess(["--dir", str(settings.dir)], tmp_path / "node.log")
        async with node, aiohttp.ClientSession(settings.public_url, headers=headers) as client:
            await node.answers(settings.public_url)
            async with client.get("/v1/node") as answer:
                reports = samples.ringing((await answer.json())["identity"])
            for _ in range(3):
                async with client.post("/v1/reports", data=reports.make()[1]) as answer:
                    assert answer.status == 201, await answer.text()
                filed += 1
            if filed == 3:
                await friend.alert()  # the first: from now on there is a device of the bot's to write to
            friend.client.invalidate_outbound_session(room.id)  # a new key each time, which must not be lost
            await friend.listen(wait_s=0.1)
            await friend.say(room.id, f"!ack 1 {said}")
            said += 1
            if last:
                seen = [await friend.alert() for _ in range(filed - 1)]
                async with asyncio.timeout(60):
                    while len(notes := await acknowledged(pool)) < said:
                        await asyncio.sleep(0.05)
                await node.stop()
            else:
                await asyncio.sleep(chance.uniform(0, 0.6))  # the moment of the kill is what is being tried
                await node.stop(signal.SIGKILL)
    assert sorted(a["content"]["org.tocsin.alert"]["alert"] for a in seen) == list(range(2, filed + 1))
    assert notes == [str(number) for number in range(said)]
    used = places(room)
    assert len(used) == len(set(used)) == filed
    assert not friend.sealed


async def acknowledged(pool):
    async with pool.acquire() as conn:
        rows = await conn.fetch("select note from acknowledgement where via = 'reply' order by at")
    return [row[0] for row in rows]
