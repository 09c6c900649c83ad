"""How long the command line takes to say something."""

import subprocess
import sys
import time
from collections.abc import Sequence

from tests.bench.measure import Figure, Limit, latency
from tests.support.node import environment_of_a_run

OPTIONS = {
    "--version": ["--version"],
    "--help": ["--help"],
    "report submit --help": ["report", "submit", "--help"],
}


def figures(number: int) -> list[Figure]:
    """Each command beside an interpreter that does nothing."""
    bare = _took([sys.executable, "-c", "pass"], number)
    limit = Limit("python -c pass", min(bare) * 1000, "ms")
    return [
        latency(f"tocsin {name}", _took([sys.executable, "-m", "tocsin_cli", *words], number), limit)
        for name, words in OPTIONS.items()
    ]


def _took(command: Sequence[str], number: int) -> list[float]:
    took = []
    for _ in range(number):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment_of_a_run())
        took.append(time.perf_counter() - began)
    return took
