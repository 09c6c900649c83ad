"""Searches at 100,000 reports, over HTTP, beside a bare query of one word's newest reports on a like table.

The reports are rows: put in by COPY, each with the words of a made-up vocabulary whose frequencies fall as those of
a language do, and with facets as reports have them. Their bundles are one small sound report's.
"""

import hashlib
import random
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
from tests.bench.measure import Figure, Limit, latency
from tests.bench.nodes import BenchNode
from tests.bench.samples import Reports
from tests.bench.wire import Connection

VOCABULARY = 20_000
WORDS = 90  # of a report, as the public records have them
HARMS = ("physical-health", "privacy", "economic", "discrimination", "harmful-content", "ai-security")
COUNTRIES = ("US", "DE", "FR", "GB", "CN", "IN", "BR", "NG", "JP", "KE")
GRADES = {"none": 0, "iv": 2, "iii": 3, "ii": 4, "i": 5}
AIM_MS = 50
BATCH = 10_000
ROUNDS = 3


@dataclass(frozen=True)
class _Row:
    """What one report is found by."""

    id: str
    keys: list[str]
    words: str
    level: int
    occurred_at: datetime


class Corpus:
    """Reports as they are found; the same for the same seed."""

    def __init__(self, total: int, seed: int = 7) -> None:
        self.total = total
        self._random = random.Random(seed)
        letters = "abcdefghijklmnoprstuvz"
        self.vocabulary = [
            "".join(self._random.choices(letters, k=self._random.randint(3, 10))) for _ in range(VOCABULARY)
        ]
        self._weights = [1 / (rank + 10) for rank in range(VOCABULARY)]
        self._cumulated = [sum(self._weights[:1])]
        for weight in self._weights[1:]:
            self._cumulated.append(self._cumulated[-1] + weight)

    def rows(self, number: int) -> list[_Row]:
        """The next `number` reports."""
        return [self._row() for _ in range(number)]

    def _row(self) -> _Row:
        pick = self._random
        grade = pick.choice(list(GRADES))
        vendor, model = pick.randrange(200), pick.randrange(5)
        keys = [
            *("state:active", f"tlp:{pick.choice(('clear', 'green', 'amber'))}", f"grade:{grade}"),
            *(
                "realization:harm-event",
                f"harm:{pick.choice(HARMS)}",
                f"country:{pick.choice(COUNTRIES).lower()}",
            ),
            *(
                f"product:vendor{vendor} model{model}",
                f"system:vendor{vendor} model{model} {pick.randrange(9)}",
            ),
            *(f"party:organisation {pick.randrange(5000)}", f"origin:n1{pick.randrange(20)}"),
            f"classification:mit-ai-risk-domain:{pick.randrange(1, 8)}.{pick.randrange(1, 5)}",
        ]
        words = " ".join(pick.choices(self.vocabulary, cum_weights=self._cumulated, k=WORDS))
        day = datetime(2015, 1, 1, tzinfo=UTC) + timedelta(days=pick.randrange(4000))
        return _Row(
            f"incident--{uuid.UUID(int=pick.getrandbits(128), version=4)}", keys, words, GRADES[grade], day
        )

    def queries(self, number: int) -> list[str]:
        """What people ask: one word and two, common and rare; facets; both; pages further on."""
        pick, word = self._random, self._word
        kinds = (
            lambda: f"q={word()}",
            lambda: f"q={word()}+{word()}",
            lambda: f"q={word()}+or+{word()}",
            lambda: f"q={self.vocabulary[pick.randrange(20)]}",  # in most of the reports
            lambda: f"q={word()}&harm={pick.choice(HARMS)}",
            lambda: f"harm={pick.choice(HARMS)}&country={pick.choice(COUNTRIES)}&grade=I",
            lambda: f"system=vendor{pick.randrange(200)}+model{pick.randrange(5)}",
            lambda: f"party=organisation+{pick.randrange(5000)}",
            lambda: f"since=20{pick.randrange(15, 25)}-01-01&min_level=4&tlp=green",
            lambda: f"cursor={pick.randrange(1, self.total)}",
        )
        return [kinds[nth % len(kinds)]() for nth in range(number)]

    def _word(self) -> str:
        return self._random.choices(self.vocabulary, cum_weights=self._cumulated)[0]


