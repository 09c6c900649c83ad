"""One organisation of a test: its node as a process with its own PostgreSQL, behind a wire, and its people.

Everything goes through the doors that an operator has: `tocsin init`, `tocsin node run --dir`, the command line and
the HTTP API. What a test does beyond that (killing, looking into the database) has its own name here.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from deploy.demo.synapse import Synapse
from tests.support.homeserver import Room
from tests.support.node import NodeProcess, environment_of_a_run
from tests.support.ports import free_port
from tests.support.spoken import spoken_at
from tests.support.wire import Wire

from tocsin_schema.stix import build

T = TypeVar("T")
POLL_S = 0.03
START_S = 120.0
STOP_S = 90.0
COMMAND_S = 120.0
WITHIN_S = 90.0
STIX = "application/stix+json"
QUICK = {"TOCSIN_FEDERATION_BACKOFF_MAX_S": "1"}  # what a test would otherwise wait for
QUICK_ROOM = {
    "TOCSIN_MATRIX_SENDS_PER_S": "1000",
    "TOCSIN_MATRIX_SEND_BURST": "1000",
    "TOCSIN_MATRIX_REQUEST_TIMEOUT_S": "3",
    "TOCSIN_ONCALL_GRADE_I_WAITS_MIN": "",  # nobody is called again: however slow the machine, a room hears what is told
    "TOCSIN_ONCALL_GRADE_II_WAITS_MIN": "",
    "TOCSIN_GROUPING_WAIT_II_S": "0",
    "TOCSIN_GROUPING_FLOOD_ROOM": "1000",
    "TOCSIN_GROUPING_FLOOD_ORIGIN": "1000",
}
SEVERE = {
    "realization": "harm-event",
    "countries": ["SE"],
    "causality": "direct",
    "harms": [{"harm_type": "physical-health", "materialised": True, "reversibility": "irreversible"}],
    "quantities": {"deaths": 2, "serious_injuries": 3, "persons_affected": 5},
    "flags": ["ongoing", "imminent-risk-to-life"],
    "systems": [{"name": "Vigil Sepsis", "vendor": "Kestrel AI Lab", "version": "4.2.0", "kind": "model"}],
}
MILD = {
    "realization": "near-miss",
    "causality": "contributing",
    "systems": [{"name": "Vigil Sepsis", "vendor": "Kestrel AI Lab", "version": "4.2.0", "kind": "model"}],
}


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    said: str

    def json(self) -> Any:
        """The document on stdout."""
        return json.loads(self.out)

    def problem(self) -> Any:
        """The problem document on stderr."""
        return json.loads(self.said)


@dataclass(frozen=True)
class Answer:
    """One answer of the node's API."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        """The document."""
        return json.loads(self.body)


