"""The call to a watchman outside, who raises the alarm when it does not come any more.

The address is a secret: who knows it can feign a live node. It leaves this module in no log, error or repr. No redirect
is followed, and of the answer only its status is looked at.
"""

from collections.abc import Callable

from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar, InvalidURL

from tocsin_node.errors import SecretError
from tocsin_node.settings.operators import HeartbeatSettings

USER_AGENT = "Tocsin"


class HeartbeatCaller:
    """Calls one address. Both secrets are read at every call, so that new ones need no restart."""

    def __init__(
        self,
        settings: HeartbeatSettings,
        read_url: Callable[[], bytes],
        read_token: Callable[[], bytes] | None = None,
    ) -> None:
        self._settings = settings
        self._read_url = read_url
        self._read_token = read_token

    async def call(self) -> str | None:
        """Call once; returns None when it was taken, else a code that says why it was not."""
        try:
            url = self._read_url().decode("ascii")
            headers = {"User-Agent": USER_AGENT}
            if self._read_token is not None:
                headers["Authorization"] = f"Bearer {self._read_token().decode('ascii')}"
        except (SecretError, UnicodeDecodeError):
            return "heartbeat-secret-missing"
        timeout = ClientTimeout(total=self._settings.request_timeout_s)
        try:
            async with (
                ClientSession(cookie_jar=DummyCookieJar(), headers=headers, timeout=timeout) as session,
                session.request(self._settings.method, url, allow_redirects=False) as answer,
            ):
                return None if 200 <= answer.status < 300 else f"heartbeat-answered-{answer.status}"
        except TimeoutError:
            return "heartbeat-silent"
        except InvalidURL:
            return "heartbeat-url-invalid"
        except (ClientError, OSError, ValueError):
            return "heartbeat-unreachable"
