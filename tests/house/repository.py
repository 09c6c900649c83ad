"""Where things are in the repository, and what is in it: for the tests that read it as a stranger would."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WRITE = bool(os.environ.get("TOCSIN_WRITE_GOLDEN"))
WINGS = ("schema/tocsin_schema", "federation/tocsin_federation", "node/tocsin_node", "cli/tocsin_cli")


def python_files() -> list[Path]:
    """Every source file of the four packages."""
    return sorted(file for wing in WINGS for file in (ROOT / wing).rglob("*.py"))


def tracked_files() -> list[Path]:
    """Every file that git knows or that is new and not ignored."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    names = [name for name in listed.stdout.decode().split("\0") if name]
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def agrees(file: Path, wanted: str) -> bool:
    """Whether a generated file is current; with TOCSIN_WRITE_GOLDEN=1 it is written first."""
    if WRITE:
        file.write_text(wanted, encoding="utf-8")
    return file.exists() and file.read_text(encoding="utf-8") == wanted
