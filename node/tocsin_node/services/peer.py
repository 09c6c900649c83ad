"""One peer: what its row and its statements say, and how much may go to it."""

from dataclasses import dataclass

from tocsin_federation.identity import Identity
from tocsin_federation.sharing import PeerPolicy
from tocsin_node.services.peer_refusals import BadRequest
from tocsin_node.storage.peers import PeerRow
from tocsin_schema.marking import Tlp

UNVERIFIED_CEILING = Tlp.GREEN
DEFAULT_CEILING = Tlp.AMBER


@dataclass(frozen=True, slots=True)
class Peer:
    """One peer: its row, and what its statements prove. `sas`: the eight words both operators compare."""

    row: PeerRow
    identity: Identity
    sas: tuple[str, ...]

    @property
    def node_id(self) -> str:
        """Its NodeID."""
        return self.row.node_id

    @property
    def active(self) -> bool:
        """Approved by us and not stopped."""
        return self.row.state == "active"

    @property
    def org(self) -> str:
        """The organisation's name as its statement claims it."""
        return self.identity.statement.org.name

    @property
    def called(self) -> str:
        """What people here call it; what it calls itself is added where that differs: anybody may claim a name."""
        return self.row.name if self.row.name == self.org else f"{self.row.name} (it says: {self.org})"

    @property
    def former_orgs(self) -> list[str]:
        """The names that its earlier statements claimed, oldest first, other than today's."""
        names = [statement.org.name for statement in self.identity.statements]
        return [name for name in dict.fromkeys(names) if name != self.org]

    @property
    def policy(self) -> PeerPolicy:
        """What may go to and come from this peer."""
        return PeerPolicy(
            node_id=self.row.node_id,
            name=self.row.name,
            max_tlp_out=Tlp(self.row.max_tlp_out),
            max_tlp_in=Tlp(self.row.max_tlp_in),
            active=self.active,
            relay=self.row.relay,
            onward=self.row.onward,
            client=self.row.client,
            unnamed=self.row.unnamed,
        )


def refuse_uncompared(out: Tlp, in_: Tlp, *, verified: bool) -> None:
    """Return when these ceilings may stand for a peer whose words were, or were not, compared. Raises: BadRequest."""
    if not verified and max(out.rank, in_.rank) > UNVERIFIED_CEILING.rank:
        raise BadRequest(
            "Above TLP:GREEN the eight words must have been compared.",
            hint="Compare them by voice: `tocsin peer approve NAME` shows them.",
        )
