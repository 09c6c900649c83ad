"""Looking at a node again and again: what each part of it answered, what is new, since when it is away.

Nothing here draws and nothing here waits: `follow` yields a standing after each look, and whoever calls says how
to look and how to pause. A part that the node refuses, or the token has no scope for, is a part with a reason; the
others are shown all the same. Only a node that does not answer at all makes a look fail.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from tocsin_cli.client import Client
from tocsin_cli.errors import AnswerBroken, CliError, NotAllowed, Refused, Unreachable
from tocsin_cli.filing import member

Item = Mapping[str, Any]
Key = tuple[str, ...]

MARKED_FOR = timedelta(seconds=30)  # what is new stays marked this long, and until the next look at least
RINGING = frozenset({"I", "II"})

# What is asked of a node, by the name of the part.
ASKED: Mapping[str, tuple[str, Sequence[tuple[str, str]]]] = {
    "emergencies": ("/v1/emergencies", [("open", "1"), ("limit", "50")]),
    "alerts": ("/v1/alerts", [("open", "1"), ("limit", "500")]),
    "taken": ("/v1/alerts", [("limit", "50")]),
    "reports": ("/v1/reports", [("limit", "50")]),
    "peers": ("/v1/peers", []),
    "duties": ("/v1/duties", [("open", "1"), ("limit", "100")]),
}


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a look: the node's document, or why there is none."""

    document: Mapping[str, Any] = field(default_factory=dict)
    fault: CliError | None = None

    @property
    def items(self) -> list[Item]:
        """What is listed in it; nothing when there is a fault."""
        return list(self.document.get("items", ()))

    def as_json(self) -> Mapping[str, Any]:
        """The node's document as it came, or the problem."""
        if self.fault is None:
            return self.document
        return {"problem": {"code": self.fault.code, "detail": str(self.fault), "hint": self.fault.hint}}


@dataclass(frozen=True, slots=True)
class Look:
    """What a node showed at one moment."""

    at: datetime
    health: Part
    parts: Mapping[str, Part]


@dataclass(frozen=True, slots=True)
class Standing:
    """What there is to show: the last look that succeeded, what in it is new, and whether the node is away.

    `seen`: since when each thing is known, None for what was there at the first look.
    `rings`: whether an open alert of grade I or II came with this very look.
    """

    look: Look | None = None
    seen: Mapping[Key, datetime | None] = field(default_factory=dict)
    rings: bool = False
    away_since: datetime | None = None
    fault: CliError | None = None

    def is_new(self, key: Key, now: datetime) -> bool:
        """Whether a thing is to be marked."""
        since = self.seen.get(key)
        if since is None or self.look is None:
            return False
        return since == self.look.at or now - since < MARKED_FOR


def look(client: Client, now: Callable[[], datetime]) -> Look:
    """Ask for every part once.

    Raises: Unreachable (the node does not answer, or nothing but a proxy does); NotVerified (its certificate).
    """
    try:
        health = Part(_health(client))
    except (Refused, NotAllowed) as exc:  # a proxy that does not pass it on
        health = Part(fault=exc)
    parts = {name: _part(client, path, query) for name, (path, query) in ASKED.items()}
    return Look(now(), health, parts)


def nothing_shown(found: Look) -> CliError | None:
    """Why there is nothing to see at all, such as a token that is unknown; None when any part answered."""
    faults = [part.fault for part in found.parts.values() if part.fault is not None]
    return faults[0] if len(faults) == len(found.parts) else None


def follow(
    see: Callable[[], Look], *, now: Callable[[], datetime], pause: Callable[[], None]
) -> Iterator[Standing]:
    """Look, yield how things stand, pause, and so on without end; `pause` ends it by raising.

    Raises: CliError when the first look shows that there will be nothing to see: a certificate that does not hold, a
    token that is unknown. After that, and while the node is merely away or busy, it goes on.
    """
    standing = Standing()
    while True:
        try:
            found = see()
        except CliError as exc:
            if standing.look is None and not isinstance(exc, Unreachable):
                raise
            standing = replace(standing, rings=False, away_since=standing.away_since or now(), fault=exc)
        else:
            refusal = nothing_shown(found) if standing.look is None else None
            if refusal is not None and not isinstance(refusal, Unreachable):
                raise refusal
            standing = next_standing(standing, found)
        yield standing
        pause()


