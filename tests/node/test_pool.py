# ruff: noqa: PT012  what is tried here is what a block does as a whole
import asyncio
from contextlib import asynccontextmanager
from types import SimpleNamespace

import asyncpg
import pytest
from tests.support.villain import until

from tocsin_node.errors import NodeRunning
from tocsin_node.settings.record import Settings
from tocsin_node.settings.server import DatabaseSettings, NodeSettings
from tocsin_node.storage.errors import (
    NotMigrated,
    StorageConflict,
    StorageContention,
    StorageError,
    StorageFull,
    StorageRefused,
    StorageUnavailable,
    StorageUnfit,
    translate,
)
from tocsin_node.storage.leader import Leader
from tocsin_node.storage.pool import Address, check_version, connect, open_pool


async def cut(address, pid):
    """Cut a session from outside, as a network or an administrator would."""
    conn = await connect(address.with_database("postgres"))
    try:
        await conn.execute("select pg_terminate_backend($1, 5000)", pid)
    finally:
        await conn.close()


async def test_rows_come_back_as_they_went_in(conn):
    await conn.execute("create table thing (id integer primary key, body bytea)")
    await conn.executemany("insert into thing values ($1, $2)", [(1, b"\x00\xff"), (2, b"")])
    assert await conn.fetchval("select body from thing where id = $1", 1) == b"\x00\xff"
    assert [tuple(row) for row in await conn.fetch("select * from thing order by id")] == [
        (1, b"\x00\xff"),
        (2, b""),
    ]
    assert await conn.fetchrow("select * from thing where id = 3") is None


async def test_a_transaction_is_taken_back_whole_on_any_exception(pool):
    async with pool.acquire() as conn:
        await conn.execute("create table thing (id integer)")
    with pytest.raises(RuntimeError):
        async with pool.transaction() as conn:
            await conn.execute("insert into thing values (1)")
            raise RuntimeError
    async with pool.transaction() as conn:
        assert await conn.fetchval("select count(*) from thing") == 0


async def test_sessions_are_in_utc_and_have_limits(conn):
    assert await conn.fetchval("select current_setting('TimeZone')") == "UTC"
    assert await conn.fetchval("select current_setting('statement_timeout')") == "1min"
    assert await conn.fetchval("select current_setting('idle_in_transaction_session_timeout')") == "1min"


@pytest.mark.parametrize(
    ("statement", "kind"),
    [
        ("insert into thing values (1)", StorageConflict),
        ("insert into thing values (null)", StorageConflict),
        ("select * from absent", NotMigrated),
        ("selec", StorageError),
        ("select pg_sleep(5)", StorageUnavailable),
    ],
)
async def test_refusals_are_ours_and_say_what_they_mean(conn, statement, kind):
    await conn.execute("create table thing (id integer primary key)")
    await conn.execute("insert into thing values (1)")
    if "sleep" in statement:
        await conn.execute("set statement_timeout = '50ms'")
    with pytest.raises(kind) as refused:
        await conn.execute(statement)
    assert refused.value.hint


async def test_a_broken_rule_is_named_and_values_are_not(conn):
    await conn.execute("create table thing (secret text constraint one_secret unique)")
    await conn.execute("insert into thing values ('hunter2')")
    with pytest.raises(StorageConflict) as refused:
        await conn.fetchval("insert into thing values ('hunter2') returning secret")
    assert refused.value.constraint == "one_secret"
    assert "hunter2" not in str(refused.value)


async def test_a_cut_connection_is_unavailable_and_the_next_one_works(pool, database):
    with pytest.raises(StorageUnavailable):
        async with pool.acquire() as conn:
            await cut(database, conn.get_server_pid())
            await conn.fetchval("select 1")
    async with pool.acquire() as conn:
        assert await conn.fetchval("select 1") == 1


async def test_a_connection_cut_inside_a_transaction_is_unavailable(pool, database):
    with pytest.raises(StorageUnavailable):
        async with pool.transaction() as conn:
            await conn.execute("create table thing (id integer)")
            await cut(database, conn.get_server_pid())
            await conn.execute("insert into thing values (1)")
    async with pool.acquire() as conn:
        assert await conn.fetchval("select to_regclass('thing')") is None


async def test_a_session_found_dead_before_anything_was_written_costs_nobody_his_transaction(
    pool, database, monkeypatch
):
    dead, acquire = [], pool.acquire

    @asynccontextmanager
    async def of_those_that_die():
        async with acquire() as conn:
            if len(dead) < 2:
                dead.append(conn.get_server_pid())
                await cut(database, dead[-1])
            yield conn

    monkeypatch.setattr(pool, "acquire", of_those_that_die)
    async with pool.transaction() as conn:
        await conn.execute("create table thing (id integer)")
    async with acquire() as conn:
        assert await conn.fetchval("select to_regclass('thing')::text") == "thing"
    assert len(dead) == 2


async def test_the_callers_own_trouble_stays_its_own(pool):
    with pytest.raises(ConnectionRefusedError):
        async with pool.acquire():
            raise ConnectionRefusedError("of a peer, not of the database")


