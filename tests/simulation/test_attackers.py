"""Every attacker of THREATS.md is played or met elsewhere, and the judge sees what each would do to a node with a fault."""

import re

import pytest
from tests.house.repository import ROOT
from tests.simulation import play as playing
from tests.simulation.play import judge, play
from tests.simulation.sabotage import ATTACKERS, ELSEWHERE, MORE, Weathercock
from tests.simulation.villains import VILLAINS

THREATS = (ROOT / "federation" / "THREATS.md").read_text(encoding="utf-8")
RUNS = 150
ROWS = {
    row.fault.__name__: row for row in [*ATTACKERS.values(), *MORE.values()] if row.fault is not Weathercock
}


@pytest.mark.parametrize("name", sorted(ROWS))
def test_a_node_that_breaks_a_rule_is_found_out(name, monkeypatch):
    row = ROWS[name]
    monkeypatch.setattr(playing, "Node", row.fault)
    for seed in range(3000, 3000 + RUNS):
        if any(
            re.search(row.word, each)
            for each in judge(play(seed, [v for v in row.who if isinstance(v, type)]))
        ):
            return
    pytest.fail(f"{RUNS} runs, and nobody noticed what {name} does")


def test_every_attacker_is_played_or_met_elsewhere():
    numbers = re.findall(r"^\| (\d+[a-z]?) \|", THREATS, re.MULTILINE)
    missing = [number for number in numbers if number not in {*ATTACKERS, *ELSEWHERE}]
    assert not missing, f"{missing}: a row in tests/simulation/sabotage.py"
    assert set(ATTACKERS) <= set(numbers)
    for file in ELSEWHERE.values():
        assert (ROOT / "tests" / file).is_file(), file


def test_every_villain_stands_in_the_table():
    played = {who for row in ATTACKERS.values() for who in row.who if isinstance(who, type)}
    assert played == set(VILLAINS)
