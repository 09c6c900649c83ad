"""Who is on call, asked and changed over HTTP: by named people, for a while, never into a gap."""

from datetime import UTC, datetime, timedelta

import pytest
from tests.support.node import open_here, settings_on
from tests.support.villain import get, post

from tocsin_node.errors import SettingsError
from tocsin_node.settings.loading import load, parse

MATRIX = {
    "homeserver": "http://127.0.0.1:1",
    "user_id": "@bot:hs",
    "room": "!room:hs",
    "responders": ["@dee:hs"],
}
ROTA = {"name": "first", "members": ["@ada:hs", "@bo:hs"], "first": "2026-01-05", "zone": "Europe/Berlin"}


def settings(tmp_path, database, **rota):
    made = settings_on(tmp_path / "acme", database, {"matrix": MATRIX})
    with (made.dir / "node.toml").open("a") as file:
        given = {**ROTA, **rota}
        lines = [f"{name} = {value!r}".replace("'", '"') for name, value in given.items()]
        file.write("\n".join(["", "[[oncall.rota]]", *lines, ""]))
    return load(made.dir, {})


@pytest.fixture
async def node(database, tmp_path):
    async with open_here(settings(tmp_path, database)) as served:
        yield served


async def ask(node, path, document, status):
    async with node.client.post(path, json=document) as answer:
        said = await answer.json()
        assert answer.status == status, said
        return said


async def test_it_says_who_is_on_call_and_who_is_next_and_every_shift_of_a_span(node):
    shown = await get(node, "/v1/oncall?at=2027-03-27T12:00:00Z&until=2027-04-06T00:00:00Z")
    [rota] = shown["rotas"]
    assert (rota["name"], rota["level"], rota["zone"]) == ("first", 0, "Europe/Berlin")
    assert (rota["now"]["person"], rota["next"]["person"]) == ("@bo:hs", "@ada:hs")
    turns = [(s["person"], s["from"]) for s in rota["shifts"]]
    assert turns == [
        ("@bo:hs", "2027-03-22T08:00:00Z"),
        ("@ada:hs", "2027-03-29T07:00:00Z"),  # nine o'clock, now in summer
        ("@bo:hs", "2027-04-05T07:00:00Z"),
    ]
    assert shown["responders"] == ["@dee:hs"]


async def test_somebody_stands_in_for_a_while_and_the_rotation_comes_back(node):
    begin = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    asked = {"rota": "first", "person": "@dee:hs", "from": begin.isoformat(), "by": "Mara", "note": "swap"}
    made = await ask(
        node, "/v1/oncall/overrides", {**asked, "until": (begin + timedelta(hours=2)).isoformat()}, 201
    )
    assert (made["person"], made["by"], made["note"]) == ("@dee:hs", "Mara", "swap")

    async def person(at):
        shown = await get(node, f"/v1/oncall?at={at.isoformat().replace('+00:00', 'Z')}")
        return shown["rotas"][0]["now"]["person"], shown["rotas"][0]["now"]["override"]

    assert await person(begin) == ("@dee:hs", made["id"])
    assert (await person(begin + timedelta(hours=2)))[1] is None
    assert (await person(begin - timedelta(seconds=1)))[1] is None
    assert [o["id"] for o in (await get(node, "/v1/oncall"))["overrides"]] == [made["id"]]
    await ask(node, f"/v1/oncall/overrides/{made['id']}/clear", {"by": "Mara"}, 200)
    assert (await person(begin))[1] is None
    said = await ask(node, f"/v1/oncall/overrides/{made['id']}/clear", {}, 404)
    assert said["code"] == "override-unknown"


@pytest.mark.parametrize(
    ("change", "code", "status"),
    [
        ({"rota": "second"}, "rota-unknown", 404),
        ({"person": "@stranger:hs"}, "person-unknown", 422),
        ({"until": "2020-01-01T00:00:00Z"}, "override-invalid", 422),
        ({"from": "2126-01-01T00:00:00Z"}, "override-invalid", 422),
        ({"until": "2126-01-01T00:00:00Z"}, "override-invalid", 422),
        ({"until": "2027-01-01T00:00:00"}, "bad-json", 400),
        ({"until": "tomorrow"}, "bad-json", 400),
    ],
)
async def test_an_override_that_cannot_be_meant_is_refused(node, change, code, status):
    until = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    asked = {"rota": "first", "person": "@bo:hs", "until": until, **change}
    assert (await ask(node, "/v1/oncall/overrides", asked, status))["code"] == code
    assert (await get(node, "/v1/oncall"))["overrides"] == []


async def test_a_moment_that_is_none_is_refused(node):
    for at in ("tomorrow", "2027-01-01T00:00:00"):
        async with node.client.get("/v1/oncall", params={"at": at}) as answer:
            assert (answer.status, (await answer.json())["code"]) == (400, "bad-parameter")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"zone": "Europe/Atlantis"}, "is not a time zone"),
        ({"first": "2027-02-30"}, "2027-02-30 is not a day"),
        ({"members": ["ada@example.org"]}, r"members that only \[mail\] reaches"),
        ({"members": []}, "oncall.rota"),
        ({"members": ["ada"]}, "oncall.rota"),
        ({"length": "0d"}, "oncall.rota"),
        ({"at": "9:00"}, "oncall.rota"),
        ({"shift": "7d"}, "oncall"),
    ],
)
def test_a_rota_that_cannot_be_meant_is_refused_by_name(tmp_path, change, said):
    table = {"node": {"org": "A"}, "matrix": MATRIX, "oncall": {"rota": [{**ROTA, **change}]}}
    with pytest.raises(SettingsError, match=said):
        parse(table, tmp_path, {})


def test_two_rotas_of_one_name_are_refused(tmp_path):
    table = {"node": {"org": "A"}, "matrix": MATRIX, "oncall": {"rota": [ROTA, ROTA]}}
    with pytest.raises(SettingsError, match="twice"):
        parse(table, tmp_path, {})


def test_waits_can_be_set_by_the_environment(tmp_path):
    found = parse({"node": {"org": "A"}}, tmp_path, {"TOCSIN_ONCALL_GRADE_I_WAITS_MIN": "1, 2"})
    assert found.oncall.grade_i_waits_min == (1, 2)
    with pytest.raises(SettingsError, match="TOCSIN_ONCALL_GRADE_I_WAITS_MIN"):
        parse({"node": {"org": "A"}}, tmp_path, {"TOCSIN_ONCALL_GRADE_I_WAITS_MIN": "soon"})


async def test_a_mute_over_http_needs_its_length(node):
    alert = await post(node, "/v1/alerts/test", {})
    path = f"/v1/alerts/{alert['id']}/mute"
    assert (await ask(node, path, {}, 422))["code"] == "mute-without-length"
    assert (await ask(node, path, {"minutes": 24 * 60 + 1}, 400))["code"] == "bad-json"
    assert (await ask(node, path, {"minutes": 5}, 200))["muted_until"] is not None
    assert (await ask(node, path, {"undo": True}, 200))["muted_until"] is None


async def test_everybody_is_whoever_is_on_call_also_where_no_responders_are_named(database, tmp_path):
    made = settings_on(tmp_path / "acme", database, {"matrix": {**MATRIX, "responders": []}})
    with (made.dir / "node.toml").open("a") as file:
        file.write('\n[[oncall.rota]]\nname = "first"\nmembers = ["@ada:hs"]\nfirst = "2026-01-05"\n')
    async with open_here(load(made.dir, {})) as served, served.node.pool.acquire() as conn:
        called = await served.node.alarms.oncall.everybody(conn, datetime.now(UTC))
    assert called == ("@ada:hs",)
