"""The wire between two nodes: a TCP proxy that keeps every byte and can spoil what passes.

It listens on a port of its own and passes to one node. It runs in a thread with an event loop, so that tests of
either kind (waiting or not) can use it.
"""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Self

Direction = Literal["request", "answer"]
# What becomes of a piece: other bytes (none: it is swallowed), or None: the connection is cut here.
Spoil = Callable[[Direction, bytes], bytes | None]

CHUNK_BYTES = 65_536
READY_S = 30.0
REPLAY_S = 30.0


@dataclass
class Wire:
    """A proxy to `target_port` on loopback; `with` starts and stops it."""

    target_port: int
    port: int = 0
    delay_s: float = 0.0
    spoil: Spoil | None = None
    _streams: list[tuple[Direction, bytearray]] = field(default_factory=list, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop, repr=False)
    _done: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    _ready: threading.Event = field(default_factory=threading.Event, repr=False)
    _open: set[asyncio.Task[None]] = field(default_factory=set, repr=False)
    _broken: bool = False
    _thread: threading.Thread | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Where the node is reached through this wire."""
        return f"http://127.0.0.1:{self.port}"

    def streams(self, direction: Direction | None = None) -> list[bytes]:
        """What crossed so far: one byte string for each direction of each connection, as it was passed on."""
        with self._lock:
            return [bytes(kept) for way, kept in self._streams if direction in {None, way}]

    def cut(self) -> None:
        """Cut what is open and refuse what comes, until `heal`."""
        self._broken = True
        self._cut_open()

    def cut_open(self) -> None:
        """Cut what is open; new connections pass."""
        self._cut_open()

    def heal(self) -> None:
        """Let everything pass as it is."""
        self._broken = False
        self.delay_s = 0.0
        self.spoil = None

    def replay(self) -> list[tuple[bytes, int]]:
        """Send every request that crossed so far once more, as it was; each with the status of the answer."""
        requests = [one for stream in self.streams("request") for one in split_requests(stream)]
        return [(request, status_of(self.target_port, request)) for request in requests]

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name=f"wire to {self.target_port}", daemon=True)
        self._thread.start()
        assert self._ready.wait(READY_S), "the wire did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        if self._thread is not None:
            self._thread.join(READY_S)

    def _cut_open(self) -> None:
        def cut() -> None:
            for task in list(self._open):
                task.cancel()

        self._loop.call_soon_threadsafe(cut)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._open.add(task)
            task.add_done_callback(self._open.discard)
            try:
                with contextlib.suppress(asyncio.CancelledError):
                    await self._relay(reader, writer)
            finally:
                await _abort(writer)

        server = await asyncio.start_server(connected, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._done.wait()
        server.close()
        await asyncio.sleep(0)  # whoever was let in just now is among the open ones then
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        for _ in range(3):
            await asyncio.sleep(0)  # transports that were aborted close their sockets

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._broken:
            return
        try:
            from_node, to_node = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:  # the node is down: the caller sees a closed connection, as without us
            return
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._copy("request", reader, to_node))
                both.create_task(self._copy("answer", from_node, writer))
        except* (OSError, _Cut):
            pass
        finally:
            await _abort(to_node)

    async def _copy(self, way: Direction, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        kept = bytearray()
        with self._lock:
            self._streams.append((way, kept))
        while chunk := await source.read(CHUNK_BYTES):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)  # the delay is what is being tried
            passed = chunk if self.spoil is None else self.spoil(way, chunk)
            if passed is None:
                raise _Cut
            with self._lock:
                kept += passed
            sink.write(passed)
            await sink.drain()
        sink.write_eof()


async def _abort(sink: asyncio.StreamWriter) -> None:
    sink.transport.abort()
    with contextlib.suppress(OSError, asyncio.CancelledError):
        await sink.wait_closed()


class _Cut(Exception):
    """The connection ends here."""


def split_requests(stream: bytes) -> list[bytes]:
    """The HTTP requests in one direction of a connection; one that is not whole is left out."""
    found = []
    while b"\r\n\r\n" in stream:
        head, _, rest = stream.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length":
                length = int(value)
        if len(rest) < length:
            break
        found.append(head + b"\r\n\r\n" + rest[:length])
        stream = rest[length:]
    return found


def status_of(port: int, request: bytes) -> int:
    with socket.create_connection(("127.0.0.1", port), timeout=REPLAY_S) as line:
        line.sendall(request)
        head = b""
        while b"\r\n" not in head:
            piece = line.recv(4096)
            if not piece:
                return 0
            head += piece
    return int(head.split(b" ", 2)[1])
