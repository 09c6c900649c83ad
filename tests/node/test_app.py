"""The whole application of a real node on a real database: who may call what, and what strangers are told."""

import asyncio

import aiohttp
import pytest
from tests.support.node import open_here, settings_on

from tocsin_federation.request_auth import NONCE_TTL, NONCES_A_KEY
from tocsin_node.app import build_app
from tocsin_node.routes import ROUTES
from tocsin_node.services.peer_policy import PEER_BURST, PEER_REQUESTS_PER_S
from tocsin_node.services.tokens import SCOPES
from tocsin_node.web.route import OPEN, PEER, Route, check_routes


@pytest.fixture(scope="module")
async def served(cluster, tmp_path_factory):
    """One node for all tests that leave it as it was."""
    home = tmp_path_factory.mktemp("served") / "node"
    async with cluster.database() as database, open_here(settings_on(home, database)) as running:
        yield running


@pytest.fixture
async def fresh(database, tmp_path):
    async with open_here(settings_on(tmp_path / "node", database)) as running:
        yield running


def filled(route):
    """The route's path with something in every place."""
    return route.path.replace("{path:.+}", "000").replace("{", "").replace("}", "")


async def test_the_first_token_opens_everything_at_once(served):
    async with served.client.get("/v1/node") as answer:
        assert (answer.status, (await answer.json())["org"]) == (200, "Acme")


@pytest.mark.parametrize(
    "route", [r for r in ROUTES if r.scope not in {OPEN, PEER}], ids=lambda r: r.operation_id
)
async def test_nothing_opens_without_a_token_or_with_a_token_for_something_else(served, route):
    others = [scope for scope in SCOPES if scope not in {route.scope, "admin"}]
    _, text = await served.node.tokens.create(f"other-{route.operation_id}", others)
    async with aiohttp.ClientSession(served.url) as stranger:
        async with stranger.request(route.method, filled(route)) as answer:
            assert (answer.status, (await answer.json(content_type=None))["code"]) == (401, "token-missing")
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        for header in (
            "Bearer nonsense",
            "bearer tocsin_" + "0" * 64,
            "Bearer " + "x" * 5000,
            "Basic YTpi",
            "Bearer",
        ):
            async with stranger.request(
                route.method, filled(route), headers={"Authorization": header}
            ) as answer:
                assert answer.status == 401
        async with stranger.request(
            route.method, filled(route), headers={"Authorization": f"Bearer {text}"}
        ) as answer:
            body = await answer.json(content_type=None)
            assert (answer.status, body["code"], body["scope"]) == (403, "scope-missing", route.scope)


@pytest.mark.parametrize("route", [r for r in ROUTES if r.scope == PEER], ids=lambda r: r.operation_id)
async def test_what_is_for_peers_is_closed_to_tokens(served, route):
    async with served.client.request(route.method, filled(route)) as answer:
        assert answer.status in {400, 401}
        assert (await answer.json(content_type=None))["code"] in {"not-authenticated", "content-type"}


async def test_anybody_may_ask_how_the_node_is_and_who_it_is(served):
    async with aiohttp.ClientSession(served.url) as stranger:
        async with stranger.get("/healthz") as answer:
            assert answer.status == 200
            assert {check["name"] for check in (await answer.json())["checks"]} >= {
                "database",
                "log-writer",
                "identity",
            }
        async with stranger.get("/.well-known/tocsin") as answer:
            assert answer.status == 200


async def test_a_revoked_token_is_shut_out_at_once(served):
    _, text = await served.node.tokens.create("alice", ["report:read"])
    async with aiohttp.ClientSession(served.url, headers={"Authorization": f"Bearer {text}"}) as alice:
        async with alice.get("/v1/reports") as answer:
            assert answer.status == 200
        await served.node.tokens.revoke("alice")
        async with alice.get("/v1/reports") as answer:
            assert (answer.status, (await answer.json(content_type=None))["code"]) == (401, "token-unknown")


async def test_a_wrong_method_is_told_which_are_right(served):
    async with served.client.delete("/v1/reports") as answer:
        assert answer.status == 405
        assert answer.headers["Allow"] == "GET, HEAD, POST"


async def test_head_is_get_without_a_body(served):
    async with served.client.head("/v1/node") as answer:
        assert (answer.status, await answer.read()) == (200, b"")
        assert answer.content_length > 0


@pytest.mark.parametrize(
    "target", ["/", "/v1", "/v1/reports/", "/v1//node", "/%2e%2e/etc/passwd", "/v1/node/../node/x"]
)
async def test_what_does_not_exist_is_a_problem_document(served, target):
    async with served.client.get(target) as answer:
        assert (answer.status, answer.content_type) == (404, "application/problem+json")


async def test_every_answer_says_the_time_and_is_not_kept(served):
    for target in ("/healthz", "/v1/node", "/absent"):
        async with served.client.get(target) as answer:
            assert float(answer.headers["Tocsin-Time"]) > 1_700_000_000
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"


async def test_a_node_that_is_stopping_says_so_and_still_ends_its_work(fresh):
    fresh.node.stopping.set()
    async with fresh.client.get("/healthz") as answer:
        assert (answer.status, (await answer.json())["checks"][0]["code"]) == (503, "stopping")
    async with fresh.client.get("/v1/node") as answer:
        assert answer.status == 200


async def test_a_second_process_on_the_same_database_is_refused(served, tmp_path, monkeypatch):
    from tocsin_node.errors import NodeRunning
    from tocsin_node.opening import open_node
    from tocsin_node.storage import leader

    monkeypatch.setattr(leader, "TAKE_S", 0.1)
    with pytest.raises(NodeRunning):
        async with asyncio.timeout(20), open_node(served.node.settings):
            pytest.fail("two nodes on one database")


async def _handler(_request):
    raise AssertionError


@pytest.mark.parametrize(
    "routes",
    [
        (Route("GET", "/a", _handler, "", "a"),),
        (Route("GET", "/a", _handler, "reports:read", "a"),),
        (Route("BREW", "/a", _handler, OPEN, "a"),),
        (Route("GET", "/a", _handler, OPEN, "a"), Route("GET", "/a", _handler, OPEN, "b")),
        (Route("GET", "/a", _handler, OPEN, "a"), Route("PUT", "/a", _handler, OPEN, "a")),
    ],
)
async def test_a_route_table_with_a_hole_does_not_start(served, routes):
    with pytest.raises(ValueError, match="a"):
        build_app(served.node, routes=routes)


def test_the_route_table_of_the_product_is_whole():
    check_routes(ROUTES)


def test_no_nonce_of_a_peer_at_full_speed_is_forgotten_before_its_time():
    assert PEER_BURST + PEER_REQUESTS_PER_S * NONCE_TTL.total_seconds() < NONCES_A_KEY
