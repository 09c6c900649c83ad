"""Recalls and passing on in the ordinary runs: who takes back, erases, passes on, lies about it; and what must be true then.

What is drawn here comes from dice of its own, so that the rest of a run is laid out as it would be without.
"""

from random import Random
from typing import Any

from tests.simulation.circled import given_away
from tests.simulation.node import Node
from tests.simulation.recalling import DONE, GIVES, gives
from tests.simulation.state import Passing, Recall
from tests.simulation.villains import Villain, new_id

from tocsin_federation.messages import read_header
from tocsin_schema.marking import Tlp

THINKS = 0.25
CLIENTS = 0.3
PLAYED = 0.6


def lay_out(run: Any, storm_s: float, publish: Any) -> None:
    """Some people want to be asked before their node obeys; in most runs things are passed on and taken back."""
    dice = run.dice = Random(f"recalls {run.seed}")
    for node in run.nodes.values():
        node.asks_s = dice.uniform(20, 200) if dice.random() < THINKS else 0.0
    if dice.random() >= PLAYED:
        return
    acts = [_confide] * 3 + [_pass_on] * 6 + [_recall] * 3 + [_change_of_mind, _erase, _lie, _lie]
    for _ in range(dice.randint(6, 20)):
        act, node = dice.choice(acts), dice.choice(list(run.nodes.values()))
        run.world.at(dice.uniform(10, storm_s * 0.9), lambda act=act, node=node: act(run, node, publish))


def clients(run: Any) -> set[tuple[str, str]]:
    """Of whom is a client of whom."""
    dice = Random(f"clients {run.seed}")
    return {(a, b) for a in run.nodes for b in run.nodes if a != b and dice.random() < CLIENTS}


def _own(run: Any, node: Node) -> str | None:
    own = [i for i, s in node.disk.reports.items() if s.held.origin == node.node_id]
    return run.dice.choice(own) if own else None


def _confide(run: Any, node: Node, publish: Any) -> None:
    """Somebody tells one peer alone what that one may pass on, and often does."""
    dice, peer = run.dice, run.dice.choice(sorted(node.policies))
    report_id = new_id(dice.randbytes(16))
    publish(run, node, report_id, dice.choice([Tlp.CLEAR, Tlp.GREEN, Tlp.AMBER]).value, to=[peer])
    other = run.nodes[peer]
    run.world.at(dice.uniform(10, 100), lambda: _pass(run, other, report_id))


def _recall(run: Any, node: Node, _publish: Any) -> None:
    """A person takes an own report back: from some, or from all."""
    if report_id := _own(run, node):
        nodes = run.dice.choice([None, run.dice.sample(sorted(node.policies), 1)])
        node.post(lambda: _did(run, "recalls", node.recall(report_id, nodes)))


def _change_of_mind(run: Any, node: Node, publish: Any) -> None:
    """What is taken back goes to somebody again, by name, at once or later."""
    report_id = _own(run, node)
    if report_id is None or node.disk.reports[report_id].held.final:
        return
    tlp, to = node.disk.reports[report_id].tlp, run.dice.sample(sorted(node.policies), 1)
    node.post(lambda: _did(run, "recalls", node.recall(report_id, None)))
    later_s = run.dice.choice([0.0, 2.0, run.dice.uniform(0, 100)])
    run.world.at(later_s, lambda: publish(run, node, report_id, tlp, to=to))


def _erase(run: Any, node: Node, _publish: Any) -> None:
    if report_id := _own(run, node):
        node.post(lambda: _did(run, "erasures", node.erase(report_id)))


def _pass_on(run: Any, node: Node, _publish: Any) -> None:
    theirs = [i for i, s in node.disk.reports.items() if s.held.origin != node.node_id and not s.through]
    if theirs:
        _pass(run, node, run.dice.choice(theirs))


def _pass(run: Any, node: Node, report_id: str) -> None:
    """Somebody passes a peer's report on, to some or to whoever may have it."""
    everybody = sorted(node.policies)
    nodes = run.dice.choice([everybody, run.dice.sample(everybody, 1)])
    node.post(lambda: _did(run, "passed on", node.pass_on(report_id, nodes)))


def _lie(run: Any, _node: Node, _publish: Any) -> None:
    """Whoever is bad, or has stolen keys, takes back what is not his, and says that it was done."""
    for bad in [*run.nodes.values(), *run.thieves.values()]:
        if isinstance(bad, Villain) and bad.up:
            bad.post(lambda bad=bad: _did(run, "false recalls", bad.take_back_falsely()))


def _did(run: Any, what: str, done: bool) -> None:
    run.did[what] += bool(done)


# What must be true ----------------------------------------------------------------------------------------------


def taken_back(run: Any) -> list[str]:
    """What is wrong with what became of what was taken back."""
    wrong = []
    for node in run.honest:
        wrong += _gave(node) + _kept_out(node)
        if node.restored:
            continue  # with its disk it forgot whom it had given what, and taken it back from
        wrong += _heard(run, node)
        for one, leaf in node.recalls:
            wrong += _served(node, one)
            for peer in one.told:
                if one.told[peer] == leaf and run.nodes[peer] in run.honest:
                    wrong += _obeyed(run, node, run.nodes[peer], one, leaf)
        for reader in run.honest:
            if reader is not node and node.node_id not in reader.disk.stopped:
                wrong += _believed(run, node, reader)
    return wrong


def _gave(node: Node) -> list[str]:
    """What was purged is neither handed on nor passed on, unless it was given anew."""
    gone: set[str] = set()
    for word, report_id, _ in node.story:
        if word == "gave" and report_id in gone:
            return [f"{_name(node)} gave {report_id}, which had been taken back"]
        if word == "restored":
            gone.clear()
        elif word == "purged":
            gone.add(report_id)
        elif word == "took":
            gone.discard(report_id)
    return []


