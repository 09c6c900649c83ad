"""openapi.yaml and the routes say the same, and what the node answers has the form that is written there."""

import re
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
import yaml
from jsonschema import Draft202012Validator
from tests.support.manifests import Founders
from tests.support.node import open_here, settings_on

from tocsin_node.routes import ROUTES
from tocsin_schema.check import check_bundle
from tocsin_schema.remarks import sighting
from tocsin_schema.stix import build

DOCUMENT = yaml.safe_load(
    (Path(__file__).resolve().parents[2] / "node/openapi.yaml").read_text(encoding="utf-8")
)
METHODS = {"get", "post", "put", "patch", "delete"}
OPERATIONS = {
    (method.upper(), path): operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
    if method in METHODS
}
STIX = {"Content-Type": "application/stix+json"}
FORM = {
    "title": "Scheduling model drops a night shift",
    "description": "A model that plans shifts left a ward without staff for two hours.",
    "tlp": "green",
    "realization": "near-miss",
    "harms": [{"harm_type": "physical-health", "level": 3, "materialised": False}],
}


def bundle(producer: dict, **fields) -> tuple[str, bytes]:
    incident_id = f"incident--{uuid4()}"
    return incident_id, build(
        FORM | fields, producer=producer, incident_id=incident_id, now=datetime.now(UTC)
    )


def check_answer(method: str, template: str, status: int, content_type: str, body: object) -> None:
    """Fail unless the document allows this answer of this operation."""
    responses = OPERATIONS[method, template]["responses"]
    response = responses.get(str(status), responses.get("default"))
    assert response is not None, f"{method} {template}: {status} is not documented"
    if "$ref" in response:
        response = DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]]
    schema = response["content"][content_type]["schema"]
    errors = list(Draft202012Validator({**schema, "components": DOCUMENT["components"]}).iter_errors(body))
    assert not errors, f"{method} {template} {status}: {errors[0].json_path} {errors[0].message}"


def test_the_parameters_that_a_route_knows_are_those_that_are_documented() -> None:
    known = DOCUMENT["components"]["parameters"]

    def documented(route) -> set[str]:
        path = re.sub(r"\{(\w+):[^}]*\}", r"{\1}", route.path)
        listed = DOCUMENT["paths"][path].get("parameters", [])
        listed = [*listed, *OPERATIONS[route.method, path].get("parameters", [])]
        found = [known[each["$ref"].rpartition("/")[2]] if "$ref" in each else each for each in listed]
        return {each["name"] for each in found if each["in"] == "query"}

    assert {r.operation_id: set(r.query) for r in ROUTES} == {r.operation_id: documented(r) for r in ROUTES}


def test_every_route_is_documented_with_its_scope_and_nothing_else_is() -> None:
    routed = {
        (r.method, re.sub(r"\{(\w+):[^}]*\}", r"{\1}", r.path)): (r.operation_id, r.scope) for r in ROUTES
    }
    documented = {key: (o["operationId"], o["x-scope"]) for key, o in OPERATIONS.items()}
    assert documented == routed


def test_every_reference_in_the_document_leads_somewhere() -> None:
    def references(value):
        if isinstance(value, dict):
            if "$ref" in value:
                yield value["$ref"]
            for part in value.values():
                yield from references(part)
        elif isinstance(value, list):
            for part in value:
                yield from references(part)

    for reference in references(DOCUMENT):
        at = DOCUMENT
        for name in reference.removeprefix("#/").split("/"):
            assert name in at, reference
            at = at[name]


@pytest.fixture
async def served(database, tmp_path):
    async with open_here(settings_on(tmp_path / "node", database)) as served:
        yield served


