"""What was read while the database took no writes: it is shown all the same, and noted in the audit log later.

Whoever is woken at night because the disk is full must be able to read what has happened. A line that cannot be noted
stands in a file whose place on the disk was taken beforehand, until the database has it; there it says that it is late
and when the reading was. A kill loses none of them. What did not fit is counted.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import orjson

from tocsin_federation.audit import time_text
from tocsin_node.actor import NODE, Actor
from tocsin_node.audit_actions import ACTIONS
from tocsin_node.health import Check
from tocsin_node.reserve import Reserve
from tocsin_node.storage import audit, reports
from tocsin_node.storage.audit import Act
from tocsin_node.storage.errors import StorageError
from tocsin_node.storage.pool import Pool

FILE = "audit-late"
MOST = 2000  # in memory, where the file takes none
WITHIN_S = 3.0  # a database that takes longer to write a line is not waited for
logger = logging.getLogger(__name__)


class _Late(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A reading that is not noted yet. `at`: RFC 3339."""

    at: str
    who: str
    via: str
    action: str
    object: str | None
    detail: dict[str, Any]


class LateNotes:
    """Notes what it can, keeps what it cannot. `open()` once, `tell()` time and again."""

    def __init__(self, pool: Pool, directory: Path, *, now: Callable[[], datetime]) -> None:
        self._pool = pool
        self._reserve = Reserve(directory / FILE)
        self._now = now
        self._turn = asyncio.Lock()
        self._waiting: list[_Late] = []
        self._unkept = 0  # lines that stand in memory alone
        self._over = 0  # lines that stand nowhere
        self._cleared = True
        self._opened: bool | None = None  # False: it was tried in vain

    async def open(self) -> None:
        """Take up what an earlier run could not note; where the file cannot be read or made, later (`tell`)."""
        try:
            lines = await asyncio.to_thread(self._reserve.open)
        except OSError as exc:
            if self._opened is None:
                logger.warning("no place can be taken for what cannot be noted: %s", exc)
            self._opened = False
            return
        self._opened = True
        for line in lines:
            late = _read(line)
            if late is None:  # a power cut took a part of it, or a later version of the program wrote it
                self._over += 1
            else:
                self._waiting.append(late)

    async def note(self, act: Act) -> None:
        """Note a reading now, or keep it until that can be done; it never fails."""
        try:
            async with asyncio.timeout(WITHIN_S), self._pool.acquire() as conn:
                await audit.note(conn, act)
        except (StorageError, TimeoutError) as exc:
            await self._keep(act, exc)

    async def tell(self) -> None:
        """Note what is late, if there is something. Raises: StorageError while the database takes no writes."""
        async with self._turn:
            if self._opened is False:
                await self.open()
            late, lost = list(self._waiting), self._reserve.lost + self._over
            if not (late or lost):
                await self._clear()
                return
            async with self._pool.transaction() as conn:
                held = await reports.lock(conn, [name for one in late if (name := _report_of(one))])
                acts = [_act(one, held) for one in late]
                if lost:
                    acts.append(Act("audit.unnoted", None, {"count": lost}, NODE))
                await audit.note(conn, *acts)
            self._waiting.clear()
            self._unkept = self._over = 0
            self._cleared = False
            await self._clear()
            logger.warning(
                "%d readings are in the audit log now, late; %d could not be kept", len(late), lost
            )

    async def health(self) -> Check:
        """Whether something that was read is not in the audit log yet."""
        waiting = len(self._waiting) + self._reserve.lost + self._over
        if not waiting:
            return Check("audit-late")
        kept = f"; {self._unkept} of them would be lost with a kill" if self._unkept else ""
        hint = (
            f"The database takes no writes: is its disk full, is it read-only? What was read meanwhile, {waiting} "
            f"lines, is noted in the audit log when it does{kept}."
        )
        return Check("audit-late", "degraded", "audit-late", hint)

    async def _keep(self, act: Act, why: Exception) -> None:
        late = _Late(
            at=time_text(self._now()),
            who=act.actor.who,
            via=act.actor.via,
            action=act.action,
            object=act.object,
            detail=dict(act.detail),
        )
        async with self._turn:
            lost = self._reserve.lost
            try:
                await asyncio.to_thread(self._reserve.append, orjson.dumps(msgspec.to_builtins(late)))
            except OSError as exc:
                self._unkept += 1
                logger.warning("a reading is kept in memory alone: %s", exc)
            if len(self._waiting) >= MOST:
                self._over += self._reserve.lost == lost
            elif self._reserve.lost == lost:
                self._waiting.append(late)
        logger.warning(
            "%s by %s is noted later: %s", act.action, act.actor.who, str(why) or "no answer in time"
        )

    async def _clear(self) -> None:
        """What is noted is taken out of the file; until then a start would note it once more, with the same time."""
        if self._cleared or not self._opened:  # over what was not read nothing is written
            return
        try:
            await asyncio.to_thread(self._reserve.clear)
            self._cleared = True
        except OSError as exc:
            logger.warning("what is noted by now still stands in %s: %s", FILE, exc)


def _read(line: bytes) -> _Late | None:
    try:
        late = msgspec.json.decode(line, type=_Late)
    except (msgspec.DecodeError, ValueError):
        return None
    return late if late.action in ACTIONS else None


def _report_of(late: _Late) -> str | None:
    kind, _, name = (late.object or "").partition(":")
    return name if kind == "report" else None


def _act(late: _Late, held: set[str]) -> Act:
    """The line that says it late. A report that was erased meanwhile is not named any more."""
    name = _report_of(late)
    forgotten = name is not None and name not in held
    detail = {**late.detail, "late": True, "read_at": late.at}
    return Act(late.action, None if forgotten else late.object, detail, Actor(late.who, late.via))
