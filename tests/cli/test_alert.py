import importlib
import json

import pytest

from tocsin_cli.deliveries import whereabouts

alert = importlib.import_module("tocsin_cli.commands.alert")


def test_the_list_shows_where_each_alert_stands(tocsin, node):
    node.add_alert(title="First\x1b[31m")
    node.add_alert(state="acknowledged", title="Second")
    result = tocsin("alert", "list")
    assert "First" in result.stdout
    assert "\x1b" not in result.stdout
    assert "Next: tocsin alert take" in result.stderr
    only = tocsin("alert", "list", "--open")
    assert "Second" not in only.stdout
    assert ("open", "1") in node.seen[-1].query
    assert len(json.loads(tocsin("alert", "list", "--json").stdout)["items"]) == 2


def test_an_empty_list_is_said_so(tocsin, node):
    result = tocsin("alert", "list", "--open")
    assert (result.stdout, result.stderr) == ("", "No open alerts.\n")


def test_one_alert_in_full(tocsin, node):
    node.add_alert()
    text = tocsin("alert", "show", "1").stdout
    assert "matrix !r:example.org: echoed, 2026-11-20 11:00:02 +01:00, 2 tries, last error: 429" in text
    assert json.loads(tocsin("alert", "show", "1", "--json").stdout)["id"] == 1


def test_a_mute_for_days_is_refused_with_what_to_say_instead(tocsin, node):
    node.add_alert()
    result = tocsin("alert", "mute", "1", "--for", "2d")
    assert (result.exit_code, "--for 24h" in result.stderr) == (2, True)


def test_a_reason_is_taken_for_a_note_where_a_command_knows_but_one(tocsin, node):
    node.add_alert()
    assert tocsin("alert", "ack", "1", "--reason=on it").exit_code == 0
    assert node.asked["note"] == "on it"
    assert "--reason" not in tocsin("alert", "ack", "--help").stdout
    assert "No such option" in tocsin("alert", "list", "--note", "x").stderr


def test_an_acknowledgement_is_sent_and_shown(tocsin, node):
    node.add_alert()
    result = tocsin("alert", "ack", "1", "--note", "on it", "--by", "Mara")
    assert node.asked == {"note": "on it", "by": "Mara"}
    assert "acknowledged by Mara via api, 2026-11-20 11:02:00 +01:00: on it" in result.stdout
    assert "before" not in result.stderr


def test_a_second_acknowledgement_says_who_was_first(tocsin, node, monkeypatch):
    monkeypatch.setenv("LOGNAME", "noor")
    node.add_alert()
    tocsin("alert", "ack", "1", "--by", "Mara")
    result = tocsin("alert", "ack", "1")
    assert node.asked == {"by": "noor"}
    assert "It was acknowledged before: Mara via api, 2026-11-20 11:02:00 +01:00" in result.stderr


def test_who_acknowledged_at_a_peer_is_told_from_our_own(tocsin, node):
    said = {"by": "Mara", "via": "peer", "at": "2026-11-20T10:02:00Z", "node": "n1lab", "revoked_at": None}
    node.add_alert(state="acknowledged", acknowledgements=[said, {**said, "node": None}])
    assert "Mara (peer), Mara" in tocsin("alert", "list").stdout


def test_a_test_alert_goes_the_whole_way(tocsin, node):
    result = tocsin("alert", "test")
    assert result.exit_code == 0
    assert "TEST" in result.stdout
    assert "The room has it." in result.stderr
    assert "tocsin alert ack 1" in result.stderr


def delivery(state, last_error=None):
    return {
        "channel": "matrix",
        "room": "!r:example.org",
        "state": state,
        "attempts": 1,
        "last_error": last_error,
    }


def test_a_test_alert_without_a_room_is_no_success(tocsin, node):
    node.test_deliveries = [[], []]
    result = tocsin("alert", "test")
    assert result.exit_code == 1
    assert "Nobody was rung: no channel is set up." in result.stderr
    assert "no-channel" in result.stderr
    assert "[matrix] section of node.toml" in result.stderr
    told = tocsin("alert", "test", "--json")
    assert json.loads(told.stdout)["deliveries"] == []
    assert json.loads(told.stderr)["code"] == "no-channel"


