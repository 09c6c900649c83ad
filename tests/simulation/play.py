"""One run: a federation, a bad quarter of an hour, then calm; at the end, what must be true of every run.

`play(seed)` is deterministic: the same seed is the same run, event for event.
"""

from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from random import Random

from tests.simulation.assembly import Assembly
from tests.simulation.assembly import lay_out as lay_out_circle
from tests.simulation.cast import NAMES, bundle, player
from tests.simulation.circled import circled, given_away, roster
from tests.simulation.comparing import FAULTY
from tests.simulation.hearing import heard
from tests.simulation.node import Node
from tests.simulation.remembered import remembered
from tests.simulation.saying import key_of
from tests.simulation.state import Bell, Disk, Entry, Followed
from tests.simulation.taking_back import clients, due, lawful, lay_out, taken_back
from tests.simulation.theft import Thief, ended, note_lie, recover, robbed, steal
from tests.simulation.villains import VILLAINS, Villain, new_id
from tests.simulation.world import TIMEOUT_S, Faults, World

from tocsin_federation.errors import FederationError
from tocsin_federation.evidence import Evidence, read_evidence, verify_evidence, write_evidence
from tocsin_federation.merkle import root_of
from tocsin_federation.messages import read_header
from tocsin_federation.sharing import PeerPolicy
from tocsin_schema.marking import Tlp

STORM_S = 600.0
CALM_S = 600.0
SET_ASIDE = frozenset({"circle-awaited", "circle-frozen", "circle-forked"})  # `circled` says when
LIMITS = (Tlp.GREEN, Tlp.AMBER, Tlp.AMBER_STRICT, Tlp.RED)


@dataclass
class Play:
    """A run as it ended. `published`: (origin, id, version) → bytes, of honest nodes.

    `remarked`: (node, report) → remarks; `cried`: node → calls; of honest nodes, whatever became of them. `keys`: of the
    emergencies that were declared: node, report, key, whether it is a drill. `thieves`: by whom they robbed; `lies`: what
    they said in that one's name, `bells`: what of it may have rung.
    """

    seed: int
    world: World
    nodes: dict[str, Node]
    published: dict[tuple[str, str, int], set[bytes]] = field(default_factory=dict)
    remarked: dict[tuple[str, str], set[bytes]] = field(default_factory=dict)
    cried: dict[str, set[bytes]] = field(default_factory=dict)
    keys: list[tuple[str, str, str, bool]] = field(default_factory=list)
    did: Counter[str] = field(default_factory=Counter)
    thieves: dict[str, Thief] = field(default_factory=dict)
    lies: set[bytes] = field(default_factory=set)
    bells: dict[Bell, tuple[str, int]] = field(default_factory=dict)
    backups: dict[str, Disk] = field(default_factory=dict)
    dice: Random = field(default_factory=Random)  # of what `taking_back` draws
    circle_dice: Random = field(default_factory=Random)  # of what `assembly` draws
    assembly: Assembly | None = None  # of a circle, if one is played
    lowest: dict[tuple[str, str], int] = field(
        default_factory=dict
    )  # rank of the strictest ceiling that ever held

    @property
    def honest(self) -> list[Node]:
        return [n for n in self.nodes.values() if not isinstance(n, Villain)]


def play(seed: int, villains: Sequence[type[Villain]] = (), *, theft: bool = False) -> Play:
    """Play one run to its end. `villains`: who of them plays, one at least, where chance decides otherwise.

    `theft`: keys are stolen in it, where chance decides that too.
    """
    with remembered():
        return _played(seed, villains, theft=theft)


def _played(seed: int, villains: Sequence[type[Villain]], *, theft: bool) -> Play:
    world = World(seed)
    dice = world.dice
    world.faults = Faults(
        lost=dice.choice([0.0, 0.05, 0.3]),
        twice=dice.choice([0.0, 0.1]),
        again=dice.choice([0.0, 0.0, 0.05]),
        damaged=dice.choice([0.0, 0.0, 0.02]),
        delay_s=dice.choice([0.05, 2.0, 15.0]),
    )
    names = dice.sample(NAMES, dice.randint(3, 5))
    bad = dice.randint(0, 1 + (len(names) > 4))
    run = Play(seed, world, {})
    for nth, name in enumerate(names):
        kind = dice.choice(villains or VILLAINS) if nth < (max(bad, 1) if villains else bad) else Node
        node = kind(
            world, player(name), skew_s=dice.uniform(-1e6, 1e6), commit_s=dice.choice([0.0, 0.05, 5.0])
        )
        run.nodes[node.node_id] = node
    served = clients(run)
    for node in run.nodes.values():
        for other in run.nodes.values():
            if other is not node:
                limits, client = (
                    (dice.choice(LIMITS), dice.choice(LIMITS)),
                    (node.node_id, other.node_id) in served,
                )
                policy = PeerPolicy(other.node_id, other.player.name, *limits, active=True, client=client)
                node.meet(other.player, policy)
                run.lowest[node.node_id, other.node_id] = policy.max_tlp_out.rank
        node.start()
    _storm(run, theft=theft)
    lay_out(run, STORM_S, _publish)
    lay_out_circle(run, STORM_S, _publish)
    world.run(STORM_S)
    world.faults, world.parted, world.diverted = Faults(), set(), {}
    for node in run.nodes.values():
        if not node.up:
            node.start()
    world.run(STORM_S + CALM_S)
    return run


