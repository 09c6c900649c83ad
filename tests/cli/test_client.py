import asyncio
import json
import ssl
import threading
from contextlib import contextmanager

import pytest
from aiohttp import web
from tests.cli.fake_node.wire import TOKEN, answers, cuts_the_answer, goes_away, says

from tocsin_cli.client import Client, problem_of
from tocsin_cli.config import Target
from tocsin_cli.errors import (
    AnswerBroken,
    FindingsFound,
    NodeBusy,
    NotAllowed,
    NotVerified,
    Refused,
    TokenMissing,
    Unreachable,
    UsageFault,
)
from tocsin_cli.exits import Exit


def client_of(url: str, token: str | None = TOKEN, **more) -> Client:
    return Client(Target(url, "a test", token, ""), **more)


@pytest.fixture
def client(node):
    made = client_of(node.url, read_s=5)
    yield made
    made.close()


def test_the_token_travels_in_the_header_and_the_connection_is_kept(client, node):
    ports = []

    async def note(request, handler):
        ports.append(request.transport.get_extra_info("peername")[1])
        return await handler(request)

    node.fault("GET", "/v1/node", note, note)
    assert client.json("GET", "/v1/node")["node_id"] == node.node_id
    client.json("GET", "/v1/node")
    assert node.seen[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert TOKEN not in node.seen[0].path + str(node.seen[0].query)
    assert len(set(ports)) == 1


def test_without_a_token_nothing_is_sent(node):
    with pytest.raises(TokenMissing):
        client_of(node.url, None)
    assert node.seen == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(client, node, status):
    node.fault("GET", "/v1/node", says(b"", status, Location=f"{node.url}/v1/peers"))
    with pytest.raises(AnswerBroken) as caught:
        client.json("GET", "/v1/node")
    assert caught.value.code == "redirected"
    assert len(node.seen) == 1


def test_plain_http_to_another_machine_is_refused(monkeypatch):
    with pytest.raises(UsageFault) as caught:
        client_of("http://tocsin.example.org")
    assert caught.value.code == "plain-http"
    monkeypatch.setenv("TOCSIN_ALLOW_HTTP", "1")
    client_of("http://tocsin.example.org").close()


def test_an_answer_beyond_the_limit_is_not_taken(client, node):
    node.fault("GET", "/v1/node", says(b"x" * 2000))
    with pytest.raises(AnswerBroken) as caught:
        client.raw("GET", "/v1/node", max_bytes=1000)
    assert caught.value.code == "answer-too-large"
    assert client.json("GET", "/v1/node")["org"] == "Fake Org"


def test_a_compressed_answer_is_not_unpacked(client, node):
    node.fault("GET", "/v1/node", says(b"\x1f\x8b" + b"\0" * 20, **{"Content-Encoding": "gzip"}))
    assert client.raw("GET", "/v1/node") == b"\x1f\x8b" + b"\0" * 20
    assert node.seen[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("body", [b"<html>", b"[" * 100_000, b"\xff\xfe"])
def test_what_is_not_json_is_said_so(client, node, body):
    node.fault("GET", "/v1/node", says(body))
    with pytest.raises(AnswerBroken):
        client.json("GET", "/v1/node")


@pytest.mark.parametrize("fault", [goes_away, cuts_the_answer])
def test_a_broken_connection_is_unreachable_and_not_tried_again(client, node, fault):
    node.fault("GET", "/v1/node", fault)
    with pytest.raises(Unreachable) as caught:
        client.json("GET", "/v1/node")
    assert caught.value.code == "connection-lost"
    assert len(node.seen) == 1
    assert client.json("GET", "/v1/node")["org"] == "Fake Org"


def test_an_answer_cut_in_its_middle_is_unreachable(client, node):
    async def half(request, _handler):
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"node_id":')
        request.transport.close()
        return response

    node.fault("GET", "/v1/node", half)
    with pytest.raises(Unreachable) as caught:
        client.json("GET", "/v1/node")
    assert caught.value.code == "connection-lost"


def test_a_silent_node_is_unreachable_after_the_time_limit(node):
    async def silent(_request, _handler):
        await asyncio.sleep(60)

    node.fault("GET", "/v1/node", silent)
    client = client_of(node.url, read_s=0.2)
    with pytest.raises(Unreachable) as caught:
        client.json("GET", "/v1/node")
    assert caught.value.code == "node-timeout"
    client.close()


def test_nobody_there_and_no_such_name_are_unreachable(monkeypatch):
    for url, words in (
        ("http://127.0.0.1:9", "Nothing answers"),
        ("https://no.invalid", "name in https://no.invalid"),
    ):
        client = client_of(url)
        with pytest.raises(Unreachable, match=words):
            client.json("GET", "/v1/node")
        client.close()


@contextmanager
def tls_server(tmp_path):
    """A server with a certificate that nobody vouches for."""
    import datetime as dt
    import socket

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "server.pem"
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    pem.write_bytes(
        key.private_bytes(encoding, form, serialization.NoEncryption()) + certificate.public_bytes(encoding)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            try:
                with listening.accept()[0] as plain, context.wrap_socket(plain, server_side=True):
                    pass
            except OSError:
                pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"https://localhost:{listening.getsockname()[1]}"
        thread.join(10)


def test_a_certificate_that_nobody_vouches_for_is_not_verified(tmp_path):
    with tls_server(tmp_path) as url:
        client = client_of(url)
        with pytest.raises(NotVerified) as caught:
            client.json("GET", "/v1/node")
        client.close()
    assert caught.value.code == "certificate-not-verified"
    assert caught.value.exit is Exit.NOT_VERIFIED


def test_https_to_a_port_that_speaks_plain_http_is_no_bad_certificate(node):
    url = node.url.replace("http://", "https://")
    with pytest.raises(Unreachable) as caught:
        client_of(url).json("GET", "/v1/node")
    assert caught.value.code == "no-tls"
    assert caught.value.exit == Exit.UNREACHABLE
    assert "does not speak TLS there" in str(caught.value)
    assert f"Try {node.url}" in caught.value.hint


def test_a_problem_becomes_our_error_with_its_code_and_hint(client, node):
    node.fault("GET", "/v1/node", answers(409, "peer-exists", "There is one.", hint="Take another name."))
    with pytest.raises(Refused) as caught:
        client.json("GET", "/v1/node")
    assert (caught.value.code, str(caught.value), caught.value.hint) == (
        "peer-exists",
        "There is one.",
        "Take another name.",
    )


@pytest.mark.parametrize(
    ("status", "kind", "exit_code"),
    [
        (400, Refused, Exit.REFUSED),
        (401, NotAllowed, Exit.NOT_ALLOWED),
        (403, NotAllowed, Exit.NOT_ALLOWED),
        (404, Refused, Exit.REFUSED),
        (413, Refused, Exit.REFUSED),
        (422, Refused, Exit.REFUSED),
        (408, NodeBusy, Exit.UNREACHABLE),
        (429, NodeBusy, Exit.UNREACHABLE),
        (500, NodeBusy, Exit.UNREACHABLE),
        (502, NodeBusy, Exit.UNREACHABLE),
        (503, NodeBusy, Exit.UNREACHABLE),
        (504, NodeBusy, Exit.UNREACHABLE),
    ],
)
@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b'{"code":"some-code","detail":"D"}', b'{"findings":3}']
)
def test_every_status_has_its_kind_whatever_the_body(status, kind, exit_code, body):
    found = problem_of(status, body, {"Retry-After": "7"})
    assert type(found) is kind
    assert found.exit is exit_code
    assert str(found)
    if isinstance(found, NodeBusy):
        assert found.retry_after_s == 7
    assert "html" not in str(found)


def test_findings_are_carried_whole():
    findings = [{"code": "a", "message": "m", "path": "p", "hint": "h", "level": "error"}, "nonsense"]
    found = problem_of(422, json.dumps({"code": "findings", "findings": findings}).encode(), {})
    assert isinstance(found, FindingsFound)
    assert found.findings == findings[:1]


def test_a_peer_that_refuses_is_a_refusal_although_the_node_says_502():
    found = problem_of(502, b'{"code":"peer-refused","detail":"They said no."}', {})
    assert isinstance(found, Refused)
