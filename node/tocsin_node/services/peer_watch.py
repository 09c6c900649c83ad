"""Watching peers: which of them need a person, in words for everybody and in words for the operators."""

from collections.abc import Callable
from datetime import datetime, timedelta

from tocsin_node.expiry import stage_of
from tocsin_node.health import Check
from tocsin_node.services.peer import Peer
from tocsin_node.services.peering import Peering
from tocsin_node.storage import remote
from tocsin_node.storage.peers import PeerRow
from tocsin_node.storage.pool import Pool

WARN_OF_PEERS_DAYS = 7  # before that it is their own operators' business


class PeerWatch:
    """Looks at the peers. `silent_s`: who was not heard of for so long is said to be silent."""

    def __init__(self, pool: Pool, peering: Peering, *, now: Callable[[], datetime], silent_s: float) -> None:
        self._pool = pool
        self._peering = peering
        self._now = now
        self._silent_after = timedelta(seconds=silent_s)

    async def health(self) -> Check:
        """Whether any peer needs a person. Anybody may read it: neither which peers nor how many."""
        if any(p.row.state == "suspect" for p in self._peering.present()):
            hint = "A peer was stopped: `tocsin peer status` says which, why and what to do."
            return Check("peers", "degraded", "peer-suspect", hint)
        if any(p.active and p.row.problem_code is not None for p in self._peering.present()):
            hint = "A peer cannot be followed at the moment: `tocsin peer status` says which and why."
            return Check("peers", "degraded", "peer-trouble", hint)
        ending = [self._ending(p) for p in self._peering.present() if p.active]
        soonest = min((stage for stage in ending if stage is not None), default=None)
        if soonest is not None:
            hint = (
                "A peer's statement ends soon, and then nothing goes to it: `tocsin peer status` says whose."
            )
            return Check("peers", "degraded", "peer-expiring", hint, mark=soonest)
        rows = await self._peering.rows()
        if any(self.silent(rows[p.node_id]) for p in self._peering.present() if p.node_id in rows):
            hint = (
                "A peer was not heard of for long: `tocsin peer list` says which. Ask there by another way."
            )
            return Check("peers", "degraded", "peer-silent", hint)
        async with self._pool.acquire() as conn:
            not_taken = await remote.not_taken_in_a_day(conn)
        if not_taken:
            hint = "Entries of peers were not taken in the last 24 hours: `tocsin peer status` says which and why."
            return Check("peers", "degraded", "entries-refused", hint)
        return Check("peers")

    def silent(self, row: PeerRow) -> bool:
        """Whether an active peer was not heard of for long; its answers to our questions are the sign of life."""
        heard_at = row.last_contact_at or row.approved_at or row.added_at
        return row.state == "active" and self._now() - heard_at > self._silent_after

    async def look(self) -> list[Check]:
        """Each peer that the operators should know of, by our name for it; not for everybody, unlike `health`."""
        rows = await self._peering.rows()
        checks = []
        for peer in self._peering.present():
            row, name = rows.get(peer.node_id, peer.row), f"peer {peer.row.name}"
            if row.state == "suspect":
                hint = f"It was stopped: `tocsin peer status {row.name}` says why and what to do."
                checks.append(Check(name, "down", "peer-suspect", hint))
            elif self.silent(row):
                hint = "It was not heard of for long, and may not be able to alert. Ask there by another way."
                checks.append(Check(name, "degraded", "peer-silent", hint))
            elif peer.active and (ending := self._ending(peer)) is not None:
                hint = "Its statement ends soon; then nothing goes to it. Remind its operator of `tocsin key rotate`."
                checks.append(Check(name, "degraded", "peer-expiring", hint, mark=ending))
        return checks

    def _ending(self, peer: Peer) -> int | None:
        """The stage that the end of a peer's statement has come to, when that is near enough to tell."""
        stage = stage_of(peer.identity.statement.expires_at - self._now())
        return stage if stage is not None and stage <= WARN_OF_PEERS_DAYS else None
