"""The neighbourhood of the journeys: three organisations with a node, a PostgreSQL and a room each, and a homeserver.

Started once, side by side, and shared by all stories that leave them as they found them; a story that breaks nodes
makes its own with `organisation`.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from deploy.demo.synapse import Synapse
from tests.support.homeserver import _synapse, homeserver, open_room
from tests.support.neighbour import Neighbour, introduce, start_all

__all__ = ["_synapse", "homeserver"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this directory is a journey."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.journey)


@dataclass(frozen=True)
class Town:
    """`hospital` and `lab` have compared their words; `school` is a peer of the hospital, which it never met."""

    hospital: Neighbour
    lab: Neighbour
    school: Neighbour
    homeserver: Synapse


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """A directory with a short name: a socket's path has 107 bytes at most."""
    directory = Path(tempfile.mkdtemp(prefix="tj-"))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def town(place: Path, _synapse: Synapse) -> Iterator[Town]:
    with ExitStack() as open_now:
        nodes = [_made(name, place, open_now, _synapse) for name in ("hospital", "lab", "school")]
        start_all(nodes, _synapse)
        hospital, lab, school = nodes
        introduce(hospital, lab)
        introduce(hospital, school, verified=False)
        yield Town(hospital, lab, school, _synapse)


@pytest.fixture(scope="module")
def organisation(place: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Neighbour]]:
    """Make a node of this module's own, not yet started; `rung=True` gives it a room. No name twice."""
    with ExitStack() as open_now:
        home = Path(tempfile.mkdtemp(dir=place))

        def make(name: str, *, rung: bool = False, **settings: str) -> Neighbour:
            synapse = request.getfixturevalue("_synapse") if rung else None
            return _made(name, home, open_now, synapse, **settings)

        yield make


def _made(name: str, home: Path, open_now: ExitStack, synapse: Synapse | None, **settings: str) -> Neighbour:
    room = open_room(synapse) if synapse is not None else None
    node = Neighbour(name, home, settings, room)
    open_now.enter_context(node.wire)
    open_now.callback(node.kill)
    return node
