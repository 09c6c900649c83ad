"""Peers' names: none that misleads, none that leads elsewhere, and a stranger's claim is not taken over unseen."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from tests.node.conftest import QUICK
from tests.support.node import open_here, settings_on
from tests.support.villain import GRAVE, get, post, until

from tocsin_node.services.peer_name import NAME_MAX, NameUnfit, check_name, suggested
from tocsin_schema.stix import build, node_identity

NODE_ID = "n1" + "a" * 52
UNFIT = [
    "", " ", " lab", "lab ", "x" * (NAME_MAX + 1), "a\nb", "a\x1b[2Jb", "a\u202eb", "a\u200bb", "a\u00a0b", "a\0b",
    "-lab", "--to", "\uff0dlab", "a/b", "/", "..", ".", "\u2025", "a\\b", "a\uff0fb",
    "us", "US", "Us", "\uff55\uff53", "u\u0455", "\u057d\u0455", "me", "invites", NODE_ID, NODE_ID.upper(),
]  # fmt: skip


@pytest.mark.parametrize("name", UNFIT)
def test_a_name_that_misleads_is_refused(name):
    with pytest.raises(NameUnfit):
        check_name(name)


@pytest.mark.parametrize(
    "name", ["lab", "Alder Hospital", "Bücher & Söhne", "3", "東京", "us-lab", "a.b", "x" * NAME_MAX, "Ünt'"]
)
def test_a_name_as_organisations_have_them_is_taken(name):
    check_name(name)


@pytest.mark.parametrize(
    ("claim", "name"),
    [
        ("us", "peer-aaaaaaaa"),
        ("../etc", "etc"),
        ("-rf /", "rf"),
        ("Spital Zürich / Nord", "spital-zurich-nord"),
        ("x" * 200, "x" * 40),
        ("東京/大阪", "peer-aaaaaaaa"),
    ],
)
def test_a_fit_name_is_suggested(claim, name):
    assert suggested(claim, NODE_ID) == name
    check_name(name)


async def test_what_a_stranger_calls_itself_does_not_become_our_name_for_it(cluster, database, tmp_path):
    """It calls itself us: that is refused, the invite stays good, and its alerts say whose they are."""
    async with cluster.database() as other:
        first = settings_on(tmp_path / "one", database, QUICK, org="us")
        second = settings_on(tmp_path / "two", other, QUICK, org="Two")
        async with open_here(first) as one, open_here(second) as two:
            text = (await post(one, "/v1/peers/invites", {"name": "Two"}))["invite"]
            async with two.client.post("/v1/peers/join", json={"invite": text}) as answer:
                said = await answer.json()
            assert (answer.status, said["code"]) == (422, "name-unfit")
            assert "tocsin peer join --name peer-" in said["hint"]
            async with two.client.post("/v1/peers/join", json={"invite": text, "name": "us"}) as answer:
                assert (await answer.json())["code"] == "name-unfit"
            joined = await post(two, "/v1/peers/join", {"invite": text, "name": "stranger"})
            words = {"sas": " ".join(joined["sas"])}
            await post(one, "/v1/peers/Two/approve", words)
            await post(two, "/v1/peers/stranger/approve", words)
            raw = build(
                {"title": "Grave", "tlp": "green", **GRAVE},
                producer=node_identity("us", one.node.identity.node_id),
                incident_id=f"incident--{uuid4()}",
                now=datetime.now(UTC),
            )
            async with one.client.post(
                "/v1/reports", data=raw, headers={"Content-Type": "application/stix+json"}
            ) as answer:
                assert answer.status == 201

            async def rang():
                return (await get(two, "/v1/alerts"))["items"]

            (alert,) = await until(rang)
            assert alert["from"] == {"name": "stranger", "node_id": one.node.identity.node_id, "ours": False}
            (own,) = (await get(one, "/v1/alerts"))["items"]
            assert own["from"]["ours"] is True
            assert (await get(two, "/v1/reports?origin=us"))["items"] == []
