"""How far a message of an alert got, in words."""

from collections.abc import Mapping
from typing import Any

ROOMS = ("matrix", "matrix-2")
SPOKEN = {
    "matrix": "The room",
    "matrix-2": "The second room",
    "webhook": "The webhook's receiver",
    "mail": "The mail server",
}


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
