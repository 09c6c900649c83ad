"""What is wrong with a request before any service sees it."""

from tocsin_node.errors import NodeError


class BadRequest(NodeError):
    """The request is not in the form that is expected here."""

    code = "bad-request"
    hint = "openapi.yaml says what is expected."


class BadParameter(BadRequest):
    """A parameter of the address is not in the form that is expected."""

    code = "bad-parameter"


class BadJson(BadRequest):
    """The body is not the JSON that is expected here."""

    code = "bad-json"


class BodyTooLarge(BadRequest):
    """The body is larger than the limit."""

    code = "too-large"
    hint = "Send less at once; the limits stand in openapi.yaml."


class BodyTooSlow(BadRequest):
    """The body did not arrive in time."""

    code = "body-too-slow"
    hint = "Try again on a better connection."


class BodyIncomplete(BadRequest):
    """The body ended before its announced length."""

    code = "body-incomplete"
    hint = "Try again; the connection was cut."


class ContentTypeRefused(BadRequest):
    """The body has a content type that is not taken here."""

    code = "content-type"


class ContentEncodingRefused(BadRequest):
    """Compressed bodies are not taken."""

    code = "content-encoding"
    hint = "Send the body as it is, without Content-Encoding."


class TokenMissing(NodeError):
    """This needs a token."""

    code = "token-missing"
    hint = "Send `Authorization: Bearer TOKEN`; `tocsin token create` makes one on the node."


class TokenUnknown(NodeError):
    """The token is not known here, or was revoked."""

    code = "token-unknown"
    hint = "Ask the node's operator for a new one: `tocsin token create`."


class ScopeMissing(NodeError):
    """The token does not allow this."""

    code = "scope-missing"
    hint = "Ask the node's operator for a token with that scope."


class PeerUnauthenticated(NodeError):
    """This is for peers, and the request is not signed by one."""

    code = "peer-unauthenticated"
    hint = "PROTOCOL.md says how requests between nodes are signed."


class TooBusy(NodeError):
    """The node has too much to do at the moment."""

    code = "too-busy"
    hint = "Try again in a moment."
    retryable = True


class TooFast(NodeError):
    """Too many requests from one caller."""

    code = "too-fast"
    hint = "Slow down; Retry-After says for how long."
