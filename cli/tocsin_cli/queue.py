"""Reports that wait on this machine until the node has them.

Every report is written here, with the id it will have, before it is sent, and taken away after the node
has said that it holds it. So whatever ends the program in between, the report is still here; and since
the id and the time of filing are fixed from the start and the finished bundle is kept as soon as it is
made, sending again gives the node the same bytes, which it answers with "unchanged". One file a report,
written whole or not at all.

Two runs never send one report at the same time: each holds a lock of one byte in `.lock`, at a place that
follows from the id, and the system lets go of it when the run ends, however it ends.
"""

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tocsin_cli.durable import private_directory, remove_durably, tidy, write_durably

_VERSION = 1
_LEFTOVER_S = 86_400


@dataclass(frozen=True, slots=True)
class Waiting:
    """One report on its way.

    `form` is what a person filled in, `bundle` the finished STIX bundle as text; at least one of them is
    there. `node_id` is the node that the bundle was made for, None before it was made; `url` is where it
    was to go. `to` names the peers that were asked for, `circle` the circle; neither for the usual ones.
    `filed_at` is RFC 3339 in UTC. `reviewed_by` is who takes it on that it leaves although it seems to hold
    personal data or secrets. `problem` is why the node refused it, None while it only waits.
    """

    id: str
    title: str
    filed_at: str
    url: str
    form: dict[str, Any] | None = None
    bundle: str | None = None
    node_id: str | None = None
    to: list[str] | None = None
    share: bool = True
    reviewed_by: str | None = None
    circle: str | None = None
    problem: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Damaged:
    """A file in the queue that cannot be read; it stays where it is."""

    path: Path
    reason: str = field(default="it is not a report kept by this release")


class Queue:
    """The queue in one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, report_id: str) -> Path:
        """Where the report with this id waits."""
        name = report_id if _is_plain(report_id) else hashlib.sha256(report_id.encode()).hexdigest()
        return self.directory / f"{name}.json"

    def keep(self, item: Waiting) -> Path:
        """Write the item, in place of what was kept under its id; it is on the disk when this returns."""
        path = self.path(item.id)
        fields = asdict(item)
        if item.circle is None:
            del fields["circle"]  # an earlier release reads it too
        text = json.dumps({"v": _VERSION, **fields}, ensure_ascii=False, indent=1)
        write_durably(path, text.encode("utf-8", "surrogatepass"))
        return path

    def drop(self, report_id: str) -> None:
        """Take the report away: the node has it, or its text is kept elsewhere."""
        remove_durably(self.path(report_id))

    def get(self, report_id: str) -> Waiting | None:
        """Return the item as it is kept now; None when it is gone or damaged."""
        found = _read(self.path(report_id))
        return found if isinstance(found, Waiting) else None

    def like(self, item: Waiting) -> Waiting | None:
        """Return what waits already, with the same content for the same address and peers, if anything does.

        What another run is sending at this moment does not count: it is about to be gone.
        """
        wanted = _asked(item)
        for other in self.items():
            if isinstance(other, Waiting) and _asked(other) == wanted and not self._in_flight(other.id):
                return other
        return None

    def items(self) -> list[Waiting | Damaged]:
        """Return all that wait, the one filed first at the head; damaged files come last."""
        if not self.directory.is_dir():
            return []
        found = [item for path in sorted(self.directory.glob("*.json")) if (item := _read(path)) is not None]
        whole = [item for item in found if isinstance(item, Waiting)]
        damaged = [item for item in found if isinstance(item, Damaged)]
        return [*sorted(whole, key=lambda item: (item.filed_at, item.id)), *damaged]

    def tidy(self) -> None:
        """Take away pieces of writes that were killed more than a day ago; no report is among them."""
        tidy(self.directory, older_than_s=_LEFTOVER_S)

    def refuse(self, item: Waiting, problem: Mapping[str, Any]) -> None:
        """Note why the node refused the item, and keep it."""
        self.keep(replace(item, problem=dict(problem)))

    def _in_flight(self, report_id: str) -> bool:
        with self.sending(report_id, wait=False) as ours:
            return not ours

    @contextmanager
    def sending(self, report_id: str, *, wait: bool) -> Iterator[bool]:
        """Hold the right to send this report; False when another run holds it and `wait` is not set."""
        private_directory(self.directory)
        handle = os.open(self.directory / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        place = int.from_bytes(hashlib.sha256(report_id.encode()).digest()[:4], "big") >> 1
        try:
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB), 1, place)
            except OSError as exc:
                if wait or exc.errno not in {errno.EACCES, errno.EAGAIN}:
                    raise
                yield False
                return
            yield True
        finally:
            os.close(handle)


def _asked(item: Waiting) -> tuple[object, ...]:
    """What makes two reports the same one for the person who files."""
    bundle = item.bundle if item.form is None else None
    return (item.form, bundle, item.url, item.to, item.share, item.reviewed_by, item.circle)


def _read(path: Path) -> Waiting | Damaged | None:
    try:
        found = json.loads(path.read_text("utf-8", "surrogatepass"))
        if not isinstance(found, dict) or found.pop("v", None) != _VERSION:
            return Damaged(path)
        item = Waiting(**found)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as exc:
        return Damaged(path, f"it cannot be read ({type(exc).__name__})")
    texts: tuple[object, ...] = (item.id, item.title, item.filed_at)
    has_content = isinstance(item.form, dict) or isinstance(item.bundle, str)
    return item if has_content and all(isinstance(text, str) for text in texts) else Damaged(path)


def _is_plain(text: str) -> bool:
    return text.isascii() and text.replace("-", "").isalnum() and len(text) < 128
