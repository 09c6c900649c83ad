"""The gate: whether a message that is about to ring does so, waits, or is told by another one.

`judge` is pure and the one place that decides; the courier asks it right before a message is tried for the first
time, since only then is everything known, and `tocsin alert route` asks it without sending. In this order:

1. A test goes.
2. What rings again or was silenced, and has been taken up or overtaken meanwhile, is dropped.
3. What a fellow's bot told in the same room is left to that message.
4. A withdrawal of what was never told here is dropped.
5. A legal clock, a withdrawal and an emergency go: no silence holds them.
6. A silence holds what it matches until it ends; grade I and risks to life only if it says so.
7. Grade I and risks to life go.
8. An open early warning that is no milder, about a cluster that the report belongs to, takes it into its thread.
9. A new incident that is one too many for its room, or for its organisation there, goes into the digest.
10. The rest goes.
"""

from dataclasses import dataclass
from datetime import datetime

from tocsin_node.settings.alerting import GroupingSettings
from tocsin_node.storage.grouping import Told
from tocsin_node.storage.silences import StoredSilence

SILENCED = "silence {}"
NOBODY = Told(0, 0)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """All that the gate looks at. `again`: it does not ring for the first time. `follows`: it stands in a thread.

    `called`: it calls people to an alert that nobody answers. `released`: a silence held it. `caps`: whether the place
    has a cap on new incidents. `fellow`: the event in which a fellow told the same, and who. `inhibitor`: the open
    early warning that stands for it.
    """

    kind: str
    urgent: bool
    is_open: bool = True
    was_told: bool = False
    again: bool = False
    called: bool = False
    follows: bool = False
    released: bool = False
    caps: bool = True
    fellow: tuple[str, str] | None = None
    silence: StoredSilence | None = None
    inhibitor: int | None = None
    told: Told = NOBODY


@dataclass(frozen=True, slots=True)
class Go:
    """It goes out."""


@dataclass(frozen=True, slots=True)
class Drop:
    """There is no point in it any more."""

    why: str


@dataclass(frozen=True, slots=True)
class Hold:
    """It waits."""

    until: datetime
    why: str


@dataclass(frozen=True, slots=True)
class LeaveTo:
    """A fellow has told it."""

    event_id: str
    sender: str


@dataclass(frozen=True, slots=True)
class Join:
    """It is told in the thread of another alert, and rings nobody."""

    alert_id: int


@dataclass(frozen=True, slots=True)
class Digested:
    """It is told in a digest."""

    why: str


Verdict = Go | Drop | Hold | LeaveTo | Join | Digested


def judge(now: Circumstances, limits: GroupingSettings) -> Verdict:
    """What becomes of a message, by the rules above."""
    if now.kind == "test":
        return Go()
    if now.called and not now.released:
        return Go() if now.silence is None else Hold(now.silence.until, SILENCED.format(now.silence.id))
    if (now.again or now.released) and not now.is_open:
        return Drop("taken-up")
    if now.fellow is not None and not now.again:
        return LeaveTo(*now.fellow)
    if now.kind == "withdrawn" and not now.was_told:
        return Drop("nobody-was-told")
    if now.kind in {"duty", "withdrawn", "emergency"}:
        return Go()
    if now.silence is not None:
        return Hold(now.silence.until, SILENCED.format(now.silence.id))
    if now.urgent:
        return Go()
    if now.inhibitor is not None and not now.again:
        return Join(now.inhibitor)
    if now.caps and not now.follows and not now.again:
        if now.told.room >= limits.flood_room:
            return Digested("flood-room")
        if now.told.origin >= limits.flood_origin:
            return Digested("flood-origin")
    return Go()
