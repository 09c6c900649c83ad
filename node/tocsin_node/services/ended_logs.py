"""What a peer's void means for what we hold: which of its entries it disputes (P-151)."""

import asyncio

from tocsin_federation.identity import EndedLog, Identity, disputed_from, ended_logs
from tocsin_node.storage import remote
from tocsin_node.storage.pool import Connection
from tocsin_node.storage.remote import RemoteLog


async def dispute(conn: Connection, identity: Identity) -> None:
    """Note, in the transaction that takes the statements, from where on the ended logs of a peer are disputed.

    Of a log that we hold up to the last good head or beyond: all after it. Of one whose beginning is not the one that
    the peer calls good, or that we hold less of, everything; in the second case until the rest is fetched.
    """
    for ended in ended_logs(identity):
        log = await remote.standing(conn, identity.node_id, ended.key.gen)
        if log is not None and not log.ended and (start := await ended_from(conn, ended, log)) is not None:
            await remote.dispute(conn, log.origin, log.gen, start)


async def ended_from(conn: Connection, ended: EndedLog, log: RemoteLog) -> int | None:
    """From where on `log`, as far as it is held, is disputed; None where all of it is good."""
    if ended.void is None:
        return None
    return await asyncio.to_thread(
        disputed_from, ended.void, await remote.leaves(conn, log, 0, ended.void.size)
    )