@dataclass
class Neighbour:
    """`name` is the organisation's and what its peers call it; peers reach the node through `wire`."""

    name: str
    home: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    room: Room | None = None
    port: int = field(default_factory=free_port)
    wire: Wire = field(init=False, repr=False)
    process: NodeProcess = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.wire = Wire(self.port)
        environment = {**QUICK, **(QUICK_ROOM if self.room else {}), **self.settings}
        self.process = NodeProcess(
            ["--dir", str(self.directory)], self.home / f"{self.name}.log", environment
        )

    @property
    def directory(self) -> Path:
        """The node's directory."""
        return self.home / self.name

    @property
    def url(self) -> str:
        """Where its own people reach it, without the wire."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def database_url(self) -> str:
        """Its database, for those who may look into it."""
        run = self.directory / "postgres" / "run"
        return f"postgresql://node@/tocsin?host={quote(str(run))}&port=5432"

    # The node --------------------------------------------------------------------------------------------

    def initialise(self, homeserver: Synapse | None = None, *more: str) -> None:
        """`tocsin init`, with the room if there is one."""
        options = {"--org": self.name, "--domain": f"{self.name}.example", "--url": self.wire.url}
        options["--listen"] = f"127.0.0.1:{self.port}"
        if self.room is not None and homeserver is not None:
            token = self.home / f"{self.name}-matrix-token"
            token.touch(0o600)
            token.write_text(self.room.bot.access_token)
            options |= {
                "--matrix-homeserver": homeserver.url,
                "--matrix-user": self.room.bot.user_id,
                "--matrix-room": self.room.id,
                "--matrix-token-file": str(token),
                "--matrix-responder": self.room.responder.user_id,
            }
        pairs = [word for pair in options.items() for word in pair]
        self.run("init", str(self.directory), *pairs, *more, here=False)

    def start(self) -> None:
        """Start the process; call from the main thread."""
        self.process.start()

    def wait_ready(self) -> None:
        """Return when the node answers and is not down."""

        def well() -> bool:
            assert self.alive, self.log()
            return self.health().get("status") in {"ok", "degraded"}

        until(well, "the node answers", within_s=START_S)

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self.process.process is not None and self.process.process.poll() is None

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start again on the same directory and wait until it answers."""
        self.start()
        self.wait_ready()

    def kill_postgres(self) -> None:
        """SIGKILL to the node's database server (its sessions notice and end)."""
        os.kill(int((self.directory / "postgres/data/postmaster.pid").read_text().splitlines()[0]), 9)

    def health(self) -> dict[str, Any]:
        """/healthz; empty while nobody answers."""
        try:
            return dict(self.call("GET", "/healthz", token=None).json())
        except OSError:
            return {}

    def log(self) -> str:
        """What the node wrote to stderr of late, without what the tests themselves asked."""
        lines = self.process.log.read_text(errors="replace").splitlines()
        told = [line for line in lines if not ("INFO    GET /v1/" in line and line.endswith("bytes init"))]
        return "\n".join([f"--- {self.name} ---", *told[-60:]])

    def _end(self, sign: signal.Signals) -> int:
        process = self.process.process
        if process is None:
            return 0
        if process.poll() is None:
            process.send_signal(sign)
        code = process.wait(STOP_S)
        if process.stdout is not None:
            process.stdout.close()
        return code

    # Its people ------------------------------------------------------------------------------------------

    def run(
        self, *arguments: str, stdin: str | bytes | None = None, code: int | None = 0, here: bool = True
    ) -> Ran:
        """Run `tocsin` as a person of this organisation would. `code`: how it must end; None: as it likes."""
        full = [*arguments, "--dir", str(self.directory)] if here else list(arguments)
        done = subprocess.run(
            [sys.executable, "-m", "tocsin_cli", *full],
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            timeout=COMMAND_S,
            check=False,
            env=environment_of_a_run({"XDG_STATE_HOME": str(self.home / f"{self.name}-state")}),
        )
        ran = Ran(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert code is None or ran.code == code, f"$ tocsin {' '.join(full)}\n{ran}\n{self.log()}"
        return ran

    def json(self, *arguments: str, stdin: str | bytes | None = None) -> Any:
        """The same with --json; the document."""
        return self.run(*arguments, "--json", stdin=stdin).json()

    def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        kind: str = STIX,
        token: str | None = "",
        within_s: float = 30,
    ) -> Answer:
        """One request to the node. `token`: empty for the admin's, None for none. Raises: OSError."""
        headers = {"Content-Type": kind} if body is not None else {}
        if token is not None:
            headers["Authorization"] = f"Bearer {token or (self.directory / 'token').read_text().strip()}"
        request = urllib.request.Request(self.url + path, data=body, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=within_s) as answer:
                return Answer(answer.status, answer.read(), dict(answer.headers))
        except urllib.error.HTTPError as exc:
            with exc:
                return Answer(exc.code, exc.read(), dict(exc.headers))

    def get(self, path: str) -> Any:
        """One document of the API; None when it is not there (yet)."""
        answer = self.call("GET", f"/v1{path}")
        if answer.status == 404:
            return None
        assert answer.status == 200, answer
        return answer.json()

    def post(self, path: str, document: Any = None) -> Any:
        """Send a document to the API; what comes back."""
        answer = self.call("POST", f"/v1{path}", json.dumps(document or {}).encode(), kind="application/json")
        assert answer.status < 300, answer
        return answer.json()

    def spoken(self, about: str = "") -> int:
        """How many entries its log holds, receipts left out; `about`: only those about this report."""
        return asyncio.run(spoken_at(self.database_url, about))

    # Reports ---------------------------------------------------------------------------------------------

    def bundle(self, title: str, *, incident_id: str | None = None, **fields: Any) -> bytes:
        """A report's bytes as the command line makes them; severe unless `fields` say otherwise."""
        form = {"title": title, "description": f"What happened: {title}.", "tlp": "green", **SEVERE, **fields}
        form = {name: value for name, value in form.items() if value is not None}
        chosen = incident_id or f"incident--{uuid.uuid4()}"
        return build(form, producer=self.identity, incident_id=chosen, now=datetime.now(UTC))

    @property
    def identity(self) -> dict[str, Any]:
        """The identity object that the node's reports are filed under."""
        known: dict[str, Any] | None = self.__dict__.get("_identity")
        if known is None:
            known = self.__dict__["_identity"] = self.get("/node")["identity"]
        return known

    def file(self, title: str, *, query: str = "", mild: bool = False, **fields: Any) -> dict[str, Any]:
        """File a report through the API; what the node said. It must have been stored."""
        if mild:
            fields = {**dict.fromkeys(SEVERE), **MILD, **fields}
        answer = self.call("POST", f"/v1/reports{query}", self.bundle(title, **fields))
        assert answer.status == 201, answer
        return dict(answer.json())

    def await_report(self, report_id: str, ver: int = 1, *, within_s: float = WITHIN_S) -> dict[str, Any]:
        """The report as soon as that version of it is here."""

        def there() -> dict[str, Any] | None:
            report = self.get(f"/reports/{report_id}")
            return report if report is not None and report["ver"] >= ver else None

        return until(there, f"{self.name} has {report_id} v{ver}", within_s=within_s, log=self.log)

    def await_all_of(self, peer: "Neighbour", *, within_s: float = WITHIN_S) -> None:
        """Return when this node has dealt with everything that is in `peer`'s log now."""
        size = peer.get("/node")["log"]["size"]

        def done() -> bool:
            return bool(self.get(f"/peers/{peer.name}")["log"]["next_index"] >= size)

        until(done, f"{self.name} has all {size} of {peer.name}", within_s=within_s, log=self.log)

    def settled(self, peer: "Neighbour") -> dict[str, Any]:
        """How the exchange with `peer` stands once everything of it was dealt with."""
        self.await_all_of(peer)
        return dict(self.get(f"/peers/{peer.name}"))

    def alerts_about(self, report_id: str) -> list[dict[str, Any]]:
        """The alerts that a report raised here, oldest first."""
        items = self.get("/alerts?limit=500")["items"]
        return [alert for alert in reversed(items) if alert["report_id"] == report_id]


