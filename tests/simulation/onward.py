"""Passing on in random federations: who knows whom, under which policy, with messengers that keep no rule.

The core's own code decides (`release`, `release_onward`, `admit_share`, `refuse_onward`, `admit_complaint`); here is
only who does what. `lawful` says anew, from the words of TLP 2.0 and the policies alone, what may be held in the end.
"""

from dataclasses import dataclass, field
from random import Random

from tests.simulation.cast import NAMES, START, Player, player

from tocsin_federation.checkpoint import sign_checkpoint
from tocsin_federation.envelope import seal
from tocsin_federation.errors import EntryRefused
from tocsin_federation.identity import Identity
from tocsin_federation.merkle import inclusion_proof, root_of
from tocsin_federation.messages import Header, read_header
from tocsin_federation.onward import (
    admit_complaint,
    admit_share,
    read_complaint,
    read_share,
    refuse_onward,
    release_onward,
    write_complaint,
    write_share,
)
from tocsin_federation.proof import Disclosed, Proof
from tocsin_federation.sharing import PeerPolicy, release
from tocsin_schema.marking import Tlp

LIMITS = tuple(Tlp)


@dataclass(frozen=True)
class Logged:
    """One entry of a log, with what shows it."""

    leaf: bytes
    leaf_hash: bytes
    content: bytes
    data_key: bytes
    header: Header


@dataclass
class Member:
    """A node. `careless`: it passes on whatever it holds to whomever it likes, and says of anybody that he is a client.

    `held`: report → (author, through whom; None: from the author). `accused`: NodeIDs that were proven to break a rule.
    """

    player: Player
    careless: bool
    policies: dict[str, PeerPolicy] = field(default_factory=dict)
    log: list[Logged] = field(default_factory=list)
    held: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    proofs: dict[str, Proof] = field(default_factory=dict)
    accused: set[str] = field(default_factory=set)

    @property
    def node_id(self) -> str:
        return self.player.node_id


@dataclass(frozen=True)
class Given:
    """`by` handed `report` on to `to`, as a client or not."""

    by: str
    to: str
    report: str
    client: bool


@dataclass
class Federation:
    """A run as it stands. `marking`, `first`: of each report its TLP, and whom its author gave it to."""

    dice: Random
    members: dict[str, Member]
    marking: dict[str, Tlp] = field(default_factory=dict)
    first: dict[str, tuple[str, frozenset[str]]] = field(default_factory=dict)
    given: list[Given] = field(default_factory=list)
    refused: int = 0
    unfounded: int = 0


def gather(seed: int) -> Federation:
    """Some nodes, some of them careless, each a peer of some others under policies of any kind."""
    dice = Random(seed)
    names = dice.sample(NAMES, dice.randint(3, 7))
    members = [Member(player(name), careless=dice.random() < 0.4) for name in names]
    run = Federation(dice, {member.node_id: member for member in members})
    for nth, one in enumerate(members):
        for other in members[nth + 1 :]:
            if dice.random() < 0.7:
                _meet(dice, one, other)
                _meet(dice, other, one)
    return run


def _meet(dice: Random, one: Member, other: Member) -> None:
    one.policies[other.node_id] = PeerPolicy(
        other.node_id,
        other.player.name,
        dice.choice(LIMITS),
        dice.choice(LIMITS),
        active=dice.random() < 0.9,
        onward=dice.random() < 0.8,
        client=dice.random() < 0.4,
    )


def _write(run: Federation, by: Member, kind: str, content: bytes, to: set[str], **header: object) -> Logged:
    drawn: list[bytes] = []

    def rng(length: int) -> bytes:
        drawn.append(run.dice.randbytes(length))
        return drawn[-1]

    made = seal(
        t=kind,  # type: ignore[arg-type]  # a kind of entry
        by=by.node_id,
        content=content,
        recipients={node: run.members[node].player.identity.enc_key(START) for node in to},
        now=START,
        rng=rng,
        **header,  # type: ignore[arg-type]  # the rest of a header
    )
    by.log.append(Logged(made.leaf, made.leaf_hash, content, drawn[0], read_header(made.leaf)))
    return by.log[-1]


def _proof(by: Member, entry: Logged) -> Proof:
    leaves = [each.leaf_hash for each in by.log]
    index = leaves.index(entry.leaf_hash)
    note = sign_checkpoint(
        by.player.identity.statement.log.origin, len(leaves), root_of(leaves), by.player.keys.log
    )
    disclosed = Disclosed(entry.content, entry.data_key)
    path = tuple(inclusion_proof(leaves, index))
    return Proof(entry.leaf, index, path, note, tuple(by.player.identity.chain), disclosed)


@dataclass(frozen=True)
class KnownTo:
    """What a node holds of others: its own identity, and those of its peers."""

    run: Federation
    member: Member

    def __call__(self, node_id: str) -> Identity | None:
        if node_id == self.member.node_id or node_id in self.member.policies:
            return self.run.members[node_id].player.identity
        return None


