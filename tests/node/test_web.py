"""What all handlers share, on a real server and a real socket: bodies, problems, brakes, parameters."""

import asyncio
import gzip
import json
import logging
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tocsin_federation.errors import IdentityRefused
from tocsin_node.errors import NodeError
from tocsin_node.services.tokens import Bearer
from tocsin_node.settings.server import LimitSettings
from tocsin_node.storage.errors import StorageConflict, StorageUnavailable
from tocsin_node.web.access_log import access_log_middleware
from tocsin_node.web.auth import CALLER
from tocsin_node.web.body import LIMITS, read_body, read_json
from tocsin_node.web.errors import TooFast
from tocsin_node.web.limits import InFlight, RateLimit
from tocsin_node.web.paging import flag, identifier, integer, number, page_limit
from tocsin_node.web.problems import STATUS, json_response, problems_middleware, status_of
from tocsin_schema.errors import DuplicateKey


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    count: int = 1


@dataclass(frozen=True)
class Thing:
    at: datetime


class Unlisted(NodeError):
    """It went wrong in a way of its own."""

    code = "unlisted-code"
    hint = "Nobody knows."


async def take_json(request):
    return json_response(await read_json(request, Wanted))


async def take_body(request):
    raw = await read_body(request, limit=1000, content_types=("application/stix+json",))
    return json_response({"bytes": len(raw)})


async def fail(request):
    if "token" in request.query:
        request[CALLER] = Bearer("alice", frozenset({"admin"}))
    raise {
        "unavailable": StorageUnavailable(),
        "conflict": StorageConflict("The database refused a row: rule x.", constraint="x"),
        "unlisted": Unlisted("with secret detail"),
        "bug": ValueError("a secret value"),
        "federation": IdentityRefused("wrong-node"),
        "schema": DuplicateKey(),
        "slow down": TooFast(facts={"retry_after_s": 1.5}),
        "peer said": NodeError("no", code="peer-unknown"),
    }[request.query["how"]]


async def read_parameters(request):
    return json_response(
        {
            "limit": page_limit(request),
            "cursor": integer(request, "cursor"),
            "wait": number(request, "wait"),
            "open": flag(request, "open", default=True),
            "id": identifier(request),
        }
    )


async def hold(request):
    request.app[HELD].release()
    await request.app[RELEASE].wait()
    return json_response({"at": Thing(datetime(2026, 11, 23, tzinfo=UTC))})


HELD = web.AppKey("held", asyncio.Semaphore)
RELEASE = web.AppKey("release", asyncio.Event)


@pytest.fixture
async def server():
    app = web.Application(
        middlewares=[
            access_log_middleware,
            problems_middleware,
            InFlight(2, exempt=lambda request: request.path == "/free").middleware(),
        ]
    )
    app[LIMITS] = LimitSettings(max_json_bytes=2048, max_json_depth=8, body_timeout_s=0.5)
    app[HELD], app[RELEASE] = asyncio.Semaphore(0), asyncio.Event()
    app.router.add_post("/json", take_json)
    app.router.add_post("/body", take_body)
    app.router.add_get("/fail", fail)
    app.router.add_get("/parameters/{id}", read_parameters)
    app.router.add_get("/hold", hold)
    app.router.add_get("/free", hold)
    running = TestServer(app)
    await running.start_server(access_log=None, auto_decompress=False)
    yield running
    await running.close()


@pytest.fixture
async def client(server):
    async with aiohttp.ClientSession(server.make_url("/")) as session:
        yield session


async def problem(answer, status, code):
    assert (answer.status, answer.content_type) == (status, "application/problem+json")
    body = await answer.json(content_type=None)
    assert (body["status"], body["code"], body["type"]) == (status, code, f"urn:tocsin:problem:{code}")
    assert body["title"]
    assert body["detail"]
    assert body["hint"]
    return body


def as_json(raw):
    return {"data": raw, "headers": {"Content-Type": "application/json"}}


async def test_a_json_body_becomes_what_the_handler_wants(client):
    async with client.post("/json", json={"name": "a"}) as answer:
        assert await answer.json() == {"name": "a", "count": 1}
        assert answer.content_type == "application/json"


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"",
        b"null",
        b'{"name": 1}',
        b'{"name": "a", "more": 1}',
        b'{"name": "a", "name": "b"}',
        b'{"name": "\\ud800"}',
        b'{"name": "a"}\xff',
        b'{"name": "a", "count": NaN}',
        b'{"name": "a", "count": 1.5}',
        b'{"name": ' + b"[" * 20 + b"]" * 20 + b"}",
        b"[" * 1000,
    ],
)
async def test_json_that_is_not_exactly_that_is_refused(client, raw):
    async with client.post("/json", **as_json(raw)) as answer:
        await problem(answer, 400, "bad-json")


async def test_a_body_over_the_limit_is_refused_before_it_is_read(server):
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Type: application/stix+json\r\nContent-Length: 99999999999\r\n\r\n"
    )
    head = await reader.readuntil(b"\r\n")
    assert b"413" in head
    writer.close()
    await writer.wait_closed()


async def test_a_body_that_grows_over_the_limit_is_refused_on_the_way(client):
    async def stream():
        for _ in range(100):
            yield b"x" * 100

    headers = {"Content-Type": "application/stix+json"}
    async with client.post("/body", data=stream(), headers=headers) as answer:
        body = await problem(answer, 413, "too-large")
        assert "1,000 bytes" in body["detail"]


