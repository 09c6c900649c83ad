"""Write all vectors anew: `python federation/vectors/make.py`. Twice in a row, nothing changes the second time."""

# ruff: noqa: INP001 (a script beside the package)

import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from workshop import (
    answers,
    calls,
    checkpoints,
    circles,
    comparisons,
    cosignings,
    entries,
    evidences,
    handshakes,
    identities,
    manifests,
    onward,
    proofs,
    recalls,
    receipts,
    remarks,
    reports,
    requests,
    wires,
    witnesses,
)
from workshop.case import Case
from workshop.sealing import Wraps

FOLDER = Path(__file__).parent
_CHECKS = (
    wires, handshakes, identities, checkpoints, requests, reports, answers, remarks, calls, circles, manifests,
    receipts, recalls, proofs, evidences, onward, witnesses, cosignings, comparisons,
)  # fmt: skip


def cases(folder: Path = FOLDER) -> Iterator[Case]:
    """Every vector. `folder`: where those made before lie; their wraps are kept while they open."""
    for check in _CHECKS:
        yield from check.cases()
    yield from entries.cases(Wraps(_old_wraps(folder)))


def main() -> None:
    """Write the files, and take away those that no case names any more."""
    made: set[Path] = set()
    for case in cases():
        path = case.path(FOLDER)
        assert path not in made, path
        made.add(path)
        path.parent.mkdir(exist_ok=True)
        path.write_text(case.text(), encoding="utf-8")
    for path in FOLDER.glob("*/*.json"):
        if path not in made:
            path.unlink()
    sys.stdout.write(f"{len(made)} vectors\n")


def _old_wraps(folder: Path) -> Iterator[bytes]:
    for path in sorted((folder / "entry").glob("*.json")):
        wrap = json.loads(path.read_text(encoding="utf-8"))["given"]["wrap"]
        if "base64" in wrap:
            yield base64.b64decode(wrap["base64"])


if __name__ == "__main__":
    main()
