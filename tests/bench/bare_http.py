"""A bare aiohttp server: reads a body, answers 201 with as many bytes as a filing does. The limit of HTTP here."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

from aiohttp import web

ANSWER = b'{"outcome":"' + b"x" * 700 + b'"}'


async def answer(request: web.Request) -> web.Response:
    await request.read()
    return web.Response(body=ANSWER, status=201, content_type="application/json")


async def serve() -> None:
    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await runner.cleanup()


@contextlib.contextmanager
def bare_server() -> Iterator[str]:
    """The server's address, for the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.bare_http"], stdout=subprocess.PIPE, env=dict(os.environ)
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/"
    finally:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


if __name__ == "__main__":
    asyncio.run(serve())
