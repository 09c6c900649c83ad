"""A circle in the ordinary runs: people who sign manifests, nodes that share through it, who lies about it; and what must be true then.

What is drawn here comes from dice of its own, so that the rest of a run is laid out as it would be without.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any

from tests.simulation.cast import START, bundle
from tests.simulation.circling import COUNTED
from tests.simulation.node import Node
from tests.simulation.state import Followed
from tests.simulation.villains import Villain, new_id
from tests.support.manifests import Founders

from tocsin_federation.circle import Circle, Manifest, circle_entry_id, write_file
from tocsin_federation.keys import generate
from tocsin_federation.messages import Audience, Header, read_header
from tocsin_schema.marking import Tlp

PLAYED = 0.3
QUORUMS = ((1, 1), (2, 2), (2, 3), (2, 3), (3, 5))
MARKINGS = (Tlp.GREEN, Tlp.AMBER, Tlp.AMBER, Tlp.AMBER_STRICT)


@dataclass
class Assembly:
    """The admins of a run's circle. `bad`: the villain who is the first of them; `signed`: all that enough signed, by digest.

    `wrong`: what was seen to be wrong as it went.
    """

    founders: Founders
    bad: Villain | None
    signed: dict[bytes, Manifest] = field(default_factory=dict)
    contradicted: bool = False
    wrong: list[str] = field(default_factory=list)

    @property
    def id(self) -> bytes:
        """The circle's id."""
        return self.founders.circle.id

    def note(self, circle: Circle) -> None:
        """Its newest manifest is signed by enough."""
        self.signed[circle.digests[-1]] = circle.newest


def lay_out(run: Any, storm_s: float, publish: Any) -> None:
    """In some runs there is a circle, of which some of the nodes are members."""
    dice = run.circle_dice = Random(f"circles {run.seed}")
    if dice.random() >= PLAYED:
        return
    threshold, count = dice.choice(QUORUMS)
    bad = next((node for node in run.nodes.values() if isinstance(node, Villain)), None)
    bad = bad if threshold > 1 and dice.random() < 0.8 else None  # one alone never suffices
    admins = [generate(dice.randbytes) for _ in range(count)]
    run.assembly = Assembly(Founders(threshold=threshold, admins=admins), bad)
    run.world.at(dice.uniform(5, 40), lambda: _epoch(run, publish))
    acts = [_file] * 7 + [_revise] * 2 + [_adopt] * 4 + [_fill] * 2 + [_leave, _alone, _lie]
    for _ in range(dice.randint(12, 24)):
        act = dice.choice(acts)
        run.world.at(dice.uniform(40, storm_s * 0.9), lambda act=act: act(run, publish))
    for _ in range(dice.randint(1, 4)):
        run.world.at(dice.uniform(60, storm_s * 0.9), lambda: _epoch(run, publish))
    if bad is not None and dice.random() < 0.4:
        run.world.at(dice.uniform(200, storm_s * 0.8), lambda: _contradict(run, publish))


def _epoch(run: Any, publish: Any) -> None:
    """Enough admins sign who belongs from now on, and the operators of some members adopt it."""
    dice, founders = run.circle_dice, run.assembly.founders
    if founders.threshold < len(founders.admins) and dice.random() < 0.2:
        founders.admins[-1] = generate(dice.randbytes)  # another of the admins takes the place of the last
    members = _some(run)
    file = founders.next(members, now=_now(run), max_tlp=dice.choice(MARKINGS))
    run.assembly.note(founders.circle)
    run.did["epochs"] += 1
    for node_id in dice.sample(members, min(len(members), dice.randint(1, 3))):
        _hand(run, node_id, file, publish)


def _some(run: Any) -> list[str]:
    dice, everybody = run.circle_dice, sorted(run.nodes)
    return dice.sample(everybody, 0 if dice.random() < 0.05 else dice.randint(2, len(everybody)))


def _now(run: Any) -> Any:
    return START + timedelta(seconds=run.world.now_s)


