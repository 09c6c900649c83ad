"""What one run of `tocsin` knows: the global options, the output, and a client made when first needed."""

import os
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tocsin_cli.output import Output

if TYPE_CHECKING:
    from tocsin_cli.client import Client
    from tocsin_cli.config import Target
    from tocsin_cli.queue import Queue


@dataclass
class Session:
    """One run."""

    node: str | None = None
    dir: Path | None = None
    token_file: Path | None = None
    out: Output = field(default_factory=Output)

    @cached_property
    def target(self) -> "Target":
        """The node this run is about; see config.find_target for the errors."""
        from tocsin_cli.config import find_target

        return find_target(
            url=self.node, directory=self.dir, token_file=self.token_file, env=os.environ, here=Path.cwd()
        )

    @cached_property
    def client(self) -> "Client":
        """The connection to the node, opened with the first request."""
        from tocsin_cli.client import Client

        return Client(self.target, note=self.out.detail)

    @cached_property
    def queue(self) -> "Queue":
        """The reports that wait here for the node."""
        from tocsin_cli.queue import Queue

        return Queue(self.state / "queue")

    @cached_property
    def state(self) -> Path:
        """The directory of this person's queue, drafts and verified heads."""
        from tocsin_cli.config import state_home

        return state_home(os.environ)

    @property
    def interactive(self) -> bool:
        """Whether a person sits in front of this run and can be asked."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    def close(self) -> None:
        """Let go of the connection, if there is one."""
        if "client" in self.__dict__:
            self.client.close()


pass_session = click.make_pass_decorator(Session, ensure=True)
