"""An emergency told as a story: one hospital calls, rooms ring, others answer, it is stood down; a drill is timed."""

import json
from datetime import datetime

import pytest
from tests.journeys.test_chaos import back
from tests.support.neighbour import Neighbour, introduce, start_all, until


def look(node: Neighbour, path: str):
    """A document of the API; None when it is not there, or the database is away for a moment."""
    answer = node.call("GET", f"/v1{path}")
    assert answer.status in {200, 404, 503}, answer
    return answer.json() if answer.status == 200 else None


def of_emergency(node: Neighbour, name: str):
    """The bot's messages in the node's room about an emergency's alert, oldest first, without what edits the first."""
    assert node.room is not None
    listed = until(lambda: look(node, "/alerts?limit=500"), "alerts are listed", log=node.log)
    alert = next(a for a in listed["items"] if a["emergency"] == name)
    said = [m for m in node.room.alerts() if m["content"]["org.tocsin.alert"].get("alert") == alert["id"]]
    return alert, [m for m in said if m["content"].get("m.relates_to", {}).get("rel_type") != "m.replace"]


def called(node: Neighbour, name: str, **wanted):
    """The emergency as soon as the node has it, with those values."""

    def there():
        found = look(node, f"/emergencies/{name}")
        return found if found and all(found[key] == value for key, value in wanted.items()) else None

    return until(there, f"{node.name} knows of {name} {wanted}", log=node.log)


def rung(node: Neighbour, name: str, count: int = 1):
    """The messages in the node's room, as soon as there are so many."""
    called(node, name)
    until(lambda: len(of_emergency(node, name)[1]) >= count, f"{node.name}'s room has {count}", log=node.log)
    return of_emergency(node, name)[1]


def all_stages(node: Neighbour, name: str):
    """The report of times as soon as one of those called has told of all stages."""
    until(
        lambda: all(each["reached"] for each in node.get(f"/emergencies/{name}/times")["stages"].values()),
        f"{node.name} knows of all stages",
        log=node.log,
    )
    return node.json("emergency", "times", name)


def row_of(screen, name):
    (row,) = [row for row in screen["nodes"] if row["node"]["name"] == name]
    return row


def bodies(messages):
    return [message["content"]["body"] for message in messages]


