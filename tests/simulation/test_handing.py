"""An author that dies is heard through those it told: by all that can reach a holder, once, whatever the others do."""

import re

import pytest
from tests.simulation import play as playing
from tests.simulation.node import Node
from tests.simulation.play import Play, judge, play
from tests.simulation.test_simulation import scene
from tests.simulation.villains import GoBetween, new_id

REPORT = new_id(bytes(16))


def dies(*kinds, seed, parted=()):
    """The author's wire reaches the second node alone; it files, tells that one and dies. → the run, its nodes."""
    alone = [(0, n) for n in range(2, len(kinds))]
    run, nodes = scene(Node, *kinds[1:], seed=seed, until_s=10.0, parted=[*alone, *parted])
    nodes[0].crash()
    run.world.parted = {pair for pair in run.world.parted if nodes[0].node_id not in pair}
    run.world.run(run.world.now_s + 1500.0)
    return run, nodes


@pytest.mark.parametrize("seed", range(12))
def test_every_reader_that_can_reach_a_holder_has_it_and_was_rung_once(seed):
    """In a line: the author told the second, which the third alone can reach, and so on."""
    line = [(1, 3), (1, 4), (2, 4)]
    run, nodes = dies(*[Node] * 5, seed=seed, parted=line)
    author = nodes[0].node_id
    for node in nodes[1:]:
        assert node.disk.reports[REPORT].held.origin == author
        assert node.disk.followed[author].size == len(nodes[0].disk.entries)
    for node in nodes[2:]:
        assert node.disk.followed[author].next == 0, "a cursor moved by another's word"
        assert node.disk.followed[author].via
    nodes[0].start()
    run.world.parted = set()
    run.world.run(run.world.now_s + 300.0)
    assert judge(run) == []
    for node in nodes[2:]:
        assert not node.disk.followed[author].via, "the author has served it itself"
        assert node.disk.followed[author].outcomes[0] == ("unchanged", None)


@pytest.mark.parametrize("seed", range(12))
def test_one_honest_holder_is_enough_among_liars(seed):
    run, nodes = dies(Node, Node, GoBetween, GoBetween, Node, seed=seed)
    assert REPORT in nodes[4].disk.reports
    nodes[0].start()
    run.world.run(run.world.now_s + 300.0)
    assert judge(run) == []
    assert not nodes[4].disk.stopped


class Open(Node):
    """Hands on to whoever asks."""

    def may_hand_on(self, _header, _policy):
        return True


class Trusting(Node):
    """Moves its cursor by what others hand on."""

    def apply_handed(self, peer, opened):
        super().apply_handed(peer, opened)
        log = self.disk.followed[peer]
        log.next = log.size
        log.via.clear()


class Twice(Node):
    """Rings for what it is handed on, and again when its author comes with it."""

    def _apply(self, peer, log, opened, start, following):
        for came in opened:
            if came.frame.idx in log.via and came.header is not None:
                self.room += [key for key in self.room if key[0] == came.header.id]
        super()._apply(peer, log, opened, start, following)


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        (Open, "was not for it"),
        (Trusting, "has no outcome"),
        (Twice, "rung twice"),
    ],
    ids=lambda p: p.__name__ if isinstance(p, type) else "",
)
def test_a_node_that_breaks_a_rule_of_handing_on_is_found_out(kind, word, monkeypatch):
    monkeypatch.setattr(playing, "Node", kind)
    for seed in range(6000, 6150):
        if any(re.search(word, each) for each in judge(play(seed))):
            return
    pytest.fail(f"so many runs, and nobody noticed what {kind.__name__} does")


def test_the_runs_hand_on():
    did = Play(0, None, {}).did
    for seed in range(6000, 6040):
        run = play(seed)
        assert judge(run) == []
        did += run.did
    assert did["handed on"] > 30
