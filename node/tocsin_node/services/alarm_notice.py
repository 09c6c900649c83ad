"""Messages about the alarms themselves: through the same outbox as alerts, but of no alert and with nothing of one."""

import hashlib
import html
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tocsin_node.services.alarm_way import MAIL, WEBHOOK, marked
from tocsin_node.storage import deliveries
from tocsin_node.storage.deliveries import NewDelivery
from tocsin_node.storage.pool import Connection

PRIORITY = 5  # after all alerts that are of a grade
CEILING = "clear"


@dataclass(frozen=True, slots=True)
class Notice:
    """`kind`: `trouble`, `over` or `returned`. `subject` is one line."""

    kind: str
    subject: str
    text: str


class Notices:
    """Writes notices into the outbox. `places`: where each channel leads to. `org` is named in each."""

    def __init__(self, org: str, places: Mapping[str, str], now: Callable[[], datetime]) -> None:
        self._org = org
        self._places = places
        self._now = now

    async def enqueue(self, conn: Connection, channels: Sequence[str], notice: Notice, key: str) -> None:
        """Put a notice into the outbox of these channels, in the caller's transaction; the same `key` never twice."""
        for channel in channels:
            place = self._places[channel]
            digest = hashlib.sha256(json.dumps([key, channel, place]).encode()).hexdigest()[:32]
            txn = f"tocsin-{digest}"
            content = json.dumps(self._content(channel, notice, txn))
            new = NewDelivery(None, channel, place, PRIORITY, content, txn, CEILING, kind="notice")
            await deliveries.enqueue(conn, new)

    def _content(self, channel: str, notice: Notice, txn: str) -> dict[str, Any]:
        subject = f"{self._org}: {notice.subject}"
        raised_at = self._now().astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        if channel == WEBHOOK:
            text = f"{subject}\n{notice.text}"
            return {"kind": f"notice-{notice.kind}", "raised_at": raised_at, "text": text}
        if channel == MAIL:
            return {"subject": f"[Tocsin] {subject}", "text": notice.text + "\n", "raised_at": raised_at}
        content = {
            "msgtype": "m.text",
            "body": f"⚙️ {subject}\n{notice.text}",
            "format": "org.matrix.custom.html",
            "formatted_body": f"<p>⚙️ <strong>{html.escape(subject)}</strong><br>{html.escape(notice.text)}</p>",
            "m.mentions": {},
            "org.tocsin.alert": {"kind": f"notice-{notice.kind}"},
        }
        return marked(content, txn)
