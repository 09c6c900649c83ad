"""A real Matrix homeserver (Synapse) on this machine, and people who use it: for the demo and for the tests.

Standard library only. Synapse runs as a child process with its data in one directory and listens on loopback;
it ends when its parent ends, however that happens. Nothing here is meant for a homeserver that people rely
on: its passwords are hashed quickly and, unless asked for, its rate limits are off.
"""

import contextlib
import ctypes
import hashlib
import hmac
import http.client
import json
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

SERVER_NAME = "hs.test"
READY_TIMEOUT_S = 90.0
PR_SET_PDEATHSIG = 1

CONFIG = """\
server_name: {name}
report_stats: false
pid_file: {directory}/synapse.pid
signing_key_path: {directory}/signing.key
macaroon_secret_key: {macaroon_secret}
form_secret: {form_secret}
registration_shared_secret: {registration_secret}
bcrypt_rounds: 4
enable_media_repo: false
media_store_path: {directory}/media
trusted_key_servers: []
federation_domain_whitelist: []
presence: {{enabled: false}}
caches: {{sync_response_cache_duration: 0s}}
listeners:
  - {{port: {port}, bind_addresses: ['127.0.0.1'], type: http, tls: false, resources: [{{names: [client]}}]}}
database: {{name: sqlite3, args: {{database: {directory}/synapse.db}}}}
log_config: {directory}/log.yaml
"""
LOG_CONFIG = "version: 1\nroot: {level: ERROR}\ndisable_existing_loggers: false\n"
NO_LIMIT = "{per_second: 1000000, burst_count: 1000000}"
NO_LIMITS = f"""\
rc_message: {NO_LIMIT}
rc_registration: {NO_LIMIT}
rc_login: {{address: {NO_LIMIT}, account: {NO_LIMIT}, failed_attempts: {NO_LIMIT}}}
rc_joins: {{local: {NO_LIMIT}, remote: {NO_LIMIT}}}
rc_joins_per_room: {NO_LIMIT}
rc_invites: {{per_room: {NO_LIMIT}, per_user: {NO_LIMIT}, per_issuer: {NO_LIMIT}}}
"""


class MatrixRefused(Exception):
    """The homeserver refused a request."""

    def __init__(self, status: int, body: Any) -> None:
        self.status = status
        self.code = body.get("errcode") if isinstance(body, dict) else None
        super().__init__(f"{status} {body}")


@dataclass
class Person:
    """A user with a client of their own: blocking calls, one at a time."""

    url: str
    user_id: str
    device_id: str
    access_token: str = field(repr=False)
    password: str = field(default="", repr=False)
    since: str | None = None
    _unread: dict[str, list[dict[str, Any]]] = field(default_factory=dict, repr=False)

    def call(self, method: str, path: str, body: Any = None, *, timeout_s: float = 60) -> Any:
        """One request to the client API; returns the JSON of the answer.

        Raises: MatrixRefused, OSError.
        """
        return _call(f"{self.url}/_matrix/client/v3{path}", method, body, self.access_token, timeout_s)

    def create_room(self, *invite: str, name: str = "Incidents", **options: Any) -> str:
        """A new private room of mine; returns its id. `options` go into the request as they are."""
        body = {"preset": "private_chat", "name": name, "invite": list(invite), **options}
        return str(self.call("POST", "/createRoom", body)["room_id"])

    def join(self, room: str) -> None:
        """Join a room that is public or that I was invited to."""
        self.call("POST", f"/join/{_quoted(room)}", {})

    def send(self, room: str, kind: str, content: dict[str, Any]) -> str:
        """Send any event; returns its id."""
        path = f"/rooms/{_quoted(room)}/send/{kind}/{secrets.token_hex(8)}"
        return str(self.call("PUT", path, content)["event_id"])

    def say(self, room: str, text: str, **content: Any) -> str:
        """Write a message; returns its id."""
        return self.send(room, "m.room.message", {"msgtype": "m.text", "body": text, **content})

    def react(self, room: str, event_id: str, key: str = "👀") -> str:
        """React to an event; returns the reaction's id."""
        relation = {"rel_type": "m.annotation", "event_id": event_id, "key": key}
        return self.send(room, "m.reaction", {"m.relates_to": relation})

    def redact(self, room: str, event_id: str) -> None:
        """Take an event back."""
        self.call("PUT", f"/rooms/{_quoted(room)}/redact/{_quoted(event_id)}/{secrets.token_hex(8)}", {})

    def set_state(self, room: str, kind: str, content: dict[str, Any], key: str = "") -> None:
        """Set a piece of the room's state."""
        self.call("PUT", f"/rooms/{_quoted(room)}/state/{kind}/{_quoted(key)}", content)

    def events(self, room: str) -> list[dict[str, Any]]:
        """Everything that stands in the room's timeline, oldest first."""
        found: list[dict[str, Any]] = []
        start = ""
        while True:
            path = f"/rooms/{_quoted(room)}/messages?dir=f&limit=500{start}"
            page = self.call("GET", path)
            found += page["chunk"]
            if "end" not in page or not page["chunk"]:
                return found
            start = f"&from={urllib.parse.quote(page['end'])}"

    def messages(self, room: str, sender: str | None = None) -> list[dict[str, Any]]:
        """The messages that a person sees in the room: without edits and without what was taken back."""
        return [
            event
            for event in self.events(room)
            if event["type"] == "m.room.message"
            and "body" in event["content"]
            and event["content"].get("m.relates_to", {}).get("rel_type") != "m.replace"
            and sender in {None, event["sender"]}
        ]

    def arrivals(self, room: str, *, wait_s: float = 20) -> list[dict[str, Any]]:
        """What came into the room since the last call; the first call only marks the place, others wait."""
        filter_ = '{"room":{"timeline":{"limit":100}}}'
        query = {"timeout": str(int(wait_s * 1000) if self.since else 0), "filter": filter_}
        if self.since:
            query["since"] = self.since
        first = self.since is None
        answer = self.call("GET", f"/sync?{urllib.parse.urlencode(query)}", timeout_s=wait_s + 15)
        self.since = answer["next_batch"]
        timeline = answer.get("rooms", {}).get("join", {}).get(room, {}).get("timeline", {})
        return [] if first else list(timeline.get("events", []))

    def wait_for(
        self, room: str, wanted: Callable[[dict[str, Any]], bool], *, within_s: float = 60
    ) -> dict[str, Any]:
        """The first event to arrive that is `wanted`; what came together with it is there for the next call.

        Raises: TimeoutError.
        """
        end = time.monotonic() + within_s
        unread = self._unread.setdefault(room, [])
        while True:
            while unread:
                if wanted(event := unread.pop(0)):
                    return event
            if (left := end - time.monotonic()) <= 0:
                raise TimeoutError(f"no such event in {room} within {within_s} s")
            unread += self.arrivals(room, wait_s=min(left, 20))


