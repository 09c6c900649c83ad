"""Nodes that break one rule each, and which attacker gets through where they do: the judge has to see every one.

`ATTACKERS` is the table: number in THREATS.md → who plays it → the honest node's fault that would let it through → what
the judge then says. An attacker that is not here is met before there is a network; THREATS.md names the tests.
"""

from dataclasses import dataclass, replace
from typing import Any

from tests.simulation.comparing import NoAnswerError
from tests.simulation.node import Node
from tests.simulation.villains import (
    Boaster,
    Colluder,
    Crier,
    Flooder,
    Forger,
    Forker,
    GoBetween,
    Leech,
    Libeller,
    Observer,
    Shrinker,
    Timeless,
)

from tocsin_federation.calls import read_call
from tocsin_federation.errors import EntryRefused
from tocsin_federation.frames import FramesRefused, encode_frame, encode_trailer
from tocsin_federation.identity import ended_logs
from tocsin_federation.inbox import Outcome
from tocsin_schema.remark import check_remark


class Hasty(Node):
    """Moves its cursor first, and keeps what it fetched a little later."""

    def _apply(self, peer, log, opened, start, following):
        if log.next == start:
            log.next = following
            life = self._life
            self.world.at(5.0, lambda: life == self._life and self._keep(peer, log, opened, following))

    def _keep(self, peer, log, opened, following):
        reached, log.next = log.next, following - 1
        super()._apply(peer, log, opened, following - 1, following)
        log.next = reached


class Careless(Node):
    """Takes a cut answer for a whole one."""

    def _take(self, peer, log, until=None):
        try:
            yield from super()._take(peer, log, until)
        except FramesRefused:
            log.next = log.size


class Gullible(Node):
    """Takes whatever comes under an id, whoever sends it."""

    def _take_report(self, peer, came, header, report):
        stored = self.disk.reports.get(report.id)
        if stored is not None and stored.held.origin != peer and stored.held.sha256 != report.sha256:
            stored.raw = report.raw
            for log in self.disk.followed.values():
                log.kept.clear()  # of other words than were sealed it could hand on nothing
            return Outcome.STORED.value, None
        return super()._take_report(peer, came, header, report)


class Chatty(Node):
    """Hands everybody what was sealed to one."""

    def append(self, sealed):
        wraps = dict.fromkeys(self.policies, next(iter(sealed.wraps.values())))
        return super().append(replace(sealed, wraps=wraps))


class Ringer(Node):
    """Rings again when it does not know whether it has rung."""

    def _courier(self):
        while True:
            for key in [key for key, there in self.disk.alerts.items() if not there]:
                self.room.append(key)
                if self.world.dice.random() < self.world.faults.lost:
                    continue
                yield lambda key=key: self.disk.alerts.__setitem__(key, True)
            yield 5.0


class Accuser(Node):
    """Believes a single spoilt answer."""

    def _follow(self, peer):
        steps = super()._follow(peer)
        value, error = None, None
        while True:
            try:
                wanted = steps.send(value) if error is None else steps.throw(error)
            except StopIteration:
                return
            value, error = None, None
            try:
                value = yield wanted
            except NoAnswerError as exc:
                error = exc
            if isinstance(value, bytes) and self.world.dice.random() < 0.01:
                self.disk.stopped.setdefault(peer, "log-root")


class Hurried(Node):
    """Signs before it has asked anybody."""

    def start(self):
        super().start()
        self.ready = True


class Weathercock(Node):
    """A witness that forgets what it has cosigned."""

    judge = Colluder.judge


class Slanderer(Node):
    """Believes evidence unseen."""

    def _compare(self, _teller, note, origins):
        author = origins.get(note.partition(b"\n")[0].decode(errors="replace"))
        if author is not None and note != self.disk.followed[author].note:
            yield lambda: self.disk.stopped.setdefault(author, "log-fork")


class Blaming(Node):
    """Lays what a go-between spoilt to the author."""

    def apply_handed(self, peer, opened):
        for came in opened:
            if came.code in {"bad-wrap", "ciphertext-mismatch", "hash-mismatch"}:
                self.disk.stopped.setdefault(peer, came.code)
        super().apply_handed(peer, opened)


class Credulous(Node):
    """Takes remarks from whoever makes them, in whatever name."""

    def open_spoken(self, opened, policy):
        if opened.header.t != "remark":
            return super().open_spoken(opened, policy)
        said = check_remark(opened.content).remark
        if said is None:
            raise EntryRefused("content-invalid")
        return said

    def _take_remark(self, peer, header, said):
        by = next((i for i, p in self.others.items() if _identity_of(p) == said.created_by_ref), peer)
        self.disk.remarks[header.id, by, said.kind] = said
        return Outcome.STORED.value, None


class Forgiving(Node):
    """Lets an emergency that was stood down be taken up again."""

    def _take_call(self, peer, header, call, content, leaf_hash):
        from tocsin_federation.calls import emergency_id

        name = emergency_id(peer, read_call(content).key)
        standing = self.disk.calls.get(name)
        if standing is not None and standing.final:
            self.disk.calls[name] = replace(standing, final=False)
        return super()._take_call(peer, header, call, content, leaf_hash)


