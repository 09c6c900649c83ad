"""One record says what a peer may do, and every field of it holds at its own door, at once."""

import asyncio

from tests.node.test_intake import taken
from tests.support.late import Late
from tests.support.node import open_here, settings_on
from tests.support.villain import GRAVE, get, villain

QUICK = {"federation": {"backoff_max_s": 0.3, "long_poll_s": 1.0}, "alerts": {"peer_budget_per_day": 5}}


async def put(served, peer, **change):
    async with served.client.put(f"/v1/peers/{peer}/policy", json=change) as answer:
        return answer.status, await answer.json()


async def test_a_peers_own_number_of_alerts_counts_and_can_be_taken_away_again(database, tmp_path):
    async with open_here(settings_on(tmp_path / "acme", database, QUICK)) as acme, villain() as mallory:
        await mallory.join(acme)
        name = acme.node.peering.by_id(mallory.node_id).row.name
        _, told = await put(acme, name, alerts_per_day=1)
        assert (told["policy"]["alerts_per_day"], told["policy"]["as_all"]) == (1, ["requests_per_s"])
        for n in range(3):
            mallory.publish(acme, mallory.bundle(f"Grave {n}", **GRAVE))
        await taken(acme, mallory)
        assert len((await get(acme, "/v1/alerts"))["items"]) == 1
        _, told = await put(acme, name, alerts_per_day=None)
        assert (told["policy"]["alerts_per_day"], "alerts_per_day" in told["policy"]["as_all"]) == (5, True)
        mallory.publish(acme, mallory.bundle("Grave again", **GRAVE))
        await taken(acme, mallory)
        assert len((await get(acme, "/v1/alerts"))["items"]) == 2


async def test_what_is_not_said_stays_and_what_is_no_policy_is_refused(acme, mallory):
    name = acme.node.peering.by_id(mallory.node_id).row.name
    status, told = await put(acme, name, client=True, witness=False, max_tlp_out="green")
    assert status == 200
    assert (told["policy"]["client"], told["policy"]["witness"], told["witness"]) == (True, False, False)
    _, told = await put(acme, name, onward=False)
    kept = {key: told["policy"][key] for key in ("client", "witness", "witnessed", "onward", "relay")}
    assert kept == {"client": True, "witness": False, "witnessed": True, "onward": False, "relay": True}
    assert (told["max_tlp_out"], told["max_tlp_in"]) == ("green", "amber")
    for bad in ({"alerts_per_day": -1}, {"requests_per_s": 0}, {"max_tlp_in": "purple"}, {"what": 1}):
        assert (await put(acme, name, **bad))[0] in {400, 422}
    assert (await put(acme, "nobody", client=True))[0] == 404


async def test_a_policy_opens_nothing_that_an_approval_would_not(acme):
    async with villain("eve") as eve:
        await eve.join(acme, approve=False)
        name = acme.node.peering.by_id(eve.node_id).row.name
        status, told = await put(acme, name, max_tlp_in="red")
        assert (status, told["code"]) == (400, "bad-request")
        async with acme.client.post(f"/v1/peers/{name}/approve", json={"unverified": True}) as answer:
            assert answer.status == 200
        status, told = await put(acme, name, max_tlp_in="amber")
        assert (status, told["code"]) == (400, "bad-request")
        assert "eight words" in told["detail"]
        assert (await put(acme, name, max_tlp_in="clear"))[1]["max_tlp_in"] == "clear"


async def test_a_client_that_is_met_anew_is_no_client_until_somebody_says_so_again(acme, mallory):
    peering, name = acme.node.peering, acme.node.peering.by_id(mallory.node_id).row.name
    assert (await put(acme, name, client=True))[1]["policy"]["client"]
    await peering.remove(name)
    await mallory.join(acme)
    assert not peering.by_id(mallory.node_id).policy.client


async def test_a_peers_own_rate_brakes_it_alone(acme, mallory):
    name = acme.node.peering.by_id(mallory.node_id).row.name
    await put(acme, name, requests_per_s=1)

    async def asked(who):
        return (await who.ask(acme, who.log_path(acme, "checkpoint?since=0&wait=0")))[0]

    assert 429 in await asyncio.gather(*(asked(mallory) for _ in range(60)))
    async with villain("other") as other:
        await other.join(acme)
        assert set(await asyncio.gather(*(asked(other) for _ in range(60)))) == {200}
    await put(acme, name, requests_per_s=None)
    assert await asked(mallory) == 200


async def test_what_is_written_of_a_peer_is_not_undone_in_memory_by_what_was_written_before(acme, mallory):
    """A trouble is noted, and before that is over a person takes the peer out: it stays out."""
    peering = acme.node.peering
    late = peering._pool = Late(acme.node.pool)
    noting = asyncio.create_task(peering.note_problem(mallory.node_id, "peer-timeout", "Wait."))
    await late.written.wait()
    removing = asyncio.create_task(peering.remove("mallory"))
    await asyncio.wait({removing}, timeout=1)  # as far as it gets: it may have to wait its turn
    late.go_on.set()
    await asyncio.gather(noting, removing)
    assert peering.present() == []
