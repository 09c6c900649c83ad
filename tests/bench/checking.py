"""The check of a report beside the least that anybody must do with its bytes: read them and hash them."""

import time
from collections.abc import Mapping

from tests.bench.measure import Figure, Limit, Round, throughput
from tests.bench.samples import Reports

from tocsin_schema.check import check_bundle

AIM_PER_S = 10_000


def check(reports: Reports, limits: Mapping[str, Limit], *, number: int, rounds: int) -> Figure:
    """Bundles checked a second on one core, each one new to the checker and its caches."""
    least = 1 / (1 / limits["orjson read"].value + 1 / limits["sha-256"].value)
    done = [_round(reports.take(number)) for _ in range(rounds)]
    name = f"check_bundle, {reports.size:,} bytes"
    return throughput(name, done, Limit("read and hash", least, "/s"), aim_per_s=AIM_PER_S)


def _round(bundles: list[bytes]) -> Round:
    began = time.perf_counter()
    refused = sum(check_bundle(bundle).report is None for bundle in bundles)
    seconds = time.perf_counter() - began
    if refused:
        raise RuntimeError(f"{refused} of our own samples were refused")
    return Round(len(bundles), seconds)
