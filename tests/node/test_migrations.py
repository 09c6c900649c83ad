import os
from itertools import takewhile
from pathlib import Path

import pytest

from tocsin_node.storage import catalog
from tocsin_node.storage.errors import DatabaseNewer, MigrationChanged, MigrationError, NotMigrated
from tocsin_node.storage.migrations import Migration, migrate, require_current, standing, steps
from tocsin_node.storage.pool import connect

ONE = Migration(1, "one", "create table thing (id integer primary key);")
TWO = Migration(2, "two", "alter table thing add name text;")


@pytest.fixture
async def session(empty_database):
    conn = await connect(empty_database)
    yield conn
    await conn.close()


async def test_an_empty_database_takes_every_step_and_then_none(empty_database, session):
    assert await migrate(empty_database) == steps()
    assert await migrate(empty_database) == ()
    await require_current(session)


async def test_the_migrated_database_is_what_schema_sql_says(conn):
    now = await catalog.describe(conn)
    if os.environ.get("TOCSIN_WRITE_GOLDEN"):
        Path(catalog.__file__).with_name("schema.sql").write_text(now, encoding="utf-8")
    assert now == catalog.golden(), "after a review: make golden"


async def test_steps_are_taken_one_by_one_in_order(empty_database, session):
    assert await migrate(empty_database, (ONE,)) == (ONE,)
    stands = await standing(session, (ONE, TWO))
    assert (stands.applied, stands.pending) == ((ONE,), (TWO,))
    assert await migrate(empty_database, (ONE, TWO)) == (TWO,)
    assert (
        await session.fetchval("select count(*) from information_schema.columns where table_name = 'thing'")
        == 2
    )


async def test_a_failing_step_leaves_the_database_as_before_it(empty_database, session):
    broken = Migration(2, "broken", "create table half (id integer); create table thing (id integer);")
    with pytest.raises(MigrationError, match="0002_broken"):
        await migrate(empty_database, (ONE, broken))
    assert await session.fetchval("select to_regclass('half')") is None
    assert (await standing(session, (ONE, TWO))).pending == (TWO,)


async def test_a_newer_database_is_left_alone(empty_database, session):
    await migrate(empty_database, (ONE, TWO))
    with pytest.raises(DatabaseNewer, match="0002_two"):
        await migrate(empty_database, (ONE,))
    with pytest.raises(DatabaseNewer):
        await standing(session, (ONE,))


async def test_an_edited_step_is_refused(empty_database):
    await migrate(empty_database, (ONE,))
    with pytest.raises(MigrationChanged, match="0001_one"):
        await migrate(empty_database, (Migration(1, "one", ONE.sql + " "),))


async def test_a_database_without_migrations_is_told_apart(session):
    with pytest.raises(NotMigrated, match="0001_first"):
        await require_current(session)


async def test_two_processes_that_migrate_at_once_take_each_step_once(empty_database):
    import asyncio

    taken = await asyncio.gather(*(migrate(empty_database, (ONE, TWO)) for _ in range(4)))
    assert sorted(len(t) for t in taken) == [0, 0, 0, 2]


async def test_acknowledgements_of_before_are_acts_and_stay_told_or_untold(empty_database, session):
    before = tuple(takewhile(lambda step: step.name != "people", steps()))
    await migrate(empty_database, before)
    await session.execute(
        "insert into alert (report_id, ver, kind, grade, level, tlp, origin, ours, facts)"
        " values ('incident--a', 1, 'raise', 'I', 5, 'green', 'Acme', false, '{}')"
    )
    await session.execute(
        "insert into acknowledgement (alert_id, report_id, ver, by, via, event_id, at, shared_idx) values"
        " (1, 'incident--a', 1, '@ada:hs', 'reaction', '$1', now(), 7),"
        " (1, 'incident--a', 1, 'ops', 'api', null, now(), null)"
    )
    await migrate(empty_database)
    rows = await session.fetch("select kind, by, event_id, shared_idx from act order by id")
    assert [tuple(row) for row in rows] == [("ack", "@ada:hs", "$1", 7), ("ack", "ops", None, None)]
    assert await session.fetchval("select count(*) from followup") == 0, "nobody is called for what is old"