class Meddled(Node):
    """Takes calls about anybody's reports from anybody."""

    def _take_call(self, peer, header, call, content, leaf_hash):
        stored = self.disk.reports.get(call.report_id)
        if stored is None or stored.held.origin == self.node_id:
            return super()._take_call(peer, header, call, content, leaf_hash)
        owner, stored.held = stored.held, replace(stored.held, origin=peer)
        try:
            return super()._take_call(peer, header, call, content, leaf_hash)
        finally:
            stored.held = owner


class Alarmist(Node):
    """Rings as often as anybody cries."""

    def rings(self, _peer):
        return True

    def within_budget(self, _peer):
        return True


class Blabber(Node):
    """Serves the headers of all entries to all peers, their bodies sealed as they are."""

    def _entries(self, request, _policy):
        entries = self.disk.entries[request.at : request.at + 64]
        frames = [
            encode_frame(request.at + n, e.leaf, e.wraps.get(request.src, b""), e.ct)
            for n, e in enumerate(entries)
        ]
        return b"".join([*frames, encode_trailer(request.at + len(entries))])


class Forgetful(Node):
    """Learns that a peer has ended its log, and goes on counting what stands beyond."""

    def dispute(self, peer, identity):
        super().dispute(peer, identity)
        for log in self._past_of(peer):
            log.disputed_from, log.over = log.size, True

    def _past_of(self, peer):
        return [log for (author, _), log in self.disk.past.items() if author == peer]


class Rash(Forgetful):
    """Counts what stands in an ended log for as long as it does not know what is good of it."""

    def dispute(self, peer, identity):
        Node.dispute(self, peer, identity)
        for ended, log in zip(ended_logs(identity), self._past_of(peer), strict=True):
            if ended.good is not None and log.size < ended.good and not log.over:
                log.disputed_from = None


class Grudging(Node):
    """Stops a peer, and never looks again."""

    def look_at_stopped(self):
        yield 1e9


class Bellman(Node):
    """Rings late, and then for whatever it once wanted to ring for."""

    def waits(self, _bell):
        return False

    def _courier(self):
        while True:
            yield 60.0
            for key in [key for key, there in self.disk.alerts.items() if not there]:
                if key not in self.room:
                    self.room.append(key)
                    self.rang.append((self.world.now_s, key))
                yield lambda key=key: self.disk.alerts.__setitem__(key, True)


class Loyal(Node):
    """Keeps to the log that it knows."""

    def learn(self, peer, _body):
        return b"%d" % len(self.disk.known[peer].chain)


class Clockwatcher(Node):
    """Holds what was sealed last by its author's clock for the newest."""

    def _take_report(self, peer, came, header, report):
        seen = self.__dict__.setdefault("_dated", {})
        if seen.get(report.id, header.ts) > header.ts:
            return Outcome.SUPERSEDED.value, None
        seen[report.id] = header.ts
        return super()._take_report(peer, came, header, report)

    def seal(self, **more):
        self._skew_s = -self._skew_s  # somebody sets its clock now and then
        return super().seal(**more)


def _identity_of(player: Any) -> str:
    from tocsin_schema.ids import node_identity_id

    return str(node_identity_id(player.node_id))


@dataclass(frozen=True)
class Row:
    """`who`: villains, or the wire and the machines themselves. `fault`: what `word` is said of. `theft`: keys are stolen.

    `first`: the seed from which on it is looked for.
    """

    who: tuple[str | type[Node], ...]
    fault: type[Node]
    word: str
    theft: bool = False
    first: int = 3000


THIEF = ("a thief of online keys, in the name of whoever he robbed",)
ATTACKERS = {
    "2": Row(("the wire: lost, late, twice, again, cut, flipped",), Careless, "no outcome"),
    "3": Row((Forker,), Slanderer, "who is honest"),
    "7": Row((Forker, Shrinker), Accuser, "who is honest"),
    "9": Row((Flooder, Boaster), Alarmist, "was rung [0-9]+ times by one peer"),
    "10": Row((GoBetween,), Blaming, "who is honest"),
    "11": Row((Forger,), Gullible, "never said"),
    "11a": Row((Forger, Leech), Chatty, "above its limit|was not for it|other wraps"),
    "12": Row(("crashes between any two steps",), Hasty, "no outcome"),
    "13": Row((Colluder, Forker), Weathercock, "are witnessed"),
    "14": Row(THIEF, Forgetful, "a thief's words as its author's", theft=True),
    "23": Row(("restores of older backups",), Hurried, "another past"),
    "25": Row((Observer,), Blabber, "learnt of"),
    "26": Row((Timeless, "clocks that are days wrong, and set"), Clockwatcher, "does not hold version"),
    "27": Row((Forger,), Gullible, "never said"),
    "28": Row((Flooder, Leech), Ringer, "rung twice"),
    "29": Row((Libeller,), Credulous, "a remark of .* that it never made|under another's name"),
    "30": Row((Crier,), Forgiving, "took an emergency up again"),
}
MORE = {
    "30 about others' reports": Row((Crier,), Meddled, "about a report that is not its own"),
    "14 before the good end is known": Row(THIEF, Rash, "has passed over", theft=True),
    "14 that had its victim stopped": Row(THIEF, Grudging, "who is honest", theft=True),
    "14 whose words wait to ring": Row(THIEF, Bellman, "rung by a thief", theft=True),
    "14 that goes on": Row(THIEF, Loyal, "does not know that it has ended", theft=True),
}
