"""The node's database, wherever it is: its own PostgreSQL, or one that the settings name."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tocsin_node.errors import SettingsError
from tocsin_node.secrets import read_secret_at
from tocsin_node.settings.record import Settings
from tocsin_node.storage.migrations import migrate, require_current
from tocsin_node.storage.pool import Address, check_version, connect
from tocsin_node.storage.postgres import Postgres, run_postgres

POSTGRES_DIRECTORY = "postgres"
CREDENTIAL = "database-url"


@dataclass(frozen=True, slots=True)
class Database:
    """Where it is; `postgres` when it is the node's own."""

    address: Address
    postgres: Postgres | None = None

    @property
    def directory(self) -> Path | None:
        """Where its files are, when it is the node's own."""
        return self.postgres.home if self.postgres else None


@asynccontextmanager
async def open_database(settings: Settings, *, own: bool = True) -> AsyncIterator[Database]:
    """Reach the database for the block, starting the node's own PostgreSQL if it is to be.

    `own=False` is for tools beside a running node: they share its server. No shape is checked here.

    Raises: NodeRunning, StorageError, SettingsError, SecretError.
    """
    if not settings.database.embedded:
        yield Database(outside_address(settings))
        return
    home = settings.dir / POSTGRES_DIRECTORY
    wanted = settings.database
    async with run_postgres(home, binaries=wanted.binaries, user=wanted.user, own=own) as postgres:
        yield Database(postgres.address, postgres)


async def bring_up_to_date(settings: Settings, database: Database) -> None:
    """See that the database has this program's shape: an embedded one is migrated, an outside one if allowed.

    Raises: NotMigrated, MigrationError, StorageError.
    """
    if database.postgres is not None or settings.database.migrate_at_start:
        await migrate(database.address)
        return
    conn = await connect(database.address)
    try:
        check_version(conn)
        await require_current(conn)
    finally:
        await conn.close()


def outside_address(settings: Settings) -> Address:
    """The address in `url`, in the credential `database-url`, or in the file `url_file`.

    Raises: SecretError, SettingsError.
    """
    wanted = settings.database
    if wanted.url:
        return Address(wanted.url)
    secret = read_secret_at(settings.path(wanted.url_file), credential=CREDENTIAL)
    try:
        return Address(secret.decode("utf-8"))
    except UnicodeDecodeError as exc:
        raise SettingsError("The file that database.url_file names is not UTF-8.") from exc
