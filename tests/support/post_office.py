"""A real SMTP server (aiosmtpd) that takes mails, and can refuse, hang or be away."""

# ruff: noqa: ARG002, N802  aiosmtpd calls its handlers by these names and with these arguments
import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from tests.support.ports import free_port

USER, PASSWORD = "tocsin", "hush-hush"


@dataclass
class PostOffice:
    """`mails`: as they were taken. `data`, `recipients`: what is answered instead, each once; `hang`: nothing is."""

    port: int = field(default_factory=free_port)
    mails: list[EmailMessage] = field(default_factory=list)
    envelopes: list[list[str]] = field(default_factory=list)
    data: list[str] = field(default_factory=list)
    always: str | None = None
    refused: dict[str, str] = field(default_factory=dict)
    hang: int = 0
    hung: int = 0
    tls: ssl.SSLContext | None = None
    login: bool = False
    _server: asyncio.Server | None = None
    _free: asyncio.Event = field(default_factory=asyncio.Event)

    def settings(self, **more: Any) -> dict[str, Any]:
        """The [mail] section that leads here."""
        return {
            "server": "127.0.0.1",
            "port": self.port,
            "security": "none",
            "sender": "tocsin@example.org",
            "recipients": ("duty@example.org", "second@example.org"),
            "request_timeout_s": 2.0,
            "sends_per_s": 100.0,
            "send_burst": 100,
            **more,
        }

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._conversation, "127.0.0.1", self.port)

    async def stop(self) -> None:
        self._free.set()
        if self._server is not None:
            self._server.close()
            self._server = None

    def _conversation(self) -> SMTP:
        return SMTP(
            self,
            hostname="localhost",
            tls_context=self.tls,
            require_starttls=self.tls is not None,
            auth_required=self.login,
            authenticator=self._authenticate if self.login else None,
        )

    def _authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, how: str, who: Any
    ) -> AuthResult:
        right = (who.login, who.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=right, handled=right)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.hang:
            self.hang -= 1
            self.hung += 1
            await self._free.wait()
        if self.data:
            return self.data.pop(0)
        if self.always is not None:
            return self.always
        assert isinstance(envelope.content, bytes)
        mail = message_from_bytes(envelope.content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.envelopes.append(list(envelope.rcpt_tos))
        return "250 taken"


@asynccontextmanager
async def post_office(*, start: bool = True, **how: Any) -> AsyncIterator[PostOffice]:
    """A mail server on a free port for the block."""
    office = PostOffice(**how)
    if start:
        await office.start()
    try:
        yield office
    finally:
        await office.stop()


def certificate(directory: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate for 127.0.0.1 that is its own authority, and a server's context with it."""
    cert, key = directory / "cert.pem", directory / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    return cert, context
