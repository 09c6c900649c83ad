"""Peers over HTTP: invite, join, approve, look, sync, remove."""

from datetime import timedelta
from typing import Annotated, Any

import msgspec
from aiohttp import web

from tocsin_federation.evidence import Evidence, write_evidence
from tocsin_federation.merkle import HASH_BYTES
from tocsin_node.api.relay_view import relays_of
from tocsin_node.errors import NodeError
from tocsin_node.expiry import stage_of
from tocsin_node.node import NODE, Node
from tocsin_node.services.peer import Peer
from tocsin_node.services.peer_policy import lesser_budget
from tocsin_node.storage import log, remote
from tocsin_node.storage import witness as cosignatures
from tocsin_node.storage.audit import Act
from tocsin_node.storage.circles import Count
from tocsin_node.storage.comparison import Comparison
from tocsin_node.storage.peers import KEEP, PeerRow, PolicyChange
from tocsin_node.web.body import read_json
from tocsin_node.web.problems import json_response
from tocsin_schema.marking import Tlp

RECENT = 20
MAX_TTL_S = 7 * 86_400


class EvidenceUnknown(NodeError):
    """Nothing convicts that peer of a fork."""

    code = "evidence-unknown"
    hint = "`tocsin peer status NAME` says what else is wrong with it, if anything is."


class InviteRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`name`: what we will call who joins. `ttl_s`: at most 7 days."""

    name: str
    ttl_s: Annotated[int, msgspec.Meta(gt=0, le=MAX_TTL_S)] = 48 * 3600


class JoinRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`invite`: the text that the other side gave. `name`: what we will call them."""

    invite: str
    name: str | None = None


class ApproveRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`sas`: the eight words as compared by voice, or `unverified` true."""

    sas: str | None = None
    unverified: bool = False
    max_tlp_out: Tlp | None = None
    max_tlp_in: Tlp | None = None


class WitnessRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`witness`: it is asked to cosign our checkpoints, and its word counts. `witnessed`: we cosign its."""

    witness: bool | None = None
    witnessed: bool | None = None


class PolicyRequest(WitnessRequest, frozen=True, forbid_unknown_fields=True):
    """What is to change; null leaves a marking or a yes-or-no as it is, and makes a number that of all peers."""

    max_tlp_out: Tlp | None = None
    max_tlp_in: Tlp | None = None
    relay: bool | None = None
    onward: bool | None = None
    client: bool | None = None
    unnamed: bool | None = None
    alerts_per_day: Annotated[int, msgspec.Meta(ge=0, le=100_000)] | msgspec.UnsetType | None = KEEP
    requests_per_s: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | msgspec.UnsetType | None = KEEP


class SyncRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`resume`: a person has looked at a suspect peer and takes it back."""

    resume: bool = False


async def evidence(request: web.Request) -> web.Response:
    """GET /v1/peers/{name}/evidence: the newest proof that the peer has forked its log, for anybody to verify."""
    node = request.app[NODE]
    peer = node.peering.named(request.match_info["name"])
    async with node.pool.acquire() as conn:
        kept = await remote.evidence_of(conn, peer.node_id)
    if kept is None:
        raise EvidenceUnknown
    path = tuple(kept.path[i : i + HASH_BYTES] for i in range(0, len(kept.path), HASH_BYTES))
    told = Evidence(
        v=1, kind="fork", chain=peer.identity.chain, held=kept.held, offered=kept.offered, path=path
    )
    return web.Response(body=write_evidence(told), content_type="application/json")


async def listing(request: web.Request) -> web.Response:
    """GET /v1/peers."""
    node = request.app[NODE]
    rows = await node.peering.rows()
    compared = await node.comparing.of()
    items = [
        await _view(node, p, rows[p.node_id]) | _compared(compared.get(p.node_id))
        for p in node.peering.present()
    ]
    return json_response({"items": items})


async def show(request: web.Request) -> web.Response:
    """GET /v1/peers/{name}: with the eight words and the newest outcomes."""
    node = request.app[NODE]
    return json_response(await _whole(node, node.peering.named(request.match_info["name"])))


async def invite(request: web.Request) -> web.Response:
    """POST /v1/peers/invites: a single-use invite, shown once."""
    node = request.app[NODE]
    wanted = await read_json(request, InviteRequest)
    text, expires_at = await node.joining.invite(wanted.name, timedelta(seconds=wanted.ttl_s))
    return json_response({"invite": text, "expires_at": expires_at}, status=201)


async def join(request: web.Request) -> web.Response:
    """POST /v1/peers/join: take up an invite; the peer is pending until both sides approve."""
    node = request.app[NODE]
    wanted = await read_json(request, JoinRequest)
    peer = await node.joining.join(wanted.invite.strip(), wanted.name)
    return json_response(await _whole(node, peer), status=201)


async def approve(request: web.Request) -> web.Response:
    """POST /v1/peers/{name}/approve: our operator's yes, with the ceilings."""
    node = request.app[NODE]
    wanted = await read_json(request, ApproveRequest)
    name = request.match_info["name"]
    peer = await node.joining.approve(
        name, sas=wanted.sas, unverified=wanted.unverified, out=wanted.max_tlp_out, in_=wanted.max_tlp_in
    )
    return json_response(await _whole(node, peer))


