"""Why nobody answered at an address, in words that an operator can act on: the library's names say nothing to him."""

import errno

import aiohttp

_REFUSED = "nobody listens at its address"
_NO_WAY = "no network leads to its address"
_KNOWN = {
    errno.ECONNREFUSED: _REFUSED,
    errno.EHOSTUNREACH: _NO_WAY,
    errno.ENETUNREACH: _NO_WAY,
    errno.EMFILE: "this machine has no more open files left",
}


def why_not(exc: BaseException) -> str:
    """What an error of the HTTP client means."""
    match exc:
        case aiohttp.ClientConnectorDNSError():
            return "the name in its address is not known"
        case aiohttp.ClientConnectorCertificateError():
            return "its certificate is not trusted"
        case aiohttp.ClientConnectorSSLError():
            return "what listens at its address does not speak TLS as we do"
        case aiohttp.ClientConnectorError():
            return _KNOWN.get(exc.errno or 0, "no connection came about")
        case aiohttp.ServerConnectionError() | aiohttp.ClientConnectionError():
            return "the connection was cut"
        case aiohttp.ClientPayloadError() | aiohttp.ClientResponseError():
            return "what answers at its address does not speak HTTP as it should"
        case aiohttp.InvalidURL():
            return "its address is none"
    return "the request failed"