@dataclass
class Synapse:
    """One homeserver. `limited`: with the rate limits that Synapse ships with.

    `outlives`: it goes on when the process that started it ends; then whoever reads `pid` stops it.
    """

    directory: Path
    limited: bool = False
    outlives: bool = False
    port: int = 0
    _secret: str = field(default_factory=secrets.token_hex, repr=False)
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        """Whether its process runs (it may still be paused or starting)."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Its process, while it runs."""
        return self._process.pid if self._process is not None and self.alive else None

    def write_config(self) -> Path:
        """Write the configuration, on a free port unless one was given; returns its path."""
        self.directory.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_port()
        text = CONFIG.format(
            name=SERVER_NAME,
            directory=self.directory,
            port=self.port,
            macaroon_secret=secrets.token_hex(),
            form_secret=secrets.token_hex(),
            registration_secret=self._secret,
        )
        path = self.directory / "homeserver.yaml"
        path.write_text(text if self.limited else text + NO_LIMITS)
        (self.directory / "log.yaml").write_text(LOG_CONFIG)
        return path

    def start(self) -> None:
        """Start the process; call from the main thread (the child ends with the thread that started it)."""
        config = self.directory / "homeserver.yaml"
        if not config.exists():
            self.write_config()
        with (self.directory / "synapse.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "synapse.app.homeserver", "-c", str(config)],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=None if self.outlives else _end_with_parent,  # noqa: PLW1509  only sets a flag of the child
            )

    def wait_ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Return when it answers.

        Raises: RuntimeError with the end of its log when it does not.
        """
        end = time.monotonic() + timeout_s
        while self.alive and time.monotonic() < end:
            with contextlib.suppress(OSError, http.client.HTTPException):
                urllib.request.urlopen(f"{self.url}/health", timeout=2).close()  # noqa: S310  our own loopback address
                return
            time.sleep(0.05)
        raise RuntimeError(f"Synapse did not start:\n{self._log_tail()}")

    def stop(self) -> None:
        """End it in good order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stop it from answering, without closing a connection."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it answer again."""
        self._signal(signal.SIGCONT)

    def register(self, name: str, *, admin: bool = False) -> Person:
        """A new user with an access token, through the shared-secret API (no login, so no login limit)."""
        address = f"{self.url}/_synapse/admin/v1/register"
        nonce = _call(address, "GET", None, None, 30)["nonce"]
        password = secrets.token_hex(8)
        words = [nonce, name, password, "admin" if admin else "notadmin"]
        mac = hmac.new(self._secret.encode(), "\0".join(words).encode(), hashlib.sha1).hexdigest()
        body = {"nonce": nonce, "username": name, "password": password, "admin": admin, "mac": mac}
        answer = _call(address, "POST", body, None, 30)
        return Person(self.url, answer["user_id"], answer["device_id"], answer["access_token"], password)

    def log_in(self, person: Person) -> str:
        """Another access token for the same device, with the password."""
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": person.user_id},
            "password": person.password,
            "device_id": person.device_id,
        }
        return str(_call(f"{self.url}/_matrix/client/v3/login", "POST", body, None, 30)["access_token"])

    def _signal(self, number: int) -> None:
        assert self._process is not None, "not started"
        self._process.send_signal(number)

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGCONT)  # a stopped process does not see the other signal
        process.send_signal(number)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _log_tail(self) -> str:
        log = self.directory / "synapse.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-15:]) if log.exists() else "(no log)"

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def free_port() -> int:
    """A loopback port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(directory: Path, *, limited: bool = False) -> Iterator[Synapse]:
    """A homeserver for the block."""
    with Synapse(directory, limited=limited) as synapse:
        yield synapse


def _call(address: str, method: str, body: Any, token: str | None, timeout_s: float) -> Any:
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data=data, method=method, headers=headers)  # noqa: S310  loopback
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310  the same
            return json.load(answer)
    except urllib.error.HTTPError as exc:
        with exc:
            raw = exc.read()
        try:
            refusal: Any = json.loads(raw)
        except ValueError:
            refusal = raw.decode(errors="replace")
        raise MatrixRefused(exc.code, refusal) from exc


def _quoted(part: str) -> str:
    return urllib.parse.quote(part, safe="")


def _end_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
