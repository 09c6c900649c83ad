"""Reports on their way: to a new peer all at once, to a waiting peer one by one, to a responder's own client."""

import asyncio
import http.client
import json
import queue
import random
import secrets
import statistics
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
from aiohttp import ClientError
from deploy.demo.synapse import Person, Synapse
from nio import Event
from tests.bench.measure import Figure, Limit, latency
from tests.bench.nodes import BenchNode, approve, caught_up
from tests.bench.samples import Reports
from tests.bench.wire import Connection
from tests.support.confidant import confidant

from tocsin_node.links.matrix_answers import ALGORITHM
from tocsin_node.secrets import PICKLE_KEY

STORED_WITHIN_S = 30.0
SEEN_WITHIN_S = 60.0
COLLECTED_WITHIN_S = 120.0  # since the one before; calls come after a minute
AGAIN_S = 0.01
STORED_AIM_MS, SEEN_AIM_MS, SYNC_AIM_S = 300.0, 600.0, 20.0
IDLE_S = (0.02, 0.08)  # between two reports: the long poll waits again
FILED = frozenset({200, 201})
SEEN_SQL = "select 1 from report where id = $1"


async def sync(origin: BenchNode, peer: BenchNode, words: str, limit: Limit) -> tuple[Figure, Figure]:
    """How long a peer that has just approved takes for all that waits for it."""
    size = origin.call("GET", "/v1/node")["log"]["size"]
    began = time.perf_counter()
    approve(peer, "first", words)
    seconds = await caught_up(peer, "first", size) - began
    outcomes = peer.call("GET", "/v1/peers/first")["outcomes"]
    if outcomes["stored"] != size:
        raise RuntimeError(f"{size} entries, but: {outcomes}")
    allowed = SYNC_AIM_S * size / 10_000
    name = f"a new peer syncs {size:,} reports"
    whole = Figure(
        name, seconds, "s", limit=Limit(limit.name, size / limit.value, "s"),
        aim=f"< {allowed:g} s", met=seconds < allowed,
    )  # fmt: skip
    return whole, Figure("  the same, reports a second", size / seconds, "/s", limit=limit)


async def to_peer(
    origin: BenchNode, peer: BenchNode, reports: Reports, number: int, limit: Limit
) -> tuple[Figure, Figure]:
    """From sending a report to its origin until the answer, and until the row is committed at the peer.

    Seen from outside: a session of ours on the peer's database looks every millisecond.
    """
    answered, stored = [], []
    conn, wire = await asyncpg.connect(peer.database), Connection(origin.url)
    for _ in range(number + 1):
        incident_id, bundle = reports.make()
        await asyncio.sleep(random.uniform(*IDLE_S))
        began = time.perf_counter()
        file(origin, wire, bundle)
        answered.append(time.perf_counter() - began)
        while await conn.fetchval(SEEN_SQL, incident_id) is None:
            if time.perf_counter() - began > STORED_WITHIN_S:
                raise RuntimeError(f"{incident_id} did not reach the peer")
            await asyncio.sleep(0.001)
        stored.append(time.perf_counter() - began)
    await conn.close()
    wire.close()
    return (
        latency("filed, until the node's answer (idle node)", answered[1:], None),
        latency("filed, until stored at the peer", stored[1:], limit, aim_ms=STORED_AIM_MS),
    )


def file(origin: BenchNode, wire: Connection, bundle: bytes) -> None:
    status, body = wire.ask(origin.filing(bundle))
    if status not in FILED:
        raise RuntimeError(f"{status} {body[:500]!r}")


# Matrix ---------------------------------------------------------------------------------------------------


