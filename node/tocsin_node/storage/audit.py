"""The audit log in Postgres. An act is noted in its own transaction, by `note`; nothing else writes a line.

Noted lines wait until who holds the pen seals them (`services/auditing.py`): then they have a number and a place in the
tree, and a trigger keeps them as they are. What was noted and not sealed survives every kill, being a row.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from tocsin_federation.audit import LEAF, SALT_BYTES, Fact, Leaf, Line, commitment, time_text
from tocsin_federation.merkle import leaf_hash
from tocsin_node.actor import Actor, acting
from tocsin_node.audit_actions import ACTIONS
from tocsin_node.storage.pool import Connection

TEXT_MAX = 400  # characters of a name or a text
LIST_MAX = 64  # texts of a list


@dataclass(frozen=True, slots=True)
class Act:
    """Something that is done, to be noted. The actor is whoever acts where it is made, unless it is given.

    `object`: kind and name of what it is done to, as `report:incident--…`, `alert:12`, `peer:n1…`; it alone may name a
    report, since it alone can be forgotten. `detail`: numbers, codes, names of settings (`Fact`s); never what a report
    says, never a secret. `action`: one of `audit_actions.ACTIONS`.
    """

    action: str
    object: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    actor: Actor = field(default_factory=acting)

    def __post_init__(self) -> None:
        """Raise ValueError for an action that the log does not know."""
        if self.action not in ACTIONS:
            raise ValueError(f"{self.action} is no action of the audit log: add it to audit_actions.py")


@dataclass(frozen=True, slots=True)
class Head:
    """The newest checkpoint of the audit log. `frontier`: the compact range over its `size` lines."""

    size: int
    root: bytes
    frontier: bytes
    note: bytes


@dataclass(frozen=True, slots=True)
class Row:
    """A line as it stands. Of a waiting one `number` is what orders it, of a sealed one its place in the tree."""

    number: int
    at: datetime
    who: str
    via: str
    action: str
    object: str | None
    salt: bytes | None
    commitment: bytes | None
    detail: str
    leaf_hash: bytes | None = None

    def leaf(self, seq: int) -> Leaf:
        """The leaf at place `seq`, from what the row says now."""
        return Leaf(
            v=1,
            seq=seq,
            at=time_text(self.at),
            who=self.who,
            via=self.via,
            action=self.action,
            object=self.commitment,
            detail=orjson.loads(self.detail),
        )

    def hashed(self, seq: int) -> bytes:
        """What that leaf hashes to."""
        return leaf_hash(LEAF.encode(self.leaf(seq)))

    def line(self) -> Line:
        """The sealed line with what opens its commitment."""
        return Line(leaf=self.leaf(self.number), object=self.object, salt=self.salt)


_TYPES = ("text", "text", "text", "text", "bytea", "bytea", "text")

WIDTH = len(_TYPES)  # parameters of an insertion


def insertion(first: int) -> str:
    """The insert of noted acts with the parameters `$first` and on (`columns`), as a part of a `with`."""
    arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(_TYPES, first))
    fields = "who, via, action, object, salt, commitment, detail"
    return (
        f"insert into audit_waiting ({fields}) select {fields}::jsonb from unnest({arrays}) as n ({fields})"
    )


NOTE = insertion(1)

_LINE = "at, who, via, action, object, salt, commitment, detail"

WAITING = f"select id, {_LINE} from audit_waiting order by id limit $1 for update"

WAITS = "select exists (select from audit_waiting)"

SEAL = f"""
with sealed as (
    insert into audit_line (seq, {_LINE}, leaf_hash)
    select n.seq, {_LINE}, n.leaf_hash from unnest($1::bigint[], $2::bigint[], $3::bytea[]) as n (id, seq, leaf_hash)
    join audit_waiting using (id)
), gone as (
    delete from audit_waiting where id = any($1::bigint[])
)
insert into audit_head (size, root, frontier, note) values ($4, $5, $6, $7)
on conflict (one) do update set size = excluded.size, root = excluded.root, frontier = excluded.frontier,
    note = excluded.note
"""

SET_HEAD = """
insert into audit_head (size, root, frontier, note) values ($1, $2, $3, $4)
on conflict (one) do update set size = excluded.size, root = excluded.root, frontier = excluded.frontier,
    note = excluded.note
"""

HEAD = "select size, root, frontier, note from audit_head"

LINES = f"select seq, {_LINE}, leaf_hash from audit_line where seq >= $1 and seq < $2 order by seq"

HASHES = "select leaf_hash from audit_line where seq >= $1 and seq < $2 order by seq"

LIST = f"""
select seq, {_LINE}, leaf_hash from audit_line
where ($1::bigint is null or seq < $1) and ($2::text is null or who = $2)
  and ($3::text is null or action = $3 or action like $4) and ($5::text is null or object = $5)
  and ($6::timestamptz is null or at >= $6) and ($7::timestamptz is null or at < $7)
