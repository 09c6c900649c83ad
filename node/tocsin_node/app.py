"""The aiohttp application of a node: middlewares and routes, nothing else.

From the outside in: the access log, errors → problem documents, addresses that cannot be, the brake on requests at
once, who calls.
"""

import time
from collections.abc import Sequence

from aiohttp import web

from tocsin_federation.request_auth import NonceCache
from tocsin_node.node import NODE, Node
from tocsin_node.routes import PEER_AUTH, ROUTES
from tocsin_node.services.peer_policy import PEER_BURST, PEER_REQUESTS_PER_S
from tocsin_node.web.access_log import access_log_middleware
from tocsin_node.web.auth import PeerAuth, auth_middleware
from tocsin_node.web.body import LIMITS
from tocsin_node.web.limits import InFlight, LongPolls, RateLimit
from tocsin_node.web.paging import known_parameters_middleware, no_zero_middleware
from tocsin_node.web.peer_auth import COMPARING, NONCES, POLLS, RATE, STRANGERS
from tocsin_node.web.problems import problems_middleware
from tocsin_node.web.route import Route, check_routes

IN_FLIGHT = web.AppKey("in_flight", InFlight)
# Seconds since 1970: a peer tells a wrong clock from a wrong signature by it.
SERVER_TIME_HEADER = "Tocsin-Time"
STRANGERS_PER_S = 1.0  # of an invite's holder; of all at one address whom we do not know
STRANGERS_BURST = 20
COMPARISONS_PER_S = 0.5  # of one peer; each may have a million entries summed up
COMPARISONS_BURST = 40


def build_app(
    node: Node, *, routes: Sequence[Route] = ROUTES, peer_auth: PeerAuth = PEER_AUTH
) -> web.Application:
    """The application that serves `node`.

    Raises: ValueError for a route table that must not be served, such as one with a line without scope.
    """
    check_routes(routes)
    table: dict[web.AbstractRoute, Route] = {}
    in_flight = InFlight(
        node.settings.limits.requests_in_flight,
        exempt=lambda request: (route := table.get(request.match_info.route)) is None or route.waits,
    )
    app = web.Application(
        middlewares=[
            access_log_middleware,
            problems_middleware,
            no_zero_middleware,
            in_flight.middleware(),
            auth_middleware(table, node.tokens, peer_auth, node.auditing.refused),
            known_parameters_middleware(table),
        ],
    )
    app[NODE] = node
    app[LIMITS] = node.settings.limits
    app[IN_FLIGHT] = in_flight
    app[NONCES] = NonceCache()
    app[POLLS] = LongPolls()
    app[RATE] = RateLimit(PEER_REQUESTS_PER_S, PEER_BURST)
    app[STRANGERS] = RateLimit(STRANGERS_PER_S, STRANGERS_BURST)
    app[COMPARING] = RateLimit(COMPARISONS_PER_S, COMPARISONS_BURST)
    for route in routes:
        resource = app.router.add_resource(route.path)
        for method in (route.method, "HEAD") if route.method == "GET" else (route.method,):
            table[resource.add_route(method, route.handler)] = route
    app.on_response_prepare.append(_set_headers)
    return app


async def _set_headers(request: web.Request, response: web.StreamResponse) -> None:
    if request.app[NODE].stopping.is_set():
        response.force_close()
    headers = response.headers
    headers[SERVER_TIME_HEADER] = f"{time.time():.3f}"
    headers.setdefault("Cache-Control", "no-store")
    headers.setdefault("X-Content-Type-Options", "nosniff")
