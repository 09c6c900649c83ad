"""A peer with real keys and no manners: it peers properly, then serves and asks whatever a test wants.

Its identity, log and envelopes are made by the federation core, so whatever is refused is refused for what the test
did and for nothing else.
"""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
import orjson
from aiohttp import web
from tests.support.node import ServedNode
from tests.support.reports import report_by

from tocsin_federation import peering as handshake
from tocsin_federation.checkpoint import sign_checkpoint
from tocsin_federation.envelope import Sealed, seal
from tocsin_federation.frames import Frame, encode_frame, encode_trailer
from tocsin_federation.identity import Identity, NodeKeys, incept, verify_chain
from tocsin_federation.keys import public_of
from tocsin_federation.merkle import TILE_WIDTH, parse_tile_path, root_of
from tocsin_federation.request_auth import keyid_of, sign_request
from tocsin_node.services.heads import log_id
from tocsin_schema.marking import Tlp
from tocsin_schema.stix import node_identity

Hook = Callable[[web.Request], Awaitable[web.StreamResponse | None]]
GRAVE = {
    "realization": "harm-event",
    "description": "Two people died.",
    "causality": "direct",
    "harms": [{"harm_type": "physical-health", "materialised": True}],
    "quantities": {"deaths": 2},
}
WITHIN_S = 60.0


