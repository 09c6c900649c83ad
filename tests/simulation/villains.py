"""Peers that lie, each in its way. They have real keys and a seat in the federation; only their conduct is bad."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
from tests.simulation.cast import START, bundle
from tests.simulation.comparing import KINDS
from tests.simulation.ending import OPEN
from tests.simulation.node import Node
from tests.simulation.saying import key_of
from tests.simulation.state import Entry
from tests.simulation.world import Request

from tocsin_federation.checkpoint import Checkpoint, sign_checkpoint
from tocsin_federation.frames import encode_frame, encode_trailer
from tocsin_federation.merkle import leaf_hash, root_of
from tocsin_federation.messages import Header
from tocsin_federation.recall import write_recall
from tocsin_federation.receipt import Told, write_receipt
from tocsin_federation.sharing import PeerPolicy
from tocsin_federation.witness import Submission
from tocsin_schema.check import check_bundle
from tocsin_schema.marking import Tlp
from tocsin_schema.remarks import exposure
from tocsin_schema.stix import node_identity


class Villain(Node):
    """Follows the others as an honest node does, so that it has what they send it, and remembers what it was served."""

    honest = False

    def mischief(self) -> None:
        """Something bad, now and then."""

    def _servable(self, entry: Entry, policy: PeerPolicy) -> bool:  # noqa: ARG002  it does not care
        return True

    def may_hand_on(self, header: Header, policy: PeerPolicy) -> bool:  # noqa: ARG002  it does not care
        return True

    def may_have(self, header: Header, nodes: list[str], marked: Tlp) -> tuple[set[str], bool]:  # noqa: ARG002  nor here
        return set(nodes) - {header.by}, self.world.dice.random() < 0.5

    def recallable(self) -> list[bytes]:
        """What it takes back falsely: entries of others, and its own that speak of others' reports."""
        return [leaf for log in self.disk.followed.values() for leaf in log.leaves] + [
            e.leaf_hash for e in self.disk.entries
        ]

    def take_back_falsely(self) -> bool:
        """Inside a transaction: a recall of what is not its to take back, and a receipt that says that it is done."""
        dice, entries = self.world.dice, self.recallable()
        if not entries:
            return False
        some = dice.sample(entries, min(5, len(entries)))
        what = dice.choice(["purge", "narrow"])
        tlp = Tlp.GREEN if what == "purge" else dice.choice(list(Tlp))
        recall = write_recall(what, some, "Mine now.", at=START, deadline=START)
        receipt = write_receipt([Told(entry, "purged", START) for entry in some])
        for kind, content in (("recall", recall), ("receipt", receipt)):
            name = f"{kind}--{key_of(dice.randbytes(16))}"
            facts = {"t": kind, "id": name, "ver": 1, "tlp": tlp, "ref": some[0]}
            self.append(self.seal(content=content, to=set(self.policies), **facts))
        return True


class Forker(Villain):
    """Shows one log to some and another to others, and now and then the other one to all: `two faces`."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._other: list[bytes] | None = None
        self._fooled: set[str] = set()

    def mischief(self) -> None:
        if self._other is None and self.disk.entries:
            self._other = [e.leaf_hash for e in self.disk.entries]
            self._other[self.world.dice.randrange(len(self._other))] = self.world.dice.randbytes(32)
            self._fooled = {p for p in self.policies if self.world.dice.random() < 0.5}
        elif self._other is not None and self.world.dice.random() < 0.3:
            self._fooled = {p for p in self.policies if self.world.dice.random() < 0.5}
            self._other.append(self.world.dice.randbytes(32))

    def serve(self, request: Request, answer: Callable[[bytes], None]) -> None:
        if self._other is None or request.src not in self._fooled or request.kind in KINDS | OPEN:
            super().serve(request, answer)
        elif request.kind == "checkpoint":
            size, root = len(self._other), root_of(self._other)
            origin = self.player.identity.statement.log.origin
            answer(self.disk.notes.get((origin, size, root), self._second()))
        elif request.kind == "tile":
            answer(b"".join(self._other[request.at * 256 : request.at * 256 + request.width]))
        else:
            answer(encode_trailer(len(self._other)))

    def faces(self) -> list[tuple[bytes, list[bytes]]]:
        return [*super().faces(), *([] if self._other is None else [(self._second(), list(self._other))])]

    def _second(self) -> bytes:
        assert self._other is not None
        origin, keys = self.player.identity.statement.log.origin, self.player.keys
        return sign_checkpoint(origin, len(self._other), root_of(self._other), keys.log)


class Colluder(Villain):
    """Cosigns whatever a log has signed, and forgets what it cosigned before."""

    def judge(self, src: str, _submission: Submission, _checkpoint: Checkpoint) -> None:
        self.disk.cosigned.pop(self.disk.known[src].statement.log.origin, None)


class Shrinker(Villain):
    """Shows old heads."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._notes: list[bytes] = []

    def serve(self, request: Request, answer: Callable[[bytes], None]) -> None:
        self._notes.append(self.disk.note)
        if request.kind == "checkpoint" and self.world.dice.random() < 0.3:
            answer(self.world.dice.choice(self._notes))
        else:
            super().serve(request, answer)