async def test_what_the_node_answers_has_the_documented_form(served) -> None:
    async def ask(method: str, template: str, path: str | None = None, **options):
        async with served.client.request(method, path or template, **options) as answer:
            body = None if answer.status == 204 else await answer.json(content_type=None)
            if body is not None:
                check_answer(method, template, answer.status, answer.content_type, body)
            return answer.status, body

    status, node = await ask("GET", "/v1/node")
    assert status == 200
    await ask("GET", "/healthz")
    await ask("GET", "/.well-known/tocsin")
    await ask("GET", "/v1/log/keys")

    incident_id, raw = bundle(node["identity"])
    status, done = await ask("POST", "/v1/reports", data=raw, headers=STIX)
    assert (status, done["outcome"]) == (201, "stored")
    status, done = await ask("POST", "/v1/reports", data=raw, headers=STIX)
    assert (status, done["outcome"]) == (200, "unchanged")
    status, done = await ask("POST", "/v1/reports", "/v1/reports?dry_run=1", data=raw, headers=STIX)
    assert done["sends"]["bytes"] == len(raw)
    _, page = await ask("GET", "/v1/reports", "/v1/reports?limit=1")
    assert page["items"][0]["id"] == incident_id
    _, page = await ask("GET", "/v1/reports", "/v1/reports?q=shift&harm=physical-health")
    assert page["items"][0]["snippet"].startswith("A model that plans shifts")
    _, counted = await ask("GET", "/v1/reports/facets", "/v1/reports/facets?tlp=green")
    assert counted["facets"]["harm"] == [{"value": "physical-health", "count": 1}]
    _, report = await ask("GET", "/v1/reports/{id}", f"/v1/reports/{incident_id}")
    assert report["bundle"]["type"] == "bundle"
    held = check_bundle(raw).report
    assert held is not None
    said = sighting(held, producer=node["identity"], now=datetime.now(UTC), count=2, first_seen=held.created)
    remarks, path = "/v1/reports/{id}/remarks", f"/v1/reports/{incident_id}/remarks"
    for query, outcome in (("?dry_run=1", (200, "dry-run")), ("", (201, "stored")), ("", (200, "unchanged"))):
        status, done = await ask("POST", remarks, path + query, data=said, headers=STIX)
        assert (status, done["outcome"]) == outcome
    _, listed = await ask("GET", remarks, path)
    _, report = await ask("GET", "/v1/reports/{id}", f"/v1/reports/{incident_id}")
    assert [one["count"] for one in listed["items"]] == [2]
    assert report["remarks"] == listed["items"]
    status, problem = await ask("POST", remarks, path, data=b"{}", headers=STIX)
    assert (status, problem["code"]) == (422, "findings")
    other_id, other = bundle(node["identity"], title="Shift planning model drops the night shift")
    _, found = await ask("POST", "/v1/duplicates", data=other, headers=STIX)
    assert found["items"][0]["id"] == incident_id
    await ask("POST", "/v1/reports", data=other, headers=STIX)
    status, decision = await ask(
        "PUT",
        "/v1/reports/{id}/duplicates/{other}",
        f"/v1/reports/{incident_id}/duplicates/{other_id}",
        json={"verdict": "distinct", "by": "Safety desk"},
    )
    assert (status, decision["verdict"]) == (200, "distinct")
    _, found = await ask("GET", "/v1/reports/{id}/duplicates", f"/v1/reports/{other_id}/duplicates")
    assert [item["decision"]["verdict"] for item in found["items"]] == ["distinct"]
    status, problem = await ask("GET", "/v1/reports/{id}", f"/v1/reports/incident--{uuid4()}")
    assert (status, problem["code"]) == (404, "report-unknown")
    status, problem = await ask("POST", "/v1/reports", data=b'{"type":"bundle"}', headers=STIX)
    assert status == 422
    assert problem["findings"]
    lines = raw + b"\n" + b"{}\n"
    status, account = await ask(
        "POST", "/v1/imports", data=lines, headers={"Content-Type": "application/x-ndjson"}
    )
    assert [i["outcome"] for i in account["items"]] == ["unchanged", "refused"]

    status, _ = await ask("POST", "/v1/peers/invites", json={"name": "St. Example"})
    assert status == 201
    await ask("GET", "/v1/peers")
    status, problem = await ask("GET", "/v1/peers/{name}", "/v1/peers/nobody")
    assert (status, problem["code"]) == (404, "peer-unknown")
    status, problem = await ask("POST", "/v1/peers/join", json={"invite": "tocsin1.nonsense"})
    assert problem["code"] == "invite-malformed"

    founders = Founders()
    file, kind = founders.next([node["node_id"]]), {"Content-Type": "application/json"}
    status, made = await ask("POST", "/v1/circles", data=file, headers=kind)
    assert (status, made["state"]) == (201, "adopted")
    await ask("GET", "/v1/circles")
    await ask("GET", "/v1/circles/{name}", "/v1/circles/Vigil")
    await ask("POST", "/v1/circles/{name}/backfill", "/v1/circles/Vigil/backfill")
    status, left = await ask("POST", "/v1/circles/{name}/leave", "/v1/circles/Vigil/leave")
    assert (status, left["closed"]) == (200, "circle-left")
    status, made = await ask("POST", "/v1/circles/{name}/adopt", "/v1/circles/Vigil/adopt")
    assert (status, made["state"]) == (200, "adopted")
    status, problem = await ask("POST", "/v1/circles", data=b"{}", headers=kind)
    assert (status, problem["code"]) == (422, "circle-malformed")

    status, alert = await ask("POST", "/v1/alerts/test")
    assert (status, alert["kind"]) == (201, "test")
    status, alert = await ask(
        "POST", "/v1/alerts/{id}/ack", f"/v1/alerts/{alert['id']}/ack", json={"note": "seen"}
    )
    assert alert["state"] == "acknowledged"
    for verb, said in (
        ("take", {"by": "Mara"}),
        ("mute", {"minutes": 30}),
        ("escalate", {}),
        ("resolve", {}),
    ):
        status, alert = await ask(
            "POST", f"/v1/alerts/{{id}}/{verb}", f"/v1/alerts/{alert['id']}/{verb}", json=said
        )
        assert status == 200
    assert alert["state"] == "resolved"
    status, problem = await ask("POST", "/v1/alerts/{id}/take", "/v1/alerts/999/take", json={})
    assert (status, problem["code"]) == (404, "alert-unknown")
    await ask("GET", "/v1/oncall")
    status, problem = await ask(
        "POST",
        "/v1/oncall/overrides",
        json={"rota": "none", "person": "@a:hs", "until": "2126-01-01T00:00:00Z"},
    )
    assert (status, problem["code"]) == (404, "rota-unknown")
    status, problem = await ask(
        "POST", "/v1/oncall/overrides/{id}/clear", "/v1/oncall/overrides/1/clear", json={}
    )
    assert (status, problem["code"]) == (404, "override-unknown")
    status, problem = await ask("POST", "/v1/subscriptions", json={"person": "ada@example.org"})
    assert (status, problem["code"]) == (422, "subscription-invalid")
    await ask("GET", "/v1/subscriptions")
    status, problem = await ask("POST", "/v1/subscriptions/{id}/end", "/v1/subscriptions/1/end", json={})
    assert (status, problem["code"]) == (404, "subscription-unknown")
    await ask("GET", "/v1/alerts", "/v1/alerts?open=1")
    await ask("GET", "/v1/alerts/check")
    await emergencies_have_their_form(ask, incident_id)
    await ask("GET", "/v1/clusters")
    status, problem = await ask("GET", "/v1/clusters/{id}", "/v1/clusters/0")
    assert (status, problem["code"]) == (404, "cluster-unknown")
    status, problem = await ask("GET", "/v1/alerts/{id}", "/v1/alerts/999")
    assert status == 404


