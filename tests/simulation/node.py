"""An honest node: the protocol's core, with a disk and a crash where the product has Postgres and kill -9.

Everything that decides is the core's own (`seal`, `open_entry`, `look`, `grow`, `within`, `admit`, `decide`, `release`); here
is only the order in which it is called and what is kept, as the product's services have it.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from tests.simulation.cast import START, Player
from tests.simulation.circling import Circling
from tests.simulation.comparing import KINDS, Comparing, NoAnswerError
from tests.simulation.ending import OPEN, Ending
from tests.simulation.handing import ASK_OTHERS_S, HANDED, RELAY_AFTER_S, Came, Handing
from tests.simulation.passing import PassingOn
from tests.simulation.recalling import Recalling
from tests.simulation.saying import SPOKEN, Saying
from tests.simulation.state import Bell, Cried, Disk, Entry, Followed, Passing, Recall, Stored
from tests.simulation.world import Request, World

from tocsin_federation.checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from tocsin_federation.circle import Circle
from tocsin_federation.envelope import Sealed, open_entry, seal
from tocsin_federation.errors import CircleRefused, EntryRefused, FederationError, FramesRefused, LogBroken
from tocsin_federation.following import grow, look, new_leaves, past_of, tiles, within
from tocsin_federation.frames import Frame, FrameReader, encode_frame, encode_trailer
from tocsin_federation.inbox import Held, Outcome, decide
from tocsin_federation.merkle import TILE_WIDTH
from tocsin_federation.messages import Header, read_acknowledgement, write_acknowledgement
from tocsin_federation.sharing import PeerPolicy, admit, admit_acknowledgement, release, servable
from tocsin_schema.check import check_bundle
from tocsin_schema.marking import Tlp
from tocsin_schema.stix import node_named

POLL_S = 30.0
SWEEP_S = 150.0  # P-77: whatever was told, everybody is looked at anew
LEAST_ROUND_S = 1.0  # who answers at once is not asked more often
BACKOFF_MAX_S = 60.0
BATCH = 64
DOUBTS = 3
DAMAGE = frozenset({"hash-mismatch", "ciphertext-mismatch", "bad-wrap"})
ALERTS = 20  # of one peer in a day: no run is longer
TAKEN = frozenset({Outcome.STORED.value, Outcome.UNCHANGED.value, Outcome.SUPERSEDED.value})
RINGING = frozenset({"I", "II"})
REFUSED = b""  # what a problem document tells: no such log, or a key that is not in force

Step = Generator[Any, Any, Any]


class Node(Comparing, Ending, Handing, Saying, Recalling, PassingOn, Circling):
    """One organisation's node. `policies`: by NodeID, what it holds of each peer. `room`: what its people read.

    `signed`: the root that it signed last, by generation and size; `written`: every entry that it ever made; `rang`: when
    the room was rung for what, `learnt`: when it heard that which peer's log has ended. That is what a god would see, and no
    restore takes it back. `player`, `log_keys`: its keys are files, and no restore takes those back either.
    """

    def __init__(self, world: World, player: Player, *, skew_s: float = 0.0, commit_s: float = 0.02) -> None:
        self.world = world
        self.player = player
        self.disk = Disk()
        self.policies: dict[str, PeerPolicy] = {}
        self.room: list[Bell] = []
        self.rang: list[tuple[float, Bell]] = []
        self.signed: dict[tuple[int, int], bytes] = {}
        self.learnt: dict[tuple[str, int], float] = {}
        self.told: set[str] = set()
        self.following: set[str] = set()
        self.log_keys = {1: player.keys.log}
        self.history: list[Cried] = []
        self.written: list[Entry] = []
        self.handed: list[tuple[str, bytes, str]] = []
        self.recalls: list[tuple[Recall, bytes]] = []
        self.passings: list[Passing] = []
        self.turns: list[tuple[int, str, Circle]] = []
        self.unsealed: set[bytes] = set()
        self.story: list[tuple[str, str, str]] = []
        self.forgotten: set[Bell] = set()
        self.narrowed: set[str] = set()
        self.asks_s = 0.0
        self.noted = 0  # the size of its log, in a file beside the database
        self.restored = 0
        self.up = False
        self.ready = False
        self.contradicted = False
        self._skew_s = skew_s
        self._commit_s = commit_s
        self._life = 0  # counts crashes: what belongs to an earlier life does nothing any more
        self._waiting: list[tuple[int, Callable[[], None]]] = []
        self._writes: deque[tuple[Callable[[], Any], Callable[[Any], None]]] = deque()
        self._tries: dict[tuple[str, int], int] = {}
        self._sign()

    @property
    def node_id(self) -> str:
        return self.player.node_id

    # Life ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Come up with what is on the disk."""
        self.up = True
        self._life += 1
        self._writes.clear()
        self._waiting.clear()
        self._tries.clear()
        self.reached = {}
        self.told, self.following = set(), set()
        self.catch_up()
        self.world.servers[self.node_id] = self.serve
        for peer in self.policies:
            self._work(self._follow(peer))
        self._work(self._courier())
        self._work(self._receipts())
        self._work(self.recalling())
        self.ready = False
        self._work(self.check())
        self._work(self.push())
        self._work(self.gossip())
        self._work(self.tell_chain())
        self._work(self.republish())
        self._work(self.look_at_stopped())

    def crash(self) -> None:
        """Lose everything that is not on the disk."""
        self.up = False
        self._life += 1
        self.world.servers.pop(self.node_id, None)

    def restore(self, disk: Disk, *, whole: bool = False) -> None:
        """Have the database of some time ago (`whole`: and what stood beside it); it is down until it is started."""
        self.crash()
        self.disk = disk
        self.story.append(("restored", "", ""))
        if whole:
            self.noted = len(disk.entries)
        self.restored += 1

    def _work(self, steps: Step) -> None:
        """Drive one task: it yields a Request, a number of seconds to rest, or a transaction to commit."""
        life = self._life

        def resume(value: Any = None, error: Exception | None = None) -> None:
            if life != self._life:
                return
            try:
                wanted = steps.send(value) if error is None else steps.throw(error)
            except StopIteration:
                return
            if isinstance(wanted, Request):
                self.world.ask(
                    self._signed(wanted),
                    lambda body: resume(body) if body is not None else resume(error=NoAnswerError()),
                )
            elif callable(wanted):
                self._commit(wanted, resume)
            else:
                self.world.at(wanted, resume)

        resume()

    def _signed(self, request: Request) -> Request:
        seq = len(self.player.identity.chain) - 1
        return replace(request, seq=seq) if seq else request

    def _commit(self, change: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """One writer: changes of the disk happen whole, one after the other, each after the time that a disk takes."""
        self._writes.append((change, done))
        if len(self._writes) == 1:
            self._write_next(self._life)

    def _write_next(self, life: int) -> None:
        def written() -> None:
            if life != self._life:
                return
            change, done = self._writes[0]
            result = change()
            self._writes.popleft()
            if self._writes:
                self._write_next(life)
            done(result)

        self.world.at(self.world.dice.uniform(0, self._commit_s), written)

    # Its log ---------------------------------------------------------------------------------------------

    def post(self, change: Callable[[], Any], done: Callable[[Any], None] = lambda _: None) -> None:
        """Have a change written by the one writer; only if the node is up."""
        if self.up:
            self._commit(change, done)

    def file(self, report_id: str, raw: bytes, *, to: list[str] | None, into: bytes | None = None) -> bool:
        """Inside a transaction: file a first or a later version of an own report; False: it is not ours to version.

        `into`: the circle that a first version is for.
        """
        if not self.ready:
            return False
        report = check_bundle(raw).report
        assert report is not None
        stored = self.disk.reports.get(report_id)
        if report_id in self.disk.erased:
            return False
        self.tell_recalls(report_id)
        if stored is not None and (stored.held.origin != self.node_id or stored.held.final):
            return False
        addressed = into or self.addressed(report_id)
        way = None if addressed is None else self.way(addressed)
        if into is not None and (way is None or stored is not None):
            return False
        to = to or [] if addressed else to  # a circle's report goes to nobody else who is not named
        ver = 1 if stored is None else stored.held.ver + 1
        peers = list(self.policies.values())
        chosen = {p.node_id for p in release(report.tlp, peers, requested=to).to} if to != [] else set()
        back = set() if stored is None else stored.taken_back - set(to or ())
        chosen -= back
        if stored is not None:
            former = [p for p in stored.audience if p in self.policies]
            if report.tlp is not Tlp.RED or report.revoked:
                chosen |= {p.node_id for p in release(report.tlp, peers, requested=former).to}
            if way is not None:
                chosen = self.by_circle(way, report, chosen, set(former), back)
            if report.tlp.rank > Tlp(stored.tlp).rank:
                self.raise_marking(report_id, report.tlp, chosen)
        elif way is not None:
            chosen = self.members(way, report.tlp)
        leaves, earlier = ({}, {}) if stored is None else (dict(stored.leaves), stored.earlier)
        if chosen:
            aud = None if way is None else self.place(way, report, chosen, back)
            sealed = self.seal(
                t="revoke" if report.revoked else "publish",
                id=report_id,
                ver=ver,
                tlp=report.tlp,
                content=raw,
                to=chosen,
                prev=leaves.get(ver - 1),
                aud=aud,
            )
            leaves[ver] = self.append(sealed)
            if aud is not None:
                self.placed(aud, leaves[ver], report_id)
        held = Held(self.node_id, report.created_by_ref, ver, report.sha256, report.revoked)
        audience = chosen | (set() if stored is None else stored.audience)
        grave = report.severity.grade in RINGING
        place = self.disk.gen, len(self.disk.entries) - 1
        self.disk.reports[report_id] = Stored(
            held, raw, report.tlp.value, grave, audience, leaves, earlier, *place, None, back
        )
        self.disk.marked[report_id, ver] = report.tlp.value
        if grave and not report.revoked:
            self.disk.alerts.setdefault((report_id, ver, report.sha256), False)
        return True

    def seal(self, *, to: set[str], content: bytes, **header: Any) -> Sealed:
        """Seal to those nodes, all of them players."""
        return seal(
            by=self.node_id,
            content=content,
            recipients={
                node: self.disk.known[node].enc_key(START + timedelta(seconds=self.world.now_s))
                for node in to
            },
            now=START + timedelta(seconds=self.world.now_s + self._skew_s),
            rng=self.world.dice.randbytes,
            **header,
        )

    @property
    def others(self) -> Mapping[str, Player]:
        """Everybody who plays, by NodeID."""
        return self._others

    def meet(self, player: Player, policy: PeerPolicy) -> None:
        """Hold that peer, approved, from the start."""
        self.disk.known[player.node_id] = player.identity
        self.disk.followed[player.node_id] = Followed()
        self._others = {**getattr(self, "_others", {}), player.node_id: player}
        self.policies[player.node_id] = policy

    def append(self, sealed: Sealed) -> bytes:
        """Inside a transaction: entry and checkpoint together; then the long polls are answered."""
        entry = Entry(sealed.leaf, sealed.leaf_hash, sealed.ct, dict(sealed.wraps), frozenset(sealed.wraps))
        self.written.append(entry)
        self.disk.entries.append(entry)
        self.disk.frontier.append(sealed.leaf_hash)
        self._sign()
        for since, answer in self._waiting:
            if since != self.disk.frontier.size:
                self.world.at(0, answer)
        self._waiting = [w for w in self._waiting if w[0] == self.disk.frontier.size]
        return sealed.leaf_hash

    def _sign(self) -> None:
        size, root = self.disk.frontier.size, self.disk.frontier.root()
        key = self.disk.gen, size
        assert self.restored or self.signed.get(key, root) == root, "a node signed two roots for one size"
        self.signed[key] = root
        self.noted = size
        self.disk.note = sign_checkpoint(
            self.player.identity.statement.log.origin, size, root, self.player.keys.log
        )

    # What it answers ---------------------------------------------------------------------------------------

    def serve(self, request: Request, answer: Callable[[bytes], None]) -> None:
        """A peer asks. Who is not a peer, or was stopped, gets nothing."""
        policy = self.policies.get(request.src)
        if policy is None:
            return
        if request.kind in OPEN:
            self.serve_open(request, answer, self._commit)
        elif request.src in self.disk.stopped:
            return
        elif request.seq != len(self.disk.known[request.src].chain) - 1:
            answer(REFUSED)  # by a key that is not in force here
        elif request.kind == "checkpoint":
            self._serve_checkpoint(request, answer)
        elif request.kind in KINDS:
            self.serve_comparing(request, answer)
        elif request.kind in HANDED:
            self.serve_handed(request, answer)
        elif (log := self.log_named(request.log)) is None:
            answer(REFUSED)
        elif request.kind == "tile":
            start = request.at * TILE_WIDTH
            if start + request.width <= len(log[0]):
                answer(b"".join(e.leaf_hash for e in log[0][start : start + request.width]))
        else:
            answer(self._entries(request, policy))

    def _serve_checkpoint(self, request: Request, answer: Callable[[bytes], None]) -> None:
        life, origin = self._life, self.player.identity.statement.log.origin
        if request.log != origin:
            ended = self.log_named(request.log)
            answer(REFUSED if ended is None else ended[1])
            return

        def now() -> None:
            if life == self._life:
                key = origin, self.disk.frontier.size, self.disk.frontier.root()
                answer(self.disk.notes.get(key, self.disk.note))

        if request.at == self.disk.frontier.size and request.wait_s > 0:
            self._waiting.append((request.at, now))
            self.world.at(request.wait_s, now)
        else:
            now()

    def _entries(self, request: Request, policy: PeerPolicy) -> bytes:
        named = self.log_named(request.log)
        entries = [] if named is None else named[0]
        frames, following = [], len(entries)
        for idx in range(request.at, len(entries)):
            entry = entries[idx]
            if request.src in entry.wraps and self._servable(entry, policy):
                if len(frames) == BATCH:
                    following = idx
                    break
                frames.append(encode_frame(idx, entry.leaf, entry.wraps[request.src], entry.ct))
        return b"".join([*frames, encode_trailer(following)])

    def _servable(self, entry: Entry, policy: PeerPolicy) -> bool:
        return servable(entry.leaf, policy)

    # Following ---------------------------------------------------------------------------------------------

    def _follow(self, peer: str) -> Step:
        failures = doubts = 0
        fresh = True
        heard_s = swept_s = self.world.now_s
        self.following.add(peer)
        while peer not in self.disk.stopped:
            most_s = BACKOFF_MAX_S
            try:
                if failures or self.world.now_s > swept_s + SWEEP_S:
                    fresh, swept_s = True, self.world.now_s
                    yield from self.refresh(peer)
                began_s = self.world.now_s
                wait_s = 0.0 if fresh else POLL_S
                yield from self._round(peer, wait_s, doubted=doubts % DOUBTS == DOUBTS - 1)
                failures, doubts, fresh = 0, 0, False
                heard_s = self.world.now_s
                yield max(0.0, began_s + LEAST_ROUND_S - self.world.now_s)
                continue
            except LogBroken as exc:
                doubts += 1
                failures += 1
                if exc.proven:
                    self.following.discard(peer)
                    yield lambda code=exc.code: self.disk.stopped.setdefault(peer, code)
                    return
            except NoAnswerError:
                failures += 1
                if self.world.now_s - heard_s > RELAY_AFTER_S:
                    yield from self.ask_others(peer)
                    most_s = ASK_OTHERS_S
            except FederationError:
                failures += 1
            fresh = True
            yield self.world.dice.uniform(0.05, min(most_s, 2.0**failures / 2))
        self.following.discard(peer)

    def _round(self, peer: str, wait_s: float, *, doubted: bool) -> Step:
        yield from self.end_logs(peer)
        log, key = self.disk.followed[peer], self.disk.known[peer].statement.log
        vkey, origin = key.vkey, key.origin
        yield from self._take(peer, log)
        if wait_s == 0:
            for each in [log, *(past for (author, _), past in self.disk.past.items() if author == peer)]:
                yield from self._mend(peer, each)
        note = yield self._request(peer, "checkpoint", log.size, wait_s=wait_s, log=origin)
        if note == log.note:
            return
        head = open_checkpoint(note, vkey)
        try:
            look(log.size, log.frontier, head)
            leaves = yield from self._leaves(peer, origin, log.size, head)
            frontier = grow(log.frontier, leaves, head)
        except LogBroken as exc:
            path: tuple[bytes, ...] | None = ()
            if exc.code == "log-root":
                whole = (yield from self._leaves(peer, origin, 0, head)) if doubted else []
                path = past_of(log.frontier, whole, head)
            if path is None or not (exc.proven or path):
                raise
            convicted = LogBroken("log-fork") if path else exc
            evidence = (peer, convicted.code, log.note, note, path)
            yield lambda: self.disk.evidence.append(evidence)
            if log is not self.disk.followed[peer]:
                return  # it has ended that log meanwhile
            raise convicted from exc

        def keep() -> None:
            if self.disk.followed[peer] is not log:
                return  # its author has ended it meanwhile
            if head.size > log.size:
                log.size, log.frontier, log.note = head.size, frontier, note
                log.leaves += leaves
            if head.size == log.size:
                log.note = note
                self.keep_lines(peer, head, note)

        yield keep
        yield from self._take(peer, log)

    def _leaves(self, peer: str, origin: str, size: int, head: Checkpoint) -> Step:
        leaves: list[bytes] = []
        for tile in tiles(size, head):
            body = yield self._request(peer, "tile", tile.index, width=tile.width, log=origin)
            if len(body) != 32 * tile.width:
                raise FramesRefused("frames-truncated")
            leaves += new_leaves(tile, body)
        return leaves

    def _take(self, peer: str, log: Followed, until: int | None = None) -> Step:
        origin = self._origin(peer, log) if log.next < log.size else ""
        yield from self.obey(peer)
        while log.next < (log.size if until is None else until):
            start = log.next
            body = yield self._request(peer, "entries", start, log=origin)
            reader = FrameReader(start=start)
            frames = reader.feed(body)
            end = log.size if until is None else until
            frames, following = within(start, end, frames, reader.finish())
            opened = [self._open(peer, frame, log) for frame in frames]
            self._refuse_damage(peer, opened)
            for part, until_idx in _up_to_recalls(opened, following):
                yield lambda o=part, n=until_idx, s=log.next: self._apply(peer, log, o, s, n)
                yield from self.obey(peer)
            if log.next == start:
                return

    def _origin(self, peer: str, log: Followed) -> str:
        return next(s.log.origin for s in self.disk.known[peer].statements if s.log.gen == log.gen)

    def _mend(self, peer: str, log: Followed) -> Step:
        """Ask again for what was damaged on the way (P-224)."""
        origin = self._origin(peer, log)
        for idx in [idx for idx, (_, code) in log.outcomes.items() if code in DAMAGE]:
            body = yield self._request(peer, "entries", idx, log=origin)
            reader = FrameReader(start=idx)
            came = [self._open(peer, frame, log) for frame in reader.feed(body) if frame.idx == idx]
            if came and came[0].code not in DAMAGE:
                yield lambda came=came[0]: self._mended(peer, log, came)

    def _mended(self, peer: str, log: Followed, came: Came) -> None:
        if log.outcomes[came.frame.idx][1] in DAMAGE:
            log.outcomes[came.frame.idx] = self._judged(peer, log, came)

    def _request(self, peer: str, kind: str, at: int, **more: Any) -> Request:
        return Request(self.node_id, peer, kind, at, **more)

    def _open(self, peer: str, frame: Frame, log: Followed) -> Came:
        leaf_hash = log.leaves[frame.idx]
        at = {"gen": log.gen, "leaf_hash": leaf_hash}
        try:
            opened = open_entry(
                frame,
                expected_leaf_hash=leaf_hash,
                origin=peer,
                me=self.node_id,
                enc_private=self.player.enc,
            )
            header, policy = opened.header, self.policies[peer]
            if header.aud.circle is not None:
                self.unsealed.add(leaf_hash)
            if header.t == "ack":
                said = read_acknowledgement(opened.content)
                admit_acknowledgement(header, said, policy=policy, me=self.node_id)
                return Came(frame, header, said, **at)
            if header.t in SPOKEN:
                return Came(frame, header, self.open_spoken(opened, policy), **at)
            if header.t == "recall":
                return Came(frame, header, self.open_recall(opened, policy), **at)
            if header.t == "receipt":
                return Came(frame, header, self.open_receipt(opened, policy), **at)
            if header.t == "share":
                return Came(frame, header, self.open_share(opened, policy), **at)
            if header.t == "circle":
                return Came(frame, header, self.open_circle(opened, policy), **at)
            report = check_bundle(opened.content).report
            if report is None:
                return Came(frame, code="content-invalid", **at)
            admit(
                header,
                content_id=report.id,
                content_tlp=report.tlp,
                content_revoked=report.revoked,
                content_node=node_named(report.created_by_ref, report.objects),
                policy=policy,
                me=self.node_id,
            )
        except (EntryRefused, CircleRefused) as exc:
            return Came(frame, code=exc.code, **at)
        return Came(frame, header, report, opened.data_key, **at)

    def _refuse_damage(self, peer: str, opened: list[Came]) -> None:
        damaged = [(peer, came.frame.idx) for came in opened if came.code in DAMAGE]
        for key in damaged:
            self._tries[key] = self._tries.get(key, 0) + 1
        if any(self._tries[key] < DOUBTS for key in damaged):
            raise NoAnswerError

    def _apply(self, peer: str, log: Followed, opened: list[Came], start: int, following: int) -> None:
        """Inside a transaction: outcomes, what they store, alerts and the cursor, together."""
        if log.next != start or self.ends_before(peer, log, following):
            return  # it was taken, or its author has ended the log meanwhile
        for came in opened:
            idx = came.frame.idx
            assert idx not in log.outcomes or idx in log.via, "an entry got a second outcome"
            if idx in log.via and came.code in DAMAGE:
                continue  # the author's bytes came from another
            log.via.discard(idx)
            log.outcomes[idx] = self._judged(peer, log, came)
        log.next = following

    def apply_handed(self, peer: str, opened: list[Came]) -> None:
        """Inside a transaction: what others handed on; the cursor stays, and what is not taken has no outcome."""
        log = self.disk.followed[peer]
        for came in opened:
            idx = came.frame.idx
            if came.code is not None or idx in log.outcomes or idx < log.next:
                continue
            outcome = self._judged(peer, log, came) if came.gen == log.gen else ("", None)
            if outcome[0] in TAKEN:
                log.outcomes[idx] = outcome
                log.via.add(idx)

    def _judged(self, peer: str, log: Followed, came: Came) -> tuple[str, str | None]:
        gone = self.kept_out(peer, came)
        outcome = (Outcome.REFUSED.value, "erased") if gone else self._verdict(peer, log, came)
        self.note(peer, came, outcome)
        return outcome

    def _verdict(self, peer: str, log: Followed, came: Came) -> tuple[str, str | None]:
        if came.code is not None or came.header is None:
            code = came.code or "unknown"
            policy = EntryRefused(code).by_policy if code in EntryRefused.reasons else False
            return (Outcome.REFUSED if policy else Outcome.QUARANTINED).value, code
        if came.header.t == "ack":
            return self._take_ack(peer, came.header, came.said)
        if came.header.t in SPOKEN:
            return self.take_spoken(peer, came)
        if came.header.t == "recall":
            return self.take_recall(peer, came)
        if came.header.t == "receipt":
            return self.take_receipt(peer, came.said)
        if came.header.t == "share":
            return self.take_share(peer, came)
        if came.header.t == "circle":
            return self.take_circle(peer, came.said)
        if came.header.aud.circle is not None and (kept := self.take_addressed(peer, came)) is not None:
            return kept
        outcome = self._take_report(peer, came, came.header, came.said)
        if outcome[0] in TAKEN:
            log.kept[came.frame.idx] = came.frame.leaf, came.data_key
        return outcome

    def _take_ack(self, peer: str, header: Header, said: Any) -> tuple[str, str | None]:
        stored = self.disk.reports.get(header.id)
        ours = stored is not None and stored.held.origin == self.node_id
        if (
            not ours
            or stored is None
            or not stored.carried(header.ver, header.ref)
            or peer not in stored.audience
        ):
            return Outcome.REFUSED.value, "not-ours"
        self.disk.acknowledged.add((header.id, said.ver, peer))
        return Outcome.STORED.value, None

    def _take_report(self, peer: str, came: Came, header: Header, report: Any) -> tuple[str, str | None]:
        stored = self.disk.reports.get(report.id)
        disputed = stored is not None and self.disk.disputed(stored)
        held = None if stored is None else replace(stored.held, disputed=disputed)
        creator = report.created_by_ref
        outcome, code = decide(held, header, sha256=report.sha256, origin=peer, creator=creator)
        bell = report.id, header.ver, report.sha256
        if outcome in {Outcome.STORED, Outcome.UNCHANGED}:
            self.story.append(("took", report.id, peer))
        if stored is not None and outcome is Outcome.UNCHANGED and stored.held.origin == peer:
            if stored.through is not None:
                stored.tlp = self.disk.marked[report.id, header.ver] = report.tlp.value  # as its author says
            stored.gen, stored.idx, stored.through, stored.under = came.gen, came.frame.idx, None, None
            stored.earlier |= {leaf: ver for ver, leaf in stored.leaves.items()}
            stored.leaves[stored.held.ver] = came.leaf_hash
        if outcome is Outcome.STORED:
            if stored is not None and disputed:
                self.disk.hushed |= {b for b in self.disk.alerts if b[0] == report.id and b != bell}
                self.disk.hushed.discard(bell)
            now = Held(peer, creator, header.ver, report.sha256, report.revoked)
            before = set(self.disk.alerts)
            grave = self.ring(peer, report.id, header.ver, report)
            leaves, place = {header.ver: came.leaf_hash}, (came.gen, came.frame.idx)
            self.disk.reports[report.id] = Stored(
                now, report.raw, report.tlp.value, grave, set(), leaves, {}, *place
            )
            self.disk.marked[report.id, header.ver] = report.tlp.value
            if bell in self.disk.alerts and bell not in before:
                self.disk.untold.append((peer, report.id, header.ver, came.leaf_hash))
        return outcome.value, code

    def ring(self, peer: str, report_id: str, ver: int, report: Any) -> bool:
        """Inside a transaction: raise the alert of a version that `peer` brought, once; whether it is grave at all."""
        bell, grave = (report_id, ver, report.sha256), report.severity.grade in RINGING
        if grave and not report.revoked and bell not in self.disk.alerts and self.within_budget(peer):
            self.disk.alerts[bell] = False
        return grave

    def within_budget(self, peer: str) -> bool:
        """Inside a transaction: whether one more report of that peer rings today, and count it."""
        self.disk.rung[peer] = self.disk.rung.get(peer, 0) + 1
        return self.disk.rung[peer] <= ALERTS

    # Its people --------------------------------------------------------------------------------------------

    def _courier(self) -> Step:
        """Ring the room: under one name a message, until the room is known to have it."""
        while True:
            for key in [key for key, there in self.disk.alerts.items() if not there]:
                if key not in self.disk.alerts or self.waits(key):
                    continue
                if self.world.dice.random() < self.world.faults.lost:
                    continue
                if key not in self.room:  # the homeserver takes a repeated name for the message it has
                    self.room.append(key)
                    self.rang.append((self.world.now_s, key))
                if self.world.dice.random() < self.world.faults.lost:
                    continue  # its answer was lost: the same is sent again
                yield lambda key=key: self._rung(key)
            yield 5.0

    def _rung(self, bell: Bell) -> None:
        """Inside a transaction: the room is known to have it; what was taken back meanwhile is no alert any more."""
        if bell in self.disk.alerts:
            self.disk.alerts[bell] = True

    def waits(self, bell: Bell) -> bool:
        """Whether what an alert is about is disputed by its author now, or was never said by it."""
        stored = self.disk.reports.get(bell[0])
        return bell in self.disk.hushed or (stored is not None and self.disk.disputed(stored))

    def _receipts(self) -> Step:
        """Tell origins that somebody saw their report: entry and mark in one transaction."""
        while True:
            if self.disk.untold and self.ready:
                yield self.tell_one
            if self.disk.unanswered and self.ready:
                yield self.answer_one
            yield from self.circling()
            yield 5.0

    def tell_one(self) -> None:
        if not self.disk.untold or not self.ready:
            return
        origin, report_id, ver, ref = self.disk.untold[0]
        if origin not in self.disk.stopped:
            content = write_acknowledgement(report_id, ver, START, revoked=False)
            sealed = self.seal(
                t="ack", id=report_id, ver=ver, tlp=Tlp.CLEAR, content=content, to={origin}, ref=ref
            )
            self.append(sealed)
        self.disk.untold.pop(0)


def _up_to_recalls(came: list[Came], end: int) -> Iterator[tuple[list[Came], int]]:
    """What comes up to each recall, which is then obeyed: what its author says after it, it says of what is left."""
    part: list[Came] = []
    for each in came:
        part.append(each)
        if each.header is not None and each.header.t == "recall":
            yield part, each.frame.idx + 1
            part = []
    yield part, end