@dataclass
class Room:
    """A homeserver with one room, the node's bot and a responder who looks with a client of her own."""

    synapse: Synapse
    room: str
    bot: Person
    responder: Person
    _seen: "queue.SimpleQueue[tuple[float, dict]]" = field(default_factory=queue.SimpleQueue, repr=False)
    _closing: threading.Event = field(default_factory=threading.Event, repr=False)

    def environment(self, token_file: Path) -> Mapping[str, str]:
        """The settings of a node that rings here, without the brakes that spare a homeserver and its people."""
        token_file.touch(mode=0o600)
        token_file.write_text(self.bot.access_token)
        return {
            "TOCSIN_MATRIX_HOMESERVER": self.synapse.url,
            "TOCSIN_MATRIX_USER_ID": self.bot.user_id,
            "TOCSIN_MATRIX_ROOM": self.room,
            "TOCSIN_MATRIX_ACCESS_TOKEN_FILE": str(token_file),
            "TOCSIN_MATRIX_RESPONDERS": self.responder.user_id,
            "TOCSIN_MATRIX_SENDS_PER_S": "1000",
            "TOCSIN_MATRIX_SEND_BURST": "1000",
            "TOCSIN_GROUPING_WAIT_II_S": "0",
            "TOCSIN_GROUPING_FLOOD_ROOM": "10000",
            "TOCSIN_GROUPING_FLOOD_ORIGIN": "10000",
            "TOCSIN_ALERTS_PEER_BUDGET_PER_DAY": "100000",
        }

    def look(self) -> None:
        """The responder's client: long polls in a thread, also after the homeserver was away."""
        self.responder.arrivals(self.room)

        def watch() -> None:
            while not self._closing.is_set():
                try:
                    for event in self.responder.arrivals(self.room):
                        self._seen.put((time.perf_counter(), event))
                except (OSError, http.client.HTTPException):
                    self._closing.wait(AGAIN_S)

        threading.Thread(target=watch, name="responder", daemon=True).start()

    def leave(self) -> None:
        """From now on the homeserver may go away."""
        self._closing.set()

    def collect(self, wanted: Callable[[dict], bool], number: int) -> list[float]:
        """When each of the next `number` events came in that are `wanted`."""
        found: list[float] = []
        while len(found) < number:
            at, event = self._seen.get(timeout=COLLECTED_WITHIN_S)
            found += [at] if wanted(event) else []
        return found

    def wait_for(self, text: str) -> float:
        """When the message with that text came in."""
        end = time.perf_counter() + SEEN_WITHIN_S
        while True:
            at, event = self._seen.get(timeout=max(0.01, end - time.perf_counter()))
            if event["type"] == "m.room.message" and text in json.dumps(event["content"]):
                return at


@dataclass
class SealedRoom(Room):
    """The same, end-to-end encrypted: the responder's client decrypts what it shows."""

    def environment(self, token_file: Path) -> Mapping[str, str]:
        """The node's key for its keys lies beside its token."""
        key = token_file.with_name(PICKLE_KEY)
        key.touch(mode=0o600)
        key.write_text(secrets.token_hex(32))
        more = {"TOCSIN_MATRIX_ENCRYPTED": "true", "CREDENTIALS_DIRECTORY": str(key.parent)}
        return {**super().environment(token_file), **more}

    def look(self) -> None:
        """The responder's client in a thread with a loop of its own."""
        ready = threading.Event()

        async def watch() -> None:
            async with confidant(self.responder, self.synapse.directory / "responder") as client:
                client.client.add_event_callback(
                    lambda _room, event: self._seen.put((time.perf_counter(), event.source)), (Event,)
                )
                ready.set()
                try:
                    while True:
                        await client.listen()
                except (OSError, ClientError):
                    if not self._closing.is_set():
                        raise

        threading.Thread(target=lambda: asyncio.run(watch()), name="responder", daemon=True).start()
        ready.wait(SEEN_WITHIN_S)


@asynccontextmanager
async def open_room(directory: Path, *, sealed: bool = False) -> AsyncIterator[Room]:
    """Synapse without its rate limits, for the block."""
    with Synapse(directory / ("sealed" if sealed else "matrix")) as synapse:
        bot, responder = synapse.register("bot"), synapse.register("responder")
        cipher = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": ALGORITHM}}
        state = {"initial_state": [cipher]} if sealed else {}
        kind = SealedRoom if sealed else Room
        room = kind(synapse, responder.create_room(bot.user_id, **state), bot, responder)
        bot.join(room.room)
        room.look()
        try:
            yield room
        finally:
            room.leave()


def bare_message(room: Room, text: str) -> float:
    """From sending a message by one client until another has it: what the homeserver itself takes."""
    began = time.perf_counter()
    room.bot.say(room.room, text)
    return room.wait_for(text) - began


async def to_responder(
    origin: BenchNode, room: Room, reports: Reports, number: int, way: Limit, name: str
) -> tuple[Figure, Limit]:
    """From sending a report to its origin until the peer's responder has the alert on her own client.

    A bare message and a report take turns; the limit is the message and the bare `way` to the peer.
    """
    took, alone, wire = [], [], Connection(origin.url)
    for nth in range(number + 1):
        incident_id, bundle = reports.make()
        alone.append(await asyncio.to_thread(bare_message, room, f"bare message {nth}."))
        await asyncio.sleep(random.uniform(*IDLE_S))
        began = time.perf_counter()
        file(origin, wire, bundle)
        took.append(await asyncio.to_thread(room.wait_for, incident_id) - began)
        await asyncio.sleep(random.uniform(*IDLE_S))
    wire.close()
    message = Limit("Matrix message, sender to another client", statistics.median(alone[1:]) * 1000, "ms")
    limit = Limit("bare steps", message.value + way.value, "ms")
    return latency(name, took[1:], limit, aim_ms=SEEN_AIM_MS), message
