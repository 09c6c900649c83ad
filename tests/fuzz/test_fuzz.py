"""Whatever bytes come from outside, each parser answers in its own words, and in time that grows no faster than they do."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.fuzz.targets import TARGETS, Target
from tests.support.measured import seconds_of

ROOT = Path(__file__).parents[2]
PIECES = (
    b"[",
    b'{"a":',
    b'"',
    b"\\",
    b" ",
    b"-",
    b"0",
    b"\n",
    b"=",
    b"a",
    b"- ",
    b"{",
    b",",
    b"x001/",
    b"> ",
    b"A" * 64 + b"\n",
)
SMALL, FACTOR = 8_000, 8
SUPERLINEAR = 4 * FACTOR  # what is quadratic takes 64 times as long
NOTICEABLE_S = 0.25
EACH = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)


@EACH
def test_seeds_and_what_once_broke_a_parser_break_nothing(target):
    corpus = target.corpus()
    assert corpus
    for data in corpus:
        target.once(data)


@EACH
def test_time_grows_no_faster_than_the_input(target):
    """Repetition is what makes scanners and backtracking slow: each piece alone, and in the middle of a seed."""
    seed = max(target.corpus(), key=len)[:2_000]
    middle = len(seed) // 2
    for piece in PIECES:
        for before, after in ((b"", b""), (seed[:middle], seed[middle:])):
            large = before + piece * (FACTOR * SMALL // len(piece)) + after
            if seconds_of(lambda data=large: target.once(data)) > NOTICEABLE_S:
                long = _seconds(target, large)
                short = _seconds(target, before + piece * (SMALL // len(piece)) + after)
                assert long < SUPERLINEAR * max(short, 0.01), f"{piece!r} {long:.2f} s after {short:.3f} s"


@pytest.mark.skipif(
    find_spec("atheris") is None, reason="libFuzzer has no wheel for this machine; see pyproject.toml"
)
@pytest.mark.timeout(300)
def test_a_short_search_finds_nothing_that_breaks_a_parser(tmp_path):
    """Each target's own number of executions, from one seed of chance. What is found is kept for the test above."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--bounded", "--seconds", "6", "--json"],
        cwd=ROOT,
        env={
            "PATH": "",
            "PYTHONHASHSEED": "0",
            "HOME": str(tmp_path),
            "PYTHONPATH": "schema:federation:node:cli:.",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert {one["target"] for one in told} == set(TARGETS), done.stderr
    assert not [one for one in told if one["found"]], done.stdout
    assert all(one["runs"] > 20 for one in told), "a target hardly ran"


def test_a_parser_that_breaks_is_seen():
    """The table's own judge: what is not refused by name is raised."""
    broken = Target("broken", json.loads, (), list)
    with pytest.raises(ValueError):
        broken.once(b"{")


def _seconds(target, data):
    """The better of two."""
    return min(seconds_of(lambda: target.once(data)) for _ in range(2))