def _storm(run: Play, *, theft: bool) -> None:
    """Lay out everything that people, machines and chance do in the first ten minutes."""
    world, dice = run.world, run.world.dice
    nodes = list(run.nodes.values())
    acts = [_file, _file, _file, _revise, _revise, _withdraw, _crash, _part, _lower, _villainy]
    acts += [_remark, _declare, _go_on]
    acts += [_steal, _renew] if theft | (dice.random() < 0.25) else []
    acts += [_back_up, _back_up, _restore, _restore] if dice.random() < 0.3 else []
    if theft:
        world.at(dice.uniform(60, STORM_S * 0.6), lambda: _steal(run, max(run.honest, key=_filed)))
    for _ in range(dice.randint(10, 60)):
        act, node = dice.choice(acts), dice.choice(nodes)
        world.at(dice.uniform(0, STORM_S * 0.9), lambda act=act, node=node: act(run, node))


def _file(run: Play, node: Node) -> None:
    dice = run.world.dice
    report_id, tlp = new_id(dice.randbytes(16)), dice.choice(list(Tlp)).value
    to = dice.choice([None, None, [], dice.sample(sorted(node.policies), 1), sorted(node.policies)])
    _publish(run, node, report_id, tlp, to=to)


def _publish(
    run: Play,
    node: Node,
    report_id: str,
    tlp: str,
    *,
    to: list[str] | None = None,
    revoked: bool = False,
    into: bytes | None = None,
) -> None:
    grave = run.world.dice.random() < 0.5

    def change() -> bool:
        stored = node.disk.reports.get(report_id)
        ver = 1 if stored is None else stored.held.ver + 1
        title = f"A lie {ver}" if isinstance(node, Thief) else f"Version {ver}"
        raw = bundle(node.player.name, report_id, title, ver, tlp=tlp, grave=grave, revoked=revoked)
        if not node.file(report_id, raw, to=to, into=into):
            return False
        if isinstance(node, Villain):
            note_lie(run, node, report_id, ver, raw)
        else:
            run.published.setdefault((node.node_id, report_id, ver), set()).add(raw)
        run.did["published"] += 1
        return True

    node.post(change)


def _filed(node: Node) -> int:
    return sum(s.held.origin == node.node_id for s in node.disk.reports.values())


def _own(run: Play, node: Node) -> str | None:
    own = [i for i, s in node.disk.reports.items() if s.held.origin == node.node_id and not s.held.final]
    return run.world.dice.choice(own) if own else None


def _revise(run: Play, node: Node) -> None:
    if report_id := _own(run, node):
        _publish(run, node, report_id, run.world.dice.choice(list(Tlp)).value)


def _withdraw(run: Play, node: Node) -> None:
    if report_id := _own(run, node):
        _publish(run, node, report_id, node.disk.reports[report_id].tlp, revoked=True)


def _remark(run: Play, node: Node) -> None:
    """Somebody says of a report, an own one or a peer's, whether they are affected."""
    dice = run.world.dice
    reports = sorted(node.disk.reports)
    if reports:
        report_id, word = dice.choice(reports), dice.choice(["affected", "not-affected", "investigating"])

        def change() -> None:
            if (raw := node.remark(report_id, word)) is not None:
                run.remarked.setdefault((node.node_id, report_id), set()).add(raw)
                run.did["remarks"] += 1

        node.post(change)


def _declare(run: Play, node: Node) -> None:
    if report_id := _own(run, node):
        drill = run.world.dice.random() < 0.3
        run.keys.append((node.node_id, report_id, key_of(run.world.dice.randbytes(16)), drill))
        _cry(run, run.keys[-1], "declared")


def _go_on(run: Play, _node: Node) -> None:
    """An emergency is updated or stood down."""
    if run.keys:
        _cry(run, run.world.dice.choice(run.keys), run.world.dice.choice(["updated", "stood-down"]))