async def emergencies_have_their_form(ask, report_id) -> None:
    wanted = {
        "report_id": report_id,
        "reason": "An exercise.",
        "by": "Safety desk",
        "drill": True,
        "local": True,
    }
    step = {"name": "Stop it", "description": "At once."}
    status, done = await ask("POST", "/v1/emergencies", json=wanted | {"dry_run": True})
    assert (status, done["emergency"]) == (200, None)
    status, done = await ask("POST", "/v1/emergencies", json=wanted | {"steps": [step]})
    assert (status, done["emergency"]["title"][:6]) == (201, "DRILL:")
    one, path = "/v1/emergencies/{id}", f"/v1/emergencies/{done['emergency']['id']}"
    status, found = await ask("POST", one + "/answer", path + "/answer", json={"says": "investigating"})
    assert found["counts"]["investigating"] == 1
    for verb in ("update", "stand-down"):
        status, done = await ask(
            "POST", f"{one}/{verb}", f"{path}/{verb}", json={"reason": verb, "by": "Desk"}
        )
        assert (status, done["outcome"]) == (200, "called")
    await ask("GET", one, path)
    await ask("GET", one + "/times", path + "/times")
    _, listed = await ask("GET", "/v1/emergencies", "/v1/emergencies?drill=1&limit=1")
    assert [each["state"] for each in listed["items"]] == ["stood-down"]
    status, problem = await ask("GET", one, f"/v1/emergencies/{uuid4()}")
    assert (status, problem["code"]) == (404, "emergency-unknown")


async def test_every_route_of_a_token_refuses_who_has_none_or_another(served) -> None:
    bearer = served.node.tokens
    for route in ROUTES:
        if route.scope in {"open", "peer"}:
            continue
        path = re.sub(r"\{[^}]+\}", "1", route.path)
        async with served.client.request(route.method, path, headers={"Authorization": ""}) as answer:
            assert (answer.status, (await answer.json(content_type=None))["code"]) == (
                401,
                "token-missing",
            ), path
    _, token = await bearer.create("only-alerts", ("alert:read",))
    for route in ROUTES:
        if route.scope in {"open", "peer", "alert:read"}:
            continue
        path = re.sub(r"\{[^}]+\}", "1", route.path)
        async with served.client.request(
            route.method, path, headers={"Authorization": f"Bearer {token}"}
        ) as answer:
            assert (answer.status, (await answer.json(content_type=None))["code"]) == (
                403,
                "scope-missing",
            ), path


async def test_every_route_of_a_peer_refuses_a_request_that_no_peer_signed(served) -> None:
    for route in ROUTES:
        if route.scope == "peer":
            path = re.sub(r"\{[^}]+\}", "000", route.path)
            async with served.client.request(route.method, path) as answer:
                body = await answer.json(content_type=None)
                assert (answer.status, body["code"]) == (401, "not-authenticated"), path
