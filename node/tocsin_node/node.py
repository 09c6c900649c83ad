"""The node put together: one frozen record of all that it consists of, in four parts. `opening.py` makes it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiohttp import web

from tocsin_federation.identity import Identity
from tocsin_federation.keys import EncPrivateKey
from tocsin_node.data_keys import DataKeys
from tocsin_node.health import Health
from tocsin_node.identity_files import PrivateKeys, newest_first
from tocsin_node.links.peer_client import PeerClient
from tocsin_node.services.acknowledging import Acknowledging
from tocsin_node.services.alarms import Alarms
from tocsin_node.services.auditing import Auditing
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
from tocsin_node.services.heartbeat import Heartbeat
from tocsin_node.services.importing import Importing
from tocsin_node.services.intake import Intake
from tocsin_node.services.joining import Joining
from tocsin_node.services.ledger import Ledger
from tocsin_node.services.ops import Ops
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
from tocsin_node.services.screening import Screening
from tocsin_node.services.sealing import Sealing
from tocsin_node.services.self_check import SelfCheck
from tocsin_node.services.silencing import Silences
from tocsin_node.services.tokens import Tokens
from tocsin_node.services.trust import Trusting
from tocsin_node.services.witnessing import Witnessing
from tocsin_node.settings.record import Settings
from tocsin_node.storage.leader import Leader
from tocsin_node.storage.pool import Pool
from tocsin_schema.stix import node_identity


@dataclass(frozen=True)
class Ground:
    """What stands below the services. `now`: the clock (aware UTC); `rng`: n random bytes.

    `stopping` is set when the node is asked to stop: whoever holds an answer back lets it go then.
    """

    settings: Settings
    identity: Identity
    keys: PrivateKeys = field(repr=False)
    data_keys: DataKeys = field(repr=False)
    pool: Pool
    leader: Leader
    auditing: Auditing
    tokens: Tokens
    health: Health
    client: PeerClient
    now: Callable[[], datetime]
    rng: Callable[[int], bytes]
    stopping: asyncio.Event

    @property
    def producer(self) -> Mapping[str, Any]:
        """The STIX identity in whose name this node writes."""
        return node_identity(self.identity.statement.org.name, self.identity.node_id)

    def enc_private(self) -> Mapping[str, EncPrivateKey]:
        """The keys by which what is sealed to us opens, newest first."""
        return newest_first(self.identity, self.keys, self.now())


@dataclass(frozen=True)
class Base:
    """What the services share: who is rung, who the peers are, the log, whose a report is."""

    alarms: Alarms
    peering: Peering
    policies: PeerPolicies
    ledger: Ledger
    ownership: Ownership
    sealing: Sealing
    erasing: Erasing
    trusting: Trusting
    heads: Heads


@dataclass(frozen=True)
class Own:
    """What becomes of what is written here."""

    circles: Circles
    recalling: Recalling
    redactions: Redactions
    screening: Screening
    releasing: Releasing
    entries: ReportEntries
    reporting: Reporting
    importing: Importing
    republishing: Republishing
    remarks: Remarks
    emergencies: Emergencies
    answering: Answering
    acknowledging: Acknowledging
    receipting: Receipting


@dataclass(frozen=True)
class Between:
    """What goes between this node and its peers."""

    joining: Joining
    faults: Faults
    intake: Intake
    giving: Giving
    exchange: Exchange
    proving: Proving
    passing_on: PassingOn
    complaints: Complaints
    witnessing: Witnessing
    gossip: Gossip
    reconciling: Reconciling
    comparing: Comparing
    self_check: SelfCheck
    regaining: Regaining


@dataclass(frozen=True)
class Around:
    """What is found in the reports, and who is told how the node fares."""

    duties: Duties
    finding: Finding
    duplicates: Duplicates
    clusters: Clusters
    silences: Silences
    peer_watch: PeerWatch
    ops: Ops
    heartbeat: Heartbeat | None


@dataclass(frozen=True)
class Node(Ground, Base, Own, Between, Around):
    """A node that is open for work."""


NODE = web.AppKey("node", Node)
