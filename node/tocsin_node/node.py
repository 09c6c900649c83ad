"""The node put together: one frozen record of its collaborators, and the one place where they are made.

The server, the command line and the tests all use `open_node`. What is opened later is closed earlier.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web

from tocsin_federation.identity import Identity
from tocsin_federation.keys import public_of
from tocsin_federation.request_auth import keyid_of
from tocsin_node.actor import NODE as NODE_ITSELF
from tocsin_node.actor import acting_as
from tocsin_node.continuity import Continuity
from tocsin_node.data_keys import load_data_keys
from tocsin_node.health import Health, database_check, disk_check, identity_check, leader_check, utc_now
from tocsin_node.identity_files import PrivateKeys, load_identity, newest_first
from tocsin_node.key_lock import locked_at_rest
from tocsin_node.links.peer_client import PeerClient
from tocsin_node.passphrase import Passphrase
from tocsin_node.rotation import end_cut_off
from tocsin_node.secrets import TOKEN_FILE, read_secret_file
from tocsin_node.services.acknowledging import Acknowledging
from tocsin_node.services.alarms import Alarms, open_alarms
from tocsin_node.services.auditing import Auditing
from tocsin_node.services.circles import Circles
from tocsin_node.services.clusters import Clusters
from tocsin_node.services.complaints import Complaints
from tocsin_node.services.duplicates import Duplicates
from tocsin_node.services.duties import Duties
from tocsin_node.services.emergencies import Emergencies
from tocsin_node.services.emergency_answering import Answering
from tocsin_node.services.erasing import Erasing
from tocsin_node.services.exchange import Exchange
from tocsin_node.services.faults import Faults
from tocsin_node.services.finding import Finding
from tocsin_node.services.giving import Giving
from tocsin_node.services.gossip import Gossip
from tocsin_node.services.heads import Heads
from tocsin_node.services.heartbeat import Heartbeat, heartbeat_of
from tocsin_node.services.intake import Intake
from tocsin_node.services.intake_calls import CallLimits
from tocsin_node.services.intake_onward import OnwardDoor
from tocsin_node.services.late_notes import LateNotes
from tocsin_node.services.ledger import Ledger
from tocsin_node.services.ops import Ops
from tocsin_node.services.organisation import organisation_of
from tocsin_node.services.ownership import Ownership
from tocsin_node.services.passing_on import PassingOn
from tocsin_node.services.peer_policy import PeerPolicies
from tocsin_node.services.peering import Peering
from tocsin_node.services.proving import Proving
from tocsin_node.services.recalling import Recalling
from tocsin_node.services.receipting import Receipting
from tocsin_node.services.reconciling import Reconciling
from tocsin_node.services.redactions import Redactions
from tocsin_node.services.regaining import Regaining
from tocsin_node.services.remarks import Remarks
from tocsin_node.services.reporting import Reporting
from tocsin_node.services.republishing import Republishing
from tocsin_node.services.self_check import SelfCheck
from tocsin_node.services.silencing import Silences
from tocsin_node.services.taking import Taking
from tocsin_node.services.tokens import ADMIN, Tokens
from tocsin_node.services.trust import Trusting
from tocsin_node.services.witnessing import Witnessing
from tocsin_node.settings.address import LOOPBACK
from tocsin_node.settings.record import Settings
from tocsin_node.storage.database import bring_up_to_date, open_database
from tocsin_node.storage.leader import Leader
from tocsin_node.storage.pool import Pool, open_pool
from tocsin_schema.stix import node_identity


@dataclass(frozen=True, slots=True)
class Node:
    """A node that is open for work. `now`: the clock (aware UTC); `rng`: n random bytes.

    `stopping` is set when the node is asked to stop: whoever holds an answer back lets it go then.
    """

    settings: Settings
    identity: Identity
    keys: PrivateKeys = field(repr=False)
    pool: Pool
    leader: Leader
    tokens: Tokens
    auditing: Auditing
    health: Health
    producer: Mapping[str, Any]
    ledger: Ledger
    peering: Peering
    policies: PeerPolicies
    ownership: Ownership
    reporting: Reporting
    republishing: Republishing
    remarks: Remarks
    emergencies: Emergencies
    answering: Answering
    exchange: Exchange
    circles: Circles
    acknowledging: Acknowledging
    receipting: Receipting
    recalling: Recalling
    erasing: Erasing
    proving: Proving
    passing_on: PassingOn
    complaints: Complaints
    heads: Heads
    witnessing: Witnessing
    gossip: Gossip
    giving: Giving
    reconciling: Reconciling
    self_check: SelfCheck
    trusting: Trusting
    alarms: Alarms
    silences: Silences
    ops: Ops
    heartbeat: Heartbeat | None
    duties: Duties
    finding: Finding
    duplicates: Duplicates
    clusters: Clusters
    now: Callable[[], datetime]
    rng: Callable[[int], bytes]
    stopping: asyncio.Event


NODE = web.AppKey("node", Node)


@asynccontextmanager
async def open_node(
    settings: Settings,
    *,
    passphrase: Passphrase | None = None,
    now: Callable[[], datetime] = utc_now,
    rng: Callable[[int], bytes] = os.urandom,
) -> AsyncIterator[Node]:
    """Open the node of `settings` for the block: its database, its pen, its services and their tasks.

    `passphrase`: what its private keys are locked by, if they are.

    Raises: NodeRunning when another process runs it; StorageError, SettingsError, SecretError,
    NotInitialised.
    """
    async with AsyncExitStack() as stack:
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
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
            )
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
        alarms = await stack.enter_async_context(open_alarms(settings, pool, now=now))
        peering = Peering(
            pool,
            client,
            identity,
            http_private=keys.http,
            url=identity.statement.urls[0],
            now=now,
            rng=rng,
            silent_s=settings.federation.peer_silent_s,
        )
        await peering.load()
        policies = PeerPolicies(pool, peering, alerts_per_day=settings.alerts.peer_budget_per_day)
        log = identity.statement.log
        ledger = Ledger(
            leader,
            alarms,
            node_id=identity.node_id,
            origin=log.origin,
            gen=log.gen,
            log_private=keys.log,
            data_keys=data_keys,
        )
        await ledger.load()
        org = identity.statement.org.name
        ownership = Ownership(identity.node_id, peering.known)
        redactions = Redactions(pool, node_id=identity.node_id)
        await redactions.load()
        erasing = Erasing(pool, data_keys, alarms.notices, node_id=identity.node_id)
        obeys = settings.federation.recall == "obey"
        circles = Circles(pool, ledger, peering, node_id=identity.node_id, now=now, rng=rng)
        reporting = Reporting(
            pool,
            ledger,
            peering,
            alarms,
            ownership,
            redactions,
            erasing,
            circles,
            node_id=identity.node_id,
            org=org,
            now=now,
            rng=rng,
        )
        republishing = Republishing(pool, ledger, reporting, peering, node_id=identity.node_id, gen=log.gen)
        duties = Duties(
            pool,
            alarms,
            organisation_of(settings, org),
            ownership,
            node_id=identity.node_id,
            history_days=settings.alerts.history_days,
            now=now,
        )
        remarks = Remarks(pool, ledger, peering, node_id=identity.node_id, now=now, rng=rng)
        trusting = Trusting(pool, peering, identity, settings.federation, now)
        await trusting.load()
        door = OnwardDoor(peering, ownership, identity)
        faults = Faults(pool, peering)
        health.add("judging", faults.health)
        intake = Intake(
            pool,
            alarms,
            ownership,
            trusting,
            door,
            faults,
            node_id=identity.node_id,
            enc_private=lambda: newest_first(identity, keys, now()),
            data_keys=data_keys,
            alert_budget=policies.alerts_per_day,
            calls=CallLimits(settings.emergency.peer_per_day, settings.emergency.peer_drills_per_day),
            erasing=erasing,
            obeys=obeys,
            now=now,
        )
        heads = Heads(pool, peering, ledger, identity)
        witnessing = Witnessing(pool, peering, heads, client, identity, witness_private=keys.witness, now=now)
        gossip = Gossip(pool, peering, heads, client, identity, trusting, rng=rng)
        continuity = Continuity(identity.node_id, settings.path("log-size"))
        stack.callback(continuity.close)
        self_check = SelfCheck(
            pool, peering, ledger, heads, gossip, client, identity, continuity,
            restore_check_s=settings.federation.restore_check_s,
        )  # fmt: skip
        regaining = Regaining(
            pool,
            peering,
            ledger,
            client,
            data_keys,
            identity,
            enc_private=lambda: newest_first(identity, keys, now()),
            now=now,
        )
        self_check.on_lost = regaining.wake
        self_check.begin()
        giving = Giving(pool, peering, data_keys, settings.federation, now=now)
        taking = Taking(pool, peering, heads, client, intake, settings.federation, now=now)
        exchange = Exchange(
            pool, peering, client, intake, witnessing, taking, identity.chain, settings.federation
        )
        acknowledging = Acknowledging(pool, ledger, peering, node_id=identity.node_id, now=now, rng=rng)
        proving = Proving(pool, peering, identity, data_keys, heads.trees, trusting)
        passing_on = PassingOn(
            pool, ledger, peering, reporting, proving, node_id=identity.node_id, now=now, rng=rng
        )
        complaints = Complaints(
            pool, ledger, peering, proving, data_keys, node_id=identity.node_id, now=now, rng=rng
        )
        receipting = Receipting(pool, ledger, peering, node_id=identity.node_id, now=now, rng=rng)
        recalling = Recalling(
            pool, ledger, peering, node_id=identity.node_id, now=now, rng=rng, erasing=erasing, obeys=obeys
        )
        producer = node_identity(org, identity.node_id)
        emergencies = Emergencies(
            pool,
            ledger,
            peering,
            alarms,
            remarks,
            node_id=identity.node_id,
            producer=producer,
            now=now,
            rng=rng,
        )
        answering = Answering(pool, ledger, peering, node_id=identity.node_id, now=now, rng=rng)
        clusters = Clusters(pool, alarms, settings.alerts, peering.name_of, org=org)
        finding = Finding(pool)
        await finding.look()
        ops = Ops(pool, alarms.notices, (*alarms.ops_channels, *settings.ops.channels))
        heartbeat = heartbeat_of(settings, pool, alarms.able)
        stopping = asyncio.Event()
        node = Node(
            settings=settings,
            identity=identity,
            keys=keys,
            pool=pool,
            leader=leader,
            tokens=tokens,
            auditing=auditing,
            health=health,
            producer=producer,
            ledger=ledger,
            peering=peering,
            policies=policies,
            ownership=ownership,
            reporting=reporting,
            republishing=republishing,
            remarks=remarks,
            emergencies=emergencies,
            answering=answering,
            exchange=exchange,
            circles=circles,
            acknowledging=acknowledging,
            proving=proving,
            passing_on=passing_on,
            complaints=complaints,
            receipting=receipting,
            recalling=recalling,
            erasing=erasing,
            heads=heads,
            witnessing=witnessing,
            gossip=gossip,
            giving=giving,
            reconciling=Reconciling(
                pool,
                peering,
                ledger,
                heads,
                gossip,
                client,
                taking,
                data_keys,
                identity=identity,
                now=now,
            ),
            self_check=self_check,
            trusting=trusting,
            alarms=alarms,
            silences=Silences(pool, alarms),
            ops=ops,
            heartbeat=heartbeat,
            duties=duties,
            finding=finding,
            duplicates=Duplicates(pool, node_id=identity.node_id, name_of=peering.name_of),
            clusters=clusters,
            now=now,
            rng=rng,
            stopping=stopping,
        )
        _wire(node, intake)
        _watch(node)
        async with _working(ledger, *_tasks(node), regaining.run(), _let_go(stopping, ledger)):
            yield node


def _wire(node: Node, intake: Intake) -> None:
    """Say who is woken by what."""
    intake.on_circles = _both(node.exchange.sweep, node.circles.wake)
    intake.on_passed = node.complaints.wake
    intake.on_outcomes = node.recalling.on_done = node.receipting.wake
    intake.on_called = node.emergencies.on_answered = node.answering.wake
    intake.on_stored = _both(node.clusters.wake, node.passing_on.wake)
    intake.obey = node.recalling.obey_all
    node.circles.on_learned = intake.learn_circles
    node.recalling.on_erased = node.alarms.wake
    node.reporting.narrowing = node.recalling.narrowing
    node.reporting.on_filed = _filed(
        node.recalling.wake,
        node.duties.filed,
        node.emergencies.filed if node.settings.emergency.grade_i else None,
    )
    node.alarms.on_acknowledged = _both(node.acknowledging.wake, node.answering.wake)
    node.alarms.on_room_answer = node.emergencies.answer_in_room
    node.alarms.on_sent = _both(node.answering.wake, node.receipting.wake)
    node.answering.before = node.emergencies.catch_up
    node.ledger.on_stored = node.clusters.wake
    node.witnessing.ready = node.ledger.signable
    node.witnessing.on_kept = node.trusting.forget
    node.witnessing.on_cosigned = node.ledger.stir
    node.self_check.on_longer = node.witnessing.wake


def _watch(node: Node) -> None:
    """Say what `/healthz` looks at, beside what is watched since the start."""
    node.health.add("log", node.self_check.health)
    node.health.add("ended-log", node.republishing.health)
    node.health.add("circles", node.circles.health)
    node.health.add("alerts", node.alarms.health)
    node.health.add("emergencies", node.emergencies.health)
    node.health.add("duties", node.duties.health)
    node.health.add("search", node.finding.health)
    node.health.add("peers", node.peering.health)
    node.health.add("witnesses", node.trusting.health)
    node.health.add("recalls", node.recalling.health)
    node.health.add("recalls-of-peers", node.recalling.asked)
    node.health.add("erasing", node.erasing.health)
    node.health.add("passing-on", node.passing_on.health)
    node.health.add("complaints", node.complaints.health)
    if node.heartbeat is not None:
        node.health.add("heartbeat", node.heartbeat.check)


def _tasks(node: Node) -> list[Coroutine[Any, Any, None]]:
    """What works for as long as the node is open."""
    beating = [] if node.heartbeat is None else [node.heartbeat.run()]
    return [
        node.auditing.run(),
        node.exchange.run(),
        node.self_check.run(),
        node.witnessing.run(),
        node.acknowledging.run(),
        node.circles.run(),
        node.receipting.run(),
        node.recalling.run(),
        node.answering.run(),
        node.passing_on.run(),
        node.complaints.run(),
        node.alarms.run(),
        node.clusters.run(),
        node.finding.run(),
        *beating,
    ]


def _both(first: Callable[[], None], second: Callable[[], None]) -> Callable[[], None]:
    def wake() -> None:
        first()
        second()

    return wake


def _filed(
    wake: Callable[[], None],
    duties: Callable[[str], Awaitable[None]],
    call: Callable[[str], Awaitable[None]] | None,
) -> Callable[[str], Awaitable[None]]:
    """What follows on a report of ours that was filed."""

    async def filed(report_id: str) -> None:
        wake()
        if call is not None:
            with acting_as(NODE_ITSELF):  # by rule, not by whoever filed
                await call(report_id)
        await duties(report_id)

    return filed


@asynccontextmanager
async def _working(ledger: Ledger, *services: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """The node's tasks, for the block: the ledger outlives the others, so that what they began is written.

    A task that fails takes the node down with it: a process that starts anew is better than one that half works.
    """
    async with asyncio.TaskGroup() as group:
        writer = group.create_task(ledger.run(), name="ledger")
        tasks = [group.create_task(service) for service in services]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await ledger.drain()
            writer.cancel()


async def _let_go(stopping: asyncio.Event, ledger: Ledger) -> None:
    await stopping.wait()
    ledger.let_go()


async def _admit_first_token(settings: Settings, tokens: Tokens) -> None:
    """Accept the token that `tocsin init` left in the node's directory, unless it was revoked since."""
    file = settings.dir / TOKEN_FILE
    if file.exists():
        await tokens.admit("init", (ADMIN,), read_secret_file(file).decode("ascii", errors="replace"))
