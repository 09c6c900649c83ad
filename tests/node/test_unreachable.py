"""Why a peer cannot be reached is said in words, and each word comes from a real attempt."""

import socket
import ssl

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tocsin_node.links.unreachable import why_not


async def attempt(url: str) -> str:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError) as caught:
            async with session.get(url):
                pass
    said = why_not(caught.value)
    assert "Client" not in said
    return said


async def test_a_port_that_nobody_listens_at():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # taken, and not listened at
        assert await attempt(f"http://127.0.0.1:{held.getsockname()[1]}/") == "nobody listens at its address"


async def test_a_name_that_nobody_knows():
    assert await attempt("http://nowhere.invalid/") == "the name in its address is not known"


async def test_a_connection_that_is_cut_and_one_that_speaks_no_tls():
    async def cut(request):
        request.transport.abort()
        return web.Response()

    app = web.Application()
    app.router.add_get("/", cut)
    async with TestServer(app) as server:
        assert await attempt(str(server.make_url("/"))) == "the connection was cut"
        spoken = await attempt(f"https://127.0.0.1:{server.port}/")
        assert spoken == "what listens at its address does not speak TLS as we do"


def test_a_certificate_that_is_not_trusted():
    exc = aiohttp.ClientConnectorCertificateError(None, ssl.SSLCertVerificationError("self-signed"))
    assert why_not(exc) == "its certificate is not trusted"
