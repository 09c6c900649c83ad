"""THE WHOLE TIMETABLE ON ONE PAGE: what is done every so often, why, and what it means if it is late.

One process runs a node, so the timetable lives in its memory. A job that is late runs once, however many of
its times were missed, and never beside itself. Nothing that must happen hangs on a time alone: each job finds
in the database what is due.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from tocsin_node.errors import NodeError
from tocsin_node.identity_files import destroy_old_keys
from tocsin_node.node import Node
from tocsin_node.services.comparing import NAME as COMPARING

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Job:
    """One line of the timetable. `late`: what it means when it runs late or not at all."""

    name: str
    every_s: float
    jitter_s: float
    run: Callable[[Node], Awaitable[None]]
    why: str
    late: str


def timetable(node: Node) -> tuple[Job, ...]:
    """All jobs of this node."""
    return (
        Job(
            "health",
            every_s=30,
            jitter_s=3,
            run=_look_after_health,
            why="Trouble is written to the log, and told to the operators, when it begins and when it ends.",
            late="Both are told later; /healthz is always asked afresh.",
        ),
        Job(
            "early-warning",
            every_s=60,
            jitter_s=5,
            run=_warn_early,
            why="A cluster rings once its reports are here (if alerts.cluster is set); this is the net beneath that.",
            late="What was missed rings later; `tocsin cluster list` looks afresh each time.",
        ),
        Job(
            "sweep",
            every_s=node.settings.federation.sweep_s,
            jitter_s=node.settings.federation.sweep_s / 10,
            run=_sweep,
            why="Every peer is asked for its statements and its log, whatever the long polls and back-offs say.",
            late="Long polls go on without it; a lost one is noticed later.",
        ),
        Job(
            "gossip",
            every_s=60,
            jitter_s=15,
            run=_gossip,
            why="Three peers are asked what they hold of the logs that we know: who shows two faces is found out.",
            late="A split view is found later.",
        ),
        Job(
            "duties",
            every_s=60,
            jitter_s=5,
            run=_watch_clocks,
            why="Legal clocks warn at 50, 80 and 100 %; what was filed, changed or tracked meanwhile is reckoned.",
            late="A warning comes later. The dates themselves stand in the database, and a missed one stays.",
        ),
        Job(
            "housekeeping",
            every_s=6 * 3600,
            jitter_s=600,
            run=_keep_house,
            why="Invites that ended and what other bots told long ago are forgotten; encryption seeds are destroyed "
            "60 days after their term.",
            late="They lie there a little longer.",
        ),
    )


def start(node: Node) -> AsyncIOScheduler:
    """Start the timetable in the running loop. The caller shuts it down."""
    scheduler = AsyncIOScheduler(timezone=UTC)
    for job in timetable(node):
        scheduler.add_job(
            _guarded,
            "interval",
            args=(job, node),
            id=job.name,
            seconds=job.every_s,
            jitter=job.jitter_s,
            coalesce=True,
            max_instances=1,
            misfire_grace_time=None,
        )
    scheduler.start()
    return scheduler


async def _guarded(job: Job, node: Node) -> None:
    try:
        await job.run(node)
    except NodeError as exc:
        logger.warning("%s could not run: %s (%s)", job.name, exc.message, exc.hint)
    except Exception:
        logger.exception("%s failed", job.name)


async def _look_after_health(node: Node) -> None:
    report = await node.health.report()
    named = [
        *await node.peer_watch.look(),
        await node.comparing.look(),
    ]  # by name, which /healthz does not say
    if await node.ops.tell((*(c for c in report.checks if c.name not in {"peers", COMPARING}), *named)):
        node.alarms.wake()


async def _warn_early(node: Node) -> None:
    await node.clusters.ring()


async def _sweep(node: Node) -> None:
    node.exchange.sweep()
    node.acknowledging.wake()
    node.receipting.wake()
    node.recalling.wake()
    node.alarms.wake()


async def _gossip(node: Node) -> None:
    await node.gossip.round()


async def _watch_clocks(node: Node) -> None:
    await node.duties.watch()


async def _keep_house(node: Node) -> None:
    await node.joining.forget_old_invites()
    await node.witnessing.forget_old()
    await node.alarms.forget()
    await asyncio.to_thread(destroy_old_keys, node.settings.dir, node.identity, node.now())
