"""After a recall and the end of all partitions no honest recipient holds it, receipts converge, and nobody forges one."""

import pytest
from tests.simulation.cast import NAMES, bundle, player
from tests.simulation.recalling import Impostor, Recaller
from tests.simulation.villains import new_id
from tests.simulation.world import Faults, World

from tocsin_federation.sharing import PeerPolicy
from tocsin_schema.marking import Tlp

STORM_S = 300.0
CALM_S = 900.0


def played(seed):
    """A federation of four on a bad wire, one of them an impostor: reports, recalls, crashes, partitions, then calm."""
    world = World(seed)
    dice = world.dice
    world.faults = Faults(
        lost=dice.choice([0.0, 0.3]), twice=0.1, damaged=0.0, delay_s=dice.choice([0.05, 10.0])
    )
    kinds = [Impostor, Recaller, Recaller, Recaller]
    nodes = [kind(world, player(name)) for kind, name in zip(kinds, NAMES, strict=False)]
    for node in nodes:
        for other in nodes:
            if other is not node:
                policy = PeerPolicy(other.node_id, other.player.name, Tlp.AMBER, Tlp.AMBER, active=True)
                node.meet(other.player, policy)
        node.start()
    filed = []
    for node in nodes:
        for _ in range(4):
            report_id = new_id(dice.randbytes(16))
            filed.append((node, report_id))
            world.at(dice.uniform(0, 100), lambda n=node, i=report_id: publish(n, i))
            if dice.random() < 0.7:
                world.at(dice.uniform(110, STORM_S), lambda n=node, i=report_id: recall(n, i))
    for _ in range(8):
        node, other = dice.sample(nodes, 2)
        pair = frozenset((node.node_id, other.node_id))
        at_s = dice.uniform(0, STORM_S)
        world.at(at_s, lambda pair=pair: world.parted.add(pair))
        world.at(at_s + dice.uniform(1, 150), lambda pair=pair: world.parted.discard(pair))
        crash_s = dice.uniform(0, STORM_S)
        world.at(crash_s, lambda node=node: node.crash() if node.up else None)
        world.at(crash_s + dice.uniform(1, 80), lambda node=node: None if node.up else node.start())
        world.at(dice.uniform(50, STORM_S), lambda: nodes[0].post(nodes[0].mischief))
    world.run(STORM_S)
    world.faults, world.parted = Faults(), set()
    world.run(STORM_S + CALM_S)
    return nodes, filed


def publish(node, report_id):
    raw = bundle(node.player.name, report_id, "Version 1", 1, tlp="green", grave=False, revoked=False)
    node.post(lambda: node.file(report_id, raw, to=None))


def recall(node, report_id):
    node.post(lambda: node.recall(report_id) if report_id in node.disk.reports else None)


@pytest.mark.parametrize("seed", range(12))
def test_what_was_recalled_is_nowhere_and_everybody_says_so(seed):
    nodes, filed = played(seed)
    impostor, *honest = nodes
    for node in honest:
        for author, report_id in filed:
            if author is node or author is impostor:
                continue
            sent = any(
                node.node_id in entry.wraps
                for entry in author.disk.entries
                if report_id.encode() in entry.leaf
            )
            held = report_id in node.disk.reports
            assert held == sent, (seed, node.player.name, report_id)
    for author in honest:
        for report_id, leaf, to in author.recalls:
            said = {node for node, entry, state in author.heard if entry == leaf and state == "purged"}
            assert {n.node_id for n in honest if n.node_id in to} <= said, (seed, report_id)
        sealed = {(peer, entry.leaf_hash) for entry in author.written for peer in entry.wraps}
        for node, entry, _ in author.heard:
            assert node != impostor.node_id or (node, entry) in sealed


def test_the_runs_are_worth_playing():
    runs = [played(seed)[0] for seed in range(100, 104)]
    assert sum(len(node.recalls) for nodes in runs for node in nodes) > 10
    codes = {
        code
        for nodes in runs
        for node in nodes[1:]
        for followed in node.disk.followed.values()
        for _, code in followed.outcomes.values()
    }
    assert "not-ours" in codes
