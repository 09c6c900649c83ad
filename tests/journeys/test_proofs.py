"""A report is proven to a stranger who has neither a node nor a network: the file is all that there is."""

import json

from tests.support.neighbour import form_text


def verify(node, *args, code=0):
    """As a stranger runs it: no node is named, and none would answer."""
    return node.run("proof", "verify", *args, code=code)


def test_what_the_hospital_said_is_proven_by_itself_and_by_the_lab(town, tmp_path):
    said = town.hospital.json(
        "report",
        "submit",
        "--file",
        "-",
        stdin=form_text("To be proven", tlp="clear", description="Only words."),
    )
    town.lab.await_all_of(town.hospital)
    hospital = town.hospital.get("/node")["node_id"]
    for node in (town.hospital, town.lab):
        closed, shown = tmp_path / f"{node.name}.tlog-proof", tmp_path / f"{node.name}-shown.tlog-proof"
        node.run("report", "prove", said["id"], "--out", str(closed))
        node.run("report", "prove", said["id"], "--disclose", "--out", str(shown))
        found = json.loads(verify(town.school, str(closed), "--node-id", hospital, "--json").out)
        assert (found["report_id"], found["node_id"], found["disclosed"]) == (said["id"], hospital, False)
        assert "Only words" not in closed.read_text()
        words = verify(town.school, str(shown))
        assert "To be proven" in words.out
        report = tmp_path / f"{node.name}.json"
        verify(town.school, str(shown), "--report", str(report))
        assert json.loads(report.read_text()) == town.hospital.get(f"/reports/{said['id']}")["bundle"]


def test_a_proof_that_was_touched_or_is_by_another_does_not_hold(town, tmp_path):
    said = town.hospital.json("report", "submit", "--file", "-", stdin=form_text("Touched", tlp="clear"))
    file = tmp_path / "proof"
    file.write_bytes(town.hospital.run("report", "prove", said["id"]).out.encode())
    lab = town.lab.get("/node")["node_id"]
    assert "wrong-node" in verify(town.school, str(file), "--node-id", lab, code=4).said
    assert "not-disclosed" in verify(town.school, str(file), "--report", str(tmp_path / "r"), code=4).said
    file.write_bytes(file.read_bytes().replace(b"\nindex ", b"\nindex 9"))
    assert verify(town.school, str(file), code=4).out == ""
