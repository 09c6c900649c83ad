"""Comparing what two nodes hold of one log's entries for one of them: cheap when it is the same, exact when it is not.

One of the two wrote the log; the other reads it. The author knows what it sealed to the reader, the reader what it
took. Both sum the places of whole ranges; ranges whose sums differ are cut into parts, and the narrowest are listed
entry by entry. What the other side answers is its word and no proof. That both speak of one log, its head proves.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated, Final, Literal, TypeVar

import msgspec
from msgspec import Meta

from tocsin_federation.canonical import Form
from tocsin_federation.errors import CanonicalRefused, CompareRefused
from tocsin_federation.relaying import MENDABLE

LABEL: Final = b"tocsin/1/held\x00"
WIDEST: Final = 1_048_576  # places in one question, and so in one range
LISTED: Final = 256  # a range of so many places is listed
PARTS: Final = 16
MAX_RANGES: Final = 1024
MAX_LISTED: Final = 1024  # places that are listed in one answer
MAX_ANSWER_BYTES: Final = 256 * 1024
T = TypeVar("T", bound=msgspec.Struct)

Place = Annotated[int, Meta(ge=0, lt=2**53)]
Range = tuple[Place, Place]
Remedy = Literal["fetch", "offer", "give-back", "theirs", "kept-out", "none"]
State = Literal["sealed", "withheld", "stored", "unchanged", "superseded", "refused", "quarantined"]
HELD: Final = frozenset({"sealed", "withheld", "stored", "unchanged", "superseded"})
"""The states whose entries are summed: what was sealed to the reader, and what the reader took."""
KEPT_OUT: Final = ("refused", "erased")
"""State and code of what does not come in again at the reader [P-192], [P-260]."""


class Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`ranges`: [from, to) of places in the log, ascending and apart. `listed`: each entry, and not their sums."""

    v: Literal[1]
    ranges: Annotated[tuple[Range, ...], Meta(min_length=1, max_length=MAX_RANGES)]
    listed: bool


