"""What must not be in any file: this machine, a registry's address, unfinished work."""

import re

import pytest
from tests.house.repository import ROOT, WINGS, tracked_files

HERE = "tests/house/"
TEXT = [file for file in tracked_files() if file.suffix not in {".pyc", ".png", ".gz"}]
NAMES = [str(file.relative_to(ROOT)) for file in TEXT]
FORBIDDEN = {
    "a machine's path": r"(?<![\w.])/(work|root|home/\w+)/",
    "a registry's address": r"files\.pythonhosted\.org|pypi\.org/simple|--index-url|/opt/pypi",
    "unfinished work": r"\b(TODO|FIXME)\b|\b(XXX|HACK):",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds(what):
    found = []
    for file, name in zip(TEXT, NAMES, strict=True):
        if name.startswith(HERE) or name.endswith((".csv", "LICENSE")):
            continue
        text = file.read_bytes().decode("utf-8", "replace")
        found += [f"{name}: {match[0]}" for match in re.finditer(FORBIDDEN[what], text)]
    assert not found


def test_every_package_is_typed_and_has_no_stray_source_beside_it():
    for wing in WINGS:
        assert (ROOT / wing / "py.typed").is_file(), wing
        assert not list((ROOT / wing).parent.glob("*.py")), wing


def test_no_module_is_a_drawer_for_everything():
    drawers = {"utils", "util", "helpers", "common", "manager", "base", "misc"}
    assert not [name for name in NAMES if name.endswith(".py") and name.rsplit("/", 1)[-1][:-3] in drawers]
