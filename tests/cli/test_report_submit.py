"""Filing from a file, a pipe, an editor: the report arrives exactly once, or the text is kept."""

import json
import os
import signal
import stat
import subprocess
import sys
import textwrap

import pytest
from tests.cli.fake_node.node import FakeNode
from tests.cli.fake_node.wire import answers, cuts_the_answer, goes_away, says

from tocsin_schema.check import check_bundle

FORM = """\
title = "Chatbot gave lethal dosing advice"
description = "A triage chatbot told a patient to take ten times the dose."
tlp = "amber"
realization = "harm-event"
flags = ["ongoing"]
affected = ["patients of one hospital"]

[quantities]
deaths = 1

[[harms]]
harm_type = "physical-health"
level = 4

[[systems]]
name = "TriageBot"
vendor = "Acme"
"""
ID = "incident--11111111-2222-4333-8444-555555555555"


@pytest.fixture
def form(home):
    return str(home.file("report.toml", FORM))


def only(node: FakeNode) -> tuple[str, bytes]:
    ((report_id, kept),) = node.reports.items()
    return report_id, kept.raw


def test_a_form_arrives_as_a_sound_report(tocsin, node, home, form):
    node.add_peer("beta")
    result = tocsin("report", "submit", "--file", form)
    assert result.exit_code == 0, result.stderr
    report_id, raw = only(node)
    report = check_bundle(raw).report
    assert report is not None
    assert report.created_by_ref == node.identity["id"]
    assert report.severity.grade == "II"
    assert "Filed:" in result.stdout
    assert report_id in result.stdout
    assert "grade II, level 4 of 5" in result.stdout
    assert "Goes to:" in result.stdout
    assert f"Next: tocsin report show {report_id}" in result.stderr
    assert home.queue == home.drafts == []


@pytest.mark.parametrize("via", ["toml", "json", "stdin"])
def test_every_form_of_the_form_gives_the_same_report(tocsin, node, home, via):
    import tomllib

    if via == "stdin":
        result = tocsin("report", "submit", "--file", "-", "--id", ID, input=FORM)
    else:
        text = FORM if via == "toml" else json.dumps(tomllib.loads(FORM))
        result = tocsin("report", "submit", "--file", str(home.file("r", text)), "--id", ID)
    assert result.exit_code == 0, result.stderr
    assert only(node)[0] == ID
    assert check_bundle(only(node)[1]).report.name == "Chatbot gave lethal dosing advice"
    assert home.drafts == []


def test_a_form_may_begin_with_a_table(tocsin, node):
    text = "[quantities]\ndeaths = 1\n"
    result = tocsin("report", "submit", "--file", "-", "--json", input=text)
    found = {finding["path"] for finding in json.loads(result.stderr)["findings"]}
    assert found == {"title", "description", "tlp", "realization"}


@pytest.mark.parametrize("text", ['[{"title": "x",}]', '{"title": "x",}', "[1, 2", '["a",]'])
def test_broken_json_is_told_as_json(tocsin, node, text):
    result = tocsin("report", "submit", "--file", "-", input=text)
    assert result.exit_code == 6
    assert "TOML" not in result.stderr
    assert "JSON" in result.stderr


def test_a_bundle_of_stix_is_sent_as_it_is(tocsin, node, home, form):
    tocsin("report", "submit", "--file", form)
    report_id, raw = only(node)
    node.reports.clear()
    pretty = json.dumps(json.loads(raw), indent=2, ensure_ascii=False)
    assert tocsin("report", "submit", "--file", str(home.file("r.json", pretty))).exit_code == 0
    assert only(node) == (report_id, raw)


def test_json_gives_the_nodes_answer_as_one_document(tocsin, node, form):
    result = tocsin("report", "submit", "--file", form, "--json")
    found = json.loads(result.stdout)
    assert found["outcome"] == "stored"
    assert found["grade"] == "II"


