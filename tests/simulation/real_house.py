"""One organisation of the real simulation: a node's process, its bad wire, its slow database, its pager, its people.

The process is `tocsin node run` (or the same with a wrong clock), and dies by SIGKILL alone.
"""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import aiohttp
from tests.support.database_wire import DatabaseWire, database_wire
from tests.support.node import NodeProcess, settings_on
from tests.support.pager import Pager, pager
from tests.support.ports import free_port
from tests.support.wire import Direction, Wire

from tocsin_node.identity_files import load_identity
from tocsin_node.settings.record import Settings
from tocsin_node.storage.pool import Address
from tocsin_schema.stix import node_identity

AGAIN_S = 0.1
STARTS = 5
STIX = {"Content-Type": "application/stix+json"}
QUICK: dict[str, dict[str, Any]] = {
    "federation": {
        "backoff_max_s": 0.5,
        "long_poll_s": 2.0,
        "read_timeout_s": 5.0,
        "connect_timeout_s": 2.0,
    },
    "grouping": {
        "wait_ii_s": 0.0,
        "wait_iii_s": 0.0,
        "interval_s": 0.0,
        "flood_room": 10_000,
        "flood_origin": 10_000,
    },
}
PAGER = {"sends_per_s": 1000.0, "send_burst": 1000, "max_tlp": "red"}


@dataclass
class Weather:
    """How bad the way to a node is. `parted`: NodeIDs whose requests do not arrive. Works in the wire's thread."""

    dice: Random
    cut: float = 0.0
    flipped: float = 0.0
    parted: set[str] = field(default_factory=set)

    def __call__(self, way: Direction, piece: bytes) -> bytes | None:
        if way == "request" and any(node.encode() in piece for node in self.parted):
            return None
        if self.dice.random() < self.cut:
            return None
        if self.dice.random() < self.flipped:
            spoilt = bytearray(piece)
            spoilt[self.dice.randrange(len(spoilt))] ^= 1 << self.dice.randrange(8)
            return bytes(spoilt)
        return piece

    def clear(self) -> None:
        """Let everything pass."""
        self.cut = self.flipped = 0.0
        self.parted = set()


@dataclass
class House:
    """`url` is what peers use; its own people go straight to the node. `node`: what a `Villain` asks of whom it meets."""

    name: str
    settings: Settings
    database: Address
    wire: Wire
    weather: Weather
    slow: DatabaseWire
    pager: Pager
    process: NodeProcess
    client: aiohttp.ClientSession
    node: Any
    kills: int = 0
    _up: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def node_id(self) -> str:
        return str(self.node.identity.node_id)

    @property
    def url(self) -> str:
        return self.wire.url

    @property
    def straight(self) -> str:
        """Where its own people reach it."""
        return f"http://127.0.0.1:{self.settings.node.port}"

    @property
    def alive(self) -> bool:
        return self.process.process is not None and self.process.process.poll() is None

    async def start(self) -> None:
        """Be up, and answer; as under a service manager, a start that fails is tried again."""
        async with self._up:
            for tries in range(STARTS):
                if self.alive:
                    return
                self.process.start()
                try:
                    await self.process.answers(self.straight)
                except AssertionError:
                    if tries == STARTS - 1:
                        raise

    async def kill(self) -> None:
        """SIGKILL, at whatever it is doing."""
        async with self._up:
            if self.alive:
                self.kills += 1
                await self.process.stop(signal.SIGKILL)

    async def insist(self, method: str, path: str, data: Any, **more: Any) -> tuple[int, Any]:
        """One request, with the same bytes until the node says yes or no to it."""
        while True:
            try:
                async with self.client.request(method, path, data=data, **more) as answer:
                    said = await answer.json()
                    if answer.status not in {500, 503}:
                        return answer.status, said
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(AGAIN_S)  # nothing tells a client when a node is back


@asynccontextmanager
async def house(
    name: str, home: Path, database: Address, dice: Random, skew_s: float
) -> AsyncIterator[House]:
    """A node, made but not started, for the block."""
    port = free_port()
    directory, socket = home / name, home / f"{name}-db"
    socket.mkdir(mode=0o755)
    with Wire(port) as wire:
        async with pager() as bell, database_wire(database, socket) as slow:
            (home / f"{name}-pager").mkdir()
            values = {
                **QUICK,
                "node": {"port": port, "url": wire.url},
                "webhook": bell.settings(home / f"{name}-pager", **PAGER),
            }
            settings = settings_on(directory, slow.address, values, org=name)
            weather = Weather(dice)
            wire.spoil = weather
            process = NodeProcess(["--dir", str(directory)], home / f"{name}.log")
            if skew_s:
                module = "tests.simulation.skewed"
                process._arguments = [sys.executable, "-m", module, str(directory), str(skew_s)]
            identity, _ = load_identity(directory)
            facts = SimpleNamespace(identity=identity, producer=node_identity(name, identity.node_id))
            token = (directory / "token").read_text().strip()
            address, patience = f"http://127.0.0.1:{port}", aiohttp.ClientTimeout(total=20)
            headers = {"Authorization": f"Bearer {token}"}
            async with aiohttp.ClientSession(address, headers=headers, timeout=patience) as client:
                one = House(name, settings, database, wire, weather, slow, bell, process, client, facts)
                try:
                    yield one
                finally:
                    await one.kill()
                    if process.process is not None and process.process.stdout is not None:
                        process.process.stdout.close()
