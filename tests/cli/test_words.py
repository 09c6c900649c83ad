"""What people write is taken as they mean it, and what they are asked was not answered already."""

from datetime import date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.cli.fake_node.wire import answers
from tests.cli.test_peer import INVITE
from tests.cli.test_report_submit import FORM

from tocsin_cli.errors import UsageFault
from tocsin_cli.words import Listed, Since
from tocsin_schema.vocabulary import HARM_TYPE


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


# --- times


def since(text, *, end=False):
    return Since(end=end).convert(text, None, None)


@pytest.mark.parametrize(
    ("text", "begin", "end"),
    [
        ("2025-03-24", "2025-03-24", "2025-03-24"),
        ("2025-3-4", "2025-03-04", "2025-03-04"),
        ("2024-02", "2024-02-01", "2024-02-29"),
        ("2024-12", "2024-12-01", "2024-12-31"),
        ("2024", "2024-01-01", "2024-12-31"),
        ("2025-03-24T10:15:00Z", "2025-03-24T10:15:00Z", "2025-03-24T10:15:00Z"),
        ("2025-03-24T10:15:00+02:00", "2025-03-24T08:15:00Z", "2025-03-24T08:15:00Z"),
        ("2999-01-01", "2999-01-01", "2999-01-01"),
    ],
)
def test_a_limit_in_time_is_read_as_people_write_it(text, begin, end):
    assert (since(text), since(text, end=True)) == (begin, end)


def test_yesterday_is_a_day():
    assert date.fromisoformat(since("yesterday")) < datetime.now().astimezone().date()


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "last week", "2025-13-01", "2025-02-30", "10:15:99", "x" * 5000, "\x00"]
)
def test_what_is_no_time_is_refused_with_how_times_are_written(text):
    with pytest.raises(UsageFault) as refused:
        since(text)
    assert "yesterday" in refused.value.hint


@given(st.text(max_size=40))
def test_any_text_is_a_time_that_a_node_takes_or_refused(text):
    try:
        found = since(text)
    except UsageFault:
        return
    assert datetime.fromisoformat(found)


# --- lists


@pytest.mark.parametrize("text", ["physical-health", "Physical_Health", " physical health "])
def test_a_listed_word_may_be_written_with_any_dash(text):
    assert Listed("HARM_TYPE", "HARM", "kind of harm").convert(text, None, None) == "physical-health"


@pytest.mark.parametrize("text", ["", "healt", "physical", "x" * 3000])
def test_another_word_is_refused_with_all_that_there_are(text):
    with pytest.raises(UsageFault) as refused:
        Listed("HARM_TYPE", "HARM", "kind of harm").convert(text, None, None)
    assert all(word in refused.value.hint for word in HARM_TYPE)
