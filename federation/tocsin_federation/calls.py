"""Calls between nodes: the author of a report declares an emergency, tells what changes, and stands it down.

A call is an entry of the author's log about one version of a report of its own. An emergency is what its calls say
together: each call carries the author's count within the emergency, and the highest count stands, whatever order they
come in. Standing down is final. What an emergency is (its report, whether it is a drill) never changes.

Whoever was called says how far the call got in answers: stored, rung, acknowledged by a person; and in a drill, what
it would have said. In an emergency that is no drill that word is a remark (`tocsin_federation.remarks`).
"""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from tocsin_federation.canonical import Form
from tocsin_federation.errors import CanonicalRefused, EntryRefused
from tocsin_federation.inbox import Outcome
from tocsin_federation.messages import (
    MAX_ACKNOWLEDGEMENT_BYTES,
    Header,
    Milliseconds,
    ReportId,
    Version,
)
from tocsin_federation.sharing import PeerPolicy, refuse_misdirected
from tocsin_schema.marking import Tlp

MAX_CALL_BYTES: Final = 64 * 1024
MAX_REASON: Final = 500
MAX_STEPS: Final = 20
MAX_STEP_NAME: Final = 120
MAX_STEP_TEXT: Final = 500

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
STEP_ID_PATTERN: Final = rf"\Acourse-of-action--{_UUID}\Z"
Uuid = Annotated[str, Meta(pattern=rf"\A{_UUID}\Z")]
State = Literal["declared", "updated", "stood-down"]
Stage = Literal["stored", "rung", "acknowledged", "answered"]
Said = Literal["affected", "not-affected", "investigating"]
LAST: Final = datetime(9999, 12, 30, tzinfo=UTC)
"""Databases take the very last moment for infinity, and zones look a day ahead."""

T = TypeVar("T", bound=msgspec.Struct)
STAGES: Final[tuple[Stage, ...]] = ("stored", "rung", "acknowledged", "answered")


