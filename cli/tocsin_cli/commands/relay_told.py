"""What `tocsin peer status NAME` says of entries that go from hand to hand."""

from collections.abc import Mapping
from typing import Any

from tocsin_cli.plain import local_time


def relay_lines(peer: Mapping[str, Any]) -> list[tuple[str, object]]:
    """What others gave us of this peer's, what it gave us and got from us of others'."""
    lines: list[tuple[str, object]] = [
        (
            "Through others",
            f"{_entries(each)} through {each.get('name')}; they have yet to give them themselves",
        )
        for each in peer.get("awaited") or []
    ]
    for each in peer.get("relays") or []:
        author, node = (each.get(part) or {} for part in ("author", "node"))
        if node.get("node_id") != peer.get("node_id"):
            continue
        what = "Handed on to them" if each.get("given") else "Handed on by them"
        lines.append(
            (
                what,
                f"{_entries(each)} of {author.get('name')}, last {local_time(each.get('last_at'))}{_wrong(each)}",
            )
        )
    return lines


def _entries(each: Mapping[str, Any]) -> str:
    count = each.get("entries")
    return "1 entry" if count == 1 else f"{count} entries"


def _wrong(each: Mapping[str, Any]) -> str:
    problem = each.get("problem")
    if not isinstance(problem, Mapping):
        return ""
    return f"; not sound on {local_time(problem.get('at'))}: {problem.get('code')}"
