"""Every property and every attack that TESTS.md numbers has a row, and every test that it names exists."""

import re

import pytest
from tests.house.repository import ROOT

TEXT = (ROOT / "federation" / "TESTS.md").read_text(encoding="utf-8")
ROWS = {
    number: (words, tests)
    for number, words, tests in re.findall(r"^\| ([PA]\d+) \| (.+?) \| (.+) \|$", TEXT, re.MULTILINE)
}
WANTED = [*(f"P{n}" for n in range(1, 15)), *(f"A{n}" for n in range(1, 26))]
NAMED = re.compile(r"`([a-z_]+(?:/[a-z_]+)*)\.py::(test_[a-z0-9_]+)`")


def test_every_number_has_one_row():
    assert re.findall(r"^\| ([PA]\d+) \|", TEXT, re.MULTILINE) == WANTED
    assert list(ROWS) == WANTED


@pytest.mark.parametrize("number", WANTED)
def test_every_number_names_a_test_and_what_it_names_exists(number):
    _, tests = ROWS[number]
    named = NAMED.findall(tests)
    assert named, f"{number} is shown by nothing"
    assert tests.count("::test_") == len(named), f"{number} names a test in a way that nobody can follow"
    for file, test in named:
        path = ROOT / "tests" / f"{file}.py"
        assert path.is_file(), (number, file)
        source = path.read_text(encoding="utf-8")
        assert re.search(rf"^(?:async )?def {test}\(", source, re.MULTILINE), (number, test)
    for vector in re.findall(r"`(vectors/[a-z0-9*./-]+)`", tests):
        assert list((ROOT / "federation").glob(vector)), (number, vector)


def test_a_test_that_carries_a_number_stands_in_its_row():
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for test, number in re.findall(
            r"^(?:async )?def (test_([pa]\d+)_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE
        ):
            file = path.relative_to(ROOT / "tests").with_suffix("").as_posix()
            row = NAMED.findall(ROWS[number.upper()][1])
            assert (file, test) in row, (
                f"add `{file}.py::{test}` to row {number.upper()} of federation/TESTS.md"
            )