async def test_a_body_that_does_not_arrive_is_given_up(server):
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Type: application/stix+json\r\nContent-Length: 50\r\n\r\nhalf"
    )
    assert b"408" in await reader.readuntil(b"\r\n")
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP"])
async def test_compressed_bodies_are_refused_unread(client, encoding):
    headers = {"Content-Type": "application/stix+json", "Content-Encoding": encoding}
    async with client.post("/body", data=gzip.compress(b"x" * 10_000_000), headers=headers) as answer:
        await problem(answer, 415, "content-encoding")


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
async def test_other_content_types_are_refused_with_the_right_one_named(client, kind):
    async with client.post("/body", data=b"x", headers={"Content-Type": kind}) as answer:
        body = await problem(answer, 415, "content-type")
        assert "application/stix+json" in body["hint"]


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [
        ("unavailable", 503, "storage-unavailable"),
        ("slow down", 429, "too-fast"),
        ("peer said", 404, "peer-unknown"),
        ("schema", 422, "duplicate-key"),
    ],
)
async def test_errors_of_ours_are_answers(client, how, status, code):
    async with client.get("/fail", params={"how": how}) as answer:
        await problem(answer, status, code)
        assert ("Retry-After" in answer.headers) == (status in {503, 429})


@pytest.mark.parametrize("how", ["bug", "unlisted", "conflict"])
async def test_what_we_did_not_foresee_says_nothing_but_a_reference_into_the_log(client, caplog, how):
    async with client.get("/fail", params={"how": how}) as answer:
        body = await problem(answer, 500, "internal-error")
    assert "secret" not in json.dumps(body)
    assert any(body["reference"] in record.getMessage() and record.exc_info for record in caplog.records)


async def test_refusals_of_the_federation_say_one_thing_outward(client):
    async with client.get("/fail", params={"how": "federation"}) as answer:
        body = await problem(answer, 400, IdentityRefused("wrong-node").outward)
    assert "wrong" not in json.dumps(body)


async def test_the_operator_is_told_why_a_peer_was_refused(client):
    async with client.get("/fail", params={"how": "federation", "token": "1"}) as answer:
        body = await problem(answer, 422, "wrong-node")
    assert body["hint"] == IdentityRefused("wrong-node").hint


async def test_unknown_paths_and_methods_are_problems_too(client):
    async with client.get("/absent") as answer:
        await problem(answer, 404, "not-found")
    async with client.delete("/json") as answer:
        await problem(answer, 405, "method-not-allowed")
        assert answer.headers["Allow"] == "POST"


async def test_parameters_are_read_as_what_they_are(client):
    async with client.get("/parameters/7?limit=2&cursor=9&wait=1.5&open=0") as answer:
        assert await answer.json() == {"limit": 2, "cursor": 9, "wait": 1.5, "open": False, "id": 7}
    async with client.get("/parameters/7") as answer:
        assert await answer.json() == {"limit": 50, "cursor": None, "wait": None, "open": True, "id": 7}


@pytest.mark.parametrize(
    "target",
    [
        "/parameters/x",
        "/parameters/9999999999999999999",
        "/parameters/-1",
        "/parameters/٣",
        "/parameters/1?limit=0",
        "/parameters/1?limit=501",
        "/parameters/1?cursor=1e3",
        "/parameters/1?cursor=-1",
        "/parameters/1?wait=nan",
        "/parameters/1?wait=inf",
        "/parameters/1?open=maybe",
    ],
)
async def test_a_parameter_that_is_none_is_refused(client, target):
    async with client.get(target) as answer:
        await problem(answer, 400, "bad-parameter")


async def test_more_work_than_the_limit_is_told_to_come_back(server, client):
    held = [asyncio.create_task(client.get("/hold")) for _ in range(2)]
    waiting = asyncio.create_task(client.get("/free"))
    for _ in range(3):
        await server.app[HELD].acquire()
    async with client.get("/fail?how=bug") as answer:
        await problem(answer, 503, "too-busy")
    server.app[RELEASE].set()
    for task in (*held, waiting):
        answer = await task
        assert (await answer.json())["at"] == {"at": "2026-11-23T00:00:00Z"}
    async with client.get("/parameters/1") as answer:
        assert answer.status == 200


async def test_the_access_log_has_no_query_and_no_forged_lines(client, caplog):
    caplog.set_level(logging.DEBUG, logger="tocsin.access")
    async with client.get("/parameters/1?limit=7&secret=hunter2"):
        pass
    async with client.get("/absent%0Aforged 200"):
        pass
    lines = [record.getMessage() for record in caplog.records if record.name == "tocsin.access"]
    assert lines[0].startswith("GET /parameters/1 200 ")
    assert not any("hunter2" in line or "\n" in line for line in lines)


def test_a_bucket_lets_a_burst_pass_and_then_the_rate():
    bucket = RateLimit(per_s=2, burst=3)
    for _ in range(3):
        bucket.take("a", 100.0)
    bucket.take("b", 100.0)
    with pytest.raises(TooFast) as refused:
        bucket.take("a", 100.0)
    assert refused.value.facts["retry_after_s"] == 0.5
    bucket.take("a", 100.6)


def test_the_buckets_of_many_callers_stay_bounded():
    bucket = RateLimit(per_s=1, burst=1, most=10)
    for stranger in range(1000):
        bucket.take(str(stranger), 0.0)
    assert len(bucket._buckets) == 10


def test_every_code_in_the_status_table_is_kebab_case_and_an_error():
    for code, status in STATUS.items():
        assert code == code.lower().replace("_", "-")
        assert 400 <= status < 600


def test_an_instance_with_a_finer_code_keeps_the_status_of_its_class():
    from tocsin_node.web.errors import BadParameter

    assert status_of(BadParameter("no", code="finer-code")) == 400
