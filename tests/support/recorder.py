"""What a node knows: every value in its database and every file in its directory, to be searched for a text.

The search itself is the demonstration's: a text in every form in which it could lie somewhere unnoticed.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import asyncpg
from deploy.demo.wire import Search

TABLES = "select tablename from pg_tables where schemaname = 'public' order by tablename"


def found(texts: Iterable[str], streams: Iterable[bytes]) -> set[str]:
    """Which pieces of `texts` lie somewhere in `streams`, in whatever form."""
    return Search(texts).found_in(streams)


async def database_values(url: str) -> list[bytes]:
    """Every value of every table, as bytes: what a thief of the database could read without a key."""
    conn = await asyncpg.connect(url)
    try:
        values: list[bytes] = []
        for table in await conn.fetch(TABLES):
            for row in await conn.fetch(f'select * from "{table[0]}"'):
                values += [_as_bytes(value) for value in row.values() if value is not None]
        return values
    finally:
        await conn.close()


def file_contents(directory: Path) -> list[bytes]:
    """Every file below `directory`, the database's own among them (its write-ahead log too)."""
    return [path.read_bytes() for path in directory.rglob("*") if path.is_file() and not path.is_symlink()]


def _as_bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, list):
        return b"\0".join(_as_bytes(each) for each in value)
    return value.encode() if isinstance(value, str) else json.dumps(value, default=str).encode()