def _cry(run: Play, emergency: tuple[str, str, str, bool], state: str) -> None:
    by, report_id, key, drill = emergency
    node = run.nodes[by]

    def change() -> None:
        content = node.call(report_id, key=key, state=state, drill=drill)
        if content is not None:
            run.cried.setdefault(by, set()).add(content)
            run.did["calls"] += 1

    node.post(change)


def _crash(run: Play, node: Node) -> None:
    if node.up:
        run.did["crashes"] += 1
        node.crash()
        run.world.at(run.world.dice.uniform(0.1, 120), lambda: None if node.up else node.start())


def _back_up(run: Play, node: Node) -> None:
    run.backups[node.node_id] = deepcopy(node.disk)


def _restore(run: Play, node: Node) -> None:
    """Somebody puts the last backup in the place of what was written since."""
    if node.node_id in run.backups and node.up and not isinstance(node, Villain):
        run.did["restores"] += 1
        node.restore(deepcopy(run.backups[node.node_id]))
        run.world.at(run.world.dice.uniform(TIMEOUT_S, 120), lambda: None if node.up else node.start())


def _steal(run: Play, node: Node) -> None:
    if run.world.now_s < STORM_S * 0.7:
        steal(run, node, _publish)


def _renew(run: Play, node: Node) -> None:
    """A log's key is lost, or its node has found that it has forked its log: a new generation."""
    if node.up and not isinstance(node, Villain) and node.node_id not in run.thieves:
        recover(run, node, void=node.contradicted)


def _part(run: Play, node: Node) -> None:
    other = run.world.dice.choice(sorted(node.policies))
    pair = frozenset((node.node_id, other))
    run.world.parted.add(pair)
    run.did["partitions"] += 1
    run.world.at(run.world.dice.uniform(1, 200), lambda: run.world.parted.discard(pair))


def _lower(run: Play, node: Node) -> None:
    """An operator changes what may go to a peer, or come from it."""
    dice = run.world.dice
    other = dice.choice(sorted(node.policies))
    now = replace(node.policies[other], max_tlp_out=dice.choice(LIMITS))
    node.policies[other] = now
    key = node.node_id, other
    run.lowest[key] = min(run.lowest[key], now.max_tlp_out.rank)


def _villainy(run: Play, _node: Node) -> None:
    bad = [n for n in run.nodes.values() if isinstance(n, Villain) and n.up]
    for node in bad:
        run.did["villainies"] += 1
        node.mischief()


# What must be true ------------------------------------------------------------------------------------------


def judge(run: Play) -> list[str]:
    """What is wrong with a run; nothing, if the protocol holds."""
    with remembered():
        return _judged(run)


def _judged(run: Play) -> list[str]:
    return [
        *_lost(run), *_leaked(run), *_forged(run), *_doubled(run), *_accused(run), *_unproven(run), *_forked(run),
        *_twice_witnessed(run), *heard(run), *_handed_wrongly(run), *ended(run), *robbed(run), *taken_back(run),
        *circled(run),
    ]  # fmt: skip


