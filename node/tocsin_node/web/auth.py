"""Who calls: bearer tokens for people and programs of this organisation, signed requests for peers.

The route decides (`Route.scope`); a handler is never reached without that having been checked.
"""

from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from tocsin_node.services.tokens import Bearer, Tokens
from tocsin_node.web.access_log import WHO
from tocsin_node.web.errors import PeerUnauthenticated, ScopeMissing, TokenMissing, TokenUnknown
from tocsin_node.web.route import OPEN, PEER, Route

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
# Verifies the signature of a peer's request and returns the NodeID of the peer; raises what refuses it.
PeerAuth = Callable[[web.Request], Awaitable[str]]
CALLER = web.RequestKey("caller", Bearer)
TOKEN_MAX = 256


def caller(request: web.Request) -> Bearer:
    """Who holds the token that the request came with."""
    return request[CALLER]


async def refuse_peers(_request: web.Request) -> str:
    """The peer check of a node that has no peers: nobody is one."""
    raise PeerUnauthenticated


def auth_middleware(
    table: Mapping[web.AbstractRoute, Route], tokens: Tokens, peer_auth: PeerAuth
) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Lets a request through to its handler when its caller has what the route asks for."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        route = table.get(request.match_info.route)
        if route is None or route.scope == OPEN:  # none: no such path or method; the handler says so
            return await handler(request)
        if route.scope == PEER:
            request[WHO] = await peer_auth(request)
            return await handler(request)
        bearer = await tokens.recognise(_token(request))
        if bearer is None:
            raise TokenUnknown
        request[WHO] = bearer.name
        if not bearer.may(route.scope):
            raise ScopeMissing(
                f"This needs a token with the scope {route.scope}.", facts={"scope": route.scope}
            )
        request[CALLER] = bearer
        return await handler(request)

    return middleware


def _token(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise TokenMissing
    if len(token) > TOKEN_MAX or not token.isascii():
        raise TokenUnknown
    return token
