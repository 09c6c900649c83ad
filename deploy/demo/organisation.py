"""One organisation of the demonstration: its node as a child process, and `tocsin` as its people use it.

Everything goes through the doors that an operator has: `tocsin init`, `node.toml`, `tocsin node run`, the
command line and the HTTP API with the node's own token. Nothing here reaches into the node.
"""

import ctypes
import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from synapse import Person, Synapse
from wire import Proxy

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
COMMAND_TIMEOUT_S = 300.0
POLL_S = 0.02
LOG_LINES = 15
PR_SET_PDEATHSIG = 1

T = TypeVar("T")


class StepFailed(Exception):
    """A step did not come to its end."""


@dataclass
class Organisation:
    """`name` for people, `slug` for commands; `directory` becomes the node's directory."""

    name: str
    slug: str
    directory: Path
    port: int
    proxy: Proxy
    room: str = ""
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Where the organisation's own people reach the node: directly, not through the recording proxy."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log_file(self) -> Path:
        """What the node writes to standard error."""
        return self.directory.with_suffix(".log")

    # The node --------------------------------------------------------------------------------------------

    def initialise(self, synapse: Synapse, bot: Person, room: str, responder: str) -> None:
        """Make the node: keys, settings with the Matrix room, the first token."""
        self.room = room
        token = self.directory.with_name(f"{self.slug}-matrix-token")
        token.touch(mode=0o600)
        token.write_text(bot.access_token)
        options = {
            "--org": self.name,
            "--domain": f"{self.slug}.example",
            "--url": self.proxy.url,
            "--listen": f"127.0.0.1:{self.port}",
            "--matrix-homeserver": synapse.url,
            "--matrix-user": bot.user_id,
            "--matrix-room": room,
            "--matrix-token-file": str(token),
            "--matrix-responder": responder,
        }
        pairs = [word for pair in options.items() for word in pair]
        self.tocsin("init", str(self.directory), *pairs, at_node=False)

    def start(self) -> None:
        """Start the node; call from the main thread (the child ends with the thread that started it)."""
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                command("node", "run", "--dir", str(self.directory)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment(),
                start_new_session=True,  # Ctrl-C is ours to handle
                preexec_fn=_end_with_parent,  # noqa: PLW1509  only sets a flag of the child
            )

    def wait_ready(self) -> None:
        """Return when the node answers that all is well.

        Raises: StepFailed with the end of its log.
        """

        def well() -> bool:
            if self._process is None or self._process.poll() is not None:
                raise StepFailed(f"The node of {self.name} did not start.\n{self.log_tail()}")
            return self.health().get("status") == "ok"

        try:
            until(well, within_s=START_TIMEOUT_S)
        except TimeoutError:
            health = json.dumps(self.health(), indent=2)
            text = f"The node of {self.name} is not well after {START_TIMEOUT_S:g} s: {health}"
            raise StepFailed(f"{text}\n{self.log_tail()}") from None

    def health(self) -> dict[str, Any]:
        """What /healthz says; empty while nobody answers."""
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:  # noqa: S310  loopback
                return dict(json.load(answer))
        except urllib.error.HTTPError as exc:
            with exc:
                return dict(json.loads(exc.read() or b"{}"))
        except OSError:
            return {}

    def ask_to_stop(self) -> None:
        """Tell the node to end in good order."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    def await_stop(self) -> None:
        """Return when the node has ended; kill it only when it does not."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def log_tail(self) -> str:
        """The last lines of the node's log."""
        if not self.log_file.exists():
            return "(no log)"
        lines = self.log_file.read_text(errors="replace").splitlines()[-LOG_LINES:]
        return "\n".join([f"The end of {self.name}'s log:", *lines])

    # Its people ------------------------------------------------------------------------------------------

    def tocsin(self, *arguments: str, stdin: str | None = None, at_node: bool = True) -> str:
        """Run `tocsin` as a person of this organisation would; returns what it printed.

        Raises: StepFailed with what it said on standard error.
        """
        full = [*arguments, "--dir", str(self.directory)] if at_node else list(arguments)
        done = subprocess.run(
            command(*full),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
            env=self._environment(),
        )
        if done.returncode:
            said = (done.stderr + done.stdout).strip()
            shown = shlex.join(["tocsin", *full])
            raise StepFailed(f"$ {shown}\n{said}\n(exit code {done.returncode})\n{self.log_tail()}")
        return done.stdout

    def _environment(self) -> dict[str, str]:
        """Ours, with a home for this organisation's queue, drafts and crash reports; grade II rings without a wait."""
        home = str(self.directory.with_name(f"{self.slug}-person"))
        return os.environ | {"XDG_STATE_HOME": home, "TOCSIN_GROUPING_WAIT_II_S": "0"}

    def tocsin_json(self, *arguments: str, stdin: str | None = None) -> Any:
        """The same with --json; returns the document."""
        return json.loads(self.tocsin(*arguments, "--json", stdin=stdin))

    def get(self, path: str) -> Any:
        """One answer of the node's API, with the token of its directory; None when it is not there (yet)."""
        token = (self.directory / "token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        request = urllib.request.Request(f"{self.url}/v1{path}", headers=headers)  # noqa: S310  loopback
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  the same
                return json.load(answer)
        except urllib.error.HTTPError as exc:
            with exc:
                if exc.code == 404:
                    return None
                raise StepFailed(f"GET {path} at {self.name}: {exc.code} {exc.read().decode()}") from exc


def command(*arguments: str) -> list[str]:
    """`tocsin ARGUMENTS` with the interpreter that runs us."""
    return [sys.executable, "-m", "tocsin_cli", *arguments]


def until(look: Callable[[], T], *, within_s: float) -> T:
    """Look again and again until something is there; returns it.

    Raises: TimeoutError.
    """
    end = time.monotonic() + within_s
    while not (found := look()):
        if time.monotonic() > end:
            raise TimeoutError(f"not within {within_s:g} s")
        time.sleep(POLL_S)
    return found


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
