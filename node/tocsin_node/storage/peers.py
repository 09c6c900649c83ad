"""Peers and invites in Postgres."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Final

import msgspec

from tocsin_federation.peering import InviteRecord
from tocsin_node.actor import NODE, acting, of_peer
from tocsin_node.storage import audit
from tocsin_node.storage.audit import Act
from tocsin_node.storage.pool import Connection


@dataclass(frozen=True, slots=True)
class PeerRow:
    """One peer as stored. `chain`: node statements as received, oldest first."""

    node_id: str
    name: str
    chain: list[bytes] = field(repr=False)
    url: str
    state: str
    our_nonce: bytes = field(repr=False)
    their_nonce: bytes = field(repr=False)
    invited: bool
    approved_at: datetime | None
    sas_verified: bool
    max_tlp_out: str
    max_tlp_in: str
    problem_code: str | None
    problem_hint: str | None
    problem_at: datetime | None
    last_contact_at: datetime | None
    clock_skew_s: float | None
    fetched_gen: int
    fetched_next: int
    added_at: datetime
    witness: bool
    witnessed: bool
    relay: bool
    onward: bool
    client: bool
    unnamed: bool
    alerts_per_day: int | None
    requests_per_s: int | None


KEEP: Final = msgspec.UNSET  # a number that is left as it is; None makes it that of all peers


@dataclass(frozen=True, slots=True)
class PolicyChange:
    """What is to change of a peer's policy; None leaves a marking or a yes-or-no as it is, `KEEP` a number."""

    max_tlp_out: str | None = None
    max_tlp_in: str | None = None
    witness: bool | None = None
    witnessed: bool | None = None
    relay: bool | None = None
    onward: bool | None = None
    client: bool | None = None
    unnamed: bool | None = None
    alerts_per_day: int | msgspec.UnsetType | None = KEEP
    requests_per_s: int | msgspec.UnsetType | None = KEEP

    def said(self) -> dict[str, int | str]:
        """What changes, for the audit log."""
        told = {each.name: getattr(self, each.name) for each in fields(self)}
        numbers = ("alerts_per_day", "requests_per_s")
        kept = {name for name, value in told.items() if value is (KEEP if name in numbers else None)}
        return {
            name: "as all" if value is None else value for name, value in told.items() if name not in kept
        }


@dataclass(frozen=True, slots=True)
class InviteRow:
    """A live invite: whom it is for and the key that proves who holds it."""

    id: bytes
    mac_key: bytes = field(repr=False)
    nonce: bytes = field(repr=False)
    name: str
    expires_at: datetime
    used_by: str | None
    used_nonce: bytes | None = field(repr=False)


_COLUMNS = """node_id, name, chain, url, state, our_nonce, their_nonce, invited, approved_at, sas_verified,
    max_tlp_out, max_tlp_in, problem_code, problem_hint, problem_at, last_contact_at, clock_skew_s,
    fetched_gen, fetched_next, added_at, witness, witnessed, relay, onward, client, unnamed, alerts_per_day,
    requests_per_s"""

ALL = f"select {_COLUMNS} from peer order by added_at, node_id"

# A removed peer may be met anew, and a join whose answer was lost may be said again; an approved peer keeps its row.
ADD = f"""
insert into peer (node_id, name, chain, url, state, our_nonce, their_nonce, invited)
values ($1, $2, $3, $4, 'pending', $5, $6, $7)
on conflict (node_id) do update set name = excluded.name, chain = excluded.chain, url = excluded.url,
    state = 'pending', our_nonce = excluded.our_nonce, their_nonce = excluded.their_nonce,
    invited = excluded.invited, approved_at = null, sas_verified = false, problem_code = null, problem_hint = null,
    problem_at = null, added_at = now(), client = peer.client and peer.state <> 'removed'
where peer.state in ('removed', 'pending')
returning {_COLUMNS}
"""

APPROVE = f"""
update peer set state = case when state = 'pending' then 'active' else state end,
    approved_at = coalesce(approved_at, now()), sas_verified = $2, max_tlp_out = $3,
    max_tlp_in = $4
where node_id = $1 and state <> 'removed' returning {_COLUMNS}
"""

