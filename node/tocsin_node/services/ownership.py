"""Whose a report is: who created it and who brought it here are two facts.

The creator (`created_by_ref`) alone makes versions of a report. What this node brought in is *ours* when its own
identity created it, and *imported* when somebody else's did. What an identity of a node created comes from that node,
in its own log; what nobody's node created, such as a record of a public collection, any node may publish.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Protocol

from tocsin_node.errors import NodeError
from tocsin_schema.ids import node_identity_id
from tocsin_schema.report import IncidentReport
from tocsin_schema.stix import node_named


class ForeignCreator(NodeError):
    """It is made in another organisation's name."""

    code = "foreign-creator"
    hint = (
        "A node speaks for its own organisation alone: `tocsin report new`, `sight` and `opinion` name the right one; "
        "`tocsin import stix FILE` takes in what others wrote."
    )


class NotOurs(NodeError):
    """Only the organisation that created a report may change it."""

    code = "not-ours"
    hint = (
        "Say what you know of it (`tocsin report sight ID`), or file a report of your own that refers to it."
    )


class Kept(Protocol):
    """A report as it stands here."""

    @property
    def origin(self) -> str:
        """NodeID of the node that brought it."""

    @property
    def creator(self) -> str:
        """Its `created_by_ref`."""


class Ownership:
    """Judges whose a report is. `peers` gives the NodeIDs of all nodes that are known, removed ones too."""

    def __init__(self, node_id: str, peers: Callable[[], Iterable[str]]) -> None:
        self._node_id = node_id
        self._peers = peers

    def ours(self, kept: Kept) -> bool:
        """Whether this node created it and filed it."""
        return kept.origin == self._node_id and kept.creator == _identity_of(self._node_id)

    def imported(self, kept: Kept) -> bool:
        """Whether this node brought in what somebody else created."""
        return kept.origin == self._node_id and not self.ours(kept)

    def node_behind(self, report: IncidentReport) -> str | None:
        """NodeID of the node that created it; None when no node did, as far as the report and the peers tell."""
        return self.node_of(report.created_by_ref, report.objects)

    def node_of(self, creator: str, objects: Iterable[Mapping[str, Any]]) -> str | None:
        """The same, of a creator and the objects that it came with."""
        named = node_named(creator, objects)
        known = (self._node_id, *self._peers()) if named is None else ()
        return next((i for i in known if _identity_of(i) == creator), named)

    def of_another_node(self, report: IncidentReport) -> bool:
        """Whether another node created it, so that it comes from there and not from here."""
        return self.node_behind(report) not in {None, self._node_id}

    def refuse_foreign(self, report: IncidentReport) -> None:
        """Return when this node created the report. Raises: ForeignCreator."""
        if report.created_by_ref != _identity_of(self._node_id):
            raise ForeignCreator("The report is made in another organisation's name.")


@lru_cache(4096)
def _identity_of(node_id: str) -> str:
    return node_identity_id(node_id)
