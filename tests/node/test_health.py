import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from tests.support.node import open_here, settings_on
from tests.support.villain import peer_status, villain

from tocsin_node import health
from tocsin_node.errors import NodeStopping
from tocsin_node.health import (
    Check,
    Health,
    address_check,
    database_check,
    disk_check,
    identity_check,
    leader_check,
)
from tocsin_node.identity_files import load_identity
from tocsin_node.initialise import initialise
from tocsin_node.rotation import rotate
from tocsin_node.settings.loading import load
from tocsin_node.storage.leader import Leader

NOW = datetime(2026, 11, 23, tzinfo=UTC)


class Clock:
    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def all_of(clock, monkeypatch):
    monkeypatch.setattr(health, "FRESH_FOR_S", 0.0)
    return Health(now=clock)


def says(*checks):
    async def ask():
        return checks

    return ask


@pytest.mark.parametrize(
    ("statuses", "worst"),
    [
        ((), "ok"),
        (("ok", "ok"), "ok"),
        (("ok", "degraded"), "degraded"),
        (("down", "degraded", "ok"), "down"),
        (("ok", "degraded", "down"), "degraded"),
    ],
)
async def test_the_whole_is_as_well_as_its_worst_part_and_down_only_without_an_essential_one(
    all_of, statuses, worst
):
    for name, status in zip(("database", "peers", "matrix"), statuses, strict=False):
        all_of.add(name, says(Check(name, status)))
    assert (await all_of.report()).status == worst


async def test_since_is_when_it_came_to_be_so(all_of, clock):
    state = [Check("part")]

    async def ask():
        return state[0]

    all_of.add("part", ask)
    assert (await all_of.report()).checks[0].since == NOW
    clock.now += timedelta(minutes=1)
    state[0] = Check("part", "down", "gone")
    assert (await all_of.report()).checks[0].since == clock.now
    clock.now += timedelta(minutes=1)
    assert (await all_of.report()).checks[0].since == clock.now - timedelta(minutes=1)
    state[0] = Check("part")
    assert (await all_of.report()).checks[0].since == clock.now


async def test_a_part_that_does_not_answer_is_named_and_holds_up_nobody(all_of, monkeypatch):
    monkeypatch.setattr(health, "ANSWER_WITHIN_S", 0.05)

    async def never():
        await asyncio.Event().wait()

    async def broken():
        raise ValueError("with a secret")

    async def refused():
        raise NodeStopping

    all_of.add("never", never)
    all_of.add("broken", broken)
    all_of.add("refused", refused)
    found = {check.name: (check.status, check.code) for check in (await all_of.report()).checks}
    assert found == {
        "never": ("degraded", "check-slow"),
        "broken": ("degraded", "check-failed"),
        "refused": ("down", "stopping"),
    }
    assert "secret" not in repr(await all_of.report())


async def test_many_who_ask_at_once_cost_one_round(clock):
    asked = []

    async def ask():
        asked.append(1)
        return Check("part")

    once = Health(now=clock)
    once.add("part", ask)
    await asyncio.gather(*(once.report() for _ in range(50)))
    assert len(asked) == 1


async def test_trouble_is_logged_when_it_begins_and_when_it_ends(all_of, caplog):
    state = [Check("part")]

    async def ask():
        return state[0]

    all_of.add("part", ask)
    for now in (
        Check("part"),
        Check("part", "down", "gone", "Look."),
        Check("part", "down", "gone", "Look."),
        Check("part"),
    ):
        state[0] = now
        await all_of.report()
    assert [record.getMessage() for record in caplog.records] == ["part is down: Look.", "part is ok"]


def of_term(tmp_path):
    """A node's identity, made now, and the moment of its end."""
    initialise(tmp_path / "node", {"node": {"org": "Acme"}}, now=lambda: NOW)
    identity, _ = load_identity(tmp_path / "node")
    return identity, identity.statement.expires_at


@pytest.mark.parametrize(
    ("left", "status", "code"),
    [
        (timedelta(days=31), "ok", None),
        (timedelta(days=29), "degraded", "identity-expiring"),
        (timedelta(seconds=-1), "degraded", "identity-expired"),
    ],
)
async def test_the_statements_end_is_announced_thirty_days_before(tmp_path, left, status, code):
    identity, end = of_term(tmp_path)
    check = await identity_check(identity, lambda: end - left)()
    assert (check.status, check.code) == (status, code)
    assert bool(check.hint) == (status != "ok")