def _hand(run: Any, node_id: str, file: bytes, publish: Any) -> None:
    """An operator adopts what he was handed, and sometimes shares at once, before anybody else has heard of it."""
    node, dice = run.nodes[node_id], run.circle_dice
    node.post(lambda: _did(run, "adoptions", node.adopt(file)))
    if dice.random() < 0.4:
        report_id, tlp, later_s = new_id(dice.randbytes(16)), dice.choice(MARKINGS).value, dice.uniform(0, 6)
        run.world.at(later_s, lambda: publish(run, node, report_id, tlp, into=run.assembly.id))


def _contradict(run: Any, publish: Any) -> None:
    """The bad admin signs two manifests of one number, and has found others to sign one of them each."""
    one, dice = run.assembly, run.circle_dice
    founders, most = one.founders, one.founders.threshold - 1
    if one.contradicted or 2 * most + 1 > len(founders.admins):
        return
    before, mine, others = list(founders.chain), founders.admins[0], founders.admins[1:]
    one.contradicted = True
    run.did["contradictions"] += 1
    for tlp, by in ((Tlp.GREEN, others[:most]), (Tlp.AMBER, others[most : 2 * most])):
        members = _some(run)
        founders.chain = [*before]
        manifest = founders.manifest(members, now=_now(run), max_tlp=tlp)
        founders.chain = [*before, founders.signed(manifest, by=[mine, *by])]
        one.note(founders.circle)
        for node_id in dice.sample(members, min(len(members), 2)):
            _hand(run, node_id, founders.file, publish)


def _alone(run: Any, _publish: Any) -> None:
    """Who is bad signs by himself that he, and whoever he likes, belongs; and that he alone may say so."""
    founders, dice = run.assembly.founders, run.circle_dice
    for bad in _bad(run):
        own = founders.admins[0] if bad is run.assembly.bad else generate(dice.randbytes)
        how = dice.choice([{"admins": [own], "threshold": 1}, {}])
        manifest = founders.manifest(sorted(run.nodes), now=_now(run), **how)
        chain = [*founders.chain, founders.signed(manifest, by=[own])]
        facts = {"t": "circle", "id": circle_entry_id(run.assembly.id), "ver": len(chain), "tlp": Tlp.GREEN}
        content, to = write_file(chain), set(bad.policies)
        bad.post(lambda b=bad, c=content, t=to, f=facts: b.append(b.seal(content=c, to=t, **f)))
        run.did["forged manifests"] += 1


def _lie(run: Any, _publish: Any) -> None:
    """Who is bad writes to the circle, member or not, under any epoch and number, to whom he likes."""
    dice, circle = run.circle_dice, run.assembly.founders.circle
    for bad in _bad(run):
        report_id, tlp, cseq = new_id(dice.randbytes(16)), dice.choice(MARKINGS), dice.randint(1, 6)
        raw = bundle(bad.player.name, report_id, "A lie", 1, tlp=tlp.value, grave=False, revoked=False)
        cprev = dice.randbytes(32) if cseq > 1 else None
        epoch = dice.randint(0, circle.epoch + 1)
        aud = Audience(circle=circle.id, epoch=epoch, cseq=cseq, cprev=cprev)
        facts = {"t": "publish", "id": report_id, "ver": 1, "tlp": tlp, "content": raw, "aud": aud}
        bad.post(lambda b=bad, f=facts: b.append(b.seal(to=set(b.policies), **f)))
        run.did["false entries"] += 1


def _bad(run: Any) -> list[Villain]:
    return [n for n in run.nodes.values() if isinstance(n, Villain) and n.up and run.assembly.founders.chain]


def _open_to(run: Any) -> Node | None:
    """Somebody who may share into the circle, if there is anybody; where it is frozen or left, somebody who tries."""
    known = [n for n in run.nodes.values() if run.assembly.id in n.disk.circles]
    able = [n for n in known if n.way(run.assembly.id)]
    return run.circle_dice.choice(able or known) if known else None


def _file(run: Any, publish: Any) -> None:
    if node := _open_to(run):
        tlp = run.circle_dice.choice([Tlp.CLEAR, *MARKINGS, Tlp.RED]).value
        publish(run, node, new_id(run.circle_dice.randbytes(16)), tlp, into=run.assembly.id)


