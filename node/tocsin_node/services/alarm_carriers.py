"""What carries alerts out of the house, as the settings name it: rooms, a webhook, mail."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from pathlib import Path

from tocsin_node.errors import EncryptionMissing, SecretError
from tocsin_node.health import utc_now
from tocsin_node.links.mail import Mail
from tocsin_node.links.transport import Sender, Transport
from tocsin_node.links.webhook import Webhook
from tocsin_node.secrets import PICKLE_KEY, RECOVERY_KEYS, read_secret, read_secret_at
from tocsin_node.services.alarm_way import MAIL, MATRIX_2, OPS, WEBHOOK
from tocsin_node.settings.channels import MatrixSettings
from tocsin_node.settings.record import Settings
from tocsin_node.storage.pool import Pool

CREDENTIAL = "matrix-token"
SECOND_CREDENTIAL = "matrix-second-token"


@dataclass(frozen=True, slots=True)
class Carriers:
    """What carries messages, by channel: `rooms` can be read back, `others` cannot."""

    rooms: Mapping[str, Transport] = field(default_factory=dict)
    others: Mapping[str, Sender] = field(default_factory=dict)


def room_transport(settings: Settings, name: str, matrix: MatrixSettings, pool: Pool) -> Transport:
    """What carries messages into the room of the channel `name`.

    Raises: EncryptionMissing.
    """
    credential = SECOND_CREDENTIAL if name == MATRIX_2 else CREDENTIAL
    token = partial(_read_token, settings.path(matrix.access_token_file), credential)
    if not matrix.encrypted:
        from tocsin_node.links.matrix import MatrixTransport  # noqa: PLC0415  nio is slow to import

        return MatrixTransport(matrix, token, rings=name != OPS)
    try:
        from tocsin_node.links.matrix_e2ee import EncryptedTransport  # noqa: PLC0415  an extra
        from tocsin_node.storage.matrix_crypto import KeyStore  # noqa: PLC0415  the same
    except ImportError as exc:
        raise EncryptionMissing from exc

    def read(secret: str) -> str:
        return read_secret(settings.dir, secret).decode("ascii", "replace")

    return EncryptedTransport(
        matrix,
        token,
        lambda: KeyStore(pool, matrix.user_id, read(PICKLE_KEY)),
        lambda: read(RECOVERY_KEYS[name == MATRIX_2]),
    )


def other_senders(settings: Settings, *, now: Callable[[], datetime] = utc_now) -> dict[str, Sender]:
    """What carries alerts besides the room, by channel."""
    senders: dict[str, Sender] = {}
    webhook, mail = settings.webhook, settings.mail
    if webhook is not None:
        secret = partial(read_secret_at, settings.path(webhook.secret_file), credential="webhook-secret")
        senders[WEBHOOK] = Webhook(webhook, secret, _beside(settings, webhook.ca_file), now=now)
    if mail is not None:
        password = partial(read_secret_at, settings.path(mail.password_file), credential="mail-password")
        senders[MAIL] = Mail(mail, password, _beside(settings, mail.ca_file))
    return senders


def _beside(settings: Settings, file: str) -> Path | None:
    return settings.path(file) if file else None


def _read_token(file: Path, credential: str) -> str:
    token = read_secret_at(file, credential=credential).decode("ascii", errors="replace")
    if not token or not token.isprintable() or "\ufffd" in token or " " in token:
        raise SecretError("The Matrix access token is not one: it has to be one word of plain characters.")
    return token