SET_PROBLEM = f"""
update peer set problem_code = $2, problem_hint = $3, problem_at = now(),
    state = case when $4 and state = 'active' then 'suspect' else state end
where node_id = $1 returning {_COLUMNS}
"""

CLEAR_PROBLEM = f"""
update peer set problem_code = null, problem_hint = null, problem_at = null,
    state = case when state = 'suspect' and $2 then 'active' else state end
where node_id = $1 returning {_COLUMNS}
"""

# Two may learn of a renewal at once; the longer chain stays, whoever writes last.
SET_CHAIN = f"""
update peer set chain = $2, url = $3 where node_id = $1 and cardinality(chain) < cardinality($2::bytea[])
returning {_COLUMNS}
"""

# What is noted at every request may be lost in a crash of the database: the next request notes it again.
_MAY_BE_LOST = "set_config('synchronous_commit', 'off', true) is not null"

CONTACT = f"""
update peer set last_contact_at = now(), clock_skew_s = coalesce($2, clock_skew_s)
where node_id = $1 and {_MAY_BE_LOST}
"""

FETCHED = f"""
with verified as (
    update receipt set verified_at = now() where node = $1 and gen = $2 and idx < $3 and verified_at is null
)
update peer set fetched_gen = $2, fetched_next = $3
where node_id = $1 and (fetched_gen, fetched_next) < ($2, $3::bigint) and {_MAY_BE_LOST}
"""

SET_POLICY = f"""
update peer set max_tlp_out = coalesce($2, max_tlp_out), max_tlp_in = coalesce($3, max_tlp_in),
    witness = coalesce($4, witness), witnessed = coalesce($5, witnessed), relay = coalesce($6, relay),
    onward = coalesce($7, onward), client = coalesce($8, client), unnamed = coalesce($9, unnamed),
    alerts_per_day = case when $10::bool then $11::int else alerts_per_day end,
    requests_per_s = case when $12::bool then $13::int else requests_per_s end
where node_id = $1 and state <> 'removed' returning {_COLUMNS}
"""

REMOVE = "update peer set state = 'removed', name = name || ' (removed ' || node_id || ')' where node_id = $1"

ADD_INVITE = "insert into invite (id, mac_key, nonce, name, expires_at) values ($1, $2, $3, $4, $5)"

INVITE = (
    "select id, mac_key, nonce, name, expires_at, used_by, used_nonce from invite where id = $1 for update"
)

USE_INVITE = "update invite set used_at = now(), used_by = $2, used_nonce = $3 where id = $1"

DROP_INVITES = "delete from invite where expires_at < now() - interval '30 days'"


async def all_peers(conn: Connection) -> list[PeerRow]:
    """Every peer, removed ones too."""
    return [PeerRow(*row) for row in await conn.fetch(ALL)]


async def add(
    conn: Connection,
    *,
    node_id: str,
    name: str,
    chain: Sequence[bytes],
    url: str,
    our_nonce: bytes,
    their_nonce: bytes,
    invited: bool,
) -> PeerRow | None:
    """Add a pending peer, or begin its handshake anew; None when the NodeID is approved already."""
    async with conn.transaction():
        row = await conn.fetchrow(ADD, node_id, name, list(chain), url, our_nonce, their_nonce, invited)
        if row is not None:
            joiner = of_peer(node_id) if invited else acting()
            detail = {"name": name, "invited": invited}
            await audit.note(conn, Act("peer.join", f"peer:{node_id}", detail, joiner))
    return None if row is None else PeerRow(*row)


async def approve(conn: Connection, node_id: str, *, sas_verified: bool, out: str, in_: str) -> PeerRow:
    """Our operator's yes, with the ceilings that go with it."""
    detail = {"words_compared": sas_verified, "max_tlp_out": out, "max_tlp_in": in_}
    return await _noted(conn, Act("peer.approve", f"peer:{node_id}", detail), APPROVE, sas_verified, out, in_)


