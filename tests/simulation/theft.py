"""A thief of a node's online keys: what he does in its name, what its people do about it, and what must be true in the end.

He has a copy of the database and every key but the one that was put away. Where he holds the way to a node he answers in
its place; everywhere he asks in its name. Its people find out, end the log at what they know to be their own, and go on.
"""

from collections.abc import Callable
from copy import deepcopy
from hashlib import sha256
from typing import Any

from tests.simulation.node import Node
from tests.simulation.state import Entry
from tests.simulation.villains import Villain, new_id
from tests.simulation.world import Request

from tocsin_federation.merkle import Frontier
from tocsin_schema.marking import Tlp

WAYS = ("new", "new", "revise", "revise", "withdraw", "remark", "acknowledge", "rewrite")


class Thief(Villain):
    """`fooled`: NodeIDs that reach him when they ask for the node that he robbed; `ever`: all that did at some time."""

    def __init__(self, victim: Node, fooled: set[str]) -> None:
        super().__init__(victim.world, victim.player, skew_s=victim._skew_s)
        self.disk, self.policies, self._others = deepcopy(victim.disk), dict(victim.policies), victim.others
        self.restored = 1  # he signs whatever he likes
        self.fooled, self.ever = fooled, set(fooled)

    def start(self) -> None:
        self.up = self.ready = True
        self._life += 1
        self._divert(self.fooled)
        self._work(self.push())

    def _divert(self, fooled: set[str]) -> None:
        for peer in self.fooled:
            self.world.diverted.pop((peer, self.node_id), None)
        self.fooled = fooled
        for peer in fooled:
            self.world.diverted[peer, self.node_id] = self.serve

    def serve(self, request: Request, answer: Callable[[bytes], None]) -> None:
        """As a node would; but he tells nobody what the robbed one holds of others' logs (THREATS.md, 23)."""
        if request.kind != "heads":
            super().serve(request, answer)

    def recallable(self) -> list[bytes]:
        """What the robbed one gave."""
        return [entry.leaf_hash for entry in self.disk.entries]

    def lose(self) -> None:
        """He is thrown out of some of the ways that he held."""
        self._divert({peer for peer in sorted(self.fooled) if self.world.dice.random() < 0.3})

    def rewrite(self) -> None:
        """Inside a transaction: other words in the place of the last entry."""
        if self.disk.entries:
            self.disk.entries[-1] = Entry(b"", self.world.dice.randbytes(32), b"", {})
            self.disk.frontier = Frontier()
            self.disk.frontier.extend([entry.leaf_hash for entry in self.disk.entries])
            self._sign()


def steal(run: Any, victim: Node, publish: Callable[..., None]) -> None:
    """Somebody has the keys of an honest node; `publish` files a report by whoever is given."""
    world, dice = run.world, run.world.dice
    if victim.node_id in run.thieves or not victim.up or isinstance(victim, Villain):
        return
    moved = dice.random() < 0.4
    peers = sorted(victim.policies)
    thief = Thief(victim, set(peers if moved else dice.sample(peers, dice.randint(0, len(peers)))))
    run.thieves[victim.node_id] = thief
    run.did["thefts"] += 1
    if moved:
        victim.crash()  # he has the machine
    thief.start()
    for _ in range(dice.randint(0, 4)):  # its people know of nothing yet
        report_id, tlp = new_id(dice.randbytes(16)), dice.choice([Tlp.CLEAR, Tlp.GREEN]).value
        world.at(dice.uniform(0, 60), lambda i=report_id, t=tlp: publish(run, victim, i, t))
    noticed_s = dice.uniform(30, 150)
    world.at(noticed_s, lambda: recover(run, victim))
    if dice.random() < 0.5:  # he changes a word or two, and keeps still
        for _ in range(dice.randint(1, 2)):
            world.at(dice.uniform(0, 20), lambda: _misuse(run, thief, publish, "revise"))
        return
    for _ in range(dice.randint(2, 8)):
        world.at(dice.uniform(0, 250), lambda: _misuse(run, thief, publish, dice.choice(WAYS)))
    for _ in range(dice.randint(0, 4)):
        world.at(noticed_s + dice.uniform(-5, 25), lambda: _misuse(run, thief, publish, "new"))


