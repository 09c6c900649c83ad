"""The forms of what nodes say inside the log: the header of an entry (its leaf) and the acknowledgement.

A header is public to the entry's recipients and hidden, behind its hash, from everybody else. Fields are in
the wire's words. Binary values are standard base64 in JSON and bytes here; times are Unix milliseconds.
Whatever a form does not name is refused; what a later version may bring (another `v`, kind, audience or
suite) is told apart as `unsupported`, so that an entry can be kept until this node has learnt it.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal, get_args

import msgspec
from msgspec import Meta

from tocsin_federation.canonical import MAX_INT, Form
from tocsin_federation.errors import CanonicalRefused, EntryRefused
from tocsin_federation.node_id import NODE_ID_PATTERN
from tocsin_schema.marking import Tlp

MAX_LEAF_BYTES = 16 * 1024
MAX_ACKNOWLEDGEMENT_BYTES = 4 * 1024
MAX_RECIPIENTS = 256

Kind = Literal[
    "publish", "revoke", "ack", "remark", "call", "answer", "receipt", "recall", "circle", "share", "complain"
]
KINDS: Final[frozenset[str]] = frozenset(get_args(Kind))
VERSIONS: Final[frozenset[str]] = frozenset({"publish", "revoke"})  # these carry a version of a report
ANSWERS: Final[frozenset[str]] = KINDS - VERSIONS - {"circle"}  # these refer to an entry that came before
NAMELESS: Final[frozenset[str]] = frozenset(
    {"receipt", "recall"}
)  # these name no report, so that it can be erased
OWN_NAMES: Final[frozenset[str]] = NAMELESS | {"circle"}  # their `id` is not a report's
SEVERAL: Final[frozenset[str]] = VERSIONS | {
    "remark",
    "call",
    "recall",
    "circle",
}  # these may have several readers
SUITE: Final = 1
PROGRESS_V: Final = 2

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
REPORT_ID_PATTERN = rf"\Aincident--{_UUID}\Z"
ENTRY_ID_PATTERN = rf"\A(?:incident|{'|'.join(sorted(OWN_NAMES))})--{_UUID}\Z"

NodeId = Annotated[str, Meta(pattern=NODE_ID_PATTERN)]
ReportId = Annotated[str, Meta(pattern=REPORT_ID_PATTERN)]
EntryId = Annotated[str, Meta(pattern=ENTRY_ID_PATTERN)]
Hash = Annotated[bytes, Meta(min_length=32, max_length=32)]
Salt = Annotated[bytes, Meta(min_length=24, max_length=24)]
Milliseconds = Annotated[int, Meta(ge=0, le=MAX_INT)]
Version = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class _Form(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What all forms have in common."""


class Audience(_Form, frozen=True, kw_only=True):
    """Who may read: `nodes`, NodeIDs ascending, each once; or nobody is named, and who holds a wrap may.

    Nobody is named where one of the readers asked for that (`unnamed`, P-217), and of a circle's members.

    `circle`: the circle's id. `epoch`: of its manifest. `cseq`: the author's count of its entries to this circle, from
    1, without gaps. `cprev`: leaf hash of the entry before in that count.
    """

    nodes: Annotated[tuple[NodeId, ...], Meta(min_length=1, max_length=MAX_RECIPIENTS)] = ()
    circle: Hash | None = None
    epoch: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    cseq: Annotated[int, Meta(ge=1, le=MAX_INT)] | None = None
    cprev: Hash | None = None
    unnamed: bool = False

    def __post_init__(self) -> None:
        """Refuse a second spelling of one audience, and half of one."""
        if any(a >= b for a, b in zip(self.nodes, self.nodes[1:], strict=False)):
            raise ValueError("nodes are not ascending")
        if self.circle is None:
            whole = bool(self.nodes) != self.unnamed and (self.epoch, self.cseq, self.cprev) == (None,) * 3
        else:
            counted = self.cseq is not None and (self.cprev is None) == (self.cseq == 1)
            whole = not self.nodes and not self.unnamed and self.epoch is not None and counted
        if not whole:
            raise ValueError("an audience is nodes, or nobody by name, or a circle with epoch and count")

    def may_name(self, node_id: str) -> bool:
        """Whether the node may be meant: it is named, or nobody is; then the wrap says so, and a circle's manifest."""
        return not self.nodes or node_id in self.nodes


