"""When an alert is open: until somebody has taken it up, here or where our report went; and tests do not linger."""

from datetime import UTC, datetime, timedelta

from tests.support.villain import GRAVE, get, outcomes, post

from tocsin_federation.messages import write_acknowledgement

STIX = {"Content-Type": "application/stix+json"}


async def grave_report(acme, mallory):
    raw = acme.bundle("Grave", **GRAVE)
    async with acme.client.post("/v1/reports", data=raw, headers=STIX) as answer:
        return await answer.json()


async def open_alerts(node):
    return [alert["id"] for alert in (await get(node, "/v1/alerts?open=1"))["items"]]


async def test_what_a_recipient_has_taken_up_is_not_open_at_the_origin(acme, mallory):
    filed = await grave_report(acme, mallory)
    assert await open_alerts(acme) == [filed["alert"]]
    leaf = bytes.fromhex(filed["entry"]["leaf_hash"])
    for nth, (state, revoked) in enumerate((("acknowledged", False), ("open", True)), 1):
        said = write_acknowledgement(filed["id"], 1, datetime.now(UTC), revoked=revoked)
        mallory.publish(acme, said, t="ack", id=filed["id"], ref=leaf)
        await mallory.ring()
        await outcomes(acme, nth)
        alert = await get(acme, f"/v1/alerts/{filed['alert']}")
        assert (alert["state"], alert["acknowledgements"][0]["node"]) == (state, mallory.node_id)
        assert await open_alerts(acme) == ([filed["alert"]] if revoked else [])


async def test_an_acknowledgement_names_who_it_was_and_cannot_pose_as_somebody_of_the_room(acme, mallory):
    alert_id = (await grave_report(acme, mallory))["alert"]
    for given, kept in (
        ({"by": "Mara"}, "Mara"),
        ({"by": "@mara:example.org"}, "\uff20mara:example[.]org"),
        ({}, "init"),
    ):
        alert = await post(acme, f"/v1/alerts/{alert_id}/ack", given)
        last = alert["acknowledgements"][-1]
        assert (last["via"], last["by"]) == ("api", kept)
    again = await post(acme, f"/v1/alerts/{alert_id}/ack", {"by": "Mara"})
    assert [each["by"] for each in again["acknowledgements"]].count("Mara") == 1


async def test_a_test_is_closed_after_an_hour(acme):
    alert_id = (await post(acme, "/v1/alerts/test", {}))["id"]
    for back, state in ((timedelta(minutes=59), "open"), (timedelta(minutes=61), "closed")):
        async with acme.node.pool.acquire() as conn:
            await conn.execute(
                "update alert set raised_at = now() - $2::interval where id = $1", alert_id, back
            )
        assert (await get(acme, f"/v1/alerts/{alert_id}"))["state"] == state
        assert await open_alerts(acme) == ([alert_id] if state == "open" else [])
