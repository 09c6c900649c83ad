"""When a peer was last compared with, and what was found, in words."""

import shlex
from collections.abc import Mapping
from typing import Any

from tocsin_cli.plain import local_time

_WHY = {
    "cannot-compare": "its node does not know how to compare; it has to be updated",
    "peer-unreachable": "it could not be reached",
    "timeout": "it took too long",
}


def compared_text(peer: Mapping[str, Any]) -> str:
    """What was found the last time, and what to do; of one that could not be compared since, why."""
    found = peer.get("comparison")
    if not found:
        return "not yet; it is done once a day, first within 15 minutes of a start"
    again = f"tocsin peer verify {shlex.quote(str(peer.get('name')))}"
    words = []
    if found.get("at"):
        words.append(f"{local_time(found['at'])}: {_found(found, again)}")
    if found.get("trouble"):
        why = _WHY.get(str(found["trouble"]), str(found["trouble"]))
        words.append(f"not done at {local_time(found.get('tried_at'))}: {why} → {again}")
    return "\n".join(words)


def _found(found: Mapping[str, Any], again: str) -> str:
    count, mended = found.get("amiss") or 0, found.get("mended") or 0
    parts = [f"{_entries(mended)} fetched again"] if mended else []
    if found.get("contradicted"):
        parts.append("the heads of a log contradict each other")
    if count:
        parts.append(f"{_entries(count)} missing on one side")
    if found.get("same"):
        return "; ".join([*parts, "nothing is missing"])
    return f"{'; '.join(parts)} → {again}"


def _entries(count: int) -> str:
    return "1 entry was" if count == 1 else f"{count} entries were"
