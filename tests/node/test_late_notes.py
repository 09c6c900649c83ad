"""Reading works while the database takes no writes, and no reading goes unnoted for it."""

import asyncio
import json
import os
import shutil
import signal
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.node.test_audit import STIX, lines_of, verified
from tests.support.node import NodeProcess, open_here, settings_on
from tests.support.postgres import run_cluster
from tests.support.villain import until

from tocsin_node.reserve import COUNT_BYTES, SIZE, Reserve
from tocsin_node.services.late_notes import FILE
from tocsin_node.storage.audit import Act, set_head
from tocsin_node.storage.erasing import erase
from tocsin_node.storage.errors import StorageError, StorageFull
from tocsin_node.storage.pool import connect

lines = st.lists(st.binary(max_size=60).map(lambda line: line.replace(b"\n", b"_").replace(b"\0", b"_")))


@pytest.fixture(scope="module")
async def own_cluster():
    """A server whose settings nobody else minds."""
    async with run_cluster() as running:
        yield running


@asynccontextmanager
async def read_only(cluster):
    """Within the block no session of the server can write."""
    conn = await connect(cluster.address)

    async def say(word: str) -> None:
        await conn.execute("set transaction_read_only = off; set default_transaction_read_only = off")
        await conn.execute(f"alter system set default_transaction_read_only = {word}")
        await conn.execute("select pg_reload_conf()")

    await say("on")
    try:
        yield
    finally:
        await say("off")
        await conn.close()


async def refuses_writes(served) -> bool:
    try:
        async with served.node.pool.acquire() as conn:
            await conn.execute("insert into bystander values ('a', 'b') on conflict do nothing")
    except StorageError:
        return True
    return False


async def run(*command: str) -> bool:
    return await (await asyncio.create_subprocess_exec(*command)).wait() == 0


async def fill(conn) -> None:
    while True:
        await conn.execute("insert into filler values (repeat('x', 200000))")


async def filed(served, title="Pump gives the wrong dose") -> str:
    async with served.client.post("/v1/reports", data=served.bundle(title), headers=STIX) as answer:
        assert answer.status == 201, await answer.text()
        return (await answer.json())["id"]


async def read(client, path: str):
    async with client.get(path) as answer:
        assert answer.status == 200, (path, await answer.text())
        return await answer.json()


async def late_check(client):
    async with client.get("/healthz") as answer:
        return next(c for c in (await answer.json())["checks"] if c["name"] == "audit-late")


async def late_lines(served) -> list[dict]:
    return [one for one in await lines_of(served) if one["detail"].get("late")]


async def test_while_the_database_is_read_only_everything_can_be_read_and_is_noted_afterwards(
    own_cluster, tmp_path
):
    async with (
        own_cluster.database() as database,
        open_here(settings_on(tmp_path / "acme", database)) as served,
    ):
        report_id = await filed(served)
        async with served.client.post("/v1/alerts/test", json={}) as answer:
            alert = (await answer.json())["id"]
        async with read_only(own_cluster):
            await until(lambda: refuses_writes(served))
            assert (await read(served.client, f"/v1/reports/{report_id}"))["id"] == report_id
            for path in ("/v1/reports", "/v1/alerts", f"/v1/alerts/{alert}", "/v1/duties", "/v1/emergencies"):
                await read(served.client, path)
            assert (await read(served.client, "/v1/audit?action=report.read"))["items"] == []
            check = await late_check(served.client)
            assert (check["status"], check["code"]) == ("degraded", "audit-late")
            async with served.client.post(
                "/v1/reports", data=served.bundle("Another"), headers=STIX
            ) as answer:
                assert (answer.status, (await answer.json())["code"]) == (503, "storage-unavailable")

        noted = {(one["action"], one["object"]): one for one in await until(lambda: late_lines(served))}
        line = noted["report.read", f"report:{report_id}"]
        assert (line["who"], line["detail"]["ver"]) == ("token:init", 1)
        assert datetime.fromisoformat(line["detail"]["read_at"]) < datetime.fromisoformat(line["at"])
        assert {"report.list", "alert.list", "duty.list", "emergency.list", "audit.read"} <= {
            a for a, _ in noted
        }
        assert ("alert.read", f"alert:{alert}") in noted
        assert (await late_check(served.client))["status"] == "ok"
        assert (tmp_path / "acme" / FILE).read_bytes() == bytes(SIZE)
        await verified(served.node)


