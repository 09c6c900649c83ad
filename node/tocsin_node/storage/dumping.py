"""Dumps of the node's own database: written beside a running node, and put back while none runs.

A dump is put into a database of its own and takes the other's place when it is whole; until then nothing has changed.
Where the programs are is found as for the server; both read and write through its socket, so no password is anywhere.
"""

import asyncio
import os
import subprocess
from pathlib import Path

from tocsin_node.settings.record import Settings
from tocsin_node.storage.database import Database, open_database
from tocsin_node.storage.errors import StorageError
from tocsin_node.storage.pool import Address, connect
from tocsin_node.storage.postgres import DATABASE
from tocsin_node.storage.postgres_binaries import choose

FRESH, OLD = f"{DATABASE}_restored", f"{DATABASE}_before"
TOLD_BYTES = 2000


class NotEmbedded(StorageError):
    """The node's database is not its own."""

    code = "database-outside"
    hint = "Back it up and restore it with PostgreSQL's own tools, as you do with your other databases."


class DumpFailed(StorageError):
    """PostgreSQL's program for dumps failed."""

    code = "dump-failed"
    hint = "What it said is above. Nothing was changed."


async def dump(settings: Settings, file: Path) -> int:
    """Write a dump of the node's own database to `file`, for its owner alone; returns its size in bytes.

    The node may run. Raises: NotEmbedded, DumpFailed, StorageError, FileExistsError, OSError.
    """
    _own(settings)
    async with open_database(settings, own=False) as database:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            command = [
                _program(settings, "pg_dump"),
                "--format=custom",
                "--dbname",
                _reached(database.address),
            ]
            await _run(command, stdout=descriptor)
            os.fsync(descriptor)
            return os.fstat(descriptor).st_size
        except BaseException:
            _forget(file)
            raise
        finally:
            os.close(descriptor)


async def restore(settings: Settings, file: Path) -> None:
    """Put the dump in `file` in the place of the node's own database, whole or not at all. No node may run.

    Raises: NotEmbedded, NodeRunning, DumpFailed, StorageError, OSError.
    """
    _own(settings)
    os.close(os.open(file, os.O_RDONLY))  # it is there, and may be read
    async with open_database(settings) as database:
        await _put_back(settings, database, file)


async def _put_back(settings: Settings, database: Database, file: Path) -> None:
    server = await connect(database.address.with_database("postgres"))
    try:
        await server.execute(f"drop database if exists {FRESH}")
        await server.execute(f"create database {FRESH}")
        fresh = _reached(database.address.with_database(FRESH))
        options = ["--exit-on-error", "--no-owner", "--single-transaction"]
        try:
            await _run([_program(settings, "pg_restore"), *options, "--dbname", fresh, str(file)])
        except BaseException:
            await server.execute(f"drop database if exists {FRESH}")
            raise
        await server.execute(f"drop database if exists {OLD}")
        await server.execute(f"alter database {DATABASE} rename to {OLD}")
        await server.execute(f"alter database {FRESH} rename to {DATABASE}")
        await server.execute(f"drop database {OLD}")
    finally:
        await server.close()


def _forget(file: Path) -> None:
    file.unlink(missing_ok=True)


def _own(settings: Settings) -> None:
    if not settings.database.embedded:
        raise NotEmbedded


def _program(settings: Settings, name: str) -> str:
    """PostgreSQL's program of that name, of the server's major version. Raises: DumpFailed."""
    found = choose(settings.dir / "postgres" / "data", preferred=settings.database.binaries).directory / name
    if not found.exists():
        raise DumpFailed(f"There is no {name} beside {found.parent / 'postgres'}.", hint="Install it there.")
    return str(found)


def _reached(address: Address) -> str:
    """The address for another process: what it calls itself is not what we do."""
    return address.url.replace("/proc/self/", f"/proc/{os.getpid()}/")


async def _run(command: list[str], *, stdout: int = subprocess.DEVNULL) -> None:
    run = await asyncio.create_subprocess_exec(
        *command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE
    )
    try:
        _, told = await run.communicate()
    except BaseException:
        run.kill()
        await run.wait()
        raise
    if run.returncode != 0:
        raise DumpFailed(told.decode(errors="replace")[-TOLD_BYTES:].strip() or "It said nothing.")
