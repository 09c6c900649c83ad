"""The guided report: short, safe against interruption, and never asking for more than matters."""

import codecs
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest
from tests.cli.fake_node.wire import answers, goes_away

from tocsin_schema.check import check_bundle

ANSWERS = {
    "title": "Chatbot gave lethal dosing advice",
    "description": "A triage chatbot told a patient to take ten times the dose.\nThe patient died.\n",
    "realization": "1",
    "harms": "1,3",
    "deaths": "1",
    "serious": "0",
    "injuries": "",
    "level 1": "",
    "level 3": "2",
    "ongoing": "y",
    "system": "TriageBot 2.1",
    "vendor": "Acme",
    "affected": "patients of one hospital",
    "when": "2026-11-02 14:30",
    "tlp": "",
    "send": "y",
}


def typed(**changes: str | None) -> str:
    return "".join(f"{answer}\n" for answer in (ANSWERS | changes).values() if answer is not None)


def filed(node):
    ((report_id, kept),) = node.reports.items()
    report = check_bundle(kept.raw).report
    assert report is not None
    assert report.id == report_id
    return report


def test_sixteen_answers_make_a_sound_report(tocsin, node, home):
    node.add_peer("beta")
    result = tocsin("report", "new", input=typed())
    assert result.exit_code == 0, result.stderr
    report = filed(node)
    assert report.name == ANSWERS["title"]
    assert report.description == ANSWERS["description"].strip()
    assert str(report.tlp) == "amber"
    assert report.severity.grade == "II"
    facts = report.extension
    assert facts["quantities"] == {"deaths": 1, "serious_injuries": 0, "injuries": 0}
    assert facts["harms"] == [
        {"harm_type": "physical-health", "level": 4, "materialised": True},
        {"harm_type": "fundamental-rights", "level": 2, "materialised": True},
    ]
    assert facts["flags"] == ["ongoing"]
    assert facts["occurred_start"] == "2026-11-02T13:30:00.000Z"
    assert facts["occurred_fidelity"] == "minute"
    assert report.systems == ("Acme TriageBot 2.1",)
    assert home.drafts == home.queue == []


def test_facts_that_are_graver_than_the_level_that_was_said_are_pointed_out(tocsin, node):
    low = tocsin("report", "new", input=typed(**{"level 1": "2"}))
    assert "You said level 2; deaths=1 makes it 4." in low.stderr
    assert "You said" not in tocsin("report", "new", input=typed()).stderr


def test_before_sending_it_shows_the_grade_why_and_who_would_get_it(tocsin, node):
    node.add_peer("beta")
    result = tocsin("report", "new", input=typed())
    before = result.stderr.partition("Send it now?")[0]
    assert "Computed: grade II, level 4 of 5" in before
    assert "deaths" in before
    assert "Would go to: beta" in before
    assert next(seen.query for seen in node.seen if seen.method == "POST") == [("dry_run", "1")]


def test_nothing_is_sent_without_a_yes(tocsin, node, home):
    result = tocsin("report", "new", input=typed(send="n"))
    assert result.exit_code == 0
    assert node.posts() == []
    (draft,) = home.drafts
    assert f"tocsin report new --draft {draft}" in result.stderr
    assert tocsin("report", "new", "--draft", str(draft), input="y\n").exit_code == 0
    assert filed(node).id == draft.stem
    assert home.drafts == []


def test_a_near_miss_is_not_asked_for_the_dead(tocsin, node):
    changes = {"realization": "2", "deaths": None, "serious": None, "injuries": None, "level 1": "4"}
    assert tocsin("report", "new", input=typed(**changes)).exit_code == 0
    report = filed(node)
    assert "quantities" not in report.extension
    assert report.extension["harms"][0] == {"harm_type": "physical-health", "level": 4, "materialised": False}


def test_without_harm_no_harm_is_asked_for(tocsin, node):
    gone = dict.fromkeys(["harms", "deaths", "serious", "injuries", "level 1", "level 3"])
    assert tocsin("report", "new", input=typed(realization="4", **gone)).exit_code == 0
    assert "harms" not in filed(node).extension


def test_what_is_not_known_may_be_left_out(tocsin, node):
    result = tocsin("report", "new", input=typed(system="", vendor=None, affected="", when="", ongoing="n"))
    assert result.exit_code == 0, result.stderr
    facts = filed(node).extension
    assert not {"systems", "flags", "occurred_start", "parties"} & set(facts)