def test_a_test_alert_is_watched_until_the_room_has_it(tocsin, node, monkeypatch):
    monkeypatch.setattr(alert, "_LOOK_EVERY_S", 0.01)
    node.test_deliveries = [[delivery(state)] for state in ("pending", "sending", "accepted", "echoed")]
    result = tocsin("alert", "test", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["deliveries"][0]["state"] == "echoed"
    assert node.test_deliveries == []


@pytest.mark.parametrize(
    ("state", "code", "exit_code"), [("pending", "delivery-pending", 3), ("failed", "delivery-failed", 1)]
)
def test_a_test_alert_that_does_not_get_there_says_why(tocsin, node, monkeypatch, state, code, exit_code):
    monkeypatch.setattr(alert, "_WAIT_S", 0.0)
    node.test_deliveries = [[delivery(state, "M_FORBIDDEN")]]
    result = tocsin("alert", "test")
    assert result.exit_code == exit_code
    assert code in result.stderr
    assert "M_FORBIDDEN" in result.stderr


def test_a_test_alert_that_was_only_accepted_is_not_called_seen(tocsin, node, monkeypatch):
    monkeypatch.setattr(alert, "_WAIT_S", 0.0)
    node.test_deliveries = [[delivery("accepted")]]
    result = tocsin("alert", "test")
    assert result.exit_code == 0
    assert "not seen in the room yet" in result.stderr


def test_a_test_alert_reports_every_channel(tocsin, node, monkeypatch):
    monkeypatch.setattr(alert, "_WAIT_S", 0.0)
    elsewhere = [{**delivery("accepted"), "channel": channel} for channel in ("webhook", "mail")]
    node.test_deliveries = [[delivery("echoed"), *elsewhere]]
    result = tocsin("alert", "test")
    assert result.exit_code == 0
    for said in ("The room has it.", "The webhook's receiver has it.", "The mail server has it."):
        assert said in result.stderr
    down = {**delivery("pending", "mail-refused"), "channel": "mail"}
    node.test_deliveries = [[delivery("echoed"), down]]
    result = tocsin("alert", "test")
    assert result.exit_code == 3
    assert "The last error: mail: mail-refused." in result.stderr


def test_a_channel_that_reads_nothing_back_is_not_waited_for(tocsin, node):
    node.test_deliveries = [[{**delivery("accepted"), "channel": "webhook"}]]
    result = tocsin("alert", "test")
    assert result.exit_code == 0
    assert "Next: tocsin alert ack 1" in result.stderr
    assert [request.method for request in node.seen] == ["POST"]


def looked(status, *findings, **channel):
    """What a node finds when it is asked whether an alert would get through."""
    room = {
        "channel": "matrix", "place": "!r:example.org", "reaches": status != "down", "code": None, "hint": None,
        "max_tlp": "amber", "reserve": False, "responders_present": 2, "canary_age_s": 120.0,
        "canary_round_trip_s": 0.05,
    }  # fmt: skip
    return {
        "status": status,
        "channels": [room | channel],
        "findings": [
            {"name": "matrix", "status": "degraded", "code": code, "hint": f"Mend {code}."}
            for code in findings
        ],
        "heartbeat_age_s": None,
    }


def test_a_check_says_that_an_alert_would_get_to_a_person(tocsin, node):
    node.alert_check = looked("ok")
    result = tocsin("alert", "check", "--strict")
    assert result.exit_code == 0
    assert "back in 0.05 s, 2 min ago" in result.stdout
    assert "An alert would get to people now" in result.stderr


def test_a_check_that_finds_a_weakness_is_no_failure_unless_asked_to_be(tocsin, node):
    node.alert_check = looked("degraded", "one-way-only", canary_age_s=None, canary_round_trip_s=None)
    result = tocsin("alert", "check")
    assert result.exit_code == 0
    assert "one-way-only → Mend one-way-only." in result.stdout
    assert "min ago" not in result.stdout
    strict = tocsin("alert", "check", "--strict", "--json")
    assert strict.exit_code == 1
    assert json.loads(strict.stderr)["code"] == "not-all-well"
    assert json.loads(strict.stdout) == node.alert_check


def test_a_check_that_finds_nobody_exits_with_1_and_says_what_to_mend(tocsin, node):
    node.alert_check = looked("down", "token-rejected")
    result = tocsin("alert", "check")
    assert result.exit_code == 1
    assert "token-rejected → Mend token-rejected." in result.stdout
    assert "nobody-reached" in result.stderr


def test_who_has_seen_an_alert_and_where_it_went_instead_is_shown(tocsin, node):
    seen = {**delivery("seen"), "seen_by": "@duty:example.org", "seen_at": "2026-11-20T10:00:03Z"}
    node.add_alert(
        deliveries=[{**delivery("rerouted"), "rerouted_to": "matrix-2"}, seen | {"channel": "matrix-2"}]
    )
    shown = tocsin("alert", "show", "1").stdout
    assert "matrix !r:example.org: rerouted to matrix-2" in shown
    assert "matrix-2 !r:example.org: seen by @duty:example.org" in shown
    assert "seen by @duty:example.org" in " ".join(tocsin("alert", "list").stdout.split())


def test_an_alert_is_a_number(tocsin, node):
    assert tocsin("alert", "show", "x").exit_code == 2
    assert tocsin("alert", "ack", "0").exit_code == 2
    assert node.seen == []
    for verb in ("show", "ack"):
        assert "foo is not a number." in tocsin("alert", verb, "foo").stderr


def test_who_sent_it_is_told_as_in_the_list_of_reports_and_nobody_else_is_us(tocsin, node):
    node.add_alert()
    node.add_alert(origin="us", **{"from": {"name": "lab", "node_id": "n1lab", "ours": False}})
    node.add_alert(origin="us", **{"from": {"name": "us", "node_id": "n1lab", "ours": False}})
    rows = tocsin("alert", "list").stdout.splitlines()[1:]
    assert [row.split()[3] for row in rows] == ["'us'", "lab", "us"]


def test_who_takes_an_alert_has_it(tocsin, node):
    node.add_alert()
    result = tocsin("alert", "take", "1", "--by", "Mara", "--note", "on it")
    assert node.asked == {"note": "on it", "by": "Mara"}
    assert "taken by Mara via api, 2026-11-20 11:02:00 +01:00: on it" in result.stdout
    assert "acknowledged; Mara works on it" in result.stdout
    assert "Mara (works on it)" in tocsin("alert", "list").stdout


def test_a_mute_says_for_how_long_in_minutes(tocsin, node):
    node.add_alert()
    result = tocsin("alert", "mute", "1", "--for", "1h", "--by", "Mara")
    assert node.asked == {"minutes": 60, "by": "Mara"}
    assert "muted until 2026-11-20 13:02:00 +01:00" in result.stdout
    refused = tocsin("alert", "mute", "1", "--for", "2h", "--by", "Mara")
    assert (refused.exit_code, "mute-too-long" in refused.stderr) == (1, True)
    assert tocsin("alert", "mute", "1").exit_code == 2
    for nonsense in ("soon", "0h", "-1h", "2w", ""):
        assert tocsin("alert", "mute", "1", "--for", nonsense).exit_code == 2


@pytest.mark.parametrize("verb", ["ack", "take", "mute", "resolve"])
def test_what_was_done_can_be_taken_back_and_the_history_says_so(tocsin, node, verb):
    node.add_alert()
    span = ["--for", "30m"] if verb == "mute" else []
    tocsin("alert", verb, "1", "--by", "Mara", *span)
    result = tocsin("alert", verb, "1", "--by", "Noor", "--undo")
    assert node.asked == {"undo": True, "by": "Noor"}
    assert "taken back 2026-11-20 11:03:00 +01:00 by Noor" in result.stdout


def test_the_next_are_called_when_somebody_wants_help(tocsin, node):
    node.add_alert()
    result = tocsin("alert", "escalate", "1", "--note", "two hands are too few", "--by", "Mara")
    assert node.asked == {"note": "two hands are too few", "by": "Mara"}
    assert "escalated to level 1 by Mara" in result.stdout


def test_an_alert_that_nobody_answers_says_so(tocsin, node):
    node.add_alert(unanswered=True, next_escalation_at="2026-11-20T10:30:00Z")
    text = tocsin("alert", "show", "1").stdout
    assert "open; nobody has answered though everybody was called" in text
    assert "2026-11-20 11:30:00 +01:00" in text


def test_the_history_is_in_the_document(tocsin, node):
    node.add_alert()
    tocsin("alert", "resolve", "1", "--by", "Mara")
    document = json.loads(tocsin("alert", "show", "1", "--json").stdout)
    assert [(act["kind"], act["by"]) for act in document["history"]] == [("resolve", "Mara")]


def test_a_subscription_is_made_listed_and_ended(tocsin, node):
    made = tocsin(
        "alert", "subscribe", "ada@example.org", "--grade", "I", "--grade", "II", "--harm", "privacy",
        "--digest", "08:00", "--quiet-hours", "22:00-07:00", "--zone", "Europe/Berlin", "--always-quiet", "--by", "ops",
    )  # fmt: skip
    assert node.asked == {
        "person": "ada@example.org", "grades": ["I", "II"], "harms": ["privacy"], "max_tlp": "green",
        "digest_at": "08:00", "quiet": ["22:00", "07:00"], "zone": "Europe/Berlin", "break_quiet": False, "by": "ops",
    }  # fmt: skip
    assert "Next: tocsin alert unsubscribe 1" in made.stderr
    text = tocsin("alert", "subscriptions").stdout
    for piece in ("ada@example.org", "grades I, II; harms privacy", "GREEN", "daily 08:00", "22:00-07:00"):
        assert piece in text
    assert len(json.loads(tocsin("alert", "subscriptions", "--json").stdout)["items"]) == 1
    assert "has ended" in tocsin("alert", "unsubscribe", "1", "--by", "ops").stderr
    assert "No subscriptions." in tocsin("alert", "subscriptions").stderr
    assert tocsin("alert", "subscribe", "ada@example.org", "--quiet-hours", "22:00").exit_code == 2


def test_how_far_an_alert_got_is_said_in_few_words_a_channel():
    def message(channel, state, kind="ring", **more):
        return {"channel": channel, "state": state, "kind": kind, **more}

    assert whereabouts([]) == ""
    assert whereabouts([message("matrix", "echoed"), message("matrix", "accepted", "update")]) == "echoed"
    many = [
        message("matrix", "accepted"),
        message("matrix", "seen", seen_by="@ada:hs"),
        message("matrix", "pending"),
    ]
    assert whereabouts([*many, message("matrix", "failed"), message("matrix", "echoed", "notice")]) == (
        "seen by @ada:hs (1 waiting, 1 failed)"
    )
    both = [message("matrix", "echoed"), message("matrix-2", "pending"), message("mail", "accepted")]
    assert whereabouts(both) == "room echoed, second room pending, mail accepted"
    assert (
        whereabouts([message("pager", "of a later kind"), message("pager", None)]) == "pager of a later kind"
    )
