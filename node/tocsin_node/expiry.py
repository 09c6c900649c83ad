"""How long keys are still in force, and when to say so: 30, 14, 7, 3 and 1 days before, and at the end."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tocsin_federation.identity import Identity

STAGES_DAYS = (30, 14, 7, 3, 1)


@dataclass(frozen=True, slots=True)
class Expiring:
    """What ends when. `stage`: days, the last of `STAGES_DAYS` that was passed; 0 when it has ended."""

    code: str
    stage: int
    message: str
    hint: str


def stage_of(left: timedelta) -> int | None:
    """The stage that `left` has come to; None: there is time."""
    if left <= timedelta(0):
        return 0
    return min((days for days in STAGES_DAYS if left <= timedelta(days=days)), default=None)


def days_text(left: timedelta) -> str:
    """The time that is left, in words."""
    days = left // timedelta(days=1)
    return f"in {days} days" if days > 1 else f"in {max(0, left // timedelta(hours=1))} hours"


def sealable_until(identity: Identity, now: datetime) -> datetime:
    """Until when there is a key in force without a gap to seal to; `now` or earlier: there is none."""
    until = int(now.timestamp())
    for key in sorted(identity.statement.enc, key=lambda key: key.nbf):
        if key.nbf <= until < key.exp:
            until = key.exp
    return datetime.fromtimestamp(until, UTC)


def due(identity: Identity, now: datetime) -> Expiring | None:
    """What of a node's own identity needs its operator soon: the statement, or else its encryption keys."""
    ends, rotate = identity.statement.expires_at, "`tocsin key rotate DIR` with the offline key."
    stage = stage_of(ends - now)
    if stage == 0:
        return Expiring(
            "identity-expired", 0, "The statement has expired.", f"Peers no longer accept this node: {rotate}"
        )
    sealable = sealable_until(identity, now)
    if sealable < ends and (keys := stage_of(sealable - now)) is not None and keys < (stage or 31):
        message = (
            "No encryption key is in force."
            if keys == 0
            else f"Encryption keys end {days_text(sealable - now)}."
        )
        return Expiring(
            "encryption-keys-expiring", keys, message, f"Nobody can seal to this node then: {rotate}"
        )
    if stage is None:
        return None
    message = f"The statement expires {days_text(ends - now)}, on {ends:%Y-%m-%d}."
    return Expiring("identity-expiring", stage, message, f"Rotate the keys before that day: {rotate}")
