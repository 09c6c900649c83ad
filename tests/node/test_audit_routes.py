"""Every address of the API that changes something leaves the line in the audit log that is declared.

One story does everything that can be done over HTTP at one node, in one order, and looks after each step. Whoever adds a
route that changes something adds its step here, or the last test fails.
"""

import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from tests.node.test_duties import FORM
from tests.node.test_duties import SETTINGS as DUTIES
from tests.node.test_federation_api import renewed
from tests.node.test_federation_api import tell as tell_statement
from tests.node.test_oncall import MATRIX, ROTA
from tests.support.node import ROOT, open_here, settings_on
from tests.support.reports import PUBLIC, report_by
from tests.support.villain import get, incident_id_of, until, villain

from tocsin_federation.merkle import consistency_proof
from tocsin_federation.witness import Submission, write_submission
from tocsin_node.audit_actions import ACTIONS, CHANGES_NOTHING, LEAVES
from tocsin_node.routes import ROUTES
from tocsin_node.settings.loading import load
from tocsin_node.web.route import Route, check_routes
from tocsin_schema.check import check_bundle
from tocsin_schema.remarks import sighting
from tocsin_schema.stix import build, revise, withdraw

STIX = {"Content-Type": "application/stix+json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
ANN = {"by": "Ann"}
CHANGING = {r.operation_id: r for r in ROUTES if r.method != "GET" and LEAVES[r.operation_id]}


def test_a_route_that_changes_something_and_does_not_say_what_it_leaves_is_not_served():
    (route, *_) = CHANGING.values()
    check_routes([route])
    with pytest.raises(ValueError, match="audit log"):
        check_routes([Route(route.method, route.path, route.handler, route.scope, "eatReport")])


def test_what_routes_leave_are_actions_that_the_log_knows_and_each_stands_for_a_route():
    assert set(LEAVES) <= {route.operation_id for route in ROUTES}
    assert {action for leaves in LEAVES.values() for action in leaves} <= set(ACTIONS)


def test_the_routes_that_claim_to_change_nothing_only_look():
    claim = {
        r.operation_id for r in ROUTES if r.method != "GET" and LEAVES[r.operation_id] == CHANGES_NOTHING
    }
    assert claim == {"findDuplicates", "routeBundle", "peerCompare"}


class Story:
    """Asks, and holds each answer against what the route declares."""

    def __init__(self, served):
        self.served, self.told = served, set()

    async def count(self, route):
        async with self.served.node.pool.acquire() as conn:
            return await conn.fetchval(
                "select count(*) from (select action from audit_line union all select action from audit_waiting) l"
                " where action = any($1::text[])",
                list(LEAVES[route.operation_id]),
            )

    async def do(self, operation, send=None, *, data=None, kind=STIX, query="", **path):
        route = CHANGING[operation]
        before = await self.count(route)
        address = re.sub(r"\{(\w+)(:[^}]*)?\}", lambda m: str(path[m[1]]), route.path)
        headers = kind if data is not None else {}
        async with self.served.client.request(
            route.method, address + query, json=send, data=data, headers=headers
        ) as answer:
            text = await answer.text()
            assert answer.status in {200, 201, 202, 204}, (operation, answer.status, text)
        assert await self.count(route) > before, f"{operation} left no line of {LEAVES[operation]}"
        self.told.add(operation)
        return json.loads(text) if text else None

    async def by_peer(self, operation, act):
        route = CHANGING[operation]
        before = await self.count(route)
        status, body, *_ = await act
        assert status == 200, body
        assert await self.count(route) > before, f"{operation} left no line of {LEAVES[operation]}"
        self.told.add(operation)


@pytest.fixture
async def ward(database, tmp_path):
    settings = settings_on(tmp_path / "ward", database, {**DUTIES, "matrix": MATRIX}, org="Ward")
    with (settings.dir / "node.toml").open("a") as file:
        lines = [f"{name} = {value!r}".replace("'", '"') for name, value in ROTA.items()]
        file.write("\n".join(["", "[[oncall.rota]]", *lines, ""]))
    async with open_here(load(settings.dir, {})) as served:
        yield served


async def test_whatever_is_changed_over_http_leaves_the_line_that_its_route_declares(ward, cluster, tmp_path):
    story = Story(ward)
    do, producer, now = story.do, dict(ward.node.producer), datetime.now(UTC)
    async with villain() as mallory, cluster.database() as other:
        # Peers
        text = (await do("invitePeer", {"name": "mallory"}))["invite"]
        await story.by_peer("peerJoin", mallory.join_with(ward, text))
        words = (await get(ward, "/v1/peers/mallory"))["sas"]
        await do("approvePeer", {"sas": " ".join(words), "max_tlp_out": "amber"}, name="mallory")
        await do("setPolicy", {"relay": False}, name="mallory")
        await do("setWitness", {"witness": True, "witnessed": True}, name="mallory")
        await do("repairPeer", {}, name="mallory")
        await do("syncPeer", {}, name="mallory")
        async with open_here(settings_on(tmp_path / "other", other, org="Other")) as second:
            async with second.client.post("/v1/peers/invites", json={"name": "ward"}) as answer:
                invite = (await answer.json())["invite"]
            await do("joinPeer", {"invite": invite, "name": "other"})
            await do("removePeer", name="other")
        mallory.leaf_hashes += [bytes([n + 1]) * 32 for n in range(5)]
        body = write_submission(
            Submission(0, tuple(consistency_proof(mallory.leaf_hashes, 0)), mallory.note())
        )
        await story.by_peer("addCheckpoint", _submitted(ward, body))

        # Reports
        raw = ward.bundle("Pump gives too much", tlp="amber")
        report = incident_id_of(raw)
        await do("submitReport", data=raw, query="?share=0")
        later = revise(raw, {"title": "Pump gives far too much"}, now=now + timedelta(seconds=5))
        await do("reviseReport", data=later, id=report)
        await do("shareReport", data=b"", query="?to=mallory", id=report)
        twin = ward.bundle("Pump gives too much again")
        await do("submitReport", data=twin, query="?to=mallory&personal_data_reviewed_by=Ann")
        await do("decideDuplicate", {"verdict": "duplicate", **ANN}, id=report, other=incident_id_of(twin))
        await do("undoDuplicate", id=report, other=incident_id_of(twin))
        said = sighting(check_bundle(twin).report, producer=producer, now=now, count=2)
        await do("makeRemark", data=said, id=incident_id_of(twin))
        foreign = report_by(PUBLIC, "Somebody else's")
        await do("importReports", data=foreign.replace(b"\n", b""), kind=NDJSON)

        # Duties
        owed = build(
            FORM,
            producer=producer,
            incident_id="incident--" + "0" * 8 + "-0000-4000-8000-" + "0" * 12,
            now=now,
        )
        await do("submitReport", data=owed, query="?share=0")
        await do("trackDuties", {"report_id": report, **ANN})
        duties = await until(lambda: _duties(ward, incident_id_of(owed)))
        await do("confirmDuty", ANN, id=duties[0])
        await do("settleDuty", ANN, id=duties[0])
        await do("dismissDuty", {"reason": "no", **ANN}, id=duties[-1])

        # Alerts
        alert = (await do("testAlert"))["id"]
        for operation, more in (
            ("acknowledgeAlert", {}), ("takeAlert", {}), ("muteAlert", {"minutes": 5}), ("resolveAlert", {}),
            ("escalateAlert", {}),
        ):  # fmt: skip
            await do(operation, {**ANN, **more}, id=alert)
        await do("acknowledgeAlert", {"undo": True, **ANN}, id=alert)
        until_ = (now + timedelta(hours=2)).isoformat()
        made = await do("overrideOncall", {"rota": "first", "person": "@bo:hs", "until": until_, **ANN})
        await do("clearOverride", ANN, id=made["id"])
        made = await do("addSilence", {"reason": "noise", "for_s": 60, "report_id": report, **ANN})
        await do("expireSilence", ANN, id=made["id"])
        made = await do("subscribe", {"person": "@ada:hs", **ANN})
        await do("endSubscription", ANN, id=made["id"])

        # Emergencies
        called = await do(
            "declareEmergency", {"report_id": report, "reason": "It goes on.", "local": True, **ANN}
        )
        emergency = called["emergency"]["id"]
        await do("updateEmergency", {"reason": "Still.", **ANN}, id=emergency)
        await do("answerEmergency", {"says": "affected", **ANN}, id=emergency)
        await do("standDownEmergency", {"reason": "Over.", **ANN}, id=emergency)

        # The end of a report, and of the story
        await do(
            "withdrawReport",
            data=withdraw(later, reason="made anew", now=now + timedelta(seconds=9)),
            id=report,
        )
        await do("recallReport", {"reason": "It has to go.", **ANN}, id=report)
        await do("eraseReport", {"reason": "It has to go.", **ANN}, id=report)
        await do("liftErasure", {"reason": "A mistake.", "report_id": report, **ANN})
        _, chain = renewed(mallory, urls=["https://moved.example"])
        await story.by_peer("peerStatement", tell_statement(mallory, ward, chain))

        elsewhere = {
            *(
                "adoptCircle",
                "adoptOfferedCircle",
                "leaveCircle",
                "backfillCircle",
            ),  # takes several nodes: test_circles
            "obeyRecall",  # only where a peer has recalled something: test_recalls
            "confirmLog",  # only where no peer can be asked: test_self_check
            "republishReports",  # only after a log has ended: test_generations
            "peerHeads",  # only of a peer whose heads contradict each other: test_gossip
        }
        assert story.told | elsewhere == set(CHANGING)

        head = await ward.node.auditing.seal()
        lines = await ward.node.auditing.lines(0, limit=10_000)
        assert len(lines) == head.size
        everything = json.dumps([line.detail for line in lines])
        assert "Pump" not in everything
        assert report not in everything, "a report is named by the object alone, which can be forgotten"
        persons = {line.action for line in lines if line.who == "person:Ann" and line.via == "token:init"}
        assert {"alert.ack", "silence.add", "duty.confirm", "emergency.declare", "report.review"} <= persons


async def _submitted(node, body):
    headers = {"Content-Type": "text/plain"}
    async with node.client.post("/f1/wit/add-checkpoint", data=body, headers=headers) as answer:
        return answer.status, await answer.read()


async def _duties(node, report_id):
    return [duty["id"] for duty in (await get(node, f"/v1/duties?report={report_id}"))["items"]]


def test_every_action_is_in_the_handbook():
    page = (ROOT / "node/OPERATING.md").read_text("utf-8")
    told = {
        f"{group}.{action}"
        for group, actions in re.findall(r"^\| `(\w+)` \| ((?:`[a-z-]+`(?:, )?)+) \|$", page, re.MULTILINE)
        for action in re.findall(r"`([a-z-]+)`", actions)
    }
    assert told == set(ACTIONS)