def test_a_dry_run_shows_who_would_get_what_and_leaves_nothing(tocsin, node, home, form):
    node.add_peer("beta")
    node.add_peer("gamma")
    result = tocsin("report", "submit", "--file", form, "--dry-run", "--to", "beta")
    assert result.exit_code == 0
    assert "Would go to:" in result.stdout
    assert "gamma: it was not named as a recipient [not-named]" in result.stdout
    assert "TriageBot" in result.stdout
    assert node.reports == {}
    assert home.queue == home.drafts == []
    tocsin("report", "submit", "--file", "-", "--dry-run", input=FORM)
    assert home.drafts == []


def test_a_dry_run_of_what_would_be_refused_ends_as_the_real_thing(tocsin, node, home, form):
    node.add_peer("beta")
    file = home.file("named.toml", FORM.replace("A triage", "Call +44 20 7946 0958. A triage"))
    tried = tocsin("report", "submit", "--file", str(file), "--dry-run")
    real = tocsin("report", "submit", "--file", str(file))
    assert (tried.exit_code, real.exit_code) == (6, 6)
    assert "It would be refused" in tried.stderr
    assert tocsin("report", "submit", "--file", str(file), "--dry-run", "--no-share").exit_code == 0
    assert (
        tocsin("report", "submit", "--file", str(file), "--dry-run", "--reviewed-by", "Mara").exit_code == 0
    )


def test_the_audience_is_asked_for_as_given(tocsin, node, form):
    node.add_peer("beta")
    node.add_peer("gamma")
    tocsin("report", "submit", "--file", form, "--to", "beta", "--to", "gamma")
    assert node.posts()[-1].query == [("to", "beta"), ("to", "gamma")]
    tocsin("report", "submit", "--file", form, "--no-share")
    assert node.posts()[-1].query == [("share", "0")]
    tocsin("report", "submit", "--file", form)
    assert node.posts()[-1].query == []
    assert tocsin("report", "submit", "--file", form, "--no-share", "--to", "beta").exit_code == 2


CEILING = ("above-ceiling", "TLP:RED is above TLP:AMBER, the most that goes to it")


@pytest.mark.parametrize("more", [(), ("-q",), ("--json",)])
def test_a_named_peer_that_does_not_get_it_is_warned_of(tocsin, node, form, more):
    node.add_peer("lab")
    node.add_peer("other")
    node.withholds["lab"] = CEILING
    result = tocsin(*more, "report", "submit", "--file", form, "--to", "lab")
    assert result.exit_code == 0
    assert "WARNING: NOT sent to lab: TLP:RED is above TLP:AMBER, the most that goes to it." in result.stderr
    assert "tocsin peer approve lab --max-tlp-out amber" in result.stderr
    assert f"tocsin report share {only(node)[0]} --to lab" in result.stderr
    assert "to other" not in result.stderr
    assert "earlier version" not in result.stderr


def test_a_peer_that_nobody_named_is_no_warning(tocsin, node, form):
    node.add_peer("lab")
    node.withholds["lab"] = CEILING
    assert "WARNING" not in tocsin("report", "submit", "--file", form).stderr


def test_a_peer_that_misses_the_next_version_keeps_the_one_it_has(tocsin, node, form):
    node.add_peer("lab")
    node.add_peer("other")
    tocsin("report", "submit", "--file", form, "--to", "lab")
    report_id, _ = only(node)
    node.withholds["lab"] = CEILING
    tried = tocsin("report", "update", report_id, "--set", "tlp=red", "--dry-run")
    assert "lab has an earlier version and would NOT be told" in tried.stderr
    for args in (
        ("update", report_id, "--set", "tlp=red"),
        ("withdraw", report_id, "--reason", "x", "--yes"),
    ):
        result = tocsin("report", *args)
        assert result.exit_code == 0
        assert "WARNING: lab has an earlier version and was NOT told: TLP:RED is above" in result.stderr
        assert f"then: tocsin report share {report_id} --to lab" in result.stderr
        assert "other" not in result.stderr


def test_red_to_nobody_is_explained_and_nothing_is_sent(tocsin, node, home):
    node.add_peer("beta")
    text = FORM.replace('"amber"', '"red"')
    result = tocsin("report", "submit", "--file", "-", input=text)
    assert result.exit_code == 1
    assert "[audience-empty]" in result.stderr
    assert "--to NAME" in result.stderr
    assert "--no-share" in result.stderr
    assert node.posts() == []
    assert home.drafts[0].read_text() == text
    assert tocsin("report", "submit", "--file", "-", "--to", "beta", input=text).exit_code == 0
    assert tocsin("report", "submit", "--file", "-", "--no-share", input=text).exit_code == 0


