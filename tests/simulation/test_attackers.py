"""Every attacker of THREATS.md is played or met elsewhere, and the judge sees what each would do to a node with a fault."""

import re

import pytest
from tests.house.repository import ROOT
from tests.simulation import play as playing
from tests.simulation.play import judge, play
from tests.simulation.sabotage import ATTACKERS, MORE, Weathercock
from tests.simulation.sabotage_circles import CIRCLES
from tests.simulation.sabotage_recalls import RECALLS
from tests.simulation.villains import VILLAINS

THREATS = (ROOT / "federation" / "THREATS.md").read_text(encoding="utf-8")
RUNS = 150
NOTHING_YET = {"24"}  # of what is not built
PLAYED = [*ATTACKERS.values(), *MORE.values(), *RECALLS.values(), *CIRCLES.values()]
ROWS = {row.fault.__name__: row for row in PLAYED if row.fault is not Weathercock}


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_node_that_breaks_a_rule_is_found_out(name, monkeypatch):
    row = ROWS[name]
    monkeypatch.setattr(playing, "Node", row.fault)
    for seed in range(row.first, row.first + RUNS):
        if any(
            re.search(row.word, each)
            for each in judge(play(seed, [v for v in row.who if isinstance(v, type)], theft=row.theft))
        ):
            return
    pytest.fail(f"{RUNS} runs, and nobody noticed what {name} does")


def test_every_attacker_is_played_or_met_by_tests_that_the_threats_name():
    rows = re.findall(r"^\| (\d+[a-z]?) \|[^|]*\|[^|]*\|([^|]*)\|", THREATS, re.MULTILINE)
    assert len(rows) > 30
    assert set(ATTACKERS) <= {number for number, _ in rows}
    for number, shown_by in rows:
        named = re.search(r"`(?:tests/|test_|vectors/)", shown_by)
        assert number in ATTACKERS or named or number in NOTHING_YET, number


def test_every_villain_stands_in_the_table():
    played = {who for row in ATTACKERS.values() for who in row.who if isinstance(who, type)}
    assert played == set(VILLAINS)
