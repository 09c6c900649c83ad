"""How a node in the simulation is a witness, compares heads, and checks its own log before it signs.

The order of calls is the product's (`services/witnessing.py`, `gossip.py`, `self_check.py`); what decides is the core's.
"""

from collections.abc import Callable, Generator, Mapping
from typing import Any

from tests.simulation.cast import Player
from tests.simulation.state import Cosigned, Disk, Entry
from tests.simulation.world import Request, World

from tocsin_federation.checkpoint import (
    Checkpoint,
    checkpoint_text,
    note_lines,
    open_checkpoint,
    parse_checkpoint_text,
)
from tocsin_federation.cosignature import cosign, cosignatures, read_lines, with_lines
from tocsin_federation.errors import CheckpointRefused, FederationError, FramesRefused, WitnessRefused
from tocsin_federation.evidence import Evidence, contradict, read_evidence, verify_evidence, write_evidence
from tocsin_federation.following import grow, new_leaves, tiles
from tocsin_federation.gossip import read_answer, read_question, veil, write_answer, write_question
from tocsin_federation.keys import VKEY_COSIGNATURE, decode_vkey
from tocsin_federation.merkle import TILE_WIDTH, Frontier, consistency_proof, past_proof, root_of
from tocsin_federation.witness import (
    Submission,
    judge,
    open_submission,
    quorum,
    read_submission,
    write_submission,
)

PUSH_S = 5.0
GOSSIP_S = 30.0
ASKED = 2
AGAIN_S = 10.0
RESTORE_CHECK_S = 20.0
ANY_TIME = 2**62  # clocks are a million seconds off here, and decide nothing
FAULTY = 1
KINDS = frozenset({"cosign", "heads", "past", "mirror"})

Step = Generator[Any, Any, Any]


class NoAnswerError(Exception):
    """None came in time."""