def test_a_hospital_calls_two_answer_from_room_and_command_line_and_it_is_stood_down(town):
    report_id = town.hospital.file("Sepsis warning silent everywhere")["id"]
    for node in (town.lab, town.school):
        node.await_report(report_id)
    done = town.hospital.json(
        "emergency", "declare", report_id, "--reason", "It goes on, and others run it too.",
        "--step", "Stop the nightly scoring: turn the schedule off", "--by", "Ada Lovelace", "--yes",
    )  # fmt: skip
    name = done["emergency"]["id"]
    assert sorted(to["name"] for to in done["to"]) == ["lab", "school"]
    for node in (town.hospital, town.lab, town.school):
        (message,) = rung(node, name)
        body = message["content"]["body"]
        assert body.startswith("🚨 EMERGENCY called by hospital · TLP:GREEN")
        assert "It goes on, and others run it too." in body
        assert "Step 1: Stop the nightly scoring: turn the schedule off" in body
        assert f"tocsin emergency answer {name}" in body
        assert message["content"]["m.mentions"] == {"user_ids": [node.room.responder.user_id]}
        assert "m.relates_to" not in message["content"]
        assert "Ada" not in body or node is town.hospital
    (root,) = rung(town.lab, name)
    thread = {"rel_type": "m.thread", "event_id": root["event_id"]}
    town.lab.room.responder.say(town.lab.room.id, "!affected", **{"m.relates_to": thread})
    town.school.run("emergency", "answer", name, "--not-affected", "--note", "We do not run it.")

    def answered():
        screen = town.hospital.get(f"/emergencies/{name}")
        says = {row["node"]["name"]: row["says"] for row in screen["nodes"]}
        return screen if (says["lab"], says["school"]) == ("affected", "not-affected") else None

    screen = until(answered, "both have answered", log=town.hospital.log)
    assert screen["counts"] == {"affected": 1, "investigating": 0, "not-affected": 1, "silent": 0}
    until(
        lambda: row_of(town.hospital.get(f"/emergencies/{name}"), "lab")["acknowledged_at"],
        "the lab has looked",
    )
    shown = town.hospital.run("emergency", "show", name).out
    assert "1 affected, 0 investigating, 1 not affected, 0 silent" in shown
    assert "We do not run it." in shown
    told = bodies(rung(town.hospital, name, 3))[1:]
    assert sorted(told) == [
        "EMERGENCY, lab answers: affected (1 of 2 have answered).",
        "EMERGENCY, school answers: not affected (2 of 2 have answered).",
    ] or sorted(told) == [
        "EMERGENCY, lab answers: affected (2 of 2 have answered).",
        "EMERGENCY, school answers: not affected (1 of 2 have answered).",
    ]
    remarks = town.hospital.get(f"/reports/{report_id}/remarks")["items"]
    assert {(r["by"]["name"], r["said"]) for r in remarks} == {
        ("lab", "affected"),
        ("school", "not-affected"),
    }

    town.hospital.run("emergency", "stand-down", name, "--reason", "Every copy is patched.", "--by", "Ada")
    for node in (town.lab, town.school):
        called(node, name, state="stood-down")
        *_, last = rung(node, name, 3)  # the alert, the answer given here, the end
        body = last["content"]["body"]
        assert body.splitlines()[0] == "EMERGENCY, over: stood down by hospital."
        assert "Every copy is patched." in body
        assert last["content"]["m.relates_to"]["rel_type"] == "m.thread"
    listed = town.lab.run("emergency", "list").out
    assert "stood-down" in listed


def test_a_drill_goes_the_whole_way_says_so_everywhere_and_its_times_are_what_happened(town, tmp_path):
    report_id = town.hospital.file("Old case for the drill", mild=True)["id"]
    for node in (town.lab, town.school):
        node.await_report(report_id)
    before = [node.get("/reports/facets") for node in (town.lab, town.school)]
    town.school.kill()
    done = town.hospital.json(
        "emergency", "declare", report_id, "--drill", "--reason", "Yearly exercise.", "--yes", "--by", "Ada"
    )
    name = done["emergency"]["id"]
    declared = datetime.fromisoformat(done["emergency"]["declared_at"])
    (root,) = rung(town.lab, name)
    body = root["content"]["body"]
    assert body.startswith("🔵 DRILL of an emergency called by hospital: nothing has happened")
    assert "EMERGENCY" not in body
    assert root["content"]["org.tocsin.alert"]["drill"] is True
    town.lab.room.responder.react(town.lab.room.id, root["event_id"])

    def lab():
        return row_of(town.hospital.get(f"/emergencies/{name}"), "lab")

    until(lambda: lab()["acknowledged_at"], "the lab's person has looked", log=town.hospital.log)
    town.lab.run("emergency", "answer", name, "--investigating")
    until(lambda: lab()["says"] == "investigating", "the lab has answered", log=town.hospital.log)
    times = all_stages(town.hospital, name)
    stages = times["stages"]
    assert {(each["reached"], each["of"]) for each in stages.values()} == {(1, 2)}
    assert all(each["missing"] == ["school"] for each in stages.values())
    (span,) = [each for each in times["nodes"] if each["node"]["name"] == "lab"]
    assert 0 <= span["stored_s"] <= span["rung_s"] <= span["acknowledged_s"] <= span["answered_s"]

    # Held against what the lab itself knows, to the millisecond.
    here = town.lab.get(f"/emergencies/{name}")
    alert, _ = of_emergency(town.lab, name)
    accepted = min(d["accepted_at"] for d in alert["deliveries"] if d["kind"] == "ring")
    acknowledged = min(a["at"] for a in alert["acknowledgements"])
    answered = row_of(here, "lab")["answered_at"]
    for stage, moment in (
        ("stored", here["stored_at"]),
        ("rung", accepted),
        ("acknowledged", acknowledged),
        ("answered", answered),
    ):
        truth = (datetime.fromisoformat(moment) - declared).total_seconds()
        assert span[f"{stage}_s"] == pytest.approx(max(truth, 0), abs=0.002), stage

    town.school.restart()
    (late,) = rung(town.school, name)
    assert late["content"]["body"].startswith("🔵 DRILL")
    file = tmp_path / "drill.md"
    until(
        lambda: town.hospital.json("emergency", "times", name)["stages"]["rung"]["reached"] == 2,
        "the school rang", log=town.hospital.log,
    )  # fmt: skip
    text = town.hospital.run("emergency", "times", name, "--markdown", str(file)).out
    assert text.splitlines()[0].startswith("DRILL declared: DRILL: ")
    assert "**This was a DRILL. Nothing had happened.**" in file.read_text()
    assert "| a person acknowledged | 1 of 2 |" in file.read_text()
    town.hospital.run("emergency", "stand-down", name, "--reason", "Thank you.", "--by", "Ada")
    for node in (town.lab, town.school):
        called(node, name, state="stood-down")
        last = rung(node, name, 2)[-1]
        until(
            lambda node=node: "DRILL, over" in bodies(rung(node, name))[-1], "the drill is over", log=node.log
        )
        assert last["content"]["body"].startswith("DRILL")
        assert node.get(f"/reports/{report_id}/remarks")["items"] == []
        assert "DRILL" in node.run("emergency", "list").out
        assert json.loads(node.run("emergency", "list", "--json").out)["items"][0]["drill"] is True
    assert [node.get("/reports/facets") for node in (town.lab, town.school)] == before