class Boaster(Villain):
    """Claims a log of a size that nobody could fetch, and answers with what no reader can use."""

    def serve(self, request: Request, answer: Callable[[bytes], None]) -> None:
        dice = self.world.dice
        if request.kind == "checkpoint" and dice.random() < 0.2:
            origin = self.player.identity.statement.log.origin
            answer(sign_checkpoint(origin, 10**12, bytes(32), self.player.keys.log))
        elif request.kind == "entries" and dice.random() < 0.5:
            huge = encode_frame(request.at, bytes(20_000), b"", b"") + encode_trailer(request.at + 1)
            still = encode_trailer(request.at)
            answer(dice.choice([huge, still, b"\xff" * 9, b"", encode_trailer(2**63)]))
        else:
            super().serve(request, answer)


class Forger(Villain):
    """Fills its log with entries that must not be taken: spoilt, stolen, squatting, mislabelled."""

    def mischief(self) -> None:
        victims = [s for s in self.disk.reports.values() if s.held.origin != self.node_id]
        ways = [self._junk, self._mislabelled, self._spoilt, self._unasked_ack, self._false_call]
        ways += [self._false_remark] if self.disk.reports else []
        ways += [self._squat, self._repeat] if victims else []
        way = self.world.dice.choice(ways)

        def change() -> None:
            now = [s for s in self.disk.reports.values() if s.held.origin != self.node_id]
            if now or not victims:
                way(self.world.dice.choice(now) if now else None)

        self.post(change)

    def _all(self) -> set[str]:
        return set(self.policies)

    def _put(self, leaf: bytes, ct: bytes, wraps: dict[str, bytes]) -> None:
        self.disk.entries.append(Entry(leaf, leaf_hash(leaf), ct, wraps))
        self.disk.frontier.append(leaf_hash(leaf))
        self._sign()

    def _junk(self, _victim: Any) -> None:
        dice = self.world.dice
        leaf = dice.choice([b"{}", b"", dice.randbytes(40), b'{"v":9}', b'{"v":1,"t":"publish"}'])
        self._put(
            leaf, dice.randbytes(dice.randrange(2000)), {p: dice.randbytes(1168) for p in self.policies}
        )

    def _report(
        self, report_id: str | None = None, *, said: Tlp = Tlp.GREEN, ver: int = 1, grave: bool = True
    ) -> Any:
        report_id = report_id or new_id(self.world.dice.randbytes(16))
        raw = bundle(self.player.name, report_id, "A lie", ver, tlp=said.value, grave=grave, revoked=False)
        return report_id, raw

    def _mislabelled(self, _victim: Any) -> None:
        """Marked otherwise inside than outside, or above what is taken from it."""
        dice = self.world.dice
        said, shown = dice.choice(list(Tlp)), dice.choice(list(Tlp))
        report_id, raw = self._report(said=said)
        self.append(self.seal(t="publish", id=report_id, ver=1, tlp=shown, content=raw, to=self._all()))

    def _spoilt(self, _victim: Any) -> None:
        """A good entry, of which one part was spoilt for one reader or for all."""
        dice = self.world.dice
        report_id, raw = self._report()
        sealed = self.seal(t="publish", id=report_id, ver=1, tlp=Tlp.GREEN, content=raw, to=self._all())
        wraps = dict(sealed.wraps)
        one = dice.choice(sorted(wraps))
        match dice.randrange(3):
            case 0:
                wraps[one] = dice.randbytes(1168)
            case 1:
                wraps[one] = wraps[dice.choice(sorted(wraps))][:-1]
            case _:
                sealed = replace(sealed, ct=sealed.ct[:-1] + bytes([sealed.ct[-1] ^ 1]))
        self.append(replace(sealed, wraps=wraps))

    def _squat(self, victim: Any) -> None:
        """Its own words under the id of somebody else's report."""
        report_id = next(i for i, s in self.disk.reports.items() if s is victim)
        _, raw = self._report(report_id, ver=victim.held.ver + 1)
        header = {"t": "publish", "id": report_id, "ver": victim.held.ver + 1, "tlp": Tlp.GREEN}
        self.append(self.seal(content=raw, to=self._all(), **header))

    def _repeat(self, victim: Any) -> None:
        """Somebody else's very bytes, as if they were its own to send, to those whom they were not for."""
        report_id = next(i for i, s in self.disk.reports.items() if s is victim)
        header = {"t": "publish", "id": report_id, "ver": victim.held.ver, "tlp": Tlp(victim.tlp)}
        if victim.tlp in {
            "clear",
            "green",
        }:  # what it was given in confidence it could always retell in its own words
            self.append(self.seal(content=victim.raw, to=self._all(), **header))

    def _false_remark(self, _victim: Any) -> None:
        """In another's name, more mildly than the report, about what it was never given, or dated beyond all others."""
        dice = self.world.dice
        if not self.disk.reports:
            return  # all was taken back meanwhile
        about = dice.choice(sorted(self.disk.reports))
        stored = self.disk.reports[about]
        report = check_bundle(stored.raw).report
        assert report is not None
        other = dice.choice(list(self.others.values()))
        name, tlp = dice.choice([(other, report.tlp), (self.player, Tlp.CLEAR), (self.player, report.tlp)])
        producer = node_identity(name.name, name.node_id)
        now = START + timedelta(days=dice.choice([0, 20_000]))
        raw = exposure(msgspec.structs.replace(report, tlp=tlp), "affected", producer=producer, now=now)
        ref = dice.choice([bytes(32), *stored.leaves.values()])
        facts = {"t": "remark", "id": about, "ver": stored.held.ver, "tlp": tlp, "ref": ref}
        self.append(self.seal(content=raw, to=self._all(), **facts))

    def _false_call(self, _victim: Any) -> None:
        """About others' reports, again after it was stood down, a drill that becomes earnest, and many at once."""
        dice = self.world.dice
        own = [i for i, s in self.disk.reports.items() if s.held.origin == self.node_id]
        about = dice.choice(
            [*self.disk.reports, new_id(dice.randbytes(16))] if dice.random() < 0.3 else own or [""]
        )
        if not about:
            return
        held = self.disk.reports.get(about)
        ver, tlp = (held.held.ver, Tlp(held.tlp)) if held is not None else (1, Tlp.GREEN)
        key, drill = key_of(dice.randbytes(16)), dice.random() < 0.5
        says = [
            (1, "declared", drill),
            (2, "stood-down", drill),
            (3, "updated", drill),
            (4, "updated", not drill),
        ]
        for seq, state, earnest in says[: dice.choice([1, 4])]:
            self.cry(
                self.words(about, ver, key=key, seq=seq, state=state, drill=earnest),
                tlp,
                self._all(),
                bytes(32),
            )

    def _unasked_ack(self, _victim: Any) -> None:
        from tocsin_federation.messages import write_acknowledgement

        report_id = self.world.dice.choice([*self.disk.reports, new_id(self.world.dice.randbytes(16))])
        content = write_acknowledgement(report_id, 1, START, revoked=False)
        self.append(
            self.seal(
                t="ack", id=report_id, ver=1, tlp=Tlp.CLEAR, content=content, to=self._all(), ref=bytes(32)
            )
        )


