"""Bringing a database to the shape this program needs: forward only, one file a step.

Each step has its transaction. The database keeps the number and the SHA-256 of each step it has taken. A
database that knows a step which this program does not is newer and is left alone. A file that differs from
what was applied is refused. An advisory lock lets one process at a time do this.
"""

import hashlib
import re
from dataclasses import dataclass, field
from importlib import resources

from tocsin_node.storage import audit
from tocsin_node.storage.audit import Act
from tocsin_node.storage.errors import (
    DatabaseNewer,
    MigrationChanged,
    MigrationError,
    NotMigrated,
    StorageError,
)
from tocsin_node.storage.pool import Address, Connection, check_version, connect

FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
LOCK = 0x746F6373_696E_0001  # "tocsin", 1
TABLE = """
create table if not exists migration (
    number      integer primary key,
    name        text not null,
    sha256      bytea not null,
    applied_at  timestamptz not null default now()
)
"""
EXISTS = "select to_regclass('migration') is not null"
AUDITS = "select to_regclass('audit_waiting') is not null"
APPLIED = "select number, name, sha256 from migration order by number"
RECORD = "insert into migration (number, name, sha256) values ($1, $2, $3)"


@dataclass(frozen=True, slots=True)
class Migration:
    """One step: its number, its name and the statements."""

    number: int
    name: str
    sql: str = field(repr=False)

    @property
    def sha256(self) -> bytes:
        """The digest that is kept in the database."""
        return hashlib.sha256(self.sql.encode()).digest()

    def __str__(self) -> str:
        """Such as `0001_first`."""
        return f"{self.number:04}_{self.name}"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a database stands: steps taken and steps to take, in order."""

    applied: tuple[Migration, ...]
    pending: tuple[Migration, ...]


def steps() -> tuple[Migration, ...]:
    """All steps that this program knows, in order; numbers run from 1 without gaps."""
    found = []
    for file in resources.files("tocsin_node.storage").joinpath("migrations").iterdir():
        match = FILE_NAME.fullmatch(file.name)
        if match:
            found.append(Migration(int(match[1]), match[2], file.read_text(encoding="utf-8")))
    found.sort(key=lambda step: step.number)
    if [step.number for step in found] != list(range(1, len(found) + 1)):
        raise MigrationError(
            "The migrations that came with this program are incomplete.", hint="Install it anew."
        )
    return tuple(found)


async def standing(conn: Connection, known: tuple[Migration, ...] | None = None) -> Standing:
    """Where the database stands; reads only.

    Raises: DatabaseNewer, MigrationChanged.
    """
    known = steps() if known is None else known
    taken = await conn.fetch(APPLIED) if await conn.fetchval(EXISTS) else []
    if len(taken) > len(known):
        names = ", ".join(f"{row[0]:04}_{row[1]}" for row in taken[len(known) :])
        raise DatabaseNewer(f"The database was migrated by a newer program (it knows {names}).")
    for row, step in zip(taken, known, strict=False):
        if (row[0], row[2]) != (step.number, step.sha256):
            raise MigrationChanged(f"Migration {step} reads differently from what this database took.")
    return Standing(known[: len(taken)], known[len(taken) :])


async def require_current(conn: Connection) -> None:
    """Raise NotMigrated (or what `standing` raises) unless the database has exactly this program's shape."""
    pending = (await standing(conn)).pending
    if pending:
        raise NotMigrated(f"The database lacks {len(pending)} migration(s), from {pending[0]} on.")


async def migrate(address: Address, known: tuple[Migration, ...] | None = None) -> tuple[Migration, ...]:
    """Take every step that is missing, under the lock; returns those taken now.

    A step that fails leaves the database as it was before that step.

    Raises: MigrationError and what `standing` raises; StorageUnavailable.
    """
    conn = await connect(address, statement_timeout="0", idle_in_transaction_session_timeout="0")
    try:
        check_version(conn)
        await conn.execute("select pg_advisory_lock($1)", LOCK)
        before = await standing(conn, known)
        if before.pending:  # a database that takes no writes and lacks nothing can be read
            await conn.execute(TABLE)
        for step in before.pending:
            await _take(conn, step)
        if before.pending and await conn.fetchval(AUDITS):
            numbers = {"from": len(before.applied), "to": len(before.applied) + len(before.pending)}
            await audit.note(conn, Act("node.migrate", None, numbers))
        return before.pending
    finally:
        await conn.close()  # with the session goes the lock


async def _take(conn: Connection, step: Migration) -> None:
    try:
        async with conn.transaction():
            await conn.execute(step.sql)
            await conn.execute(RECORD, step.number, step.name, step.sha256)
    except StorageError as exc:
        if exc.retryable:
            raise
        raise MigrationError(f"Migration {step} failed: {exc.message}") from exc
