import asyncio
from types import SimpleNamespace

import pytest
from tests.support.node import open_here, settings_on
from tests.support.villain import post, until, villain

from tocsin_node import schedule
from tocsin_node.errors import NodeError
from tocsin_node.schedule import Job
from tocsin_node.settings.federation import FederationSettings


@pytest.fixture
def node():
    return SimpleNamespace(settings=SimpleNamespace(federation=FederationSettings()))


def every(seconds, run, name="job"):
    return Job(name, every_s=seconds, jitter_s=0, run=run, why="To be tried.", late="Nothing.")


@pytest.fixture
def started(node, monkeypatch):
    running = []

    def start(*jobs):
        monkeypatch.setattr(schedule, "timetable", lambda _node: jobs)
        running.append(schedule.start(node))

    yield start
    for scheduler in running:
        scheduler.shutdown(wait=False)


def test_every_job_says_why_it_exists_and_what_it_means_if_it_is_late(node):
    jobs = schedule.timetable(node)
    assert len({job.name for job in jobs}) == len(jobs) > 0
    for job in jobs:
        assert job.why.endswith(".")
        assert job.late.endswith(".")
        assert 0 <= job.jitter_s < job.every_s


async def test_a_job_runs_every_so_often(started):
    ran = asyncio.Event()
    times = []

    async def run(_node):
        times.append(asyncio.get_running_loop().time())
        if len(times) == 4:
            ran.set()

    began = asyncio.get_running_loop().time()
    started(every(0.1, run))
    async with asyncio.timeout(60):
        await ran.wait()
    assert times[3] - began > 0.35, "a fourth run before four intervals are over"


async def test_a_slow_job_never_runs_beside_itself(started):
    at_once, most = 0, 0
    often = asyncio.Event()
    count = 0

    async def run(_node):
        nonlocal at_once, most, count
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.25)
        at_once -= 1
        count += 1
        if count == 3:
            often.set()

    started(every(0.05, run))
    async with asyncio.timeout(60):
        await often.wait()
    assert most == 1


async def test_a_failing_job_is_told_and_tried_again(started, caplog):
    again = asyncio.Event()
    ways = iter([NodeError("The peer sleeps.", hint="Wait."), ValueError("a bug")])

    async def run(_node):
        way = next(ways, None)
        if way is None:
            again.set()
            return
        raise way

    started(every(0.05, run, name="caller"))
    async with asyncio.timeout(60):
        await again.wait()
    told = [record.getMessage() for record in caplog.records if record.name == "tocsin_node.schedule"]
    assert told == ["caller could not run: The peer sleeps. (Wait.)", "caller failed"]


async def test_the_sweep_looks_at_a_peer_that_everything_else_leaves_alone(database, tmp_path):
    """A long poll asks for no statements; only the sweep does, and it comes again and again."""
    swept = {"federation": {"sweep_s": 1.0, "long_poll_s": 0.5}}
    async with open_here(settings_on(tmp_path / "node", database, swept)) as served, villain() as mallory:
        await mallory.join(served)

        async def well():
            return served.node.peering.named("mallory").row.problem_code is None and mallory.asked

        await until(well)
        running = schedule.start(served.node)
        try:
            asked = mallory.asked.count("/.well-known/tocsin")

            async def again():
                return mallory.asked.count("/.well-known/tocsin") >= asked + 2

            await until(again)
        finally:
            running.shutdown(wait=False)


async def test_housekeeping_forgets_what_is_long_over_and_nothing_else(acme):
    for name in ("long over", "still good"):
        await post(acme, "/v1/peers/invites", {"name": name})
    async with acme.node.pool.acquire() as conn:
        await conn.execute(
            "update invite set expires_at = now() - interval '31 days' where name = 'long over'"
        )
        (housekeeping,) = (job for job in schedule.timetable(acme.node) if job.name == "housekeeping")
        await housekeeping.run(acme.node)
        assert [row["name"] for row in await conn.fetch("select name from invite")] == ["still good"]
