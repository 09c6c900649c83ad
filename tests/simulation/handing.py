"""Handing on between simulated nodes: while an author is away, those it told give it to others that it told the same.

The order of calls is the product's (`services/giving.py`, `taking.py`); what decides is the core's.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tests.simulation.cast import START, Player
from tests.simulation.comparing import NoAnswerError
from tests.simulation.state import Disk, Followed
from tests.simulation.world import Request, World

from tocsin_federation.checkpoint import open_checkpoint
from tocsin_federation.errors import FederationError, FramesRefused
from tocsin_federation.following import grow, new_leaves, tiles
from tocsin_federation.frames import Frame, FrameReader, encode_frame, encode_trailer
from tocsin_federation.merkle import TILE_WIDTH
from tocsin_federation.messages import Header, read_header
from tocsin_federation.relaying import hand_on, may_hand_on, offered
from tocsin_federation.sharing import PeerPolicy
from tocsin_schema.marking import Tlp

RELAY_AFTER_S = 20.0
ASK_OTHERS_S = 15.0
MOST = 16
HANDED = frozenset({"relay-checkpoint", "relay-tile", "relay-entries"})

Step = Generator[Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Came:
    """A frame after opening: header, what it holds and its data key, or the code that refuses it; and where it stood."""

    frame: Frame
    header: Header | None = None
    said: Any = None
    data_key: bytes = b""
    code: str | None = None
    gen: int = 1
    leaf_hash: bytes = b""


class Handing:
    """What a `Node` does for others of an author's readers, and they for it. `handed`: author, header, to whom."""

    world: World
    player: Player
    disk: Disk
    policies: dict[str, PeerPolicy]
    node_id: str
    handed: list[tuple[str, bytes, str]]
    story: list[tuple[str, str, str]]
    reached: dict[tuple[str, str], int]  # author, giver: up to where it was asked since the start
    circle_of: Callable[[Header], Any]
    _open: Callable[[str, Frame, Followed], Came]
    apply_handed: Callable[[str, list[Came]], None]

    # What it gives ---------------------------------------------------------------------------------------

    def serve_handed(self, request: Request, answer: Callable[[bytes], None]) -> None:
        """A peer asks for another's log."""
        log = self.disk.followed.get(request.about)
        if log is None or request.about in self.disk.stopped:
            return
        if request.log != self.disk.known[request.about].statement.log.origin:
            return  # one of us has not heard of its present log
        if request.kind == "relay-checkpoint":
            if log.note:
                answer(log.note)
        elif request.kind == "relay-tile":
            start = request.at * TILE_WIDTH
            if start + request.width <= log.size:
                answer(b"".join(log.leaves[start : start + request.width]))
        elif request.at <= log.size:
            answer(self._give(request))

    def _give(self, request: Request) -> bytes:
        log, policy = self.disk.followed[request.about], self.policies[request.src]
        looked = min(log.size, max(log.next, max(log.via, default=-1) + 1))
        frames = []
        for idx in sorted(i for i in log.kept if request.at <= i < looked):
            leaf, data_key = log.kept[idx]
            header = read_header(leaf)
            stored = self.disk.reports.get(header.id)
            stands = stored is not None and (stored.held.origin, stored.held.ver) == (
                request.about,
                header.ver,
            )
            if stored is None or not stands or not self.may_hand_on(header, policy):
                continue
            self.story.append(("gave", header.id, request.src))
            if len(frames) == MOST:
                return b"".join([*frames, encode_trailer(idx)])
            key = self.disk.known[request.src].enc_key(START + timedelta(seconds=self.world.now_s))
            given = hand_on(header, leaf, stored.raw, data_key, request.src, key)
            self.handed.append((request.about, leaf, request.src))
            frames.append(self.spoil(request, encode_frame(idx, given.leaf, given.wrap, given.ct)))
        return b"".join([*frames, encode_trailer(max(looked, request.at))])

    def may_hand_on(self, header: Header, policy: PeerPolicy) -> bool:
        """The rule; who is bad keeps to none."""
        stored = self.disk.reports[header.id]
        if header.by != policy.node_id and self.disk.waiting(header.id):
            return False
        return may_hand_on(header, policy, Tlp(stored.tlp), self.circle_of(header))

    def spoil(self, _request: Request, frame: bytes) -> bytes:
        """Nothing, if it is honest."""
        return frame

    # What it takes ---------------------------------------------------------------------------------------

    def ask_others(self, author: str) -> Step:
        """While `author` is away: have others hand on what it has for us."""
        for giver in self.world.dice.sample(sorted(self.policies), min(2, len(self.policies))):
            if giver == author or giver in self.disk.stopped or author in self.disk.stopped:
                continue
            try:
                yield from self._through(author, giver)
            except (NoAnswerError, FederationError):
                continue

    def _through(self, author: str, giver: str) -> Step:
        log, key = self.disk.followed[author], self.disk.known[author].statement.log
        facts = {"about": author, "log": key.origin}
        note = yield Request(self.node_id, giver, "relay-checkpoint", **facts)
        head = open_checkpoint(note, key.vkey)
        if offered(log.size, log.frontier, head) == "longer":
            leaves: list[bytes] = []
            for tile in tiles(log.size, head):
                body = yield Request(self.node_id, giver, "relay-tile", tile.index, tile.width, **facts)
                if len(body) != 32 * tile.width:
                    raise FramesRefused("frames-truncated")
                leaves += new_leaves(tile, body)
            frontier = grow(log.frontier, leaves, head)

            def keep() -> None:
                log.size, log.frontier, log.note = head.size, frontier, note
                log.leaves += leaves

            yield keep
        start = max(log.next, self.reached.get((author, giver), 0))
        while start < log.size:
            body = yield Request(self.node_id, giver, "relay-entries", start, **facts)
            reader = FrameReader(start=start)
            frames = reader.feed(body)
            following = reader.finish()
            came = [self._open(author, frame, log) for frame in frames if frame.idx < log.size]
            yield lambda c=came: self.apply_handed(author, c)
            if following <= start:
                return
            start = self.reached[author, giver] = following
