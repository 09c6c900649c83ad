"""What a report costs its author for 1, 10 and 50 recipients, and what a proof from a log of a million entries costs a stranger."""

import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from tests.bench.measure import Figure, Limit, Round, latency, throughput
from tests.bench.samples import Reports

from tocsin_federation.checkpoint import sign_checkpoint
from tocsin_federation.envelope import Sealed, seal
from tocsin_federation.identity import Identity, NodeKeys, incept, verify_chain
from tocsin_federation.keys import generate_enc, load_enc_public
from tocsin_federation.merkle import inclusion_proof, root_of
from tocsin_federation.node_id import node_id_from_bytes
from tocsin_federation.proof import Disclosed, Proof, read_proof, verify_proof, write_proof
from tocsin_schema.marking import Tlp

RECIPIENTS = (1, 10, 50)
VERIFIED = 200


def figures(reports: Reports, limits: Mapping[str, Limit], *, entries: int, rounds: int) -> Iterator[Figure]:
    """Sealing beside the bare wraps and cipher; a proof's bytes, and its check beside the bare signatures."""
    keys, identity = _author()
    incident_id, bundle = reports.make()
    for number in RECIPIENTS:
        per_s = {name: limits[name].value for name in ("x-wing wrap", "xchacha20-poly1305 seal")}
        bare = 1 / (number / per_s["x-wing wrap"] + 1 / per_s["xchacha20-poly1305 seal"])
        done = [_sealing(identity, incident_id, bundle, number, max(2, 100 // number)) for _ in range(rounds)]
        sealed = _sealed(identity, incident_id, bundle, number)
        size = len(sealed.leaf) + len(sealed.ct) + sum(map(len, sealed.wraps.values()))
        yield throughput(f"seal to {number}: {size:,} bytes", done, Limit("wraps and cipher", bare, "/s"))
    proof = _proof(keys, identity, _sealed(identity, incident_id, bundle, 1), bundle, entries)
    raw = write_proof(proof)
    took = []
    for _ in range(VERIFIED):
        began = time.perf_counter()
        verify_proof(read_proof(raw), expected=identity.node_id)
        took.append(time.perf_counter() - began)
    signatures = Limit("2 bare signatures", 2000 / limits["ed25519 verify"].value, "ms")
    yield latency(f"a proof of {entries:,}: {len(raw):,} bytes", took, signatures)


def _author() -> tuple[NodeKeys, Identity]:
    now = datetime.now(UTC)
    keys, statement = incept(org="a", domain="a.example", urls=["https://a.example"], now=now, rng=os.urandom)
    return keys, verify_chain([statement], expected=None, now=now)


def _sealed(author: Identity, incident_id: str, bundle: bytes, number: int) -> Sealed:
    key = load_enc_public(generate_enc(os.urandom).public)
    return seal(
        t="publish",
        by=author.node_id,
        id=incident_id,
        ver=1,
        tlp=Tlp.GREEN,
        content=bundle,
        recipients={node_id_from_bytes(n.to_bytes(32, "big")): key for n in range(number)},
        now=datetime.now(UTC),
        rng=os.urandom,
    )


def _sealing(author: Identity, incident_id: str, bundle: bytes, number: int, times: int) -> Round:
    key = load_enc_public(generate_enc(os.urandom).public)
    to = {node_id_from_bytes(n.to_bytes(32, "big")): key for n in range(number)}
    now, took = datetime.now(UTC), []
    for _ in range(times):
        began = time.perf_counter()
        seal(
            t="publish", by=author.node_id, id=incident_id, ver=1, tlp=Tlp.GREEN, content=bundle,
            recipients=to, now=now, rng=os.urandom,
        )  # fmt: skip
        took.append(time.perf_counter() - began)
    return Round(times, sum(took), took)


def _proof(keys: NodeKeys, author: Identity, sealed: Sealed, bundle: bytes, entries: int) -> Proof:
    """Of an entry in the middle of a log of so many."""
    leaves = [hashlib.sha256(n.to_bytes(8, "big")).digest() for n in range(entries)]
    at = entries // 2
    leaves[at] = sealed.leaf_hash
    note = sign_checkpoint(author.statement.log.origin, entries, root_of(leaves), keys.log)
    shown = Disclosed(bundle, sealed.data_key)
    return Proof(sealed.leaf, at, tuple(inclusion_proof(leaves, at)), note, tuple(author.chain), shown)
