"""What a peer's void means for what we hold: which of its entries it disputes (P-151)."""

import asyncio
from collections.abc import Sequence

from tocsin_federation.identity import EndedLog, Identity, disputed_from, ended_logs
from tocsin_node.storage import disputed, remote
from tocsin_node.storage.pool import Connection
from tocsin_node.storage.remote import RemoteLog


async def dispute(conn: Connection, identity: Identity) -> Sequence[str]:
    """Note, in the transaction that takes the statements, from where on the ended logs of a peer are disputed.

    Returns the emergencies for which another call stands now, or none any more.

    Of a log that we hold up to the last good head or beyond: all after it. Of one whose beginning is not the one that
    the peer calls good, or that we hold less of, everything; in the second case until the rest is fetched.
    """
    others: list[str] = []
    for ended in ended_logs(identity):
        log = await remote.standing(conn, identity.node_id, ended.key.gen)
        if log is not None and not log.ended and (start := await ended_from(conn, ended, log)) is not None:
            others += await dispute_from(conn, log, start)
    return others


async def dispute_from(conn: Connection, log: RemoteLog, start: int) -> Sequence[str]:
    """Note that what is held of `log` is disputed from `start` on, and have it looked at what was told of it.

    Returns the emergencies for which another call stands now, or none any more.
    """
    before = await disputed.stances(conn, log.origin)
    await remote.dispute(conn, log.origin, log.gen, start)
    await disputed.stir(conn, log.origin, log.gen)
    return disputed.changed(before, await disputed.stances(conn, log.origin))


async def ended_from(conn: Connection, ended: EndedLog, log: RemoteLog) -> int | None:
    """From where on `log`, as far as it is held, is disputed; None where all of it is good."""
    if ended.void is None:
        return None
    return await asyncio.to_thread(
        disputed_from, ended.void, await remote.leaves(conn, log, 0, ended.void.size)
    )
