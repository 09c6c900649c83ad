import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from rich.cells import cell_len
from rich.console import Console
from tests.cli.fake_node.node import FakeNode
from tests.cli.fake_node.wire import TOKEN, answers

from tocsin_cli.client import Client
from tocsin_cli.config import Target
from tocsin_cli.watch_view import View
from tocsin_cli.watching import follow, look

NOW = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)


def drawn(standing, width=80, height=24):
    console = Console(file=io.StringIO(), width=width, height=height, markup=False)
    console.print(View(standing, "http://n", NOW, 5))
    return console.file.getvalue()


def watched(node, *steps):
    """The standings after each look; before each further one its step is taken."""
    client, left = Client(Target(node.url, "test", TOKEN, "test")), list(steps)

    def pause():
        if not left:
            raise KeyboardInterrupt
        left.pop(0)()

    found = []
    clock = (NOW + timedelta(seconds=at) for at in range(100))
    standings, found = follow(lambda: look(client, lambda: next(clock)), now=lambda: NOW, pause=pause), []
    for _ in range(len(steps) + 1):
        found += [next(standings)]
    with pytest.raises(KeyboardInterrupt):
        next(standings)
    client.close()
    return found


def test_new_grave_alerts_are_marked_and_ring_but_old_ones_do_not(node):
    node.add_alert(title="Old", grade="I")
    first, second, third = watched(
        node,
        lambda: node.add_alert(title="Fresh", grade="II"),
        lambda: node.add_alert(title="Mild", grade="III"),
    )
    assert [s.rings for s in (first, second, third)] == [False, True, False]
    lines = {word: line for line in drawn(second).splitlines() for word in ("Old", "Fresh") if word in line}
    assert lines["Fresh"].startswith("*")
    assert lines["Old"].startswith(" ")


def test_the_node_goes_away_and_comes_back():
    node = FakeNode().__enter__()
    node.add_alert(title="Still shown")
    again = FakeNode(url=node.url)
    try:
        standings = watched(node, node.__exit__, again.__enter__)
    finally:
        again.__exit__()
    away, back = drawn(standings[1]), drawn(standings[2])
    assert "AWAY since" in away
    assert "Still shown" in away
    assert "AWAY" not in back


@pytest.mark.parametrize(("width", "height"), [(20, 10), (80, 24), (140, 40)])
def test_hostile_words_stay_within_the_screen(node, width, height):
    for at in range(40):
        node.add_alert(title=f"\x1b[2J\x1b]52;c;x\x07\u202e\n[red]{at}" + "\u6f22" * 200, grade="I")
    node.add_peer("beta", problem={"code": "\x1b[31mbad\nnews", "hint": "x" * 500, "at": None})
    text = drawn(watched(node)[0], width, height)
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert len(text.splitlines()) <= height
    assert max(map(cell_len, text.splitlines())) <= width


def test_a_missing_scope_is_shown_and_the_rest_too(tocsin, node):
    node.add_peer("beta")
    node.fault("GET", "/v1/reports", answers(403, "scope-missing", "This needs report:read."))
    result = tocsin("watch", "--once")
    assert result.exit_code == 0
    assert "not allowed: This needs report:read." in result.stdout
    assert "beta" in result.stdout


def test_json_is_one_document_and_an_absent_node_is_3(tocsin, node, monkeypatch):
    node.add_alert()
    told = json.loads(tocsin("watch", "--json").stdout)
    assert told["alerts"]["items"][0]["id"] == 1
    assert "problem" in told["duties"]
    monkeypatch.setenv("TOCSIN_URL", "http://127.0.0.1:9")
    assert tocsin("watch").exit_code == 3
    assert tocsin("watch", "--every", "61").exit_code == 2


def test_who_works_on_an_alert_and_when_the_next_are_called_is_in_view(node):
    node.add_alert(title="Waits", next_escalation_at=(NOW + timedelta(minutes=4)).isoformat())
    node.add_alert(
        title="Muted", muted_until="2026-11-20T12:00:00Z", next_escalation_at="2026-11-20T12:00:00Z"
    )
    node.add_alert(title="Alone", unanswered=True)
    node.add_alert(title="Taken", assigned="Mara")
    [standing] = watched(node)
    lines = {
        w: line
        for line in drawn(standing, width=160).splitlines()
        for w in ("Waits", "Muted", "Alone", "Taken")
        if w in line
    }
    assert "nobody yet, next call in 4 min" in lines["Waits"]
    assert "nobody yet, muted until 13:00" in lines["Muted"]
    assert "NOBODY, though all were called" in lines["Alone"]
    assert "Mara works on it" in lines["Taken"]
