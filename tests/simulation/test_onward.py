"""P11: in random federations nobody who keeps the rules holds what its policy, or the marking, forbids."""

from collections import Counter

import msgspec
import pytest
from tests.simulation import onward
from tests.simulation.onward import Federation, gather, lawful, pass_on, publish, slander

from tocsin_federation.errors import EntryRefused
from tocsin_federation.proof import verify_proof
from tocsin_schema.marking import Tlp

RUNS = 60


def play(seed: int) -> Federation:
    run = gather(seed)
    for _ in range(run.dice.randint(20, 60)):
        run.dice.choice((publish, publish, pass_on, pass_on, pass_on, slander))(run)
    return run


def broken(run: Federation) -> str | None:
    """The first promise that a run breaks."""
    for reader in run.members.values():
        for report, (author, through) in reader.held.items():
            if author == reader.node_id:
                continue
            tlp = run.marking[report]
            policy = reader.policies[through or author]
            ceilings = [policy.max_tlp_in.rank]
            if through is not None and author in reader.policies:
                ceilings.append(reader.policies[author].max_tlp_in.rank)
            if not policy.active or tlp.rank > min(ceilings):
                return f"{reader.player.name} holds what its policy forbids"
            if through is None:
                continue
            if not policy.onward:
                return f"{reader.player.name} holds what it takes from nobody"
            ways = [g for g in run.given if (g.by, g.to, g.report) == (through, reader.node_id, report)]
            if not any(lawful(run, way) for way in ways):
                return f"{reader.player.name} holds what the marking forbids"
    guilty = {g.by for g in run.given if not lawful(run, g)}
    for judge in run.members.values():
        if not judge.accused <= guilty:
            return f"{judge.player.name} believes a slander"
    if any(not m.careless and m.node_id in guilty for m in run.members.values()):
        return "who keeps the rules broke one"
    return None


@pytest.mark.parametrize("first", range(0, RUNS, 15))
def test_p11_no_node_that_keeps_the_rules_applies_an_entry_that_its_policy_forbids(first):
    for seed in range(first, first + 15):
        assert broken(play(seed)) is None, f"seed {seed}"


def test_the_runs_are_worth_playing():
    seen: Counter[str] = Counter()
    for seed in range(RUNS):
        run = play(seed)
        through = [t for m in run.members.values() for _, t in m.held.values() if t is not None]
        seen["passed on and taken"] += len(through)
        seen["refused"] += run.refused
        seen["unlawful"] += sum(not lawful(run, g) for g in run.given)
        seen["accused"] += sum(len(m.accused) for m in run.members.values())
        seen["slander"] += run.unfounded
        seen["client"] += sum(g.client and lawful(run, g) for g in run.given)
    assert all(seen[what] >= 20 for what in seen), seen


@pytest.mark.parametrize(
    ("name", "word"),
    [("refuse_onward", "forbids"), ("admit_complaint", "slander"), ("release_onward", "keeps the rules")],
)
def test_a_federation_that_drops_a_rule_is_found_out(name, word, monkeypatch):
    kept = getattr(onward, name)

    def careless(*given, **named):
        if name == "release_onward":
            header, peers = given
            return kept(msgspec.structs.replace(header, tlp=Tlp.GREEN), peers, **named)
        try:
            return kept(*given, **named)
        except EntryRefused:
            return None if name == "refuse_onward" else verify_proof(given[1])

    monkeypatch.setattr(onward, name, careless)
    assert any(word in (broken(play(seed)) or "") for seed in range(RUNS))