async def test_a_kill_loses_no_reading_and_what_did_not_fit_is_counted(own_cluster, tmp_path):
    async with own_cluster.database() as database:
        settings = settings_on(tmp_path / "acme", database)
        async with open_here(settings) as served:
            kept, erased = await filed(served), await filed(served, "Another pump")
            token = served.client.headers["Authorization"]
        url = f"http://127.0.0.1:{settings.node.port}"
        environment = {"TOCSIN_NODE_PORT": str(settings.node.port)}
        async with NodeProcess(["--dir", str(settings.dir)], tmp_path / "log", environment) as process:
            await process.answers(url)
            async with read_only(own_cluster), _client(url, token) as client:
                await until(lambda: _answers_late(client, (kept, erased)))
                await process.stop(signal.SIGKILL)
        reserve = Reserve(settings.dir / FILE)
        assert len(reserve.open()) >= 2
        for _ in range(SIZE // 1024 + 3):
            reserve.append(b"x" * 1024)  # no line that anybody can read: it is counted
        assert reserve.lost > 0
        unreadable = sum(line == b"x" * 1024 for line in Reserve(settings.dir / FILE).open())
        conn = await connect(database)
        async with conn.transaction():
            await erase(conn, [erased])
        await conn.close()
        async with open_here(settings) as served:
            found = await until(lambda: late_lines(served))
            about = {one["object"] for one in found if one["action"] == "report.read"}
            assert f"report:{kept}" in about
            assert f"report:{erased}" not in about
            (line,) = await lines_of(served, action="audit.unnoted")
            assert (line["detail"]["count"], line["who"]) == (reserve.lost + unreadable, "node")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a disk of its own")
async def test_with_a_full_disk_a_report_can_be_read(own_cluster, tmp_path):
    disk = Path("/dev/shm") / f"tocsin-full-{os.getpid()}"
    disk.mkdir()
    mounted = await run("mount", "-t", "tmpfs", "-o", "size=48m,mode=777", "none", str(disk))
    if not mounted:
        disk.rmdir()
        pytest.skip("no disk can be mounted here")
    conn = await connect(own_cluster.address)
    try:
        owner = os.stat(f"/proc/{conn.get_server_pid()}")  # noqa: PTH116  asks nothing of the disk
        os.chown(disk, owner.st_uid, owner.st_gid)
        await conn.execute(f"create tablespace small location '{disk}'")
        async with own_cluster.database() as database:
            name = urlsplit(database.url).path.removeprefix("/")
            await conn.execute(f"alter database {name} set tablespace small")
            async with open_here(settings_on(tmp_path / "acme", database)) as served:
                report_id = await filed(served)
                async with served.node.pool.acquire() as filling:
                    await filling.execute("create table filler (content text)")
                    await filling.execute("alter table filler alter column content set storage external")
                    with pytest.raises(StorageFull):
                        await fill(filling)
                for nth in range(2000):  # until the pages that are there are full
                    await served.node.auditing.seen("alert.read", f"alert:{nth}")
                    if (await served.node.auditing.late.health()).status != "ok":
                        break
                assert (await read(served.client, f"/v1/reports/{report_id}"))["id"] == report_id
                assert (await late_check(served.client))["code"] == "audit-late"
                async with served.node.pool.acquire() as filling:
                    await filling.execute("drop table filler")
                assert await until(lambda: late_lines(served))
    finally:
        await conn.execute("drop tablespace if exists small")
        await conn.close()
        assert await run("umount", str(disk))
        shutil.rmtree(disk)


@given(lines)
def test_what_is_appended_stands_there_after_a_kill(tmp_path_factory, written):
    file = tmp_path_factory.mktemp("reserve") / "file"
    reserve = Reserve(file)
    assert list(reserve.open()) == []
    for line in written:
        reserve.append(line)
    assert file.stat().st_size == SIZE
    again = Reserve(file)
    assert (list(again.open()), again.lost) == (written, 0)
    again.append(b"one more")
    assert list(Reserve(file).open()) == [*written, b"one more"]
    again.clear()
    assert list(Reserve(file).open()) == []


def test_a_line_that_was_cut_off_and_those_that_do_not_fit_are_counted(tmp_path):
    file = tmp_path / "file"
    reserve = Reserve(file)
    reserve.open()
    reserve.append(b"whole")
    with file.open("r+b") as stream:
        stream.seek(6)
        stream.write(b"cut o")
    again = Reserve(file)
    assert (list(again.open()), again.lost) == ([b"whole"], 1)
    again.append(b"y" * (SIZE - COUNT_BYTES - 7))  # it takes the place of what was cut off, to the last byte
    again.append(b"no room")
    last = Reserve(file)
    assert ([len(line) for line in last.open()], last.lost) == ([5, SIZE - COUNT_BYTES - 7], 2)


@asynccontextmanager
async def _client(url, token):
    async with aiohttp.ClientSession(url, headers={"Authorization": token}) as client:
        yield client


async def _answers_late(client, reports) -> bool:
    for report_id in reports:
        await read(client, f"/v1/reports/{report_id}")
    return (await late_check(client))["status"] == "degraded"


async def test_a_node_that_starts_while_the_database_is_read_only_can_be_read_too(own_cluster, tmp_path):
    async with own_cluster.database() as database:
        settings = settings_on(tmp_path / "acme", database)
        async with open_here(settings) as served:
            report_id = await filed(served)
        async with read_only(own_cluster), open_here(settings) as served:
            assert (await read(served.client, f"/v1/reports/{report_id}"))["id"] == report_id
            assert (await late_check(served.client))["code"] == "audit-late"
        async with open_here(settings) as served:
            found = await until(lambda: late_lines(served))
            assert {"node.start", "report.read"} <= {one["action"] for one in found}
            await verified(served.node)


def test_over_what_could_not_be_read_nothing_is_written(tmp_path):
    file = tmp_path / "file"
    first = Reserve(file)
    first.open()
    first.append(b"kept")
    blind = Reserve(file)
    with pytest.raises(OSError):
        blind.append(b"over")
    assert list(Reserve(file).open()) == [b"kept"]


def at_the_time(action: str) -> dict:
    return {"at": "2026-03-02T10:00:00.000Z", "who": "token:ann", "via": "token:ann", "action": action} | {
        "object": None,
        "detail": {},
    }


async def test_a_line_of_a_later_version_or_half_a_line_is_counted_and_keeps_nothing_from_being_sealed(
    own_cluster, tmp_path
):
    async with own_cluster.database() as database:
        settings = settings_on(tmp_path / "acme", database)
        async with open_here(settings):
            pass
        reserve = Reserve(settings.dir / FILE)
        reserve.open()
        whole = json.dumps(at_the_time("alert.list")).encode()
        reserve.append(bytes(10) + whole[10:])
        reserve.append(json.dumps(at_the_time("report.foresee")).encode())
        reserve.append(whole)
        async with open_here(settings) as served:
            (line,) = await until(lambda: late_lines(served))
            assert (line["action"], line["who"]) == ("alert.list", "token:ann")
            (line,) = await lines_of(served, action="audit.unnoted")
            assert line["detail"]["count"] == 2
            await verified(served.node)


async def test_readings_that_a_start_could_not_take_up_are_noted_when_their_file_can_be_read(
    own_cluster, tmp_path
):
    async with own_cluster.database() as database:
        settings = settings_on(tmp_path / "acme", database)
        async with open_here(settings):
            pass
        file, away = settings.dir / FILE, settings.dir / "away"
        reserve = Reserve(file)
        reserve.open()
        reserve.append(json.dumps(at_the_time("alert.list")).encode())
        file.rename(away)
        file.mkdir()
        async with open_here(settings) as served:
            await served.node.auditing.late.note(Act("duty.list"))
            async with read_only(own_cluster):
                await until(lambda: refuses_writes(served))
                await served.node.auditing.late.note(Act("emergency.list"))
            assert [one["action"] for one in await until(lambda: late_lines(served))] == ["emergency.list"]
            file.rmdir()
            away.rename(file)

            async def both():
                found = await late_lines(served)
                return found if len(found) == 2 else None

            assert {one["action"] for one in await until(both)} == {"alert.list", "emergency.list"}
            assert file.read_bytes() == bytes(SIZE)


async def test_who_rolls_the_audit_log_back_is_found_out_though_the_node_starts_without_writes(
    own_cluster, tmp_path
):
    async with own_cluster.database() as database:
        settings = settings_on(tmp_path / "acme", database)
        async with open_here(settings) as served:
            older = await served.node.auditing.seal()
            await served.node.auditing.note(Act("silence.add", "silence:9"))
            await served.node.auditing.seal()
        conn = await connect(database)
        await conn.execute("alter table audit_line disable trigger user")
        await conn.execute("delete from audit_line where seq >= $1", older.size)
        await conn.execute("delete from audit_waiting")
        await set_head(conn, older)
        await conn.execute("alter table audit_line enable trigger user")
        await conn.close()
        async with read_only(own_cluster), open_here(settings) as served:
            assert (await served.node.auditing.health()).code == "audit-contradicted"
        async with open_here(settings) as served:
            assert (await served.node.auditing.health()).code == "audit-contradicted"
