"""A circle whose members join, leave and lose sight of each other, and an admin who acts alone: played at random.

Every node runs the rules as they are, over logs and wraps as they are; only the wire and the store are toys. What must
hold in the end: whoever an entry was wrapped for has it, nobody else opened it, and no manifest stands that too few signed.
"""

import random
from dataclasses import dataclass, field

import pytest
from tests.federation.nodes import NOW, REPORT_ID, Rng, enc_private, make
from tests.support.manifests import Founders

from tocsin_federation.circle import Circle, circle_entry_id, read_file, verify_circle, write_file
from tocsin_federation.circle_rules import (
    admit_addressed,
    admit_manifests,
    first_difference,
    release_into,
    why_closed,
)
from tocsin_federation.envelope import Opened, Sealed, open_entry, seal
from tocsin_federation.errors import CircleRefused, EntryRefused
from tocsin_federation.frames import Frame
from tocsin_federation.keys import generate
from tocsin_federation.messages import Audience
from tocsin_federation.sharing import PeerPolicy
from tocsin_schema.marking import Tlp

NAMES = ("alpha", "beta", "gamma", "delta", "epsilon")
MALLORY = "zeta"
IDS = {name: make(name)[1].node_id for name in (*NAMES, MALLORY)}
STEPS = 60


@dataclass
class Player:
    """One node. `seen`: leaf hashes that it has opened; `waits`: entries of others that wait for a manifest."""

    name: str
    circle: Circle | None = None
    adopted: bool = False
    log: list[Sealed] = field(default_factory=list)
    cursors: dict[str, int] = field(default_factory=dict)
    told: dict[str, int] = field(default_factory=dict)
    seen: set[bytes] = field(default_factory=set)
    waits: list[tuple[str, Sealed]] = field(default_factory=list)
    count: int = 0
    last: bytes | None = None

    @property
    def id(self) -> str:
        return IDS[self.name]

    def keys(self, ids):
        return {i: make(name)[1].enc_key(NOW) for name, i in IDS.items() if i in ids}

    def take(self, raw: bytes) -> None:
        """A chain from an admin or a peer: verified against what is held, and kept if it goes on from it."""
        offered = verify_circle(read_file(raw), now=NOW)
        if self.circle is not None and first_difference(self.circle, offered) is not None:
            raise CircleRefused("circle-forked")
        if self.circle is None or offered.epoch > self.circle.epoch:
            self.circle = offered

    def publish(self, dice: Rng) -> bytes | None:
        """A report to the circle, if it is open to this node."""
        state = "adopted" if self.adopted else "offered"
        if self.circle is None or why_closed(self.circle, me=self.id, state=state, now=NOW):
            return None
        peers = [PeerPolicy(i, i, Tlp.AMBER, Tlp.AMBER, True) for i in IDS.values() if i != self.id]
        to = release_into(self.circle, Tlp.GREEN, peers, me=self.id).to
        if not to:
            return None
        aud = Audience(circle=self.circle.id, epoch=self.circle.epoch, cseq=self.count + 1, cprev=self.last)
        sealed = seal(
            t="publish",
            by=self.id,
            id=REPORT_ID,
            ver=1,
            tlp=Tlp.GREEN,
            content=b"{}",
            recipients=self.keys({p.node_id for p in to}),
            now=NOW,
            rng=dice,
            aud=aud,
        )
        self.count, self.last = self.count + 1, sealed.leaf_hash
        self.log.append(sealed)
        return sealed.leaf_hash

    def tell(self, dice: Rng) -> None:
        """The manifests to members, and those of the epoch before, that do not know them."""
        if self.circle is None or not self.adopted:
            return
        before = self.circle.at(self.circle.epoch - 1) if self.circle.epoch else None
        concerned = {*self.circle.newest.members, *(before.members if before else ())} - {self.id}
        untold = {i for i in concerned if self.told.get(i, -1) < self.circle.epoch}
        if untold:
            self.log.append(
                seal(
                    t="circle",
                    by=self.id,
                    id=circle_entry_id(self.circle.id),
                    ver=self.circle.epoch + 1,
                    tlp=Tlp.AMBER,
                    content=write_file(self.circle.chain),
                    recipients=self.keys(untold),
                    now=NOW,
                    rng=dice,
                )
            )
            self.told |= dict.fromkeys(untold, self.circle.epoch)

    def pull(self, other: "Player") -> None:
        """All that is new in another's log, then what waited."""
        start = self.cursors.get(other.name, 0)
        for sealed in other.log[start:]:
            self.look(other.id, sealed)
        self.cursors[other.name] = len(other.log)
        waited, self.waits = self.waits, []
        for origin, sealed in waited:
            self.look(origin, sealed)

    def look(self, origin: str, sealed: Sealed) -> None:
        """One entry, with every wrap that there is: those of others must not open."""
        for recipient, wrap in sealed.wraps.items():
            opened, code = self.open(origin, Frame(0, sealed.leaf, wrap, sealed.ct), sealed.leaf_hash)
            assert (opened is not None) == (recipient == self.id), code
            if opened is None:
                assert code in {"bad-wrap", "not-addressed"}
            elif opened.header.t == "circle":
                self.learn(origin, opened)
            else:
                code = self.admitted(opened)
                assert code in {None, "circle-awaited"}
                if code is None:
                    self.seen.add(sealed.leaf_hash)
                else:
                    self.waits.append((origin, sealed))

    def open(self, origin: str, frame: Frame, leaf_hash: bytes) -> tuple[Opened | None, str | None]:
        """What a frame holds for this node, or why it does not open."""
        keys = enc_private(self.name)
        try:
            return (
                open_entry(frame, expected_leaf_hash=leaf_hash, origin=origin, me=self.id, enc_private=keys),
                None,
            )
        except EntryRefused as exc:
            return None, exc.code

    def learn(self, origin: str, opened: Opened) -> None:
        """Manifests that a peer tells."""
        peer = PeerPolicy(origin, origin, Tlp.AMBER, Tlp.AMBER, True)
        admit_manifests(
            opened.header, verify_circle(read_file(opened.content), now=NOW), policy=peer, me=self.id
        )
        self.take(opened.content)
        self.told[origin] = max(self.told.get(origin, -1), opened.header.ver - 1)

    def admitted(self, opened: Opened) -> str | None:
        """Why an entry to the circle is not taken now."""
        try:
            admit_addressed(opened.header, self.circle, me=self.id)
        except EntryRefused as exc:
            return exc.code
        return None


