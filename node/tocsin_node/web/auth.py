"""Who calls: bearer tokens for people and programs of this organisation, signed requests for peers.

The route decides (`Route.scope`); a handler is never reached without that having been checked.
"""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from tocsin_federation.errors import FederationError
from tocsin_node.actor import STRANGER, Actor, acting_as, of_peer, of_token
from tocsin_node.errors import NodeError
from tocsin_node.services.tokens import Bearer, Tokens
from tocsin_node.web.access_log import WHO
from tocsin_node.web.errors import ScopeMissing, TokenMissing, TokenUnknown
from tocsin_node.web.route import OPEN, PEER, Route

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
# Verifies the signature of a peer's request and returns the NodeID of the peer; raises what refuses it.
PeerAuth = Callable[[web.Request], Awaitable[str]]
CALLER = web.RequestKey("caller", Bearer)
TOKEN_MAX = 256
# What is told of in the audit log; a database that is away refuses nobody.
REFUSALS = frozenset(
    {
        "token-missing",
        "token-unknown",
        "scope-missing",
        "peer-unauthenticated",
        "clock-skew",
        "not-approved",
        "peer-frozen",
    }
)


def caller(request: web.Request) -> Bearer:
    """Who holds the token that the request came with."""
    return request[CALLER]


def auth_middleware(
    table: Mapping[web.AbstractRoute, Route],
    tokens: Tokens,
    peer_auth: PeerAuth,
    refused: Callable[[str, str], None],
) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Lets a request through to its handler when its caller has what the route asks for; in there he is who acts.

    `refused` is told the code and the address of whoever is not let through.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        route = table.get(request.match_info.route)
        if route is None or route.scope == OPEN:  # none: no such path or method; the handler says so
            actor = STRANGER
        else:
            try:
                actor = await recognise(request, route.scope)
            except (NodeError, FederationError) as exc:
                if exc.code in REFUSALS or isinstance(exc, FederationError):
                    refused(exc.code, request.remote or "")
                raise
        with acting_as(actor):
            return await handler(request)

    async def recognise(request: web.Request, scope: str) -> Actor:
        if scope == PEER:
            request[WHO] = node_id = await peer_auth(request)
            return of_peer(node_id)
        bearer = await tokens.recognise(_token(request))
        if bearer is None:
            raise TokenUnknown
        request[WHO] = bearer.name
        if not bearer.may(scope):
            raise ScopeMissing(f"This needs a token with the scope {scope}.", facts={"scope": scope})
        request[CALLER] = bearer
        return of_token(bearer.name)

    return middleware


def _token(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise TokenMissing
    if len(token) > TOKEN_MAX or not token.isascii():
        raise TokenUnknown
    return token
