"""`tocsin emergency`: what people read, what is sent, and that a drill says so."""

import json

from aiohttp import web

US = {"name": "Acme", "node_id": "n1us", "ours": True}
LAB = {"name": "lab", "node_id": "n1lab", "ours": False}
ID = "c7c12a57-9383-5d46-9524-c278863a8b17"
REPORT = "incident--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a"
SCREEN = {
    "id": ID, "drill": True, "title": "DRILL: Sepsis\x1b[2J", "state": "declared", "open": True, "caller": US,
    "local": False, "report_id": REPORT, "ver": 1, "report_state": "active", "tlp": "green", "reason": "Exercise.",
    "seq": 1, "declared_at": "2026-01-01T00:00:00Z", "said_at": "2026-01-01T00:00:00Z",
    "stored_at": "2026-01-01T00:00:00Z", "rang": "emergency", "called": 1, "alert_id": 7, "by": "Ada",
    "said": {"affected": 1, "investigating": 0, "not-affected": 0},
    "steps": [{"type": "course-of-action", "name": "Stop it", "description": "At once."}],
    "nodes": [
        {"node": LAB, "caller": False, "says": "affected", "text": "On \u202etwo wards.", "stored_at": "2026-01-01T00:00:01Z",
         "rung_at": "2026-01-01T00:00:02Z", "acknowledged_at": None, "answered_at": "2026-01-01T00:00:09Z"},
    ],
    "counts": {"affected": 1, "investigating": 0, "not-affected": 0, "silent": 0}, "calls": [],
}  # fmt: skip
CALLED = {
    "outcome": "called", "emergency": SCREEN, "to": [{"name": "lab", "node_id": "n1lab"}],
    "withheld": [{"name": "school", "code": "above-ceiling", "reason": "too high"}],
}  # fmt: skip
TIMES = {
    "id": ID, "drill": True, "title": "DRILL: a|b `c` <img>", "report_id": REPORT, "caller": US, "state": "stood-down",
    "declared_at": "2026-01-01T00:00:00Z", "stood_down_at": "2026-01-01T00:10:00Z",
    "stages": {
        stage: {"of": 2, "reached": 1, "p50_s": 1.5, "max_s": 1.5, "missing": ["school"]}
        for stage in ("stored", "rung", "acknowledged", "answered")
    },
    "nodes": [
        {"node": LAB, "says": None, "stored_s": 1.5, "rung_s": 125, "acknowledged_s": None, "answered_s": 8000}
    ],
}  # fmt: skip


def answer(node, method, path, document):
    async def say(_request, _handler):
        return web.json_response(document)

    node.fault(method, path, say)


def sent(node):
    return [json.loads(seen.body) for seen in node.seen if seen.method == "POST"]


def test_who_declares_is_asked_first_and_nobody_is_called_without_a_yes(tocsin, node):
    answer(node, "POST", "/v1/emergencies", CALLED | {"outcome": "dry-run", "emergency": None})
    said = tocsin("emergency", "declare", REPORT, "--reason", "It goes on.", input="n\n")
    assert "An EMERGENCY that rings at once at: lab" in said.stderr
    assert "Nobody is called." in said.stderr
    (tried,) = sent(node)
    assert tried["dry_run"] is True


def test_a_declaration_sends_reason_steps_and_who_and_tells_who_is_not_called(tocsin, node):
    answer(node, "POST", "/v1/emergencies", CALLED | {"outcome": "dry-run", "emergency": None})
    answer(node, "POST", "/v1/emergencies", CALLED)
    done = tocsin(
        "emergency", "declare", REPORT, "--reason", "Exercise.", "--drill", "--step", "Stop it: At once.",
        "--by", "Ada", "--yes",
    )  # fmt: skip
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0].split() == ["DRILL:", "DRILL", "declared"]
    assert "Not called: school: too high [above-ceiling]" in done.stderr
    first, second = sent(node)
    assert first.pop("dry_run")
    assert first == second
    assert (second["by"], second["drill"]) == ("Ada", True)
    assert second["steps"] == [{"name": "Stop it", "description": "At once."}]


def test_the_screen_is_clean_and_says_drill_first(tocsin, node):
    path = f"/v1/emergencies/{ID}"
    answer(node, "GET", path, SCREEN)
    shown = tocsin("emergency", "show", ID).stdout
    assert shown.startswith("DRILL:")
    assert "1 affected, 0 investigating, 0 not affected, 0 silent" in shown
    assert not {"\x1b", "\u202e"} & set(shown)
    answer(node, "GET", path, SCREEN)
    assert json.loads(tocsin("emergency", "show", ID, "--json").stdout) == SCREEN


def test_the_list_tells_drills_from_emergencies(tocsin, node):
    items = [SCREEN, SCREEN | {"drill": False, "caller": LAB, "title": "EMERGENCY: other"}]
    answer(node, "GET", "/v1/emergencies", {"items": items, "next": None})
    _, drill, earnest = tocsin("emergency", "list").stdout.splitlines()
    assert drill.split()[1] == "DRILL"
    assert earnest.split()[1] == "EMERGENCY"
    answer(node, "GET", "/v1/emergencies", {"items": [], "next": None})
    assert tocsin("emergency", "list", "--open").stderr == "No open emergencies.\n"


def test_times_are_told_and_written_as_markdown_that_holds_no_markup_of_others(tocsin, node, home):
    answer(node, "GET", f"/v1/emergencies/{ID}/times", TIMES)
    done = tocsin("emergency", "times", ID, "--markdown", str(home.path / "drill.md"))
    assert done.stdout.startswith("DRILL stood-down: DRILL: a|b")
    assert "a person acknowledged" in done.stdout
    assert "2 min 05 s" in done.stdout
    assert "2 h 13 min" in done.stdout
    text = (home.path / "drill.md").read_text()
    assert "**This was a DRILL. Nothing had happened.**" in text
    assert r"a\|b \`c\` \<img\>" in text
    assert "| the node stored it | 1 of 2 | 1.50 s | 1.50 s | school |" in text


def test_one_word_is_answered(tocsin, node):
    for flags in ((), ("--affected", "--investigating")):
        assert tocsin("emergency", "answer", ID, *flags).exit_code == 2
    answer(node, "POST", f"/v1/emergencies/{ID}/answer", SCREEN)
    done = tocsin("emergency", "answer", ID, "--not-affected", "--by", "Bo")
    assert done.stdout == "DRILL: answered not affected\n"
    assert sent(node) == [{"says": "not-affected", "text": "", "by": "Bo"}]


def test_the_watch_shows_emergencies_while_there_are_any(tocsin, node):
    answer(node, "GET", "/v1/emergencies", {"items": [SCREEN], "next": None})
    shown = tocsin("watch", "--once").stdout
    (line,) = [line for line in shown.splitlines() if "1 affected" in line]
    assert "DRILL" in line
    assert "Emergencies and drills  1" in shown
    answer(node, "GET", "/v1/emergencies", {"items": [], "next": None})
    assert "Emergencies" not in tocsin("watch", "--once").stdout
