# ruff: noqa: ASYNC220, ASYNC221, ASYNC240  tests watch processes from outside
"""The embedded server: every test has its own, durable one, in a directory of its own."""

import asyncio
import fcntl
import json
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import tempfile
import textwrap
from pathlib import Path

import pytest
from tests.support.postgres import copy_stopped

from tocsin_node.errors import NodeRunning
from tocsin_node.storage.errors import PostgresFailed, PostgresMissing, PostgresUserMissing, PostgresVersion
from tocsin_node.storage.pool import connect
from tocsin_node.storage.postgres import _within_sight, run_postgres
from tocsin_node.storage.postgres_binaries import Binaries, choose, private_copy
from tocsin_node.storage.postgres_user import server_user

ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not ROOT, reason="needs to be root")


async def ask(address, query, *args):
    conn = await connect(address)
    try:
        return await conn.fetchval(query, *args)
    finally:
        await conn.close()


async def gone(pid, within_s=60):
    async with asyncio.timeout(within_s):
        while runs(pid):
            await asyncio.sleep(0.02)


def runs(pid):
    try:
        return b"Z" not in Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2][:3]
    except OSError:
        return False


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A data directory as initdb leaves it, to copy: making one costs a second."""
    home = tmp_path_factory.mktemp("made") / "postgres"

    # A loop of its own in a child, so that this fixture may be synchronous and the server is the child's.
    subprocess.run([sys.executable, "-c", RUN, str(home), "once"], check=True, env=environment())
    return home


RUN = textwrap.dedent(
    """
    import asyncio, json, os, sys
    from pathlib import Path
    from tocsin_node.storage.postgres import run_postgres

    async def main():
        async with run_postgres(Path(sys.argv[1])) as server:
            print(json.dumps({"pid": server.pid, "url": server.address.url}), flush=True)
            if sys.argv[2] == "stay":
                await asyncio.Event().wait()

    asyncio.run(main())
    """
)


def environment():
    wings = ["schema", "federation", "node", "cli"]
    root = Path(__file__).resolve().parents[2]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(root / wing) for wing in wings)}


@pytest.fixture
def home(made, tmp_path):
    """A stopped server's directory."""
    copied = tmp_path / "postgres"
    copy_stopped(made, copied)
    return copied


async def test_a_fresh_directory_gets_a_durable_private_server(tmp_path):
    home = tmp_path / "postgres"
    async with run_postgres(home) as server:
        conn = await connect(server.address)
        settings = {
            name: await conn.fetchval("select current_setting($1)", name)
            for name in (
                "fsync",
                "synchronous_commit",
                "full_page_writes",
                "data_checksums",
                "listen_addresses",
                "TimeZone",
            )
        }
        collation = await conn.fetchval(
            "select datcollate from pg_database where datname = current_database()"
        )
        await conn.close()
        assert settings == {
            "fsync": "on",
            "synchronous_commit": "on",
            "full_page_writes": "on",
            "data_checksums": "on",
            "listen_addresses": "",
            "TimeZone": "UTC",
        }
        assert collation == "C"
        assert server.owned
        for path in (home, home / "data", home / "run"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert (home / "data" / "pg_hba.conf").read_text() == "local all all peer map=node\n"
        pid = server.pid
    assert not Path(f"/proc/{pid}").exists()
    assert not (home / "data" / "postmaster.pid").exists()


async def test_what_was_committed_is_there_after_a_restart(home):
    async with run_postgres(home) as server:
        await ask(server.address, "create table kept (id integer)")
        await ask(server.address, "insert into kept values (7)")
    async with run_postgres(home) as server:
        assert await ask(server.address, "select id from kept") == 7


async def test_a_tool_attaches_to_the_running_server_and_leaves_it_running(home):
    async with run_postgres(home) as server:
        async with run_postgres(home, own=False) as shared:
            assert not shared.owned
            assert await ask(shared.address, "select 1") == 1
        assert await ask(server.address, "select 1") == 1


async def test_an_owner_that_ends_lets_its_guests_end_first(home):
    first = run_postgres(home, own=False)
    owner = await first.__aenter__()
    assert owner.owned
    async with run_postgres(home, own=False) as guest:
        ending = asyncio.create_task(first.__aexit__(None, None, None))
        await asyncio.sleep(0.2)
        assert not guest.owned
        assert await ask(guest.address, "select 1") == 1
        assert not ending.done()
        late = asyncio.create_task(_once(home, own=False))
    await ending
    assert await late == 1
    assert await _once(home, own=False) == 1


async def test_a_second_owner_is_refused_with_the_reason(home):
    async with run_postgres(home):
        with pytest.raises(NodeRunning, match="Another process"):
            async with run_postgres(home, wait_s=0.1):
                pytest.fail("two owners")


async def test_an_owner_waits_for_the_one_before_to_stop(home):
    first = run_postgres(home)
    await first.__aenter__()
    second = asyncio.create_task(_once(home))
    await asyncio.sleep(0.1)
    assert not second.done()
    await first.__aexit__(None, None, None)
    assert await second == 1


async def _once(home, *, own=True):
    async with run_postgres(home, own=own) as server:
        return await ask(server.address, "select 1")


async def test_six_processes_on_one_fresh_directory_share_one_server(tmp_path):
    home = tmp_path / "postgres"

    async def one():
        async with run_postgres(home, own=False) as server:
            pid = await ask(server.address, "select pg_backend_pid()")
            answer = (server.owned, server.pid, pid > 0)
            await everybody.wait()  # nobody leaves before all have come
            return answer

    everybody = asyncio.Barrier(6)
    answers = await asyncio.gather(*(one() for _ in range(6)))
    assert sum(owned for owned, _, _ in answers) == 1
    assert len({pid for _, pid, _ in answers}) == 1


async def test_a_killed_server_is_started_again_and_loses_nothing(home):
    async with run_postgres(home) as server:
        await ask(server.address, "create table kept (id integer)")
        await ask(server.address, "insert into kept values (1)")
        before = server.pid
        os.kill(before, signal.SIGKILL)
        async with asyncio.timeout(60):
            while server.trouble is None:
                await asyncio.sleep(0.01)
            while server.trouble is not None or server.pid in {None, before}:
                await asyncio.sleep(0.01)
        assert await ask(server.address, "select id from kept") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells the child only on Linux")
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGTERM])
async def test_the_server_stops_when_its_owner_is_killed(home, sign):
    owner = subprocess.Popen(
        [sys.executable, "-c", RUN, str(home), "stay"], stdout=subprocess.PIPE, env=environment()
    )
    try:
        pid = json.loads(owner.stdout.readline())["pid"]
    finally:
        owner.send_signal(sign)
        owner.wait()
        owner.stdout.close()
    await gone(pid)
    assert await _once(home) == 1