def _revise(run: Any, publish: Any) -> None:
    """What was shared through the circle is changed, or withdrawn."""
    dice = run.circle_dice
    if node := _open_to(run):
        own = [p.report_id for p in node.disk.placed if p.report_id in node.disk.reports]
        if own:
            revoked, report_id = dice.random() < 0.2, dice.choice(own)
            tlp = node.disk.reports[report_id].tlp if revoked else dice.choice(MARKINGS).value
            publish(run, node, report_id, tlp, revoked=revoked)


def _adopt(run: Any, _publish: Any) -> None:
    """An operator says yes to what a peer has offered."""
    node = run.circle_dice.choice(list(run.nodes.values()))
    node.post(lambda: _did(run, "adoptions", node.adopt(None, run.assembly.id)))


def _leave(run: Any, _publish: Any) -> None:
    if node := _open_to(run):
        node.post(lambda: _did(run, "leavings", node.leave(run.assembly.id)))


def _fill(run: Any, _publish: Any) -> None:
    """A person gives members what was shared before they came: all of it, and to all of them."""
    node = _open_to(run)
    if node is None:
        return

    def change() -> None:
        due, filled = _lacking(run, node), dict(node.fill(run.assembly.id))
        run.did["back-fills"] += len(filled)
        if due is not None and due != filled:
            run.assembly.wrong.append(f"{_name(node)} did not give members what they lack, or gave more")

    node.post(change)


def _did(run: Any, what: str, done: bool) -> None:
    run.did[what] += bool(done)


def _lacking(run: Any, author: Node) -> dict[str, set[str]] | None:
    """What the manifest, the ceilings and the author's own log say of who lacks what; None: it has forgotten."""
    known = author.disk.circles.get(run.assembly.id)
    if isinstance(author, Villain) or author.restored or author.disk.gen > 1 or known is None:
        return None
    if not author.way(run.assembly.id) or not author.ready:
        return {}
    newest, due = run.assembly.signed[known.circle.digests[-1]], {}
    entries = [(read_header(entry.leaf), entry) for entry in author.written]
    for report_id in {h.id for h, _ in entries if h.aud.circle == run.assembly.id}:
        stored = author.disk.reports.get(report_id)
        if stored is None or Tlp(stored.tlp).rank > newest.max_tlp.rank:
            continue
        having = {
            n
            for h, e in entries
            if (h.id, h.ver) == (report_id, stored.held.ver) and h.t in {"publish", "revoke"}
            for n in e.to
        }
        may = {n for n, p in author.policies.items() if Tlp(stored.tlp).rank <= p.max_tlp_out.rank}
        if to := (set(newest.members) & may) - having - stored.taken_back:
            due[report_id] = to
    return due


# What must be true ----------------------------------------------------------------------------------------------


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
    """Report, version and member: of a circle's entries, what somebody bad handed to members that the author had left out."""
    liars = [*(n for n in run.nodes.values() if isinstance(n, Villain)), *run.thieves.values()]
    found = ((read_header(leaf), to) for liar in liars for _, leaf, to in liar.handed if _names_circle(leaf))
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
    log, entries = (
        reader.disk.followed[author.node_id],
        {e.leaf_hash: n for n, e in enumerate(author.disk.entries)},
    )
    sent = {e.leaf_hash: h.aud.cseq or 0 for _, h, e in _to_circle(author) if reader.node_id in e.to}
    come = [cseq for leaf, cseq in sent.items() if _came(run, author, reader, log, entries[leaf])]
    gaps = max(come) - min(come) + 1 - len(come) if come else 0
    run.did["gaps"] += gaps
    if gaps != missing:
        wrong.append(f"{who}: misses {missing} where {gaps} did not come")
    waits = {idx for by, _, idx in reader.disk.awaited if by == author.node_id and idx in log.outcomes}
    if any(log.outcomes[idx][1] == "circle-awaited" for idx in waits) and author.way(run.assembly.id):
        wrong.append(f"{who}: waits for a manifest that the other has")
    return wrong


def _came(run: Any, author: Node, reader: Node, log: Followed, idx: int) -> bool:
    """Whether an entry is one that a reader counts."""
    outcome, code = log.outcomes.get(idx, ("", "unserved"))
    return bool(outcome) and code in COUNTED


def _name(node: Node) -> str:
    return str(node.player.name)
