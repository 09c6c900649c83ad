"""Two nodes and a third, made once, and bytes that look random but are the same in each run."""

from datetime import UTC, datetime
from functools import cache
from hashlib import shake_256

from tocsin_federation.identity import Identity, NodeKeys, incept, verify_chain
from tocsin_federation.keys import EncPrivateKey, load_enc_private

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
REPORT_ID = "incident--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a"


class Rng:
    """A source of bytes with a seed."""

    def __init__(self, seed: str = "") -> None:
        self.seed, self.count, self.drawn = seed, 0, []

    def __call__(self, length: int) -> bytes:
        self.count += 1
        self.drawn.append(shake_256(f"{self.seed}/{self.count}".encode()).digest(length))
        return self.drawn[-1]


@cache
def make(name: str) -> tuple[NodeKeys, Identity]:
    keys, statement = incept(
        org=name, domain=f"{name}.example", urls=[f"https://{name}.example"], now=NOW, rng=Rng(name)
    )
    return keys, verify_chain([statement], expected=None, now=NOW)


A_KEYS, A = make("alpha")
B_KEYS, B = make("beta")
C_KEYS, C = make("gamma")


@cache
def enc_private(name: str) -> dict[str, EncPrivateKey]:
    keys, identity = make(name)
    current = identity.enc_key(NOW).kid
    return {current: load_enc_private(keys.enc[current])}