class Encryption(_Form, frozen=True, kw_only=True):
    """How the body is sealed. `kc`: key commitment; `ct`: SHA-256 of the ciphertext; `n`: its length."""

    suite: Literal[1]
    salt: Salt
    kc: Hash
    ct: Hash
    n: Annotated[int, Meta(ge=0, le=MAX_INT)]


class Facts(_Form, frozen=True, kw_only=True):
    """A header without its `enc`: what the body's key is bound to.

    `t`: kind. `by`: author. `id`, `ver`: the report and the author's count of its versions, from 1; of a `circle`
    entry the circle, and its epoch plus one. `prev`:
    leaf hash of the entry that carried the version before. `ref`: leaf hash of the entry that an `ack`, a `remark` or
    an `answer` answers, that a `call` is about, a `share` passes on, or a `complain` speaks of; `ver` is then the
    version that this one carried, or speaks of.
    A `receipt` and a `recall` have a name of their own as `id`, and `ver` 1: they name entries by their hashes alone,
    of which `ref` is the first.
    `ts`: when the author says it was sealed; for people, never for order.
    """

    v: Literal[1]
    t: Kind
    by: NodeId
    id: EntryId
    ver: Version
    ts: Milliseconds
    aud: Audience
    tlp: Tlp
    prev: Hash | None = None
    ref: Hash | None = None

    def __post_init__(self) -> None:
        """Refuse what no author can mean."""
        if self.by in self.aud.nodes:
            raise ValueError("the author is in its own audience")
        if self.prev is not None and (self.ver == 1 or self.t not in VERSIONS):
            raise ValueError("prev without a version before")
        if self.aud.circle is not None and self.t not in VERSIONS:
            raise ValueError("only versions of reports are addressed to circles")
        if self.aud.unnamed and self.t not in SEVERAL:
            raise ValueError("what has one reader, or is passed on, names its readers")
        if (self.ref is not None) != (self.t in ANSWERS):
            raise ValueError("ref belongs to what speaks of an entry, and each such has one")
        if self.id.partition("--")[0] != (self.t if self.t in OWN_NAMES else "incident"):
            raise ValueError("the id is not of this kind")
        if self.t in NAMELESS and self.ver != 1:
            raise ValueError("what names no report has no versions")

    @property
    def at(self) -> datetime:
        """`ts` as an aware datetime in UTC."""
        return datetime.fromtimestamp(self.ts / 1000, UTC)


class Header(Facts, frozen=True, kw_only=True):
    """A whole header. Its canonical bytes are the leaf; their hash stands in the log."""

    enc: Encryption


Later = Literal["taken", "resolved", "unanswered", "muted", "escalated"]
State = Later | Literal["acknowledged"]
LATER_STATES: Final[frozenset[str]] = frozenset({"taken", "resolved", "unanswered", "muted", "escalated"})
MUTE_MAX_MS: Final = 31 * 24 * 3600 * 1000  # a longer one is no mute


class Acknowledgement(_Form, frozen=True, kw_only=True):
    """A responder at the sender's has seen a version of a report, or (`revoked`) takes that back.

    It names no person. `at`: when, by the sender's clock.
    """

    v: Literal[1]
    report_id: ReportId
    ver: Version
    at: Milliseconds
    revoked: bool

    @property
    def state(self) -> State:
        """As in `Progress`."""
        return "acknowledged"

    @property
    def until(self) -> None:
        """As in `Progress`."""
        return


