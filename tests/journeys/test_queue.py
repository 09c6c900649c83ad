"""A report is never lost on the way to the own node, and never doubled."""

import json

import pytest
from tests.support.neighbour import form_text, introduce, start_all


@pytest.fixture(scope="module")
def pair(organisation):
    """A clinic that files, and a peer of it."""
    nodes = [organisation("clinic"), organisation("tower")]
    start_all(nodes)
    introduce(*nodes)
    return nodes


def test_reports_wait_while_the_node_is_down_and_are_sent_once(pair):
    clinic, tower = pair
    before = clinic.spoken()
    clinic.kill()
    ids = []
    for n in range(3):
        ran = clinic.run("report", "submit", "--file", "-", "--json", stdin=form_text(f"Waiting {n}"), code=3)
        ids.append(ran.problem()["id"])
    waiting = clinic.json("report", "queue")["items"]
    assert [item["id"] for item in waiting] == ids

    assert clinic.run("report", "flush", code=3).code == 3
    clinic.restart()
    done = clinic.json("report", "flush")
    assert json.dumps(done).count("stored") >= 3 or len(done["items"]) == 3
    for report_id in ids:
        tower.await_report(report_id)
    assert clinic.json("report", "queue")["items"] == []
    clinic.run("report", "flush")
    assert clinic.spoken() == before + 3
    held = [report["id"] for report in tower.get("/reports")["items"]]
    assert [held.count(report_id) for report_id in ids] == [1, 1, 1]


def test_a_report_whose_answer_was_lost_is_not_filed_twice(pair):
    """The node is killed while it answers: the report may be there or not; flush makes it exactly one."""
    clinic, tower = pair
    before = clinic.spoken()
    via = clinic.wire
    posted = False

    def lose_the_answer(way, piece):
        nonlocal posted
        posted = posted or piece.startswith(b"POST /v1/reports")
        return None if posted and way == "answer" else piece

    via.spoil = lose_the_answer
    text = form_text("The answer was lost")
    at = ["--node", via.url, "--token-file", str(clinic.directory / "token")]
    ran = clinic.run("report", "submit", *at, "--file", "-", "--json", stdin=text, code=3, here=False)
    report_id = ran.problem()["id"]
    via.heal()
    tower.await_report(report_id)
    clinic.run("report", "flush", *at, here=False)
    assert clinic.spoken() == before + 1
    assert [r["id"] for r in tower.get("/reports")["items"]].count(report_id) == 1


def test_a_refused_report_stays_in_the_queue_with_the_reason(pair):
    clinic, _ = pair
    clinic.kill()
    form = form_text("To somebody we do not know")
    clinic.run("report", "submit", "--to", "nobody", "--file", "-", stdin=form, code=3)
    clinic.restart()
    ran = clinic.run("report", "flush", code=1)
    assert "peer-unknown" in ran.said + ran.out
    (kept,) = clinic.json("report", "queue")["items"]
    assert "peer-unknown" in json.dumps(kept)
