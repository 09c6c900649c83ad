"""Who has which version of a report of ours: who is left behind with an earlier one, who has the newest already."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from tocsin_federation.sharing import Release, Withheld


@dataclass(frozen=True, slots=True)
class Left:
    """A node that has an earlier version and does not get this one, and why, in words for the operator."""

    name: str
    node_id: str
    code: str
    reason: str


def left_behind(audience: Sequence[str], release: Release, name_of: Callable[[str], str]) -> tuple[Left, ...]:
    """Those of `audience` (NodeIDs, all that ever got a version) that a version released like this does not reach."""
    reached = {p.node_id for p in release.to}
    why = {w.peer.node_id: (w.code, w.reason) for w in release.withheld}
    gone = ("peer-removed", "it is no peer any more")
    return tuple(Left(name_of(i), i, *why.get(i, gone)) for i in audience if i not in reached)


def split_off(release: Release, node_ids: Collection[str], code: str, reason: str) -> Release:
    """The release without the nodes `node_ids`, which are withheld from for the reason given."""
    held_back = tuple(Withheld(p, code, reason) for p in release.to if p.node_id in node_ids)
    to = tuple(p for p in release.to if p.node_id not in node_ids)
    return Release(to, (*release.withheld, *held_back))