class Comparing:
    """What a `Node` does beside following. `ready`: its own log is known to be whole, so it may sign."""

    world: World
    player: Player
    disk: Disk
    policies: dict[str, Any]
    node_id: str
    ready: bool
    contradicted: bool
    _work: Callable[[Step], None]
    _commit: Callable[[Callable[[], Any], Callable[[Any], None]], None]

    # What it answers -------------------------------------------------------------------------------------

    def serve_comparing(self, request: Request, answer: Callable[[bytes], None]) -> None:
        """A peer asks about heads; what cannot be answered is not."""
        try:
            match request.kind:
                case "cosign":
                    self._commit(lambda: self.cosign(request.src, request.body), answer)
                case "heads":
                    answer(self._heads(request))
                case "past":
                    leaves = self.disk.followed[request.about].leaves[: request.width]
                    if len(leaves) == request.width:
                        answer(b"".join(past_proof(leaves, request.at)))
                case _:
                    leaves = self.disk.followed[request.about].leaves
                    start = request.at * TILE_WIDTH
                    answer(b"".join(leaves[start : start + request.width]))
        except (FederationError, KeyError):
            return

    def cosign(self, src: str, body: bytes) -> bytes:
        """Inside a transaction: `add-checkpoint`, its status and what comes with it."""
        try:
            submission = read_submission(body)
            checkpoint = open_submission(submission, self._log_of(src).vkey)
            self.judge(src, submission, checkpoint)
        except WitnessRefused as exc:
            last = self.disk.cosigned.get(self._log_of(src).origin)
            return b"409 %d" % (0 if last is None else last.size) if exc.code == "conflict" else b"422 "
        self.disk.cosigned[checkpoint.origin] = Cosigned(checkpoint.size, checkpoint.root, submission.note)
        wit = decode_vkey(self.player.identity.statement.wit, VKEY_COSIGNATURE)
        at = int(self.world.now_s)
        line = cosign(checkpoint_text(checkpoint), wit.name, self.player.keys.witness, at=at)
        self.keep_line(checkpoint, self.node_id)
        return f"200 {line}\n".encode()

    def judge(self, src: str, submission: Submission, checkpoint: Checkpoint) -> None:
        """Raise WitnessRefused for what an honest witness does not cosign."""
        last = self.disk.cosigned.get(checkpoint.origin)
        before = None if last is None else Checkpoint(checkpoint.origin, last.size, last.root)
        judge(submission, checkpoint, before)
        followed = self.disk.followed.get(src)
        known = [] if followed is None else followed.leaves[: checkpoint.size]
        if len(known) == checkpoint.size and root_of(known) != checkpoint.root:
            raise WitnessRefused("inconsistent")

    def _heads(self, request: Request) -> bytes:
        question = read_question(request.body)
        heads, evidence = [], []
        for peer in self.policies:
            if veil(question.salt, self._log_of(peer).origin) not in question.logs:
                continue
            key = self._log_of(peer).vkey
            told = next(
                (
                    e
                    for e in self.disk.evidence
                    if e[0] == peer and e[1] == "log-fork" and signed_by(e[3], key)
                ),
                None,
            )
            if told is not None and peer != request.src:
                evidence.append(write_evidence(self._evidence(peer, *told[2:])))
                continue
            followed, cosigned = (
                self.disk.followed.get(peer),
                self.disk.cosigned.get(self._log_of(peer).origin),
            )
            notes = [(followed.size, followed.note)] if followed is not None and followed.note else []
            notes += [(cosigned.size, cosigned.note)] if cosigned is not None else []
            if notes:
                heads.append(max(notes)[1])
        return write_answer(heads, evidence)

    # As an origin ------------------------------------------------------------------------------------------

    def faces(self) -> list[tuple[bytes, list[bytes]]]:
        """The logs that it shows: its own, if it is honest."""
        return [(self.disk.note, [e.leaf_hash for e in self.disk.entries])]

    def push(self) -> Step:
        """Bring each checkpoint to the witnesses."""
        told: dict[tuple[str, int], int] = {}
        rests: dict[tuple[str, int], tuple[float, float]] = {}  # until when, and how long the next time
        while True:
            yield self.world.dice.uniform(PUSH_S, 2 * PUSH_S)
            for face, (note, leaves) in enumerate(self.faces() if self.ready else []):
                for peer in self.policies:
                    until_s, rest_s = rests.get((peer, face), (0.0, PUSH_S))
                    owed = told.get((peer, face), -1) < len(leaves) and self.world.now_s >= until_s
                    if owed and peer not in self.disk.stopped:
                        yield from self._bring(peer, note, leaves, told, face)
                        well = told.get((peer, face), -1) == len(leaves)
                        rest_s = PUSH_S if well else min(2 * rest_s, GOSSIP_S * 4)
                        rests[peer, face] = self.world.now_s if well else self.world.now_s + rest_s, rest_s

    def _bring(
        self, peer: str, note: bytes, leaves: list[bytes], told: dict[tuple[str, int], int], face: int
    ) -> Step:
        old = max(0, min(told.get((peer, face), 0), len(leaves)))
        body = write_submission(Submission(old, tuple(consistency_proof(leaves, old)), note))
        try:
            answer = yield Request(self.node_id, peer, "cosign", body=body)
            status, _, rest = answer.partition(b" ")
            if status == b"409":
                told[peer, face] = min(int(rest), len(leaves) - 1)
            elif status == b"200":
                signed = with_lines(note, read_lines(rest))
                head = parse_checkpoint_text(note_lines(note)[0])  # our own
                yield lambda: self.keep_lines(self.node_id, head, signed)
                told[peer, face] = len(leaves)
        except (NoAnswerError, FederationError, ValueError):
            return

    def keep_lines(self, author: str, head: Checkpoint, note: bytes) -> None:
        """Inside a transaction: keep who has cosigned a verified head."""
        wits = {self.disk.known[p].statement.wit: p for p in self.policies if p != author}
        for found in cosignatures(note, wits, now=ANY_TIME):
            self.keep_line(head, wits[found.vkey])
            key = head.origin, head.size, head.root
            self.disk.notes[key] = with_lines(self.disk.notes.get(key, note), [found.line])

    def keep_line(self, head: Checkpoint, witness: str) -> None:
        """Inside a transaction: that witness vouches for that head."""
        self.disk.lines.setdefault((head.origin, head.size, head.root), set()).add(witness)

    def witnessed(self, origin: str) -> list[tuple[int, bytes]]:
        """(size, root) of the heads of that log that a quorum of whom it knows has cosigned."""
        required = quorum(len(self.policies), FAULTY)
        return [key[1:] for key, by in self.disk.lines.items() if key[0] == origin and len(by) >= required]

    # Comparing -----------------------------------------------------------------------------------------------

    def gossip(self) -> Step:
        """Ask a few peers what they hold of the logs that this node knows too."""
        while True:
            yield self.world.dice.uniform(GOSSIP_S / 2, GOSSIP_S)
            names = sorted(self.policies)
            for teller in self.world.dice.sample(names, min(ASKED, len(names))):
                if teller in self.disk.stopped:
                    continue
                origins = {self._log_of(p).origin: p for p in names if p != teller}
                own = self.player.identity.statement.log
                question = write_question(self.world.dice.randbytes(16), [own.origin, *origins])
                try:
                    body = yield Request(self.node_id, teller, "heads", body=question)
                    answer = read_answer(body)
                except (NoAnswerError, FederationError):
                    continue
                for raw in answer.evidence:
                    yield lambda raw=raw: self._learn(raw)
                for note in answer.heads:
                    if note.startswith(f"{own.origin}\n".encode()):
                        self._hear_of_own(note, own.vkey)
                    else:
                        yield from self._compare(teller, note, origins)

    def _hear_of_own(self, note: bytes, vkey: str) -> None:
        """A head of its own log that is longer than its database: it signs nothing before it knows more."""
        if self.ready and signed_by(note, vkey):
            head = parse_checkpoint_text(note_lines(note)[0])
            if head.origin == self.player.identity.statement.log.origin and head.size > len(
                self.disk.entries
            ):
                self.ready = False
                self._work(self.check())

    def _compare(self, teller: str, note: bytes, origins: Mapping[str, str]) -> Step:
        try:
            author = origins.get(note.partition(b"\n")[0].decode())
            if author is None or author in self.disk.stopped or note == self.disk.followed[author].note:
                return
            theirs = open_checkpoint(note, self._log_of(author).vkey)
            log = self.disk.followed[author]
            if not log.size or not theirs.size:
                return
            held, size, leaves = log.note, log.size, list(log.leaves)
            mine = parse_checkpoint_text(note_lines(held)[0])  # verified when it was kept
            path: tuple[bytes, ...] = ()
            if theirs.size > size:
                request = Request(self.node_id, teller, "past", size, theirs.size, about=author)
                body = yield request
                path = tuple(body[i : i + 32] for i in range(0, len(body), 32))
            elif theirs.size < size:
                path = tuple(past_proof(leaves, theirs.size))
            first, second = sorted((mine, theirs), key=lambda head: head.size)
            if contradict(first, second, path):
                yield lambda: self.convict(author, held, note, path)
        except (NoAnswerError, FederationError, UnicodeDecodeError):
            return

    def _learn(self, raw: bytes) -> None:
        try:
            told = read_evidence(raw)
            author = verify_evidence(told).identity.node_id
            if author in self.policies:
                self.convict(author, told.held, told.offered, told.path)
        except FederationError:
            return

    def convict(self, author: str, held: bytes, offered: bytes, path: tuple[bytes, ...]) -> None:
        """Inside a transaction: keep evidence that a stranger would believe, and stop its author."""
        try:
            open_checkpoint(
                held, self._log_of(author).vkey
            )  # a log that was given up is judged by its `void`
            verify_evidence(self._evidence(author, held, offered, path), expected=author)
        except FederationError:
            return
        found = author, "log-fork", held, offered, path
        if found not in self.disk.evidence:
            self.disk.evidence.append(found)
        self.disk.stopped.setdefault(author, "log-fork")

    def _evidence(self, author: str, held: bytes, offered: bytes, path: tuple[bytes, ...]) -> Evidence:
        chain = tuple(self.disk.known[author].chain)
        return Evidence(v=1, kind="fork", chain=chain, held=held, offered=offered, path=path)

    # Before it signs -----------------------------------------------------------------------------------------

    def check(self) -> Step:
        """Ask everybody for the largest head of this node's log, before anything is signed.

        Silent peers are waited for if the note beside the database is larger than that, else for a moment only.
        """
        began_s, answered, longest = self.world.now_s, set(), 0
        older = self.noted > len(self.disk.entries)
        log = self.player.identity.statement.log
        while not self.ready and not self.contradicted:
            for peer in sorted(set(self.policies) - answered):
                if not older and self.world.now_s - began_s >= RESTORE_CHECK_S:
                    break
                question = write_question(self.world.dice.randbytes(16), [log.origin])
                try:
                    body = yield Request(self.node_id, peer, "heads", body=question)
                    heads = [open_checkpoint(note, log.vkey) for note in read_answer(body).heads]
                    longest = max(longest, *(head.size for head in heads), 0)
                    for note, head in zip(read_answer(body).heads, heads, strict=True):
                        yield from self._hold_against(peer, head, note)
                except (NoAnswerError, FederationError):
                    continue
                answered.add(peer)
            late = not older and self.world.now_s - began_s >= RESTORE_CHECK_S
            whole = longest <= len(self.disk.entries) and not self.contradicted
            if (len(answered) == len(self.policies) or late) and whole:
                self.ready = True
                return
            yield AGAIN_S

    def _hold_against(self, peer: str, head: Checkpoint, note: bytes) -> Step:
        """A head of this node's own log, held by a peer: fetch what is missing before it."""
        ours = [e.leaf_hash for e in self.disk.entries]
        if head.size <= len(ours):
            self.contradicted |= root_of(ours[: head.size]) != head.root
            return
        leaves: list[bytes] = []
        for tile in tiles(len(ours), head):
            body = yield Request(self.node_id, peer, "mirror", tile.index, tile.width, about=self.node_id)
            if len(body) != 32 * tile.width:
                raise FramesRefused("frames-truncated")
            leaves += new_leaves(tile, body)
        grown = Frontier.from_bytes(grow(self.disk.frontier.to_bytes(), leaves, head))

        def adopt() -> None:
            if len(self.disk.entries) == len(ours):
                self.disk.entries += [Entry(b"", leaf, b"", {}) for leaf in leaves]
                self.disk.frontier, self.disk.note = grown, note

        yield adopt

    def _log_of(self, peer: str) -> Any:
        return self.disk.known[peer].statement.log


def signed_by(note: bytes, vkey: str) -> bool:
    """Whether that log has signed it."""
    try:
        open_checkpoint(note, vkey)
    except CheckpointRefused:
        return False
    return True
