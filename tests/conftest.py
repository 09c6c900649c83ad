"""Fixtures for every ring: the session's cluster, a database a test, a pool on it."""

import gc
import signal
from collections.abc import AsyncIterator, Iterator

import pytest
from hypothesis import HealthCheck, settings
from tests.support.postgres import Cluster, run_cluster

from tocsin_node.settings.record import Settings
from tocsin_node.settings.server import NodeSettings
from tocsin_node.storage.pool import Address, Connection, Pool, open_pool

# A machine that stands still for a moment is no finding; what takes too long is for tests/bench. What is drawn is the
# same in each run, so that a change is judged by what it does; `--hypothesis-profile=search` draws anew.
settings.register_profile(
    "tocsin", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.register_profile("search", settings.get_profile("tocsin"), derandomize=False, print_blob=True)
settings.load_profile("tocsin")

# What ignores a signal hands that down to all that it starts; a node or a demonstration then rightly goes on when a test
# asks it to stop. A run in the background (`make test &`, nohup) still ignores it, and its children do not.
for _sign in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(_sign) is signal.SIG_IGN:
        signal.signal(_sign, lambda *_: None)


def pytest_collection_finish() -> None:
    """Set aside what stays to the end: a million objects, over which the collector would walk for seconds at any moment."""
    set_aside()


@pytest.fixture(scope="module", autouse=True)
def _nothing_left_to_collect() -> Iterator[None]:
    """What a module leaves is collected at its end, and not within some later test that has a time limit."""
    yield
    set_aside()


def set_aside() -> None:
    """Collect what can be; the collector walks over the rest no more."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
async def cluster() -> AsyncIterator[Cluster]:
    """A PostgreSQL in memory, not durable."""
    async with run_cluster() as running:
        yield running


@pytest.fixture
async def database(cluster: Cluster) -> AsyncIterator[Address]:
    """A fresh, migrated database; `database.url` fits into settings."""
    async with cluster.database() as address:
        yield address


@pytest.fixture
async def empty_database(cluster: Cluster) -> AsyncIterator[Address]:
    """A fresh database without any table."""
    async with cluster.database(template="template0") as address:
        yield address


@pytest.fixture
async def pool(database: Address, tmp_path) -> AsyncIterator[Pool]:
    """A pool on a fresh, migrated database."""
    settings = Settings(dir=tmp_path, node=NodeSettings(org="Test"))
    async with open_pool(settings, database) as opened:
        yield opened


@pytest.fixture
async def conn(pool: Pool) -> AsyncIterator[Connection]:
    """One connection to a fresh, migrated database."""
    async with pool.acquire() as taken:
        yield taken