order by seq desc limit $8
"""

NEWEST = "select detail from audit_line where action = $1 order by seq desc limit 1"

FORGET = "update audit_line set object = null, salt = null where object = $1"

FORGET_WAITING = "update audit_waiting set object = null, salt = null where object = $1"


async def note(conn: Connection, *acts: Act) -> None:
    """Write a line for each act, in the caller's transaction: they are in the audit log if, and only if, it commits."""
    if acts:
        await conn.execute(NOTE, *columns(acts))


def columns(acts: Sequence[Act]) -> list[Sequence[object]]:
    """The parameters of an `insertion`."""
    salts = [None if a.object is None else secrets.token_bytes(SALT_BYTES) for a in acts]
    objects = [None if a.object is None else _text(a.object) for a in acts]
    return [
        [_text(a.actor.who) for a in acts],
        [_text(a.actor.via) for a in acts],
        [a.action for a in acts],
        objects,
        salts,
        [
            None if salt is None or name is None else commitment(salt, name)
            for salt, name in zip(salts, objects, strict=True)
        ],
        [json.dumps({k: _fact(v) for k, v in a.detail.items()}) for a in acts],
    ]


async def forget(conn: Connection, report_id: str) -> None:
    """Take the report's name out of all lines, in the caller's transaction: they keep a salted hash without the salt.

    Every line stays, hashes as before, and proves the same but for what it was about.
    """
    await conn.execute(FORGET_WAITING, f"report:{report_id}")
    await conn.execute(FORGET, f"report:{report_id}")


async def waiting(conn: Connection, limit: int) -> list[Row]:
    """Lines that wait to be sealed, oldest first, locked for the caller's transaction."""
    return [Row(*row) for row in await conn.fetch(WAITING, limit)]


async def any_waiting(conn: Connection) -> bool:
    """Whether a line waits to be sealed."""
    waits: bool = await conn.fetchval(WAITS)
    return waits


async def seal(
    conn: Connection, rows: Sequence[Row], first: int, hashes: Sequence[bytes], head: Head
) -> None:
    """Give waiting `rows` the places from `first` on, and keep the checkpoint that covers them; one statement.

    Raises: StorageConflict when a place is taken already.
    """
    await conn.execute(
        SEAL,
        [row.number for row in rows],
        list(range(first, first + len(rows))),
        list(hashes),
        head.size,
        head.root,
        head.frontier,
        head.note,
    )


async def head(conn: Connection) -> Head | None:
    """The newest checkpoint, or None where none was signed yet."""
    row = await conn.fetchrow(HEAD)
    return None if row is None else Head(*row)


async def set_head(conn: Connection, new: Head) -> None:
    """Keep a checkpoint: the first one, or the same lines under another key."""
    await conn.execute(SET_HEAD, new.size, new.root, new.frontier, new.note)


async def lines(conn: Connection, start: int, stop: int) -> list[Row]:
    """The lines [start, stop), as far as there are any, in order."""
    return [Row(*row) for row in await conn.fetch(LINES, start, stop)]


async def hashes(conn: Connection, start: int, stop: int) -> list[bytes]:
    """The leaf hashes of the lines [start, stop), as far as there are any, in order."""
    return [row[0] for row in await conn.fetch(HASHES, start, stop)]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines are asked for; None: whatever it is. `action` may be the first half of a name, as `peer`."""

    who: str | None = None
    action: str | None = None
    object: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def listing(conn: Connection, wanted: Wanted, *, before: int | None, limit: int) -> list[Row]:
    """Lines, newest first; `before` is the number of the last one seen."""
    like = None if wanted.action is None else wanted.action.replace("%", "").replace("_", "") + ".%"
    rows = await conn.fetch(
        LIST, before, wanted.who, wanted.action, like, wanted.object, wanted.since, wanted.until, limit
    )
    return [Row(*row) for row in rows]


async def newest_detail(conn: Connection, action: str) -> Mapping[str, Fact] | None:
    """The detail of the newest sealed line of that action."""
    found = await conn.fetchval(NEWEST, action)
    return None if found is None else orjson.loads(found)


def _text(text: str) -> str:
    """What a leaf can hold: whole characters, none of which Postgres refuses, and not too many of them."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()[:TEXT_MAX] or "?"


def _fact(fact: Fact) -> Fact:
    if isinstance(fact, str):
        return _text(fact) if fact else ""
    return [_text(one) for one in fact[:LIST_MAX]] if isinstance(fact, list | tuple) else fact
