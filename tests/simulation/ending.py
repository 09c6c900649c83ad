"""How a simulated node ends its log and begins the next, and what it makes of a peer that does.

The order of calls is the product's (`rotation.py`, `services/peering.py`, `ended_logs.py`, `exchange.py`, `republishing.py`);
what decides is the core's. People do what people do there: they end a log, and they look at a peer that was stopped.
"""

from base64 import b64decode, b64encode
from collections.abc import Callable, Generator
from datetime import timedelta
from functools import lru_cache
from typing import Any

from tests.simulation.cast import START, Player, renewed
from tests.simulation.comparing import NoAnswerError, signed_by
from tests.simulation.state import Disk, Ended, Entry, Followed, Stored
from tests.simulation.world import Request, World

from tocsin_federation.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from tocsin_federation.envelope import Sealed
from tocsin_federation.errors import FederationError, LogBroken
from tocsin_federation.following import grow, past_of
from tocsin_federation.identity import EndedLog, Identity, disputed_from, ended_logs, verify_chain
from tocsin_federation.merkle import Frontier, root_of
from tocsin_federation.sharing import PeerPolicy, release
from tocsin_federation.statement import Void
from tocsin_schema.marking import Tlp

TELL_S = 10.0
LOOK_S = 60.0
OPEN = frozenset({"chain", "statement"})  # asked of whoever answers, by whatever key

Step = Generator[Any, Any, Any]


