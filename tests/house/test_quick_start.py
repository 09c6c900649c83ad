"""The quick start of README.md: the lines that a stranger pastes first do what they say."""

import json
import re
import subprocess
import sys

from tests.house.repository import ROOT
from tests.support.node import environment_of_a_run


def test_the_lines_for_a_throw_away_node_find_it_and_leave_nothing_behind(tmp_path):
    (block,) = re.findall(r"```sh\n([^`]*--ephemeral[^`]*)```", (ROOT / "README.md").read_text("utf-8"))
    lines = [line for line in block.splitlines() if " report " not in line]
    assert len(lines) == len(block.splitlines()) - 2
    (programs := tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name, runs in (("python", sys.executable), ("tocsin", f"{sys.executable} -m tocsin_cli")):
        (programs / name).write_text(f'#!/bin/sh\nexec {runs} "$@"\n')
        (programs / name).chmod(0o755)
    (place := tmp_path / "tmp").mkdir()
    script = ["trap 'kill %1 && wait' EXIT", *lines, LIST]
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(script)],
        cwd=tmp_path, env=environment_of_a_run({"TMPDIR": str(place)}), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert json.loads(done.stdout or "null") == {"items": [], "next": None}, done.stderr
    assert set(json.loads((tmp_path / "node.json").read_text())) == {"url", "token", "dir"}
    assert list(place.iterdir()) == []


LIST = ".venv/bin/tocsin report list --json"
