"""The policy for each peer: one record, one way to change it, and every number that it overrides.

A field is judged at the door that it is about, each time anew, so a change holds at once, for what was sealed before
too: ceilings, `onward` and `relay` when entries are served and taken (PROTOCOL.md, P-73, P-83, P-230), `client` when
somebody else's TLP:AMBER is passed on, `unnamed` when an entry is sealed (P-217), `witness` and
`witnessed` at the next checkpoint, the numbers at the next alert and the next request.
"""

from typing import Any

from tocsin_node.services.peer import Peer, refuse_uncompared
from tocsin_node.services.peer_refusals import BadRequest, PeerUnknown
from tocsin_node.services.peering import Peering
from tocsin_node.storage import peers
from tocsin_node.storage.peers import PolicyChange
from tocsin_node.storage.pool import Pool
from tocsin_schema.marking import Tlp

PEER_REQUESTS_PER_S = 60.0  # one peer's share: a catch-up of 10,000 entries takes about 60 requests
PEER_BURST = 300


class PeerPolicies:
    """Changes policies and says what holds. `alerts_per_day`: for all peers that have no number of their own."""

    def __init__(self, pool: Pool, peering: Peering, *, alerts_per_day: int) -> None:
        self._pool = pool
        self._peering = peering
        self._alerts_per_day = alerts_per_day

    async def change(self, name: str, change: PolicyChange) -> Peer:
        """Change what is said and leave the rest; it holds from now on.

        Raises: PeerUnknown, BadRequest (a ceiling above GREEN for a peer whose words were not compared, or a ceiling
        before the approval, which sets them).
        """
        peer = self._peering.named(name)
        if change.max_tlp_out or change.max_tlp_in:
            if peer.row.approved_at is None:
                raise BadRequest(
                    "The ceilings of a peer are set when it is approved.",
                    hint="`tocsin peer approve NAME --max-tlp-out TLP --max-tlp-in TLP`.",
                )
            out = Tlp(change.max_tlp_out or peer.row.max_tlp_out)
            in_ = Tlp(change.max_tlp_in or peer.row.max_tlp_in)
            refuse_uncompared(out, in_, verified=peer.row.sas_verified)
        async with self._peering.turn:
            async with self._pool.acquire() as conn:
                row = await peers.set_policy(conn, peer.node_id, change)
            if row is None:
                raise PeerUnknown(f"There is no peer called {name!r}.")
            return self._peering.keep(row)

    def alerts_per_day(self, peer: Peer) -> int:
        """How many alerts it may raise here in 24 hours."""
        own = peer.row.alerts_per_day
        return self._alerts_per_day if own is None else own

    def told(self, peer: Peer) -> dict[str, Any]:
        """The whole record, as it holds now. `as_all`: the numbers that are those of all peers."""
        row = peer.row
        rate = PEER_REQUESTS_PER_S if row.requests_per_s is None else row.requests_per_s
        own = {"alerts_per_day": row.alerts_per_day, "requests_per_s": row.requests_per_s}
        return {
            "max_tlp_out": row.max_tlp_out,
            "max_tlp_in": row.max_tlp_in,
            "onward": row.onward,
            "client": row.client,
            "unnamed": self._peering.unnamed(peer.node_id),
            "relay": row.relay,
            "witness": row.witness,
            "witnessed": row.witnessed,
            "alerts_per_day": self.alerts_per_day(peer),
            "requests_per_s": int(rate),
            "as_all": [name for name, number in own.items() if number is None],
        }


def lesser_budget(budget: int) -> int:
    """How many of its alerts of a day a peer may use up by what is not urgent: a fifth is kept for what is."""
    return budget - budget // 5