class Ending:
    """What a `Node` does about generations of logs. `told`: peers that hold its newest statement, since the start.

    `learnt`: when it heard that which log has ended, by NodeID and generation: what a god would see.
    """

    world: World
    player: Player
    disk: Disk
    policies: dict[str, PeerPolicy]
    node_id: str
    ready: bool
    contradicted: bool
    noted: int
    written: list[Entry]
    learnt: dict[tuple[str, int], float]
    told: set[str]
    following: set[str]
    seal: Callable[..., Sealed]
    append: Callable[[Sealed], bytes]
    tell_recalls: Callable[[str], None]
    say_again: Callable[[], None]
    _sign: Callable[[], None]
    _work: Callable[[Step], None]
    _follow: Callable[[str], Step]
    _take: Callable[[str, Followed, int | None], Step]
    _leaves: Callable[[str, str, int, Checkpoint], Step]

    # Its own ---------------------------------------------------------------------------------------------------

    def good(self) -> int:
        """Up to where everything in its log is its own: `tocsin log verify` and its people know."""
        own = {entry.leaf_hash for entry in self.written}
        return next(
            (n for n, e in enumerate(self.disk.entries) if e.leaf_hash not in own), len(self.disk.entries)
        )

    def renew(self, *, void: bool) -> None:
        """The ceremony, with the node stopped: end the log, with a `void` at its good end unless only its key was lost."""
        leaves = [entry.leaf_hash for entry in self.disk.entries]
        size, gen = self.good(), self.player.identity.statement.log.gen
        last = Void(gen=gen, size=size, root=root_of(leaves[:size])) if void else None
        now = START + timedelta(seconds=self.world.now_s)
        self._end(size if void else len(leaves))
        self.player, _ = renewed(self.player, now=now, rng=self.world.dice.randbytes, void=last, stolen=void)
        self._begin()

    def catch_up(self) -> None:
        """After a start: a database of before the ceremony goes on where the keys are."""
        log = self.player.identity.statement.log
        if self.disk.gen < log.gen:
            ended = ended_logs(self.player.identity)[self.disk.gen - 1]
            noted = self.noted
            self._end(len(self.disk.entries) if ended.good is None else ended.good)
            self._begin()
            self.noted = noted

    def _end(self, size: int) -> None:
        """Put the present log among those that have ended, up to there."""
        entries = self.disk.entries[:size]
        log = next(s.log for s in self.player.identity.statements if s.log.gen == self.disk.gen)
        root = root_of([e.leaf_hash for e in entries])
        key = self.log_keys[self.disk.gen]
        note = sign_checkpoint(log.origin, len(entries), root, key)
        self.disk.ended[self.disk.gen] = Ended(log.origin, entries, note)

    def _begin(self) -> None:
        """Open the generation of today's keys."""
        self.disk.gen = self.player.identity.statement.log.gen
        self.log_keys[self.disk.gen] = self.player.keys.log
        self.disk.entries, self.disk.frontier = [], Frontier()
        self.contradicted, self.noted = False, 0
        for stored in self.disk.reports.values():
            if stored.held.origin == self.node_id:
                stored.earlier |= {leaf: ver for ver, leaf in stored.leaves.items()}
        self.say_again()
        self._sign()

    def log_named(self, origin: str) -> tuple[list[Entry], bytes] | None:
        """Entries and note of the log of its own that has that origin line, an ended one up to its good end (P-150)."""
        if origin == self.player.identity.statement.log.origin:
            return self.disk.entries, self.disk.note
        ended = next((e for e in self.disk.ended.values() if e.origin == origin), None)
        return None if ended is None else (ended.entries, ended.note)

    def tell_chain(self) -> Step:
        """Tell peers the newest statement until each has it (P-39)."""
        chain = chain_file(self.player.identity.chain)
        while len(self.player.identity.chain) > 1 and set(self.policies) - self.told:
            for peer in sorted(set(self.policies) - self.told):
                try:
                    answer = yield Request(self.node_id, peer, "statement", body=chain)
                except NoAnswerError:
                    continue
                if answer == b"%d" % len(self.player.identity.chain):
                    self.told.add(peer)
            yield TELL_S

    def republish(self) -> Step:
        """Put what stands in an ended log alone into the one in force, for those who had it (P-154)."""
        while True:
            if self.ready and self.disk.gen > 1 and (found := self._outside()):
                yield lambda report_id=found: self._again(report_id)
                continue
            yield TELL_S

    def _outside(self) -> str | None:
        for report_id, stored in self.disk.reports.items():
            if stored.held.origin == self.node_id and stored.gen < self.disk.gen and self._having(stored):
                return report_id
        return None

    def _having(self, stored: Stored) -> set[str]:
        peers, tlp = list(self.policies.values()), Tlp(stored.tlp)
        return {p.node_id for p in release(tlp, peers, requested=sorted(stored.audience)).to}

    def _again(self, report_id: str) -> None:
        """Inside a transaction: the version that stands, under its count, in its very bytes."""
        stored = self.disk.reports.get(report_id)
        if (
            stored is None
            or not self.ready
            or stored.gen == self.disk.gen
            or not (to := self._having(stored))
        ):
            return
        self.tell_recalls(report_id)
        ver = stored.held.ver
        sealed = self.seal(
            t="revoke" if stored.held.final else "publish",
            id=report_id,
            ver=ver,
            tlp=Tlp(stored.tlp),
            content=stored.raw,
            to=to,
            prev=stored.leaves.get(ver - 1),
        )
        stored.gen, stored.idx = self.disk.gen, len(self.disk.entries)
        stored.leaves[ver] = self.append(sealed)

    # A peer's --------------------------------------------------------------------------------------------------

    def serve_open(
        self, request: Request, answer: Callable[[bytes], None], commit: Callable[..., None]
    ) -> None:
        """The chain is everybody's to ask for, and a peer's own to tell."""
        if request.kind == "chain":
            answer(chain_file(self.player.identity.chain))
        else:
            commit(lambda: self.learn(request.src, request.body), answer)

    def learn(self, peer: str, body: bytes) -> bytes:
        """Inside a transaction: take the newer statements of a peer, and dispute what they end (P-151); how many it has."""
        known = self.disk.known[peer]
        try:
            chain = [b64decode(each, validate=True) for each in body.split(b",")]
            identity = verify_chain(chain, expected=peer, now=START, known=known)
        except (FederationError, ValueError):
            return b"%d" % len(known.chain)
        if len(identity.chain) > len(known.chain):
            self.disk.known[peer] = identity
            for log in ended_logs(identity):
                self.learnt.setdefault((peer, log.key.gen), self.world.now_s)
            self.dispute(peer, identity)
        return b"%d" % len(identity.chain)

    def dispute(self, peer: str, identity: Identity) -> None:
        """Inside a transaction: what we hold of a peer's ended logs, as far as it is not known to be good."""
        for ended in ended_logs(identity):
            log = self.disk.followed[peer]
            if log.gen == ended.key.gen:
                self.disk.past[peer, log.gen] = log
                self.disk.followed[peer] = Followed(gen=log.gen + 1)
            log = self.disk.past[peer, ended.key.gen]
            if ended.void is not None and not log.over:
                log.disputed_from = disputed_from(ended.void, log.leaves)

    def ends_before(self, peer: str, log: Followed, end: int) -> bool:
        """Inside a transaction: whether its author has ended that log, and entries up to `end` are not known to be good."""
        if self.disk.followed[peer] is log:
            return False
        void = ended_logs(self.disk.known[peer])[log.gen - 1].void
        return void is not None and end > disputed_from(void, log.leaves)

    def refresh(self, peer: str) -> Step:
        """Ask a peer for its chain: there may be a new generation (P-48)."""
        body = yield Request(self.node_id, peer, "chain")
        if body != chain_file(self.disk.known[peer].chain):
            yield lambda: self.learn(peer, body)

    def end_logs(self, peer: str) -> Step:
        """Take in what is still good of a peer's ended logs (P-152); what cannot be had now is asked for later."""
        for ended in ended_logs(self.disk.known[peer]):
            log = self.disk.past[peer, ended.key.gen]
            if not log.over:
                try:
                    yield from self._end_log(peer, ended, log)
                except (NoAnswerError, FederationError):
                    continue

    def _end_log(self, peer: str, ended: EndedLog, log: Followed) -> Step:
        good, origin, other = ended.good, ended.key.origin, False
        if good is None or log.size < good:
            note = yield Request(self.node_id, peer, "checkpoint", log=origin)
            head = open_checkpoint(note, ended.key.vkey)
            shown = ended.void is None or (head.size, head.root) == (ended.void.size, ended.void.root)
            try:
                if shown and head.size > log.size:
                    leaves = yield from self._leaves(peer, origin, log.size, head)
                    frontier = grow(log.frontier, leaves, head)

                    def keep() -> None:
                        log.size, log.frontier, log.note = head.size, frontier, note
                        log.leaves += leaves

                    yield keep
            except LogBroken:
                whole = (yield from self._leaves(peer, origin, 0, head)) if good is not None else []
                if past_of(log.frontier, whole, head) is None:
                    raise  # damage on the way is no judgement
                other = True  # what we were shown is not the beginning of what is good
        if good is not None and log.size < good and not other:
            return
        disputed = None if ended.void is None else disputed_from(ended.void, log.leaves)
        until = log.size if disputed is None else disputed
        if log.next < until:
            yield from self._take(peer, log, until)
            if log.next < until:
                return

        def end() -> None:
            log.disputed_from, log.over = disputed, True

        yield end

    # Its people ------------------------------------------------------------------------------------------------

    def look_at_stopped(self) -> Step:
        """Ask after a peer that was stopped, and take it back if it has ended the log that speaks against it (P-151)."""
        while True:
            yield LOOK_S
            for peer in sorted(self.disk.stopped):
                try:
                    yield from self.refresh(peer)
                except NoAnswerError:
                    continue
                if not self._against(peer):
                    yield lambda peer=peer: self.disk.stopped.pop(peer, None)
                    if peer not in self.following:
                        self._work(self._follow(peer))

    def _against(self, peer: str) -> bool:
        """Whether what is held against a peer speaks of the log that is in force."""
        vkey = self.disk.known[peer].statement.log.vkey
        notes = [each[3] for each in self.disk.evidence if each[0] == peer]
        return not notes or any(signed_by(note, vkey) for note in notes)


@lru_cache(maxsize=64)
def chain_file(chain: tuple[bytes, ...]) -> bytes:
    """The statements of a node, as a message."""
    return b",".join(map(b64encode, chain))