class Sum(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`n` entries of a range, and the SHA-256 over their places."""

    n: Annotated[int, Meta(ge=0)]
    sum: Annotated[bytes, Meta(min_length=32, max_length=32)]


class Listed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One entry as who answers has it. `code`: why it was not taken."""

    at: Place
    state: State
    code: Annotated[str, Meta(pattern=r"\A[a-z0-9]+(?:-[a-z0-9]+)*\Z", max_length=64)] | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`next`: up to where who answers has worked through the log; the author, how long it is. One sum a range."""

    v: Literal[1]
    next: Place
    sums: Annotated[tuple[Sum, ...], Meta(max_length=MAX_RANGES)]
    entries: Annotated[tuple[Listed, ...], Meta(max_length=MAX_LISTED)]


_QUESTION = Form(Question, max_bytes=64 * 1024)
_ANSWER = Form(Answer, max_bytes=MAX_ANSWER_BYTES)


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where the two do not hold the same. `here`, `there`: None where there is nothing of it.

    `remedy`: `fetch` (ask for it again), `offer` (make its wrap anew), `give-back` (they hold what we lost),
    `theirs` (their operator has to act), `kept-out` (the reader's people erased it and let it in no more: they have
    decided so, and nothing is amiss), `none` (a rule forbids it, or nobody can).
    """

    at: int
    here: str | None
    there: str | None
    code: str | None
    remedy: Remedy


def write_question(ranges: Sequence[Range], *, listed: bool) -> bytes:
    """The question: strict canonical JSON."""
    return _QUESTION.encode(Question(v=1, ranges=tuple(ranges), listed=listed))


def read_question(raw: bytes) -> Question:
    """The question, once its ranges are in order and within their limits [P-225].

    Raises: CompareRefused `compare-malformed`.
    """
    asked = _read(_QUESTION, raw)
    last = 0
    for low, high in asked.ranges:
        if not last <= low < high:
            raise CompareRefused("compare-malformed")
        last = high
    if sum(high - low for low, high in asked.ranges) > (MAX_LISTED if asked.listed else WIDEST):
        raise CompareRefused("compare-malformed")
    return asked


def write_answer(next_index: int, sums: Iterable[Sum] = (), entries: Iterable[Listed] = ()) -> bytes:
    """The answer: strict canonical JSON."""
    return _ANSWER.encode(Answer(v=1, next=next_index, sums=tuple(sums), entries=tuple(entries)))


def read_answer(raw: bytes, asked: Question) -> Answer:
    """The answer to `asked`: a sum for each range, or entries ascending that lie in them. Nothing of it is proven.

    Raises: CompareRefused `compare-malformed`.
    """
    answer = _read(_ANSWER, raw)
    if len(answer.sums) != (0 if asked.listed else len(asked.ranges)) or (
        answer.entries and not asked.listed
    ):
        raise CompareRefused("compare-malformed")
    places = [entry.at for entry in answer.entries]
    within = all(any(low <= at < high for low, high in asked.ranges) for at in places)
    if not within or places != sorted(set(places)):
        raise CompareRefused("compare-malformed")
    return answer


def summed(places: Iterable[int]) -> Sum:
    """The sum over places, ascending. Which leaf stands at a place, the signed head says for both."""
    digest, count = sha256(LABEL), 0
    for at in places:
        digest.update(at.to_bytes(8, "big"))
        count += 1
    return Sum(n=count, sum=digest.digest())


def whole(size: int) -> list[Range]:
    """The ranges to begin with: all places below `size`."""
    return [(low, min(low + WIDEST, size)) for low in range(0, size, WIDEST)]


def parts(ranges: Sequence[Range]) -> list[Range]:
    """Each range cut into sixteen, and none narrower than what is listed."""
    cut = []
    for low, high in ranges:
        step = max(LISTED, -(-(high - low) // PARTS))
        cut += [(start, min(start + step, high)) for start in range(low, high, step)]
    return cut


def questions(ranges: Sequence[Range], *, listed: bool) -> list[list[Range]]:
    """The ranges in as few questions as the limits allow."""
    most, places = (MAX_LISTED if listed else WIDEST), 0
    found: list[list[Range]] = [[]]
    for low, high in ranges:
        if found[-1] and (places + high - low > most or len(found[-1]) == MAX_RANGES):
            found.append([])
            places = 0
        found[-1].append((low, high))
        places += high - low
    return [each for each in found if each]


def differences(here: Mapping[int, Listed], there: Mapping[int, Listed], *, ours: bool) -> list[Difference]:
    """Where the two do not hold the same, of ranges that both have listed. `ours`: we wrote the log."""
    found = []
    for at in sorted({*here, *there}):
        mine, theirs = here.get(at), there.get(at)
        if mine is not None and theirs is not None and {mine.state, theirs.state} <= HELD:
            continue
        author, reader = (mine, theirs) if ours else (theirs, mine)
        code = reader.code if reader is not None else None
        found.append(Difference(at, _state(mine), _state(theirs), code, _remedy(author, reader, ours=ours)))
    return found


def _state(entry: Listed | None) -> str | None:
    return None if entry is None else entry.state


def _remedy(author: Listed | None, reader: Listed | None, *, ours: bool) -> Remedy:
    if author is None:
        taken = reader is not None and reader.state in HELD
        return ("give-back" if ours else "theirs") if taken else "none"
    if reader is not None and (reader.state, reader.code) == KEPT_OUT:
        return "kept-out"
    if author.state == "withheld":
        return "none"
    if reader is None:
        return "theirs" if ours else "fetch"
    if reader.state == "quarantined" and reader.code in MENDABLE:
        return "offer" if ours else "fetch"
    return "none"


def _read(form: Form[T], raw: bytes) -> T:
    try:
        return form.decode(raw)
    except CanonicalRefused as exc:
        raise CompareRefused("compare-malformed") from exc
