"""What one line of the route table says, and the rule that no line may leave out who may call it."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from aiohttp import web

from tocsin_node.audit_actions import LEAVES
from tocsin_node.services.tokens import SCOPES

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
OPEN = "open"
PEER = "peer"
METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True, slots=True)
class Route:
    """One thing the node does over HTTP.

    `scope`: a token's scope, `peer` (a signed request of a peer) or `open` (anybody).
    `query`: the parameters that it knows; a token's request with another one is refused.
    `waits`: it may hold the answer back on purpose (a long poll) and is not counted as work in progress.
    """

    method: str
    path: str
    handler: Handler
    scope: str
    operation_id: str
    query: tuple[str, ...] = ()
    waits: bool = False


def check_routes(routes: Iterable[Route]) -> None:
    """Raise ValueError for a table that must not be served: no scope, no word on the audit log, something doubled."""
    seen: set[object] = set()
    for route in routes:
        if route.scope not in {OPEN, PEER, *SCOPES}:
            raise ValueError(f"{route.method} {route.path} has no scope (it says {route.scope!r})")
        if route.method not in METHODS:
            raise ValueError(f"{route.path}: {route.method} is not a method that is served")
        if route.method != "GET" and route.operation_id not in LEAVES:
            raise ValueError(
                f"audit_actions.py does not say what {route.operation_id} leaves in the audit log"
            )
        for key in (route.operation_id, (route.method, route.path)):
            if key in seen:
                raise ValueError(f"{key} is there twice")
            seen.add(key)
