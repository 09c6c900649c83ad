"""Recalls between nodes: an author takes back what it gave, or says that it is marked more strictly from now on.

A recall stands in the author's log and is sealed to those that have what it is about. It names entries of that log by
their leaf hashes, one or more, and means the whole report that each of them carried, in all versions; it names no
report, so that nothing of the report has to be kept to prove that it was recalled. A reader obeys for reports of that
author alone, answers with a receipt, and remembers what it purged, so that it does not come in again by another door.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from tocsin_federation.canonical import Form
from tocsin_federation.errors import CanonicalRefused, EntryRefused
from tocsin_federation.messages import MAX_RECIPIENTS, Hash, Header, Milliseconds
from tocsin_federation.receipt import later_form
from tocsin_federation.sharing import PeerPolicy, refuse_misdirected
from tocsin_schema.marking import Tlp

MAX_RECALL_BYTES: Final = 32 * 1024
MAX_REASON: Final = 500

What = Literal["purge", "narrow"]


class Recall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one recall says.

    `what`: `purge`, you may not hold it any more; `narrow`, you may, and the header's `tlp` is its marking from now on,
    that of its earlier versions too. `entries`: leaf hashes, each once. `deadline`: by when, by the author's clock.
    """

    v: Literal[1]
    what: What
    entries: Annotated[tuple[Hash, ...], Meta(min_length=1, max_length=MAX_RECIPIENTS)]
    reason: Annotated[str, Meta(min_length=1, max_length=MAX_REASON)]
    at: Milliseconds
    deadline: Milliseconds

    def __post_init__(self) -> None:
        """Refuse what no author can mean."""
        if len(set(self.entries)) != len(self.entries):
            raise ValueError("an entry stands there twice")
        if self.deadline < self.at:
            raise ValueError("the deadline lies before the recall")


RECALL: Final = Form(Recall, max_bytes=MAX_RECALL_BYTES)


@dataclass(frozen=True, slots=True)
class Carried:
    """What an entry of the author's log brought here. `owner`: NodeID of the node that the report held belongs to.

    None: nothing is held under that id (any more).
    """

    report_id: str
    owner: str | None


def read_recall(content: bytes) -> Recall:
    """The recall that a `recall` entry holds. Raises: EntryRefused `content-invalid`, `unsupported` (P-185)."""
    try:
        return RECALL.decode(content)
    except CanonicalRefused as exc:
        raise EntryRefused("unsupported" if later_form(exc.value) else "content-invalid") from exc


def write_recall(what: What, entries: list[bytes], reason: str, *, at: datetime, deadline: datetime) -> bytes:
    """The content of a `recall` entry. `entries`: leaf hashes of the author's log, the first is the entry's `ref`."""
    return RECALL.encode(
        Recall(
            v=1,
            what=what,
            entries=tuple(dict.fromkeys(entries)),
            reason=reason,
            at=int(at.timestamp() * 1000),
            deadline=int(deadline.timestamp() * 1000),
        )
    )


def admit_recall(header: Header, recall: Recall, *, policy: PeerPolicy, me: str) -> None:
    """Return when a recall that was opened may be taken.

    All of this must hold, in this order (PROTOCOL.md, 14):

    1. [P-80] the header is by the peer whose policy this is, names `me`, and is a recall's;
    2. [P-186] it refers to the first entry that is recalled;
    3. [P-187] the peer is active; its ceiling does not count: to give back is never too secret.

    Raises: EntryRefused with the code of the first that fails.
    """
    # (1) P-80
    refuse_misdirected(header, policy, me)
    if header.t != "recall":
        raise EntryRefused("header-invalid")
    # (2) P-186
    if header.ref != recall.entries[0]:
        raise EntryRefused("inner-mismatch")
    # (3) P-187
    if not policy.active:
        raise EntryRefused("peer-inactive")


def recalled(recall: Recall, carried: Mapping[bytes, Carried], *, by: str) -> tuple[str, ...]:
    """The reports that a recall by `by` reaches here, each once (P-188).

    `carried`: what the entries of that author's log that were addressed to us brought, by leaf hash; an entry that is
    not among them was never here, and there is nothing to do about it. A report that belongs to another node is not
    the author's to recall, and is passed over.

    Raises: EntryRefused `not-owner` when all that it reaches belongs to others.
    """
    known = [carried[entry] for entry in recall.entries if entry in carried]
    reached = dict.fromkeys(one.report_id for one in known if one.owner in {None, by})
    if known and not reached:
        raise EntryRefused("not-owner")
    return tuple(reached)


def stricter(held: Tlp, marking: Tlp) -> Tlp:
    """What counts of two markings of one report (P-190)."""
    return max(held, marking, key=lambda tlp: tlp.rank)
