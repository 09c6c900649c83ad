"""Filing and importing: reports a second into one node, beside bare commits of as many bytes."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench import bare_crypto
from tests.bench.bare_postgres import BarePostgres
from tests.bench.measure import Figure, Limit, Round, throughput
from tests.bench.nodes import BenchNode
from tests.bench.samples import Reports
from tests.bench.wire import drive

BATCH = 500
AIM = 0.5
WARM_UP = 50


@dataclass
class Filing:
    """What the filing figures share. `rounds` of `number` reports each; ours and the limit take turns."""

    node: BenchNode
    postgres: BarePostgres
    reports: Reports
    rounds: int
    number: int

    async def file(self, clients: int, recipients: int) -> Figure:
        """Reports filed a second by so many clients at once, each sealed to `recipients` peers."""
        size = self._row_bytes(recipients)
        bare: list[Round] = []
        ours: list[Round] = []
        number = self.number // (1 + recipients) // (1 if clients > 1 else 2)
        drive(self.node.url, self._requests(WARM_UP), clients)
        for _ in range(self.rounds):
            bare.append(await self.postgres.commits(clients, number, size))
            ours.append(drive(self.node.url, self._requests(number), clients))
        limit = Limit("bare commits", max(one.per_s for one in bare), "/s")
        name = f"file a report, {clients} client{'s' * (clients > 1)}, {recipients} recipient{'s' * (recipients != 1)}"
        return throughput(name, ours, limit, aim=AIM)

    async def take_in(self, recipients: int, *, total: int, wrap_per_s: float) -> Figure:
        """Reports imported a second, 500 a request, one request at a time; `total` over all rounds."""
        size = self._row_bytes(recipients)
        query = "?share=1" if recipients else ""
        batches = -(-total // BATCH)
        ours: list[Round] = []
        bare = []
        rounds = min(self.rounds, batches)
        for nth in range(rounds):
            many = batches // rounds + (nth < batches % rounds)
            sizes = [BATCH] * many
            if nth == rounds - 1:
                sizes[-1] -= batches * BATCH - total
            requests = [self.node.importing(self.reports.take(number), query) for number in sizes]
            bare.append(await self.postgres.bulk(many, BATCH, size))
            done = drive(self.node.url, requests, 1, expect=200)
            ours.append(Round(sum(sizes), done.seconds))
        rows = max(one.per_s for one in bare)
        if recipients:
            limit = Limit("bare rows and wraps", 1 / (1 / rows + 1 / wrap_per_s), "/s")
        else:
            limit = Limit("bare rows", rows, "/s")
        name = f"import, {BATCH} a request, {recipients} recipient{'s' * (recipients != 1)}"
        return throughput(name, ours, limit)

    def _requests(self, number: int) -> Sequence[bytes]:
        return [self.node.filing(bundle) for bundle in self.reports.take(number)]

    def _row_bytes(self, recipients: int) -> int:
        """What the node writes for a report: the bundle, and the entry when it is sealed to somebody."""
        incident_id, bundle = self.reports.make()
        return len(bundle) + (bare_crypto.sealed_size(bundle, incident_id) if recipients else 0)
