"""An open early warning stands for the milder reports that belong to it."""

import uuid
from datetime import UTC, datetime, timedelta

from tests.support.alarms import bell

from tocsin_node.services.clusters import Clusters
from tocsin_node.storage import reports
from tocsin_schema.check import check_bundle
from tocsin_schema.stix import build, node_identity

PEERS = ["n1" + letter * 52 for letter in "abc"]
HARMED = {
    "realization": "harm-event",
    "description": "Two people died.",
    "causality": "direct",
    "harms": [{"harm_type": "physical-health", "materialised": True}],
}


def filed_by(peer, title, **fields):
    now = datetime.now(UTC)
    raw = build(
        {
            "title": title,
            "tlp": "green",
            "systems": [{"name": "Shuttle Pilot"}],
            "occurred_start": (now - timedelta(hours=3)).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            **HARMED,
            **fields,
        },
        producer=node_identity(f"Org {peer[2]}", peer),
        incident_id=f"incident--{uuid.uuid4()}",
        now=now - timedelta(minutes=1),
    )
    report = check_bundle(raw).report
    assert report is not None, check_bundle(raw).findings
    return report


async def test_what_belongs_to_an_open_early_warning_is_told_in_its_thread_and_rings_nobody(
    pool, tmp_path, room
):
    async with bell(pool, tmp_path, room, alerts={"cluster": True}) as ringing:

        async def came(peer, title, **fields):
            report = filed_by(peer, title, **fields)
            async with pool.transaction() as conn:
                await reports.insert(conn, [reports.NewReport(report, peer, 1)])
            return report, await ringing.store(report)

        await came(PEERS[0], "First", quantities={"deaths": 2})
        await ringing.all_echoed(1)
        await came(PEERS[1], "Second", quantities={"deaths": 2})
        await ringing.all_echoed(2)
        warned = Clusters(pool, ringing.alarms, ringing.settings.alerts, lambda node: node[:3], org="Test")
        assert await warned.ring() == 1
        await ringing.all_echoed(5)  # the warning, and a word in the thread of each
        third, alert_id = await came(PEERS[2], "Third", quantities={"deaths": 1})
        assert third.severity.grade == "II"
        await ringing.all_echoed(6)
        events = room.alerts()
        roots = [e for e in events if "m.relates_to" not in e["content"]]
        assert [e["content"]["org.tocsin.alert"]["kind"] for e in roots] == ["raise", "raise", "cluster"]
        assert "EARLY WARNING" in roots[2]["content"]["body"]
        words = [e for e in events if e["content"]["msgtype"] == "m.notice"]
        assert [e["content"]["m.relates_to"]["event_id"] for e in words[:2]] == [
            e["event_id"] for e in roots[:2]
        ]
        joined = words[2]["content"]
        assert joined["m.relates_to"]["event_id"] == roots[2]["event_id"]
        assert joined["body"].startswith("Part of alert 3, which is open: this one rings nobody.")
        assert "Third" in joined["body"]
        assert joined["m.mentions"] == {}
        room.responder.react(room.id, words[2]["event_id"], "👀")
        await ringing.standing_acks(alert_id, 1)