def test_a_wrong_answer_is_explained_and_asked_again(tocsin, node):
    result = tocsin(
        "report", "new", input=typed(realization="9\nmaybe\n1", deaths="many\n1", when="soon\n2026-11-02")
    )
    assert result.exit_code == 0
    assert "A number from 1 to 5." in result.stderr
    assert "A whole number" in result.stderr
    assert "no time in the past" in result.stderr


def test_red_asks_for_names(tocsin, node):
    node.add_peer("beta")
    node.add_peer("gamma")
    text = typed(tlp="5", send=None) + "beta, gamma\ny\n"
    assert tocsin("report", "new", input=text).exit_code == 0
    assert node.posts()[0].query == [("to", "beta"), ("to", "gamma")]


def test_red_without_names_stays_at_home(tocsin, node):
    node.add_peer("beta")
    assert tocsin("report", "new", input=typed(tlp="5", send=None) + "\ny\n").exit_code == 0
    assert node.posts()[0].query == [("share", "0")]


# Nothing is lost ------------------------------------------------------------------------------------


def test_answers_that_end_anywhere_are_kept_and_gone_on_with(tocsin, node, home):
    lines = typed().splitlines(keepends=True)
    for cut in range(len(lines)):
        node.reports.clear()
        result = tocsin("report", "new", input="".join(lines[:cut]))
        assert result.exit_code == 2
        assert node.reports == {}
        if not home.drafts:
            assert cut == 0
            continue
        (draft,) = home.drafts
        assert f"--draft {draft}" in result.stderr
        form = json.loads(draft.read_text())["form"]
        rest = typed(**dict.fromkeys(answered(form)))
        result = tocsin("report", "new", "--draft", str(draft), input=rest)
        assert result.exit_code == 0, (cut, result.stderr)
        assert filed(node).extension["quantities"]["deaths"] == 1
        assert home.drafts == []


def answered(form: dict) -> list[str]:
    of = {
        "title": ["title"],
        "description": ["description"],
        "realization": ["realization"],
        "harms": ["harms", "deaths", "serious", "injuries", "level 1", "level 3"],
        "flags": ["ongoing"],
        "systems": ["system", "vendor"],
        "affected": ["affected"],
        "occurred_start": ["when"],
        "tlp": ["tlp"],
    }
    done = {field for field in form if not str(form[field]).endswith("\n")}  # a description may be half typed
    return [name for field, names in of.items() if field in done for name in names]


def test_a_description_is_kept_line_by_line_and_gone_on_with(tocsin, node, home):
    result = tocsin("report", "new", input="Title\nFirst line.\nSecond line.\n")
    assert result.exit_code == 2
    (draft,) = home.drafts
    assert json.loads(draft.read_text())["form"]["description"] == "First line.\nSecond line.\n"
    rest = typed(title=None, description="Third line.\n")
    result = tocsin("report", "new", "--draft", str(draft), input=rest)
    assert "First line.\n  Second line." in result.stderr
    assert filed(node).description == "First line.\nSecond line.\nThird line."


def test_ctrl_c_in_the_description_keeps_its_lines(node, home):
    terminal = Terminal("report", "new")
    terminal.until("in one line?")
    terminal.type("Chatbot\r")
    terminal.until("sentences?")
    terminal.type("It told a patient\r")
    deadline = time.monotonic() + 20
    while not any(
        "It told a patient" in draft.read_text() for draft in home.drafts if draft.suffix == ".json"
    ):
        assert time.monotonic() < deadline
        select.select([], [], [], 0.02)
    assert terminal.interrupt() == 130


def test_a_clock_time_is_shown_as_it_was_read(tocsin, node):
    result = tocsin("report", "new", input=typed())
    assert "Taken as 2026-11-02 14:30:00 +01:00." in result.stderr


def test_a_node_that_is_away_does_not_stop_it(tocsin, node, home, monkeypatch):
    url = node.url
    monkeypatch.setenv("TOCSIN_URL", "http://127.0.0.1:9")
    result = tocsin("report", "new", input=typed())
    assert result.exit_code == 3
    assert "Computed: grade II, level 4" in result.stderr
    assert "Keep it here and send it later?" in result.stderr
    assert len(home.queue) == 1
    assert home.drafts == []
    monkeypatch.setenv("TOCSIN_URL", url)
    assert tocsin("report", "flush", "--moved").exit_code == 0
    assert filed(node).severity.grade == "II"


