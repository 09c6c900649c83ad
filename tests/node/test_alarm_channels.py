"""A whole node with a webhook and e-mail, as its settings and its API have them."""

import asyncio

from tests.support.node import open_here, settings_on
from tests.support.pager import pager
from tests.support.post_office import post_office


async def test_a_test_alert_goes_through_every_channel_of_a_node_and_each_is_shown(database, tmp_path):
    async with pager() as there, post_office() as office:
        mail = office.settings(recipients=["duty@example.org"])
        values = {"webhook": {"url": there.url}, "mail": mail}
        settings = settings_on(tmp_path / "acme", database, values)
        secret = settings.path("keys/webhook-secret")
        secret.touch(mode=0o600)
        secret.write_text(f"{there.secret}\n")
        async with open_here(settings) as acme:
            async with acme.client.post("/v1/alerts/test", json={}) as answer:
                assert answer.status == 201
                alert = await answer.json()
            async with asyncio.timeout(60):
                while {d["state"] for d in alert["deliveries"]} != {"accepted"}:
                    await asyncio.sleep(0.02)
                    async with acme.client.get(f"/v1/alerts/{alert['id']}") as answer:
                        alert = await answer.json()
            assert sorted(d["channel"] for d in alert["deliveries"]) == ["mail", "webhook"]
            assert alert["state"] == "closed"
            async with acme.client.get("/healthz") as answer:
                shown = await answer.text()
                checks = {c["name"]: c["status"] for c in (await answer.json())["checks"]}
            assert (checks["webhook"], checks["mail"], "matrix" in checks) == ("ok", "ok", False)
            assert not [s for s in ("hush", "duty@", there.secret) if s in shown + str(alert)]
    assert [a["kind"] for a in there.alerts] == ["test"]
    assert [m["Auto-Submitted"] for m in office.mails] == ["auto-generated"]


async def test_a_dead_channel_holds_up_no_other(database, tmp_path):
    async with pager(start=False) as nobody, post_office() as office:
        values = {"webhook": {"url": nobody.url}, "mail": office.settings(recipients=["duty@example.org"])}
        settings = settings_on(tmp_path / "acme", database, values)
        secret = settings.path("keys/webhook-secret")
        secret.touch(mode=0o600)
        secret.write_text(nobody.secret)
        async with open_here(settings) as acme:
            async with acme.client.post("/v1/alerts/test", json={}) as answer:
                number = (await answer.json())["id"]
            async with asyncio.timeout(60):
                while not office.mails:
                    await asyncio.sleep(0.02)
                states = set()
                while states != {("mail", "accepted"), ("webhook", "pending")}:
                    async with acme.client.get(f"/v1/alerts/{number}") as answer:
                        found = await answer.json()
                    states = {(d["channel"], d["state"]) for d in found["deliveries"]}
                await nobody.start()
                while not nobody.alerts:
                    await asyncio.sleep(0.02)
    assert (len(nobody.alerts), len(office.mails)) == (1, 1)
