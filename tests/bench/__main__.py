"""`make bench`: every figure beside the machine's own limit, measured in the same run. Nothing is asserted on time.

ARGS: --quick for a fast look, --json for one document, --only NAME[,NAME] for some of: crypto check
import file sync travel week matrix ring start search witness proof.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from tests.bench import (
    bare_crypto,
    finding,
    importing,
    proofs,
    ringing,
    samples,
    starting,
    table,
    travel,
    witnessing,
)
from tests.bench.bare_http import bare_server
from tests.bench.bare_postgres import BarePostgres, bare_postgres
from tests.bench.checking import check
from tests.bench.filing import Filing
from tests.bench.measure import Figure, Limit, machine
from tests.bench.nodes import BenchNode, approve, introduce, run_node
from tests.bench.wire import drive, request

PARTS = (
    "crypto", "check", "import", "file", "sync", "travel", "week", "matrix", "ring", "start", "search", "witness",
    "proof",
)  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    seconds: float = 1.5  # for each rate of one function
    rounds: int = 8  # many and short: other work on the machine spoils some, and the best is taken
    filed: int = 1000
    synced: int = 10_000
    stored: int = 300
    seen: int = 60
    rung: int = 100
    called: int = 20
    outages: int = 8
    starts: int = 15
    imported: int = 700
    judged: int = 60
    found: int = 100_000
    asked: int = 500
    origins: int = 100
    week: int = 14_000  # seven days of two thousand reports
    entries: int = 1_000_000


QUICK = Scale(
    seconds=0.3,
    rounds=3,
    filed=300,
    synced=2000,
    stored=60,
    seen=15,
    rung=40,
    called=8,
    outages=3,
    starts=5,
    imported=100,
    judged=15,
    found=10_000,
    asked=200,
    origins=30,
    week=2000,
    entries=10_000,
)


@dataclass
class Bench:
    """One run: what was asked for, and what came of it."""

    scale: Scale
    only: frozenset[str]
    directory: Path
    figures: list[Figure] = field(default_factory=list)
    limits: dict[str, Limit] = field(default_factory=dict)
    load: list[float] = field(default_factory=list)

    def wants(self, *parts: str) -> bool:
        return bool(self.only.intersection(parts))

    def note(self, *figures: Figure) -> None:
        """Keep, and show on the terminal at once."""
        self.figures += figures
        self.load.append(os.getloadavg()[0])
        for line in list(table.lines(figures))[1:]:
            print(line, file=sys.stderr)

    def step(self, *names: str) -> float:
        """Seconds that these take one after another, at their bare rates."""
        return sum(1 / self.limits[name].value for name in names)

    async def run(self, postgres: BarePostgres) -> None:
        reports = samples.quiet()
        self._crypto(reports)
        with bare_server() as url:
            self._http(url, reports)
        await self._commits(postgres, reports)
        if self.wants("check"):
            self.note(check(reports, self.limits, number=self.scale.filed, rounds=self.scale.rounds))
        if self.wants("import"):
            for figure in importing.figures(
                number=self.scale.imported, judged=self.scale.judged, rounds=min(3, self.scale.rounds)
            ):
                self.note(figure)
        if self.wants("proof"):
            rounds = min(3, self.scale.rounds)
            for figure in proofs.figures(reports, self.limits, entries=self.scale.entries, rounds=rounds):
                self.note(figure)
        if self.wants("week"):
            async with run_node("first", self.directory) as origin:
                await self._week(origin, postgres, samples.quiet(origin.identity))
        if self.wants("file", "sync", "travel"):
            async with run_node("first", self.directory) as origin:
                await self._nodes(origin, postgres, samples.quiet(origin.identity))
        if self.wants("matrix"):
            await self._matrix("filed, until seen in Matrix at the peer", sealed=False)
            if find_spec("olm"):
                await self._matrix("filed, until read in an encrypted room", sealed=True)
        if self.wants("ring"):
            rounds = min(3, self.scale.rounds)
            self.note(await ringing.through_one_room(self.directory, self.scale.rung, rounds))
            self.note(await ringing.back_again(self.directory, self.scale.outages))
            self.note(await ringing.called_next(self.directory, self.scale.called))
        if self.wants("search"):
            async with run_node("searched", self.directory) as node:
                self.note(*await finding.search(node, reports, self.scale.found, self.scale.asked))
        if self.wants("witness"):
            async with run_node("witness", self.directory, witnessing.ENVIRONMENT) as node:
                for figure in witnessing.figures(node, self.limits, self.scale.origins, self.scale.rounds):
                    self.note(figure)
        if self.wants("start"):
            self.note(*starting.figures(self.scale.starts))

    # The machine alone --------------------------------------------------------------------------------

    def _crypto(self, reports: samples.Reports) -> None:
        self.limits |= bare_crypto.rates(reports.make()[1], seconds=self.scale.seconds)

    def _http(self, url: str, reports: samples.Reports) -> None:
        for clients in (1, 16):
            number = self.scale.filed
            sent = [request("POST", url, body=bundle) for bundle in reports.take(number)]
            best = max(drive(url, sent, clients).per_s for _ in range(self.scale.rounds))
            name = f"bare http, {clients} client{'s' * (clients > 1)}"
            self.limits[name] = Limit(name, best, "/s")

    async def _commits(self, postgres: BarePostgres, reports: samples.Reports) -> None:
        for clients in (1, 16):
            rounds = [
                await postgres.commits(clients, self.scale.filed, reports.size)
                for _ in range(self.scale.rounds)
            ]
            name = f"bare commits, {clients} client{'s' * (clients > 1)}"
            self.limits[name] = Limit(name, max(one.per_s for one in rounds), "/s")
        rounds = [await postgres.bulk(4, 512, reports.size) for _ in range(self.scale.rounds)]
        self.limits["bare rows, 512 a commit"] = Limit(
            "bare rows, 512 a commit", max(one.per_s for one in rounds), "/s"
        )

    # Nodes --------------------------------------------------------------------------------------------

    async def _nodes(self, origin: BenchNode, postgres: BarePostgres, reports: samples.Reports) -> None:
        filing = Filing(origin, postgres, reports, self.scale.rounds, self.scale.filed)
        wraps = self.limits["x-wing wrap"].value
        if self.wants("file"):
            self.note(await filing.file(1, 0))
            self.note(await filing.file(16, 0))
            self.note(await filing.take_in(0, total=self.scale.synced, wrap_per_s=wraps))
        async with run_node("second", self.directory) as peer:
            words = introduce(origin, peer)
            if self.wants("file"):
                self.note(await filing.file(1, 1))
                self.note(await filing.file(16, 1))
            filed = origin.call("GET", "/v1/node")["log"]["size"]
            figure = await filing.take_in(1, total=max(500, self.scale.synced - filed), wrap_per_s=wraps)
            if self.wants("file"):
                self.note(figure)
            received = Limit(
                "unwraps and rows", 1 / self.step("x-wing unwrap", "bare rows, 512 a commit"), "/s"
            )
            synced = await travel.sync(origin, peer, words, received)
            if self.wants("sync"):
                self.note(*synced)
            if self.wants("travel"):
                self.note(*await travel.to_peer(origin, peer, reports, self.scale.stored, self._bare_way()))

    async def _week(self, origin: BenchNode, postgres: BarePostgres, reports: samples.Reports) -> None:
        """What was filed while a peer was away for a week, from its first question on."""
        filing = Filing(origin, postgres, reports, self.scale.rounds, self.scale.filed)
        async with run_node("second", self.directory) as peer:
            words = introduce(origin, peer)
            wraps = self.limits["x-wing wrap"].value
            await filing.take_in(1, total=self.scale.week, wrap_per_s=wraps)
            step = self.step("x-wing unwrap", "bare rows, 512 a commit")
            whole, rate = await travel.sync(origin, peer, words, Limit("unwraps and rows", 1 / step, "/s"))
            name = f"catch up a week, {self.scale.week:,} reports"
            self.note(replace(whole, name=name), rate)

    def _bare_way(self) -> Limit:
        """Filed → stored at the peer, if nothing but this happened, one after another."""
        http, commit = "bare http, 1 client", "bare commits, 1 client"
        way = (http, commit, "x-wing wrap", http, http, "x-wing unwrap", commit, commit)
        return Limit("bare steps", self.step(*way) * 1000, "ms")

    async def _matrix(self, name: str, *, sealed: bool) -> None:
        async with travel.open_room(self.directory, sealed=sealed) as room:
            environment = room.environment(self.directory / "matrix-token")
            async with (
                run_node("first", self.directory) as origin,
                run_node("second", self.directory, environment) as peer,
            ):
                words = introduce(origin, peer)
                approve(peer, "first", words)
                reports = samples.ringing(origin.identity)
                figure, message = await travel.to_responder(
                    origin, room, reports, self.scale.seen, self._bare_way(), name
                )
                self.limits[message.name] = message
                self.note(figure)


async def run(scale: Scale, only: frozenset[str]) -> tuple[dict, Bench]:
    """The whole run: what is printed with --json, and what it was made of."""
    began, load = time.time(), os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="tocsin-bench-") as home:
        directory = Path(home)
        directory.chmod(0o755)  # noqa: ASYNC240  once; the server may run as another user
        async with bare_postgres(directory / "bare") as postgres:
            bench = Bench(scale, only, directory)
            on = machine(postgres.version)
            for line in table.opening(on):
                print(line, file=sys.stderr)
            await bench.run(postgres)
    return {
        "at": datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds"),
        "seconds": round(time.time() - began, 1),
        "machine": {**on, "load_before": load, "load_during": bench.load},
        "scale": asdict(scale),
        "figures": [figure.document() for figure in bench.figures],
        "limits": {name: asdict(limit) for name, limit in bench.limits.items()},
    }, bench


def main() -> None:
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of: {', '.join(PARTS)}")
    chosen = parser.parse_args()
    document, bench = asyncio.run(run(QUICK if chosen.quick else Scale(), frozenset(chosen.only.split(","))))
    if chosen.json:
        print(json.dumps(document))
        return
    print()
    on = document["machine"]
    for line in (*table.opening(on), table.load(on), "", *table.lines(bench.figures), ""):
        print(line)
    for line in table.limit_lines(bench.limits.values()):
        print(line)


if __name__ == "__main__":
    main()
