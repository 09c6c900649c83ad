"""An author that tells one organisation and dies is heard by all that it told, each rung once; and nothing rings twice."""

import pytest
from tests.journeys.test_main_job import messages_about
from tests.support.neighbour import introduce, start_all, until

SOON = {"TOCSIN_FEDERATION_RELAY_AFTER_S": "2"}


@pytest.mark.timeout(400)
def test_what_one_peer_heard_before_the_author_died_reaches_the_other_through_it(organisation, homeserver):
    hospital, lab, school = (
        organisation("hospital", **SOON),
        organisation("lab", **SOON),
        organisation("school", rung=True, **SOON),
    )
    start_all([hospital, lab, school], homeserver)
    for one, other in ((hospital, lab), (hospital, school), (lab, school)):
        introduce(one, other)
    before = hospital.file("What all have heard")
    for node in (lab, school):
        node.await_report(before["id"])

    school.kill()
    told = hospital.file("The pump halves each dose")
    lab.await_report(told["id"])
    hospital.kill()
    school.restart()

    report = school.await_report(told["id"], within_s=90)
    assert (report["through"]["name"], report["through"]["awaited"]) == ("lab", True)
    shown = school.run("report", "show", told["id"]).out
    assert "Came through" in shown
    assert "lab, while hospital is away" in shown
    until(lambda: messages_about(school, told["id"]), "it rings", within_s=90, log=school.log)
    peer = school.get("/peers/hospital")
    assert peer["log"] == {"size": 2, "next_index": 1, "lag": 1}, "the author's cursor has not moved"
    assert "1 entry through lab" in school.run("peer", "status", "hospital").out
    assert "1 entry of hospital" in lab.run("peer", "status", "school").out

    school.kill()  # what came from hand to hand is a row as any other
    school.restart()
    assert school.get(f"/reports/{told['id']}")["through"]["name"] == "lab"

    hospital.restart()
    after = hospital.file("And now all are told")
    school.await_report(after["id"], within_s=90)
    school.await_all_of(hospital, within_s=90)
    outcomes = school.get("/peers/hospital")["outcomes"]
    # What was filed last may have come through the lab too, before the school had reached the hospital itself.
    assert outcomes.pop("unchanged") in {1, 2}
    assert outcomes.pop("stored") in {1, 2}
    assert outcomes == {"superseded": 0, "refused": {}, "quarantined": {}}
    assert school.get(f"/reports/{told['id']}")["through"] is None
    until(lambda: messages_about(school, after["id"]), "it rings", within_s=90, log=school.log)
    for report_id in (before["id"], told["id"], after["id"]):
        assert len(messages_about(school, report_id)) == 1
        assert len(school.alerts_about(report_id)) == 1
    for node in (lab, school):
        assert node.get("/peers/hospital")["state"] == "active"