async def fill(node: BenchNode, reports: Reports, corpus: Corpus) -> None:
    """Put the corpus into the node's database, and a bare table of its words beside it."""
    _, bundle = reports.make()
    conn = await asyncpg.connect(node.database)
    try:
        await conn.execute("create table bare_words (seq bigint, words tsvector)")
        await conn.execute(
            "create temporary table made (id text, keys text[], words text, level int, day timestamptz)"
        )
        for start in range(0, corpus.total, BATCH):
            rows = corpus.rows(min(BATCH, corpus.total - start))
            records = [(r.id, r.keys, r.words, r.level, r.occurred_at) for r in rows]
            await conn.copy_records_to_table("made", records=records)
            await conn.execute(_REPORTS, bundle, hashlib.sha256(bundle).digest())
            await conn.execute(_FACETS)
            await conn.execute("truncate made")
        await conn.execute("insert into bare_words select seq, words from report_facet order by seq")
        await conn.execute("create index on bare_words using gin (words)")
        await conn.execute("create index on bare_words (seq)")
        for table in ("report", "report_facet", "bare_words"):
            await conn.execute(f"vacuum (analyze) {table}")
    finally:
        await conn.close()


_REPORTS = """
insert into report (id, origin, ver, state, name, tlp, grade, level, score, realization, modified, sha256, bundle)
select id, 'n1bench', 1, 'active', left(words, 60), 'green', 'IV', level, level * 15, 'harm-event', day, $2, $1 from made
"""
_FACETS = """
insert into report_facet (report_id, seq, origin, creator, level, occurred_at, newest_at, keys, words)
select m.id, r.seq, r.origin, 'identity--bench', m.level, m.day, m.day, m.keys,
    setweight(to_tsvector('simple', left(m.words, 60)), 'A') || to_tsvector('simple', substr(m.words, 61))
from made m join report r on r.id = m.id
"""
_BARE = "select seq from bare_words where words @@ to_tsquery('simple', $1) order by seq desc limit 50"


async def bare(node: BenchNode, corpus: Corpus, number: int) -> Limit:
    """The median of one word's newest reports, asked of the same server directly."""
    words = [query.removeprefix("q=") for query in corpus.queries(number * 10) if query.startswith("q=")]
    single = [word for word in words if word.isalpha()][:number]
    conn = await asyncpg.connect(node.database, server_settings={"plan_cache_mode": "force_custom_plan"})
    took = []
    for word in single:
        began = time.perf_counter()
        await conn.fetch(_BARE, word)
        took.append(time.perf_counter() - began)
    await conn.close()
    return Limit("bare query of one word", sorted(took)[len(took) // 2] * 1000, "ms")


async def search(node: BenchNode, reports: Reports, total: int, asked: int) -> Sequence[Figure]:
    """The figures: searches, counts of facets, suggestions of duplicates."""
    corpus = Corpus(total)
    await fill(node, reports, corpus)
    limit = await bare(node, corpus, asked)
    found = _ask(node, [f"/v1/reports?{query}" for query in corpus.queries(asked)])
    counted = _ask(
        node, [f"/v1/reports/facets?{query}" for query in corpus.queries(asked // 5) if "cursor" not in query]
    )
    figures = [latency(f"search at {total:,} reports", found, limit, aim_ms=AIM_MS)]
    figures.append(latency(f"count facets at {total:,} reports", counted, limit))
    return figures


def _ask(node: BenchNode, paths: Sequence[str]) -> list[float]:
    """What each question takes: the best of `ROUNDS`, since other work on the machine spoils some."""
    rounds = []
    with Connection(node.url) as wire:
        for _ in range(ROUNDS):
            took = []
            for path in paths:
                began = time.perf_counter()
                wire.call("GET", node.url + path, token=node.token)
                took.append(time.perf_counter() - began)
            rounds.append(took)
    return [min(each) for each in zip(*rounds, strict=True)]
