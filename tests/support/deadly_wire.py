"""The wire between a node and its database, along which death comes: at the commit of the transaction that was aimed at.

It reads what the node says to PostgreSQL (the protocol's own messages), so that a node can be killed exactly where
a statement's transaction is about to be committed, or is committed and the node has not heard of it yet.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from tests.support.database_wire import SOCKET

from tocsin_node.storage.pool import Address

Moment = Literal["before the commit", "after the commit"]
READY = b"Z\x00\x00\x00\x05"  # PostgreSQL has done all that it was asked


@dataclass
class DeadlyWire:
    """`aim` or `aim_ahead` sets what is waited for, `struck` is set when `kill` was called for it."""

    address: Address
    kill: Callable[[], None] = lambda: None
    struck: asyncio.Event = field(default_factory=asyncio.Event)
    aimed_at: str | None = None
    moment: Moment = "before the commit"
    ahead: int = 0
    doomed: bool = False  # death is on its way

    def aim(self, statement: str, moment: Moment) -> None:
        """Kill once, at the commit of the next transaction in which that statement stands, word for word."""
        self.struck.clear()
        self.aimed_at, self.moment = statement, moment

    def aim_ahead(self, statements: int, moment: Moment) -> None:
        """Kill once, at the statement that so many of all connections lead to, whatever it is: a commit, or in between."""
        self.struck.clear()
        self.ahead, self.moment = statements, moment

    def missed(self) -> bool:
        """Whether it has not come so far; from now on nothing is waited for."""
        ahead, self.ahead = self.ahead, 0
        return ahead > 0 and not self.doomed and not self.struck.is_set()

    def strike(self) -> None:
        """Kill now."""
        self.aimed_at, self.ahead, self.doomed = None, 0, False
        self.kill()
        self.struck.set()

    async def relay(self, upstream: Path, node: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
        """Carry one connection until one of both sides, or death, ends it."""
        from_server, to_server = await asyncio.open_unix_connection(upstream)
        session = _Session()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._asks(session, node, to_server, answers))
                group.create_task(self._answers(session, from_server, answers))
        except* OSError:
            pass
        finally:
            for one in (to_server, answers):
                one.transport.abort()

    async def _asks(
        self,
        session: "_Session",
        node: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
        answers: asyncio.StreamWriter,
    ) -> None:
        while piece := await node.read(65_536):
            for message in session.read(piece):
                if session.commits(message, self.aimed_at) or self._counted(message):
                    if self.moment == "before the commit":
                        self.strike()
                        answers.transport.abort()
                        to_server.transport.abort()
                        return
                    session.doomed = self.doomed = True
                    self.aimed_at = None
                to_server.write(message)
            await to_server.drain()
        to_server.transport.abort()
        answers.transport.abort()

    def _counted(self, message: bytes) -> bool:
        if not self.ahead or message[:1] not in {b"E", b"Q"}:
            return False
        self.ahead -= 1
        return self.ahead == 0

    async def _answers(
        self, session: "_Session", from_server: asyncio.StreamReader, answers: asyncio.StreamWriter
    ) -> None:
        while piece := await from_server.read(65_536):
            if session.doomed:
                if READY in piece:
                    self.strike()
                    return
                continue
            answers.write(piece)
            await answers.drain()
        if session.doomed:
            self.strike()
        answers.transport.abort()


@dataclass
class _Session:
    """One connection as the node speaks on it: which statements stand in the transaction that is open."""

    doomed: bool = False
    _started: bool = False
    _open: bool = False
    _rest: bytes = b""
    _current: str = ""
    _prepared: dict[bytes, str] = field(default_factory=dict)
    _said: list[str] = field(default_factory=list)

    def read(self, piece: bytes) -> list[bytes]:
        """The whole messages that are there by now; the first has no type."""
        self._rest += piece
        found = []
        while True:
            head = 1 if self._started else 0
            length = head + int.from_bytes(self._rest[head : head + 4], "big")
            if len(self._rest) < head + 4 or len(self._rest) < length:
                return found
            found.append(self._rest[:length])
            self._rest = self._rest[length:]
            self._started = True

    def commits(self, message: bytes, statement: str | None) -> bool:
        """Whether a transaction with `statement` in it ends well with this message."""
        kind, body = message[:1], message[5:]
        if kind == b"P":
            name, text, _ = body.split(b"\0", 2)
            self._prepared[name] = text.decode()
        elif kind == b"B":
            self._current = self._prepared.get(body.split(b"\0", 2)[1], "")
        elif kind == b"E":
            self._said.append(self._current)
        elif kind == b"Q":
            return self._simple(body.rstrip(b"\0").decode(), statement)
        elif kind == b"S" and not self._open:
            return self._ends(statement)
        return False

    def _simple(self, text: str, statement: str | None) -> bool:
        word = text.lstrip().split(None, 1)[0].rstrip(";").upper() if text.strip() else ""
        if word == "BEGIN":
            self._open, self._said = True, []
        elif word in {"COMMIT", "ROLLBACK"} and "TO" not in text.upper().split():
            self._open = False
            return self._ends(statement) and word == "COMMIT"
        return False

    def _ends(self, statement: str | None) -> bool:
        said, self._said = self._said, []
        return statement is not None and statement in said


@asynccontextmanager
async def deadly_wire(database: Address, directory: Path) -> AsyncIterator[DeadlyWire]:
    """A wire to `database` for the block; `directory` (with a short name) holds its socket."""
    host = parse_qs(urlsplit(database.url).query)["host"][0]
    wire = DeadlyWire(Address(database.url.replace(host, str(directory))))
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        with suppress(asyncio.CancelledError):
            await wire.relay(Path(host) / SOCKET, reader, writer)

    server = await asyncio.start_unix_server(connected, directory / SOCKET)
    try:
        yield wire
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