def test_a_node_that_goes_away_at_the_last_moment_does_not_stop_it(tocsin, node, home):
    node.fault("POST", "/v1/reports", answers(200, "x"), goes_away)
    node.faults[("POST", "/v1/reports")].pop(0)

    async def fine(request, handler):
        return await handler(request)

    node.faults[("POST", "/v1/reports")].insert(0, fine)
    result = tocsin("report", "new", input=typed())
    assert result.exit_code == 3
    assert len(home.queue) == 1
    assert tocsin("report", "flush").exit_code == 0
    assert len(node.reports) == 1


def test_a_token_that_may_not_keeps_the_answers(tocsin, node, home):
    node.fault("GET", "/v1/node", answers(403, "scope-missing", "The token lacks report:write."))
    result = tocsin("report", "new", input=typed())
    assert result.exit_code == 5
    assert str(home.drafts[0]) in result.stderr
    assert tocsin("report", "new", "--draft", str(home.drafts[0]), input="y\n").exit_code == 0
    assert len(node.reports) == 1


def test_a_wrong_setting_is_told_before_anything_is_asked(tocsin, home, monkeypatch):
    monkeypatch.delenv("TOCSIN_TOKEN_FILE")
    monkeypatch.setenv("TOCSIN_URL", "http://127.0.0.1:9")
    result = tocsin("report", "new", input=typed())
    assert result.exit_code == 2
    assert "What happened" not in result.stderr


@pytest.mark.parametrize("text", ["{", "[]", '{"title": "x"}', '{"draft":1,"id":"x","form":3}'])
def test_what_is_no_draft_is_said_so(tocsin, node, home, text):
    result = tocsin("report", "new", "--draft", str(home.file("d.json", text)))
    assert result.exit_code == 2
    assert "not a draft" in result.stderr


def test_a_draft_can_be_submitted_like_any_form(tocsin, node, home):
    tocsin("report", "new", input=typed(send="n"))
    (draft,) = home.drafts
    assert tocsin("report", "submit", "--file", str(draft)).exit_code == 0
    assert filed(node).id == draft.stem


def test_two_runs_on_one_draft_make_one_report(tocsin, node, home):
    tocsin("report", "new", input=typed(send="n"))
    (draft,) = home.drafts
    copy = home.file("copy.json", draft.read_bytes())
    assert tocsin("report", "new", "--draft", str(draft), input="y\n").exit_code == 0
    result = tocsin("report", "new", "--draft", str(copy), input="y\n")
    assert result.exit_code == 1
    assert "[report-exists]" in result.stderr
    assert len(node.reports) == 1


# On a terminal --------------------------------------------------------------------------------------


