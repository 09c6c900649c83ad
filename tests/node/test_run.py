# ruff: noqa: ASYNC240  tests watch processes from outside
"""`tocsin node run` as an operator runs it: a process, its signals, its own PostgreSQL."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import aiohttp
import pytest
from tests.support.node import NodeProcess, environment_of_a_run
from tests.support.ports import free_port
from tests.support.postgres import copy_stopped

from tocsin_node import throwaway
from tocsin_node.initialise import initialise


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A node whose own database has been made; to be copied."""
    directory = tmp_path_factory.mktemp("made") / "node"
    initialise(directory, {"node": {"org": "Acme"}})
    assert tocsin("db", "migrate", "--dir", directory).returncode == 0
    return directory


@pytest.fixture
def home(made, tmp_path):
    """A stopped node on a port of its own."""
    directory = tmp_path / "node"
    initialise(directory, {"node": {"org": "Acme", "port": free_port()}})
    copy_stopped(made / "postgres", directory / "postgres")
    return directory


@pytest.fixture
def url(home):
    from tocsin_node.settings.loading import load

    return load(home, {}).public_url


def tocsin(*arguments):
    command = [sys.executable, "-m", "tocsin_cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment_of_a_run(), check=False)


def processes_in(directory):
    """Whoever has its working directory below `directory`."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (place / "cwd").readlink().is_relative_to(directory):
                found.append(int(place.name))
    return found


async def nothing_left(directory, within_s=60):
    async with asyncio.timeout(within_s):
        while await asyncio.to_thread(processes_in, directory):
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_a_throw_away_node_says_where_it_is_and_leaves_nothing_behind(tmp_path, sign):
    environment = {"TOCSIN_NODE_LOG_LEVEL": "debug", "TMPDIR": str(tmp_path)}
    async with NodeProcess(["--ephemeral", "--org", "Try"], tmp_path / "log", environment) as node:
        ready = await node.ready_line()
        assert set(ready) == {"url", "token", "dir"}
        home = Path(ready["dir"])
        assert home.is_relative_to(tmp_path)
        headers = {"Authorization": f"Bearer {ready['token']}"}
        async with (
            aiohttp.ClientSession(ready["url"], headers=headers) as client,
            client.get("/v1/node") as answer,
        ):
            assert (answer.status, (await answer.json())["org"]) == (200, "Try")
        assert await node.stop(sign) == 0
    assert not home.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log"]
    assert processes_in(tmp_path) == []
    log = (tmp_path / "log").read_text()
    assert ready["token"] not in log
    assert "Traceback" not in log


async def test_a_signal_while_it_starts_stops_it_cleanly(tmp_path):
    async with NodeProcess(["--ephemeral"], tmp_path / "log", {"TMPDIR": str(tmp_path)}) as node:
        async with asyncio.timeout(30):
            while not list(tmp_path.glob("tocsin-node-*/postgres")):
                await asyncio.sleep(0.01)
        assert await node.stop() == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log"]
    assert processes_in(tmp_path) == []


async def test_the_next_throw_away_node_takes_away_what_a_killed_one_left_and_nothing_else(tmp_path):
    (place := tmp_path / "tmp").mkdir()
    for name in ("lasting", "linked"):
        (place / f"tocsin-node-{name}").mkdir()
        (place / f"tocsin-node-{name}" / "token").touch()
    (place / "tocsin-node-linked" / "ephemeral").symlink_to(place / "tocsin-node-lasting" / "token")
    (place / "tocsin-node-link").symlink_to(place / "tocsin-node-lasting")
    kept = set(place.iterdir())
    environment = {"TMPDIR": str(place)}
    async with NodeProcess(["--ephemeral"], tmp_path / "living", environment) as living:
        lives = Path((await living.ready_line())["dir"])
        async with NodeProcess(["--ephemeral"], tmp_path / "killed", environment) as killed:
            dead = Path((await killed.ready_line())["dir"])
            await killed.stop(signal.SIGKILL)
        await nothing_left(dead)
        assert (dead / "token").exists()
        async with NodeProcess(["--ephemeral"], tmp_path / "next", environment) as following:
            fresh = Path((await following.ready_line())["dir"])
            assert set(place.iterdir()) == kept | {lives, fresh}
            assert (lives / "token").exists()
            assert await following.stop() == 0
        assert await living.stop() == 0
    assert set(place.iterdir()) == kept
    assert all((place / f"tocsin-node-{name}" / "token").exists() for name in ("lasting", "linked"))


def test_a_throw_away_directory_of_another_user_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (theirs := tmp_path / "tocsin-node-theirs").mkdir()
    (theirs / "ephemeral").touch()
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: theirs.stat().st_uid + 1)
        with throwaway.directory() as home:
            assert set(tmp_path.iterdir()) == {theirs, home}
    with throwaway.directory() as home:
        assert set(tmp_path.iterdir()) == {home}


async def test_a_node_keeps_what_it_was_told_over_stop_and_kill(home, url, tmp_path):
    token = (home / "token").read_text().strip()
    node = NodeProcess(["--dir", str(home)], tmp_path / "log")
    names = []
    for sign in (signal.SIGTERM, signal.SIGKILL, signal.SIGTERM):
        async with node:
            await node.answers(url)
            headers = {"Authorization": f"Bearer {token}"}
            async with (
                aiohttp.ClientSession(url, headers=headers) as client,
                client.get("/v1/node") as answer,
            ):
                names.append((await answer.json())["node_id"])
            made = tocsin(
                "--dir",
                home,
                "--json",
                "token",
                "create",
                f"before-{sign.name}-{len(names)}",
                "--scope",
                "log:read",
            )
            assert made.returncode == 0, made.stderr
            await node.stop(sign)
        await nothing_left(home)
    listed = json.loads(tocsin("--dir", home, "--json", "token", "list").stdout)
    assert [item["name"] for item in listed["items"]][1:] == [
        "before-SIGTERM-1",
        "before-SIGKILL-2",
        "before-SIGTERM-3",
    ]
    assert len(set(names)) == 1


async def test_a_request_in_flight_is_ended_before_the_node_stops(home, url, tmp_path):
    async with NodeProcess(["--dir", str(home)], tmp_path / "log") as node:
        await node.answers(url)
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        token = (home / "token").read_text().strip()
        body = b'{"name": "slowly"}'
        writer.write(
            f"POST /v1/peers/invites HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        await writer.drain()
        async with asyncio.timeout(60):
            assert b" 100 " in await reader.readuntil(b"\r\n\r\n"), (
                "the handler begins, and waits for the body"
            )
        stopping = asyncio.create_task(node.stop())
        async with asyncio.timeout(60):
            while await lets_in(url):
                await asyncio.sleep(0.02)
        writer.write(body)
        answer = await reader.readuntil(b"\r\n")
        assert b"201" in answer
        writer.close()
        assert await stopping == 0


async def lets_in(url):
    """Whether a new connection is taken."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    except OSError:
        return False
    writer.close()
    return True


async def test_a_second_run_of_the_same_node_is_told_so(home, url, tmp_path):
    async with NodeProcess(["--dir", str(home)], tmp_path / "log") as node:
        await node.answers(url)
        second = await asyncio.to_thread(tocsin, "node", "run", "--dir", home)
        assert second.returncode == 1
        assert "node-running" in second.stderr
        assert await node.stop() == 0


async def test_a_taken_port_is_told_and_nothing_keeps_running(home, url):
    taken = await asyncio.start_server(
        lambda _reader, _writer: None, "127.0.0.1", int(url.rpartition(":")[2])
    )
    async with taken:
        run = await asyncio.to_thread(tocsin, "node", "run", "--dir", home)
    assert run.returncode == 1
    assert "address-unavailable" in run.stderr
    assert "Traceback" not in run.stderr
    assert processes_in(home) == []


def test_a_directory_without_a_node_is_told_how_to_make_one(tmp_path):
    run = tocsin("node", "run", "--dir", tmp_path)
    assert run.returncode == 2
    assert "tocsin init" in run.stderr


def test_a_fault_in_the_settings_is_told_with_the_right_name(home):
    with (home / "node.toml").open("a") as settings:
        settings.write("\n[node2]\n")
    run = tocsin("node", "run", "--dir", home)
    assert run.returncode == 2
    assert "did you mean node?" in run.stderr


async def test_the_service_manager_hears_when_it_is_ready_and_when_it_stops(home, url, tmp_path):
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        async with NodeProcess(["--dir", str(home)], tmp_path / "log", environment) as node:
            assert await asyncio.to_thread(manager.recv, 100) == b"READY=1"
            await node.answers(url)
            assert await node.stop() == 0
            assert manager.recv(100) == b"STOPPING=1"


async def test_the_command_line_looks_after_an_idle_nodes_database(tmp_path):
    home = tmp_path / "node"
    initialise(home, {"node": {"org": "Acme"}})
    status = await asyncio.to_thread(tocsin, "--dir", home, "--json", "db", "status")
    found = json.loads(status.stdout)
    assert (found["applied"], found["as_expected"]) == ([], False)
    assert found["pending"]
    migrated = await asyncio.to_thread(tocsin, "--dir", home, "--json", "db", "migrate")
    assert json.loads(migrated.stdout)["taken"] == found["pending"]
    again = json.loads((await asyncio.to_thread(tocsin, "--dir", home, "--json", "db", "status")).stdout)
    assert (again["applied"], again["pending"], again["as_expected"]) == (found["pending"], [], True)
    assert processes_in(home) == []


async def test_a_token_can_be_made_listed_and_revoked_beside_a_running_node(home, url, tmp_path):
    async with NodeProcess(["--dir", str(home)], tmp_path / "log") as node:
        await node.answers(url)
        made = await asyncio.to_thread(
            tocsin, "--dir", home, "token", "create", "alice", "--scope", "log:read"
        )
        text = made.stdout.strip()
        assert text.startswith("tocsin_")
        async with aiohttp.ClientSession(url, headers={"Authorization": f"Bearer {text}"}) as alice:
            async with alice.get("/v1/log/checkpoint") as answer:
                assert answer.status == 200
            assert (
                await asyncio.to_thread(tocsin, "--dir", home, "token", "revoke", "alice")
            ).returncode == 0
            async with asyncio.timeout(60):
                while True:
                    async with alice.get("/v1/log/checkpoint") as answer:
                        if answer.status == 401:
                            break
                    await asyncio.sleep(0.1)
        assert text not in (tmp_path / "log").read_text()
        assert await node.stop() == 0


def test_init_and_rotate_from_the_command_line(tmp_path):
    home = tmp_path / "made"
    made = tocsin(
        "--json", "init", home, "--org", "Acme", "--url", "https://a.example", "--listen", "127.0.0.1:8099"
    )
    told = json.loads(made.stdout)
    assert made.returncode == 0
    assert (told["url"], told["dir"]) == ("https://a.example", str(home))
    token = (home / "token").read_text().strip()
    assert token not in made.stdout + made.stderr
    renewed = tocsin("--json", "key", "rotate", home, "--url", "https://b.example")
    assert json.loads(renewed.stdout)["url"] == "https://b.example"
    assert json.loads(renewed.stdout)["node_id"] == told["node_id"]
    again = tocsin("init", home, "--org", "Acme")
    assert again.returncode == 1
    assert "already-initialised" in again.stderr
    assert tocsin("init", tmp_path / "x", "--org", "A", "--listen", "nowhere").returncode == 2
    assert not (tmp_path / "x").exists()
    assert sorted(file.name for file in (home / "identity").iterdir()) == ["0000.dsse", "0001.dsse"]


async def test_a_node_whose_keys_are_encrypted_starts_with_the_passphrase_alone_and_recovers(tmp_path):
    """The whole of it as its operator does it: lock, start, steal, stop, recover, start, say it again."""
    home, words = tmp_path / "made", tmp_path / "words"
    port = free_port()
    assert tocsin("init", home, "--org", "Acme", "--listen", f"127.0.0.1:{port}").returncode == 0
    words.touch(0o600)
    words.write_text("correct horse battery staple\n")
    assert tocsin("key", "encrypt", home, "--passphrase-file", words).returncode == 0
    refused = tocsin("node", "run", "--dir", home)
    assert refused.returncode == 2
    assert "--passphrase-file" in refused.stderr
    url = f"http://127.0.0.1:{port}"
    arguments = ["--dir", str(home), "--passphrase-file", str(words)]
    async with NodeProcess(arguments, tmp_path / "log") as node:
        await node.answers(url)
        running = tocsin("--json", "key", "recover", home, "--stolen", "log", "--passphrase-file", words)
        assert json.loads(running.stderr)["code"] == "node-running"
        assert (home / "offline" / "next-root-0001").exists()
        assert {
            key["at_rest"] for key in json.loads(tocsin("--json", "key", "status", home).stdout)["keys"]
        } == {"encrypted"}
    recovered = tocsin("--json", "key", "recover", home, "--stolen", "log", "--passphrase-file", words)
    assert recovered.returncode == 0, recovered.stderr
    assert json.loads(recovered.stdout)["last_good"] == 0
    async with NodeProcess(arguments, tmp_path / "log") as node:
        await node.answers(url)
        told = tocsin("--json", "--dir", home, "key", "republish")
        assert json.loads(told.stdout) == {"generation": 2, "items": []}
        assert await node.stop() == 0
    assert "correct horse" not in (tmp_path / "log").read_text()


async def test_a_dump_of_a_running_node_is_put_back_whole_or_not_at_all_while_none_runs(home, url, tmp_path):
    arguments = ["--dir", home]
    dump, other = tmp_path / "tocsin.dump", tmp_path / "no.dump"
    other.write_text("no dump")
    async with NodeProcess(arguments, tmp_path / "log") as node:
        await node.answers(url)
        assert tocsin("--dir", home, "token", "create", "kept", "--scope", "log:read").returncode == 0
        told = tocsin("--json", "--dir", home, "db", "dump", dump)
        assert json.loads(told.stdout) == {"file": str(dump), "bytes": dump.stat().st_size}, told.stderr
        assert dump.stat().st_mode & 0o777 == 0o600
        again = tocsin("--dir", home, "db", "dump", dump)
        assert (again.returncode, "is there already" in again.stderr) == (2, True)
        assert tocsin("--dir", home, "token", "create", "after", "--scope", "log:read").returncode == 0
        beside = tocsin("--dir", home, "db", "restore", dump, "--yes")
        assert (beside.returncode, "node-running" in beside.stderr) == (1, True)
        assert await node.stop() == 0
    broken = tocsin("--dir", home, "db", "restore", other, "--yes")
    assert (broken.returncode, "dump-failed" in broken.stderr) == (1, True)
    assert {"kept", "after"} <= tokens_of(home), "nothing was changed"
    put_back = tocsin("--dir", home, "db", "restore", dump, "--yes")
    assert put_back.returncode == 0, put_back.stderr
    assert tokens_of(home) & {"kept", "after"} == {"kept"}
    async with NodeProcess(arguments, tmp_path / "log") as node:
        await node.answers(url)
        assert await node.stop() == 0


def tokens_of(home):
    listed = json.loads(tocsin("--json", "--dir", home, "token", "list").stdout)
    return {each["name"] for each in listed["items"]}
