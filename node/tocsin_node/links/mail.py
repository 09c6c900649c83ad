"""The one door to aiosmtplib: alerts as plain mails to a list of people.

One connection a mail: it is protected, logged in, the mail handed over and the answer taken, all within one time
limit. Without protection nothing goes beyond this machine. The Message-ID follows from the message's name and stays
the same however often it is tried, so that a mail that came twice is known to be one. Subject and body are ours or
made harmless before; addresses are checked by the settings; a line end cannot get into a header. The password leaves
this module in no log, error or repr.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from pathlib import Path
from typing import Any

import aiosmtplib

from tocsin_node.errors import SecretError
from tocsin_node.links.transport import BadMessage, ChannelDown, Outcome, Ready, Retry, Sent
from tocsin_node.settings.channels import MailSettings

SUBJECT_CHARACTERS = 200
SOME_REFUSED = ChannelDown(
    "mail-some-refused",
    "The mail server refused some recipients: correct mail.recipients. The log counts them.",
)
logger = logging.getLogger(__name__)


class Mail:
    """One mail server. `read_password` is asked at every connection, so that a new one needs no restart."""

    def __init__(
        self, settings: MailSettings, read_password: Callable[[], bytes], ca_file: Path | None = None
    ) -> None:
        self._settings = settings
        self._read_password = read_password
        self._ca_file = ca_file

    async def send(self, room: str, kind: str, content: Mapping[str, Any], txn: str) -> Outcome:  # noqa: ARG002
        """Hand over one mail; see `Sender`."""
        mail, to = letter(self._settings, content, txn), recipients(self._settings, content)
        return await self._talk(lambda server: self._hand_over(server, mail, to))

    async def unsay(self, room: str, event_id: str, txn: str) -> Outcome:
        """What was handed over cannot be taken back."""
        del room, event_id, txn
        return BadMessage("not-taken-back")

    async def preflight(self, room: str) -> Ready | Retry | ChannelDown:  # noqa: ARG002  there is one place
        """Connect, protect and log in, and leave again."""
        outcome = await self._talk(_nothing_to_say)
        if isinstance(outcome, Sent):
            return Ready()
        assert not isinstance(outcome, BadMessage), "nothing was said"
        return outcome

    async def close(self) -> None:
        """No connection outlives a mail."""

    async def _talk(self, say: Callable[[aiosmtplib.SMTP], Any]) -> Outcome:
        settings = self._settings
        password = ""
        if settings.user:
            try:
                password = self._read_password().decode("utf-8", errors="replace")
            except SecretError as exc:
                return ChannelDown("mail-password-missing", exc.hint, exc.message)
        server: aiosmtplib.SMTP | None = None
        try:
            async with asyncio.timeout(settings.request_timeout_s):
                server = self._server()
                await server.connect()
                if settings.security == "starttls":
                    await server.ehlo()
                    if not server.supports_extension("starttls"):
                        return _unprotected()
                    await server.starttls()
                if settings.user:
                    await server.login(settings.user, password)
                outcome: Outcome = await say(server)
                return outcome
        except aiosmtplib.SMTPAuthenticationError as exc:
            return _refused(exc.code, "mail-login-refused", "Correct mail.user and the password file.")
        except aiosmtplib.SMTPNotSupported:
            hint = (
                "The mail server offers no login that is known here: empty mail.user, or choose another port."
            )
            return ChannelDown("mail-login-refused", hint)
        except aiosmtplib.SMTPResponseException as exc:
            return _refused(exc.code, "mail-refused", _REFUSED_HINT)
        except (TimeoutError, aiosmtplib.SMTPTimeoutError):
            return Retry("mail-server-silent")
        except (aiosmtplib.SMTPException, OSError) as exc:
            return _broken(exc)
        finally:
            if server is not None:
                server.close()

    def _server(self) -> aiosmtplib.SMTP:
        trusted = ssl.create_default_context(cafile=self._ca_file)
        return aiosmtplib.SMTP(
            hostname=self._settings.server,
            port=self._settings.port,
            use_tls=self._settings.security == "tls",
            start_tls=False,
            tls_context=trusted,
            timeout=self._settings.request_timeout_s,
        )

    async def _hand_over(self, server: aiosmtplib.SMTP, mail: bytes, to: list[str]) -> Outcome:
        try:
            refused, _ = await server.sendmail(self._settings.sender, to, mail)
        except aiosmtplib.SMTPRecipientsRefused as exc:
            codes = [each.code for each in exc.recipients]
            again = any(code < 500 for code in codes)
            return _refused(400 if again else 550, "mail-recipients-refused", "Correct mail.recipients.")
        except aiosmtplib.SMTPDataError as exc:
            if exc.code == 552:
                return BadMessage("mail-too-long")
            raise
        if refused:
            logger.warning("the mail server refused %d of the recipients", len(refused))
        return Sent(None, SOME_REFUSED if refused else None)


_REFUSED_HINT = (
    "The mail server refuses alerts: its log says why. Look at mail.sender and what it may send there."
)


def letter(settings: MailSettings, content: Mapping[str, Any], txn: str) -> bytes:
    """The mail as it crosses the wire: the same bytes at every try."""
    mail = EmailMessage(policy=WIRE)
    mail["From"] = settings.sender
    mail["To"] = ", ".join(recipients(settings, content))
    mail["Subject"] = " ".join(str(content["subject"]).split())[:SUBJECT_CHARACTERS]
    mail["Date"] = datetime.fromisoformat(content["raised_at"])
    domain = settings.sender.rpartition("@")[2]
    mail["Message-ID"] = f"<{txn}@{domain}>"
    if root := content.get("in_reply_to"):
        mail["In-Reply-To"] = mail["References"] = f"<{root}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(str(content["text"]), cte="quoted-printable")
    return mail.as_bytes()


def recipients(settings: MailSettings, content: Mapping[str, Any]) -> list[str]:
    """Whom a mail goes to: all that the settings name, unless it is a letter to somebody."""
    return list(content.get("to") or settings.recipients)


async def _nothing_to_say(_server: aiosmtplib.SMTP) -> Outcome:
    return Sent(None)


def _unprotected() -> ChannelDown:
    hint = 'The mail server offers no STARTTLS: choose another port, or mail.security = "tls".'
    return ChannelDown("mail-not-protected", hint)


def _refused(status: int, code: str, hint: str) -> Retry | ChannelDown:
    """4xx: later. 5xx: a person has to mend it."""
    return Retry(f"mail-answered-{status}") if status < 500 else ChannelDown(code, hint, f"status {status}")


def _broken(exc: Exception) -> Retry | ChannelDown:
    """No answer: because nobody is there, or because it is not who it should be."""
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            hint = "The mail server's certificate is not trusted: mend it there, or name its authority in mail.ca_file."
            return ChannelDown("mail-tls-failed", hint, str(cause))
        cause = cause.__cause__ or cause.__context__
    return Retry("mail-server-unreachable")
