"""What must be true at the end of a run of remarks, emergencies, answers and alerts, and of what strangers could learn."""

from collections import Counter
from typing import Any

from tests.simulation.node import ALERTS
from tests.simulation.saying import EMERGENCIES
from tests.simulation.villains import Observer, Villain

from tocsin_federation.calls import emergency_id, read_call
from tocsin_federation.messages import Header, read_header
from tocsin_federation.receipt import about

THERE = {"stored", "unchanged", "superseded"}


def heard(run: Any) -> list[str]:
    """What is wrong with what nodes said and took besides reports."""
    wrong = []
    for node in run.honest:
        wrong += _remarks(run, node) + _calls(run, node) + _bells(run, node)
        wrong += _late(run, node)
    for node in run.nodes.values():
        if isinstance(node, Observer):
            wrong += _observed(run, node)
    return wrong


def _remarks(run: Any, reader: Any) -> list[str]:
    """A remark in an honest node's name was made by it, and nobody remarks in another's."""
    wrong = []
    for (report_id, by, _), said in reader.disk.remarks.items():
        author = run.nodes[by]
        if author is reader or isinstance(author, Villain):
            continue
        at = reader.disk.remark_at.get((report_id, by, said.kind))
        if at is not None and reader.disk.disputes(by, *at):
            continue
        if said.raw not in run.remarked.get((by, report_id), ()):
            wrong.append(f"{reader.player.name} holds a remark of {author.player.name} that it never made")
    names = {said.created_by_ref: by for (_, by, _), said in reader.disk.remarks.items()}
    for (_, by, _), said in reader.disk.remarks.items():
        if names[said.created_by_ref] != by:
            wrong.append(f"{reader.player.name} holds one node's remark under another's name")
    return wrong


def _calls(run: Any, reader: Any) -> list[str]:
    """Nobody calls about others' reports; what was stood down stays so; drill and earnest never change."""
    wrong, ended, drills = [], set(), {}
    for cried in reader.history:
        call = read_call(cried.content)
        author, name = run.nodes[cried.by], reader.player.name
        if cried.name in ended and not reader.restored:
            wrong.append(f"{name} took an emergency up again that was stood down")
        if drills.setdefault(cried.name, cried.drill) != cried.drill:
            wrong.append(f"{name} made earnest of a drill, or a drill of earnest")
        if cried.state == "stood-down":
            ended.add(cried.name)
        if cried.name != emergency_id(cried.by, call.key):
            wrong.append(f"{name} holds an emergency under another's name")
        if not isinstance(author, Villain) and cried.content not in run.cried.get(cried.by, ()):
            wrong.append(f"{name} was called by {author.player.name}, who said nothing")
        stored = reader.disk.reports.get(call.report_id)
        if stored is not None and not reader.restored and stored.held.origin != cried.by:
            wrong.append(f"{name} was called by {author.player.name} about a report that is not its own")
    for name, by in reader.disk.answers:
        other = run.nodes[by]
        gone = (name, 0, b"") in other.forgotten
        if (
            not isinstance(other, Villain)
            and not other.restored
            and name not in other.disk.calls
            and not gone
        ):
            wrong.append(f"{reader.player.name} believes that {other.player.name} has a call that it has not")
    return wrong


def _bells(run: Any, node: Any) -> list[str]:
    """However much a peer cries, it rings no more often than its share."""
    rang: Counter[str] = Counter()
    authors = {cried.name: cried.by for cried in node.history}
    for key, *_ in node.disk.alerts:
        if key in authors:
            rang[f"{authors[key]} emergency"] += 1
        elif (stored := node.disk.reports.get(key)) is not None and stored.held.origin != node.node_id:
            rang[stored.held.origin] += 1
    return [
        f"{node.player.name} was rung {n} times by one peer"
        for who, n in rang.items()
        if n > (EMERGENCIES if who.endswith("emergency") else ALERTS)
    ]


def _late(run: Any, reader: Any) -> list[str]:
    """Of what an honest author said and a reader took, the newest stands there."""
    wrong = []
    for author in run.honest:
        if author is reader or author.node_id in reader.disk.stopped or author.restored or reader.restored:
            continue
        log = reader.disk.followed[author.node_id]
        gone = {report_id for word, report_id, _ in reader.story if word == "purged"}
        newest: dict[tuple[str, str], Header] = {}
        for idx, entry in enumerate(author.disk.entries[: log.next]):
            if log.outcomes.get(idx, ("", None))[0] in THERE and entry.leaf:
                header = read_header(entry.leaf)
                if header.id not in gone:
                    newest[header.t, header.id] = header
        for t, report_id in newest:
            if t == "remark":
                held = reader.disk.remarks.get((report_id, author.node_id, "exposure"))
                if held is None or held.raw not in run.remarked.get((author.node_id, report_id), ()):
                    wrong.append(f"{reader.player.name} has lost a remark of {author.player.name}")
            if t == "call" and not any(
                c.by == author.node_id and read_call(c.content).report_id == report_id for c in reader.history
            ):
                wrong.append(f"{reader.player.name} has lost a call of {author.player.name}")
    return wrong


def _observed(run: Any, observer: Any) -> list[str]:
    """Who is no recipient learns hashes, sizes and times: no word, no name, and not even which report it is."""
    learnt, wrong = bytes(run.world.taps[observer.node_id]), []
    meant = {
        read_header(entry.leaf).id
        for origin in run.honest
        for entry in origin.written
        if observer.node_id in entry.wraps
    }
    for giver in (node for node in run.nodes.values() if isinstance(node, Villain)):  # and what those tell it
        meant |= {read_header(leaf).id for _, leaf, to in giver.handed if to == observer.node_id}
        meant |= {passing.report_id for passing in giver.passings if observer.node_id in passing.to}
        meant |= {about(entry.leaf)[0] for entry in giver.disk.entries if observer.node_id in entry.to}
    for origin, report_id, _ in run.published:
        if origin in run.thieves:
            continue  # he who has its keys may tell whom he likes
        if report_id not in meant and report_id.encode() in learnt:
            wrong.append(f"{observer.player.name} learnt of {report_id} of {run.nodes[origin].player.name}")
    if any(said in learnt for texts in run.published.values() for raw in texts for said in (raw[:200],)):
        wrong.append(f"{observer.player.name} read a report on the wire")
    return wrong
