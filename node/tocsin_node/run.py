"""Running a node as a process: start, say so, serve, drain at SIGTERM, stop. Also the throw-away node.

Draining: no new connections, /healthz says down, requests in flight may end (`node.drain_s`), then the
services, the pool and the node's own PostgreSQL stop, in this order. A second signal does not wait.
"""

import asyncio
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

from tocsin_node import schedule, throwaway
from tocsin_node.app import IN_FLIGHT, build_app
from tocsin_node.errors import NodeError, PortTaken
from tocsin_node.health import address_check
from tocsin_node.initialise import initialise
from tocsin_node.opening import open_node
from tocsin_node.passphrase import Passphrase
from tocsin_node.secrets import TOKEN_FILE, read_secret_file
from tocsin_node.settings.loading import load
from tocsin_node.settings.record import Settings

LOG_FORMAT = "%(asctime)s %(levelname)-7s %(message)s"
LOG_TIME = "%Y-%m-%d %H:%M:%S"
KEEPALIVE_S = 75.0
BACKLOG = 512
CUT_OFF_S = 1.0
LOUD = ("apscheduler", "aiohttp.access", "asyncio", "nio")
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
logger = logging.getLogger(__name__)

Serving = Callable[[asyncio.Event, Callable[[], None]], Awaitable[None]]


def run_node(directory: Path, passphrase: Passphrase | None = None) -> None:
    """Run the node in `directory` until a signal stops it. `passphrase`: what its private keys are locked by.

    Raises: NodeError when it cannot be started, in words for its operator.
    """
    settings = load(directory)
    log_to_stderr(settings.node.log_level)
    asyncio.run(_until_signal(lambda stop, started: _run(settings, stop, started, passphrase)))


def run_ephemeral(org: str, environment: Mapping[str, str]) -> None:
    """Run a throw-away node until a signal stops it, and leave nothing behind.

    When it is ready, one JSON line on standard output says `url`, `token` and `dir`. `environment` may hold
    settings, such as TOCSIN_ALERTS_GRADE_III. Listens on a free port of 127.0.0.1. What killed ones have left
    behind is taken away first.
    """
    for sign in SIGNALS:  # until the loop listens to them: what was begun is taken away again
        if signal.getsignal(sign) is not signal.SIG_IGN:  # nohup
            signal.signal(sign, _stop_early)
    with throwaway.directory() as home, socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listening:
        port = listening.getsockname()[1]
        initialise(home, {"node": {"org": org, "host": "127.0.0.1", "port": port}})
        own = {name: value for name, value in environment.items() if name not in _ADDRESS_VARIABLES}
        settings = load(home, own)
        log_to_stderr(settings.node.log_level)
        asyncio.run(_until_signal(lambda stop, started: _run_ephemeral(settings, listening, stop, started)))


def _stop_early(sign: int, _frame: object) -> None:
    raise SystemExit(128 + sign)


_ADDRESS_VARIABLES = frozenset(
    {"TOCSIN_NODE_HOST", "TOCSIN_NODE_PORT", "TOCSIN_NODE_URL", "TOCSIN_NODE_DOMAIN"}
)


async def serve(
    settings: Settings,
    stop: asyncio.Event,
    ready: Callable[[str], None],
    *,
    listening: socket.socket | None = None,
    passphrase: Passphrase | None = None,
) -> None:
    """Open the node, serve it until `stop` is set, drain it, close it. `ready` is told the address it serves.

    Raises: PortTaken, and what `open_node` raises.
    """
    async with open_node(settings, passphrase=passphrase) as node:
        node.health.add("address", address_check(settings, node.identity))
        app = build_app(node)
        runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            shutdown_timeout=CUT_OFF_S,
            keepalive_timeout=KEEPALIVE_S,
            auto_decompress=False,  # compressed bodies are refused, not unpacked
        )
        await runner.setup()
        try:
            address = await _listen(runner, settings, listening)
            timetable = schedule.start(node)
            try:
                await node.health.report()  # what is wrong from the start is said at the start
                ready(address)
                await stop.wait()
            finally:
                timetable.shutdown(wait=False)
                node.stopping.set()
                for site in runner.sites:
                    await site.stop()
            # Not left to the runner: it throws away the rest of a body that is still arriving.
            if not await app[IN_FLIGHT].ended(settings.node.drain_s):
                logger.warning(
                    "some requests did not end within %.0f s and are cut off", settings.node.drain_s
                )
        finally:
            await runner.cleanup()