def _kept_out(node: Node) -> list[str]:
    """What was purged is held as nobody's but his who had it purged, and gives it anew."""
    return [
        f"{_name(node)} holds {report_id} again, which was purged"
        for report_id, by in node.disk.erased.items()
        if report_id in node.disk.reports and node.disk.reports[report_id].held.origin != by
    ]


def _served(author: Node, one: Recall) -> list[str]:
    """Nothing from before a purge is served to those that it went to."""
    flat = [entry for _, _, entry in author.own_entries()]
    places = {entry.leaf_hash: at for at, entry in enumerate(flat)}
    for node in one.refs:
        said = places.get(one.told.get(node, b""), 0)
        for entry in flat[:said] if one.what == "purge" else []:
            if node in entry.wraps and gives(
                entry, one.report_id, frozenset({"share"}) if one.author else GIVES
            ):
                return [f"{_name(author)} still serves what it took back: {one.report_id}"]
    return []


def _obeyed(run: Any, author: Node, reader: Node, one: Recall, leaf: bytes) -> list[str]:
    """Whoever took a recall has done what it asks, and its author has heard so."""
    taken = reader.disk.recalled.get(leaf)
    if taken is None or reader.disk.disputes(author.node_id, taken.gen, taken.idx):
        return []  # `_believed` says what follows from that
    who, wrong = f"{_name(reader)} took a recall of {_name(author)}", []
    if not taken.done:
        return [f"{who}, and has done nothing"]
    stored = reader.disk.reports.get(one.report_id)
    giver = (
        None if stored is None else stored.through or stored.held.origin
    )  # of the rest it is he who takes it back
    early = giver == author.node_id and not (one.author is None and taken.before(stored))
    if early and one.what == "purge":
        wrong.append(f"{who}, and holds it: {one.report_id}")
    if early and one.what == "narrow" and Tlp(stored.tlp).rank < one.tlp.rank:
        wrong.append(f"{who}, and marks it {stored.tlp}")
    if reader.restored or author.node_id in reader.disk.stopped or reader.node_id in author.disk.stopped:
        return wrong
    if (reader.node_id, leaf, DONE[one.what]) not in author.disk.heard:
        wrong.append(f"{_name(author)} has not heard what {_name(reader)} did with its recall")
    if one.author is not None and author.disk.gen == 1:
        first = run.nodes[one.author]
        told = {e for n, e, state in first.disk.heard if n == reader.node_id and state == DONE[one.what]}
        share = one.refs[reader.node_id][-1]
        knows = (share, reader.node_id) in first.disk.readers
        if knows and first in run.honest and not first.restored and share not in told:
            wrong.append(f"{_name(first)} has not heard what {_name(reader)} did, through {_name(author)}")
    return wrong


def _believed(run: Any, giver: Node, reader: Node) -> list[str]:
    """Whoever holds something of somebody honest has it by his leave: he believes so himself."""
    wrong = []
    for report_id, stored in reader.disk.reports.items():
        by_another = (report_id, stored.held.ver, reader.node_id) in given_away(run)
        if reader.disk.disputed(stored) or by_another:
            continue
        if stored.through is None and stored.held.origin == giver.node_id:
            if reader.node_id not in giver.recipients(report_id):
                wrong.append(
                    f"{_name(reader)} holds {report_id}, which {_name(giver)} does not leave with it"
                )
        elif stored.through == giver.node_id and reader.node_id not in giver.disk.passed.get(report_id, {}):
            wrong.append(f"{_name(reader)} holds {report_id} through {_name(giver)}, who took it back")
    return wrong


def _heard(run: Any, author: Node) -> list[str]:
    """Nobody says of what he was never sent what became of it, and nobody honest says that he did what he did not."""
    sent = {(node, entry.leaf_hash) for _, _, entry in author.own_entries() for node in entry.to}
    sent |= {(node, leaf) for leaf, node in author.disk.readers}
    wrong = []
    for by, leaf, state in author.disk.heard:
        reader = run.nodes[by]
        if (by, leaf) not in sent:
            wrong.append(f"{_name(author)} believes {_name(reader)} about what it was never sent")
        mine = any(leaf == told for _, told in author.recalls)
        if (
            mine
            and state in DONE.values()
            and reader in run.honest
            and not reader.restored
            and by not in run.thieves
        ):
            taken = reader.disk.recalled.get(leaf)
            if taken is None or not taken.done:
                wrong.append(f"{_name(author)} believes that {_name(reader)} did what it did not")
    return wrong


def lawful(by: str, passing: Passing) -> bool:
    """Whether TLP 2.0 lets that node pass that on; said anew, without the product's code."""
    header = read_header(passing.leaf)
    beyond = {Tlp.CLEAR: True, Tlp.GREEN: True, Tlp.AMBER: passing.client}
    return by in header.aud.nodes and beyond.get(header.tlp, False)


def due(run: Any, reader: Node, origin: Node, report_id: str, *, said: bool) -> bool:
    """Whether a reader rightly has nothing of a report that it once was sent, and not since. `said`: in the log in force."""
    if origin.restored and report_id in reader.disk.erased:
        return True  # that one forgot that it took it back
    if origin.node_id in run.thieves and not said and reader.disk.erased.get(report_id) == origin.node_id:
        return True  # a thief took it back, and its author may not give it anew to this reader
    last = next((one for one in reversed(reader.story) if one[1] == report_id), None)
    return last == ("purged", report_id, "")  # by who had passed a later version of it on


def _name(node: Node) -> str:
    return str(node.player.name)
