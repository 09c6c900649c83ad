"""One run of `tocsin` in a home of its own, and a node to talk to."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.cli.fake_node.node import FakeNode
from tests.cli.fake_node.wire import TOKEN

from tocsin_cli.main import cli


@dataclass
class Home:
    """A person's home: state, settings, a token file, the environment that names them."""

    path: Path
    env: dict[str, str]

    @property
    def state(self) -> Path:
        return self.path / "state" / "tocsin"

    @property
    def queue(self) -> list[Path]:
        return sorted((self.state / "queue").glob("*.json"))

    @property
    def drafts(self) -> list[Path]:
        return sorted((self.state / "drafts").glob("*"))

    def file(self, name: str, content: str | bytes) -> Path:
        path = self.path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path


@pytest.fixture
def vienna(monkeypatch) -> Iterator[None]:
    """A local zone that is not UTC; undone in this process too."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")  # by rule: no file of zones is needed
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def home(tmp_path, monkeypatch, vienna) -> Home:
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text(TOKEN + "\n")
    env = {
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "TOCSIN_TOKEN_FILE": str(token),
        "COLUMNS": "120",
    }
    for name in ("TOCSIN_URL", "TOCSIN_DIR", "NO_COLOR", "VISUAL", "EDITOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return Home(tmp_path, env)


@pytest.fixture
def node(home, monkeypatch) -> Iterator[FakeNode]:
    with FakeNode() as running:
        monkeypatch.setenv("TOCSIN_URL", running.url)
        home.env["TOCSIN_URL"] = running.url
        yield running


@pytest.fixture
def tocsin(home) -> Callable[..., Result]:
    """Run `tocsin` in this process, exit code and all."""

    def run(*args: str, input: str | bytes | None = None) -> Result:  # noqa: A002  click's own word
        result = CliRunner().invoke(cli, list(args), input=input, catch_exceptions=False)
        assert TOKEN not in result.output
        return result

    return run