async def test_the_log_says_it_at_thirty_fourteen_seven_three_and_one_days_and_at_the_end(
    tmp_path, all_of, clock, caplog
):
    identity, end = of_term(tmp_path)
    all_of.add("identity", identity_check(identity, clock))
    said = {}
    for hours in range(40 * 24, -48, -6):
        clock.now = end - timedelta(hours=hours)
        caplog.clear()
        found = await all_of.report()
        if caplog.records:
            said[hours / 24] = found.checks[0].code
    stages = dict.fromkeys((30.0, 14.0, 7.0, 3.0, 1.0), "identity-expiring")
    assert said == {**stages, 0.0: "identity-expired"}


async def test_encryption_keys_that_end_before_the_statement_are_announced_too(tmp_path):
    identity, end = of_term(tmp_path)
    short = msgspec.structs.replace(identity.statement, enc=identity.statement.enc[:2])
    cut = dataclasses.replace(identity, statements=(short,))
    last = datetime.fromtimestamp(short.enc[-1].exp, UTC)
    assert last < end
    for left, code in ((31, None), (13, "encryption-keys-expiring"), (-1, "encryption-keys-expiring")):
        check = await identity_check(cut, lambda left=left: last - timedelta(days=left))()
        assert check.code == code, left


async def test_the_database_and_the_pen_answer_for_themselves(pool, database, all_of):
    leader = Leader(database)
    await leader.open()
    all_of.add("database", database_check(pool, None))
    all_of.add("log-writer", leader_check(leader))
    assert (await all_of.report()).status == "ok"
    await leader.close()
    await pool.close()
    found = {check.name: (check.status, check.code) for check in (await all_of.report()).checks}
    assert found == {"database": ("down", "storage-unavailable"), "log-writer": ("degraded", "pen-lost")}


async def test_a_full_disk_is_announced(tmp_path, monkeypatch):
    assert (await disk_check(tmp_path)()).status == "ok"
    monkeypatch.setattr(health, "DISK_LOW_BYTES", 1 << 62)
    assert (await disk_check(tmp_path)()).code == "disk-low"


async def test_a_new_address_that_peers_were_not_told_is_announced(tmp_path):
    initialise(tmp_path / "node", {"node": {"org": "Acme", "url": "https://a.example"}})
    settings = tmp_path / "node" / "node.toml"
    ask = address_check(load(tmp_path / "node", {}), load_identity(tmp_path / "node")[0])
    assert (await ask()).status == "ok"
    settings.write_text(settings.read_text().replace("a.example", "b.example"))
    ask = address_check(load(tmp_path / "node", {}), load_identity(tmp_path / "node")[0])
    assert (await ask()).code == "address-differs"
    rotate(tmp_path / "node")
    ask = address_check(load(tmp_path / "node", {}), load_identity(tmp_path / "node")[0])
    assert (await ask()).status == "ok"


async def test_a_peers_statement_that_ends_is_said_with_the_days_and_by_name_to_operators_alone(
    database, tmp_path
):
    ahead = timedelta()
    settings = settings_on(tmp_path / "acme", database)
    async with villain() as mallory, open_here(settings, now=lambda: datetime.now(UTC) + ahead) as acme:
        await mallory.join(acme)
        for days, stage in ((60, None), (75, None), (95, 7), (99.5, 1), (101, 0)):
            ahead = timedelta(days=days)
            async with acme.node.pool.acquire() as conn:  # it was heard of all the time
                await conn.execute("update peer set last_contact_at = $1", datetime.now(UTC) + ahead)
            statement = (await peer_status(acme))["statement"]
            assert statement["expiring"] is (days >= 70)
            assert abs(statement["days_left"] - (100 - days)) <= 1
            named = [c for c in await acme.node.peer_watch.look() if c.code == "peer-expiring"]
            assert [c.mark for c in named] == ([] if stage is None else [stage])
            assert all(c.name == "peer mallory" for c in named)
            told = await acme.node.peer_watch.health()
            assert "mallory" not in (told.hint or "")