def next_standing(before: Standing, found: Look) -> Standing:
    """How things stand after one more look."""
    known = _keys_by_part(before.look)
    seen: dict[Key, datetime | None] = {}
    for name, keys in _keys_by_part(found).items():
        for key in keys:
            # A part that is seen for the first time has nothing new in it: all of it may be old.
            seen[key] = before.seen.get(key) if key in known.get(name, ()) or name not in known else found.at
    grave = (
        ("alert", str(each.get("id"))) for each in found.parts["alerts"].items if each.get("grade") in RINGING
    )
    return Standing(found, seen, rings=any(seen[key] == found.at for key in grave))


def emergency_key(item: Item) -> Key:
    """An emergency is news again when its caller tells more, or somebody says something else."""
    return "emergency", str(item.get("id")), str(item.get("seq")), str(item.get("said"))


def alert_key(item: Item) -> Key:
    """What makes an alert the same in two looks."""
    return "alert", str(item.get("id"))


def taken_key(item: Item) -> Key:
    """An alert that somebody has taken up is news again."""
    return "taken", str(item.get("id"))


def report_key(item: Item) -> Key:
    """A further version of a report is news."""
    return "report", str(item.get("id")), str(item.get("ver"))


def peer_key(item: Item) -> Key:
    """A peer is news when its state or its problem has changed."""
    return (
        "peer",
        str(item.get("name")),
        str(item.get("state")),
        str(mapping(item.get("problem")).get("code")),
    )


def duty_key(item: Item) -> Key:
    """A duty is news when it is decided upon, runs out or gets another date."""
    told = ("id", "state", "due_conservative", "missed_at")
    return "duty", *(str(item.get(name)) for name in told)


_KEYS: Mapping[str, Callable[[Item], Key]] = {
    "emergencies": emergency_key,
    "alerts": alert_key,
    "taken": taken_key,
    "reports": report_key,
    "peers": peer_key,
    "duties": duty_key,
}


def standing_acknowledgements(item: Item) -> list[Item]:
    """Who has an alert in hand: what was not taken back."""
    found = map(mapping, item.get("acknowledgements") or [])
    return [each for each in found if each and each.get("revoked_at") is None]


def mapping(found: object) -> Item:
    """A member that should be an object, or an empty one."""
    return found if isinstance(found, Mapping) else {}


def _keys_by_part(found: Look | None) -> dict[str, set[Key]]:
    if found is None:
        return {}
    answered = {name: part for name, part in found.parts.items() if part.fault is None}
    keys = {name: {_KEYS[name](item) for item in part.items} for name, part in answered.items()}
    if "taken" in keys:
        keys["taken"] = {
            taken_key(each) for each in answered["taken"].items if standing_acknowledgements(each)
        }
    return keys


def _health(client: Client) -> Mapping[str, Any]:
    """How the node is; a node that says that it is down does answer."""
    found = client.json("GET", "/healthz", takes={503})
    if not isinstance(member(found, "status"), str):
        raise AnswerBroken("The node's /healthz lacks a status.")
    return dict(found) | {"checks": _mappings(found.get("checks", []))}


def _part(client: Client, path: str, query: Sequence[tuple[str, str]]) -> Part:
    try:
        found = client.json("GET", path, query=query)
        _mappings(member(found, "items"))
    except CliError as exc:
        if _is_away(exc):
            raise
        return Part(fault=exc)
    return Part(found)


def _is_away(exc: CliError) -> bool:
    """A connection that fails is the node's absence; a node that says that it is busy is there."""
    return isinstance(exc, Unreachable) and exc.code in {
        "node-unreachable",
        "node-timeout",
        "connection-lost",
    }


def _mappings(found: object) -> list[Item]:
    if not isinstance(found, list) or not all(isinstance(each, Mapping) for each in found):
        raise AnswerBroken("The node's answer holds something else than a list of things.")
    return found