class Terminal:
    """`tocsin` on a terminal of its own."""

    def __init__(self, *args: str) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execv(sys.executable, [sys.executable, "-m", "tocsin_cli", *args])
        self.seen = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()  # a read may end within a character

    def until(self, words: str, within_s: float = 30) -> str:
        end = time.monotonic() + within_s
        while words not in self.seen:
            ready, _, _ = select.select([self.fd], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"{words!r} did not come; seen: {self.seen[-500:]!r}"
            try:
                self.seen += self._decoder.decode(os.read(self.fd, 65536))
            except OSError:
                raise AssertionError(f"{words!r} did not come; seen: {self.seen[-500:]!r}") from None
        before, _, self.seen = self.seen.partition(words)
        return before

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def interrupt(self) -> int:
        """Press Ctrl-C, again if need be: a key that falls into the instant before a read begins is lost."""
        for _ in range(50):
            self.type("\x03")
            while select.select([self.fd], [], [], 0.2)[0]:
                try:
                    self.seen += self._decoder.decode(os.read(self.fd, 65536))
                except OSError:  # the other end is closed
                    return self.end()
        raise AssertionError(f"still running: {self.seen[-500:]!r}")

    def end(self) -> int:
        while True:
            try:
                if not (more := os.read(self.fd, 65536)):
                    break
                self.seen += self._decoder.decode(more)
            except OSError:
                break
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_on_a_terminal_it_takes_well_under_a_minute(node, home):
    began = time.monotonic()
    terminal = Terminal("report", "new")
    questions = [
        ("in one line?", "Chatbot\r"), ("sentences?", "It failed.\r\r"), ("do harm?", "1\r"), ("kind of harm", "1\r"),
        ("died?", "\r"), ("seriously injured?", "2\r"), ("otherwise?", "\r"), ("How bad", "\r"), ("going on?", "n\r"),
        ("Which AI system?", "Bot\r"), ("makes it?", "\r"), ("affected?", "users\r"), ("When?", "today\r"),
        ("Who may read", "\r"), ("Send it now?", "\r"),
    ]  # fmt: skip
    for question, answer in questions:
        terminal.until(question)
        terminal.type(answer)
    assert terminal.end() == 0
    assert time.monotonic() - began < 45
    assert filed(node).severity.level == 3


def test_ctrl_c_keeps_the_draft_and_says_how_to_go_on(node, home):
    terminal = Terminal("report", "new")
    terminal.until("in one line?")
    terminal.type("Chatbot\r")
    terminal.until("sentences?")
    assert terminal.interrupt() == 130
    (draft,) = home.drafts
    assert re.search(rf"tocsin report new --draft\s+{re.escape(str(draft))}", terminal.seen)
    assert "Traceback" not in terminal.seen
    terminal = Terminal("report", "new", "--draft", str(draft))
    assert "in one line?" not in terminal.until("sentences?")
    assert terminal.interrupt() == 130


def test_a_terminal_that_is_closed_loses_nothing(node, home):
    terminal = Terminal("report", "new")
    terminal.until("in one line?")
    terminal.type("Chatbot\r")
    terminal.until("sentences?")
    os.kill(terminal.pid, signal.SIGHUP)
    terminal.end()
    assert json.loads(home.drafts[0].read_text())["form"] == {"title": "Chatbot"}


def test_a_table_on_a_terminal_has_no_foreign_escape_and_no_colour_when_told(node, home):
    node.add_alert(title="A\x1b[2J\x1b]0;x\x07title [bold]x[/bold] :smile:", grade="I")
    for options, coloured in (([], True), (["--no-color"], False)):
        terminal = Terminal("alert", "list", *options)
        assert terminal.end() == 0
        assert "\x1b[2J" not in terminal.seen
        assert "\x1b]0" not in terminal.seen
        assert "[bold]" in terminal.seen
        assert ("\x1b[1;31m" in terminal.seen) is coloured


def test_no_color_in_the_environment_is_obeyed(node, home, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    node.add_alert(grade="I")
    terminal = Terminal("alert", "list")
    assert terminal.end() == 0
    assert "31m" not in terminal.seen


def test_an_invite_typed_at_the_prompt_is_not_shown(node, home):
    terminal = Terminal("peer", "join")
    terminal.until("not shown")
    terminal.type("tocsin1.SECRETINVITE\r")
    assert terminal.end() == 0
    assert "SECRETINVITE" not in terminal.seen
    assert node.asked == {"invite": "tocsin1.SECRETINVITE"}


def test_kill_9_between_any_two_answers_loses_nothing(node, home, tocsin):
    lines = typed().splitlines(keepends=True)[:-1]
    wanted_at = {
        1: "title",
        4: "description",
        5: "realization",
        8: "realization",
        12: "flags",
        16: "occurred_start",
    }
    for cut, wanted in wanted_at.items():
        command = [sys.executable, "-m", "tocsin_cli", "report", "new"]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
            run.stdin.write("".join(lines[:cut]))
            run.stdin.flush()
            deadline = time.monotonic() + 20
            while not any(
                wanted in json.loads(path.read_text())["form"]
                for path in home.drafts
                if path.suffix == ".json"
            ):
                assert time.monotonic() < deadline
                select.select([], [], [], 0.02)
            run.kill()
        (draft,) = [path for path in home.drafts if path.suffix == ".json"]
        assert json.loads(draft.read_text())["form"]["title"] == ANSWERS["title"]
        draft.unlink()


def test_the_time_of_filing_is_now(tocsin, node):
    before = datetime.now(UTC)
    tocsin("report", "new", input=typed())
    created = filed(node).created
    assert before - timedelta(milliseconds=1) <= created <= datetime.now(UTC)
