"""Access tokens: who may do what over HTTP.

A token is 256 random bits, shown once; only its SHA-256 is kept, so looking it up needs no secret comparison
and a stolen database opens nothing. A revoked token stops working at once in this process, and within
`CACHE_S` seconds when another process (the command line) revoked it.
"""

import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tocsin_node.errors import NodeError
from tocsin_node.storage import tokens
from tocsin_node.storage.pool import Connection, Pool
from tocsin_node.storage.tokens import TokenRow

# Scope → what it allows, in words for people.
SCOPES = {
    "report:read": "list and read reports",
    "report:write": "file, revise, withdraw and import reports",
    "peer:read": "list and show peers",
    "peer:write": "invite, join, approve, sync and remove peers",
    "alert:read": "list and show alerts",
    "alert:write": "acknowledge and test alerts",
    "duty:read": "list and show duties to authorities",
    "duty:write": "track, confirm, dismiss and settle duties to authorities",
    "log:read": "read our log: checkpoint, leaf hashes, keys",
    "audit:read": "read, export and verify the audit log: who did what, by name",
    "admin": "everything",
}
ADMIN = "admin"
PREFIX = "tocsin_"
SECRET_BYTES = 32
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
CACHE_S = 3.0
CACHE_MAX = 4096


class TokenNameTaken(NodeError):
    """There is a live token of that name already."""

    code = "token-name-taken"
    hint = "Choose another name, or revoke the old one first: `tocsin token revoke NAME`."


class TokenNameUnknown(NodeError):
    """There is no live token of that name."""

    code = "token-name-unknown"
    hint = "`tocsin token list` shows the names."


class TokenInvalid(NodeError):
    """A token needs a plain name and known scopes."""

    code = "token-invalid"
    hint = "A name is up to 64 letters, digits, dots, dashes and @; scopes: " + ", ".join(SCOPES) + "."


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who holds a token: its name and what it allows."""

    name: str
    scopes: frozenset[str]

    def may(self, scope: str) -> bool:
        """Whether the token allows what needs `scope`."""
        return scope in self.scopes or ADMIN in self.scopes


def new_token(rng: Callable[[int], bytes]) -> str:
    """A fresh token: `tocsin_` and 64 hexadecimal digits."""
    return PREFIX + rng(SECRET_BYTES).hex()


def hash_of(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).digest()


class Tokens:
    """Makes, lists, revokes and recognises tokens."""

    def __init__(
        self, pool: Pool, *, rng: Callable[[int], bytes], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pool, self._rng, self._clock = pool, rng, clock
        self._known: OrderedDict[bytes, tuple[float, Bearer | None]] = OrderedDict()
        self._revoked = 0  # how often since the start: what was read before is not remembered after

    async def create(self, name: str, scopes: Sequence[str]) -> tuple[TokenRow, str]:
        """A new token and its text, which is not kept.

        Raises: TokenInvalid, TokenNameTaken.
        """
        text = new_token(self._rng)
        return await self.register(name, scopes, text), text

    async def register(self, name: str, scopes: Sequence[str], text: str) -> TokenRow:
        """Accept an existing token text under `name`.

        Raises: TokenInvalid, TokenNameTaken.
        """
        unknown = sorted(set(scopes) - SCOPES.keys())
        if unknown or not scopes:
            raise TokenInvalid(
                f"Unknown scope: {', '.join(unknown)}." if unknown else "A token needs a scope."
            )
        if not NAME.fullmatch(name):
            raise TokenInvalid(f"{name!r} is no name for a token.")
        async with self._pool.acquire() as conn:
            return await _added(conn, name, text, scopes)

    async def admit(self, name: str, scopes: Sequence[str], text: str) -> None:
        """Accept a token text that came with the node, under `name` (with digits behind it if that is taken).

        One that is known already, alive or revoked, is left as it is.
        """
        token_hash, allowed = hash_of(text), sorted(set(scopes))
        async with self._pool.acquire() as conn:
            if await tokens.is_known(conn, token_hash):
                return
            if await tokens.add(conn, name, token_hash, allowed) is None:
                await tokens.add(conn, f"{name}-{token_hash.hex()[:8]}", token_hash, allowed)

    async def list(self) -> list[TokenRow]:
        """All tokens, revoked ones too, oldest first."""
        async with self._pool.acquire() as conn:
            return await tokens.all_tokens(conn)

    async def revoke(self, name: str) -> None:
        """Make the live token of that name worthless.

        Raises: TokenNameUnknown.
        """
        async with self._pool.acquire() as conn:
            token_hash = await tokens.revoke(conn, name)
        if token_hash is None:
            raise TokenNameUnknown(f"There is no live token named {name!r}.")
        self._known.pop(token_hash, None)
        self._revoked += 1

    async def recognise(self, text: str) -> Bearer | None:
        """Who holds this token; None when it is unknown or revoked.

        Raises: StorageUnavailable when it is not remembered and the database is away.
        """
        token_hash, now = hash_of(text), self._clock()
        held = self._known.get(token_hash)
        if held is not None and now < held[0]:
            return held[1]
        revoked = self._revoked
        async with self._pool.acquire() as conn:
            row = await tokens.by_hash(conn, token_hash)
        bearer = None if row is None else Bearer(row.name, frozenset(row.scopes))
        if revoked != self._revoked:
            return bearer
        self._known[token_hash] = (now + CACHE_S, bearer)
        self._known.move_to_end(token_hash)
        while len(self._known) > CACHE_MAX:
            self._known.popitem(last=False)
        return bearer


async def _added(conn: Connection, name: str, text: str, scopes: Sequence[str]) -> TokenRow:
    row = await tokens.add(conn, name, hash_of(text), sorted(set(scopes)))
    if row is None:
        raise TokenNameTaken(f"There is a live token named {name!r} already.")
    return row
