"""Time, chance and the wire between nodes. Everything that happens follows from the seed.

The wire is HTTP as a bad network makes it: a request or its answer may be lost, come late, twice, out of order, cut short
or with a bit turned round; two nodes may not reach each other for a while. Whoever asks learns an answer or that none came
in time, and nothing else.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

TIMEOUT_S = 20.0
AGAIN_S = 400.0


@dataclass(frozen=True)
class Faults:
    """How bad the wire is; each a probability a message, `delay_s` the most that one takes.

    `again`: that whoever sits on the line says a request again, up to `AGAIN_S` later.
    """

    lost: float = 0.0
    twice: float = 0.0
    again: float = 0.0
    damaged: float = 0.0
    delay_s: float = 0.05


@dataclass(frozen=True)
class Request:
    """What one node asks of another. `at`, `width`, `about` (a NodeID) and `body` mean what the kind makes of them.

    `log`: the origin line of the log that is asked for. `seq`: of the statement whose key has signed the request.
    """

    src: str
    dst: str
    kind: str
    at: int = 0
    width: int = 0
    wait_s: float = 0.0
    about: str = ""
    body: bytes = b""
    log: str = ""
    seq: int = 0


@dataclass
class World:
    """The clock, the dice, the wire. `servers`: by NodeID, who answers requests.

    `diverted`: who asks, whom → who answers in that one's place. `taps`: by NodeID, every byte that was ever answered to it.
    """

    seed: int
    faults: Faults = Faults()
    now_s: float = 0.0
    servers: dict[str, Callable[[Request, Callable[[bytes], None]], None]] = field(default_factory=dict)
    diverted: dict[tuple[str, str], Callable[[Request, Callable[[bytes], None]], None]] = field(
        default_factory=dict
    )
    parted: set[frozenset[str]] = field(default_factory=set)
    taps: dict[str, bytearray] = field(default_factory=dict)
    events: int = 0
    messages: int = 0
    carried: int = 0

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._tie = count()

    def at(self, delay_s: float, what: Callable[[], None]) -> None:
        """Do `what` after so long."""
        heapq.heappush(self._heap, (self.now_s + delay_s, next(self._tie), what))

    def run(self, until_s: float) -> None:
        """Let everything happen up to that moment."""
        while self._heap and self._heap[0][0] <= until_s:
            self.now_s, _, what = heapq.heappop(self._heap)
            self.events += 1
            what()
        self.now_s = until_s

    def ask(self, request: Request, done: Callable[[bytes | None], None]) -> None:
        """Send a request; `done` gets the answer, or None when none came in time, once."""
        open_ = True

        def finish(answer: bytes | None) -> None:
            nonlocal open_
            if open_:
                open_ = False
                done(answer)

        def answered(body: bytes) -> None:
            if request.src in self.taps:
                self.taps[request.src] += body
            self._carry(request.dst, request.src, lambda: finish(self._touched(body)), len(body))

        def arrive() -> None:
            server = self._server(request)
            if server is not None:
                server(request, answered)

        self._carry(request.src, request.dst, arrive, 600)
        if self.faults.again and self.dice.random() < self.faults.again:
            self.at(self.dice.uniform(TIMEOUT_S, AGAIN_S), lambda: self._say_again(request))
        self.at(TIMEOUT_S + request.wait_s, lambda: finish(None))

    def _say_again(self, request: Request) -> None:
        """The same request, though nobody waits for its answer any more."""
        server = self._server(request)
        if server is not None:
            server(request, lambda _body: None)

    def _server(self, request: Request) -> Callable[[Request, Callable[[bytes], None]], None] | None:
        return self.diverted.get((request.src, request.dst)) or self.servers.get(request.dst)

    def _carry(self, src: str, dst: str, arrive: Callable[[], None], size: int) -> None:
        dice, faults = self.dice, self.faults
        self.messages += 1
        self.carried += size
        if frozenset((src, dst)) in self.parted or dice.random() < faults.lost:
            return
        for _ in range(2 if dice.random() < faults.twice else 1):
            self.at(dice.uniform(0.001, faults.delay_s), arrive)

    def _touched(self, body: bytes) -> bytes:
        if not body or self.dice.random() >= self.faults.damaged:
            return body
        if self.dice.random() < 0.5:
            return body[: self.dice.randrange(len(body))]
        spoilt = bytearray(body)
        spoilt[self.dice.randrange(len(body))] ^= 1 << self.dice.randrange(8)
        return bytes(spoilt)
