"""A circle in the ordinary runs: people who sign manifests, nodes that share through it, who lies about it; and what must be true then.

What is drawn here comes from dice of its own, so that the rest of a run is laid out as it would be without.
"""

from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any

from tests.simulation.cast import START, bundle
from tests.simulation.node import Node
from tests.simulation.villains import Villain, new_id
from tests.simulation.world import TIMEOUT_S
from tests.support.manifests import Founders

from tocsin_federation.circle import Circle, Manifest, circle_entry_id, write_file
from tocsin_federation.keys import generate
from tocsin_federation.messages import Audience, read_header
from tocsin_schema.marking import Tlp

PLAYED = 0.3
FORGETS = 0.2
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
    if dice.random() < FORGETS:
        run.world.at(dice.uniform(100, storm_s * 0.5), lambda: _put_back(run, publish))
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
    run.world.at(dice.uniform(10, 60), lambda: _fill(run, publish))
    for bad in () if members else _bad(run):
        _bring(run, bad, founders.chain)  # nobody belongs: so nobody may adopt it, and who tells of it is bad
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
        _bring(run, bad, chain)
        run.did["forged manifests"] += 1


def _bring(run: Any, bad: Villain, chain: list[bytes]) -> None:
    facts = {"t": "circle", "id": circle_entry_id(run.assembly.id), "ver": len(chain), "tlp": Tlp.GREEN}
    content, to = write_file(chain), set(bad.policies)
    bad.post(lambda: bad.append(bad.seal(content=content, to=to, **facts)))


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


def _put_back(run: Any, publish: Any) -> None:
    """What somebody shares is lost to a backup of before, and he goes on sharing."""
    node, dice = _open_to(run), run.circle_dice
    if node is None or isinstance(node, Villain) or not node.up:
        return
    run.backups[node.node_id] = deepcopy(node.disk)
    for later_s in (0.0, dice.uniform(100, 150), dice.uniform(150, 200)):
        report_id = new_id(dice.randbytes(16))
        share = partial(publish, run, node, report_id, Tlp.GREEN.value, into=run.assembly.id)
        run.world.at(later_s, share)

    def restore() -> None:
        if node.up:
            run.did["restores"] += 1
            node.restore(deepcopy(run.backups[node.node_id]))  # the last that there is
            run.world.at(TIMEOUT_S, lambda: None if node.up else node.start())

    run.world.at(dice.uniform(20, 60), restore)


def _adopt(run: Any, _publish: Any) -> None:
    """An operator says yes to what a peer has offered."""
    node = run.circle_dice.choice(list(run.nodes.values()))
    node.post(lambda: _did(run, "adoptions", node.adopt(None, run.assembly.id)))


def _leave(run: Any, _publish: Any) -> None:
    if node := _open_to(run):
        node.post(lambda: _did(run, "leavings", node.leave(run.assembly.id)))


def _fill(run: Any, _publish: Any) -> None:
    """A person gives members what was shared before they came: all of it, and to all of them."""
    shared = [n for n in run.nodes.values() if n.disk.placed and n.way(run.assembly.id)]
    if not shared:
        return
    node = run.circle_dice.choice(shared)

    def change() -> None:
        due, filled = lacking(run, node), dict(node.fill(run.assembly.id))
        run.did["back-fills"] += len(filled)
        if due is not None and due != filled:
            run.assembly.wrong.append(f"{node.player.name} did not give members what they lack, or gave more")

    node.post(change)


def _did(run: Any, what: str, done: bool) -> None:
    run.did[what] += bool(done)


def lacking(run: Any, author: Node) -> dict[str, set[str]] | None:
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
