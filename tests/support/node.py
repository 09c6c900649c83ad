"""Real nodes for tests: in this process on the session's cluster, or as a process of its own.

`open_here` is quick (no PostgreSQL of its own) and lets a test look inside. `NodeProcess` is what an operator
runs: `tocsin node run`, with its own PostgreSQL, to be stopped, killed and started again.
"""

import asyncio
import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import aiohttp
from aiohttp import web
from tests.support.ports import free_port
from tests.support.reports import report_by

from tocsin_node.app import build_app
from tocsin_node.initialise import initialise
from tocsin_node.node import Node
from tocsin_node.opening import open_node
from tocsin_node.settings.loading import load
from tocsin_node.settings.record import Settings
from tocsin_node.storage.pool import Address

ROOT = Path(__file__).resolve().parents[2]
WINGS = ("schema", "federation", "node", "cli")
READY_S = 120.0
STOP_S = 90.0
Values = Mapping[str, Mapping[str, Any]]


def settings_on(
    directory: Path, database: Address, values: Values | None = None, *, org: str = "Acme"
) -> Settings:
    """A new node in `directory` whose database is `database`, on a free port of 127.0.0.1."""
    given = {name: dict(part) for name, part in (values or {}).items()}
    node = {"org": org, "host": "127.0.0.1", "port": free_port(), **given.pop("node", {})}
    storage = {"url": database.url, "migrate_at_start": True, "connections": 4, **given.pop("database", {})}
    initialise(directory, {"node": node, "database": storage, **given})
    return load(directory, {})


@dataclass(frozen=True, slots=True)
class ServedNode:
    """A node in this process and a client that holds its admin token."""

    node: Node
    url: str
    client: aiohttp.ClientSession
    app: web.Application

    def bundle(self, *title: str, **fields: Any) -> bytes:
        """A report of this node's own."""
        return report_by(self.node.producer, *title, **fields)


@asynccontextmanager
async def open_here(settings: Settings, **options: Any) -> AsyncIterator[ServedNode]:
    """The node of `settings`, served on its port for the block. `options` go to `open_node`."""
    async with open_node(settings, **options) as node:
        app = build_app(node)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=2, auto_decompress=False)
        await runner.setup()
        try:
            await web.TCPSite(runner, settings.node.host, settings.node.port).start()
            token = (settings.dir / "token").read_text().strip()
            headers = {"Authorization": f"Bearer {token}"}
            async with aiohttp.ClientSession(settings.public_url, headers=headers) as client:
                yield ServedNode(node, settings.public_url, client, app)
        finally:
            node.stopping.set()
            await runner.cleanup()


class NodeProcess:
    """`tocsin node run` in a process of its own. What it says goes to `log`."""

    def __init__(
        self, arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._arguments = [sys.executable, "-m", "tocsin_cli", "node", "run", *arguments]
        self._environment = environment_of_a_run(environment)
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, without waiting; again, too, when it has ended by itself."""
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._arguments,
                stdout=subprocess.PIPE,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env=self._environment,
            )

    async def ready_line(self) -> dict[str, Any]:
        """The one JSON line of an ephemeral node, as soon as it is printed."""
        assert self.process is not None
        assert self.process.stdout is not None
        async with asyncio.timeout(READY_S):
            line = await asyncio.to_thread(self.process.stdout.readline)
        assert line, self.log.read_text()
        found: dict[str, Any] = json.loads(line)
        return found

    async def answers(self, url: str) -> None:
        """Wait until the node at `url` answers that it is not down."""
        assert self.process is not None
        async with aiohttp.ClientSession() as client, asyncio.timeout(READY_S):
            while self.process.poll() is None:
                try:
                    async with client.get(f"{url}/healthz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)
        raise AssertionError(self.log.read_text())

    async def stop(self, sign: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(sign)
        async with asyncio.timeout(STOP_S):
            code = await asyncio.to_thread(self.process.wait)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    async def __aenter__(self) -> Self:
        self.start()
        return self

    async def __aexit__(self, *_exc: object) -> None:
        if self.process is not None:
            await self.stop(signal.SIGKILL)


def environment_of_a_run(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what could steer a node, with the wings in sight, and `more`.

    Where no bytecode may be written beside the sources, it is written into a directory of this test run: a node
    that compiles everything anew at each start takes seconds.
    """
    plain = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
    if plain.pop("PYTHONDONTWRITEBYTECODE", None):
        plain.setdefault("PYTHONPYCACHEPREFIX", _bytecode())
    return {**plain, "PYTHONPATH": os.pathsep.join(str(ROOT / wing) for wing in WINGS), **(more or {})}


@cache
def _bytecode() -> str:
    directory = tempfile.mkdtemp(prefix="tocsin-bytecode-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return directory
