"""The wire between the nodes: a proxy that keeps every byte, and a search through what it kept.

Each node's public address is that of its proxy, so whatever one node says to the other passes here first.
The search looks for a text in every form in which it could cross a wire unnoticed. It would be worth nothing
if it found nothing by mistake, so `Search` is also run over a text that is known to hold the words.
"""

import asyncio
import base64
import contextlib
import json
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Self

PIECE = 20  # characters: short enough that no chunk border of a busy stream hides every piece
CHUNK_BYTES = 65_536
READY_TIMEOUT_S = 5.0


@dataclass
class Proxy:
    """Passes TCP from a port of its own to `target_port` on loopback and keeps both directions.

    Runs in a thread of its own; `with` starts and stops it.
    """

    target_port: int
    port: int = 0
    _kept: list[bytearray] = field(default_factory=list, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop, repr=False)
    _done: asyncio.Event = field(default_factory=asyncio.Event, repr=False)
    _ready: threading.Event = field(default_factory=threading.Event, repr=False)
    _thread: threading.Thread | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """The address under which others reach the node."""
        return f"http://127.0.0.1:{self.port}"

    def streams(self) -> list[bytes]:
        """What has crossed so far: one byte string for each direction of each connection."""
        with self._lock:
            return [bytes(stream) for stream in self._kept]

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._run, name=f"proxy to {self.target_port}", daemon=True)
        self._thread.start()
        if not self._ready.wait(READY_TIMEOUT_S):
            raise RuntimeError(f"the recording proxy in front of port {self.target_port} did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        if self._thread is not None:
            self._thread.join(READY_TIMEOUT_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        open_now: set[asyncio.Task[None]] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            open_now.add(task)
            task.add_done_callback(open_now.discard)
            with contextlib.suppress(asyncio.CancelledError):  # the proxy is being stopped
                await self._relay(reader, writer)

        server = await asyncio.start_server(connected, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._done.wait()
        server.close()
        for task in list(open_now):
            task.cancel()
        await asyncio.gather(*open_now, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            to_node = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:  # the node is down: the caller sees a closed connection, as without us
            writer.close()
            return
        try:
            await asyncio.gather(self._copy(reader, to_node[1]), self._copy(to_node[0], writer))
        finally:
            to_node[1].close()
            writer.close()

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        kept = bytearray()
        with self._lock:
            self._kept.append(kept)
        try:
            while chunk := await source.read(CHUNK_BYTES):
                with self._lock:
                    kept += chunk
                sink.write(chunk)
                await sink.drain()
            sink.write_eof()
        except OSError:  # one side went away: the other learns it by the close in _relay
            sink.close()


def forms(text: str) -> Iterator[bytes]:
    """Every form in which `text` might lie in a stream, each once.

    UTF-8; JSON with everything escaped; UTF-16 in both orders; hexadecimal; Base64 in both alphabets and
    at all three alignments, each without the characters that its neighbours decide.
    """
    plain = text.encode()
    yield plain
    yield json.dumps(text).encode()[1:-1]
    yield text.encode("utf-16-le")
    yield text.encode("utf-16-be")
    yield plain.hex().encode()
    for lead in range(3):
        encoded = base64.b64encode(b"\0" * lead + plain)
        first = -(-lead * 8 // 6)  # the first character that depends on `plain` alone
        whole = (lead + len(plain)) * 8 // 6
        inner = encoded[first:whole]
        yield inner
        yield inner.replace(b"+", b"-").replace(b"/", b"_")


def pieces(text: str, size: int = PIECE) -> list[str]:
    """`text` cut into pieces of `size` characters; a short rest joins the piece before it."""
    cut = [text[at : at + size] for at in range(0, len(text), size)]
    if len(cut) > 1 and len(cut[-1]) < size:
        cut[-2:] = [cut[-2] + cut[-1]]
    return [piece for piece in cut if piece.strip()]


class Search:
    """Looks for texts, piece by piece and in every form."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.pieces = list(dict.fromkeys(piece for text in texts for piece in pieces(text)))
        self._needles = {form: piece for piece in self.pieces for form in forms(piece)}

    def found_in(self, streams: Iterable[bytes]) -> set[str]:
        """The pieces that lie somewhere in the streams, in whatever form."""
        found: set[str] = set()
        for stream in streams:
            found.update(piece for needle, piece in self._needles.items() if needle in stream)
        return found
