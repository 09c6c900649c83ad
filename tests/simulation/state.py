"""What a node keeps on its disk. A crash loses everything else."""

from dataclasses import dataclass, field

from tocsin_federation.calls import Standing
from tocsin_federation.inbox import Held
from tocsin_federation.merkle import Frontier
from tocsin_schema.remark import Remark


@dataclass
class Entry:
    """An entry of one's own log."""

    leaf: bytes
    leaf_hash: bytes
    ct: bytes
    wraps: dict[str, bytes]


@dataclass
class Stored:
    """A report that is held. `sent`: NodeIDs that our versions went to, and the leaf hash that carried each version."""

    held: Held
    raw: bytes
    tlp: str
    grave: bool
    audience: set[str] = field(default_factory=set)
    leaves: dict[int, bytes] = field(default_factory=dict)


@dataclass
class Followed:
    """A peer's log as it was verified, and what became of its entries: index → (outcome, code)."""

    size: int = 0
    frontier: bytes = field(default_factory=lambda: Frontier().to_bytes())
    note: bytes = b""
    leaves: list[bytes] = field(default_factory=list)
    next: int = 0
    outcomes: dict[int, tuple[str, str | None]] = field(default_factory=dict)
    kept: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)  # of what was taken: leaf and data key
    via: set[int] = field(default_factory=set)  # what others handed on, and its author has not served yet


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
class Disk:
    """Everything that survives."""

    frontier: Frontier = field(default_factory=Frontier)
    entries: list[Entry] = field(default_factory=list)
    note: bytes = b""
    reports: dict[str, Stored] = field(default_factory=dict)
    followed: dict[str, Followed] = field(default_factory=dict)
    stopped: dict[str, str] = field(default_factory=dict)
    evidence: list[tuple[str, str, bytes, bytes, tuple[bytes, ...]]] = field(default_factory=list)
    cosigned: dict[str, Cosigned] = field(default_factory=dict)
    lines: dict[tuple[str, int, bytes], set[str]] = field(
        default_factory=dict
    )  # author, size, root → who has cosigned it
    notes: dict[tuple[str, int, bytes], bytes] = field(default_factory=dict)  # the same, as notes
    alerts: dict[tuple[str, int], bool] = field(
        default_factory=dict
    )  # → whether the room is known to have it
    untold: list[tuple[str, str, int, bytes]] = field(
        default_factory=list
    )  # acknowledgements: origin, id, ver, ref
    acknowledged: set[tuple[str, int, str]] = field(default_factory=set)  # of ours: id, ver, by whom
    rung: dict[str, int] = field(default_factory=dict)  # by peer: how many alerts its reports raised
    marked: dict[tuple[str, int], str] = field(default_factory=dict)  # id, ver → the marking it had
    remarks: dict[tuple[str, str, str], Remark] = field(default_factory=dict)  # report, node, kind
    calls: dict[str, Standing] = field(default_factory=dict)  # emergency → the call that stands
    called: dict[bytes, tuple[str, int, frozenset[str]]] = field(default_factory=dict)  # ours, by leaf hash
    cried: dict[str, int] = field(default_factory=dict)  # by peer: how many emergencies
    unanswered: list[tuple[str, str, str, int, bytes]] = field(default_factory=list)
    answers: set[tuple[str, str]] = field(default_factory=set)  # emergency, by whom