def log_to_stderr(level: str) -> None:
    """Plain lines on standard error; libraries only from warnings on, unless debugging."""
    logging.basicConfig(
        level=level.upper(), format=LOG_FORMAT, datefmt=LOG_TIME, stream=sys.stderr, force=True
    )
    for name in LOUD if level != "debug" else ():
        logging.getLogger(name).setLevel(logging.WARNING)


async def _run(
    settings: Settings, stop: asyncio.Event, started: Callable[[], None], passphrase: Passphrase | None
) -> None:
    def ready(address: str) -> None:
        logger.info("%s is ready at %s", settings.node.org, address)
        _tell_service_manager("READY=1")
        started()

    try:
        await serve(settings, stop, ready, passphrase=passphrase)
    finally:
        _tell_service_manager("STOPPING=1")
    logger.info("%s has stopped", settings.node.org)


async def _run_ephemeral(
    settings: Settings, listening: socket.socket, stop: asyncio.Event, started: Callable[[], None]
) -> None:
    def ready(address: str) -> None:
        token = read_secret_file(settings.dir / TOKEN_FILE).decode("ascii")
        line: dict[str, Any] = {"url": address, "token": token, "dir": str(settings.dir)}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
        started()

    await serve(settings, stop, ready, listening=listening)


async def _until_signal(serving: Serving) -> None:
    """Run `serving` until it ends or a signal comes.

    A signal before it has started cancels it; later the first one asks it to drain and the second cancels.
    """
    loop = asyncio.get_running_loop()
    stop, started = asyncio.Event(), asyncio.Event()
    task = asyncio.ensure_future(serving(stop, started.set))

    def on_signal(sign: signal.Signals) -> None:
        if started.is_set() and not stop.is_set():
            logger.info("%s: finishing what is in flight", sign.name)
            stop.set()
        else:
            task.cancel()

    # Who starts it under nohup wants it to outlive the terminal.
    heard = [sign for sign in SIGNALS if signal.getsignal(sign) is not signal.SIG_IGN]
    for sign in heard:
        loop.add_signal_handler(sign, on_signal, sign)
    try:
        await task
    except asyncio.CancelledError:
        logger.info("stopped before everything had ended")
    except BaseExceptionGroup as group:
        raise _cause(group) from group
    finally:
        for sign in heard:
            loop.remove_signal_handler(sign)


def _cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one error that is worth telling: ours before others, the first before later ones."""
    leaves = [_cause(exc) if isinstance(exc, BaseExceptionGroup) else exc for exc in group.exceptions]
    return next((exc for exc in leaves if isinstance(exc, NodeError)), leaves[0])


async def _listen(runner: web.AppRunner, settings: Settings, listening: socket.socket | None) -> str:
    wanted = settings.node
    site: web.BaseSite
    if listening is not None:
        site = web.SockSite(runner, listening, backlog=BACKLOG)
    else:
        site = web.TCPSite(runner, wanted.host, wanted.port, backlog=BACKLOG)
    try:
        await site.start()
    except OSError as exc:
        raise PortTaken(f"The node cannot listen on {wanted.host}:{wanted.port}: {exc.strerror}.") from exc
    host, port = runner.addresses[0][:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _tell_service_manager(state: str) -> None:
    """sd_notify: systemd's `Type=notify` units wait for READY=1."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
        try:
            out.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)
        except OSError as exc:
            logger.warning("the service manager could not be told %s: %s", state, exc)