@pytest.mark.timeout(240)
def test_through_power_cuts_each_call_rings_once_and_the_stand_down_arrives(organisation, homeserver):
    caller, hearer = organisation("caller", rung=True), organisation("hearer", rung=True)
    start_all([caller, hearer], homeserver)
    introduce(caller, hearer)
    report_id = caller.file("Everything at once")["id"]
    hearer.await_report(report_id)
    hearer.kill()
    name = caller.json("emergency", "declare", report_id, "--reason", "Now.", "--yes", "--by", "Ada")[
        "emergency"
    ]["id"]
    caller.kill()
    hearer.start()
    caller.restart()
    hearer.wait_ready()
    called(hearer, name, state="declared")
    pidfile = hearer.directory / "postgres/data/postmaster.pid"
    before = pidfile.read_text()
    hearer.kill_postgres()
    until(lambda: back(hearer, pidfile, before), "it is back or gone", within_s=60, log=hearer.log)
    if not hearer.alive:
        hearer.restart()
    rung(hearer, name)
    hearer.kill()
    hearer.restart()
    hearer.run("emergency", "answer", name, "--affected")
    caller.kill()
    caller.restart()
    until(
        lambda: row_of(caller.get(f"/emergencies/{name}"), "hearer")["says"] == "affected",
        "it answered",
        log=caller.log,
    )
    caller.run("emergency", "stand-down", name, "--reason", "Over.", "--by", "Ada")
    caller.kill()
    caller.restart()
    called(hearer, name, state="stood-down")
    last = until(
        lambda: [b for b in bodies(rung(hearer, name)) if "over: stood down" in b],
        "told in the room",
        log=hearer.log,
    )
    assert len(last) == 1
    for node in (caller, hearer):
        heads = [body for body in bodies(rung(node, name)) if body.startswith("🚨 EMERGENCY")]
        assert len(heads) == 1, node.name
    times = all_stages(caller, name)
    assert {stage: each["reached"] for stage, each in times["stages"].items()} == {
        "stored": 1, "rung": 1, "acknowledged": 1, "answered": 1,
    }  # fmt: skip