async def witness(request: web.Request) -> web.Response:
    """PUT /v1/peers/{name}/witness: whether the peer is a witness of ours, and we one of it."""
    wanted = await read_json(request, WitnessRequest)
    return await _changed(request, PolicyChange(witness=wanted.witness, witnessed=wanted.witnessed))


async def policy(request: web.Request) -> web.Response:
    """PUT /v1/peers/{name}/policy: change what is said of it; the rest stays, and it holds at once."""
    wanted = await read_json(request, PolicyRequest)
    change = PolicyChange(
        max_tlp_out=wanted.max_tlp_out.value if wanted.max_tlp_out else None,
        max_tlp_in=wanted.max_tlp_in.value if wanted.max_tlp_in else None,
        witness=wanted.witness,
        witnessed=wanted.witnessed,
        relay=wanted.relay,
        onward=wanted.onward,
        client=wanted.client,
        unnamed=wanted.unnamed,
        alerts_per_day=wanted.alerts_per_day,
        requests_per_s=wanted.requests_per_s,
    )
    return await _changed(request, change)


async def _changed(request: web.Request, change: PolicyChange) -> web.Response:
    node = request.app[NODE]
    peer = await node.policies.change(request.match_info["name"], change)
    node.witnessing.wake()
    return json_response(await _whole(node, peer))


async def sync(request: web.Request) -> web.Response:
    """POST /v1/peers/{name}/sync: look at the peer now."""
    node = request.app[NODE]
    wanted = await read_json(request, SyncRequest)
    peer = node.peering.named(request.match_info["name"])
    await node.auditing.note(Act("peer.sync", f"peer:{peer.node_id}"))
    if wanted.resume:
        await node.peering.resume(peer.row.name)
    node.exchange.nudge(peer.node_id)
    return json_response({"requested": True}, status=202)


async def remove(request: web.Request) -> web.Response:
    """DELETE /v1/peers/{name}."""
    await request.app[NODE].peering.remove(request.match_info["name"])
    return web.Response(status=204)


async def _whole(node: Node, peer: Peer) -> dict[str, Any]:
    rows = await node.peering.rows()
    async with node.pool.acquire() as conn:
        recent = await remote.recent(conn, peer.node_id, RECENT)
    return await _view(node, peer, rows[peer.node_id]) | {
        **_compared((await node.comparing.of()).get(peer.node_id)),
        **await relays_of(node, peer),
        "sas": list(peer.sas),
        "recent": [
            {"index": r.idx, "outcome": r.outcome, "code": r.code, "report_id": r.report_id, "at": r.at}
            for r in recent
        ],
    }


