import json


def test_a_silence_is_made_listed_and_ended(tocsin, node):
    made = tocsin(
        "alert",
        "silence",
        "add",
        "--reason",
        "their drill",
        "--for",
        "2h",
        "--origin",
        "harbour",
        "--by",
        "Mara",
    )
    assert node.asked == {
        "reason": "their drill",
        "for_s": 7200,
        "origin": "harbour",
        "by": "Mara",
        "max_grade": "II",
    }
    assert "origin harbour" in made.stdout
    assert "Next: tocsin alert silence expire 1" in made.stderr
    listed = tocsin("alert", "silence", "list")
    assert "origin harbour" in listed.stdout
    assert "their drill" in listed.stdout
    assert json.loads(tocsin("alert", "silence", "list", "--json").stdout)["items"][0]["holding"] == 2
    ended = tocsin("alert", "silence", "expire", "1", "--by", "Noor")
    assert "ended 2026-11-20 12:00:00 +01:00 by Noor" in ended.stdout
    assert tocsin("alert", "silence", "list").stderr == "No silences.\n"
    assert "ended" in tocsin("alert", "silence", "list", "--all").stdout


def test_a_silence_about_everything_is_refused_before_it_is_asked(tocsin, node):
    result = tocsin("alert", "silence", "add", "--reason", "tired", "--for", "2h", "--max-grade", "I")
    assert result.exit_code == 2
    assert "would silence everything" in result.stderr
    assert "--origin" in result.stderr
    assert node.silences == []


def test_who_silences_says_why_and_how_long(tocsin):
    for missing in (["--for", "2h"], ["--reason", "x"], ["--reason", "x", "--for", "for ever"]):
        assert tocsin("alert", "silence", "add", "--harm", "privacy", *missing).exit_code == 2


def test_a_silenced_alert_says_until_when_and_by_whom(tocsin, node):
    delivery = {
        "id": 1,
        "channel": "matrix",
        "room": "!r:example.org",
        "kind": "ring",
        "thread": None,
        "edits": None,
        "state": "pending",
        "held": "silence 3",
        "not_before": "2026-11-20T12:00:00Z",
        "attempts": 0,
        "last_error": None,
    }
    silence = {"id": 3, "by": "Mara", "reason": "their drill", "until": "2026-11-20T12:00:00Z"}
    node.add_alert(silenced=silence, deliveries=[delivery])
    assert "silenced until 2026-11-20 13:00:00 +01:00 by Mara" in tocsin("alert", "list").stdout
    shown = tocsin("alert", "show", "1").stdout
    assert "until 2026-11-20 13:00:00 +01:00 by Mara: their drill (silence 3)" in shown
    assert "pending, silence 3, not before 2026-11-20 13:00:00 +01:00" in shown


def test_what_follows_an_alert_is_shown_with_its_kind_and_thread(tocsin, node):
    base = {"channel": "matrix", "room": "!r", "state": "echoed", "attempts": 1, "last_error": None}
    ring = {**base, "id": 5, "kind": "ring", "thread": None, "edits": None, "held": None, "not_before": None}
    node.add_alert(
        deliveries=[
            ring,
            {**ring, "id": 6, "kind": "notice", "thread": 5},
            {**ring, "id": 7, "kind": "update", "edits": 5},
        ]
    )
    shown = tocsin("alert", "show", "1").stdout
    assert "matrix !r: echoed" in shown
    assert "matrix !r notice: echoed, in the thread of delivery 5" in shown
    assert "matrix !r update: echoed, in the place of delivery 5" in shown


WAY = {
    "rings": True,
    "why": ["grade II"],
    "grade": "II",
    "channels": [
        {
            "channel": "matrix",
            "place": "!r",
            "goes": True,
            "why": "",
            "after_s": 10.0,
            "mentions": ["@mara:a"],
            "text": "ALERT\nmore",
        },
        {
            "channel": "mail",
            "place": "1 recipient",
            "goes": False,
            "why": "mail.min_grade is I",
            "after_s": 0.0,
            "mentions": [],
            "text": "",
        },
    ],
}


def test_the_way_of_a_stored_report_is_told(tocsin, node):
    node.way = WAY
    told = tocsin("alert", "route", "incident--1")
    assert node.asked["path"] == "/v1/reports/incident--1/route"
    assert told.stdout.splitlines() == [
        "It rings: grade II.",
        "  matrix !r: after 10 s, for @mara:a",
        "  mail 1 recipient: not (mail.min_grade is I)",
    ]
    assert "    ALERT\n    more\n" in tocsin("alert", "route", "--explain", "incident--1").stdout
    assert json.loads(tocsin("alert", "route", "incident--1", "--json").stdout) == WAY


def test_the_way_of_a_file_is_told_and_the_file_is_not_filed(tocsin, node, tmp_path):
    node.way = {**WAY, "rings": False, "why": ["grade III rings only while it goes on"], "channels": []}
    file = tmp_path / "case.json"
    file.write_bytes(b'{"type": "bundle"}')
    told = tocsin("alert", "route", str(file))
    assert node.asked == {"path": "/v1/alerts/route", "body": b'{"type": "bundle"}'}
    assert told.stdout == "It rings nobody: grade III rings only while it goes on.\n"
    missing = tocsin("alert", "route", str(tmp_path / "none.json"))
    assert (missing.exit_code, "cannot be read" in missing.stderr) == (2, True)