def _lost(run: Play) -> list[str]:
    """Whatever an honest node sealed to an honest node that may have it has an outcome there, and the newest stands."""
    wrong = []
    for origin in run.honest:
        for reader in run.honest:
            if reader is origin or origin.node_id in reader.disk.stopped or not origin.ready:
                continue
            log = reader.disk.followed[origin.node_id]
            if log.gen != origin.disk.gen:
                wrong.append(f"{_name(reader)} does not follow the present log of {_name(origin)}")
                continue
            if log.next != len(origin.disk.entries):
                wrong.append(
                    f"{_name(reader)} is at {log.next} of {len(origin.disk.entries)} of {_name(origin)}"
                )
            newest: dict[str, int] = {}
            said: set[str] = set()  # in the log that is in force
            for part, idx, entry in [*_good(origin, reader), *_present(origin, log)]:
                if reader.node_id not in entry.wraps:
                    continue
                header = read_header(entry.leaf)
                if idx not in part.outcomes:
                    thief = run.thieves.get(origin.node_id)
                    if thief is not None and part.gen < origin.disk.gen and reader.node_id in thief.ever:
                        continue  # he who answered in its place may have passed over it
                    if origin.restored and ("took back", header.id, reader.node_id) in origin.story:
                        continue  # it forgot that it served that no more
                    if header.t == "ack" or header.tlp.rank <= run.lowest[origin.node_id, reader.node_id]:
                        wrong.append(f"an entry of {_name(origin)} has no outcome at {_name(reader)}")
                    continue
                outcome, code = part.outcomes[idx]
                if outcome == "quarantined" and code not in SET_ASIDE:
                    wrong.append(f"{_name(reader)} quarantined an honest entry of {_name(origin)}: {code}")
                if header.t in {"publish", "revoke"} and outcome in {"stored", "unchanged", "superseded"}:
                    newest[header.id] = max(newest.get(header.id, 0), header.ver)
                    said |= {header.id} if part.gen == origin.disk.gen else set()
            for report_id, ver in newest.items():
                stored = reader.disk.reports.get(report_id)
                later = (
                    stored is not None and origin.restored and stored.held.ver > ver
                )  # of an entry that it lost
                left = stored is not None and reader.disk.disputed(stored)
                if left and report_id in said:
                    wrong.append(
                        f"{_name(reader)} has passed over what {_name(origin)} said again of {report_id}"
                    )
                if stored is None and due(run, reader, origin, report_id, said=report_id in said):
                    continue
                if stored is None or (stored.held.ver != ver and not later and not left):
                    wrong.append(f"{_name(reader)} does not hold version {ver} of {report_id}")
        for key, by in ((k[:2], k[2]) for k in origin.disk.acknowledged):
            node = run.nodes[by]
            bells = {*node.disk.alerts, *node.room} if node.restored else set(node.disk.alerts)
            rang = {bell[:2] for bell in bells | node.forgotten}
            if by in run.thieves:
                continue  # what a thief acknowledged stays (THREATS.md, 14)
            if node in run.honest and (key[0], key[1]) not in rang:
                wrong.append(f"{_name(origin)} believes that {by} acknowledged what never rang there")
    return wrong


def _present(origin: Node, log: Followed) -> list[tuple[Followed, int, Entry]]:
    return [(log, idx, entry) for idx, entry in enumerate(origin.disk.entries[: log.next])]


def _good(origin: Node, reader: Node) -> list[tuple[Followed, int, Entry]]:
    """What is good of its ended logs, where the reader holds the beginning of that."""
    found = []
    for gen, own in origin.disk.ended.items():
        log = reader.disk.past.get((origin.node_id, gen))
        if log is not None and log.disputed_from != 0 and not origin.restored:
            found += [(log, idx, entry) for idx, entry in enumerate(own.entries)]
    return found


def _leaked(run: Play) -> list[str]:
    """Nobody holds what was not sealed to it, or is marked above what it takes from that peer."""
    wrong = []
    sealed: dict[tuple[str, int], set[str]] = {}
    for origin in run.honest:
        for entry in origin.written:
            header = read_header(entry.leaf)
            sealed.setdefault((header.id, header.ver), set()).update(entry.to)
            if header.aud.circle is None and set(entry.wraps) != set(header.aud.nodes):
                wrong.append(f"an entry of {_name(origin)} has other wraps than readers")
    for giver in [*run.nodes.values(), *run.thieves.values()]:
        for passing in giver.passings:
            if lawful(giver.node_id, passing):
                sealed.setdefault((passing.report_id, passing.ver), set()).update(passing.to)
    for report_id, ver, reader_id in given_away(run):
        sealed.setdefault((report_id, ver), set()).add(reader_id)
    for reader in run.nodes.values():
        for report_id, stored in reader.disk.reports.items():
            origin = run.nodes.get(stored.held.origin)
            if origin is None or origin is reader or isinstance(origin, Villain):
                continue
            if reader.disk.disputed(stored) or (isinstance(reader, Villain) and stored.raw in run.lies):
                continue
            if reader.node_id not in sealed.get((report_id, stored.held.ver), set()):
                wrong.append(f"{_name(reader)} holds {report_id}, which was not for it")
            if not isinstance(reader, Villain) and report_id not in reader.narrowed:
                limit = reader.policies[origin.node_id].max_tlp_in
                if Tlp(stored.tlp).rank > limit.rank:
                    wrong.append(f"{_name(reader)} holds {stored.tlp} above its limit {limit.value}")
    return wrong


def _handed_wrongly(run: Play) -> list[str]:
    """No honest node handed on what the author did not seal to that reader, nor TLP:RED, but to the author itself."""
    wrong = []
    for giver in run.honest:
        for author, leaf, reader in giver.handed:
            header = read_header(leaf)
            run.did["handed on"] += 1
            within = reader in header.aud.nodes
            if header.aud.circle is not None:
                within = header.tlp.rank <= Tlp.GREEN.rank and reader in roster(run, giver, header)
            if reader != author and (not within or header.tlp is Tlp.RED):
                wrong.append(f"{_name(giver)} handed on to {reader} what was not for it")
    return wrong


