"""The figures for people: ratios first, at most 100 columns."""

from collections.abc import Iterable, Mapping, Sequence

from tests.bench.measure import Figure, Limit, amount

WIDTH = 100
HEAD = f"{'of limit':>8}{'figure':>11}{'limit':>11}{'p50 ms':>9}{'p99 ms':>9}  what, and beside what"
INDENT = " " * 42


def opening(machine: Mapping[str, object]) -> Iterable[str]:
    """What was measured on."""
    yield f"{machine['cpu']}, {machine['cores']} cores · {machine['system']}"
    yield (
        f"Python {machine['python']} · PostgreSQL {machine['postgres']}, durable · "
        f"load generator on the same cores"
    )


def load(machine: Mapping[str, Sequence[float]]) -> str:
    """Whether somebody else was at work: more runnable processes than cores spoil a run."""
    during = machine["load_during"] or machine["load_before"]
    return f"load average {machine['load_before'][0]:.1f} before, {min(during):.1f} to {max(during):.1f} during the run"


def lines(figures: Sequence[Figure]) -> Iterable[str]:
    """Two lines a figure: the numbers, and what they stand beside."""
    yield HEAD
    for figure in figures:
        ratio = "" if figure.ratio is None else f"{figure.ratio:.0%}"
        limit = value(figure.limit.value, figure.limit.unit) if figure.limit else ""
        p50, p99 = ("" if ms is None else amount(ms) for ms in (figure.p50_ms, figure.p99_ms))
        shown = value(figure.value, figure.unit)
        yield f"{ratio:>8}{shown:>11}{limit:>11}{p50:>9}{p99:>9}  {figure.name}"
        beside = f"beside {figure.limit.name}" if figure.limit else ""
        aim = f"aim {figure.aim}: {'met' if figure.met else 'missed'}" if figure.aim else ""
        if beside or aim:
            yield f"{INDENT}{'; '.join(filter(None, (beside, aim)))}"


def limit_lines(limits: Iterable[Limit]) -> Iterable[str]:
    """The machine alone."""
    yield "The machine alone, one core unless clients are named:"
    for limit in limits:
        yield f"{value(limit.value, limit.unit):>19}  {limit.name}"


def value(number: float, unit: str) -> str:
    """1,234/s, 5.6 ms."""
    return f"{amount(number)}{unit}" if unit == "/s" else f"{amount(number)} {unit}"
