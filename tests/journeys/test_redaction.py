"""A record that names a person stays at home, and its peers get a version of it in which nobody is named."""

import json

from tests.support.neighbour import form_text

PHONE = "+49 30 901820"
WORDS = [PHONE, "901820", "Quirinius", "Ward Seven", "wrong queue of the hotline"]
TOLD = f"Mrs Quirinius of Ward Seven, to be rung on {PHONE}, was told to wait; two patients died."


def wire_of(town):
    """All that crossed between the hospital and its peers."""
    return b"".join(
        stream for node in (town.hospital, town.lab, town.school) for stream in node.wire.streams()
    )


def test_what_a_private_record_says_never_leaves_and_its_redacted_version_arrives(town):
    form = form_text(
        "A carer was told to wait",
        description=TOLD,
        tlp="green",
        failure_modes=["wrong queue of the hotline"],
    )
    before = town.hospital.spoken()
    refused = town.hospital.run("report", "submit", "--file", "-", "--json", stdin=form, code=6).problem()
    assert refused["code"] == "review-needed"
    assert not [word for word in WORDS if word in json.dumps({**refused, "kept": ""})]
    assert town.hospital.spoken() == before

    private = town.hospital.json("report", "submit", "--no-share", "--file", "-", stdin=form)
    assert (private["to"], private["grade"]) == ([], "II")

    redact = ["report", "redact", private["id"], "--drop", "failure_modes", "--drop", "quantities"]
    redact += ["--replace", "description=A carer was told to wait; patients died."]
    tried = town.hospital.json(*redact, "--dry-run", "--full")
    assert {peer["name"] for peer in tried["to"]} == {"lab", "school"}
    assert not [word for word in WORDS if word in tried["bundle"]]

    done = town.hospital.json(*redact, "--by", "Mara Ilves", "--yes")
    assert done["id"] == tried["id"] != private["id"]
    held = town.lab.await_report(done["id"])
    assert (held["grade"], held["bundle"]) == ("II", town.hospital.get(f"/reports/{done['id']}")["bundle"])
    assert town.school.await_report(done["id"])["name"] == "A carer was told to wait"

    text = json.dumps(held["bundle"], ensure_ascii=False)
    assert not [word for word in [*WORDS, private["id"].removeprefix("incident--")] if word in text]
    crossed = wire_of(town)
    assert not [word for word in WORDS if word.encode() in crossed]
    assert private["id"].removeprefix("incident--").encode() not in crossed
    assert done["id"].encode() in crossed, "the search finds what did cross"
    assert town.lab.get(f"/reports/{private['id']}") is None

    (review,) = town.hospital.get(f"/reports/{done['id']}")["reviews"]
    assert review["reviewed_by"] == "Mara Ilves"
    kept = town.hospital.get(f"/reports/{private['id']}")
    assert TOLD in json.dumps(kept["bundle"], ensure_ascii=False)


def test_a_second_redaction_reaches_those_who_have_the_first(town):
    form = form_text("Told twice", description=TOLD, tlp="green", personal_data="present")
    private = town.hospital.json("report", "submit", "--file", "-", stdin=form)
    assert (private["to"], {peer["code"] for peer in private["withheld"]}) == ([], {"personal-data"})
    redact = ["report", "redact", private["id"], "--reviewed-by", "Mara Ilves", "--yes"]
    redact += ["--personal-data", "pseudonymised"]
    first = town.hospital.json(*redact, "--replace", "description=Somebody was told to wait.")
    town.lab.await_report(first["id"])
    second = town.hospital.json(*redact, "--replace", "description=A carer was told to wait.")
    assert (second["id"], second["ver"]) == (first["id"], 2)
    assert "A carer was told to wait." in json.dumps(town.lab.await_report(first["id"], ver=2)["bundle"])


def test_a_record_takes_its_redaction_along_when_it_changes_and_when_it_ends(town):
    form = form_text("Told thrice", description=TOLD, tlp="green", personal_data="present")
    private = town.hospital.json("report", "submit", "--file", "-", stdin=form)
    redact = ["report", "redact", private["id"], "--reviewed-by", "Mara Ilves", "--yes"]
    redact += ["--personal-data", "pseudonymised", "--replace", "description=Somebody was told to wait."]
    shared = town.hospital.json(*redact)
    town.lab.await_report(shared["id"])

    town.hospital.run("report", "update", private["id"], "--set", "quantities.deaths=1")
    said = town.hospital.run("report", "show", private["id"]).out
    assert "again makes the next version" in " ".join(said.split())
    assert town.hospital.json(*redact)["ver"] == 2
    assert town.lab.await_report(shared["id"], ver=2)["bundle"]

    tried = town.hospital.json("report", "withdraw", private["id"], "--reason", TOLD, "--dry-run")
    assert [(each["id"], each["state"]) for each in tried["redactions"]] == [(shared["id"], "withdrawn")]
    town.hospital.run(
        "report", "withdraw", private["id"], "--reason", TOLD, "--yes", "--reviewed-by", "Mara Ilves"
    )
    gone = town.lab.await_report(shared["id"], ver=3)
    assert gone["state"] == "withdrawn"
    crossed = wire_of(town)
    assert not [word for word in WORDS[:2] if word.encode() in json.dumps(gone["bundle"]).encode() + crossed]
