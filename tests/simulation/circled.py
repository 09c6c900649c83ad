"""What must be true of a circle at the end of a run: who could read, who knows which epoch, and who counts what."""

from collections.abc import Iterable
from typing import Any

from tests.simulation.circling import COUNTED
from tests.simulation.node import Node
from tests.simulation.villains import Villain

from tocsin_federation.messages import Header, read_header
from tocsin_schema.marking import Tlp


def circled(run: Any) -> list[str]:
    """What is wrong with what went through a circle."""
    if run.assembly is None or not run.assembly.founders.chain:
        return []
    wrong = list(run.assembly.wrong)
    for node in run.honest:
        wrong += _chains(run, node) + _sealed(run, node) + _took(run, node) + _converged(run, node)
        for reader in run.honest:
            if reader is not node:
                wrong += _counted(run, node, reader)
    return wrong + _read(run)


def roster(run: Any, author: Node, header: Header) -> frozenset[str]:
    """The members of the epoch that an honest author addressed, as it knew that."""
    epoch = header.aud.epoch or 0
    for _, word, circle in reversed(author.turns):
        if word == "learnt" and circle.id == header.aud.circle and epoch <= circle.epoch:
            manifest = run.assembly.signed.get(circle.digests[epoch])
            return frozenset(manifest.members if manifest else ())
    return frozenset()


def given_away(run: Any) -> set[tuple[str, int, str]]:
    """Report, version and node: of a circle's entries, what somebody bad handed to a member that the author had left out."""
    givers = [*(n for n in run.nodes.values() if isinstance(n, Villain)), *run.thieves.values()]
    found = (
        (read_header(leaf), to) for giver in givers for _, leaf, to in giver.handed if _names_circle(leaf)
    )
    return {(header.id, header.ver, to) for header, to in found}


def _names_circle(leaf: bytes) -> bool:
    return b'"circle":' in leaf


def _to_circle(node: Node) -> Iterable[tuple[int, Header, Any]]:
    """All that it ever addressed to a circle, in order."""
    for n, entry in enumerate(node.written):
        if _names_circle(entry.leaf):
            yield n, read_header(entry.leaf), entry


def _chains(run: Any, node: Node) -> list[str]:
    """Nobody holds a manifest that too few signed."""
    held = [d for known in node.disk.circles.values() for d in known.circle.digests]
    return (
        []
        if set(held) <= set(run.assembly.signed)
        else [f"{_name(node)} holds a manifest that too few signed"]
    )


def _sealed(run: Any, author: Node) -> list[str]:
    """Who shares is a member, has adopted, addresses the newest epoch that it knows, and seals to its members alone."""
    wrong, name = [], _name(author)
    count, last = 0, None
    for n, header, entry in _to_circle(author):
        run.did["circle entries"] += 1
        members = roster(run, author, header)
        if author.node_id not in members or not set(entry.to) <= members:
            wrong.append(f"{name} has sealed to a circle beyond its members")
        if author.restored:
            continue  # it has forgotten what it knew
        turns = [(word, circle) for at, word, circle in author.turns if at <= n]
        newest = [circle for word, circle in turns if word == "learnt"][-1]
        words = [word for word, _ in turns if word != "learnt"]
        if header.aud.epoch != newest.epoch:
            wrong.append(f"{name} addressed an epoch that was over")
        if "froze" in words:
            wrong.append(f"{name} shared into a circle that contradicts itself")
        elif words[-1:] != ["adopted"]:
            wrong.append(f"{name} shared into a circle that nobody there has adopted")
        if header.tlp.rank > newest.newest.max_tlp.rank:
            wrong.append(f"{name} shared above its circle")
        if author.disk.gen == 1 and (header.aud.cseq, header.aud.cprev) != (count + 1, last):
            wrong.append(f"{name} does not count what it writes to a circle")
        count, last = count + 1, entry.leaf_hash
    standing = {entry.leaf_hash for entry in author.disk.entries}  # of some it may have no more than that
    numbers = [header.aud.cseq for _, header, entry in _to_circle(author) if entry.leaf_hash in standing]
    if len(set(numbers)) < len(numbers):
        wrong.append(f"{name} has given a number of its circle twice")
    return wrong + ([] if author.restored or author.disk.gen > 1 else _gone(run, author))


def _gone(run: Any, author: Node) -> list[str]:
    """Who was taken out gets no later version of what went through the circle, while that is open to its author."""
    begun: set[str] = set()
    for n, entry in enumerate(author.written):
        header = read_header(entry.leaf)
        if header.aud.circle is not None:
            begun.add(header.id)
        if header.t != "publish" or header.tlp is Tlp.RED or header.id not in begun:
            continue
        turns = [(word, circle) for at, word, circle in author.turns if at <= n]
        circle = [circle for word, circle in turns if word == "learnt"][-1]
        words = [word for word, _ in turns if word != "learnt"]
        members = set(circle.newest.members)
        if words[-1:] != ["adopted"] or "froze" in words or author.node_id not in members:
            continue
        if set(entry.to) & (circle.ever() - members):
            return [f"{_name(author)} told who was taken out of {header.id} what came later"]
    return []


