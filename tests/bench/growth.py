"""What a growing network costs each of its nodes: `python -m tests.bench.growth` (half a minute of processor time; --quick: up to 100 nodes).

The nodes are those of tests/simulation: the protocol's own code with real keys, signatures, seals, tiles and frames, over
a wire in virtual time. Every byte of a body is one that the product would send. What is modelled: 600 bytes for the head
of a request (its signature included) and 250 for that of an answer; 1 to 50 ms for each way; 0 to 20 ms for a commit; a
processor that takes no time; no TLS, and no words, facets and indexes in the database.

A node has 10 to 20 peers, as far as there are so many, and gives each report to all of them. There are no relays, so a
report goes nowhere else. Idle is a minute of long polls; then each node files one report in a minute.
"""

import argparse
import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from uuid import UUID

from tests.bench.measure import percentile
from tests.bench.plot import Line, Panel, draw
from tests.simulation.cast import bundle, player
from tests.simulation.node import Node
from tests.simulation.state import Followed
from tests.simulation.world import Faults, Request, World

from tocsin_federation.sharing import PeerPolicy
from tocsin_schema.marking import Tlp

SIZES = (10, 30, 100, 300, 1000)
QUICK = SIZES[:3]
DEGREES = (10, 20)
RISING_S = 30.0  # they did not come up together
IDLE_S = 60.0
LOAD_S = 60.0
REST_S = 10.0  # after the last filing: by then every recipient has it
ANSWER_HEAD_BYTES = 250
PLOT = Path(__file__).resolve().parent / "growth.svg"


@dataclass(frozen=True)
class Growth:
    """A network of that many nodes. Messages are requests and answers; rates and bytes are a node's share.

    `origin_bytes`, `recipient_bytes`: what one report adds to the disk of its author, and of one who gets it.
    """

    nodes: int
    peers: float
    idle_messages_s: float
    idle_bytes_s: float
    load_messages_s: float
    load_bytes_s: float
    bytes_per_delivery: float
    origin_bytes: float
    recipient_bytes: float
    spread_p50_ms: float
    spread_p99_ms: float


