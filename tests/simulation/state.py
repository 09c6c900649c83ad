"""What a node keeps on its disk. A crash loses everything else."""

from dataclasses import dataclass, field
from typing import Any

from tocsin_federation.calls import Standing
from tocsin_federation.circle import Circle
from tocsin_federation.identity import Identity
from tocsin_federation.inbox import Held
from tocsin_federation.merkle import Frontier
from tocsin_federation.recall import Recall as RecallOfPeer
from tocsin_federation.recall import What
from tocsin_federation.receipt import Told
from tocsin_schema.marking import Tlp
from tocsin_schema.remark import Remark

Bell = tuple[
    str, int, bytes
]  # report (or emergency), version, and what it says: the same is never rung twice


@dataclass
class Entry:
    """An entry of one's own log. `to`: whom it was sealed to, whatever is served of it now."""

    leaf: bytes
    leaf_hash: bytes
    ct: bytes
    wraps: dict[str, bytes]
    to: frozenset[str] = frozenset()


@dataclass
class Stored:
    """A report that is held. `audience`: NodeIDs that our versions went to; `leaves`: what carried each version.

    `earlier`: the same in ended logs, leaf hash → version. `gen`, `idx`: where in its origin's log the version stands.
    `through`: the peer that passed it on, while it did not come from its author; `under`: what that one gave before.
    `taken_back`: from whom a person took it.
    """

    held: Held
    raw: bytes
    tlp: str
    grave: bool
    audience: set[str] = field(default_factory=set)
    leaves: dict[int, bytes] = field(default_factory=dict)
    earlier: dict[bytes, int] = field(default_factory=dict)
    gen: int = 1
    idx: int = 0
    through: str | None = None
    taken_back: set[str] = field(default_factory=set)
    under: "Stored | None" = None

    def carried(self, ver: int, leaf_hash: bytes | None) -> bool:
        """Whether that entry carried that version."""
        return leaf_hash is not None and (
            self.leaves.get(ver) == leaf_hash or self.earlier.get(leaf_hash) == ver
        )


@dataclass
class Followed:
    """A generation of a peer's log as it was verified, and what became of its entries: index → (outcome, code).

    `disputed_from`: from where on its author has ended it. `over`: nothing more is to be taken from it.
    """

    gen: int = 1
    disputed_from: int | None = None
    over: bool = False
    size: int = 0
    frontier: bytes = field(default_factory=lambda: Frontier().to_bytes())
    note: bytes = b""
    leaves: list[bytes] = field(default_factory=list)
    next: int = 0
    outcomes: dict[int, tuple[str, str | None]] = field(default_factory=dict)
    kept: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)  # of what was taken: leaf and data key
    via: set[int] = field(default_factory=set)  # what others handed on, and its author has not served yet


@dataclass(frozen=True)
class Ended:
    """A generation of one's own log that has ended, up to its good end."""

    origin: str
    entries: list[Entry]
    note: bytes


@dataclass
class Cosigned:
    """The head of a log that was cosigned last."""

    size: int
    root: bytes
    note: bytes


@dataclass(frozen=True)
class Cried:
    """A call that was taken: of whom, the emergency's name, and what it said."""

    by: str
    name: str
    state: str
    drill: bool
    content: bytes


@dataclass
class Recall:
    """A recall of one's own. `refs`: whom it goes to, with the entries that it names; `told`: with the one that says so.

    `author`: of what was passed on.
    """

    what: What
    tlp: Tlp
    report_id: str
    refs: dict[str, tuple[bytes, ...]]
    author: str | None = None
    told: dict[str, bytes] = field(default_factory=dict)


@dataclass
class Taken:
    """A recall of a peer, where in its log it stands, when it came, and whether it is done."""

    by: str
    recall: RecallOfPeer
    tlp: Tlp
    gen: int
    idx: int
    at_s: float
    done: bool = False

    def before(self, stored: Stored) -> bool:
        """Whether that version was given after it."""
        return (self.gen, self.idx) < (stored.gen, stored.idx)


@dataclass(frozen=True)
class Passing:
    """What was passed on, and by which entry. `leaf`: the header of the author's."""

    leaf_hash: bytes
    report_id: str
    ver: int
    leaf: bytes
    to: frozenset[str]
    client: bool
    author: str


@dataclass
class Known:
    """A circle as it stands here. `state`: `offered`, `adopted` or `left`; `rival`: a chain that contradicts it.

    `told`: NodeID → the newest epoch that it is known to know.
    """

    circle: Circle
    state: str
    rival: Circle | None = None
    told: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Placed:
    """An own entry in the own count of a circle."""

    circle: bytes
    cseq: int
    leaf_hash: bytes
    report_id: str


@dataclass(frozen=True)
class Counted:
    """A peer's entry in its count of a circle, and where in its log it stands."""

    cseq: int
    cprev: bytes | None
    gen: int
    idx: int