def _forged(run: Play) -> list[str]:
    """What is held in an honest node's name is what that node said, byte for byte."""
    wrong = []
    for reader in run.nodes.values():
        for report_id, stored in reader.disk.reports.items():
            origin = run.nodes.get(stored.held.origin)
            if origin is None or isinstance(origin, Villain):
                continue
            if reader.disk.disputed(stored) or (isinstance(reader, Villain) and stored.raw in run.lies):
                continue
            if stored.raw not in run.published.get((origin.node_id, report_id, stored.held.ver), ()):
                wrong.append(f"{_name(reader)} holds words in the name of {_name(origin)} that it never said")
    return wrong


def _doubled(run: Play) -> list[str]:
    """What rang is in the room once, and everything that should have rung is there."""
    wrong = []
    for node in run.honest:
        if node.restored:
            continue  # what it had rung was forgotten with its disk
        if len(node.room) != len(set(node.room)):
            wrong.append(f"the room of {_name(node)} was rung twice for one thing")
        silent = set(node.disk.alerts) - set(node.room)
        if not set(node.room) <= set(node.disk.alerts) or not all(map(node.waits, silent)):
            wrong.append(f"the room of {_name(node)} was not rung for everything")
    return wrong


def _accused(run: Play) -> list[str]:
    """No honest node was stopped, and no evidence speaks against one."""
    wrong = []
    for node in run.honest:
        for peer, code in node.disk.stopped.items():
            if run.nodes[peer] in run.honest:
                wrong.append(f"{_name(node)} stopped {_name(run.nodes[peer])}, who is honest: {code}")
    return wrong


def _forked(run: Play) -> list[str]:
    """Nobody holds another past of an honest node's log than that node itself, whatever was restored."""
    wrong = []
    for origin in run.honest:
        own = [entry.leaf_hash for entry in origin.disk.entries]
        for reader in run.nodes.values():
            if origin.restored and reader.node_id in origin.disk.stopped:
                continue  # whoever was convicted is asked nothing any more
            if reader is origin or reader.disk.followed[origin.node_id].gen != origin.disk.gen:
                continue
            followed, cosigned = (
                reader.disk.followed[origin.node_id],
                reader.disk.cosigned.get(origin.player.identity.statement.log.origin),
            )
            heads = [(followed.size, root_of(followed.leaves))]
            heads += [(cosigned.size, cosigned.root)] if cosigned is not None else []
            heads = [
                head for head in heads if origin.ready or head[0] <= len(own)
            ]  # it knows, and signs nothing
            if any(size > len(own) or root_of(own[:size]) != root for size, root in heads):
                wrong.append(f"{_name(reader)} holds another past of {_name(origin)} than that itself")
    return wrong


def _twice_witnessed(run: Play) -> list[str]:
    """With at most one bad witness no two heads that contradict each other have a quorum, at whichever reader."""
    wrong = []
    for author, origin in run.nodes.items():
        others = [n for n in run.nodes.values() if n is not origin]
        if sum(isinstance(n, Villain) or bool(n.restored) for n in others) > FAULTY:
            continue
        name = origin.player.identity.statement.log.origin
        heads = {head for node in run.honest if node is not origin for head in node.witnessed(name)}
        logs = [n.disk.followed[author].leaves for n in run.honest if n is not origin]
        for size, root in heads:
            for other, other_root in heads:
                same = size == other and root != other_root
                past = [log for log in logs if len(log) >= size and root_of(log[:size]) == root]
                if same or (other < size and past and root_of(past[0][:other]) != other_root):
                    wrong.append(f"two pasts of {_name(origin)} are witnessed")
    return wrong


def _unproven(run: Play) -> list[str]:
    """Whoever was stopped is convicted by its own signatures: the evidence verifies for a stranger."""
    wrong = []
    for node in run.honest:
        for peer, code, held, offered, path in node.disk.evidence:
            if code != "log-fork":
                continue
            chain = tuple(run.nodes[peer].player.identity.chain)
            told = Evidence(v=1, kind="fork", chain=chain, held=held, offered=offered, path=path)
            try:
                verify_evidence(read_evidence(write_evidence(told)), expected=peer)
            except FederationError as exc:
                wrong.append(f"{_name(node)} keeps evidence that proves nothing: {exc.code}")
        convicted = {peer for peer, code, *_ in node.disk.evidence if code in {"log-fork", "log-growth"}}
        if not set(node.disk.stopped) <= convicted:
            wrong.append(f"{_name(node)} stopped somebody without evidence")
    return wrong


def _name(node: Node) -> str:
    return node.player.name
