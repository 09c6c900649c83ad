"""What becomes of an entry that came through: each ends in exactly one outcome, and none stops the stream.

Order is the author's own count of versions, never a clock: an honest author's versions end in the same state
in whatever order they come. A report belongs to the node that first brought it here; others may repeat it
word for word but not change it.
"""

from dataclasses import dataclass
from enum import StrEnum

from tocsin_federation.messages import Header


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
    """What we hold under a report's id. `origin`: NodeID of its owner; `final`: it was withdrawn."""

    origin: str
    ver: int
    sha256: bytes
    final: bool


def decide(held: Held | None, header: Header, *, sha256: bytes, origin: str) -> tuple[Outcome, str | None]:
    """What to do with a report from `origin` whose content hashes to `sha256`, and why when it is refused.

    In this order (PROTOCOL.md, 9):

    1. [P-90] nothing is held: stored;
    2. [P-91] the same bytes are held: unchanged, whoever sends them and whatever its count;
    3. [P-92] the id belongs to another node: refused `not-owner`;
    4. [P-93] an earlier version than the one held: superseded;
    5. [P-94] the version held with other bytes: refused `version-conflict`;
    6. [P-95] a later version of a withdrawn report: refused `already-withdrawn`;
    7. [P-96] a later version: stored.
    """
    if held is None:
        return Outcome.STORED, None
    if held.sha256 == sha256:
        return Outcome.UNCHANGED, None
    if held.origin != origin:
        return Outcome.REFUSED, "not-owner"
    if header.ver < held.ver:
        return Outcome.SUPERSEDED, None
    if header.ver == held.ver:
        return Outcome.REFUSED, "version-conflict"
    if held.final:
        return Outcome.REFUSED, "already-withdrawn"
    return Outcome.STORED, None
