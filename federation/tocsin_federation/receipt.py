"""Receipts between nodes: what became of an author's entries at a reader's, told to the author alone.

A receipt names entries by their leaf hashes and says a state of each; it names no report and no person. Many entries
go into one receipt. Acknowledgements stay what they are: that a person has seen something is not said here. Nobody
owes a receipt for what answers (`OWED`), so that two nodes never answer each other without end. Who passed a report on
tells its author in the same form what its readers said of that (`v` 2).
"""

import re
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from tocsin_federation.canonical import Form
from tocsin_federation.errors import CanonicalRefused, EntryRefused
from tocsin_federation.messages import REPORT_ID_PATTERN, Hash, Header, Milliseconds, NodeId
from tocsin_federation.sharing import PeerPolicy, refuse_misdirected

MAX_RECEIPT_BYTES: Final = 64 * 1024
MAX_ITEMS: Final = 256
CODE_PATTERN: Final = r"\A[a-z0-9]+(-[a-z0-9]+)*\Z"

End = Literal["stored", "unchanged", "superseded", "refused", "quarantined"]
State = Literal[End, "alerted", "waiting", "purged", "narrowed"]
NOT_TAKEN: Final = frozenset({"refused", "quarantined"})
_OWED_NOT: Final = frozenset({"ack", "answer", "receipt"})


class _Form(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What all forms have in common."""


class Item(_Form, frozen=True, kw_only=True):
    """A state of one entry. `entry`: its leaf hash. `at`: since when, by the sender's clock. `code`: why not taken.

    The five ends of an entry (`inbox.Outcome`); `alerted`: a way to people took the alert that it raised. Of a recall:
    `waiting`: a person there has to decide; `purged`: nothing that it is about is held any more; `narrowed`: what is
    held carries the stricter marking. `by`: in a receipt of `v` 2 alone, the reader that said so of an entry of the
    sender's log, which passed a report of the receipt's reader on to it (P-270).
    """

    entry: Hash
    state: State
    at: Milliseconds
    code: Annotated[str, Meta(pattern=CODE_PATTERN, max_length=64)] | None = None
    by: NodeId | None = None

    def __post_init__(self) -> None:
        """Refuse a reason where nothing needs one, and the lack of one."""
        if (self.code is not None) != (self.state in NOT_TAKEN):
            raise ValueError("a code belongs to what was not taken, and to nothing else")


class Receipt(_Form, frozen=True, kw_only=True):
    """What one receipt says. Of two items about one entry and state, the later in the log counts."""

    v: Literal[1, 2]
    items: Annotated[tuple[Item, ...], Meta(min_length=1, max_length=MAX_ITEMS)]

    def __post_init__(self) -> None:
        """Refuse to be told one thing twice, and what readers said beside what the sender says itself."""
        if len({(item.entry, item.state, item.by) for item in self.items}) != len(self.items):
            raise ValueError("one state of one entry stands there twice")
        if any((item.by is None) != (self.v == 1) for item in self.items):
            raise ValueError("what readers said stands in version 2, and nothing else does")


RECEIPT: Final = Form(Receipt, max_bytes=MAX_RECEIPT_BYTES)


@dataclass(frozen=True, slots=True)
class Told:
    """A state of an entry, to be told to its author. `by`: the reader (NodeID) that said so, of what was passed on."""

    entry: bytes
    state: State
    at: datetime
    code: str | None = None
    by: str | None = None


class _Named(msgspec.Struct):
    t: str
    id: str | None = None
    ver: int | None = None


_NAMED: Final = msgspec.json.Decoder(_Named)
_REPORT_ID: Final = re.compile(REPORT_ID_PATTERN)


def owed(leaf: bytes) -> bool:
    """Whether whoever is sent the entry with this header owes a receipt for it (P-181).

    The header may be any bytes: what is not understood is told, too.
    """
    try:
        return _NAMED.decode(leaf).t not in _OWED_NOT
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return True


def about(leaf: bytes) -> tuple[str | None, int | None]:
    """The report and the version that a header seems to speak of; it may be any bytes, and nothing is checked."""
    try:
        named = _NAMED.decode(leaf)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None, None
    if named.id is None or not _REPORT_ID.match(named.id):  # a piece of an id is the name of nothing
        return None, None
    return named.id, named.ver if named.ver is not None and 0 < named.ver < 2**31 else None


def write_receipt(told: list[Told]) -> bytes:
    """The content of a `receipt` entry: at most `MAX_ITEMS`, each state of an entry once; the last one counts.

    All of it is what readers said of what was passed on, or nothing is.
    """
    items = {(one.entry, one.state, one.by): one for one in told}.values()
    return RECEIPT.encode(
        Receipt(
            v=1 if told[0].by is None else 2,
            items=tuple(
                Item(
                    entry=one.entry,
                    state=one.state,
                    at=int(one.at.timestamp() * 1000),
                    code=one.code,
                    by=one.by,
                )
                for one in items
            ),
        )
    )


def read_receipt(content: bytes) -> Receipt:
    """The receipt that a `receipt` entry holds. Raises: EntryRefused `content-invalid`, `unsupported` (P-180)."""
    try:
        return RECEIPT.decode(content)
    except CanonicalRefused as exc:
        raise EntryRefused("unsupported" if later_form(exc.value, 2) else "content-invalid") from exc


def admit_receipt(header: Header, receipt: Receipt, *, policy: PeerPolicy, me: str) -> None:
    """Return when a receipt that was opened may be taken.

    All of this must hold, in this order (PROTOCOL.md, 14):

    1. [P-80] the header is by the peer whose policy this is, names `me`, and is a receipt's;
    2. [P-182] it refers to the first entry that the receipt tells of;
    3. [P-183] the peer is active; its ceiling does not count.

    Which of the entries are ours, and were sealed to that peer, is for the caller, who knows the log: `ours`; of `v` 2
    what the peer passed on: `onward`.

    Raises: EntryRefused with the code of the first that fails.
    """
    # (1) P-80
    refuse_misdirected(header, policy, me)
    if header.t != "receipt":
        raise EntryRefused("header-invalid")
    # (2) P-182
    if header.ref != receipt.items[0].entry:
        raise EntryRefused("inner-mismatch")
    # (3) P-183
    if not policy.active:
        raise EntryRefused("peer-inactive")


def ours(receipt: Receipt, sealed: AbstractSet[bytes]) -> tuple[Item, ...]:
    """The items about what our log sealed to the sender (`sealed`: leaf hashes); the others are passed over (P-184).

    Raises: EntryRefused `not-ours` when there is none.
    """
    items = tuple(item for item in receipt.items if item.entry in sealed)
    if not items:
        raise EntryRefused("not-ours")
    return items


def onward(receipt: Receipt, passed: AbstractSet[tuple[bytes, str]]) -> tuple[Item, ...]:
    """The items about what the sender passed on of ours (`passed`: leaf hash of its entry, NodeID of a reader; P-271).

    Raises: EntryRefused `not-ours` when there is none.
    """
    items = tuple(item for item in receipt.items if (item.entry, item.by) in passed)
    if not items:
        raise EntryRefused("not-ours")
    return items


def later_form(value: object, newest: int = 1) -> bool:
    """Whether canonical JSON that is no form of ours is of another `v` than 1 to `newest`."""
    v = value.get("v") if isinstance(value, dict) else None
    return type(v) is int and not 1 <= v <= newest