def _read(run: Any) -> list[str]:
    """Nobody beyond the members opens what honest nodes write to a circle, unless somebody bad has given it away."""
    wrong = []
    sealed = {e.leaf_hash: (a, h, e.leaf) for a in run.honest for _, h, e in _to_circle(a)}
    liars = [*(n for n in run.nodes.values() if isinstance(n, Villain)), *run.thieves.values()]
    given = {(leaf, to) for liar in liars for _, leaf, to in liar.handed}
    for reader in run.nodes.values():
        for author, header, leaf in (sealed[one] for one in reader.unsealed & set(sealed)):
            if reader.node_id not in roster(run, author, header) and (leaf, reader.node_id) not in given:
                wrong.append(f"{_name(reader)} has read what {_name(author)} wrote to a circle without it")
    return wrong


def _took(run: Any, reader: Node) -> list[str]:
    """Who takes something from a circle is a member in its epoch, and so is its author."""
    wrong = []
    for log in [*reader.disk.followed.values(), *reader.disk.past.values()]:
        for leaf, _ in log.kept.values():
            if not _names_circle(leaf):
                continue
            header = read_header(leaf)
            known = reader.disk.circles.get(header.aud.circle or b"")
            manifest = None if known is None else known.circle.at(header.aud.epoch or 0)
            if manifest is None or not {header.by, reader.node_id} <= set(manifest.members):
                wrong.append(f"{_name(reader)} took from a circle what is not of its members")
            elif header.tlp.rank > manifest.max_tlp.rank:
                wrong.append(f"{_name(reader)} took from a circle what is above it")
    return wrong


def _converged(run: Any, teller: Node) -> list[str]:
    """What somebody has adopted all members know, and those of the epoch before; or that the admins contradict themselves."""
    known = teller.disk.circles.get(run.assembly.id)
    if known is None or known.state != "adopted" or known.rival is not None or not teller.ready:
        return []
    circle, wrong = known.circle, []
    before = circle.at(circle.epoch - 1) if circle.epoch else None
    for node_id in {*circle.newest.members, *(before.members if before else ())} - {teller.node_id}:
        reader = run.nodes[node_id]
        if reader not in run.honest or reader.restored:
            continue
        theirs = reader.disk.circles.get(circle.id)
        same = theirs is not None and theirs.circle.digests[: circle.epoch + 1] == circle.digests
        if not same and (theirs is None or theirs.rival is None):
            wrong.append(f"{_name(reader)} has not learnt the epoch of {_name(teller)}")
    return wrong


def _counted(run: Any, author: Node, reader: Node) -> list[str]:
    """A reader has counted all that it was sent through a circle, and knows how many went by it."""
    if author.node_id in run.thieves or reader.restored or author.node_id in reader.disk.stopped:
        return []
    missing, doubled = reader.count(run.assembly.id, author.node_id)
    who, wrong = f"{_name(reader)} of {_name(author)} in the circle", []
    if doubled:
        wrong.append(f"{who}: believes that a number was given twice")
    if author.restored or author.disk.gen > 1:
        return wrong
    log = reader.disk.followed[author.node_id]
    places = {entry.leaf_hash: n for n, entry in enumerate(author.disk.entries)}
    handed = {leaf for giver in run.nodes.values() for _, leaf, to in giver.handed if to == reader.node_id}
    come = []
    for _, header, entry in _to_circle(author):
        outcome = log.outcomes.get(places[entry.leaf_hash], ("", "unserved"))
        held = (run.assembly.id, author.node_id, entry.leaf_hash) in reader.disk.counted
        if (reader.node_id in entry.to and outcome[1] in COUNTED) or (entry.leaf in handed and held):
            come.append(header.aud.cseq or 0)
    gaps = max(come) - min(come) + 1 - len(come) if come else 0
    run.did["gaps"] += gaps
    if gaps != missing:
        wrong.append(f"{who}: misses {missing} where {gaps} did not come")
    waits = {idx for by, _, idx in reader.disk.awaited if by == author.node_id and idx in log.outcomes}
    frozen = any(known.rival is not None for known in reader.disk.circles.values())
    if (
        any(log.outcomes[idx][1] == "circle-awaited" for idx in waits)
        and author.way(run.assembly.id)
        and not frozen
    ):
        wrong.append(f"{who}: waits for a manifest that the other has")
    return wrong


def _name(node: Node) -> str:
    return str(node.player.name)
