"""What the others say about a report comes back to whoever filed it, and to nobody who was not meant to know."""

from tests.support.neighbour import Neighbour, until


def said(node: Neighbour, report_id: str) -> list[tuple[str, str, bool]]:
    """(who, what, taken back) of the remarks that a node shows on a report."""
    items = node.get(f"/reports/{report_id}/remarks")["items"]
    return sorted((one["by"]["name"], one["said"] or one["kind"], one["revoked"]) for one in items)


def until_said(node: Neighbour, report_id: str, *expected: tuple[str, str, bool]) -> None:
    until(lambda: said(node, report_id) == sorted(expected), f"{node.name}: {expected}", log=node.log)


def test_a_lab_is_affected_and_the_hospital_that_filed_sees_it(town):
    filed = town.hospital.file("Sepsis warning falls silent", mild=True)
    report_id = filed["id"]
    for node in (town.lab, town.school):
        node.await_report(report_id)

    tried = town.lab.json("report", "opinion", report_id, "--affected", "--dry-run")
    assert [to["name"] for to in tried["to"]] == ["hospital"]
    town.lab.run("report", "opinion", report_id, "--affected", "--note", "Since the update of Monday.")
    until_said(town.hospital, report_id, ("lab", "affected", False))
    shown = town.hospital.run("report", "show", report_id).out
    assert "lab is affected" in shown
    assert "Since the update of Monday." in shown

    told = town.hospital.json("report", "sight", report_id, "--count", "2")
    assert sorted(to["name"] for to in told["to"]) == ["lab", "school"]
    until_said(town.lab, report_id, ("hospital", "sighting", False), ("lab", "affected", False))
    until_said(town.school, report_id, ("hospital", "sighting", False))

    town.lab.run("report", "opinion", report_id, "--not-affected")
    hospitals = ("hospital", "sighting", False)
    until_said(town.hospital, report_id, hospitals, ("lab", "not-affected", False))
    town.lab.run("report", "retract", report_id, "exposure")
    until_said(town.hospital, report_id, hospitals, ("lab", "not-affected", True))

    town.school.await_all_of(town.hospital)
    assert said(town.school, report_id) == [hospitals], "what the lab says is between it and the hospital"
    for node, peer in ((town.hospital, "lab"), (town.lab, "hospital"), (town.school, "hospital")):
        outcomes = node.get(f"/peers/{peer}")["outcomes"]
        assert "unknown-report" not in outcomes["refused"]
        assert outcomes["quarantined"] == {}
