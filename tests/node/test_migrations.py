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


async def test_complaints_receipts_and_what_was_set_aside_of_before_are_kept(empty_database, session):
    await migrate(empty_database, tuple(takewhile(lambda step: step.name != "faults", steps())))
    leaf, name = b"\x01" * 32, "incident--00000000-0000-4000-8000-000000000001"
    for gen in (1, 2):
        await session.execute(
            "insert into log_entry (gen, idx, leaf_hash, leaf) values ($1, 7, $2, $3)",
            *(gen, bytes([gen]) * 32, b'{"id":"' + name.encode() + b'\xff"}'),
        )
    for told in (7, None):
        await session.execute(
            "insert into complaint (by, against, gen, idx, leaf_hash, report_id, ver, tlp, author, recipients, told_idx)"
            " values ('us', 'them', 1, 3, $1, $2, 1, 'amber', 'who', '{}', $3)",
            *(bytes([told or 0]) * 32, name, told),
        )
    await session.execute(
        "insert into receipt_due (origin, leaf_hash, state) values ('who', $1, 'stored')", leaf
    )
    await session.execute(
        "insert into quarantine (origin, gen, idx, code, leaf, wrap, ct) values ('who', 1, 1, 'malformed', $1, '', '')",
        b"\x00\xfe " + (name.encode() + b" ") * 200,
    )
    await migrate(empty_database)
    rows = await session.fetch("select told_gen, told_idx, asked_at, ended_at from complaint order by id")
    assert [tuple(row) for row in rows] == [(2, 7, None, None), (None, None, None, None)]
    assert await session.fetchval("select by from receipt_due") == ""
    found = "select count(*) from quarantine where report_names(encode(leaf, 'escape')) && array[$1]"
    assert await session.fetchval(found, name) == 1