async def test_a_server_without_an_owner_is_stopped_before_ours_starts(home):
    home.joinpath("run").mkdir(exist_ok=True)
    user = server_user(home)
    if user.drop:
        os.chown(home / "run", user.uid, user.gid)
    programs = choose(home / "data")
    command = [str(programs.postgres), "-D", user.sees(home / "data")]
    command += ["-c", "listen_addresses=", "-c", "unix_socket_directories=../run"]
    orphan = subprocess.Popen(
        user.command(home / "data", command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    async with asyncio.timeout(60):
        while (
            not (home / "data" / "postmaster.pid").exists()
            or "ready" not in (home / "data" / "postmaster.pid").read_text()
        ):
            await asyncio.sleep(0.02)
    async with run_postgres(home) as server:
        assert orphan.wait(20) == 0
        assert server.pid != orphan.pid


async def test_an_interrupted_first_start_is_made_again(tmp_path):
    home = tmp_path / "postgres"
    (home / "data.new" / "base").mkdir(parents=True)
    (home / "data.new" / "half").write_text("written")
    assert await _once(home) == 1
    assert not (home / "data.new").exists()


async def test_a_path_too_long_for_a_socket_address_works_on_linux(home):
    deep = home.parent / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    home.rename(deep / "postgres")
    assert await _once(deep / "postgres") == 1


async def test_data_of_another_major_version_is_not_touched(home):
    (home / "data" / "PG_VERSION").write_text("12\n")
    with pytest.raises(PostgresVersion, match=r"PostgreSQL 12; this machine has: .*18"):
        await _once(home)


async def test_a_damaged_data_directory_tells_what_the_server_said(home):
    (home / "data" / "global" / "pg_control").write_bytes(b"")
    with pytest.raises(PostgresFailed, match="pg_control"):
        await _once(home)


def test_without_any_postgres_it_says_what_to_install(tmp_path):
    with pytest.raises(PostgresMissing) as refused:
        choose(tmp_path / "data", preferred=str(tmp_path))
    assert "tocsin[node,embedded]" in refused.value.hint


async def test_settings_of_other_postgres_clients_do_not_leak_in(home, monkeypatch):
    monkeypatch.setenv("PGDATABASE", "elsewhere")
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGUSER", "mallory")
    async with run_postgres(home) as server:
        assert await ask(server.address, "select current_user || '/' || current_database()") == "node/tocsin"


async def test_cancelling_the_start_leaves_no_server_behind(tmp_path):
    home = tmp_path / "postgres"
    start = asyncio.create_task(_once(home))
    await asyncio.sleep(0.3)
    start.cancel()
    await asyncio.gather(start, return_exceptions=True)
    assert await _once(home) == 1


@as_root
async def test_root_runs_it_as_somebody_else_below_closed_directories(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    home = closed / "postgres"
    async with run_postgres(home) as server:
        uid = Path(f"/proc/{server.pid}").stat().st_uid
        assert uid != 0
        assert (home / "data").stat().st_uid == uid
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
        assert closed.stat().st_uid == 0


@pytest.fixture
def hidden(home, tmp_path):
    """The wheel's programs where only root can see them, as in a virtual environment below /root."""
    programs = choose(home / "data")
    closed = tmp_path / "venv"
    closed.mkdir(mode=0o700)
    install = programs.directory.parent
    shutil.copytree(install, closed / install.parent.name / install.name)
    libraries = install.parent.with_name(f"{install.parent.name}.libs")
    shutil.copytree(libraries, closed / libraries.name)
    return Binaries(closed / install.parent.name / install.name / "bin", programs.major, wheel=True)


@as_root
async def test_programs_out_of_the_servers_sight_are_copied_for_the_run(home, hidden):
    with _within_sight(hidden, server_user(home)) as staged:
        assert staged.directory != hidden.directory
        async with run_postgres(home, binaries=str(staged.directory)) as server:
            assert await ask(server.address, "select 1") == 1
    assert not staged.directory.exists()


@as_root
def test_the_copy_goes_where_the_servers_user_can_see_it(home, hidden, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # below a directory that is closed to others
    with _within_sight(hidden, server_user(home)) as staged:
        assert not staged.directory.is_relative_to(tmp_path)
    assert not list(tmp_path.glob("tocsin-postgres-*"))


@as_root
def test_programs_that_nobody_else_may_run_are_refused_with_what_to_do(home, hidden):
    system = Binaries(hidden.directory, hidden.major)
    with (
        pytest.raises(PostgresFailed, match="may not execute") as refused,
        _within_sight(system, server_user(home)),
    ):
        pytest.fail("in sight")
    assert "database.binaries" in refused.value.hint


def test_copies_left_by_killed_processes_are_deleted_and_used_ones_are_not(tmp_path):
    left, used, young = (tmp_path / f"tocsin-postgres-{name}" for name in ("left", "used", "young"))
    for copy in (left, used, young):
        copy.mkdir()
        (copy / "in-use").touch()
        if copy is not young:
            os.utime(copy, (1, 1))
    with (used / "in-use").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with private_copy(tmp_path) as mine:
            assert sorted(tmp_path.iterdir()) == sorted([used, young, mine])
    assert sorted(tmp_path.iterdir()) == sorted([used, young])


@as_root
async def test_a_server_user_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(PostgresUserMissing, match="nobody-here"):
        async with run_postgres(tmp_path / "postgres", user="nobody-here"):
            pytest.fail("started")


@as_root
async def test_an_ordinary_user_runs_it_as_itself(made):
    nobody = pwd.getpwnam("nobody")
    place = Path("/dev/shm") / f"tocsin-test-{os.getpid()}"
    place.mkdir(mode=0o700)
    try:
        os.chown(place, nobody.pw_uid, nobody.pw_gid)
        python = next((p for p in (sys.executable, "/usr/bin/python3") if everybody_may_run(p, nobody)), None)
        if python is None:
            pytest.skip("no interpreter of this version is for everybody")
        packages = sysconfig.get_path("purelib")
        if not everybody_may_read(packages, nobody):
            pytest.skip("the libraries are in a directory that is not for everybody")
        for wing in environment()["PYTHONPATH"].split(os.pathsep):
            shutil.copytree(
                wing, place / "wings", ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True
            )
        path = os.pathsep.join([str(place / "wings"), packages])
        for each in (place / "wings").rglob("*"):
            each.chmod(0o755 if each.is_dir() else 0o644)
        ran = subprocess.run(
            [python, "-c", RUN, str(place / "postgres"), "once"],
            user=nobody.pw_uid,
            group=nobody.pw_gid,
            extra_groups=[],
            cwd="/",
            env={"HOME": "/", "PYTHONPATH": path, "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert json.loads(ran.stdout)["pid"] > 0
        assert (place / "postgres" / "data").stat().st_uid == nobody.pw_uid
    finally:
        shutil.rmtree(place)


def everybody_may_read(directory, user):
    looked = subprocess.run(
        [shutil.which("ls"), directory],
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
        capture_output=True,
        check=False,
    )
    return looked.returncode == 0


def everybody_may_run(python, user):
    try:
        asked = subprocess.run(
            [python, "-c", "import sys; print(sys.version_info[:2])"],
            user=user.pw_uid,
            group=user.pw_gid,
            extra_groups=[],
            cwd="/",
            env={},
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return False
    return asked.stdout.strip() == str(sys.version_info[:2])
