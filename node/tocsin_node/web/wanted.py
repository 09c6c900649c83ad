"""The parameters of a search: every one is bounded, and what is not understood is refused by name.

Values of one parameter that is given several times are alternatives; different parameters must all hold.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta

from aiohttp import web

from tocsin_node.storage.search import Place, Wanted
from tocsin_node.web.errors import BadParameter
from tocsin_node.web.paging import INTEGER_MAX, integer
from tocsin_schema import vocabulary as voc
from tocsin_schema.facets import key, system_keys
from tocsin_schema.form import TLP_WORDS
from tocsin_schema.shape import nearest
from tocsin_schema.words import sought, tokens

QUERY_MAX = 500
VALUE_MAX = 500
VALUES_MAX = 20
LISTED: Mapping[str, Sequence[str]] = {
    "grade": tuple(voc.GRADE),
    "tlp": tuple(TLP_WORDS),
    "state": ("active", "withdrawn"),
    "realization": tuple(voc.REALIZATION),
    "harm": tuple(voc.HARM_TYPE),
    "flag": tuple(voc.FLAG),
}
FREE = ("party", "country", "classification", "technique", "source")
LEVEL_MAX = 5


def wanted(request: web.Request, origin_of: Callable[[str], str]) -> Wanted:
    """What the request searches for. `origin_of`: a peer's name to its NodeID.

    Raises: BadParameter, and what `origin_of` raises.
    """
    any_of = [[key(name, value) for value in _listed(request, name)] for name in LISTED]
    any_of += [[key(name, value) for value in _values(request, name)] for name in FREE]
    any_of.append([found for value in _values(request, "system") for found in system_keys(value)])
    any_of.append([f"origin:{origin_of(name)}" for name in _values(request, "origin")])
    return Wanted(
        words=_words(request),
        any_of=[keys for keys in any_of if keys],
        min_level=_level(request),
        title=_title(request),
        since=_moment(request, "since"),
        until=_moment(request, "until", end=True),
        stored_since=_moment(request, "stored_since"),
        stored_until=_moment(request, "stored_until", end=True),
    )


def place(request: web.Request) -> Place:
    """Where the page begins: `cursor`, as an earlier page gave it as `next`.

    Raises: BadParameter.
    """
    seq, _, skip = request.query.get("cursor", "").partition(".")
    if not seq and not skip:
        return Place()
    if not all(part.isascii() and part.isdigit() and len(part) <= 19 for part in (seq, skip or "0")):
        raise BadParameter("cursor must be what `next` of an earlier page said.")
    return Place(min(int(seq), INTEGER_MAX), min(int(skip or "0"), INTEGER_MAX))


def cursor(at: Place | None) -> str | None:
    """A place as `next` says it."""
    return None if at is None else f"{at.seq}.{at.skip}" if at.skip else str(at.seq)


def _words(request: web.Request) -> str | None:
    said = request.query.get("q")
    if said is None:
        return None
    if len(said) > QUERY_MAX:
        raise BadParameter(f"q has {len(said):,} characters; at most {QUERY_MAX} are looked for.")
    if not tokens(said):
        raise BadParameter("q holds no word to look for.")
    return sought(said)


def _values(request: web.Request, name: str) -> list[str]:
    found = request.query.getall(name, [])
    if len(found) > VALUES_MAX:
        raise BadParameter(f"{name} may be given {VALUES_MAX} times at most.")
    for value in found:
        if not value.strip() or len(value) > VALUE_MAX:
            raise BadParameter(f"{name} must be 1 to {VALUE_MAX} characters.")
    return found


def _listed(request: web.Request, name: str) -> list[str]:
    known = LISTED[name]
    found = _values(request, name)
    for value in found:
        if value not in known:
            close = nearest(value[:100], dict.fromkeys(known))
            meant = f"did you mean {close}?" if close else f"there are: {', '.join(known)}."
            raise BadParameter(f"{name} has no value {value[:100]!r}; {meant}")
    return found


def _title(request: web.Request) -> str | None:
    said = request.query.get("text")
    if said is not None and len(said) > QUERY_MAX:
        raise BadParameter(f"text must be at most {QUERY_MAX} characters.")
    return said


def _level(request: web.Request) -> int | None:
    level = integer(request, "min_level")
    if level is not None and level > LEVEL_MAX:
        raise BadParameter(f"min_level must be 0 to {LEVEL_MAX}.")
    return level


def _moment(request: web.Request, name: str, *, end: bool = False) -> datetime | None:
    """A day (in UTC; as an `end` it is included whole) or a time with its zone."""
    said = request.query.get(name)
    if said is None:
        return None
    try:
        if len(said) == len("2025-03-24"):
            day = datetime.combine(date.fromisoformat(said), time(), UTC)
            return day + timedelta(days=1) if end else day
        moment = datetime.fromisoformat(said)
        if moment.tzinfo is None:
            raise BadParameter(f"{name} needs a time zone, such as 2025-03-24T10:15:00Z.")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError) as exc:
        raise BadParameter(f"{name} must be a day (2025-03-24) or a time (2025-03-24T10:15:00Z).") from exc