class Progress(_Form, frozen=True, kw_only=True):
    """What became of a version at the sender's after it rang there: version 2 of the acknowledgement.

    `taken`: somebody works on it. `resolved`: for them it is over. `unanswered`: everybody was called there and
    nobody has answered; an acknowledgement that follows puts an end to that. `muted`: nobody is called there before
    `until`, which stands there alone, and not where the mute is `revoked`. `escalated`: further people were called.
    """

    v: Literal[2]
    report_id: ReportId
    ver: Version
    at: Milliseconds
    revoked: bool
    state: Later
    until: Milliseconds | None = None

    def __post_init__(self) -> None:
        """Refuse a mute without an end, one that has hardly any, and an end of anything else."""
        if (self.until is not None) != (self.state == "muted" and not self.revoked):
            raise ValueError("a mute has an end, and nothing else has one")
        if self.until is not None and not 0 < self.until - self.at <= MUTE_MAX_MS:
            raise ValueError("a mute ends after it begins, and within 31 days")


FACTS: Final = Form(Facts, max_bytes=MAX_LEAF_BYTES)
HEADER: Final = Form(Header, max_bytes=MAX_LEAF_BYTES)
ACKNOWLEDGEMENT: Final = Form(Acknowledgement, max_bytes=MAX_ACKNOWLEDGEMENT_BYTES)
PROGRESS: Final = Form(Progress, max_bytes=MAX_ACKNOWLEDGEMENT_BYTES)


def facts_of(header: Header) -> Facts:
    """The header without its `enc`."""
    return Facts(**{name: getattr(header, name) for name in Facts.__struct_fields__})


def read_header(leaf: bytes) -> Header:
    """The header that `leaf` holds.

    Raises: EntryRefused `too-large`, `not-canonical`, `unsupported`, `header-invalid`.
    """
    try:
        return HEADER.decode(leaf)
    except CanonicalRefused as exc:
        if exc.code != "wrong-form":
            raise EntryRefused(exc.code) from exc
        code = "unsupported" if _is_later(exc.value) else "header-invalid"
        raise EntryRefused(code) from exc


def write_acknowledgement(
    report_id: str,
    ver: int,
    at: datetime,
    *,
    revoked: bool,
    state: State = "acknowledged",
    until: datetime | None = None,
) -> bytes:
    """The content of an `ack` entry. Acknowledgements proper keep the form that every node knows.

    `until`: of a mute that stands.
    """
    ms = int(at.timestamp() * 1000)
    if state == "acknowledged":
        return ACKNOWLEDGEMENT.encode(
            Acknowledgement(v=1, report_id=report_id, ver=ver, at=ms, revoked=revoked)
        )
    end = None if until is None else int(until.timestamp() * 1000)
    return PROGRESS.encode(
        Progress(v=2, report_id=report_id, ver=ver, at=ms, revoked=revoked, state=state, until=end)
    )


def read_acknowledgement(content: bytes) -> Acknowledgement | Progress:
    """What an `ack` entry holds.

    Raises: EntryRefused `content-invalid`; `unsupported` for a later `v` and for a state that is not known yet.
    """
    try:
        return ACKNOWLEDGEMENT.decode(content)
    except CanonicalRefused as exc:
        told = exc.value if isinstance(exc.value, dict) else {}
        if told.get("v") != PROGRESS_V:
            raise EntryRefused("unsupported" if _other_int(told.get("v"), 1) else "content-invalid") from exc
    try:
        return PROGRESS.decode(content)
    except CanonicalRefused as exc:
        state = told.get("state")
        later = isinstance(state, str) and state not in LATER_STATES
        raise EntryRefused("unsupported" if later else "content-invalid") from exc


def _is_later(value: object) -> bool:
    """Whether canonical JSON that is no header of ours looks like one of a later version."""
    if not isinstance(value, dict):
        return False
    field: dict[str, Any] = value
    kind, audience, enc = field.get("t"), field.get("aud"), field.get("enc")
    return (
        _other_int(field.get("v"), 1)
        or (isinstance(kind, str) and kind not in KINDS)
        or (isinstance(audience, dict) and not {"nodes", "circle", "unnamed"} & audience.keys())
        or (isinstance(enc, dict) and _other_int(enc.get("suite"), SUITE))
    )


def _other_int(value: object, ours: int) -> bool:
    return type(value) is int and value != ours
