"""The watchman outside is called as long as this node can alert, and never otherwise."""

import asyncio
import json
import logging

import pytest
from tests.support.alarms import bell, incident
from tests.support.homeserver import open_room
from tests.support.node import open_here, settings_on
from tests.support.pager import pager
from tests.support.watchman import SECRET, watchman

from tocsin_node.links.heartbeat import HeartbeatCaller
from tocsin_node.secrets import read_secret_file
from tocsin_node.services.heartbeat import Heartbeat, heartbeat_of
from tocsin_node.settings.operators import HeartbeatSettings
from tocsin_node.settings.record import Settings
from tocsin_node.settings.server import NodeSettings

READ_ONLY = """
create function refuse() returns trigger language plpgsql as $$
begin raise exception using errcode = '25006', message = 'cannot write in a read-only transaction'; end $$;
create trigger refuse before insert or update on heartbeat execute function refuse();
"""


def beating(pool, tmp_path, there, able=lambda: True, **more):
    settings = Settings(
        dir=tmp_path,
        node=NodeSettings(org="Test"),
        heartbeat=HeartbeatSettings(**there.settings(tmp_path, **more)),
    )
    found = heartbeat_of(settings, pool, able)
    assert found is not None
    return found


async def test_a_node_that_can_alert_calls_its_watchman(database, tmp_path):
    async with watchman() as there, pager() as hook:
        values = {"webhook": hook.settings(tmp_path), "heartbeat": there.settings(tmp_path)}
        settings = settings_on(tmp_path / "acme", database, values)
        async with open_here(settings) as acme:
            async with asyncio.timeout(60):
                while len(there.calls) < 2:
                    await asyncio.sleep(0.02)
            async with acme.client.get("/v1/alerts/check") as answer:
                found = await answer.json()
            async with acme.client.get("/healthz") as answer:
                health = await answer.json()
    assert there.calls[0][:2] == ("POST", f"/ping/{SECRET}")
    assert found["heartbeat_age_s"] < 20
    assert not [f for f in found["findings"] if f["name"] == "heartbeat"]
    assert {"name": "heartbeat", "status": "ok"}.items() <= next(
        c for c in health["checks"] if c["name"] == "heartbeat"
    ).items()
    assert SECRET not in json.dumps(found) + json.dumps(health)


async def test_a_node_without_a_living_channel_keeps_silent_until_there_is_one(pool, tmp_path, homeserver):
    room = open_room(homeserver)
    async with watchman() as there, bell(pool, tmp_path, room) as ringing:
        heart = beating(pool, tmp_path, there, ringing.alarms.able)
        await ringing.check("matrix", None)
        await ringing.store(incident("I"))
        await ringing.all_echoed(1)
        assert await heart.beat()
        homeserver.kill()
        await ringing.until(lambda: _down(ringing))
        for _ in range(3):
            assert not await heart.beat()
        assert len(there.calls) == 1
        assert (await heart.check()).code == "not-able"
        homeserver.start()
        await asyncio.to_thread(homeserver.wait_ready)
        await ringing.check("matrix", None)
        assert await heart.beat()
        assert (await heart.check()).status == "ok"
    assert len(there.calls) == 2


async def _down(ringing):
    return not ringing.alarms.able()


async def test_a_node_without_any_channel_is_not_able(pool, tmp_path):
    async with bell(pool, tmp_path, None) as ringing:
        assert not ringing.alarms.able()


async def test_a_database_that_takes_no_writes_is_not_able(pool, tmp_path):
    async with watchman() as there:
        heart = beating(pool, tmp_path, there)
        assert await heart.beat()
        async with pool.acquire() as conn:
            await conn.execute(READ_ONLY)
        for _ in range(3):
            assert not await heart.beat()
        assert (await heart.check()).code == "not-able"
    assert len(there.calls) == 1


@pytest.mark.parametrize(
    ("status", "code"),
    [(500, "heartbeat-answered-500"), (404, "heartbeat-answered-404"), (302, "heartbeat-answered-302")],
)
async def test_a_watchman_that_does_not_take_it_is_told_after_three(pool, tmp_path, status, code, caplog):
    caplog.set_level(logging.DEBUG)
    async with watchman() as there:
        there.status = status
        heart = beating(pool, tmp_path, there)
        for _ in range(2):
            assert not await heart.beat()
            assert (await heart.check()).status == "ok"
        assert not await heart.beat()
        check = await heart.check()
        assert (check.status, check.code) == ("degraded", code)
        assert SECRET not in str(check)
        there.status = 200
        assert await heart.beat()
        assert (await heart.check()).status == "ok"
        last = await heart.last()
        assert last.code is None
        assert last.sent_s < 5
    assert SECRET not in "".join(r.getMessage() for r in caplog.records if r.name.startswith("tocsin"))


async def test_the_address_is_a_secret_that_others_must_not_read(pool, tmp_path):
    async with watchman() as there:
        heart = beating(pool, tmp_path, there)
        (tmp_path / "heartbeat-url").chmod(0o644)
        assert not await heart.beat()
        assert (await heart.last()).code == "heartbeat-secret-missing"
        (tmp_path / "heartbeat-url").chmod(0o600)
        assert await heart.beat()


@pytest.mark.parametrize(
    "url", ["", "not an address", "ftp://127.0.0.1/x", "http://127.0.0.1:1/none", "http://[::bad"]
)
async def test_a_bad_address_is_a_code_and_no_crash(tmp_path, url):
    file = tmp_path / "url"
    file.touch(mode=0o600)
    file.write_text(url)
    settings = HeartbeatSettings(url_file=str(file), request_timeout_s=2.0)
    code = await HeartbeatCaller(settings, lambda: read_secret_file(file)).call()
    assert code in {"heartbeat-secret-missing", "heartbeat-url-invalid", "heartbeat-unreachable"}


async def test_a_token_goes_along_where_one_is_set(pool, tmp_path):
    token = tmp_path / "heartbeat-token"
    token.touch(mode=0o600)
    token.write_text("bearer-of-news")
    async with watchman() as there:
        heart = beating(pool, tmp_path, there, token_file=str(token), method="GET")
        assert await heart.beat()
        [(method, _, headers)] = there.calls
    assert (method, headers["Authorization"]) == ("GET", "Bearer bearer-of-news")


async def test_silence_of_the_watchman_is_bounded(pool, tmp_path):
    async def deaf(_reader, writer):
        try:
            await asyncio.sleep(60)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(deaf, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = HeartbeatSettings(url_file="x", request_timeout_s=0.5)
    heart = Heartbeat(pool, HeartbeatCaller(settings, f"http://127.0.0.1:{port}/".encode), 1.0, lambda: True)
    async with asyncio.timeout(30):
        assert not await heart.beat()
    assert (await heart.last()).code == "heartbeat-silent"
    server.close()