class GoBetween(Villain):
    """Hands on what it likes, as it likes: nothing, an old head, other entries, spoilt wraps, to whom it likes."""

    def serve_handed(self, request: Request, answer: Callable[[bytes], None]) -> None:
        dice, log = self.world.dice, self.disk.followed.get(request.about)
        lie = dice.randrange(6)
        if request.kind == "relay-entries" and lie == 0:
            answer(encode_trailer(request.at))
        elif request.kind == "relay-entries" and lie == 1 and log is not None:
            answer(encode_trailer(log.size))  # as if there were nothing
        elif request.kind == "relay-entries" and lie == 2:
            own = replace(request, log=self.player.identity.statement.log.origin)
            answer(self._entries(own, self.policies[request.src]))
        elif request.kind == "relay-checkpoint" and lie == 3:
            answer(self.disk.note)
        elif request.kind == "relay-tile" and lie == 4:
            answer(dice.randbytes(32 * request.width))
        else:
            super().serve_handed(request, answer)

    def spoil(self, _request: Request, frame: bytes) -> bytes:
        dice = self.world.dice
        if dice.random() < 0.7:
            return frame
        at = dice.randrange(13, len(frame))
        return frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1 :]


class Leech(Villain):
    """Asks for everything, whosever it is, and keeps what it gets."""

    def mischief(self) -> None:
        dice = self.world.dice
        for peer in self.policies:
            kind = dice.choice(["entries", "tile", "checkpoint", "relay-entries", "relay-entries"])
            about = dice.choice(sorted(self.policies))
            wanted = about if kind.startswith("relay") else peer
            request = Request(
                self.node_id,
                peer,
                kind,
                dice.choice([0, 1, 10**9]),
                width=dice.randrange(1, 257),
                about=about,
                log=self.disk.known[wanted].statement.log.origin,
            )
            self.world.ask(request, lambda _body: None)