class _Form(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What all forms have in common."""


class Step(_Form, frozen=True, kw_only=True):
    """What to do: a STIX course of action in short. `id`, `name` and `description` are that object's."""

    id: Annotated[str, Meta(pattern=STEP_ID_PATTERN)]
    name: Annotated[str, Meta(min_length=1, max_length=MAX_STEP_NAME)]
    description: Annotated[str, Meta(max_length=MAX_STEP_TEXT)] = ""


class Call(_Form, frozen=True, kw_only=True):
    """What one call says. Each stands for all that the emergency is from then on: a reader needs no earlier one.

    `key`: the author's own name for the emergency. `seq`: its count of calls, from 1. `since`: when it was declared;
    `at`: when this was said; both by the author's clock, and for people.
    """

    v: Literal[1]
    key: Uuid
    report_id: ReportId
    ver: Version
    seq: Version
    state: State
    drill: bool
    reason: Annotated[str, Meta(min_length=1, max_length=MAX_REASON)]
    since: Milliseconds
    at: Milliseconds
    steps: Annotated[tuple[Step, ...], Meta(max_length=MAX_STEPS)] = ()

    def __post_init__(self) -> None:
        """Refuse what no author can mean."""
        if (self.state == "declared") != (self.seq == 1):
            raise ValueError("the first call declares, and no other does")
        if len({step.id for step in self.steps}) != len(self.steps):
            raise ValueError("a step stands there twice")


class CallAnswer(_Form, frozen=True, kw_only=True):
    """How far a call got at the sender's (`stage`), or, `revoked`, that this no longer holds. It names no person.

    `emergency`: as `emergency_id` gives it. `at`: when, by the sender's clock. `said`: the word of a stage `answered`.
    """

    v: Literal[1]
    emergency: Uuid
    report_id: ReportId
    ver: Version
    stage: Stage
    at: Milliseconds
    revoked: bool
    said: Said | None = None

    def __post_init__(self) -> None:
        """Refuse a word without its stage, and the stage without a word."""
        if (self.said is not None) != (self.stage == "answered"):
            raise ValueError("a word belongs to the stage answered, and to no other")


CALL: Final = Form(Call, max_bytes=MAX_CALL_BYTES)
ANSWER: Final = Form(CallAnswer, max_bytes=MAX_ACKNOWLEDGEMENT_BYTES)


@dataclass(frozen=True, slots=True)
class Basis:
    """What is held of the report that a call is about. `origin`: NodeID of its owner.

    `tlp`: the marking of the version spoken of; None when that was never held here. `withdrawn`: the report was.
    """

    origin: str
    tlp: Tlp | None
    withdrawn: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """The call that stands for an emergency; `sha256`: of its content."""

    report_id: str
    drill: bool
    seq: int
    sha256: bytes
    final: bool


def emergency_id(author: str, key: str) -> str:
    """The name of an emergency, the same at every node: no other node can take it. `author`: NodeID (P-141)."""
    return str(uuid.uuid5(uuid.UUID(key), author))


def read_call(content: bytes) -> Call:
    """The call that a `call` entry holds. Raises: EntryRefused `content-invalid`, `unsupported` (P-140)."""
    return _read(CALL, content)


def read_answer(content: bytes) -> CallAnswer:
    """The answer that an `answer` entry holds. Raises: EntryRefused `content-invalid`, `unsupported` (P-146)."""
    return _read(ANSWER, content)


def admit_call(header: Header, call: Call, *, policy: PeerPolicy, me: str) -> None:
    """Return when a call that was opened may be looked at further.

    All of this must hold, in this order (PROTOCOL.md, 12):

    1. [P-80] the header is by the peer whose policy this is, names `me`, and is a call's;
    2. [P-81] header and content agree on the report's id and version;
    3. [P-83] the peer is active, and the marking is not above what is taken from it.

    Raises: EntryRefused with the code of the first that fails.
    """
    # (1) P-80
    refuse_misdirected(header, policy, me)
    if header.t != "call":
        raise EntryRefused("header-invalid")
    # (2) P-81
    if (call.report_id, call.ver) != (header.id, header.ver):
        raise EntryRefused("inner-mismatch")
    # (3) P-83
    if not policy.active:
        raise EntryRefused("peer-inactive")
    if header.tlp.rank > policy.max_tlp_in.rank:
        raise EntryRefused("above-ceiling")


def refuse_baseless(call: Call, tlp: Tlp, basis: Basis | None, *, by: str) -> None:
    """Return when `by` may call about what is held. `tlp`: the call's marking.

    In this order (PROTOCOL.md, 12):

    1. [P-142] the report is held, in the version that is spoken of;
    2. [P-142] it is `by`'s own;
    3. [P-143] the call is not marked more mildly than that version was;
    4. [P-142] the report was not withdrawn, unless the call stands the emergency down.

    Raises: EntryRefused with the code of the first that fails.
    """
    # (1) P-142
    if basis is None or basis.tlp is None:
        raise EntryRefused("unknown-report")
    # (2) P-142
    if basis.origin != by:
        raise EntryRefused("not-owner")
    # (3) P-143
    if tlp.rank < basis.tlp.rank:
        raise EntryRefused("marking-looser")
    # (4) P-142
    if basis.withdrawn and call.state != "stood-down":
        raise EntryRefused("already-withdrawn")


def decide_call(standing: Standing | None, call: Call, *, sha256: bytes) -> tuple[Outcome, str | None]:
    """What becomes of a call that may come in, and why when it is refused.

    In this order (PROTOCOL.md, 12, [P-144]):

    1. nothing is held of the emergency: stored;
    2. the very bytes are held: unchanged;
    3. it is about another report, or a drill became earnest, or earnest a drill: refused `call-changed`;
    4. an earlier count than the one held: superseded;
    5. the count held with other bytes: refused `version-conflict`;
    6. the emergency was stood down: refused `already-stood-down`;
    7. a later count: stored.
    """
    if standing is None:
        return Outcome.STORED, None
    if standing.sha256 == sha256:
        return Outcome.UNCHANGED, None
    if (standing.report_id, standing.drill) != (call.report_id, call.drill):
        return Outcome.REFUSED, "call-changed"
    if call.seq < standing.seq:
        return Outcome.SUPERSEDED, None
    if call.seq == standing.seq:
        return Outcome.REFUSED, "version-conflict"
    if standing.final:
        return Outcome.REFUSED, "already-stood-down"
    return Outcome.STORED, None


def admit_answer(header: Header, answer: CallAnswer, *, policy: PeerPolicy, me: str) -> None:
    """Return when an answer that was opened may be taken (PROTOCOL.md, 12, [P-147]).

    The peer's ceiling does not count: it says nothing of the report. Whether it answers a call of ours that was sealed
    to that peer is for the caller, who knows the calls. Raises: EntryRefused.
    """
    refuse_misdirected(header, policy, me)
    if header.t != "answer":
        raise EntryRefused("header-invalid")
    if (answer.report_id, answer.ver) != (header.id, header.ver):
        raise EntryRefused("inner-mismatch")
    if not policy.active:
        raise EntryRefused("peer-inactive")


def milliseconds(at: datetime) -> int:
    """A moment as calls carry it."""
    return int(at.timestamp() * 1000)


def moment(ms: int) -> datetime:
    """The moment that a call carries; one beyond every calendar is the last that can be counted with (`LAST`)."""
    try:
        return min(datetime.fromtimestamp(ms / 1000, UTC), LAST)
    except (OverflowError, ValueError, OSError):
        return LAST


def _read(form: Form[T], content: bytes) -> T:
    try:
        return form.decode(content)
    except CanonicalRefused as exc:
        told = exc.value if isinstance(exc.value, dict) else {}
        v = told.get("v")
        raise EntryRefused("unsupported" if type(v) is int and v != 1 else "content-invalid") from exc
