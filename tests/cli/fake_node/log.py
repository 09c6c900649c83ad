"""A log that is a real one: signed, hashed, under an identity that verifies."""

import base64
import hashlib
import os
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from aiohttp import web

from tocsin_federation.checkpoint import sign_checkpoint
from tocsin_federation.identity import incept, verify_chain
from tocsin_federation.merkle import Frontier


@dataclass
class FakeLog:
    org: str = "Fake Org"

    def _log_routes(self) -> list[web.RouteDef]:
        return [
            web.get("/v1/log/keys", self._log_keys),
            web.get("/v1/log/checkpoint", self._log_checkpoint),
            web.get("/v1/log/leaves", self._log_leaves),
        ]

    def __post_init__(self) -> None:
        now = datetime.now(UTC)
        self.keys, statement = incept(
            org=self.org, domain="fake.example", urls=["https://fake.example"], now=now, rng=os.urandom
        )
        self.chain = [statement]
        self.adopt_chain()
        self.leaves: list[bytes] = []
        self.identity = {
            "type": "identity", "spec_version": "2.1", "id": f"identity--{uuid.uuid5(uuid.NAMESPACE_DNS, self.node_id)}",
            "created": "2026-01-01T00:00:00.000Z", "modified": "2026-01-01T00:00:00.000Z",
            "name": self.org, "identity_class": "organization",
        }  # fmt: skip

    def adopt_chain(self) -> None:
        proven = verify_chain(self.chain, expected=None, now=datetime.now(UTC))
        self.node_id, self.origin, self.vkey = (
            proven.node_id,
            proven.statement.log.origin,
            proven.statement.log.vkey,
        )

    def _tree(self) -> Frontier:
        tree = Frontier()
        tree.extend(self.leaves)
        return tree

    async def _log_keys(self, _: web.Request) -> web.Response:
        chain = [base64.b64encode(statement).decode() for statement in self.chain]
        return web.json_response(
            {"node_id": self.node_id, "origin": self.origin, "vkey": self.vkey, "chain": chain}
        )

    def checkpoint(self) -> bytes:
        return sign_checkpoint(self.origin, len(self.leaves), self._tree().root(), self.keys.log)

    async def _log_checkpoint(self, _: web.Request) -> web.Response:
        return web.Response(body=self.checkpoint(), content_type="text/plain", charset="utf-8")

    async def _log_leaves(self, request: web.Request) -> web.Response:
        start, stop = int(request.query["from"]), int(request.query["to"])
        return web.Response(
            body=b"".join(self.leaves[start : min(stop, start + 65_536)]),
            content_type="application/octet-stream",
        )

    def grow(self, count: int) -> None:
        """Append made-up leaves."""
        base = len(self.leaves)
        self.leaves += [hashlib.sha256(f"{self.node_id}{base + at}".encode()).digest() for at in range(count)]
