"""The nodes that play in the vectors: Alder sends, Birch receives, Cedar is a third, Mallory attacks."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Final

from tocsin_federation.identity import Identity, NodeKeys, incept, verify_chain
from tocsin_federation.keys import EncPrivateKey, load_enc_private
from workshop.case import Dice

NOW: Final = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
REPORT_ID: Final = "incident--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a"


@dataclass(frozen=True, slots=True)
class Player:
    """A node with everything it knows."""

    keys: NodeKeys
    identity: Identity

    @property
    def node_id(self) -> str:
        """Its NodeID."""
        return self.identity.node_id

    @property
    def enc(self) -> EncPrivateKey:
        """Its encryption key in force at `NOW`."""
        return _loaded(self.keys.enc[self.identity.enc_key(NOW).kid])


_loaded = cache(load_enc_private)


def player(name: str) -> Player:
    """The node called `name`, the same each time."""
    keys, statement = incept(
        org=f"{name} Institute",
        domain=f"{name.lower()}.example",
        urls=[f"https://tocsin.{name.lower()}.example"],
        now=NOW,
        rng=Dice(name),
    )
    return Player(keys, verify_chain([statement], expected=None, now=NOW))


ALDER: Final = player("Alder")
BIRCH: Final = player("Birch")
CEDAR: Final = player("Cedar")
MALLORY: Final = player("Mallory")
