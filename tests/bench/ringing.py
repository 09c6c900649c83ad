"""What rings, in numbers: alerts a second through one room, how late the next are called, how soon it rings again."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path

from tests.bench.measure import Figure, Limit, Round, latency, throughput
from tests.bench.nodes import BenchNode, run_node
from tests.bench.samples import ringing
from tests.bench.travel import Room, bare_message, file, open_room
from tests.bench.wire import Connection

SENDERS = 16
OUTAGE_S = 5.0
BACK_AIM_MS = 2000.0
WAIT_MIN = 1  # the shortest that can be set
APART_S = 0.25


@asynccontextmanager
async def rung(directory: Path, **more: str) -> AsyncIterator[tuple[BenchNode, Room]]:
    """A node with a room of its own, for the block."""
    directory.mkdir()  # noqa: ASYNC240  once
    async with open_room(directory) as room:
        environment = {**room.environment(directory / "token"), **more}
        async with run_node("ringing", directory, environment) as node:
            yield node, room


def is_alert(event: dict, kind: str | None = None) -> bool:
    """Whether it is the first message about an incident, or a later one of that kind."""
    told = event["content"].get("org.tocsin.alert")
    return told is not None and told.get("message") == kind and "m.new_content" not in event["content"]


async def through_one_room(directory: Path, number: int, rounds: int) -> Figure:
    """Alerts that wait are sent one after another; beside messages that several clients send at once."""
    async with rung(directory / "through") as (node, room):
        reports, alone, ours = ringing(node.identity), [], []
        with Connection(node.url) as wire:
            for _ in range(rounds):
                alone += [bare(room, number, senders) for senders in (1, SENDERS)]
                for bundle in reports.take(number):
                    file(node, wire, bundle)
                seen = await asyncio.to_thread(room.collect, is_alert, number)
                ours.append(Round(number - 1, seen[-1] - seen[0], [b - a for a, b in pairwise(seen)]))
    limit = Limit("messages into one room", max(one.per_s for one in alone), "/s")
    return throughput("alerts through one room", ours, limit)


def bare(room: Room, number: int, senders: int) -> Round:
    """Messages of one bot, so many at once, until the homeserver has them all."""
    began = time.perf_counter()
    with ThreadPoolExecutor(senders) as pool:
        list(pool.map(lambda nth: room.bot.say(room.room, f"bare message {nth}"), range(number)))
    return Round(number, time.perf_counter() - began)


async def called_next(directory: Path, number: int) -> Figure:
    """From the node's answer to a report until the next people's client shows that they are called."""
    waits = f"{WAIT_MIN},600"
    async with rung(directory / "called", TOCSIN_ONCALL_GRADE_I_WAITS_MIN=waits) as (node, room):
        reports, filed = ringing(node.identity), []
        with Connection(node.url) as wire:
            for bundle in reports.take(number):
                file(node, wire, bundle)
                filed.append(time.perf_counter())
                await asyncio.sleep(APART_S)
        called = await asyncio.to_thread(room.collect, lambda event: is_alert(event, "escalation"), number)
    took = [there - here for here, there in zip(filed, called, strict=True)]
    return Figure(
        "nobody answered, until the next are called",
        statistics.median(took),
        "s",
        min(took) * 1000,
        max(took) * 1000,
        Limit("as it is set", WAIT_MIN * 60.0, "s"),
    )


async def back_again(directory: Path, outages: int) -> Figure:
    """From the moment a homeserver that was killed answers again until a waiting alert is on the responder's client.

    Beside it what a bare message takes from there on.
    """
    took, alone = [], []
    async with rung(directory / "back") as (node, room):
        for nth, bundle in enumerate(ringing(node.identity).take(outages)):
            took.append(await _outage(node, room, bundle))
            alone.append(await asyncio.to_thread(bare_message, room, f"bare message {nth}."))
    limit = Limit("Matrix message, sender to another client", statistics.median(alone) * 1000, "ms")
    return latency("homeserver back, until it rings", took, limit, aim_ms=BACK_AIM_MS)


async def _outage(node: BenchNode, room: Room, bundle: bytes) -> float:
    room.synapse.kill()
    with Connection(node.url) as wire:
        file(node, wire, bundle)
    await asyncio.sleep(OUTAGE_S)
    room.synapse.start()
    await asyncio.to_thread(room.synapse.wait_ready)
    back = time.perf_counter()
    [seen] = await asyncio.to_thread(room.collect, is_alert, 1)
    return seen - back