async def _view(node: Node, peer: Peer, row: PeerRow) -> dict[str, Any]:
    statement = peer.identity.statement
    gen = statement.log.gen
    head = node.ledger.head
    async with node.pool.acquire() as conn:
        theirs = await remote.standing(conn, peer.node_id, gen)
        counts = await remote.outcome_counts(conn, peer.node_id)
        fetched = row.fetched_next if row.fetched_gen == head.gen else 0
        waiting = await log.waiting(conn, head.gen, peer.node_id, fetched)
        alerts = await remote.alerts_in_a_day(conn, peer.node_id)
        newest = await cosignatures.newest(conn, peer.identity.statement.log.origin)
    cosigned_at = max((line.at for line in newest), default=None)
    size, next_index = (theirs.size, theirs.next_index) if theirs else (0, 0)
    outcomes: dict[str, Any] = {
        "stored": 0,
        "unchanged": 0,
        "superseded": 0,
        "refused": {},
        "quarantined": {},
    }
    for outcome, code, count in counts:
        if outcome in {"refused", "quarantined"}:
            outcomes[outcome][code or "unknown"] = count
        else:
            outcomes[outcome] += count
    problem = None
    if row.problem_code is not None:
        problem = {"code": row.problem_code, "hint": row.problem_hint, "at": row.problem_at}
    elif alerts >= lesser_budget(budget := node.policies.alerts_per_day(peer)):
        left = (
            "more is stored but does not ring" if alerts >= budget else "only what is most urgent still rings"
        )
        hint = f"It has rung {alerts} times in 24 hours, of {budget}; {left}."
        problem = {"code": "alert-budget", "hint": hint, "at": node.now()}
    elif gaps := await node.circles.gaps(peer.node_id):
        circle, counted = gaps[0]
        problem = _gap(circle, counted) | {"at": node.now()}
    return {
        "name": row.name,
        "node_id": row.node_id,
        "org": peer.org,
        "former_orgs": peer.former_orgs,
        "url": row.url,
        "statement": {
            "number": statement.seq,
            "expires_at": statement.expires_at,
            "days_left": (statement.expires_at - node.now()).days,
            "expiring": stage_of(statement.expires_at - node.now()) is not None,
            "generation": gen,
        },
        "state": row.state,
        "ours_approved": row.approved_at is not None,
        "sas_verified": row.sas_verified,
        "max_tlp_out": row.max_tlp_out,
        "max_tlp_in": row.max_tlp_in,
        "policy": node.policies.told(peer),
        "added_at": row.added_at,
        "last_contact_at": row.last_contact_at,
        "silent": node.peer_watch.silent(row),
        "clock_skew_s": row.clock_skew_s,
        "problem": problem,
        "log": {"size": size, "next_index": next_index, "lag": size - next_index},
        "outcomes": outcomes,
        "witness": row.witness,
        "witnessed": row.witnessed,
        "cosigned_at": cosigned_at,
        "complaints": (await node.complaints.counts()).get(peer.node_id, 0),
        "witness_key": peer.identity.statement.wit,
        "fetched": {"next_index": fetched, "our_size": head.size, "waiting": waiting},
    }


def _compared(found: Comparison | None) -> dict[str, Any]:
    """What was found when it was last compared with; null: it was never tried."""
    if found is None:
        return {"comparison": None}
    done = found.at is not None
    return {
        "comparison": {
            "at": found.at,
            "same": not found.amiss and not found.contradicted if done else None,
            "amiss": found.amiss,
            "contradicted": found.contradicted,
            "mended": found.mended,
            "tried_at": found.tried_at,
            "trouble": found.trouble,
        }
    }


def _gap(circle: str, count: Count) -> dict[str, Any]:
    """What is wrong with how a peer's entries to a circle come, in words."""
    if count.doubled:
        hint = (
            f"It has put two entries under one number of the circle {circle!r}: call its operator; it tells members "
            "different things, or is an older program that was put back from a backup."
        )
        return {"code": "circle-doubled", "hint": hint}
    hint = (
        f"{count.missing} of its {count.last} entries to the circle {circle!r} did not come to us: its ceiling for us "
        "may forbid them, we were left out, or its node was put back from a backup. Ask its operator."
    )
    return {"code": "circle-gap", "hint": hint}
