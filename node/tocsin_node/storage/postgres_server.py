"""One PostgreSQL process: its data directory, its start, its watch, its end."""

import asyncio
import contextlib
import logging
import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

from tocsin_node.storage.errors import PostgresFailed
from tocsin_node.storage.postgres_binaries import Binaries, data_major
from tocsin_node.storage.postgres_user import ServerUser, give

SUPERUSER = "node"
PORT = 5432
POLL_S = 0.01
STOP_FAST_S = 30.0
STOP_IMMEDIATE_S = 5.0
RESTART_MAX_S = 30.0
LOG_MAX_BYTES = 16 * 1024 * 1024
FIXED = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_directories": "../run",  # relative to the data directory: no path is too long for it
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
logger = logging.getLogger(__name__)


class Server:
    """The server's process and its files under `home`. The caller holds the owner's lock."""

    def __init__(
        self, home: Path, binaries: Binaries, user: ServerUser, options: tuple[tuple[str, str], ...]
    ) -> None:
        self._home, self._data, self._log = home, home / "data", home / "postgres.log"
        self._binaries, self._user, self._options = binaries, user, options
        self._process: asyncio.subprocess.Process | None = None
        self.trouble: str | None = None

    async def prepare(self) -> None:
        """Directories, the data directory, who may come in; no server runs on it afterwards."""
        for path in (self._home, self._home / "run"):
            give(path, self._user)
        if data_major(self._data) is None:
            await self._initdb()
        _write(self._data / "pg_hba.conf", "local all all peer map=node\n", self._user)
        _write(
            self._data / "pg_ident.conf",
            "".join(f"node {name} {SUPERUSER}\n" for name in self._guests()),
            self._user,
        )
        await stop_orphan(self._data)

    async def start(self) -> None:
        """Start the server and wait until it takes connections (after a crash: until it has recovered).

        Raises: PostgresFailed with what the server said.
        """
        deadline = time.monotonic() + STOP_IMMEDIATE_S
        while True:
            try:
                await self._start()
            except PostgresFailed as exc:
                # The sessions of a killed server take a moment to notice; until then they hold its memory.
                if "still in use" not in exc.message or time.monotonic() > deadline:
                    raise
                await asyncio.sleep(POLL_S * 10)
            else:
                return

    async def _start(self) -> None:
        settings = [
            part for name, value in (*FIXED.items(), *self._options) for part in ("-c", f"{name}={value}")
        ]
        command = [str(self._binaries.postgres), "-D", self._user.sees(self._data), *settings]
        with _open_log(self._log) as log:
            start = log.tell()
            self._process = await asyncio.create_subprocess_exec(
                *self._user.command(self._data, command, parent=os.getpid()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_environment(),
                start_new_session=True,  # the terminal's Ctrl-C is for the node, which then stops the server
            )
        await self._ready(start)

    async def watch(self) -> None:
        """Start the server again whenever it ends by itself; for as long as the task lives."""
        pause_s = 0.1
        while True:
            assert self._process is not None
            started = time.monotonic()
            code = await self._process.wait()
            self.trouble = f"PostgreSQL ended unexpectedly ({_how(code)}) and is being started again."
            logger.error(self.trouble)
            pause_s = 0.1 if time.monotonic() - started > RESTART_MAX_S else min(pause_s * 2, RESTART_MAX_S)
            await asyncio.sleep(pause_s)  # a back-off, not a wait for something
            try:
                await stop_orphan(self._data)
                await self.start()
            except PostgresFailed as exc:
                self.trouble = exc.message
                logger.error("PostgreSQL does not start: %s", exc.message)  # noqa: TRY400  the message says it all
            else:
                self.trouble = None

    async def stop(self) -> None:
        """Fast shutdown: sessions are cut off, what was committed is on the disk."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        for sign, patience_s in ((signal.SIGINT, STOP_FAST_S), (signal.SIGQUIT, STOP_IMMEDIATE_S)):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(sign)
            try:
                async with asyncio.timeout(patience_s):
                    await process.wait()
            except TimeoutError:
                logger.warning("PostgreSQL does not stop on %s", sign.name)
            else:
                return
        process.kill()
        await process.wait()

    def _guests(self) -> list[str]:
        return sorted({self._user.name, pwd.getpwuid(os.geteuid()).pw_name, "root"})

    async def _initdb(self) -> None:
        fresh = self._home / "data.new"
        if fresh.exists():
            shutil.rmtree(fresh)  # left by an interrupted try; the lock is ours
        give(fresh, self._user)
        command = [
            str(self._binaries.initdb),
            "-D",
            self._user.sees(fresh),
            "-U",
            SUPERUSER,
            "--encoding=UTF8",
            "--locale=C",
        ]
        command += ["--auth-local=peer", "--auth-host=reject", "--data-checksums", "--no-instructions"]
        process = await asyncio.create_subprocess_exec(
            *self._user.command(fresh, command, parent=os.getpid()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=_environment(),
        )
        try:
            said, _ = await process.communicate()
        finally:
            if (
                process.returncode is None
            ):  # we are cancelled: it tidies up and must be gone before anybody tries again
                process.terminate()
                await process.wait()
        if process.returncode != 0:
            raise PostgresFailed(f"initdb failed:\n{said.decode(errors='replace')[-2000:].strip()}")
        fresh.rename(self._data)

    async def _ready(self, log_start: int) -> None:
        process = self._process
        assert process is not None
        told_at = time.monotonic()
        while process.returncode is None:
            pid, state = read_pid_file(self._data)
            if pid == process.pid and state == "ready":  # after a crash the old file still says ready
                return
            if time.monotonic() - told_at > 10:
                logger.info("PostgreSQL is starting; it recovers after a crash, which can take a while")
                told_at = time.monotonic()
            await asyncio.sleep(POLL_S)  # the server offers no event; it writes its state into a file
        raise PostgresFailed(f"PostgreSQL did not start:\n{_tail(self._log, log_start)}")


async def stop_orphan(data: Path) -> None:
    """Stop a server that outlived its owner, so that ours is the only one. We hold the owner's lock."""
    pid, _ = read_pid_file(data)
    if pid is None or not _is_server_of(pid, data):
        return
    logger.info("a PostgreSQL without an owner (process %d) is being stopped", pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGINT)
    deadline = time.monotonic() + STOP_FAST_S
    while _is_server_of(pid, data):
        if time.monotonic() > deadline:
            raise PostgresFailed(
                f"An old PostgreSQL (process {pid}) does not stop.", hint=f"kill -QUIT {pid}"
            )
        await asyncio.sleep(POLL_S)  # not our child: there is nothing to wait on


def _is_server_of(pid: int, data: Path) -> bool:
    """Whether process `pid` is a PostgreSQL on this data directory, not a stranger with a reused number."""
    if sys.platform == "linux":
        try:
            name = Path(f"/proc/{pid}/comm").read_text().strip()
            return name == "postgres" and Path(f"/proc/{pid}/cwd").samefile(data)
        except OSError:
            return False
    command = ["ps", "-p", str(pid), "-o", "comm="]
    seen = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603  a number
    return seen.strip().endswith("postgres")


def read_pid_file(data: Path) -> tuple[int | None, str]:
    """The server's process id and state (line 8); (None, "") without such a file or with half of it."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="utf-8", errors="replace").splitlines()
        return int(lines[0]), lines[7].strip() if len(lines) > 7 else ""
    except (OSError, ValueError, IndexError):
        return None, ""


def _write(path: Path, text: str, user: ServerUser) -> None:
    path.write_text(text, encoding="ascii")
    path.chmod(0o600)
    if user.drop:
        os.chown(path, user.uid, user.gid)


def _open_log(path: Path) -> IO[bytes]:
    if path.exists() and path.stat().st_size > LOG_MAX_BYTES:
        path.replace(path.with_suffix(".log.1"))
    log = path.open("ab")
    path.chmod(0o600)
    return log


def _tail(path: Path, start: int) -> str:
    text = path.read_bytes()[start:].decode(errors="replace")
    return "\n".join(text.strip().splitlines()[-12:]) or "(it said nothing)"


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C"}


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
