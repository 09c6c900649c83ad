"""A real PostgreSQL for tests: one cluster a session, in memory and not durable, and a database a test.

A fresh database is a copy of a migrated template; it costs about 20 ms. Tests of durability and of the
launcher itself start their own cluster with `run_postgres`.
"""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

from tocsin_node.storage.migrations import migrate
from tocsin_node.storage.pool import Address, connect
from tocsin_node.storage.postgres import run_postgres

MEMORY = Path("/dev/shm")
ROOM_BYTES = 512 * 1024 * 1024
FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "shared_buffers": "64MB",
    "max_connections": "200",
}
TEMPLATE = "tocsin_template"


class Cluster:
    """A running server and the way to fresh databases in it."""

    def __init__(self, address: Address) -> None:
        self.address = address.with_database("postgres")
        self._numbers = count(1)

    async def prepare(self) -> None:
        await self._run(f"create database {TEMPLATE}")
        await migrate(self.address.with_database(TEMPLATE))
        await self._run(f"alter database {TEMPLATE} with is_template true allow_connections false")

    @asynccontextmanager
    async def database(self, *, template: str = TEMPLATE) -> AsyncIterator[Address]:
        """A database of its own for the block; `template="template0"` for an empty one."""
        name = f"test_{next(self._numbers)}"
        await self._run(f"create database {name} template {template} strategy file_copy")
        try:
            yield self.address.with_database(name)
        finally:
            await self._run(f"drop database {name} with (force)")

    async def _run(self, statement: str) -> None:
        conn = await connect(self.address)
        try:
            await conn.execute(statement)
        finally:
            await conn.close()


@asynccontextmanager
async def run_cluster() -> AsyncIterator[Cluster]:
    """The session's cluster; nothing is left of it afterwards."""
    home = Path(tempfile.mkdtemp(prefix="tocsin-tests-", dir=_place()))
    try:
        binaries = os.environ.get("TOCSIN_TESTS_POSTGRES", "")  # another version's directory of programs
        async with run_postgres(home / "postgres", binaries=binaries, options=tuple(FAST.items())) as server:
            cluster = Cluster(server.address)
            await cluster.prepare()
            yield cluster
    finally:
        shutil.rmtree(home)


def _place() -> Path | None:
    """Memory, where there is room in it; else wherever temporary files go."""
    return MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM_BYTES else None


def copy_stopped(home: Path, target: Path) -> None:
    """Copy the directory of a stopped server, owners and all: making one anew costs a second."""
    shutil.copytree(home, target, ignore=shutil.ignore_patterns("*.lock", "run"))
    if os.geteuid() == 0:
        owner = (home / "data").stat()
        for path in (target, *target.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid)
