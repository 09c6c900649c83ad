"""P7 over real HTTP and PostgreSQL: nodes as processes on a bad wire, killed with SIGKILL, with a liar among them.

A seed that fails is played again with `python -m tests.simulation --real SEED`.
"""

import asyncio
from dataclasses import replace

import pytest
from tests.simulation.real import play, settle
from tests.simulation.real_judge import books_of, judge, read
from tests.simulation.real_plan import KINDS, NAMES, WAYS, Act, plan
from tests.simulation.real_play import run_of

from tocsin_federation.frames import Frame
from tocsin_node.storage.pool import connect
from tocsin_schema.marking import Tlp

SEEDS = (1, 2, 3)
LOOKS = 40


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", SEEDS)
async def test_p7_over_real_http_and_postgres_every_promise_holds(cluster, seed):
    run, wrong = await play(seed, cluster)
    assert not wrong, f"python -m tests.simulation --real {seed}"
    assert run.did["file"] >= KINDS["file"] // 2
    assert sum(house.kills for house in run.houses.values())
    assert run.mischief.fooled


def test_the_same_seed_is_the_same_plan_and_the_plans_are_worth_playing():
    assert plan(7) == plan(7) != plan(8)
    acts = [act for seed in range(30) for act in plan(seed, recalls=True).acts]
    assert {act.kind for act in acts} == {*KINDS, "recall"}
    assert {act.way for act in acts if act.kind == "mischief"} == set(WAYS)


# What the judge has to see: each of these is done to the databases of a run in which nothing is wrong ----------------

QUIET = (
    Act(0.0, "file", "alder", tlp="clear", grave=True),
    Act(0.0, "file", "birch", tlp="clear"),
    Act(0.2, "file", "birch", tlp="clear"),
    Act(3.0, "recall", "birch", nth=1),
    Act(0.1, "file", "cedar", tlp="green", grave=True, to=("alder",)),
)
SPOILT = {
    "has not heard that": ("birch", "update receipt set purged_at = null where node = $1", "cedar"),
    "is at": ("cedar", "update remote_log set next_index = next_index - 1 where origin = $1", "alder"),
    "has no outcome": ("cedar", "delete from remote_entry where origin = $1", "alder"),
    "does not hold version": ("cedar", "update report set ver = 7 where origin = $1", "birch"),
    "which was not for it": ("cedar", "update report set ver = 7 where origin = $1", "birch"),
    "never said": ("birch", "update report set bundle = '\\x00' where origin = $1", "alder"),
    "that it never made": (
        "birch",
        ("insert into report (id, origin, ver, state, name, tlp, grade, level, score, realization, modified, sha256, bundle)"
        " select 'incident--0', $1, 1, state, name, tlp, grade, level, score, realization, modified, sha256, bundle"
        " from report limit 1"),
        "alder",
    ),
    "which it had acknowledged": ("birch", "update report set bundle = '\\x00' where origin = $1", "birch"),
    "more mildly than": ("alder", "update report set tlp = 'clear' where origin = $1", "cedar"),
    "stopped birch, who is honest": ("alder", "update peer set state = 'suspect' where node_id = $1", "birch"),
    "holds evidence against": (
        "alder", "insert into evidence (origin, code, held, offered) values ($1, 'log-fork', '', '')", "birch",
    ),
    "is not what it signed": ("birch", "update log_entry set leaf_hash = sha256(leaf_hash) where $1 <> ''", "birch"),
    "nobody there has seen": (
        "alder",
        "insert into act (report_id, ver, node, by, via, at, kind) select id, ver, $1, $1, 'peer', now(), 'ack' from report",
        "birch",
    ),
    "have not gone out": ("birch", "update delivery set state = 'pending', next_at = 'infinity' where $1 <> ''", "birch"),
}  # fmt: skip


LIMITS = {(a, b): (Tlp.AMBER, Tlp.AMBER) for a in NAMES for b in (*NAMES, "mallory") if a != b}


async def spoil(run, at, statement, about):
    """A node's books as that statement would leave them; it is taken back."""
    conn = await connect(run.houses[at].database)
    try:
        transaction = conn.transaction()
        await transaction.start()
        await conn.execute(statement, run.houses[about].node_id)
        spoilt = await read(conn)
        await transaction.rollback()
        return spoilt
    finally:
        await conn.close()


@pytest.mark.timeout(400)
async def test_the_judge_sees_what_is_wrong_in_a_database_and_at_a_pager(cluster):
    async with run_of(replace(plan(0), acts=QUIET, limits=LIMITS), cluster) as run:
        await run.storm()
        assert await settle(run) == []
        for word, (at, statement, about) in SPOILT.items():
            for _ in range(LOOKS):
                spoilt = await spoil(run, at, statement, about)
                if any(word in each for each in await judge(run, {at: spoilt})):
                    break
                await asyncio.sleep(0.5)  # a receipt was written between the two readings
            else:
                pytest.fail(f"nobody noticed: {word}")
        assert await settle(run) == []

        heard = run.houses["birch"].pager.alerts
        heard.append(heard[0])
        assert any("rang 2 times" in each for each in await judge(run))
        del heard[:]
        assert any("was not rung for" in each for each in await judge(run))
        entry = (await books_of(run.houses["cedar"])).leaves[0]
        run.mischief.got.append(("cedar", Frame(0, entry, b"", b"")))
        assert any("was not for it" in each for each in await judge(run))
        run.mischief.fooled = "cedar"
        assert any("has not noticed" in each for each in await judge(run))
