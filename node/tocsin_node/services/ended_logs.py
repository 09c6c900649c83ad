"""What a peer's void means for what we hold: which of its entries it disputes (P-151)."""

import asyncio

from tocsin_federation.identity import EndedLog, Identity, disputed_from, ended_logs
from tocsin_node.storage import remote
from tocsin_node.storage.pool import Connection
from tocsin_node.storage.remote import RemoteLog


async def dispute(conn: Connection, identity: Identity) -> None:
    """Note, in the transaction that takes the statements, from where on the ended logs of a peer are disputed.

    Of a log that we hold up to the last good head or beyond: all after it, or everything when its beginning is not the
    one that the peer calls good. Of one that we hold less of nothing is known before the rest was fetched.
    """
    for ended in ended_logs(identity):
        log = await remote.standing(conn, identity.node_id, ended.key.gen)
        start = None if log is None else await ended_from(conn, ended, log)
        if log is not None and start is not None:
            await remote.dispute(conn, log.origin, log.gen, start)


async def ended_from(conn: Connection, ended: EndedLog, log: RemoteLog) -> int | None:
    """From where on `log` is disputed; None where all of it is good, that is written already, or nothing is known yet.

    However the log came to be as long as we hold it: only hashes that give the root in the void are good.
    """
    void = ended.void
    if void is None or log.disputed_from is not None or log.size < void.size:
        return None
    return await asyncio.to_thread(disputed_from, void, await remote.leaves(conn, log, 0, void.size))
