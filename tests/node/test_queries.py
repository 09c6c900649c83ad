"""Every query that storage holds can be prepared against the migrated database: a misspelt column fails here."""

import importlib
import pkgutil
from importlib.util import find_spec

import pytest

from tocsin_node import storage

VERBS = ("select", "insert", "update", "delete", "with")
QUERIES = [
    pytest.param(text, id=f"{info.name}.{name}")
    for info in pkgutil.iter_modules(storage.__path__)
    if info.name != "migrations" and (info.name != "matrix_crypto" or find_spec("olm"))
    for name, text in sorted(vars(importlib.import_module(f"{storage.__name__}.{info.name}")).items())
    if name.isupper()
    and not name.startswith("_")
    and isinstance(text, str)
    and text.strip().lower().startswith(VERBS)
]


def test_there_are_queries() -> None:
    assert len(QUERIES) > 40


@pytest.fixture(scope="module")
async def prepared(cluster):
    async with cluster.database() as address:
        from tocsin_node.storage.pool import connect

        conn = await connect(address)
        yield conn
        await conn.close()


@pytest.mark.parametrize("query", QUERIES)
async def test_every_query_can_be_prepared(prepared, query) -> None:
    await prepared.prepare(query)