class Member(Node):
    """A node that notes when it stored what. `held`: report id → virtual seconds."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, player(name))
        self.held: dict[str, float] = {}

    def serve(self, request: Request, answer: Callable[[bytes], None]) -> None:
        """HTTP gives one answer to a request: a long poll that was answered is not answered again at its end."""
        said = False

        def once(body: bytes) -> None:
            nonlocal said
            if not said:
                said = True
                answer(body)

        super().serve(request, once)

    def _apply(self, peer: str, log: Followed, opened: list, start: int, following: int) -> None:
        super()._apply(peer, log, opened, start, following)
        for came in opened:
            if came.code is None:
                self.held[came.header.id] = self.world.now_s


def grow(size: int, seed: int = 1) -> Growth:
    """Play a network of `size` nodes. The same each time."""
    world = World(seed, Faults(delay_s=0.05))
    nodes = [Member(world, f"member{n}") for n in range(size)]
    pairs = _pairs(size, world.dice)
    for one, other in pairs:
        for node, peer in ((nodes[one], nodes[other]), (nodes[other], nodes[one])):
            node.meet(
                peer.player, PeerPolicy(peer.node_id, peer.player.name, Tlp.GREEN, Tlp.GREEN, active=True)
            )
    for node in nodes:
        world.at(world.dice.uniform(0, RISING_S), node.start)
    world.run(RISING_S)
    idle = _passing(world, IDLE_S)
    filed = {_id(world.dice): (node, world.dice.uniform(0, LOAD_S)) for node in nodes}
    written: dict[str, float] = {}
    for report_id, (node, delay_s) in filed.items():
        world.at(delay_s, _filing(node, report_id, written))
    load = _passing(world, LOAD_S)
    world.run(world.now_s + REST_S)
    return _figures(nodes, len(pairs), idle, load, {one: (filed[one][0], at) for one, at in written.items()})


def _passing(world: World, seconds: float) -> tuple[int, int]:
    """Messages and bytes of the next while, heads of answers included."""
    messages, carried = world.messages, world.carried
    world.run(world.now_s + seconds)
    passed = world.messages - messages
    return passed, world.carried - carried + ANSWER_HEAD_BYTES * passed // 2


def _filing(node: Member, report_id: str, written: dict[str, float]) -> Callable[[], None]:
    def file() -> None:
        raw = bundle(
            node.player.name, report_id, "A model did harm", 1, tlp="green", grave=False, revoked=False
        )
        at = node.world.now_s
        node.post(lambda: node.file(report_id, raw, to=None), lambda _: written.setdefault(report_id, at))

    return file


def _figures(
    nodes: list[Member],
    pairs: int,
    idle: tuple[int, int],
    load: tuple[int, int],
    filed: dict[str, tuple[Member, float]],
) -> Growth:
    size = len(nodes)
    by_id = {node.node_id: node for node in nodes}
    spread, origin, recipient = [], [], []
    for report_id, (node, at) in filed.items():
        readers = [by_id[peer] for peer in node.policies]
        spread.append(max(reader.held[report_id] for reader in readers) - at)
        (entry,) = node.disk.entries
        raw, frame = len(node.disk.reports[report_id].raw), len(entry.leaf) + len(entry.leaf_hash)
        origin.append(raw + frame + len(entry.ct) + sum(map(len, entry.wraps.values())))
        recipient.append(raw + frame)
    return Growth(
        nodes=size,
        peers=2 * pairs / size,
        idle_messages_s=idle[0] / size / IDLE_S,
        idle_bytes_s=idle[1] / size / IDLE_S,
        load_messages_s=load[0] / size / LOAD_S,
        load_bytes_s=load[1] / size / LOAD_S,
        bytes_per_delivery=(load[1] - idle[1] * LOAD_S / IDLE_S) / (2 * pairs),
        origin_bytes=sum(origin) / size,
        recipient_bytes=sum(recipient) / size,
        spread_p50_ms=percentile(spread, 0.5) * 1000,
        spread_p99_ms=percentile(spread, 0.99) * 1000,
    )


def _pairs(size: int, dice: random.Random) -> set[tuple[int, int]]:
    """Who peers with whom: each asks others at random until it has as many as it wants, from 10 to 20."""
    wanted = [min(size - 1, dice.randint(*DEGREES)) for _ in range(size)]
    have = [0] * size
    pairs: set[tuple[int, int]] = set()
    for node in range(size):
        others = [n for n in range(size) if n != node and (min(n, node), max(n, node)) not in pairs]
        dice.shuffle(others)
        open_first = sorted(others, key=lambda n: have[n] >= wanted[n])
        for other in open_first[: max(0, wanted[node] - have[node])]:
            pairs.add((min(node, other), max(node, other)))
            have[node] += 1
            have[other] += 1
    return pairs


def _id(dice: random.Random) -> str:
    return f"incident--{UUID(bytes=dice.randbytes(16), version=4)}"


def table(grown: list[Growth]) -> list[str]:
    """The lines of BENCHMARKS.md."""
    said = ("nodes", "peers each", "idle, a node", "a report a minute each, a node", "a delivery")
    heads = (*said, "on its author's disk", "on a recipient's", "all have it, p50", "p99")
    lines = [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    lines += [
        f"| {one.nodes:,} | {one.peers:.1f} | {one.idle_messages_s:.2f} messages/s, {one.idle_bytes_s:,.0f} B/s "
        f"| {one.load_messages_s:.2f} messages/s, {one.load_bytes_s:,.0f} B/s | {one.bytes_per_delivery:,.0f} B "
        f"| {one.origin_bytes:,.0f} B | {one.recipient_bytes:,.0f} B "
        f"| {one.spread_p50_ms:.0f} ms | {one.spread_p99_ms:.0f} ms |"
        for one in grown
    ]
    return lines


def plot(grown: list[Growth]) -> str:
    """The same as a picture."""

    def line(name: str, key: str, scale: float = 1) -> Line:
        return Line(name, [(one.nodes, getattr(one, key) * scale) for one in grown])

    return draw(
        "What a growing network costs each node",
        [
            Panel(
                "messages a second, a node",
                [line("idle", "idle_messages_s"), line("a report a minute", "load_messages_s")],
            ),
            Panel(
                "kB a second, a node",
                [line("idle", "idle_bytes_s", 1e-3), line("a report a minute", "load_bytes_s", 1e-3)],
            ),
            Panel(
                "kB on disk a report",
                [line("its author", "origin_bytes", 1e-3), line("a recipient", "recipient_bytes", 1e-3)],
            ),
            Panel(
                "ms until all recipients hold it",
                [line("p50", "spread_p50_ms"), line("p99", "spread_p99_ms")],
            ),
        ],
        "nodes in the network (each with 10 to 20 peers, as far as there are so many)",
    )


def main() -> None:
    """Read the arguments, play, print, draw."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.growth", description=__doc__)
    parser.add_argument("--quick", action="store_true", help=f"networks of up to {QUICK[-1]} nodes")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")
    parser.add_argument("--plot", type=Path, default=PLOT, help="where the picture goes")
    chosen = parser.parse_args()
    grown = []
    for size in QUICK if chosen.quick else SIZES:
        began = time.monotonic()
        grown.append(grow(size))
        print(f"{size:,} nodes: played in {time.monotonic() - began:.1f} s", file=sys.stderr)
    chosen.plot.write_text(plot(grown), encoding="utf-8")
    print(json.dumps([asdict(one) for one in grown]) if chosen.json else "\n".join(table(grown)))


if __name__ == "__main__":
    main()
