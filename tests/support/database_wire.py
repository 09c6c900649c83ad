"""The wire between a node and its database: it can lose what the database says, after the database has done it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tocsin_node.storage.pool import Address

SOCKET = ".s.PGSQL.5432"


@dataclass
class DatabaseWire:
    """`lose`: an answer that holds these bytes is not passed on, and its connection ends; `lost` counts them.

    While `away`, no connection is let in. Each answer takes `delay_s` longer, as with a slow disk.
    """

    address: Address
    lose: bytes = b""
    lost: int = 0
    away: bool = False
    delay_s: float = 0.0
    _open: set[asyncio.StreamWriter] = field(default_factory=set)

    def cut(self) -> None:
        """End all connections."""
        for writer in list(self._open):
            writer.transport.abort()

    async def _relay(
        self, upstream: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if self.away:
            writer.transport.abort()
            return
        from_server, to_server = await asyncio.open_unix_connection(upstream)
        self._open |= {writer, to_server}
        try:
            await asyncio.gather(self._copy(reader, to_server), self._answers(from_server, writer))
        except OSError:
            pass
        finally:
            for one in (writer, to_server):
                self._open.discard(one)
                one.transport.abort()

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while piece := await source.read(65_536):
            sink.write(piece)
            await sink.drain()
        sink.transport.abort()

    async def _answers(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while piece := await source.read(65_536):
            if self.lose and self.lose in piece:
                self.lost += 1
                break
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            sink.write(piece)
            await sink.drain()
        sink.transport.abort()


@asynccontextmanager
async def database_wire(database: Address, directory: Path) -> AsyncIterator[DatabaseWire]:
    """A wire to `database` for the block; `directory` (with a short name) holds its socket."""
    host = parse_qs(urlsplit(database.url).query)["host"][0]
    wire = DatabaseWire(Address(database.url.replace(host, str(directory))))
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        with contextlib.suppress(asyncio.CancelledError):
            await wire._relay(Path(host) / SOCKET, reader, writer)

    server = await asyncio.start_unix_server(connected, directory / SOCKET)
    try:
        yield wire
    finally:
        server.close()
        wire.cut()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
