"""What becomes of an entry that came through: each ends in exactly one outcome, and none stops the stream.

Order is the author's own count of versions, never a clock: an honest author's versions end in the same state
in whatever order they come. A report belongs to the node that first brought it here; others may repeat it
word for word but not change it. Its creator alone takes it over: what came from elsewhere is a copy of its words.
"""

from dataclasses import dataclass
from enum import StrEnum

from tocsin_federation.messages import Header
from tocsin_schema.ids import node_identity_id


class Outcome(StrEnum):
    """The five ends of an entry.

    `stored`: it changed what we hold. `unchanged`: we held exactly that. `superseded`: we hold a later
    version. `refused`: well made, but a rule forbids it; not kept. `quarantined`: it could not be taken; kept
    whole.
    """

    STORED = "stored"
    UNCHANGED = "unchanged"
    SUPERSEDED = "superseded"
    REFUSED = "refused"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Held:
    """What we hold under a report's id.

    `origin`: NodeID of the node that brought it; `creator`: its `created_by_ref`; `final`: it was withdrawn;
    `disputed`: its origin has ended the log that it stands in before it [P-151].
    """

    origin: str
    creator: str
    ver: int
    sha256: bytes
    final: bool
    disputed: bool = False


def takes_over(held: Held, *, origin: str, creator: str) -> bool:
    """Whether `origin` sends what it created itself, and what we hold of it came some other way (P-107)."""
    return held.origin != origin and held.creator == creator == node_identity_id(origin)


def decide(
    held: Held | None, header: Header, *, sha256: bytes, origin: str, creator: str
) -> tuple[Outcome, str | None]:
    """What to do with a report from `origin`, and why when it is refused.

    Its content hashes to `sha256` and was created by `creator` (its `created_by_ref`).

    In this order (PROTOCOL.md, 9):

    1. [P-90] nothing is held: stored;
    2. [P-107] the creator's own word, where a copy is held that came another way: stored, whatever the copy is;
    3. [P-153] what is held is disputed by its origin, who says now what is so: stored in its place, whatever the count;
    4. [P-91] the same bytes are held: unchanged, whoever sends them and whatever its count;
    5. [P-92] the id belongs to another node, or was created by somebody else: refused `not-owner`;
    6. [P-93] an earlier version than the one held: superseded;
    7. [P-94] the version held with other bytes: refused `version-conflict`;
    8. [P-95] a later version of a withdrawn report: refused `already-withdrawn`;
    9. [P-96] a later version: stored.
    """
    if held is None or takes_over(held, origin=origin, creator=creator):
        return Outcome.STORED, None
    if held.disputed and held.origin == origin:
        same = (held.ver, held.sha256) == (header.ver, sha256)
        return (Outcome.UNCHANGED if same else Outcome.STORED), None
    if held.sha256 == sha256:
        return Outcome.UNCHANGED, None
    if held.origin != origin or held.creator != creator:
        return Outcome.REFUSED, "not-owner"
    if header.ver < held.ver:
        return Outcome.SUPERSEDED, None
    if header.ver == held.ver:
        return Outcome.REFUSED, "version-conflict"
    if held.final:
        return Outcome.REFUSED, "already-withdrawn"
    return Outcome.STORED, None
