"""Emergencies in real rooms: under a silence, in two rooms, in encrypted ones, and where nodes share a room."""

import secrets
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import replace

from tests.node.test_emergencies import (
    alerts_of,
    arrived,
    declare,
    emergency_at,
    neighbours,
    report_of,
    row_of,
)
from tests.node.test_remarks import QUICK
from tests.support.alarms import room_section
from tests.support.node import open_here, settings_on
from tests.support.villain import get, post, until

from tocsin_node.secrets import PICKLE_KEY, write_secret_file


def said_in(room, *words):
    """The messages of bots in a room that hold all these words, edits left out."""
    return [
        event
        for event in room.responder.events(room.id)
        if event["type"] == "m.room.message"
        and "org.tocsin.alert" in event["content"]
        and event["content"].get("m.relates_to", {}).get("rel_type") != "m.replace"
        and all(word in event["content"]["body"] for word in words)
    ]


async def one(room, *words):
    async def found():
        return said_in(room, *words)

    [event] = await until(found, within_s=60)
    return event


def root_of(event):
    return event["content"].get("m.relates_to", {}).get("event_id")


@asynccontextmanager
async def node_in(database, tmp_path, **sections):
    settings = settings_on(tmp_path / "acme", database, {**QUICK, **sections})
    write_secret_file(settings.dir / "keys" / PICKLE_KEY, secrets.token_hex(32))
    async with open_here(settings) as node:
        yield node


async def says(node, name, word):
    """Whether our own organisation says that of the emergency."""
    screen = await get(node, f"/v1/emergencies/{name}")
    return row_of(screen, node.node.settings.node.org)["says"] == word


async def stand_down(node, name):
    return await post(node, f"/v1/emergencies/{name}/stand-down", {"reason": "It is over.", "by": "Ada"})


async def test_an_emergency_rings_both_rooms_at_once_through_a_silence_and_ends_in_both(
    database, tmp_path, room, second_room
):
    rooms = {
        "matrix": room_section(room, tmp_path / "token"),
        "matrix_second": room_section(second_room, tmp_path / "token-2"),
    }
    async with node_in(database, tmp_path, **rooms) as node:
        _, incident = await report_of(node, tlp="green")
        silence = {"report_id": incident, "reason": "known", "for_s": 3600, "max_grade": "I", "by": "Ada"}
        await post(node, "/v1/silences", silence)
        name = (await declare(node, incident, local=True))["emergency"]["id"]
        roots = {}
        for each in (room, second_room):
            ring = await one(each, "EMERGENCY called by", "!affected")
            assert ring["content"]["m.mentions"] == {"user_ids": [each.responder.user_id]}
            roots[each.id] = ring["event_id"]
        [alert] = await alerts_of(node, name)
        called = await post(node, f"/v1/alerts/{alert['id']}/escalate", {"by": "Ada"})
        assert called["silenced"] is None
        for each in (room, second_room):
            assert root_of(await one(each, "HELP WANTED")) == roots[each.id], "no silence holds it"
        second_room.responder.say(second_room.id, f"!affected {alert['id']} two wards")
        await until(lambda: says(node, name, "affected"))
        await stand_down(node, name)
        for each in (room, second_room):
            assert root_of(await one(each, "over: stood down by")) == roots[each.id]
        assert (await alerts_of(node, name))[0]["state"] == "acknowledged"


async def test_a_drill_in_an_encrypted_room_is_read_answered_and_ended(
    database, tmp_path, encrypted_room, friend
):
    async with node_in(
        database, tmp_path, matrix=room_section(encrypted_room, tmp_path / "token") | {"encrypted": True}
    ) as node:
        _, incident = await report_of(node, tlp="green")
        name = (await declare(node, incident, drill=True, local=True))["emergency"]["id"]
        seen = await friend.alert()
        assert seen["content"]["body"].startswith("🔵 DRILL of an emergency")
        [alert] = await alerts_of(node, name)
        await friend.say(encrypted_room.id, f"!investigating {alert['id']}")
        await until(lambda: says(node, name, "investigating"))
        await stand_down(node, name)
        over = await friend.hear(lambda e: "over: stood down by" in e.source["content"].get("body", ""))
        assert over.decrypted
    shown = [e for e in encrypted_room.responder.events(encrypted_room.id) if e["type"] == "m.room.message"]
    assert shown == [], "nothing went out in the clear"


async def test_nodes_of_one_room_tell_an_emergency_what_follows_and_its_end_once(cluster, tmp_path, room):
    other = room.homeserver.register(f"birch-{room.bot.user_id[1:].partition(':')[0]}")
    room.responder.call("POST", f"/rooms/{room.id}/invite", {"user_id": other.user_id})
    bots = {"Acme": room.bot, "Birch": other}
    values = {
        org: {
            "matrix": room_section(replace(room, bot=bot), tmp_path / f"token-{org}")
            | {"fellows": [each.user_id for each in bots.values() if each is not bot]},
            "grouping": {
                "head_start_s": 15
            },  # longer than a busy machine needs to show one what the other said
        }
        for org, bot in bots.items()
    }
    async with neighbours(cluster, tmp_path, "Acme", "Birch", values=values) as nodes:
        acme, birch = nodes
        for node in nodes:
            await until(lambda node=node: room_is_well(node))
        _, incident = await report_of(acme, tlp="green")
        await arrived(birch, incident)
        name = (await declare(acme, incident))["emergency"]["id"]
        await emergency_at(birch, name)
        await until(lambda: settled(nodes, name, ring=1))
        update = {"reason": "4.1 too.", "by": "Ada"}
        await post(acme, f"/v1/emergencies/{name}/update", update)
        await until(lambda: settled(nodes, name, ring=1, call=1))
        await stand_down(acme, name)
        await until(lambda: settled(nodes, name, ring=1, call=2))
    told = Counter(
        next(words for words in ("over: stood down", "update 1", "EMERGENCY called by") if words in body)
        for body in (event["content"]["body"] for event in said_in(room, "EMERGENCY"))
    )
    assert told == {"EMERGENCY called by": 1, "update 1": 1, "over: stood down": 1}


async def room_is_well(node):
    checks = await node.node.alarms.health()
    return all(check.status != "down" for check in checks if check.name == "matrix")


async def settled(nodes, name, **counts):
    """Whether of each kind of message one node has told so many and the other has left as many to it."""
    states = Counter()
    for node in nodes:
        for alert in await alerts_of(node, name):
            for message in alert["deliveries"]:
                if message["kind"] in counts:
                    states[message["kind"], message["state"] == "covered"] += 1
                    if message["state"] not in {"covered", "accepted", "echoed", "seen"}:
                        return False
    return states == {(kind, covered): count for kind, count in counts.items() for covered in (False, True)}
