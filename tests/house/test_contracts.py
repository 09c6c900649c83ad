"""The arrows between the wings point one way (the contracts stand in pyproject.toml)."""

import subprocess
import sys
from pathlib import Path

from tests.house.repository import ROOT


def test_the_import_contracts_hold():
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout
