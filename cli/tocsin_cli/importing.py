"""Bringing many incidents in: read as a stream, sent in batches, accounted for one by one.

The account always adds up: what was read is imported, unchanged, repaired (imported after something was put
right) or refused. What was to be shared and seems to hold personal data or secrets is imported, stays here, and is
told apart. Running an import again is safe: what the node has already counts as unchanged.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tocsin_cli.client import NDJSON, Client, parsed
from tocsin_cli.errors import AnswerBroken, NodeBusy, Refused
from tocsin_cli.filing import REVIEWED_BY, member

if TYPE_CHECKING:
    from tocsin_schema.imports.record import Record

MAX_BUNDLES = 200
MAX_BYTES = 4 * 1024 * 1024
_TRIES = 5
_LONGEST_WAIT_S = 30.0
_HELD = {"unchanged", "superseded"}


@dataclass(slots=True)
class Account:
    """What became of everything that was read."""

    imported: int = 0
    unchanged: int = 0
    repaired: int = 0
    refused: list[dict[str, str]] = field(default_factory=list)
    repairs: list[dict[str, Any]] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)  # objects that belong to no incident, by type
    kept_here: list[dict[str, Any]] = field(default_factory=list)

    @property
    def read(self) -> int:
        """How many records were read and settled."""
        return self.imported + self.unchanged + self.repaired + len(self.refused)

    def refuse(self, key: str, code: str, reason: str, hint: str = "") -> None:
        """Note a refusal."""
        self.refused.append({"key": key, "code": code, "reason": reason, "hint": hint})

    def document(self, *, complete: bool, dry_run: bool) -> dict[str, Any]:
        """As JSON. `complete`: the source was read to its end."""
        return {
            "read": self.read,
            "imported": self.imported,
            "unchanged": self.unchanged,
            "repaired": self.repaired,
            "refused": len(self.refused),
            "kept_here": len(self.kept_here),
            "complete": complete,
            "dry_run": dry_run,
            "refusals": self.refused,
            "repairs": self.repairs,
            "passed_over": dict(self.passed_over),
            "kept": self.kept_here,
        }

    def line(self) -> str:
        """The line of account."""
        settled = f"{self.imported} imported + {self.unchanged} unchanged + {self.repaired} repaired"
        beside = f"; {self.others()} that belong to no incident passed over" if self.passed_over else ""
        return f"{self.read} read = {settled} + {len(self.refused)} refused{beside}"

    def others(self) -> str:
        """The objects that belong to no incident, by type, the most frequent first."""
        kinds = sorted(self.passed_over.items(), key=lambda pair: (-pair[1], pair[0]))
        return f"{self.passed_over.total():,} object(s) ({', '.join(f'{n:,} {kind}' for kind, n in kinds)})"


class Importer:
    """Sends records to the node (or, without a client, only tries them) and keeps the account."""

    def __init__(self, client: Client | None, account: Account, query: list[tuple[str, str]]) -> None:
        self._client = client
        self._account = account
        self._query = query

    def run(self, records: "Iterable[Record]", settled: Callable[[], None]) -> None:
        """Take all records in; `settled` is called after each batch. Raises: the client's errors."""
        for batch in _batches(self._acceptable(records)):
            self._settle(batch)
            settled()

    def _acceptable(self, records: "Iterable[Record]") -> "Iterator[Record]":
        for record in records:
            refusal = record.refusal
            if record.bundle is not None:
                yield record
            elif refusal is not None:
                self._account.refuse(record.key, refusal.code, refusal.message, refusal.hint)
            else:
                self._account.refuse(record.key, "refused", "It cannot become a report.")

    def _settle(self, batch: "list[Record]") -> None:
        items = self._tried(batch) if self._client is None else self._sent(self._client, batch)
        for record, item in zip(batch, items, strict=True):
            outcome = str(item.get("outcome"))
            if outcome == "refused":
                self._note_refusal(record.key, item)
            elif outcome in _HELD:
                self._account.unchanged += 1
            elif outcome != "stored":
                raise AnswerBroken(f"The node's answer holds an outcome that is not known: {outcome!r}.")
            elif record.repairs:
                self._account.repaired += 1
                self._account.repairs.append({"key": record.key, "repairs": list(record.repairs)})
            else:
                self._account.imported += 1
            if kinds := item.get("kept_here"):
                self._account.kept_here.append({"key": record.key, "kinds": [str(kind) for kind in kinds]})

    def _sent(self, client: Client, batch: "list[Record]") -> list[dict[str, Any]]:
        body = b"".join((record.bundle or b"") + b"\n" for record in batch)
        try:
            answer = parsed(_patiently(client, body, self._query))
        except Refused as exc:
            if exc.status != 413:
                raise
            if len(batch) == 1:
                return [{"outcome": "refused", "code": exc.code, "reason": str(exc), "hint": exc.hint}]
            middle = len(batch) // 2
            return self._sent(client, batch[:middle]) + self._sent(client, batch[middle:])
        items = member(answer, "items")
        if not isinstance(items, list) or len(items) != len(batch):
            raise AnswerBroken("The node answered for another number of reports than it was sent.")
        return items

    def _tried(self, batch: "list[Record]") -> list[dict[str, Any]]:
        from tocsin_schema.check import check_bundle
        from tocsin_schema.suspicion import suspicions

        looks = ("share", "1") in self._query and not any(name == REVIEWED_BY for name, _ in self._query)
        tried: list[dict[str, Any]] = []
        for record in batch:
            errors = [each for each in check_bundle(record.bundle or b"").findings if each.level == "error"]
            if errors:
                first = errors[0]
                reason = {"code": first.code, "reason": first.message, "hint": first.hint}
                tried.append({"outcome": "refused", **reason})
            else:
                found = suspicions(record.bundle or b"") if looks else ()
                tried.append({"outcome": "stored", "kept_here": sorted({each.kind for each in found})})
        return tried

    def _note_refusal(self, key: str, item: dict[str, Any]) -> None:
        findings = item.get("findings")
        first = findings[0] if isinstance(findings, list) and findings else {}
        code = str(first.get("code") or item.get("code") or "refused")
        reason = str(first.get("message") or item.get("reason") or item.get("detail") or "")
        self._account.refuse(key, code, reason, str(first.get("hint") or item.get("hint") or ""))


def _batches(records: "Iterable[Record]") -> "Iterator[list[Record]]":
    batch: list[Record] = []
    size = 0
    for record in records:
        length = len(record.bundle or b"") + 1
        if batch and (len(batch) >= MAX_BUNDLES or size + length > MAX_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += length
    if batch:
        yield batch


def _patiently(client: Client, body: bytes, query: list[tuple[str, str]]) -> bytes:
    """Send a batch; when the node asks to wait, wait as long as it says, a few times."""
    for tried in range(1, _TRIES + 1):
        try:
            return client.raw("POST", "/v1/imports", query=query, body=body, content_type=NDJSON)
        except NodeBusy as exc:
            if tried == _TRIES or not exc.retry_after_s:
                raise
            time.sleep(min(exc.retry_after_s, _LONGEST_WAIT_S))
    raise AssertionError  # the last try returned or raised