def form_text(title: str, *, base: Mapping[str, Any] = SEVERE, **fields: Any) -> str:
    """A form as a person writes it: TOML."""
    form = {"title": title, "description": f"What happened: {title}.", "tlp": "green", **base, **fields}
    text = "\n".join(f"{name} = {_toml(value)}" for name, value in form.items()) + "\n"
    tomllib.loads(text)
    return text


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_toml(each)}" for name, each in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def introduce(
    inviter: Neighbour,
    joiner: Neighbour,
    *,
    verified: bool = True,
    inviter_limits: Mapping[str, str] | None = None,
    joiner_limits: Mapping[str, str] | None = None,
) -> None:
    """Make two nodes peers through their APIs, both approving; with the eight words unless not `verified`."""
    invite = inviter.post("/peers/invites", {"name": joiner.name})["invite"]
    joined = joiner.post("/peers/join", {"invite": invite, "name": inviter.name})
    seen = inviter.get(f"/peers/{joiner.name}")
    assert joined["sas"] == seen["sas"]
    yes = {"sas": " ".join(joined["sas"])} if verified else {"unverified": True}
    inviter.post(f"/peers/{joiner.name}/approve", {**yes, **(inviter_limits or {})})
    joiner.post(f"/peers/{inviter.name}/approve", {**yes, **(joiner_limits or {})})


def start_all(neighbours: Iterable[Neighbour], homeserver: Synapse | None = None) -> None:
    """Make and start several nodes side by side; their wires must be open. Call from the main thread."""
    nodes = list(neighbours)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda node: node.initialise(homeserver), nodes))
    for node in nodes:
        node.start()
    with ThreadPoolExecutor() as pool:
        list(pool.map(Neighbour.wait_ready, nodes))


def until(
    look: Callable[[], T],
    what: str,
    *,
    within_s: float = WITHIN_S,
    log: Callable[[], str] = str,
) -> T:
    """Look again and again until something is there; returns it."""
    end = time.monotonic() + within_s
    while not (seen := look()):
        assert time.monotonic() < end, f"not within {within_s:g} s: {what}\n{log()}"
        time.sleep(POLL_S)
    return seen
