"""A node as a process that dies by SIGKILL at the commit of a statement, and is started again; its people insist."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
from tests.support.deadly_wire import DeadlyWire, Moment, deadly_wire
from tests.support.node import NodeProcess, Values, settings_on
from tests.support.recorder import database_values

from tocsin_node.identity_files import load_identity
from tocsin_node.storage.pool import Address, Connection, connect

AGAIN_S = 0.05
STRUCK_S = 90.0


@dataclass
class Mortal:
    """What a test asks of a node in its own process, too: `client`, and `node.identity`."""

    url: str
    database: Address
    wire: DeadlyWire
    process: NodeProcess
    client: aiohttp.ClientSession
    node: Any
    deaths: list[tuple[str, Moment]] = field(default_factory=list)

    async def dies_at(
        self, statement: str, moment: Moment, act: Callable[[], Awaitable[Any]] | None = None
    ) -> Any:
        """Do `act`, which leads to `statement` sooner or later; be killed there, and start again. What `act` gives."""
        self.wire.aim(statement, moment)
        doing = asyncio.ensure_future(act()) if act is not None else None
        await self.died(statement)
        return None if doing is None else await doing

    async def died(self, where: str, *, again: tuple[int, Moment] | None = None) -> None:
        """Be started again as soon as death has come. `again`: it waits so many statements after that, too."""
        try:
            async with asyncio.timeout(STRUCK_S):
                await self.wire.struck.wait()
        except TimeoutError:
            raise AssertionError(f"nothing led to: {where.strip()[:90]}\n{self.log()}") from None
        self.deaths.append((where, self.wire.moment))
        await self.process.stop(signal.SIGKILL)
        self.wire.struck.clear()
        if again is not None:
            self.wire.aim_ahead(*again)
        await self.start()

    async def start(self) -> None:
        """Be up, and answer; as under a service manager, who dies while it starts is started again."""
        while True:
            self.process.start()
            try:
                await self.process.answers(self.url)
            except AssertionError:
                if not self.wire.struck.is_set():
                    raise
            if not self.wire.struck.is_set():
                return
            self.deaths.append(("while it starts", self.wire.moment))
            self.wire.struck.clear()
            await self.process.stop(signal.SIGKILL)

    async def insist(self, method: str, path: str, *, data: bytes | None = None, **query: str) -> Any:
        """One request, the same until the node says yes to it: what somebody does who does not know what became of it."""
        while True:
            try:
                async with self.client.request(method, path, data=data, params=query) as answer:
                    said = await answer.json()
                    if answer.status not in {500, 503}:
                        return answer.status, said
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(AGAIN_S)  # nothing tells a client when a node is back

    async def tell(self, path: str, document: Any) -> Any:
        """Insist on a document."""
        return await self.insist("POST", path, data=json.dumps(document).encode())

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[Connection]:
        """Its database, from outside."""
        conn = await connect(self.database)
        try:
            yield conn
        finally:
            await conn.close()

    async def values(self) -> list[bytes]:
        """Every value of every table."""
        return await database_values(self.database.url)

    def log(self) -> str:
        """What the process said."""
        return self.process.log.read_text()


@asynccontextmanager
async def mortal(
    name: str, home: Path, socket: Path, database: Address, values: Values
) -> AsyncIterator[Mortal]:
    """A node, started, for the block. `socket`: a directory with a short name."""
    async with deadly_wire(database, socket) as wire:
        settings = settings_on(home / name, wire.address, values, org=name)
        process = NodeProcess(["--dir", str(home / name)], home / f"{name}.log")

        def kill() -> None:
            if process.process is not None and process.process.poll() is None:
                os.kill(process.process.pid, signal.SIGKILL)

        wire.kill = kill
        identity, _ = load_identity(home / name)
        token = (home / name / "token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        patience = aiohttp.ClientTimeout(total=20)
        async with (
            process,
            aiohttp.ClientSession(settings.public_url, headers=headers, timeout=patience) as client,
        ):
            node = SimpleNamespace(identity=identity)
            one = Mortal(settings.public_url, database, wire, process, client, node)
            await process.answers(one.url)
            yield one
