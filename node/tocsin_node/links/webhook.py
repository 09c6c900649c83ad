"""Alerts to a program of others: signed HTTP requests after Standard Webhooks 1.0.

The signature covers the message's name, the moment of the try and the body byte by byte, so that a receiver can
refuse what is forged, changed or repeated. The name (`webhook-id`, also `Idempotency-Key`) stays the same however
often a message is tried. No redirect is followed: the alert would go to another host. Of an answer only its status
and `Retry-After` are looked at; its body is never read. The secret leaves this module in no log, error or repr.
"""

import base64
import hashlib
import hmac
import json
import ssl
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorSSLError,
    ClientError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)

from tocsin_node.errors import SecretError
from tocsin_node.links.transport import BadMessage, ChannelDown, Outcome, Ready, Retry, Sent
from tocsin_node.settings.channels import WebhookSettings

PREFIX = "whsec_"
KEY_BYTES = range(24, 65)  # the standard's bounds
LIMITED_DEFAULT_S = 5.0
LIMITED_MOST_S = 3600.0
USER_AGENT = "Tocsin"
NEW_SECRET = "The file needs whsec_ and the base64 of 24 to 64 random bytes; the receiver needs the same."  # noqa: S105


class Webhook:
    """One receiver. `read_secret` is asked at every look, so that a new secret needs no restart."""

    def __init__(
        self,
        settings: WebhookSettings,
        read_secret: Callable[[], bytes],
        ca_file: Path | None = None,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._settings = settings
        self._read_secret = read_secret
        self._ca_file = ca_file
        self._now = now
        self._key: bytes | None = None
        self._session: ClientSession | None = None

    async def send(self, room: str, kind: str, content: Mapping[str, Any], txn: str) -> Outcome:  # noqa: ARG002
        """Post one message; see `Sender`."""
        if self._key is None:
            return ChannelDown("webhook-secret-missing", NEW_SECRET)
        body = encoded(content)
        at_s = int(self._now().timestamp())
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": txn,
            "webhook-id": txn,
            "webhook-timestamp": str(at_s),
            "webhook-signature": sign(self._key, txn, at_s, body),
        }
        answer = await self._ask("POST", body, headers)
        return meaning(*answer) if isinstance(answer, tuple) else answer

    async def unsay(self, room: str, event_id: str, txn: str) -> Outcome:
        """What was handed over cannot be taken back."""
        del room, event_id, txn
        return BadMessage("not-taken-back")

    async def preflight(self, room: str) -> Ready | Retry | ChannelDown:  # noqa: ARG002  there is one place
        """Look at the secret, the certificates and whether anybody answers; what is answered does not matter."""
        try:
            self._key = key_from(self._read_secret())
        except SecretError as exc:
            self._key = None
            return ChannelDown("webhook-secret-missing", f"{exc.hint} {NEW_SECRET}", exc.message)
        answer = await self._ask("OPTIONS", None, {})
        return Ready() if isinstance(answer, tuple) else answer

    async def close(self) -> None:
        """Let go of connections."""
        if self._session is not None:
            await self._session.close()

    async def _ask(
        self, method: str, body: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, str | None] | Retry | ChannelDown:
        """Status and Retry-After of an answer, or why there is none."""
        try:
            session = self._opened()
            async with session.request(
                method, self._settings.url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                found = answer.status, answer.headers.get("Retry-After")
                answer.close()
                return found
        except TimeoutError:
            return Retry("webhook-silent")
        except (ClientConnectorCertificateError, ClientConnectorSSLError, ssl.SSLError) as exc:
            hint = "The receiver's certificate is not trusted: mend it there, or name its authority in webhook.ca_file."
            return ChannelDown("webhook-tls-failed", hint, str(exc))
        except (ClientError, OSError):
            return Retry("webhook-unreachable")

    def _opened(self) -> ClientSession:
        if self._session is None:
            trusted = ssl.create_default_context(cafile=self._ca_file)
            self._session = ClientSession(
                connector=TCPConnector(
                    ssl=trusted, force_close=True
                ),  # an alert an hour needs no open connection
                cookie_jar=DummyCookieJar(),
                headers={"User-Agent": USER_AGENT},
                timeout=ClientTimeout(total=self._settings.request_timeout_s),
                auto_decompress=False,
            )
        return self._session


def encoded(content: Mapping[str, Any]) -> bytes:
    """The body: the same bytes at every try."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sign(key: bytes, name: str, at_s: int, body: bytes) -> str:
    """The header `webhook-signature` (Standard Webhooks 1.0, symmetric)."""
    signed = b".".join((name.encode(), str(at_s).encode(), body))
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def key_from(secret: bytes) -> bytes:
    """The key that a secret file's content stands for.

    Raises: SecretError.
    """
    text = secret.decode("ascii", errors="replace")
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True) if text.startswith(PREFIX) else b""
    except ValueError:  # of base64, or no ASCII
        key = b""
    if len(key) not in KEY_BYTES:
        raise SecretError("The webhook's secret is none.", hint="Write it anew.")
    return key


def meaning(status: int, retry_after: str | None) -> Outcome:
    """Say what an answer means, in this order.

    1. 2xx: taken. 2. 3xx: the address is wrong. 3. 429, or a time to wait with 503: wait as told. 4. 408, 425, 5xx:
    try again. 5. 413: this message is too long. 6. The rest: the channel is down until a person mends it.
    """
    if 200 <= status < 300:
        return Sent(None)
    if 300 <= status < 400:
        return ChannelDown("webhook-moved", "The receiver is elsewhere now: correct webhook.url.")
    if status == 429 or (status == 503 and _seconds(retry_after) is not None):
        wait_s = _seconds(retry_after)
        return Retry("webhook-limited", LIMITED_DEFAULT_S if wait_s is None else wait_s)
    if status in {408, 425} or status >= 500:
        return Retry(f"webhook-answered-{status}")
    if status == 413:
        return BadMessage("webhook-too-long")
    if status == 410:
        return ChannelDown("webhook-gone", "The receiver wants no more alerts: correct or remove [webhook].")
    if status in {401, 403}:
        hint = (
            "The receiver does not trust the signature: give both the same secret, and compare their clocks."
        )
        return ChannelDown("webhook-signature-refused", hint)
    hint = f"The receiver refuses alerts with status {status}: look into its log, and at webhook.url."
    return ChannelDown("webhook-refused", hint)


def _seconds(retry_after: str | None) -> float | None:
    text = (retry_after or "").strip()
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        return None
    return min(max(float(text), 1.0), LIMITED_MOST_S)
