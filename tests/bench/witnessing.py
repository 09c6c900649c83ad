"""What it costs to be a peer and a witness of a hundred: checkpoints cosigned, and rounds that bring nothing."""

import base64
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

import orjson
from tests.bench.measure import Figure, Limit, Round, latency, throughput
from tests.bench.nodes import BenchNode
from tests.bench.wire import drive, request

from tocsin_federation import peering as handshake
from tocsin_federation.checkpoint import sign_checkpoint
from tocsin_federation.identity import Identity, NodeKeys, incept, verify_chain
from tocsin_federation.keys import public_of
from tocsin_federation.merkle import consistency_proof, root_of
from tocsin_federation.request_auth import keyid_of, sign_request
from tocsin_federation.witness import Submission, write_submission

ROUND_AIM_MS = 20.0
POLLS = 300
ENVIRONMENT = {"TOCSIN_FEDERATION_SWEEP_S": "3600"}  # nobody lives at the origins' addresses
NOWHERE = "http://127.0.0.1:9"


@dataclass(frozen=True)
class Origin:
    """A peer of the node with keys of its own."""

    keys: NodeKeys
    identity: Identity
    name: str

    def submission(self, size: int, old: int) -> bytes:
        """`add-checkpoint` for the first `size` entries of its log."""
        leaves = [sha256(f"{self.name} {n}".encode()).digest() for n in range(size)]
        note = sign_checkpoint(self.identity.statement.log.origin, size, root_of(leaves), self.keys.log)
        return write_submission(Submission(old, tuple(consistency_proof(leaves, old)), note))

    def signed(self, node: BenchNode, node_id: str, method: str, path: str, body: bytes = b"") -> bytes:
        """One request of the federation, signed now."""
        headers = sign_request(
            method=method,
            authority=node.url.removeprefix("http://"),
            path=path.partition("?")[0],
            query=path.partition("?")[2],
            body=body,
            dest=node_id,
            key=self.keys.http,
            keyid=keyid_of(self.identity.node_id, public_of(self.keys.http)),
            now=datetime.now(UTC),
            rng=os.urandom,
        )
        raw = request(method, node.url + path, body=body)
        head, _, rest = raw.partition(b"\r\n\r\n")
        lines = [head, *(f"{name}: {value}".encode() for name, value in headers.items())]
        return b"\r\n".join([*lines, b"", rest])


def figures(node: BenchNode, limits: Mapping[str, Limit], number: int, rounds: int) -> Iterator[Figure]:
    """Cosigning for so many origins, each with a log that grows; then a round of one peer that brings nothing."""
    us = node.call("GET", "/v1/node")
    origins = [_join(node, us["node_id"], f"origin-{n}") for n in range(number)]
    http, commits = (limits[f"bare {what}, 16 clients"] for what in ("http", "commits"))
    bare = Limit("bare http and commits, 16 clients", 1 / (1 / http.value + 1 / commits.value), "/s")
    done = []
    for nth in range(rounds):
        sent = [_brought(node, origin, nth) for origin in origins]
        done.append(drive(node.url, sent, 16, expect=200))
    yield throughput(f"checkpoints of {number} origins cosigned, 16 at once", done, bare)
    log = sha256(us["log"]["origin"].encode()).hexdigest()
    path = f"/f1/log/{log}/checkpoint?since={us['log']['size']}&wait=0"
    took: list[float] = []
    for each in range(0, POLLS, 50):  # one connection; fewer at once than the rate that a peer has
        asking = [o.signed(node, us["node_id"], "GET", path) for o in (origins * 50)[each : each + 50]]
        took += _one(node, asking).took_s
    bare_one = Limit("bare http, 1 client", 1000 / limits["bare http, 1 client"].value, "ms")
    yield latency("a round that brings nothing, one request", took, bare_one, aim_ms=ROUND_AIM_MS)


def _one(node: BenchNode, sent: list[bytes]) -> Round:
    return drive(node.url, sent, 1, expect=200)


def _brought(node: BenchNode, origin: Origin, nth: int) -> bytes:
    body = origin.submission(10 * (nth + 1), 10 * nth)
    return request("POST", f"{node.url}/f1/wit/add-checkpoint", body=body, content_type="text/plain")


def _join(node: BenchNode, node_id: str, name: str) -> Origin:
    now = datetime.now(UTC)
    keys, statement = incept(org=name, domain=f"{name}.example", urls=[NOWHERE], now=now, rng=os.urandom)
    origin = Origin(keys, verify_chain([statement], expected=None, now=now), name)
    text = node.call("POST", "/v1/peers/invites", body=orjson.dumps({"name": name}))["invite"]
    invite = handshake.parse_invite(text, now=now)
    nonce = handshake.join_nonce(keys.http, invite.id)
    fields = {
        "invite": invite.id,
        "nonce": nonce,
        "mac": handshake.join_mac(invite.mac_key, invite.node_id, origin.identity.node_id, nonce),
    }
    message = {key: base64.b64encode(value).decode() for key, value in fields.items()}
    body = orjson.dumps({**message, "chain": [base64.b64encode(statement).decode()]})
    drive(node.url, [origin.signed(node, node_id, "POST", "/f1/peer/join", body)], 1, expect=200)
    words = " ".join(node.call("GET", f"/v1/peers/{name}")["sas"])
    node.call("POST", f"/v1/peers/{name}/approve", body=orjson.dumps({"sas": words}))
    return origin