# Findings -------------------------------------------------------------------------------------------


def test_all_findings_are_listed_at_once_and_the_text_is_kept(tocsin, node, home):
    text = 'title = 3\nrealization = "perhaps"\nharms = 7\nunheard_of = 1\n'
    result = tocsin("report", "submit", "--file", "-", input=text)
    assert result.exit_code == 6
    (draft,) = home.drafts
    assert draft.read_text() == text
    assert draft.stat().st_mode & 0o777 == 0o600
    assert str(draft) in result.stderr
    found = json.loads(tocsin("report", "submit", "--file", "-", "--json", input=text).stderr)
    assert found["exit"] == 6
    paths = {finding["path"] for finding in found["findings"]}
    assert {"title", "realization", "harms", "unheard_of", "tlp", "description"} <= paths
    assert found["kept"] in {str(path) for path in home.drafts}
    assert node.posts() == []


DEEP = "[" * 100_000
HOSTILE = {
    "nothing": b"",
    "not-toml": b"title = ",
    "not-utf8": b'title = "\xff"',
    "nul": b'title = "a\x00b"',
    "deep-toml": b"a = " + DEEP.encode(),
    "deep-json": b'{"a":' + DEEP.encode(),
    "a-list": b"[1, 2]",
    "duplicate-keys": b'{"title": "a", "title": "b"}',
    "duplicate-keys-toml": b'title = "a"\ntitle = "b"',
    "lone-surrogate": b'{"title": "\\ud800"}',
    "nan": b'{"confidence": NaN}',
    "nan-toml": b"confidence = nan",
    "huge-number": b"confidence = 1" + b"0" * 5000,
    "null": b'{"title": null, "tlp": null, "realization": null, "description": null}',
    "unknown-tlp": FORM.replace('"amber"', '"purple"').encode(),
    "wrong-types": b'title = [1]\ndescription = {a = 1}\ntlp = 2026-01-01\nrealization = true\nsystems = "x"',
    "broken-bundle": b'{"type": "bundle", "objects": 3}',
    "empty-bundle": b'{"type": "bundle", "id": "bundle--1", "objects": []}',
    "cut-bundle": b'{"type": "bundle", "objects": [',
    "too-large": b'title = "' + b"x" * (2 * 1024 * 1024) + b'"',
    "too-large-json": b'{"type":"bundle","a":"' + b"x" * (2 * 1024 * 1024) + b'"}',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_becomes_findings_and_is_kept_whole(tocsin, node, home, name):
    result = tocsin("report", "submit", "--file", "-", input=HOSTILE[name])
    assert result.exit_code == 6, result.stderr
    (draft,) = home.drafts
    assert draft.read_bytes() == HOSTILE[name]
    assert str(draft) in result.stderr
    assert node.posts() == []
    assert home.queue == []


def test_a_hundred_megabytes_are_refused_and_kept(home, node):
    size = 100 * 1024 * 1024
    code = f"import sys\nfor _ in range({size} // 65536): sys.stdout.buffer.write(b'x' * 65536)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as source:
        result = subprocess.run(
            [sys.executable, "-m", "tocsin_cli", "report", "submit", "--file", "-"],
            stdin=source.stdout, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
    assert result.returncode == 6
    assert "too-large" in result.stderr
    assert home.drafts[0].stat().st_size == size


def test_findings_of_the_node_are_shown_like_ours(tocsin, node, home):
    finding = {"code": "odd", "path": "title", "message": "It is odd.", "hint": "Be even.", "level": "error"}
    node.fault("POST", "/v1/reports", answers(422, "findings", "There are findings.", findings=[finding]))
    result = tocsin("report", "submit", "--file", "-", input=FORM)
    assert result.exit_code == 6
    assert "It is odd. [odd at title]" in result.stderr
    assert home.drafts[0].read_text() == FORM
    assert home.queue == []


def test_a_refusal_keeps_the_text_and_leaves_the_queue_empty(tocsin, node, home):
    for status, exit_code in ((409, 1), (403, 5), (413, 1)):
        node.fault("POST", "/v1/reports", answers(status, "some-code"))
        result = tocsin("report", "submit", "--file", "-", input=FORM)
        assert result.exit_code == exit_code
        assert str(home.drafts[-1]) in result.stderr or len(home.drafts) > 1
    assert [path.read_text() for path in home.drafts] == [FORM] * 3
    assert home.queue == []


# The node is away ----------------------------------------------------------------------------------


def test_a_report_is_kept_when_nobody_answers_and_sent_by_flush(tocsin, node, home, form, monkeypatch):
    monkeypatch.setenv("TOCSIN_URL", "http://127.0.0.1:9")
    result = tocsin("report", "submit", "--file", form, "--id", ID)
    assert result.exit_code == 3
    assert "kept here as " + ID in result.stderr
    assert "tocsin report flush" in result.stderr
    (kept,) = home.queue
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert json.loads(tocsin("report", "queue", "--json").stdout)["items"][0]["id"] == ID
    monkeypatch.setenv("TOCSIN_URL", node.url)
    result = tocsin("report", "flush")
    assert result.exit_code == 0
    assert home.queue[0] == kept  # it was meant for another address
    assert "other-address" in result.stdout
    assert tocsin("report", "flush", "--moved").exit_code == 0
    assert only(node)[0] == ID
    assert home.queue == []


@pytest.mark.parametrize(
    "fault",
    [
        goes_away,
        cuts_the_answer,
        answers(503, "storage-unavailable"),
        answers(500, "broken"),
        answers(429, "too-fast"),
        says(b"<html>a captive portal</html>"),
        says(b"{}"),
        says(b'{"id":'),
        says(b"", 302, Location="http://127.0.0.1:9/"),
    ],
    ids=["gone", "cut", "503", "500", "429", "html", "no-id", "half", "redirect"],
)
@pytest.mark.parametrize("where", [("GET", "/v1/node"), ("POST", "/v1/reports")], ids=["before", "while"])
def test_whatever_happens_on_the_way_the_report_arrives_exactly_once(tocsin, node, home, fault, where):
    node.fault(*where, fault)
    result = tocsin("report", "submit", "--file", "-", input=FORM)
    assert result.exit_code in {1, 3}
    assert "kept here as incident--" in result.stderr
    assert len(home.queue) == 1
    assert home.drafts == []
    result = tocsin("report", "flush", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert (found["sent"], found["refused"], found["waiting"]) == (1, 0, 0)
    assert len(node.reports) == 1
    assert home.queue == []


def test_running_the_same_command_again_does_not_make_a_second_report(tocsin, node, home, form):
    node.fault("POST", "/v1/reports", cuts_the_answer)
    assert tocsin("report", "submit", "--file", form).exit_code == 3
    result = tocsin("report", "submit", "--file", form)
    assert result.exit_code == 0
    assert "Already there, unchanged" in result.stdout
    assert len(node.reports) == 1
    assert tocsin("report", "submit", "--file", form).exit_code == 0
    assert len(node.reports) == 2  # said anew after it had arrived: a second incident


def test_flush_stops_at_the_first_sign_that_the_node_is_away(tocsin, node, home, monkeypatch):
    for at in range(3):
        node.fault("GET", "/v1/node", goes_away)
        tocsin("report", "submit", "--file", "-", input=FORM.replace("lethal", f"lethal {at}"))
    node.fault("GET", "/v1/node", answers(503, "storage-unavailable", "The database is away."))
    node.seen.clear()
    result = tocsin("report", "flush", "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["waiting"] == 3
    assert len(node.seen) == 1
    assert len(home.queue) == 3
    assert tocsin("report", "flush").exit_code == 0
    assert len(node.reports) == 3


def test_flush_keeps_what_was_refused_with_the_reason_and_sends_the_rest(tocsin, node, home):
    for at in range(3):
        node.fault("GET", "/v1/node", goes_away)
        tocsin("report", "submit", "--file", "-", input=FORM.replace("lethal", f"lethal {at}"))

    async def fine(request, handler):
        return await handler(request)

    node.fault(
        "POST", "/v1/reports", fine, answers(409, "report-exists", "There is one.", hint="Use update.")
    )
    result = tocsin("report", "flush")
    assert result.exit_code == 1
    assert "2 sent, 1 refused, 0 still waiting." in result.stderr
    (item,) = json.loads(tocsin("report", "queue", "--json").stdout)["items"]
    assert item["state"] == "refused"
    assert item["problem"] == {"code": "report-exists", "detail": "There is one.", "hint": "Use update."}
    assert "refused: report-exists" in tocsin("report", "queue").stdout
    assert tocsin("report", "flush", "--drop", item["id"], input="n\n").exit_code == 0
    assert len(home.queue) == 1
    assert tocsin("report", "flush", "--drop", item["id"], "--yes").exit_code == 0
    assert home.queue == []
    assert tocsin("report", "flush", "--drop", item["id"]).exit_code == 2


def test_a_report_built_for_one_node_never_goes_to_another(tocsin, node, home, monkeypatch):
    node.fault("POST", "/v1/reports", goes_away)
    tocsin("report", "submit", "--file", "-", input=FORM)
    with FakeNode("Other Org") as other:
        monkeypatch.setenv("TOCSIN_URL", other.url)
        result = tocsin("report", "flush", "--moved")
        assert result.exit_code == 1
        assert "other-node" in result.stdout
        assert other.posts() == []
    monkeypatch.setenv("TOCSIN_URL", node.url)
    assert tocsin("report", "flush").exit_code == 0
    assert len(node.reports) == 1


def test_a_damaged_file_in_the_queue_hinders_nobody_and_is_named(tocsin, node, home):
    node.fault("GET", "/v1/node", goes_away)
    tocsin("report", "submit", "--file", "-", input=FORM)
    (home.state / "queue" / "junk.json").write_text("{")
    result = tocsin("report", "flush")
    assert result.exit_code == 1
    assert "damaged" in result.stdout
    assert len(node.reports) == 1
    assert "junk.json" in tocsin("report", "queue").stdout


def test_an_empty_queue_is_said_so(tocsin, node):
    assert tocsin("report", "flush").stderr == "Nothing waits here.\n"
    assert json.loads(tocsin("report", "flush", "--json").stdout) == {
        "sent": 0,
        "refused": 0,
        "waiting": 0,
        "items": [],
    }


# kill -9 -------------------------------------------------------------------------------------------

KILLER = textwrap.dedent("""
    import os, signal, sys
    from tocsin_cli import durable, filing, handin, queue
    from tocsin_cli.client import Client

    point, seen = int(sys.argv.pop(1)), 0

    def killing(function):
        def wrapped(*args, **kwargs):
            global seen
            for moment in (0, 1):
                result = function(*args, **kwargs) if moment else None
                seen += 1
                if seen == point:
                    os.kill(os.getpid(), signal.SIGKILL)
            return result
        return wrapped

    os.fsync = killing(os.fsync)
    os.replace = killing(os.replace)
    import pathlib
    pathlib.Path.replace = killing(pathlib.Path.replace)
    pathlib.Path.unlink = killing(pathlib.Path.unlink)
    Client.raw = killing(Client.raw)
    from tocsin_cli.main import run
    sys.argv[0] = "tocsin"
    run()
""")


def killed_at(point: int, *args: str, text: str) -> int:
    command = [sys.executable, "-c", KILLER, str(point), *args]
    return subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=60, check=False
    ).returncode


def test_kill_9_at_every_step_of_a_submission_loses_nothing_and_doubles_nothing(node, home, tocsin):
    rounds = 0
    for point in range(1, 100):
        node.reports.clear()
        code = killed_at(point, "report", "submit", "--file", "-", text=FORM)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        rounds += 1
        assert tocsin("report", "flush").exit_code == 0
        assert home.queue == []
        assert len(node.reports) <= 1
        if not node.reports:  # killed before it was kept: then the text is still a draft, or was never read
            kept = [path for path in home.drafts if FORM.encode() in path.read_bytes()]
            assert kept or point <= 2
        for path in home.drafts:
            path.unlink()
    assert rounds >= 12
    assert len(node.reports) == 1


def test_kill_9_at_every_step_of_a_flush_loses_nothing_and_doubles_nothing(node, home, tocsin):
    for point in range(1, 100):
        node.reports.clear()
        node.fault("GET", "/v1/node", goes_away)
        assert tocsin("report", "submit", "--file", "-", input=FORM).exit_code == 3
        code = killed_at(point, "report", "flush", text="")
        assert code in {0, -signal.SIGKILL}
        assert len(node.reports) + len(home.queue) >= 1
        assert tocsin("report", "flush").exit_code == 0
        assert len(node.reports) == 1
        assert home.queue == []
        if code == 0:
            break
    assert point >= 8


def test_two_flushes_at_once_send_each_report_once(node, home, tocsin):
    for at in range(6):
        node.fault("GET", "/v1/node", goes_away)
        tocsin("report", "submit", "--file", "-", input=FORM.replace("lethal", f"lethal {at}"))
    command = [sys.executable, "-m", "tocsin_cli", "report", "flush"]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    assert [run.wait(60) for run in runs] == [0, 0, 0]
    for run in runs:
        run.communicate()
    assert tocsin("report", "flush").exit_code == 0
    assert len(node.reports) == 6
    assert home.queue == []
    assert len(node.posts()) == 6


# The editor ----------------------------------------------------------------------------------------


def editor(home, monkeypatch, script: str) -> None:
    """An editor that is a Python script; it gets the file's path in `path`."""
    path = home.file("editor.py", "import sys, pathlib\npath = pathlib.Path(sys.argv[1])\n" + script)
    monkeypatch.setenv("EDITOR", f"{sys.executable} {path}")


def test_what_is_written_in_the_editor_is_filed(tocsin, node, home, monkeypatch):
    editor(home, monkeypatch, f"path.write_text({FORM!r})")
    assert tocsin("report", "submit", "--editor").exit_code == 0
    assert len(node.reports) == 1
    assert home.drafts == []


def test_the_editor_opens_on_a_commented_template_that_becomes_a_report(tocsin, node, home, monkeypatch):
    editor(
        home,
        monkeypatch,
        f"(path.parent.parent / 'seen').write_text(path.read_text()); path.write_text({FORM!r})",
    )
    tocsin("report", "submit", "--editor")
    from tocsin_schema.template import form_template

    assert (home.state / "seen").read_text() == form_template()


def test_a_dry_run_from_the_editor_keeps_what_was_written(tocsin, node, home, monkeypatch):
    editor(home, monkeypatch, f"path.write_text({FORM!r})")
    result = tocsin("report", "submit", "--editor", "--dry-run")
    assert result.exit_code == 0
    (draft,) = home.drafts
    assert draft.read_text() == FORM
    assert f"Next: tocsin report submit --file {draft}" in result.stderr


def test_findings_keep_the_text_of_the_editor(tocsin, node, home, monkeypatch):
    editor(home, monkeypatch, "path.write_text('title = 3\\n')")
    result = tocsin("report", "submit", "--editor")
    assert result.exit_code == 6
    (draft,) = home.drafts
    assert draft.read_text() == "title = 3\n"
    assert f"tocsin report submit --file {draft}" in result.stderr


def test_an_untouched_template_is_not_filed(tocsin, node, home, monkeypatch):
    monkeypatch.setenv("EDITOR", "true")
    result = tocsin("report", "submit", "--editor")
    assert result.exit_code == 2
    assert "Nothing was written" in result.stderr
    assert home.drafts == []


def test_a_file_can_be_opened_in_the_editor_first(tocsin, node, home, monkeypatch, form):
    editor(home, monkeypatch, "path.write_text(path.read_text().replace('lethal', 'deadly'))")
    assert tocsin("report", "submit", "--editor", "--file", form).exit_code == 0
    assert check_bundle(only(node)[1]).report.name == "Chatbot gave deadly dosing advice"


@pytest.mark.parametrize(
    ("chosen", "code"),
    [("false", "editor-failed"), ("/no/such/editor", "editor-missing"), ("'", "editor-missing")],
)
def test_an_editor_that_fails_is_said_so_and_an_untouched_template_goes(
    tocsin, node, home, monkeypatch, chosen, code
):
    monkeypatch.setenv("EDITOR", chosen)
    result = tocsin("report", "submit", "--editor", "--json")
    assert result.exit_code == 2
    found = json.loads(result.stderr)
    assert found["code"] == code
    assert "EDITOR" in found["hint"]
    assert home.drafts == []


def test_nothing_to_file_is_usage(tocsin, node, home):
    assert tocsin("report", "submit").exit_code == 2
    assert tocsin("report", "submit", "--file", "/no/such/file").exit_code == 2
    assert tocsin("report", "submit", "--file", str(home.path)).exit_code == 2
    assert tocsin("report", "submit", "--file", "-", "--id", "x", input=FORM).exit_code == 2
    assert node.seen == []


def test_ctrl_c_while_sending_keeps_the_report(node, home, tocsin):
    import threading

    arrived = threading.Event()

    async def slow(_request, _handler):
        import asyncio

        arrived.set()
        await asyncio.sleep(30)

    node.fault("POST", "/v1/reports", slow)
    command = [sys.executable, "-m", "tocsin_cli", "report", "submit", "--file", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        run.stdin.write(FORM)
        run.stdin.close()
        assert arrived.wait(30)
        os.kill(run.pid, signal.SIGINT)
        assert run.wait(30) == 130
        assert "kept here as incident--" in run.stderr.read()
    assert tocsin("report", "flush").exit_code == 0
    assert len(node.reports) == 1


def test_a_form_that_is_no_strict_json_has_all_its_findings_too(tocsin, node):
    text = '{"title": "a\x00b", "tlp": "purple", "confidence": NaN, "flags": [], "flags": ["ongoing"]}'
    found = json.loads(tocsin("report", "submit", "--file", "-", "--json", input=text).stderr)["findings"]
    told = {(each["code"], each["path"]) for each in found}
    assert {
        ("bad-number", "confidence"),
        ("duplicate-key", "flags"),
        ("control-character", "title"),
        ("unknown-word", "tlp"),
        ("not-json", ""),
        ("missing-property", "description"),
    } <= told


def test_a_null_is_no_form_and_is_not_called_toml(tocsin, node, home):
    path = str(home.file("report.json", "null\n"))
    for args, given in ((["--file", path], None), (["--file", "-"], "null")):
        result = tocsin("report", "submit", *args, input=given)
        assert result.exit_code == 6
        assert "This is null, not a form" in result.stderr
        assert "TOML" not in result.stderr
        assert "STIX" not in result.stderr


def test_a_text_without_end_is_more_than_the_limit(tocsin, node):
    result = tocsin("report", "submit", "--file", "-", input=b"x" * (3 * 1024 * 1024))
    assert "The text has more than 1,048,576 bytes." in result.stderr


def test_a_recipient_that_has_ended_the_connection_is_warned_of(tocsin, node, form):
    problem = {
        "code": "not-approved",
        "hint": "They have ended the connection.",
        "at": "2026-11-20T10:00:00Z",
    }
    node.add_peer("beta", problem=problem)
    node.add_peer("gamma")
    for args in (("submit", "--file", form), ("submit", "--file", form, "--dry-run")):
        warned = tocsin("report", *args, "--json").stderr
        assert "WARNING: beta may not fetch it: They have ended the connection." in warned
        assert "[not-approved since 2026-11-20 11:00:00 +01:00]" in warned
        assert "gamma" not in warned


@pytest.mark.parametrize("more", [["--no-share"], []], ids=["kept here", "no peers"])
def test_what_stays_at_the_node_is_looked_at_as_well_and_not_refused(tocsin, node, home, more):
    text = FORM.replace("ten times the dose.", "ten times the dose. Write to anna.berg@clinic.example.")
    found = tocsin("report", "submit", "--file", str(home.file("a.toml", text)), *more)
    assert found.exit_code == 0
    assert "suspected; it stays at your node, so nothing is refused" in found.stderr
    assert "anna.berg" not in found.output
