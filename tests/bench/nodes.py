"""Real nodes as processes of their own, and what an operator does with them over HTTP."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.bench.wire import Connection, request
from tests.support.node import NodeProcess

STIX = "application/stix+json"
NDJSON = "application/x-ndjson"
WAIT_S = 300.0
POLL_S = 0.05


@dataclass
class BenchNode:
    """One running node."""

    process: NodeProcess
    url: str
    token: str = field(repr=False)
    directory: Path

    @property
    def database(self) -> str:
        """The address of the node's own Postgres."""
        return f"postgresql://node@/tocsin?host={quote(str(self.directory / 'postgres' / 'run'), safe='/')}"

    def call(self, method: str, path: str, **named: Any) -> Any:
        """One question, answered in JSON, over a connection of its own."""
        with Connection(self.url) as wire:
            return wire.call(method, self.url + path, token=self.token, **named)

    @property
    def identity(self) -> dict[str, Any]:
        """In whose name reports are filed here."""
        return self.call("GET", "/v1/node")["identity"]

    def filing(self, bundle: bytes, query: str = "") -> bytes:
        """The request that files `bundle`."""
        return request(
            "POST", f"{self.url}/v1/reports{query}", token=self.token, body=bundle, content_type=STIX
        )

    def importing(self, bundles: list[bytes], query: str = "") -> bytes:
        """The request that imports `bundles`."""
        url = f"{self.url}/v1/imports{query}"
        return request("POST", url, token=self.token, body=b"\n".join(bundles), content_type=NDJSON)


@asynccontextmanager
async def run_node(
    org: str, directory: Path, environment: Mapping[str, str] | None = None
) -> AsyncIterator[BenchNode]:
    """A throw-away node for the block, with its own Postgres; its settings are those of an operator."""
    process = NodeProcess(["--ephemeral", "--org", org], directory / f"{org}.log", environment)
    async with process:
        line = await process.ready_line()
        try:
            yield BenchNode(process, line["url"], line["token"], Path(line["dir"]))
        finally:
            await process.stop()


def introduce(first: BenchNode, second: BenchNode) -> str:
    """`second` takes up an invite of `first`, which approves it: from now on `first` seals to it. The words."""
    invite = first.call("POST", "/v1/peers/invites", body=b'{"name":"second"}')["invite"]
    body = b'{"invite":"%s","name":"first"}' % invite.encode()
    words = " ".join(second.call("POST", "/v1/peers/join", body=body)["sas"])
    approve(first, "second", words)
    return words


def approve(node: BenchNode, name: str, words: str) -> None:
    """The operator's yes after comparing the words."""
    node.call("POST", f"/v1/peers/{name}/approve", body=b'{"sas":"%s"}' % words.encode())


async def caught_up(node: BenchNode, name: str, size: int) -> float:
    """Wait until `node` has an outcome for `size` entries of that peer; returns when (perf_counter)."""
    async with asyncio.timeout(WAIT_S):
        while node.call("GET", f"/v1/peers/{name}")["log"]["next_index"] < size:
            await asyncio.sleep(POLL_S)
    return time.perf_counter()
