import asyncio
from datetime import UTC, datetime, timedelta

import pytest

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


@pytest.mark.parametrize(
    ("left", "status", "code"),
    [
        (timedelta(days=31), "ok", None),
        (timedelta(days=29), "degraded", "identity-expiring"),
        (timedelta(seconds=-1), "degraded", "identity-expired"),
    ],
)
async def test_the_statements_end_is_announced_thirty_days_before(left, status, code):
    check = await identity_check(lambda: NOW + left, lambda: NOW)()
    assert (check.status, check.code) == (status, code)
    assert bool(check.hint) == (status != "ok")


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
    from tocsin_node.identity_files import load_identity
    from tocsin_node.initialise import initialise, renew
    from tocsin_node.settings import load

    initialise(tmp_path / "node", {"node": {"org": "Acme", "url": "https://a.example"}})
    settings = tmp_path / "node" / "node.toml"
    ask = address_check(load(tmp_path / "node", {}), load_identity(tmp_path / "node")[0])
    assert (await ask()).status == "ok"
    settings.write_text(settings.read_text().replace("a.example", "b.example"))
    ask = address_check(load(tmp_path / "node", {}), load_identity(tmp_path / "node")[0])
    assert (await ask()).code == "address-differs"
    renew(tmp_path / "node")
    ask = address_check(load(tmp_path / "node", {}), load_identity(tmp_path / "node")[0])
    assert (await ask()).status == "ok"
