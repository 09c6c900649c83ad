"""`make setup` says when pip does uv's work, and shows uv's own words only when pip fails too."""

import shutil
import subprocess

import pytest
from tests.house.repository import ROOT

LOCKS = ("requirements-setup.lock", "requirements-dev.lock", "pyproject.toml")


def stub(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize(("pip_works", "code"), [(True, 0), (False, 2)])
def test_pip_takes_over_in_words(tmp_path, pip_works, code):
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in LOCKS:
        (tmp_path / name).touch()
    programs = tmp_path / ".venv/bin"
    programs.mkdir(parents=True)
    stub(programs / "python", "exit 0")
    stub(programs / "uv", "echo 'invalid peer certificate' >&2; exit 2")
    dev_fails = "" if pip_works else 'case "$*" in *requirements-dev*) exit 1;; esac'
    stub(programs / "pip", f"{dev_fails}\nexit 0")
    done = subprocess.run(
        ["make", "setup"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == code
    assert "falling back to pip" in done.stdout
    assert ("invalid peer certificate" in done.stdout + done.stderr) is not pip_works
    assert (tmp_path / ".venv/.ready").exists() is pip_works