@dataclass
class Villain:
    """`entries`: its log, each with what it serves for it. `hooks`: path's last part → another answer (None: the usual).

    `offset_s`: how far its clock is ahead.
    """

    name: str
    keys: NodeKeys
    chain: list[bytes]
    identity: Identity
    url: str
    http: aiohttp.ClientSession
    entries: list[Frame] = field(default_factory=list)
    leaf_hashes: list[bytes] = field(default_factory=list)
    hooks: dict[str, Hook] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    offset_s: float = 0.0
    _grown: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def node_id(self) -> str:
        return self.identity.node_id

    @property
    def origin(self) -> str:
        return self.identity.statement.log.origin

    @property
    def log(self) -> str:
        """How its log is named in an address."""
        return log_id(self.origin)

    @property
    def producer(self) -> dict[str, Any]:
        return node_identity(self.name, self.node_id)

    # Its log ---------------------------------------------------------------------------------------------

    def bundle(self, *title: str, **fields: Any) -> bytes:
        """A report of its own."""
        return report_by(self.producer, *title, **fields)

    def sealed(self, node: ServedNode, content: bytes, **header: Any) -> Sealed:
        """`content` sealed to `node`; the header says what the content says unless told otherwise."""
        facts: dict[str, Any] = {"t": "publish", "by": self.node_id, "ver": 1, "tlp": Tlp.GREEN}
        facts["id"] = header.pop("id", None) or incident_id_of(content)
        us = node.node.identity
        return seal(
            **{**facts, **header},
            content=content,
            recipients={us.node_id: us.enc_key(datetime.now(UTC))},
            now=datetime.now(UTC),
            rng=os.urandom,
        )

    def append(self, node: ServedNode, sealed: Sealed, **other: bytes) -> Frame:
        """Put an entry into the log; `other`: leaf, wrap or ct to serve instead of the right one."""
        given = {"leaf": sealed.leaf, "wrap": sealed.wraps[node.node.identity.node_id], "ct": sealed.ct}
        frame = Frame(len(self.leaf_hashes), **{**given, **other})
        self.entries.append(frame)
        self.leaf_hashes.append(sealed.leaf_hash)
        return frame

    def publish(self, node: ServedNode, content: bytes | None = None, **header: Any) -> Frame:
        """Seal a report to `node` and log it; nobody is told yet."""
        return self.append(node, self.sealed(node, self.bundle() if content is None else content, **header))

    async def ring(self) -> None:
        """Answer the long polls."""
        async with self._grown:
            self._grown.notify_all()

    def note(self, size: int | None = None, root: bytes | None = None) -> bytes:
        """Its checkpoint, or another one with a good signature."""
        size = len(self.leaf_hashes) if size is None else size
        root = root_of(self.leaf_hashes[:size]) if root is None else root
        return sign_checkpoint(self.origin, size, root, self.keys.log)

    # What it asks ----------------------------------------------------------------------------------------

    def signed(self, node: ServedNode, method: str, path: str, /, **other: Any) -> dict[str, str]:
        """Headers that sign a request to `node`; `other` arguments of `sign_request` may lie."""
        given: dict[str, Any] = {
            "method": method,
            "authority": node.url.removeprefix("http://"),
            "path": path.partition("?")[0],
            "query": path.partition("?")[2],
            "body": b"",
            "dest": node.node.identity.node_id,
            "key": self.keys.http,
            "keyid": keyid_of(self.node_id, public_of(self.keys.http)),
            "now": datetime.now(UTC),
            "rng": os.urandom,
        }
        return sign_request(**{**given, **other})

    async def ask(
        self,
        node: ServedNode,
        path: str,
        *,
        method: str = "GET",
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """One request to `node`, signed unless `headers` are given."""
        signed = self.signed(node, method, path, body=body) if headers is None else headers
        kind = {"Content-Type": "application/json"} if body else {}
        async with self.http.request(
            method, node.url + path, data=body or None, headers={**kind, **signed}
        ) as answer:
            return answer.status, await answer.read(), answer.headers

    def log_path(self, node: ServedNode, rest: str) -> str:
        """A path below `node`'s log."""
        return f"/f1/log/{log_id(node.node.identity.statement.log.origin)}/{rest}"

    async def join(self, node: ServedNode, *, approve: bool = True, **limits: str) -> None:
        """Be invited by `node` and take it up; `node`'s operator approves, words compared."""
        invite = await post(node, "/v1/peers/invites", {"name": self.name})
        status, body, _ = await self.join_with(node, invite["invite"])
        assert status == 200, body
        if approve:
            words = (await get(node, f"/v1/peers/{self.name}"))["sas"]
            await post(node, f"/v1/peers/{self.name}/approve", {"sas": " ".join(words), **limits})

    async def join_with(
        self, node: ServedNode, text: str, **other: bytes
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """The join message for an invite; `other`: fields of it that lie."""
        invite = handshake.parse_invite(text, now=datetime.now(UTC))
        nonce = handshake.join_nonce(self.keys.http, invite.id)
        fields = {
            "invite": invite.id,
            "nonce": nonce,
            "mac": handshake.join_mac(invite.mac_key, invite.node_id, self.node_id, nonce),
            **other,
        }
        message = {name: base64.b64encode(value).decode() for name, value in fields.items()}
        chain = [base64.b64encode(s).decode() for s in self.chain]
        return await self.ask(
            node, "/f1/peer/join", method="POST", body=orjson.dumps({**message, "chain": chain})
        )

    # What it serves --------------------------------------------------------------------------------------

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        kind = request.path.split("/")[4] if request.path.startswith("/f1/log/") else request.path
        hook = self.hooks.get(kind)
        if hook is not None and (answer := await hook(request)) is not None:
            return answer
        match kind:
            case "checkpoint":
                return await self._checkpoint(request)
            case "tile":
                return self._tile(request)
            case "entries":
                return self._entries(request)
            case "/.well-known/tocsin":
                return web.json_response({"chain": [base64.b64encode(s).decode() for s in self.chain]})
            case "/f1/peer/statement":
                return web.json_response({"statements": 1})
        raise web.HTTPNotFound

    async def _checkpoint(self, request: web.Request) -> web.Response:
        since, wait_s = int(request.query["since"]), float(request.query["wait"])
        if len(self.leaf_hashes) <= since and wait_s > 0:
            async with self._grown:
                try:
                    async with asyncio.timeout(min(wait_s, 1.0)):
                        await self._grown.wait()
                except TimeoutError:
                    pass
        return web.Response(body=self.note())

    def _tile(self, request: web.Request) -> web.Response:
        _, index, width = parse_tile_path(request.path.split("/", 4)[4])
        start = index * TILE_WIDTH
        return web.Response(body=b"".join(self.leaf_hashes[start : start + width]))

    def _entries(self, request: web.Request) -> web.Response:
        start, limit = int(request.query["from"]), int(request.query["max"])
        frames = [f for f in self.entries if f.idx >= start][:limit]
        following = frames[-1].idx + 1 if len(frames) == limit else len(self.leaf_hashes)
        return web.Response(body=entries_body(frames, following))


def entries_body(frames: list[Frame], next_index: int) -> bytes:
    """The body of an `entries` answer."""
    return b"".join(
        [*(encode_frame(f.idx, f.leaf, f.wrap, f.ct) for f in frames), encode_trailer(next_index)]
    )


@asynccontextmanager
async def villain(name: str = "mallory") -> AsyncIterator[Villain]:
    """A villain at an address of its own, for the block."""
    now = datetime.now(UTC)
    hosts: list[Villain] = []
    app = web.Application()

    async def serve(request: web.Request) -> web.StreamResponse:
        return await hosts[0]._serve(request)

    app.router.add_route("*", "/{path:.*}", serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        keys, statement = incept(org=name, domain=f"{name}.example", urls=[url], now=now, rng=os.urandom)
        identity = verify_chain([statement], expected=None, now=now)
        async with aiohttp.ClientSession(auto_decompress=False) as http:
            hosts.append(Villain(name, keys, [statement], identity, url, http))
            yield hosts[0]
    finally:
        await runner.cleanup()


# The other side: what the node's own operator sees ------------------------------------------------------


async def get(node: ServedNode, path: str) -> Any:
    """One document of the node's API."""
    async with node.client.get(path) as answer:
        document = await answer.json()
        assert answer.status == 200, document
        return document


async def post(node: ServedNode, path: str, document: Any) -> Any:
    """Send a document to the node's API."""
    async with node.client.post(path, json=document) as answer:
        said = await answer.json()
        assert answer.status < 300, said
        return said


async def until(look: Callable[[], Awaitable[Any]], *, within_s: float = WITHIN_S) -> Any:
    """What `look` gives as soon as it is true."""
    async with asyncio.timeout(within_s):
        while not (seen := await look()):
            await asyncio.sleep(0.02)
        return seen


async def peer_status(node: ServedNode, name: str = "mallory") -> dict[str, Any]:
    """How the node says that its exchange with a peer stands."""
    return dict(await get(node, f"/v1/peers/{name}"))


async def outcomes(node: ServedNode, count: int, name: str = "mallory") -> list[tuple[int, str, str | None]]:
    """(index, outcome, code) of the newest entries, ascending, once there are `count`."""

    async def there() -> list[dict[str, Any]] | None:
        recent = (await peer_status(node, name))["recent"]
        return recent if len(recent) >= count else None

    return [(r["index"], r["outcome"], r["code"]) for r in reversed(await until(there))]


async def problem_of(node: ServedNode, code: str, name: str = "mallory") -> dict[str, Any]:
    """The peer's status as soon as its problem has that code."""

    async def there() -> dict[str, Any] | None:
        status = await peer_status(node, name)
        return status if (status["problem"] or {}).get("code") == code else None

    return dict(await until(there))


def incident_id_of(content: bytes) -> str:
    """The id of the incident in a bundle."""
    objects = orjson.loads(content)["objects"]
    return str(next(o["id"] for o in objects if o["type"] == "incident"))
