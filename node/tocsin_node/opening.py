"""Opening a node: the one place where its services are made.

The server, the command line and the tests all use `open_node`. What is opened later is closed earlier.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import fields
from datetime import datetime
from typing import Any

from tocsin_node.continuity import Continuity
from tocsin_node.ground import open_ground
from tocsin_node.health import utc_now
from tocsin_node.node import Around, Base, Between, Ground, Node, Own
from tocsin_node.passphrase import Passphrase
from tocsin_node.services.acknowledging import Acknowledging
from tocsin_node.services.alarms import Alarms, open_alarms
from tocsin_node.services.circles import Circles
from tocsin_node.services.clusters import Clusters
from tocsin_node.services.comparing import Comparing
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
from tocsin_node.services.heartbeat import heartbeat_of
from tocsin_node.services.importing import Importing
from tocsin_node.services.intake import Intake
from tocsin_node.services.intake_calls import CallLimits
from tocsin_node.services.intake_onward import OnwardDoor
from tocsin_node.services.joining import Joining
from tocsin_node.services.ledger import Ledger
from tocsin_node.services.ops import Ops
from tocsin_node.services.organisation import organisation_of
from tocsin_node.services.ownership import Ownership
from tocsin_node.services.passing_on import PassingOn
from tocsin_node.services.peer_policy import PeerPolicies
from tocsin_node.services.peer_watch import PeerWatch
from tocsin_node.services.peering import Peering
from tocsin_node.services.proving import Proving
from tocsin_node.services.recalling import Recalling
from tocsin_node.services.receipting import Receipting
from tocsin_node.services.reconciling import Reconciling
from tocsin_node.services.redactions import Redactions
from tocsin_node.services.regaining import Regaining
from tocsin_node.services.releasing import Releasing
from tocsin_node.services.remarks import Remarks
from tocsin_node.services.report_entries import ReportEntries
from tocsin_node.services.reporting import Reporting
from tocsin_node.services.republishing import Republishing
from tocsin_node.services.returned import Returned
from tocsin_node.services.screening import Screening
from tocsin_node.services.sealing import Sealing
from tocsin_node.services.self_check import SelfCheck
from tocsin_node.services.silencing import Silences
from tocsin_node.services.taking import Taking
from tocsin_node.services.trust import Trusting
from tocsin_node.services.witnessing import Witnessing
from tocsin_node.settings.record import Settings
from tocsin_node.wiring import tasks, watch, wire


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
        ground = await open_ground(stack, settings, passphrase, now, rng)
        alarms = await stack.enter_async_context(open_alarms(settings, ground.pool, now=now))
        continuity = Continuity(ground.identity.node_id, settings.path("log-size"))
        stack.callback(continuity.close)
        base = await _base(ground, alarms)
        own = await _own(ground, base)
        between = _between(ground, base, own, continuity)
        around = await _around(ground, base)
        node = Node(**_each(ground), **_each(base), **_each(own), **_each(between), **_each(around))
        wire(node)
        watch(node)
        node.self_check.begin()
        async with _working(node):
            yield node


async def _base(on: Ground, alarms: Alarms) -> Base:
    me, log, now = on.identity.node_id, on.identity.statement.log, on.now
    peering = Peering(on.pool, on.identity, now=now)
    await peering.load()
    ledger = Ledger(
        on.leader,
        alarms,
        node_id=me,
        origin=log.origin,
        gen=log.gen,
        log_private=on.keys.log,
        data_keys=on.data_keys,
    )
    await ledger.load()
    trusting = Trusting(on.pool, peering, on.identity, on.settings.federation, now)
    await trusting.load()
    return Base(
        alarms=alarms,
        peering=peering,
        policies=PeerPolicies(on.pool, peering, alerts_per_day=on.settings.alerts.peer_budget_per_day),
        ledger=ledger,
        ownership=Ownership(me, peering.known),
        sealing=Sealing(peering, node_id=me, now=now, rng=on.rng),
        erasing=Erasing(on.pool, on.data_keys, alarms.notices, node_id=me),
        trusting=trusting,
        heads=Heads(on.pool, peering, ledger, on.identity),
    )


async def _own(on: Ground, base: Base) -> Own:
    pool, ledger, peering, ownership = on.pool, base.ledger, base.peering, base.ownership
    me, org, now, rng = on.identity.node_id, on.identity.statement.org.name, on.now, on.rng
    obeys = on.settings.federation.recall == "obey"
    redactions = Redactions(pool, node_id=me)
    await redactions.load()
    circles = Circles(pool, ledger, peering, base.sealing, node_id=me, now=now)
    recalling = Recalling(
        pool, ledger, peering, base.sealing, base.erasing, node_id=me, obeys=obeys, now=now, rng=rng
    )
    screening = Screening(pool)
    releasing = Releasing(pool, peering, ownership, node_id=me)
    entries = ReportEntries(pool, peering, base.alarms, base.sealing, recalling, org=org)
    reporting = Reporting(
        pool, ledger, peering, ownership, redactions, base.erasing, recalling, circles, screening, releasing, entries,
        node_id=me, org=org, now=now,
    )  # fmt: skip
    importing = Importing(
        pool, ledger, peering, ownership, base.erasing, recalling, screening, releasing, entries,
        node_id=me, org=org,
    )  # fmt: skip
    remarks = Remarks(pool, ledger, peering, base.sealing, node_id=me)
    emergencies = Emergencies(
        pool, ledger, peering, base.alarms, remarks, base.sealing,
        node_id=me, producer=on.producer, now=now, rng=rng,
    )  # fmt: skip
    base.peering.on_disputed = emergencies.stand_otherwise
    return Own(
        circles=circles,
        recalling=recalling,
        redactions=redactions,
        screening=screening,
        releasing=releasing,
        entries=entries,
        reporting=reporting,
        importing=importing,
        republishing=Republishing(pool, ledger, peering, reporting, entries, identity=on.identity),
        remarks=remarks,
        emergencies=emergencies,
        answering=Answering(pool, ledger, peering, base.sealing, node_id=me),
        acknowledging=Acknowledging(pool, ledger, peering, base.sealing, node_id=me),
        receipting=Receipting(pool, ledger, peering, base.sealing, node_id=me),
    )


def _between(on: Ground, base: Base, own: Own, continuity: Continuity) -> Between:
    pool, ledger, peering, client, heads = on.pool, base.ledger, base.peering, on.client, base.heads
    identity, me, settings, now, rng = on.identity, on.identity.node_id, on.settings, on.now, on.rng
    faults = Faults(pool, peering)
    intake = Intake(
        pool,
        base.alarms,
        base.ownership,
        base.trusting,
        OnwardDoor(peering, base.ownership, identity),
        faults,
        node_id=me,
        enc_private=on.enc_private,
        data_keys=on.data_keys,
        alert_budget=base.policies.alerts_per_day,
        calls=CallLimits(settings.emergency.peer_per_day, settings.emergency.peer_drills_per_day),
        erasing=base.erasing,
        obeys=settings.federation.recall == "obey",
        now=now,
    )
    witnessing = Witnessing(pool, peering, heads, client, identity, witness_private=on.keys.witness, now=now)
    gossip = Gossip(pool, peering, heads, client, identity, base.trusting, rng=rng)
    taking = Taking(pool, peering, heads, client, intake, settings.federation, now=now)
    proving = Proving(pool, peering, identity, on.data_keys, heads.trees, base.trusting)
    reconciling = Reconciling(
        pool, peering, ledger, heads, gossip, client, taking, on.data_keys, identity=identity, now=now
    )
    gen = identity.statement.log.gen
    returned = Returned(pool, peering, on.data_keys, node_id=me, gen=gen, enc_private=on.enc_private, now=now)
    returned.on_circle = intake.learn
    return Between(
        joining=Joining(
            pool, peering, client, identity,
            http_private=on.keys.http, url=identity.statement.urls[0], now=now, rng=rng,
        ),
        faults=faults,
        intake=intake,
        giving=Giving(pool, peering, on.data_keys, settings.federation, now=now),
        exchange=Exchange(
            pool, peering, client, intake, witnessing, taking, identity.chain, settings.federation
        ),
        proving=proving,
        passing_on=PassingOn(
            pool, ledger, peering, own.reporting, proving, own.screening, base.sealing, own.recalling, node_id=me
        ),
        complaints=Complaints(pool, ledger, peering, proving, on.data_keys, base.sealing, node_id=me),
        witnessing=witnessing,
        gossip=gossip,
        reconciling=reconciling,
        comparing=Comparing(pool, reconciling, peering, on.auditing),
        self_check=SelfCheck(
            pool, peering, ledger, heads, gossip, client, identity, continuity,
            restore_check_s=settings.federation.restore_check_s,
        ),
        regaining=Regaining(pool, peering, ledger, client, returned, identity),
    )  # fmt: skip


async def _around(on: Ground, base: Base) -> Around:
    pool, alarms, settings, name_of = on.pool, base.alarms, on.settings, base.peering.name_of
    me, org = on.identity.node_id, on.identity.statement.org.name
    finding = Finding(pool)
    await finding.look()
    return Around(
        duties=Duties(
            pool,
            alarms,
            organisation_of(settings, org),
            base.ownership,
            node_id=me,
            history_days=settings.alerts.history_days,
            now=on.now,
        ),
        finding=finding,
        duplicates=Duplicates(pool, node_id=me, name_of=name_of),
        clusters=Clusters(pool, alarms, settings.alerts, name_of, org=org),
        silences=Silences(pool, alarms),
        peer_watch=PeerWatch(pool, base.peering, now=on.now, silent_s=settings.federation.peer_silent_s),
        ops=Ops(pool, alarms.notices, (*alarms.ops_channels, *settings.ops.channels)),
        heartbeat=heartbeat_of(settings, pool, alarms.able),
    )


def _each(part: Ground | Base | Own | Between | Around) -> dict[str, Any]:
    return {field.name: getattr(part, field.name) for field in fields(part)}


@asynccontextmanager
async def _working(node: Node) -> AsyncIterator[None]:
    """The node's tasks, for the block: the ledger outlives the others, so that what they began is written.

    A task that fails takes the node down with it: a process that starts anew is better than one that half works.
    """
    async with asyncio.TaskGroup() as group:
        writer = group.create_task(node.ledger.run(), name="ledger")
        working = [group.create_task(task) for task in (*tasks(node), _let_go(node))]
        try:
            yield
        finally:
            for task in working:
                task.cancel()
            await asyncio.wait(working)
            await node.ledger.drain()
            writer.cancel()


async def _let_go(node: Node) -> None:
    await node.stopping.wait()
    node.ledger.let_go()
