"""Access tokens in Postgres: their SHA-256, never the token."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from tocsin_node.storage import audit
from tocsin_node.storage.audit import Act
from tocsin_node.storage.pool import Connection


@dataclass(frozen=True, slots=True)
class TokenRow:
    """One token as stored."""

    name: str
    scopes: list[str]
    created_at: datetime
    revoked_at: datetime | None


# A name may be used again once its token is revoked; the old row stays on record under another name.
RETIRE = """
update token set name = name || ' (revoked ' || id || ')' where name = $1 and revoked_at is not null
"""
ADD = """
insert into token (name, hash, scopes) values ($1, $2, $3)
on conflict do nothing
returning name, scopes, created_at, revoked_at
"""
BY_HASH = "select name, scopes, created_at, revoked_at from token where hash = $1 and revoked_at is null"
KNOWN = "select exists (select from token where hash = $1)"
ALL = "select name, scopes, created_at, revoked_at from token order by id"
REVOKE = "update token set revoked_at = now() where name = $1 and revoked_at is null returning hash"


async def add(conn: Connection, name: str, token_hash: bytes, scopes: Sequence[str]) -> TokenRow | None:
    """Store a token; None when a live one has that name, or any one that hash."""
    async with conn.transaction():
        await conn.execute(RETIRE, name)
        row = await conn.fetchrow(ADD, name, token_hash, list(scopes))
        if row is not None:
            await audit.note(conn, Act("token.create", f"token:{name}", {"scopes": list(scopes)}))
    return None if row is None else TokenRow(*row)


async def by_hash(conn: Connection, token_hash: bytes) -> TokenRow | None:
    """The live token with that SHA-256."""
    row = await conn.fetchrow(BY_HASH, token_hash)
    return None if row is None else TokenRow(*row)


async def is_known(conn: Connection, token_hash: bytes) -> bool:
    """Whether there is or was a token with that SHA-256."""
    known: bool = await conn.fetchval(KNOWN, token_hash)
    return known


async def all_tokens(conn: Connection) -> list[TokenRow]:
    """All tokens, revoked ones too, oldest first."""
    return [TokenRow(*row) for row in await conn.fetch(ALL)]


async def revoke(conn: Connection, name: str) -> bytes | None:
    """Revoke the live token of that name; its hash, or None when there is none."""
    async with conn.transaction():
        token_hash: bytes | None = await conn.fetchval(REVOKE, name)
        if token_hash is not None:
            await audit.note(conn, Act("token.revoke", f"token:{name}"))
    return token_hash
