"""Parameters of the address: numbers, flags, page sizes; and no zero characters, which no database text can hold."""

import math
from collections.abc import Mapping
from datetime import datetime

from aiohttp import web
from aiohttp.typedefs import Middleware

from tocsin_node.web.errors import BadParameter
from tocsin_node.web.route import OPEN, PEER, Handler, Route
from tocsin_schema.shape import nearest

PAGE_DEFAULT = 50
PAGE_MAX = 500
INTEGER_MAX = 2**63 - 1
TRUE = frozenset({"1", "true", "yes", ""})
FALSE = frozenset({"0", "false", "no"})


@web.middleware
async def no_zero_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuses an address with a zero character in its path or in a parameter."""
    if "\0" in request.path or any("\0" in value for value in request.query.values()):
        raise BadParameter("The address holds a zero character.")
    return await handler(request)


def known_parameters_middleware(table: Mapping[web.AbstractRoute, Route]) -> Middleware:
    """Refuses a parameter that the route does not know: `shared=0` for `share=0` would send a report to everybody.

    Peers, who may be of a later version, and probes are let pass.
    """

    @web.middleware
    async def known_only(request: web.Request, handler: Handler) -> web.StreamResponse:
        route = table.get(request.match_info.route)
        if route is not None and route.scope not in {OPEN, PEER}:
            for name in request.query:
                if name not in route.query:
                    raise BadParameter(_unknown(name, route.query))
        return await handler(request)

    return known_only


def _unknown(name: str, known: tuple[str, ...]) -> str:
    near = nearest(name, known)
    meant = f"; did you mean {near}?" if near else f"; there are: {', '.join(known)}." if known else "."
    return f"There is no parameter {name[:100]!r} here{meant}"


def page_limit(request: web.Request) -> int:
    """How many items a page may have: `limit`, 1 to 500, else 50.

    Raises: BadParameter.
    """
    limit = integer(request, "limit")
    if limit is None:
        return PAGE_DEFAULT
    if not 1 <= limit <= PAGE_MAX:
        raise BadParameter(f"limit must be 1 to {PAGE_MAX}.")
    return limit


def integer(request: web.Request, name: str) -> int | None:
    """A whole number of 0 or more from the query, or None when it is not there.

    Raises: BadParameter.
    """
    text = request.query.get(name)
    return None if text is None else _integer(text, name)


def number(request: web.Request, name: str) -> float | None:
    """A finite number from the query, or None when it is not there.

    Raises: BadParameter.
    """
    text = request.query.get(name)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError as exc:
        raise BadParameter(f"{name} must be a number.") from exc
    if not math.isfinite(value):
        raise BadParameter(f"{name} must be a number.")
    return value


def moment(request: web.Request, name: str) -> datetime | None:
    """A moment with its offset (RFC 3339) from the query, or None when it is not there.

    Raises: BadParameter.
    """
    text = request.query.get(name)
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as exc:
        raise BadParameter(f"{name} must be a moment such as 2027-01-04T09:00:00Z.") from exc
    if at.tzinfo is None:
        raise BadParameter(f"{name} must have an offset, such as 2027-01-04T09:00:00Z.")
    return at


def flag(request: web.Request, name: str, *, default: bool = False) -> bool:
    """Yes (`1`, `true`, `yes`, or the bare name) or no (`0`, `false`, `no`).

    Raises: BadParameter.
    """
    text = request.query.get(name)
    if text is None:
        return default
    if text.lower() in TRUE:
        return True
    if text.lower() in FALSE:
        return False
    raise BadParameter(f"{name} must be 1 or 0.")


def identifier(request: web.Request, name: str = "id") -> int:
    """The whole number in the path.

    Raises: BadParameter.
    """
    return _integer(request.match_info[name], name)


def _integer(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19) or int(text) > INTEGER_MAX:
        raise BadParameter(f"{name} must be a whole number.")
    return int(text)