@pytest.mark.parametrize("seed", range(12))
def test_whoever_an_entry_was_wrapped_for_has_it_in_the_end_and_nobody_else_ever(seed):
    fate, dice = random.Random(seed), Rng(f"play {seed}")
    players = {name: Player(name) for name in (*NAMES, MALLORY)}
    admins = [generate(dice) for _ in range(3)]
    founders = Founders(threshold=2, admins=admins)
    wrapped: dict[bytes, set[str]] = {}
    mallory = players[MALLORY]

    def next_epoch() -> None:
        members = fate.sample(NAMES, fate.randint(1, len(NAMES)))
        file = founders.next([IDS[m] for m in members], now=NOW)
        adopter = players[fate.choice(members)]
        adopter.take(file)
        adopter.adopted = True

    def alone() -> None:
        """One admin adds Mallory, by itself or with keys of its own, and shows it to somebody."""
        own = [fate.choice(admins)]
        manifest = founders.manifest([*IDS.values()], now=NOW, admins=[*own, generate(dice)], threshold=1)
        forged = write_file([*founders.chain, founders.signed(manifest, own)])
        with pytest.raises(CircleRefused, match="not signed by enough"):
            players[fate.choice(NAMES)].take(forged)
        with pytest.raises(CircleRefused):
            mallory.take(forged)

    next_epoch()
    apart = {frozenset(fate.sample(NAMES, 2)) for _ in range(4)}
    for step in range(STEPS):
        one, other = (players[n] for n in fate.sample(NAMES, 2))
        match fate.choice(("pull", "pull", "pull", "publish", "publish", "adopt", "epoch", "alone", "wire")):
            case "pull" if frozenset((one.name, other.name)) not in apart:
                one.pull(other)
            case "publish":
                leaf = one.publish(dice)
                if leaf is not None:
                    wrapped[leaf] = set(one.log[-1].wraps)
                    assert set(one.log[-1].wraps) <= set(one.circle.newest.members) - {one.id}
            case "adopt":
                one.adopted = one.circle is not None
            case "epoch" if step % 3 == 0:
                next_epoch()
            case "alone":
                alone()
            case "wire":
                apart = {frozenset(fate.sample(NAMES, 2)) for _ in range(fate.randint(0, 6))}
        one.tell(dice)
        mallory.pull(other)
    for _ in range(len(NAMES) + 2):  # the wire is whole again, and everybody has agreed
        for one in players.values():
            one.adopted = one.circle is not None
            one.tell(dice)
            for other in players.values():
                if other is not one:
                    one.pull(other)

    true = founders.circle.digests
    for player in players.values():
        if player.circle is not None:
            assert player.circle.digests == true[: len(player.circle.digests)]
        assert player.waits == []
        assert player.seen == {leaf for leaf, to in wrapped.items() if player.id in to}
    for member in founders.circle.newest.members:
        holder = next(p for p in players.values() if p.id == member)
        assert holder.circle is not None
        assert holder.circle.epoch == founders.circle.epoch
    assert mallory.circle is None
    assert wrapped
