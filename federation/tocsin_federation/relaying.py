"""Entries handed on by co-recipients while their author is away: who may do that, and what a reader believes of it.

The one who hands on can withhold, be late and lie; it can neither change nor invent an entry, since each is held
against the leaf hashes that the author's own checkpoint leads to, and it cannot move the reader's cursor: what it
withheld comes from the author. What does not open is laid to the one who gave it, and to the author never.
"""

from dataclasses import dataclass, field
from typing import Final, Literal

from tocsin_federation.checkpoint import Checkpoint
from tocsin_federation.circle import Circle
from tocsin_federation.envelope import seal_again, wrap_info
from tocsin_federation.errors import LogBroken
from tocsin_federation.following import MAX_GROWTH
from tocsin_federation.keys import EncKey
from tocsin_federation.merkle import Frontier, leaf_hash
from tocsin_federation.messages import Header, Kind
from tocsin_federation.sharing import PeerPolicy
from tocsin_schema.marking import Tlp

HANDED_ON: Final[frozenset[Kind]] = frozenset({"publish", "revoke", "remark", "call", "share"})
MENDABLE: Final = frozenset({"bad-wrap", "commitment", "hash-mismatch", "ciphertext-mismatch"})
"""Codes that speak of bytes beside the leaf: another holder of the entry may have sound ones [P-224]."""

LAID_TO_THE_GIVER: Final = MENDABLE | {"too-large"}


@dataclass(frozen=True, slots=True)
class Handed:
    """What one recipient is given of an entry that was made whole again."""

    leaf: bytes
    wrap: bytes = field(repr=False)
    ct: bytes = field(repr=False)


def handable(header: Header) -> bool:
    """Whether an entry is of those that are handed on at all.

    What names no reader is not: nobody but its author can tell for whom it is. Neither is what is addressed to a circle
    and marked TLP:AMBER or more strictly: its author may have left a member out, and no other member sees whom [P-244].
    What is marked less strictly any reader may give to any peer.
    """
    if header.t not in HANDED_ON or header.tlp is Tlp.RED:
        return False
    return bool(header.aud.nodes) or (header.aud.circle is not None and header.tlp.rank <= Tlp.GREEN.rank)


def may_hand_on(
    header: Header, caller: PeerPolicy, marked: Tlp | None = None, circle: Circle | None = None
) -> bool:
    """Whether an entry that was sealed to us may be handed on to `caller` [P-221].

    1. Its author always gets its own back, whatever the marking: it lost it, and it wrote it.
    2. Anybody else must be named by the author in the entry's header, or be a member of the circle that it is addressed
       to, in its epoch and today [P-244] (`circle`: as we hold it; None when it is left, contradicted or not known);
       the entry is no TLP:RED, is of a kind that has several recipients, is not above what our operator lets go to
       `caller`, and has not been marked more strictly since (`marked`: how its report is marked here now): whom the
       author took it back from is not said here.
    """
    if not caller.active:
        return False
    if header.by == caller.node_id:
        return True
    named = caller.node_id in header.aud.nodes or _members(header, caller.node_id, circle)
    if marked is not None and marked.rank > header.tlp.rank:
        return False
    return named and handable(header) and header.tlp.rank <= caller.max_tlp_out.rank


def _members(header: Header, node_id: str, circle: Circle | None) -> bool:
    """Whether the node and the author are members of the circle in the entry's epoch, and the node is one today."""
    aud = header.aud
    if circle is None or aud.circle != circle.id or aud.epoch is None:
        return False
    manifest = circle.at(aud.epoch)
    meant = manifest is not None and {header.by, node_id} <= set(manifest.members)
    return meant and node_id in circle.newest.members


def hand_on(header: Header, leaf: bytes, content: bytes, data_key: bytes, caller: str, key: EncKey) -> Handed:
    """The entry as its author sealed it, and a wrap made now for `caller` (NodeID), whose key in force is `key`.

    Sealing is deterministic once the data key is known, so nobody has to keep the ciphertext. The wrap is bound to
    leaf, author and recipient as the author's own would be; the header's commitment shows that it holds the right key.

    Raises: EntryRefused when `content` is not what the entry was sealed from.
    """
    ct = seal_again(header, data_key, content)
    return Handed(leaf, key.wrap(data_key, wrap_info(leaf_hash(leaf), header.by, caller)), ct)


def offered(size: int, frontier: bytes, head: Checkpoint) -> Literal["nothing", "longer"]:
    """What a head of an author's log is worth that another node shows, against what was verified [P-222].

    A smaller head is a stale one and says nothing; neither does one that is too far ahead, since its author may tell it
    itself. Raises: LogBroken `log-fork` for another root at the size held: the author has signed both.
    """
    if head.size == size and size > 0 and head.root != Frontier.from_bytes(frontier).root():
        raise LogBroken("log-fork")
    return "longer" if size < head.size <= size + MAX_GROWTH else "nothing"
