"""A report is taken back, marked more strictly and erased at the command line; a power cut in between changes nothing."""

import pytest
from tests.support.neighbour import introduce, start_all, until

TITLE = "Quokkaberry overdose"
WHY = ("--by", "Kim", "--reason", "Its author asked for it.")


@pytest.fixture(scope="module")
def pair(organisation):
    """`clinic` and `ward`, peers with the words compared; the ward's people want to be asked."""
    clinic, ward = organisation("clinic"), organisation("ward", TOCSIN_FEDERATION_RECALL="ask")
    start_all([clinic, ward])
    introduce(clinic, ward)
    return clinic, ward


def stages(node, report_id):
    return [one["stage"] for one in node.get(f"/reports/{report_id}/receipts")["recalls"]]


def test_receipts_say_how_far_a_report_got(pair):
    clinic, ward = pair
    report_id = clinic.file(TITLE, mild=True)["id"]
    ward.await_report(report_id)
    until(
        lambda: "stored" in clinic.run("report", "receipts", report_id).out,
        "the clinic hears that it is stored",
        log=clinic.log,
    )
    [item] = clinic.json("report", "receipts", report_id)["items"]
    assert (item["peer"]["name"], item["stage"]) == ("ward", "stored")


def test_people_are_asked_and_what_they_do_survives_a_power_cut(pair):
    clinic, ward = pair
    report_id = clinic.file(TITLE, mild=True)["id"]
    ward.await_report(report_id)
    tried = clinic.run("report", "recall", report_id, *WHY, "--dry-run").out
    assert "ward" in tried
    assert clinic.run("report", "recall", report_id, *WHY, code=None).code != 0, (
        "nobody was there to be asked"
    )
    said = clinic.run("report", "recall", report_id, *WHY, "--yes")
    assert f"tocsin report receipts {report_id}" in said.said
    ward.wire.cut()
    ward.kill()
    ward.wire.heal()
    ward.restart()
    until(lambda: stages(clinic, report_id) == ["waiting"], "the ward's people are asked", log=ward.log)
    shown = ward.run("report", "recalls")
    assert report_id in shown.said
    [waiting] = ward.json("report", "recalls")["theirs"]
    assert "recall-waits" in str(ward.health())
    assert ward.get(f"/reports/{report_id}") is not None
    ward.run("report", "obey", waiting["entry"], "--by", "Robin", "--yes")
    assert ward.get(f"/reports/{report_id}") is None
    until(lambda: stages(clinic, report_id) == ["purged"], "the clinic hears of it", log=clinic.log)
    assert "purged" in clinic.run("report", "receipts", report_id).out
    listed = ward.run("report", "blocklist", "list").out
    assert "clinic" in listed
    assert report_id not in listed
    ward.run("report", "blocklist", "lift", report_id, "--by", "Robin", "--reason", "A mistake.")
    clinic.run("report", "share", report_id, "--to", "ward", "--yes")
    ward.await_report(report_id)


def test_what_is_erased_is_gone_and_comes_in_no_more(pair):
    clinic, ward = pair
    raw = clinic.bundle("Wombatine spilt", tlp="green")
    answer = clinic.call("POST", "/v1/reports?share=0", raw)
    report_id = answer.json()["id"]
    refused = clinic.run(
        "report", "erase", report_id, "--by", "Kim", "--reason", report_id, "--yes", "--json", code=1
    )
    assert refused.problem()["code"] == "reason-tells"
    erased = clinic.json("report", "erase", report_id, *WHY, "--yes")
    assert (erased["outcome"], erased["peers"]) == ("erased", [])
    again = clinic.run("report", "submit", "--file", "-", "--json", stdin=raw, code=1)
    assert again.problem()["code"] == "erased"
    clinic.run("log", "verify")
    ward.run("log", "verify")
    clinic.kill()
    clinic.restart()
    again = clinic.run("report", "submit", "--file", "-", "--json", stdin=raw, code=1)
    assert again.problem()["code"] == "erased"
