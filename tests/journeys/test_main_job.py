"""The main job, told from the two ends of it: who files, and who is rung."""

import json

from tests.support.neighbour import form_text, until


def message_about(neighbour, report_id, *, within_s=90):
    """The alert about a report as the responder's own client gets it."""

    def about_it(event):
        return event["type"] == "m.room.message" and report_id in json.dumps(event["content"])

    return neighbour.room.responder.wait_for(neighbour.room.id, about_it, within_s=within_s)


def messages_about(neighbour, report_id):
    """What a person sees in the room about a report."""
    return [m for m in neighbour.room.alerts() if report_id in json.dumps(m["content"])]


def acknowledgements(neighbour, report_id):
    """What stands about a report, as `report show` has it."""
    return [a for a in neighbour.get(f"/reports/{report_id}")["acknowledgements"] if not a["revoked_at"]]


def test_a_report_filed_here_rings_there_and_the_acknowledgement_comes_back(town):
    filed = town.hospital.json(
        "report", "submit", "--file", "-", stdin=form_text("Sepsis warning falls silent")
    )
    assert filed["outcome"] == "stored"
    assert filed["grade"] in {"I", "II"}
    assert {peer["name"] for peer in filed["to"]} == {"lab", "school"}

    report = town.lab.await_report(filed["id"])
    assert report["origin"]["name"] == "hospital"
    ours = town.hospital.call("GET", f"/v1/reports/{filed['id']}").json()
    assert report["bundle"] == ours["bundle"]

    message = message_about(town.lab, filed["id"])
    assert "Sepsis warning falls silent" in message["content"]["body"]
    assert town.lab.room.responder.user_id in message["content"]["m.mentions"]["user_ids"]

    town.lab.room.responder.react(town.lab.room.id, message["event_id"])
    (shown,) = until(lambda: acknowledgements(town.hospital, filed["id"]), "the origin learns of it")
    assert shown["via"] == "peer"
    assert shown["by"] == "lab"
    (alert,) = town.hospital.alerts_about(filed["id"])
    assert [a["by"] for a in alert["acknowledgements"]] == ["lab"]
    told = json.dumps(alert)
    assert town.lab.room.responder.user_id not in told, "nobody's name travels"
    assert len(messages_about(town.lab, filed["id"])) == 1


def test_the_same_bytes_are_at_both_ends(town):
    bundle = town.hospital.bundle("Bytes stay bytes: ü, 東京, \\u0041", tlp="clear")
    filed = town.hospital.call("POST", "/v1/reports", bundle).json()
    town.lab.await_report(filed["id"])
    for node in (town.hospital, town.lab):
        ran = node.run("report", "show", filed["id"], "--stix")
        assert ran.out.encode().rstrip(b"\n") == bundle


def test_a_new_version_replaces_the_old_one_and_rings_when_the_grade_rose(town):
    mild = {"flags": None, "quantities": {"persons_affected": 1}, "harms": None, "realization": "near-miss"}
    filed = town.hospital.file("The model mixes up two patients", **mild)
    assert filed["grade"] not in {"I", "II"}
    town.lab.await_report(filed["id"])
    assert town.lab.alerts_about(filed["id"]) == []

    changes = ["realization=harm-event", "quantities.deaths=3", 'flags=["ongoing", "imminent-risk-to-life"]']
    sets = [word for change in changes for word in ("--set", change)]
    updated = town.hospital.json("report", "update", filed["id"], *sets)
    assert updated["ver"] == 2
    assert updated["grade"] in {"I", "II"}

    assert town.lab.await_report(filed["id"], ver=2)["grade"] == updated["grade"]
    message_about(town.lab, filed["id"])
    (alert,) = town.lab.alerts_about(filed["id"])
    assert alert["kind"] == "escalate"
    assert town.lab.get("/peers/hospital")["outcomes"]["quarantined"] == {}