class Libeller(Forger):
    """Remarks, and nothing else, in whatever name serves."""

    def mischief(self) -> None:
        if self.disk.reports:
            self.post(lambda: self._false_remark(None))


class Crier(Forger):
    """Calls, and nothing else, about whatever there is."""

    def mischief(self) -> None:
        self.post(lambda: self._false_call(None))


class Flooder(Villain):
    """Cries wolf: grave reports and emergencies by the dozen, and questions without end."""

    def mischief(self) -> None:
        def change() -> None:
            for _ in range(6):
                report_id = new_id(self.world.dice.randbytes(16))
                raw = bundle(self.player.name, report_id, "Wolf", 1, tlp="clear", grave=True, revoked=False)
                if self.file(report_id, raw, to=None):
                    key = key_of(self.world.dice.randbytes(16))
                    self.call(report_id, key=key, state="declared", drill=False)

        self.post(change)
        for peer in self.policies:
            for _ in range(20):
                origin = self.disk.known[peer].statement.log.origin
                self.world.ask(Request(self.node_id, peer, "entries", 0, log=origin), lambda _body: None)


class Observer(Leech):
    """Keeps every byte that it is answered, and asks for everybody's log from its beginning."""

    def start(self) -> None:
        self.world.taps.setdefault(self.node_id, bytearray())
        super().start()


class Timeless(Forger):
    """Its clock is a generation wrong, and whatever it signs says so."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._skew_s = self.world.dice.choice([-1e9, 1e9])


VILLAINS = (
    Forker,
    Colluder,
    Shrinker,
    Boaster,
    Forger,
    GoBetween,
    Leech,
    Flooder,
    Observer,
    Timeless,
    Libeller,
    Crier,
)


def new_id(raw: bytes) -> str:
    """A report's id from 16 bytes."""
    hexed = bytearray(raw)
    hexed[6], hexed[8] = hexed[6] & 0x0F | 0x40, hexed[8] & 0x3F | 0x80
    text = hexed.hex()
    return f"incident--{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