def _misuse(run: Any, thief: Thief, publish: Callable[..., None], way: str) -> None:
    dice = run.world.dice
    own = [i for i, s in thief.disk.reports.items() if s.held.origin == thief.node_id and not s.held.final]
    if way == "rewrite":
        thief.post(thief.rewrite)
    elif way == "remark" and thief.disk.reports:
        about = dice.choice(sorted(thief.disk.reports))

        def change() -> None:
            run.lies.add(thief.remark(about, "not-affected") or b"")

        thief.post(change)
    elif way == "acknowledge":
        theirs = [(i, s) for i, s in thief.disk.reports.items() if s.held.origin != thief.node_id]
        thief.disk.untold += [
            (s.held.origin, i, s.held.ver, s.leaves[s.held.ver])
            for i, s in theirs[:3]
            if s.held.ver in s.leaves
        ]
        thief.post(thief.tell_one)
    elif way in {"revise", "withdraw"} and own:
        report_id = dice.choice(own)
        tlp = thief.disk.reports[report_id].tlp
        publish(run, thief, report_id, tlp, revoked=way == "withdraw")
    else:
        publish(run, thief, new_id(dice.randbytes(16)), dice.choice([Tlp.CLEAR, Tlp.GREEN]).value)


def recover(run: Any, node: Node, *, void: bool = True) -> None:
    """Its people end the log and begin the next one; `void`: somebody else has written in it, or may."""
    thief = run.thieves.get(node.node_id)
    if not void and (node.contradicted or thief is not None or node.good() < len(node.disk.entries)):
        return  # a log that others have written in is not just lost
    run.did["recoveries" if void else "renewals"] += 1
    node.crash()
    node.renew(void=void)
    if thief is not None:
        thief.lose()
    run.world.at(run.world.dice.uniform(1, 20), lambda: None if node.up else node.start())


# What must be true -----------------------------------------------------------------------------------------------


def ended(run: Any) -> list[str]:
    """Of each log that has ended everybody knows the end, has what is good of it, and counts nothing beyond."""
    wrong = []
    for origin in run.honest:
        chain = origin.player.identity.chain
        for reader in run.honest:
            if reader is origin:
                continue
            name = f"{reader.player.name} of {origin.player.name}"
            if len(reader.disk.known[origin.node_id].chain) != len(chain):
                wrong.append(f"{name}: does not know that it has ended its log")
                continue
            for gen, log in origin.disk.ended.items():
                past = reader.disk.past[origin.node_id, gen]
                if origin.restored or reader.restored:
                    continue
                if not past.over:
                    wrong.append(f"{name}: has not come to the end of an ended log")
                mine = [e.leaf_hash for e in log.entries]
                if past.disputed_from != 0 and past.leaves[: len(mine)] != mine:
                    wrong.append(f"{name}: holds another past than what is good")
                if past.disputed_from == 0 and mine and past.leaves == mine[: len(past.leaves)]:
                    wrong.append(f"{name}: disputes what is good")
    return wrong


def robbed(run: Any) -> list[str]:
    """Nothing that a thief said stands undisputed anywhere, and nothing of it rang once its reader knew better."""
    wrong = []
    for reader in run.honest:
        for report_id, stored in reader.disk.reports.items():
            if stored.raw in run.lies and not reader.disk.disputed(stored):
                wrong.append(f"{reader.player.name} holds a thief's words as its author's: {report_id}")
        for (report_id, by, _), said in reader.disk.remarks.items():
            at = reader.disk.remark_at.get((report_id, by, said.kind))
            if said.raw in run.lies and (at is None or not reader.disk.disputes(by, *at)):
                wrong.append(f"{reader.player.name} holds a thief's remark as its author's")
        for at_s, bell in (
            () if reader.restored else reader.rang
        ):  # with its disk it forgot that the log had ended
            robbed_log = run.bells.get(bell)
            if robbed_log is not None and at_s > reader.learnt.get(robbed_log, at_s):
                wrong.append(f"{reader.player.name} was rung by a thief after the recovery")
    return wrong


def note_lie(run: Any, thief: Villain, report_id: str, ver: int, raw: bytes) -> None:
    """Remember what was said in a robbed node's name."""
    if isinstance(thief, Thief):
        run.lies.add(raw)
        run.bells[report_id, ver, sha256(raw).digest()] = thief.node_id, thief.disk.gen
