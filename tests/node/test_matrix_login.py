"""`tocsin matrix login` against a real homeserver."""

import asyncio
import json
import stat

import pytest
from click.testing import CliRunner
from tests.support.homeserver import open_room

from tocsin_cli.main import cli
from tocsin_node.initialise import initialise
from tocsin_node.links.transport import Ready
from tocsin_node.services.alarm_carriers import room_transport
from tocsin_node.settings.loading import load


@pytest.fixture
def node_dir(tmp_path, room):
    directory = tmp_path / "node"
    matrix = {"homeserver": room.bot.url, "user_id": room.bot.user_id, "room": room.id}
    initialise(directory, {"node": {"org": "Test"}, "matrix": matrix})
    return directory


async def run(directory, password, *words):
    args = ["matrix", "login", "--dir", str(directory), *words]
    return await asyncio.to_thread(CliRunner().invoke, cli, args, input=f"{password}\n")


async def test_a_login_keeps_token_and_device_and_no_password(node_dir, room):
    result = await run(node_dir, room.bot.password, "--json")
    assert result.exit_code == 0, result.output
    device = json.loads(result.stdout)["device_id"]
    token_file = node_dir / "keys/matrix-token"
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600
    token = token_file.read_text()
    assert token not in result.output
    kept = "".join(p.read_text(errors="replace") for p in node_dir.rglob("*") if p.is_file())
    assert room.bot.password not in kept + result.output

    again = await run(node_dir, room.bot.password, "--json")
    assert json.loads(again.stdout)["device_id"] == device
    assert token_file.read_text() != token


async def test_a_wrong_password_is_refused_and_changes_nothing(node_dir):
    result = await run(node_dir, "wrong")
    assert result.exit_code == 5
    assert "login-refused" in result.output
    assert not (node_dir / "keys/matrix-token").exists()


async def test_a_dead_homeserver_is_unreachable(node_dir, homeserver):
    homeserver.kill()
    result = await run(node_dir, "any")
    assert result.exit_code == 3
    assert "homeserver-unreachable" in result.output


async def test_without_a_matrix_section_it_says_what_to_add(tmp_path):
    initialise(tmp_path / "node", {"node": {"org": "Test"}})
    result = await run(tmp_path / "node", "any")
    assert result.exit_code == 2
    assert "[matrix] section" in result.output


async def test_the_second_bot_has_a_token_and_a_device_of_its_own(tmp_path, room, second_room):
    sections = {
        name: {"homeserver": each.bot.url, "user_id": each.bot.user_id, "room": each.id}
        for name, each in (("matrix", room), ("matrix_second", second_room))
    }
    initialise(tmp_path / "node", {"node": {"org": "Test"}, **sections})
    result = await run(tmp_path / "node", second_room.bot.password, "--second", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["user_id"] == second_room.bot.user_id
    keys = tmp_path / "node/keys"
    assert (keys / "matrix-second-token").exists()
    assert (keys / "matrix-second-device").exists()
    assert not (keys / "matrix-token").exists()


async def test_without_a_second_room_it_says_what_to_add(node_dir):
    result = await run(node_dir, "any", "--second")
    assert result.exit_code == 2
    assert "[matrix_second] section" in result.output


async def test_a_limited_homeserver_says_how_long_to_wait(tmp_path, limited_homeserver):
    room = open_room(limited_homeserver)
    matrix = {"homeserver": room.bot.url, "user_id": room.bot.user_id, "room": room.id}
    initialise(tmp_path / "node", {"node": {"org": "Test"}, "matrix": matrix})
    results = [await run(tmp_path / "node", "wrong") for _ in range(6)]
    assert results[-1].exit_code == 3
    assert "wait" in results[-1].output


@pytest.fixture
def sealed_dir(tmp_path, encrypted_room):
    pytest.importorskip("olm", reason="the extra e2ee is not installed")
    directory = tmp_path / "sealed"
    bot = encrypted_room.bot
    matrix = {"homeserver": bot.url, "user_id": bot.user_id, "room": encrypted_room.id, "encrypted": True}
    matrix["responders"] = [encrypted_room.responder.user_id]
    initialise(directory, {"node": {"org": "Test"}, "matrix": matrix})
    return directory


async def test_for_an_encrypted_room_a_login_gives_the_bot_an_identity_once(sealed_dir, encrypted_room):
    bot = encrypted_room.bot
    result = await run(sealed_dir, bot.password, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["new_identity"]
    secrets = {name: sealed_dir / "keys" / name for name in ("matrix-pickle-key", "matrix-recovery-key")}
    for file in secrets.values():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.read_text() not in result.output
    before = {name: file.read_text() for name, file in secrets.items()}
    again = await run(sealed_dir, bot.password, "--json")
    assert not json.loads(again.stdout)["new_identity"]
    assert {name: file.read_text() for name, file in secrets.items()} == before
    assert sorted(p.name for p in (sealed_dir / "keys").glob("matrix-*")) == [
        "matrix-device",
        "matrix-pickle-key",
        "matrix-recovery-key",
        "matrix-token",
    ]


async def test_the_node_signs_its_device_with_the_identity_of_the_login(
    pool, sealed_dir, encrypted_room, friend
):
    await run(sealed_dir, encrypted_room.bot.password)
    settings = load(sealed_dir)
    transport = room_transport(settings, "matrix", settings.matrix, pool)
    try:
        outcome = await transport.preflight(encrypted_room.id)
        assert isinstance(outcome, Ready)
        assert outcome.warning is None
    finally:
        await transport.close()


async def test_a_lost_recovery_key_is_told_and_replaced_only_when_asked(sealed_dir, encrypted_room):
    bot = encrypted_room.bot
    await run(sealed_dir, bot.password)
    file = sealed_dir / "keys/matrix-recovery-key"
    first = file.read_text()
    file.unlink()
    result = await run(sealed_dir, bot.password)
    assert result.exit_code == 1
    assert "identity-locked" in result.output
    assert not file.exists()
    renewed = await run(sealed_dir, bot.password, "--new-identity", "--json")
    assert renewed.exit_code == 0, renewed.output
    assert json.loads(renewed.stdout)["new_identity"]
    assert file.read_text() != first


async def test_a_new_device_is_one(sealed_dir, encrypted_room):
    first = await run(sealed_dir, encrypted_room.bot.password, "--json")
    second = await run(sealed_dir, encrypted_room.bot.password, "--json", "--new-device")
    assert json.loads(first.stdout)["device_id"] != json.loads(second.stdout)["device_id"]
    third = await run(sealed_dir, encrypted_room.bot.password, "--json")
    assert json.loads(third.stdout)["device_id"] == json.loads(second.stdout)["device_id"]