@dataclass
class Disk:
    """Everything that survives. `entries`, `frontier`, `note`: of the present log; `known`: peers as their chains prove them.

    `followed`: peers' present logs, `past`: those that have ended, by NodeID and generation.
    """

    gen: int = 1
    ended: dict[int, Ended] = field(default_factory=dict)
    known: dict[str, Identity] = field(default_factory=dict)
    past: dict[tuple[str, int], Followed] = field(default_factory=dict)
    frontier: Frontier = field(default_factory=Frontier)
    entries: list[Entry] = field(default_factory=list)
    note: bytes = b""
    reports: dict[str, Stored] = field(default_factory=dict)
    followed: dict[str, Followed] = field(default_factory=dict)
    stopped: dict[str, str] = field(default_factory=dict)
    evidence: list[tuple[str, str, bytes, bytes, tuple[bytes, ...]]] = field(default_factory=list)
    cosigned: dict[str, Cosigned] = field(default_factory=dict)  # by the log's origin line, as all here
    lines: dict[tuple[str, int, bytes], set[str]] = field(
        default_factory=dict
    )  # origin, size, root → who has cosigned it
    notes: dict[tuple[str, int, bytes], bytes] = field(default_factory=dict)  # the same, as notes
    alerts: dict[Bell, bool] = field(default_factory=dict)  # → whether the room is known to have it
    hushed: set[Bell] = field(default_factory=set)  # alerts for words that their author never said
    untold: list[tuple[str, str, int, bytes]] = field(
        default_factory=list
    )  # acknowledgements: origin, id, ver, ref
    acknowledged: set[tuple[str, int, str]] = field(default_factory=set)  # of ours: id, ver, by whom
    rung: dict[str, int] = field(default_factory=dict)  # by peer: how many alerts its reports raised
    marked: dict[tuple[str, int], str] = field(default_factory=dict)  # id, ver → the marking it had
    remarks: dict[tuple[str, str, str], Remark] = field(default_factory=dict)  # report, node, kind
    remark_at: dict[tuple[str, str, str], tuple[int, int]] = field(
        default_factory=dict
    )  # the same → gen, index
    calls: dict[str, Standing] = field(default_factory=dict)  # emergency → the call that stands
    called: dict[bytes, tuple[str, int, frozenset[str]]] = field(default_factory=dict)  # ours, by leaf hash
    cried: dict[str, int] = field(default_factory=dict)  # by peer: how many emergencies
    unanswered: list[tuple[str, str, str, int, bytes]] = field(default_factory=list)
    answers: set[tuple[str, str]] = field(default_factory=set)  # emergency, by whom
    recalls: list[Recall] = field(default_factory=list)
    recalled: dict[bytes, Taken] = field(default_factory=dict)  # by leaf hash
    brought: dict[tuple[str, bytes], str] = field(default_factory=dict)  # peer, leaf hash → report
    erased: dict[str, str] = field(default_factory=dict)  # report → who alone may give it anew
    erased_words: dict[bytes, str] = field(default_factory=dict)  # the same by SHA-256
    owing: list[tuple[str, Told]] = field(default_factory=list)  # receipts
    heard: set[tuple[str, bytes, str]] = field(default_factory=set)  # by whom, entry, state
    shares: dict[bytes, Passing] = field(default_factory=dict)  # what was passed on, by leaf hash
    passed: dict[str, dict[str, tuple[bytes, ...]]] = field(
        default_factory=dict
    )  # report → who has it from here, by what
    readers: set[tuple[bytes, str]] = field(
        default_factory=set
    )  # entry of a peer's, whom it passed an own report on to
    told_onward: set[tuple[str, Told]] = field(default_factory=set)
    circles: dict[bytes, Known] = field(default_factory=dict)
    placed: list[Placed] = field(default_factory=list)
    counted: dict[tuple[bytes, str, bytes], Counted] = field(
        default_factory=dict
    )  # circle, author, leaf hash
    awaited: dict[tuple[str, int, int], Any] = field(
        default_factory=dict
    )  # author, gen, index → what waits for a manifest

    def waiting(self, report_id: str) -> bool:
        """Whether a recall of it is not done (P-197)."""
        named = {leaf for (_, leaf), brought in self.brought.items() if brought == report_id}
        vouched = (one for one in self.recalled.values() if not self.disputes(one.by, one.gen, one.idx))
        return any(not one.done and not named.isdisjoint(one.recall.entries) for one in vouched)

    def disputes(self, author: str, gen: int, idx: int) -> bool:
        """Whether the author of that place in its log has ended the log before it (P-151)."""
        log = self.past.get((author, gen))
        return log is not None and log.disputed_from is not None and idx >= log.disputed_from

    def disputed(self, stored: Stored) -> bool:
        """Whether the version of a report that is held is."""
        return self.disputes(stored.held.origin, stored.gen, stored.idx)
