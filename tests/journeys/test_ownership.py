"""A report that came by mail before it came from its creator: read at once, changed by nobody, and theirs in the end."""

import json

import pytest


@pytest.fixture
def mailed(town):
    """A report that the hospital kept at home and mailed to the lab: its id, and the file as it came."""
    filed = town.hospital.file("Doses swapped on two wards", query="?share=0")
    return filed["id"], town.hospital.run("report", "show", filed["id"], "--stix").out.encode()


CHANGES = {
    "update": ["--set", "title=Ours"],
    "withdraw": ["--reason", "It is a copy.", "--yes"],
    "override": ["--level", "1", "--by", "Mara Voss", "--reason", "Lower.", "--yes"],
    "redact": ["--drop", "description", "--yes", "--by", "Mara Voss"],
}


def test_a_mailed_report_is_read_and_remarked_on_and_its_creators_entry_takes_its_place(town, mailed):
    incident, raw = mailed
    refused = town.lab.run("report", "submit", "--file", "-", "--json", stdin=raw, code=1).problem()
    assert refused["code"] == "foreign-creator"
    assert "tocsin import stix" in refused["hint"]
    assert town.lab.get(f"/reports/{incident}") is None

    file = town.lab.home / f"{incident}.json"
    file.write_bytes(raw)
    taken = town.lab.run("import", "stix", str(file), "--share")
    assert "1 imported" in taken.out
    assert "another node created them" in taken.said
    assert "personal data" not in taken.said
    told = town.lab.run("import", "stix", str(file)).out
    assert "1 unchanged" in told

    shown = town.lab.run("report", "show", incident).out
    assert "From:" in shown
    assert "imported here" in shown
    assert f"hospital ({town.hospital.get('/node')['node_id']})" in shown
    listed = town.lab.run("report", "list", "--text", "Doses swapped").out
    assert "imported" in listed

    for command, options in CHANGES.items():
        problem = town.lab.run("report", command, incident, *options, "--json", code=5).problem()
        assert problem["code"] == "not-ours", command
        assert "created by hospital" in problem["detail"], command
        assert "tocsin report sight" in problem["hint"], command
    problem = town.lab.run(
        "report", "share", incident, "--to", "hospital", "--yes", "--json", code=5
    ).problem()
    assert problem["code"] == "not-ours"
    assert town.lab.get(f"/reports/{incident}")["ver"] == 1
    town.lab.json("report", "opinion", incident, "--affected")

    town.hospital.json(
        "report", "update", incident, "--set", "title=Doses swapped on three wards", "--to", "lab"
    )
    held = town.lab.await_report(incident, ver=2)
    assert (held["origin"]["name"], held["origin"]["imported"]) == ("hospital", False)
    assert [remark["said"] for remark in held["remarks"]] == ["affected"]
    assert len(town.lab.alerts_about(incident)) == 1
    assert "imported" not in town.lab.run("report", "list", "--text", "Doses swapped").out
    newer = json.loads(raw)
    for obj in newer["objects"]:
        if obj["type"] in {"incident", "report"}:
            obj["modified"] = "2099-01-01T00:00:00.000Z"
    file.write_text(json.dumps(newer))
    again = town.lab.run("import", "stix", str(file), "--json", code=6).json()
    assert [each["code"] for each in again["refusals"]] == ["not-ours"]
    assert town.lab.get(f"/reports/{incident}")["bundle"] == held["bundle"]
