"""Bare Postgres: the embedded server with the settings that a node gives it, asyncpg, one table, nothing else."""

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from tests.bench.measure import Round

from tocsin_node.storage.postgres import run_postgres

TABLE = """
create table bare (id text primary key, body bytea not null) with (toast_tuple_target = 8160);
alter table bare alter column body set storage external
"""
ONE = "insert into bare (id, body) values ($1, $2)"
MANY = "insert into bare (id, body) select * from unnest($1::text[], $2::bytea[])"
_numbers = itertools.count()


@dataclass(frozen=True)
class BarePostgres:
    """The running server. Every row is committed before the next: durable, as the node's are."""

    address: str
    version: str

    async def commits(self, clients: int, number: int, size: int) -> Round:
        """`number` transactions of one row with `size` bytes, on `clients` connections."""
        connections = [await asyncpg.connect(self.address) for _ in range(clients)]
        rows = [(f"incident--{next(_numbers):036}", os.urandom(size)) for _ in range(number)]
        waiting, took = iter(rows), []

        async def client(conn: asyncpg.Connection) -> None:
            for row in waiting:
                began = time.perf_counter()
                await conn.execute(ONE, *row)
                took.append(time.perf_counter() - began)

        for conn in connections:
            await conn.execute(ONE, f"warm-{next(_numbers)}", b"")
        began = time.perf_counter()
        await asyncio.gather(*map(client, connections))
        seconds = time.perf_counter() - began
        for conn in connections:
            await conn.close()
        return Round(number, seconds, took)

    async def bulk(self, batches: int, rows: int, size: int) -> Round:
        """`batches` transactions of `rows` rows with `size` bytes each, on one connection."""
        conn = await asyncpg.connect(self.address)
        bodies = [os.urandom(size) for _ in range(rows)]
        began = time.perf_counter()
        for _ in range(batches):
            await conn.execute(MANY, [f"bulk-{next(_numbers):041}" for _ in range(rows)], bodies)
        seconds = time.perf_counter() - began
        await conn.close()
        return Round(batches * rows, seconds)


@asynccontextmanager
async def bare_postgres(home: Path) -> AsyncIterator[BarePostgres]:
    """The server for the block, under `home`."""
    async with run_postgres(home) as postgres:
        conn = await asyncpg.connect(postgres.address.url)
        await conn.execute(TABLE)
        version = str(await conn.fetchval("show server_version"))
        await conn.close()
        yield BarePostgres(postgres.address.url, version)
