"""What a node stands on before any service of it is made: its keys, its database, its pen, its way to peers."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import datetime
from urllib.parse import urlsplit

import aiohttp

from tocsin_federation.keys import public_of
from tocsin_federation.request_auth import keyid_of
from tocsin_node.data_keys import load_data_keys
from tocsin_node.health import Health, database_check, disk_check, identity_check, leader_check
from tocsin_node.identity_files import load_identity
from tocsin_node.key_lock import locked_at_rest
from tocsin_node.links.peer_client import PeerClient
from tocsin_node.node import Ground
from tocsin_node.passphrase import Passphrase
from tocsin_node.rotation import end_cut_off
from tocsin_node.secrets import TOKEN_FILE, read_secret_file
from tocsin_node.services.auditing import Auditing
from tocsin_node.services.late_notes import LateNotes
from tocsin_node.services.tokens import ADMIN, Tokens
from tocsin_node.settings.address import LOOPBACK
from tocsin_node.settings.record import Settings
from tocsin_node.storage.database import bring_up_to_date, open_database
from tocsin_node.storage.leader import Leader
from tocsin_node.storage.pool import open_pool


async def open_ground(
    stack: AsyncExitStack,
    settings: Settings,
    passphrase: Passphrase | None,
    now: Callable[[], datetime],
    rng: Callable[[int], bytes],
) -> Ground:
    """Open it for as long as `stack` is. Raises: as `open_node`."""
    identity, keys = load_identity(settings.dir, passphrase)
    locked = passphrase if locked_at_rest(settings.dir) else None
    data_keys = load_data_keys(settings.dir, rng, locked)
    database = await stack.enter_async_context(open_database(settings))
    leader = Leader(database.address)
    await leader.open()  # before the database is touched: one process a database
    stack.push_async_callback(leader.close)
    end_cut_off(settings.dir, passphrase)
    await bring_up_to_date(settings, database)
    pool = await stack.enter_async_context(open_pool(settings, database.address))
    late = LateNotes(pool, settings.dir, now=now)
    await late.open()
    auditing = Auditing(pool, leader, identity, late, log_private=keys.log, directory=settings.dir)
    await auditing.open()
    stack.push_async_callback(auditing.close)
    tokens = Tokens(pool, rng=rng)
    await _admit_first_token(settings, tokens)
    health = Health(now=now)
    health.add("database", database_check(pool, database.postgres))
    health.add("log-writer", leader_check(leader))
    health.add("identity", identity_check(identity, now))
    health.add("audit", auditing.health)
    health.add("audit-late", late.health)
    if database.directory is not None:
        health.add("disk", disk_check(database.directory))
    session = await stack.enter_async_context(
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar())
    )
    client = PeerClient(
        session,
        keyid=keyid_of(identity.node_id, public_of(keys.http)),
        http_private=keys.http,
        now=now,
        rng=rng,
        settings=settings.federation,
        local=urlsplit(identity.statement.urls[0]).hostname in LOOPBACK,
    )
    return Ground(
        settings=settings,
        identity=identity,
        keys=keys,
        data_keys=data_keys,
        pool=pool,
        leader=leader,
        auditing=auditing,
        tokens=tokens,
        health=health,
        client=client,
        now=now,
        rng=rng,
        stopping=asyncio.Event(),
    )


async def _admit_first_token(settings: Settings, tokens: Tokens) -> None:
    """Accept the token that `tocsin init` left in the node's directory, unless it was revoked since."""
    file = settings.dir / TOKEN_FILE
    if file.exists():
        await tokens.admit("init", (ADMIN,), read_secret_file(file).decode("ascii", errors="replace"))