async def test_a_busy_pool_says_so_in_time(database, tmp_path, monkeypatch):
    monkeypatch.setattr("tocsin_node.storage.pool.CONNECT_TIMEOUT_S", 0.2)
    settings = Settings(dir=tmp_path, node=NodeSettings(org="Test"), database=DatabaseSettings(connections=2))
    async with open_pool(settings, database) as small, small.acquire(), small.acquire():
        with pytest.raises(StorageUnavailable, match="did not answer in time"):
            async with small.acquire():
                pytest.fail("a third connection out of two")


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("postgresql://node@127.0.0.1:1/tocsin", StorageUnavailable),
        ("postgresql://node@/tocsin?host=/nowhere/at/all", StorageUnavailable),
    ],
)
async def test_an_absent_server_is_unavailable(url, kind):
    with pytest.raises(kind):
        await connect(Address(url))


async def test_a_wrong_database_is_refused_by_name(database):
    with pytest.raises(StorageRefused, match="absent"):
        await connect(database.with_database("absent"))


@pytest.mark.parametrize("url", ["mysql://host/db", "tocsin", "postgresql://[", ""])
def test_what_is_no_postgres_address_is_refused(url):
    with pytest.raises(StorageRefused, match=r"database\.url"):
        Address(url)


def test_an_address_shows_no_password():
    address = Address("postgresql://node:hunter2@db.example:5432/tocsin?sslmode=require")
    assert "hunter2" not in repr(address) + str(address)
    assert str(address) == "tocsin at db.example:5432"
    assert (
        address.with_database("other").url
        == "postgresql://node:hunter2@db.example:5432/other?sslmode=require"
    )


@pytest.mark.parametrize(
    ("exc", "kind", "retryable"),
    [
        (asyncpg.InternalClientError("cannot switch to state 2"), StorageUnavailable, True),
        (asyncpg.InterfaceError("connection is closed"), StorageUnavailable, True),
        (
            asyncpg.InterfaceError("cannot perform operation: another operation is in progress"),
            StorageError,
            False,
        ),
        (asyncpg.ConnectionDoesNotExistError("connection was closed"), StorageUnavailable, True),
        (asyncpg.AdminShutdownError("terminating"), StorageUnavailable, True),
        (asyncpg.TooManyConnectionsError("sorry"), StorageUnavailable, True),
        (asyncpg.ReadOnlySQLTransactionError("standby"), StorageUnavailable, True),
        (asyncpg.SerializationError("again"), StorageContention, True),
        (asyncpg.DeadlockDetectedError("again"), StorageContention, True),
        (asyncpg.DiskFullError("full"), StorageFull, True),
        (asyncpg.InvalidPasswordError("no"), StorageRefused, False),
        (asyncpg.NumericValueOutOfRangeError("too large"), StorageUnfit, False),
        (asyncpg.StatementTooComplexError("too much"), StorageUnfit, False),
        (asyncpg.PostgresIOError("could not read block"), StorageError, False),
        (asyncpg.InvalidCachedStatementError("schema changed"), StorageError, False),
        (TimeoutError(), StorageUnavailable, True),
        (ConnectionResetError(), StorageUnavailable, True),
    ],
)
def test_each_trouble_of_the_driver_has_one_meaning(exc, kind, retryable):
    error = translate(exc)
    assert (type(error), error.retryable) == (kind, retryable)
    assert error.of_data == (kind is StorageUnfit), "only what speaks about data may judge an entry"


async def test_only_one_leader_has_the_pen(database):
    first, second = Leader(database), Leader(database)
    await first.open()
    with pytest.raises(NodeRunning, match=r"session is \d+"):
        await second.open(wait_s=0)
    await first.close()
    await second.open(wait_s=60)
    assert second.leading
    await second.close()


async def test_losing_the_connection_loses_the_pen_and_what_was_being_written(database, conn):
    await conn.execute("create table thing (id integer)")
    leader, rival = Leader(database), Leader(database)
    await leader.open()
    with pytest.raises(StorageUnavailable):
        async with leader.connection() as pen, pen.transaction():
            await pen.execute("insert into thing values (1)")
            await cut(database, pen.get_server_pid())
            await rival.open(wait_s=60)  # another process takes over at once
            await pen.execute("insert into thing values (2)")
    assert await conn.fetchval("select count(*) from thing") == 0
    with pytest.raises(StorageUnavailable, match="Another process"):
        async with leader.connection():
            pytest.fail("two pens")
    await rival.close()
    async with leader.connection() as pen:
        assert await pen.fetchval("select 1") == 1
    await leader.close()


async def test_a_writer_that_is_cancelled_leaves_no_half_written_session(database, conn):
    leader = Leader(database)
    await leader.open()

    async def write():
        async with leader.connection() as pen:
            await pen.execute("select pg_sleep(30)")

    async def writes():
        busy = (
            "select count(*) from pg_stat_activity where query like 'select pg_sleep%' and state = 'active'"
        )
        return await conn.fetchval(busy)

    task = asyncio.create_task(write())
    await until(writes)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with leader.connection() as pen:
        assert await pen.fetchval("select 1") == 1
    await leader.close()


@pytest.mark.parametrize("major", [9, 14])
def test_a_server_that_is_too_old_is_refused(major):
    class Old:
        def get_server_version(self):
            return SimpleNamespace(major=major)

    with pytest.raises(StorageRefused, match=f"PostgreSQL {major}") as refused:
        check_version(Old())
    assert "Upgrade" in refused.value.hint
