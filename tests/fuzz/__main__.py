"""`make fuzz`: let libFuzzer look for inputs that break a parser. What it finds is kept in tests/fuzz/crashes/TARGET.

Each target runs in a process of its own, two at a time, from its seeds and from what earlier runs found worth keeping
(.fuzz/TARGET). A found input is a test from then on: mend the product, and commit both.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["tocsin_schema", "tocsin_federation", "tocsin_node"]):
    from tests.fuzz.targets import CRASHES, TARGETS, Target

from tests.fuzz import seeds
from tests.fuzz.mutation import mutate

KEPT = Path(__file__).parents[2] / ".fuzz"
SLOWEST_S = 5  # one input; what takes longer hangs
MEMORY_MB = 1024
AT_ONCE = 2


@dataclass(frozen=True)
class Run:
    """One target being fuzzed in a child. `before`: what had broken it until then."""

    target: Target
    child: int
    scratch: Path
    before: frozenset[Path]

    def told(self, status: int, seconds: float) -> dict[str, Any]:
        """What came of it: executions, and the inputs that broke something."""
        log = (self.scratch / "log").read_text("utf-8", "replace")
        done = re.findall(r"^#(\d+)\s", log, re.MULTILINE)
        found = [str(path.relative_to(CRASHES)) for path in self.target.crashes() if path not in self.before]
        if status and not found:
            found = [f"it ended with status {status}"]
        if found:
            sys.stderr.write(log)
        shutil.rmtree(self.scratch)
        return {
            "target": self.target.name,
            "runs": int(done[-1]) if done else 0,
            "seconds": round(seconds, 1),
            "found": found,
        }


def start(target: Target, *, seconds: int, runs: int) -> Run:
    """Fuzz one target in a child. `runs`: executions, from the seeds alone; 0: as many as there is time for."""
    scratch = Path(tempfile.mkdtemp(prefix=f"tocsin-fuzz-{target.name}-"))
    before = frozenset(target.crashes())
    child = os.fork()
    if child:
        return Run(target, child, scratch, before)
    corpus = scratch / "corpus" if runs else KEPT / target.name
    given, found = scratch / "seeds", CRASHES / target.name
    for folder in (corpus, given, found):
        folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(target.corpus()):
        (given / f"{number:04}").write_bytes(data)
    words = seeds.words(target.corpus())
    (scratch / "words").write_text("\n".join(f'"{_escaped(word)}"' for word in words))
    catch = _Catch(target, found)
    log = os.open(scratch / "log", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    options = {
        "artifact_prefix": f"{found}/",
        "timeout": SLOWEST_S,
        "rss_limit_mb": MEMORY_MB,
        "max_len": seeds.MOST_BYTES,
        "seed": 1,
        "max_total_time": seconds,
        **({"dict": scratch / "words"} if words else {}),
        **({"runs": runs} if runs else {}),
    }
    atheris.Setup(
        ["fuzz", *(f"-{k}={v}" for k, v in options.items()), str(corpus), str(given)],
        catch,
        custom_mutator=_mutated,
    )
    atheris.Fuzz()
    os._exit(0)


def _mutated(data: bytes, most_bytes: int, seed: int) -> bytes:
    """Every other time a change inside JSON, if there is any; else libFuzzer's own."""
    changed = mutate(data, seed) if seed % 2 else None
    return atheris.Mutate(data, most_bytes) if changed is None or len(changed) > most_bytes else changed


class _Catch:
    """Executes a target, and keeps one input for each place in which something breaks; the search goes on."""

    def __init__(self, target: Target, folder: Path) -> None:
        self._target, self._folder = target, folder
        self._places: set[tuple[str, str, int]] = set()

    def __call__(self, data: bytes) -> None:
        try:
            self._target.once(data)
        except Exception as exc:  # noqa: BLE001  whatever it is: that is what is looked for
            last = traceback.extract_tb(exc.__traceback__)[-1]
            place = type(exc).__name__, last.filename, last.lineno or 0
            if place not in self._places:
                self._places.add(place)
                (self._folder / f"crash-{hashlib.sha256(data).hexdigest()[:16]}").write_bytes(data)
                traceback.print_exc()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def main() -> int:
    """Read the arguments, run, say what was found."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("--only", default=",".join(TARGETS), help="some of: " + ", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="at most this long for each target")
    parser.add_argument(
        "--bounded", action="store_true", help="each target's own number of runs, from its seeds alone"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a target")
    chosen = parser.parse_args()
    unknown = set(chosen.only.split(",")) - set(TARGETS)
    if unknown:
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are: {', '.join(TARGETS)}")
    waiting = [TARGETS[name] for name in chosen.only.split(",")]
    running: dict[int, tuple[Run, float]] = {}
    failed = False
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            target = waiting.pop(0)
            one = start(target, seconds=chosen.seconds, runs=target.runs if chosen.bounded else 0)
            running[one.child] = one, time.monotonic()
        child, status = os.wait()
        one, began = running.pop(child)
        told = one.told(status, time.monotonic() - began)
        failed = failed or bool(told["found"])
        print(json.dumps(told) if chosen.json else _line(told), flush=True)
    return 1 if failed else 0


def _line(told: dict[str, Any]) -> str:
    word = "BROKEN" if told["found"] else "ok"
    return f"{word:7}{told['target']:22}{told['runs']:>10,} runs {told['seconds']:6.1f} s  " + " ".join(
        told["found"]
    )


if __name__ == "__main__":
    sys.exit(main())