async def set_problem(conn: Connection, node_id: str, code: str, hint: str, *, suspect: bool) -> PeerRow:
    """Keep what is wrong with a peer; `suspect` also stops an active one until a person resumes it."""
    if suspect:
        act = Act("peer.suspect", f"peer:{node_id}", {"code": code}, NODE)
        return await _noted(conn, act, SET_PROBLEM, code, hint, suspect)
    return PeerRow(*await conn.fetchrow(SET_PROBLEM, node_id, code, hint, suspect))


async def clear_problem(conn: Connection, node_id: str, *, resume: bool) -> PeerRow:
    """Forget the problem; `resume` makes a suspect peer active again."""
    if resume:
        return await _noted(conn, Act("peer.resume", f"peer:{node_id}"), CLEAR_PROBLEM, resume)
    return PeerRow(*await conn.fetchrow(CLEAR_PROBLEM, node_id, resume))


async def set_chain(conn: Connection, node_id: str, chain: Sequence[bytes], url: str) -> PeerRow | None:
    """Keep a longer statement chain and the address it names; None when one as long stands there already."""
    async with conn.transaction():
        row = await conn.fetchrow(SET_CHAIN, node_id, list(chain), url)
        if row is not None:
            detail = {"statement": len(chain) - 1}
            await audit.note(conn, Act("peer.statement", f"peer:{node_id}", detail, of_peer(node_id)))
    return None if row is None else PeerRow(*row)


async def set_policy(conn: Connection, node_id: str, change: PolicyChange) -> PeerRow | None:
    """Change what is said of a peer's policy and leave the rest; None when there is no such peer any more."""
    async with conn.transaction():
        row = await conn.fetchrow(
            SET_POLICY,
            node_id,
            change.max_tlp_out,
            change.max_tlp_in,
            change.witness,
            change.witnessed,
            change.relay,
            change.onward,
            change.client,
            change.unnamed,
            change.alerts_per_day is not KEEP,
            None if change.alerts_per_day is KEEP else change.alerts_per_day,
            change.requests_per_s is not KEEP,
            None if change.requests_per_s is KEEP else change.requests_per_s,
        )
        if row is not None:
            await audit.note(conn, Act("peer.policy", f"peer:{node_id}", change.said()))
    return None if row is None else PeerRow(*row)


async def note_contact(conn: Connection, node_id: str, *, clock_skew_s: float | None) -> None:
    """The peer answered or asked just now."""
    await conn.execute(CONTACT, node_id, clock_skew_s)


async def note_fetched(conn: Connection, node_id: str, gen: int, next_index: int) -> None:
    """The peer has asked for entries of that generation from `next_index` on: it has worked through all before."""
    await conn.execute(FETCHED, node_id, gen, next_index)


async def remove(conn: Connection, node_id: str) -> None:
    """Take a peer out; its row stays, so that what it sent keeps its origin."""
    async with conn.transaction():
        await conn.execute(REMOVE, node_id)
        await audit.note(conn, Act("peer.remove", f"peer:{node_id}"))


async def add_invite(conn: Connection, record: InviteRecord, name: str) -> None:
    """Keep a new invite."""
    async with conn.transaction():
        await conn.execute(ADD_INVITE, record.id, record.mac_key, record.nonce, name, record.expires_at)
        until = record.expires_at.isoformat(timespec="seconds")
        await audit.note(conn, Act("peer.invite", None, {"name": name, "until": until}))


async def invite(conn: Connection, invite_id: bytes) -> InviteRow | None:
    """The invite, locked for the caller's transaction."""
    row = await conn.fetchrow(INVITE, invite_id)
    return None if row is None else InviteRow(*row)


async def use_invite(conn: Connection, invite_id: bytes, node_id: str, nonce: bytes) -> None:
    """Spend the invite."""
    await conn.execute(USE_INVITE, invite_id, node_id, nonce)


async def drop_old_invites(conn: Connection) -> None:
    """Forget invites that ended more than 30 days ago."""
    await conn.execute(DROP_INVITES)


async def _noted(conn: Connection, act: Act, change: str, *values: object) -> PeerRow:
    """Change the row of the peer that `act` is about, and note it."""
    async with conn.transaction():
        row = await conn.fetchrow(change, (act.object or "").removeprefix("peer:"), *values)
        await audit.note(conn, act)
    return PeerRow(*row)