def test_a_withdrawn_report_is_withdrawn_everywhere_for_good_and_the_room_is_told(town):
    filed = town.hospital.file("A false alarm, as it turns out")
    message_about(town.lab, filed["id"])
    withdrawn = town.hospital.json(
        "report", "withdraw", filed["id"], "--reason", "It was a test system.", "--yes"
    )
    assert withdrawn["outcome"] == "stored"
    assert town.lab.await_report(filed["id"], ver=2)["state"] == "withdrawn"
    until(lambda: len(messages_about(town.lab, filed["id"])) == 2, "the room is told")
    kinds = [alert["kind"] for alert in town.lab.alerts_about(filed["id"])]
    assert kinds == ["raise", "withdrawn"]

    again = town.hospital.run("report", "update", filed["id"], "--set", "title=Not so false", code=None)
    assert again.code in {1, 2, 6}
    assert town.hospital.get(f"/reports/{filed['id']}")["ver"] == 2


def test_an_acknowledgement_stands_at_the_origin_as_long_as_one_responder_stands_by_it(town):
    room = town.lab.room
    filed = town.hospital.file("Two people look, one looks away")
    message = message_about(town.lab, filed["id"])
    mine = room.responder.react(room.id, message["event_id"], "👀")
    room.responder.react(room.id, message["event_id"], "✅")
    until(lambda: town.lab.spoken(filed["id"]) == 2, "both are told")
    room.responder.redact(room.id, mine)
    until(lambda: town.lab.spoken(filed["id"]) == 3, "that one was taken back is told")
    town.hospital.await_all_of(town.lab)
    assert len(acknowledgements(town.hospital, filed["id"])) == 1


def test_an_acknowledgement_that_is_taken_back_is_taken_back_at_the_origin(town):
    room = town.lab.room
    filed = town.hospital.file("Somebody looks by mistake")
    message = message_about(town.lab, filed["id"])
    mine = room.responder.react(room.id, message["event_id"])
    until(lambda: acknowledgements(town.hospital, filed["id"]), "the origin learns of it")
    room.responder.redact(room.id, mine)
    until(lambda: not acknowledgements(town.hospital, filed["id"]), "the origin learns of that too")


def test_who_takes_and_who_resolves_it_is_known_at_the_origin_without_a_name(town):
    filed = town.hospital.file("Somebody works on it")
    message = message_about(town.lab, filed["id"])
    (alert,) = town.lab.alerts_about(filed["id"])
    thread = {"m.relates_to": {"rel_type": "m.thread", "event_id": message["event_id"]}}
    town.lab.room.responder.say(town.lab.room.id, "!take on my way", **thread)

    def progress():
        said = town.hospital.get(f"/reports/{filed['id']}")["progress"]
        return {each["kind"]: (each["by"], each["revoked_at"] is None) for each in said}

    until(lambda: progress() == {"take": ("lab", True)}, "the origin learns that somebody works on it")
    assert len(acknowledgements(town.hospital, filed["id"])) == 1
    town.lab.json("alert", "take", str(alert["id"]), "--undo", "--by", "Mara")
    until(lambda: progress() == {"take": ("lab", False)}, "the origin learns that nobody does any more")
    town.lab.json("alert", "resolve", str(alert["id"]), "--by", "Mara", "--note", "a fault of ours")
    until(lambda: progress().get("resolve") == ("lab", True), "the origin learns that it is over there")
    assert not [w for w in ("Mara", "a fault of ours", "on my way", "@") if w in json.dumps(progress())]


def test_an_acknowledgement_by_command_line_travels_too(town):
    filed = town.hospital.file("Acknowledged at a desk")
    town.lab.await_report(filed["id"])
    (alert,) = town.lab.alerts_about(filed["id"])
    done = town.lab.json("alert", "ack", str(alert["id"]), "--note", "Mara is on it")
    assert done["state"] == "acknowledged"
    until(lambda: acknowledgements(town.hospital, filed["id"]), "the origin learns of it")
    assert "Mara" not in json.dumps(town.hospital.get(f"/reports/{filed['id']}"))
