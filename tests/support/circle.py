"""Several nodes in this process, each a peer of all others, words compared."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.support.node import ServedNode, Values, open_here, settings_on
from tests.support.postgres import Cluster
from tests.support.spoken import spoken_entries
from tests.support.villain import get, post, until

from tocsin_node.settings.record import Settings

QUICK: Values = {
    "federation": {
        "backoff_max_s": 0.3,
        "long_poll_s": 1.0,
        "read_timeout_s": 20.0,
        "connect_timeout_s": 10.0,
    }
}


async def make_peers(nodes: dict[str, ServedNode]) -> None:
    """Introduce everybody to everybody, up to TLP:AMBER."""
    names = list(nodes)
    for n, one in enumerate(names):
        for other in names[n + 1 :]:
            await introduce(one, nodes[one], other, nodes[other])


async def introduce(one: str, inviter: ServedNode, other: str, guest: ServedNode) -> None:
    """Make two nodes peers; each calls the other by its name."""
    invite = await post(inviter, "/v1/peers/invites", {"name": other})
    joined = await post(guest, "/v1/peers/join", {"invite": invite["invite"], "name": one})
    words = " ".join(joined["sas"])
    for node, name in ((inviter, other), (guest, one)):
        await post(node, f"/v1/peers/{name}/approve", {"sas": words})


@asynccontextmanager
async def circle(
    cluster: Cluster,
    directory: Path,
    names: Sequence[str],
    values: Values = QUICK,
    *,
    pairs: Sequence[tuple[str, str]] | None = None,
    **options: Any,
) -> AsyncIterator[dict[str, ServedNode]]:
    """The nodes of those names, for the block, all peers of all, or those of `pairs`. `options` go to `open_node`."""
    async with AsyncExitStack() as stack:
        nodes = {}
        for name in names:
            database = await stack.enter_async_context(cluster.database())
            settings = settings_on(directory / name, database, values, org=name)
            nodes[name] = await stack.enter_async_context(open_here(settings, **options))
        if pairs is None:
            await make_peers(nodes)
        for one, other in pairs or ():
            await introduce(one, nodes[one], other, nodes[other])
        yield nodes


async def filed(node: ServedNode, title: str, **fields: Any) -> dict[str, Any]:
    """File a report to all peers."""
    headers = {"Content-Type": "application/stix+json"}
    async with node.client.post("/v1/reports", data=node.bundle(title, **fields), headers=headers) as answer:
        said = await answer.json()
        assert answer.status == 201, said
        return dict(said)


async def spoken(node: ServedNode) -> int:
    """How many entries the node's log holds, but for receipts, which it writes by itself."""
    async with node.node.pool.acquire() as conn:
        return await spoken_entries(conn)


async def seen(node: ServedNode, report_id: str, **facts: Any) -> dict[str, Any]:
    """The report at a node, once it is there with these facts."""

    async def there() -> dict[str, Any] | None:
        async with node.client.get(f"/v1/reports/{report_id}") as answer:
            said = await answer.json()
        well = answer.status == 200 and all(said[key] == value for key, value in facts.items())
        return said if well else None

    return dict(await until(there))


__all__ = ["QUICK", "Settings", "circle", "filed", "get", "introduce", "make_peers", "seen", "spoken"]
