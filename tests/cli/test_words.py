"""What people write is taken as they mean it, and what they are asked was not answered already."""

import pytest
from tests.cli.fake_node import answers
from tests.cli.test_peer import INVITE
from tests.cli.test_report_submit import FORM


@pytest.mark.parametrize("said", ["green", "GREEN", "TLP:GREEN", "tlp: green "])
def test_a_marking_may_be_written_as_people_write_it(tocsin, node, said):
    assert tocsin("report", "list", "--tlp", said).exit_code == 0
    assert ("tlp", "green") in node.seen[-1].query
    node.add_peer("beta")
    assert tocsin("peer", "approve", "beta", "--unverified", "--max-tlp-out", said).exit_code == 0
    assert node.asked == {"unverified": True, "max_tlp_out": "green"}


@pytest.mark.parametrize(("said", "grade"), [("2", "II"), ("ii", "II"), ("iv", "IV"), ("NONE", "none")])
def test_a_grade_may_be_written_as_people_write_it(tocsin, node, said, grade):
    assert tocsin("report", "list", "--grade", said).exit_code == 0
    assert ("grade", grade) in node.seen[-1].query


@pytest.mark.parametrize("args", [("--grade", "5"), ("--grade", "0"), ("--tlp", "purple"), ("--tlp", "tlp:")])
def test_other_words_are_usage(tocsin, node, args):
    assert tocsin("report", "list", *args).exit_code == 2
    assert node.seen == []


@pytest.mark.parametrize("noun", ["report", "alert"])
def test_a_cursor_that_is_none_is_usage(tocsin, node, noun):
    path = f"/v1/{noun}s"
    node.fault("GET", path, answers(400, "bad-parameter", "cursor must be a whole number of 0 or more."))
    result = tocsin(noun, "list", "--cursor", "zzz")
    assert result.exit_code == 2
    assert "--cursor 'zzz' is none that a list has named." in result.stderr


def test_a_ceiling_alone_does_not_ask_for_the_words_again(tocsin, node):
    node.add_peer("beta")
    assert tocsin("peer", "approve", "beta", "--max-tlp-out", "red", input="").exit_code == 0
    assert node.asked == {"max_tlp_out": "red"}
    node.add_peer("gamma", sas_verified=False)
    assert tocsin("peer", "approve", "gamma", "--max-tlp-out", "red", input="").exit_code == 2


def test_a_pipe_is_not_prompted_for_the_invite(tocsin, node):
    assert "The invite" not in tocsin("peer", "join", input=INVITE).stderr


def test_whose_report_it_is_comes_before_the_question_why(tocsin, node, monkeypatch):
    tocsin("report", "submit", "--file", "-", input=FORM)
    (report_id,) = node.reports
    item = node._item

    def foreign(report_id):
        return item(report_id) | {"origin": {"name": "lab", "node_id": "n1lab", "ours": False}}

    monkeypatch.setattr(node, "_item", foreign)
    result = tocsin("report", "withdraw", report_id, input="")
    assert result.exit_code == 5
    assert "[not-ours]" in result.stderr
    assert "Why is it withdrawn" not in result.stderr


def test_one_entry_is_one(tocsin, node):
    node.add_peer("beta", log={"size": 1, "next_index": 1, "lag": 0}, fetched={"our_size": 1, "waiting": 0})
    shown = tocsin("peer", "status", "beta").stdout
    assert "1 entries" not in shown
    assert shown.count("1 entry") == 2
