"""An HTTP client that costs next to nothing: one thread, blocking or epoll, bytes prepared before the clock runs.

What it saves is left to the node, which shares the machine's cores with it.
"""

import json
import selectors
import socket
import time
from collections.abc import Sequence
from typing import Any, Self
from urllib.parse import urlsplit

from tests.bench.measure import Round

READ_BYTES = 262_144


def request(
    method: str, url: str, *, token: str = "", body: bytes = b"", content_type: str = "application/json"
) -> bytes:
    """The bytes of one request."""
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    lines = [f"{method} {target} HTTP/1.1", f"Host: {parts.netloc}"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if body:
        lines += [f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Connection:
    """One kept-alive connection with one request on the way at most."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.began = 0.0
        self._read = b""

    def begin(self, sent: bytes) -> None:
        self._read = b""
        self.began = time.perf_counter()
        self.socket.sendall(sent)

    def receive(self) -> tuple[int, bytes] | None:
        """(status, body) when the answer is whole."""
        chunk = self.socket.recv(READ_BYTES)
        if not chunk:
            raise ConnectionError("the server closed the connection")
        self._read += chunk
        head, separator, body = self._read.partition(b"\r\n\r\n")
        if not separator:
            return None
        lowered = head.lower()
        at = lowered.find(b"content-length:")
        length = int(lowered[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        return None if len(body) < length else (int(head[9:12]), body)

    def ask(self, sent: bytes) -> tuple[int, bytes]:
        """One request and its answer."""
        self.begin(sent)
        while (answer := self.receive()) is None:
            pass
        return answer

    def call(self, *args: Any, expect: tuple[int, ...] = (200, 201, 202), **named: Any) -> Any:
        """`request` and the JSON of its answer."""
        status, body = self.ask(request(*args, **named))
        if status not in expect:
            raise RuntimeError(f"{args}: {status} {body.decode(errors='replace')[:500]}")
        return json.loads(body)

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def drive(url: str, requests: Sequence[bytes], clients: int, *, expect: int = 201) -> Round:
    """Send all `requests` over `clients` connections, one on the way on each; every answer must be `expect`."""
    waiting = iter(requests)
    selector = selectors.DefaultSelector()
    connections = [Connection(url) for _ in range(clients)]
    took: list[float] = []
    began = time.perf_counter()
    for connection, sent in zip(connections, waiting, strict=False):
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        connection.begin(sent)
    while len(took) < len(requests):
        for key, _ in selector.select(60):
            answer = key.data.receive()
            if answer is None:
                continue
            took.append(time.perf_counter() - key.data.began)
            if answer[0] != expect:
                raise RuntimeError(f"{answer[0]}: {answer[1].decode(errors='replace')[:500]}")
            following = next(waiting, None)
            if following is not None:
                key.data.begin(following)
    seconds = time.perf_counter() - began
    for connection in connections:
        connection.close()
    selector.close()
    return Round(len(requests), seconds, took)
