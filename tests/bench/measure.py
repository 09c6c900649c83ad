"""How things are measured: rates, latencies, and the figure that comes of them."""

import math
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Round:
    """One round: how many in how many seconds, and what each took when that was noted."""

    number: int
    seconds: float
    took_s: Sequence[float] = field(default=(), repr=False)

    @property
    def per_s(self) -> float:
        return self.number / self.seconds


@dataclass(frozen=True)
class Limit:
    """What this machine does without us: one round beside ours, the best of several."""

    name: str
    value: float
    unit: str

    @property
    def text(self) -> str:
        return f"{amount(self.value)} {self.unit} {self.name}".replace(" /s", "/s")


@dataclass(frozen=True)
class Figure:
    """One line of the table. `ratio`: how much of the machine's own limit is reached (1 = all of it)."""

    name: str
    value: float
    unit: str
    p50_ms: float | None = None
    p99_ms: float | None = None
    limit: Limit | None = None
    aim: str = ""
    met: bool | None = None
    rounds: tuple[float, ...] = ()

    @property
    def ratio(self) -> float | None:
        if self.limit is None or not self.value:
            return None
        return self.value / self.limit.value if self.unit == "/s" else self.limit.value / self.value

    def document(self) -> dict:
        return {**asdict(self), "ratio": self.ratio}


def rate(work: Callable[[], object], *, seconds: float, rounds: int = 3) -> float:
    """How often a second `work` can be done by one thread: the best of `rounds`."""
    best = 0.0
    for _ in range(rounds):
        number, began = 0, time.perf_counter()
        while (now := time.perf_counter()) - began < seconds / rounds or not number:
            for _ in range(10):
                work()
            number += 10
        best = max(best, number / (now - began))
    return best


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def ms(seconds: Sequence[float], share: float) -> float | None:
    return percentile(seconds, share) * 1000 if seconds else None


def throughput(
    name: str,
    rounds: Sequence[Round],
    limit: Limit,
    *,
    aim: float | None = None,
    aim_per_s: float | None = None,
) -> Figure:
    """The best round. `aim`: the share of the limit that is wanted; `aim_per_s`: the rate that is."""
    best = max(rounds, key=lambda one: one.per_s)
    wanted = aim_per_s if aim is None else aim * limit.value
    return Figure(
        name,
        best.per_s,
        "/s",
        ms(best.took_s, 0.5),
        ms(best.took_s, 0.99),
        limit,
        f"≥ {aim:.0%} of limit" if aim else f"≥ {wanted:,.0f}/s" if wanted else "",
        None if wanted is None else best.per_s >= wanted,
        tuple(round(one.per_s, 1) for one in rounds),
    )


def latency(
    name: str, took_s: Sequence[float], limit: Limit | None, *, aim_ms: float | None = None
) -> Figure:
    """The median is the figure; the aim is for the 99th percentile."""
    p99 = ms(took_s, 0.99)
    return Figure(
        name,
        statistics.median(took_s) * 1000,
        "ms",
        ms(took_s, 0.5),
        p99,
        limit,
        f"p99 < {aim_ms:g} ms" if aim_ms else "",
        p99 < aim_ms if aim_ms and p99 is not None else None,
    )


def amount(value: float) -> str:
    """Three digits are enough."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def machine(postgres: str = "") -> dict:
    """What the figures were measured on."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor() or platform.machine(),
    )
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "postgres": postgres,
        "system": f"{platform.system()} {platform.release()}",
    }
