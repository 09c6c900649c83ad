"""How far a message of an alert got, in words."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

ROOMS = ("matrix", "matrix-2")
SPOKEN = {
    "matrix": "The room",
    "matrix-2": "The second room",
    "webhook": "The webhook's receiver",
    "mail": "The mail server",
}
SHORT = {"matrix": "room", "matrix-2": "second room"}
RINGS = {"ring", "escalation", "digest", "call"}  # what is meant to wake people
FURTHEST = ("seen", "echoed", "accepted", "covered", "sending", "pending", "rerouted", "failed", "superseded")
LEFT = {"sending": "under way", "pending": "waiting", "failed": "failed"}


def state_of(each: Mapping[str, Any]) -> str:
    """Its state, with who has seen it and which other way it went."""
    state = str(each.get("state"))
    if state == "seen":
        return f"seen by {each.get('seen_by')}"
    if state == "rerouted":
        return f"rerouted to {each.get('rerouted_to')}"
    return state


def read_back(each: Mapping[str, Any]) -> bool:
    """Whether its channel is a room, from which more than that it was accepted can be heard."""
    return each.get("channel") in ROOMS


def whereabouts(
    deliveries: Sequence[Mapping[str, Any]], say: Callable[[Mapping[str, Any]], str] = state_of
) -> str:
    """How far an alert got on each channel, in few words: the message that got furthest, and what has not got there."""
    rings = [each for each in deliveries if (each.get("kind") or "ring") in RINGS]
    channels = list(dict.fromkeys(str(each.get("channel")) for each in rings))
    told = [_furthest([each for each in rings if each.get("channel") == name], say) for name in channels]
    if channels == ["matrix"] or not channels:
        return "".join(told)
    return ", ".join(f"{SHORT.get(name, name)} {words}" for name, words in zip(channels, told, strict=True))


def _furthest(messages: Sequence[Mapping[str, Any]], say: Callable[[Mapping[str, Any]], str]) -> str:
    first, *others = sorted(messages, key=lambda each: _rank(each.get("state")))
    counts = [(word, sum(each.get("state") == state for each in others)) for state, word in LEFT.items()]
    more = "".join(f", {count} {word}" for word, count in counts if count)
    return say(first) + (f" ({more[2:]})" if more else "")


def _rank(state: object) -> int:
    return FURTHEST.index(state) if isinstance(state, str) and state in FURTHEST else len(FURTHEST)