def publish(run: Federation) -> None:
    """Somebody writes a report, and gives it to whom it may."""
    dice, author = run.dice, run.dice.choice(list(run.members.values()))
    tlp = dice.choice(LIMITS)
    peers = list(author.policies.values())
    named = [p.node_id for p in peers if dice.random() < 0.6]
    to = {p.node_id for p in release(tlp, peers, requested=named).to}
    if not to:
        return
    report = f"incident--{dice.randbytes(4).hex()}-0000-4000-8000-{dice.randbytes(6).hex()}"
    entry = _write(run, author, "publish", report.encode(), to, id=report, ver=1, tlp=tlp)
    run.marking[report], run.first[report] = tlp, (author.node_id, frozenset(to))
    author.held[report] = author.node_id, None
    for node in to:
        reader = run.members[node]
        policy = reader.policies.get(author.node_id)
        if policy is not None and policy.active and tlp.rank <= policy.max_tlp_in.rank:
            reader.held[report] = author.node_id, None
            reader.proofs[report] = _proof(author, entry)


def pass_on(run: Federation) -> None:
    """Somebody passes on what he holds: as he may, or as he likes."""
    dice = run.dice
    messengers = [m for m in run.members.values() if m.proofs and m.policies]
    if not messengers:
        return
    by = dice.choice(messengers)
    report = dice.choice(sorted(by.proofs))
    proof = by.proofs[report]
    header = read_header(proof.leaf)
    client = header.tlp is Tlp.AMBER
    if by.careless:
        to = {p for p in by.policies if p != header.by and dice.random() < 0.5}
        client = dice.random() < 0.3
    else:
        release_ = release_onward(
            header, list(by.policies.values()), requested=list(by.policies), us=by.node_id
        )
        to = {p.node_id for p in release_.to}
    if not to:
        return
    told = {header.by} if header.by in by.policies and dice.random() < 0.8 else set()
    ref = next(e.leaf_hash for e in run.members[header.by].log if e.leaf == proof.leaf)
    content = write_share(proof, client=client)
    facts = {"id": report, "ver": 1, "tlp": header.tlp, "ref": ref}
    share = _write(run, by, "share", content, to | told, **facts)
    for node in sorted(to):
        run.given.append(Given(by.node_id, node, report, client))
        _read(run, run.members[node], by, share)


def _read(run: Federation, reader: Member, by: Member, entry: Logged) -> None:
    """A node gets a share; what it may not take it complains of, if it knows whom to tell."""
    policy = reader.policies[by.node_id]
    said = read_share(entry.content)
    try:
        known = KnownTo(run, reader)
        passed = admit_share(entry.header, said, policy=policy, me=reader.node_id, known=known)
        refuse_onward(passed, said, policy=policy, author=reader.policies.get(passed.author))
    except EntryRefused as exc:
        run.refused += 1
        if exc.code == "onward-forbidden":
            complain(run, reader, by, entry)
        return
    reader.held.setdefault(entry.header.id, (passed.author, by.node_id))
    if reader.careless:  # what was passed on to it, it passes on again
        reader.proofs.setdefault(entry.header.id, said.proof)


def complain(run: Federation, reader: Member, against: Member, entry: Logged) -> bool:
    """Tell the author; whether it believes it."""
    author = run.members[read_header(read_share(entry.content).proof.leaf).by]
    if author.node_id not in reader.policies or author.node_id == reader.node_id:
        return False
    proof = _proof(against, entry)
    facts = {"id": entry.header.id, "ver": 1, "tlp": entry.header.tlp, "ref": entry.leaf_hash}
    said = _write(run, reader, "complain", write_complaint(proof), {author.node_id}, **facts)
    policy = author.policies[reader.node_id]
    try:
        proven = admit_complaint(
            said.header,
            read_complaint(said.content),
            policy=policy,
            me=author.node_id,
            known=KnownTo(run, author),
        )
    except EntryRefused:
        run.unfounded += 1
        return False
    author.accused.add(proven.identity.node_id)
    return True


def slander(run: Federation) -> None:
    """Somebody complains of a share that he got, whatever it was."""
    shares = [(m, e) for m in run.members.values() for e in m.log if e.header.t == "share"]
    if not shares:
        return
    against, entry = run.dice.choice(shares)
    reader = run.members[run.dice.choice(sorted(entry.header.aud.nodes))]
    complain(run, reader, against, entry)


def lawful(run: Federation, given: Given) -> bool:
    """Whether TLP 2.0 permits what was handed on; said anew, without the product's code."""
    _, having = run.first[given.report]
    if given.by not in having:
        return False
    allowed = {"clear": True, "green": True, "amber": given.client, "amber+strict": False, "red": False}
    return allowed[run.marking[given.report].value]
