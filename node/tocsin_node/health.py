"""What is well and what is not, in words: `/healthz` and the command line show it.

Each collaborator answers for itself; a slow answer counts as an answer. Nothing here is confidential: names
of parts, codes and hints, no addresses, no counts of reports.
"""

import asyncio
import logging
import shutil
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from tocsin_federation.identity import Identity
from tocsin_node.errors import NodeError
from tocsin_node.expiry import due
from tocsin_node.settings.record import Settings
from tocsin_node.storage.leader import Leader
from tocsin_node.storage.pool import Pool
from tocsin_node.storage.postgres import Postgres

Status = Literal["ok", "degraded", "down"]
RANK = {"ok": 0, "degraded": 1, "down": 2}
ESSENTIAL = frozenset({"database", "log-writer"})  # without these no report can be filed or given out
ANSWER_WITHIN_S = 2.0
FRESH_FOR_S = 0.5
DISK_LOW_BYTES = 512 * 1024 * 1024
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Check:
    """How one part is. `since`: when it came to be so (aware UTC); filled in by `Health`.

    `mark`: what makes it news again while status and code stay as they were, such as the days that are left; not told.
    `count`: of how many it speaks, where that is no mark: it is news again when it has doubled, and not when it falls.
    Else who can have it counted up could have people called at will, or never, since what changes is waited for.
    """

    name: str
    status: Status = "ok"
    code: str | None = None
    hint: str | None = None
    since: datetime | None = None
    mark: int | None = None
    count: int | None = None

    @property
    def news(self) -> str:
        """What is told once: the status, the code, and the mark if there is one."""
        if self.count is not None:
            return self._counted(self.count.bit_length())
        return f"{self.status}: {self.code}" + ("" if self.mark is None else f" {self.mark}")

    def is_known(self, told: Collection[str]) -> bool:
        """Whether it is no news to whom these were told; of a count also not where a greater one was."""
        if self.count is None:
            return self.news in told
        return any(self._counted(size) in told for size in range(self.count.bit_length(), 64))

    def _counted(self, size: int) -> str:
        return f"{self.status}: {self.code} ~{size}"


Source = Callable[[], Awaitable[Check | Sequence[Check]]]


@dataclass(frozen=True, slots=True)
class Report:
    """All checks, and how the node is by them."""

    status: Status
    checks: tuple[Check, ...]


class Health:
    """Asks every source at once and remembers since when each answer holds."""

    def __init__(self, *, now: Callable[[], datetime]) -> None:
        self._now = now
        self._sources: dict[str, Source] = {}
        self._since: dict[str, Check] = {}
        self._last: tuple[float, Report] | None = None
        self._turn = asyncio.Lock()

    def add(self, name: str, source: Source) -> None:
        """Ask `source` too; `name`, once each, is what is shown when it does not answer."""
        assert name not in self._sources, f"{name} is asked already, and one of the two would never be"
        self._sources[name] = source

    async def report(self) -> Report:
        """How everything is; asked at most twice a second, however often it is called."""
        async with self._turn:
            if self._last is not None and time.monotonic() - self._last[0] < FRESH_FOR_S:
                return self._last[1]
            answers = await asyncio.gather(*(self._ask(name) for name in self._sources))
            checks = tuple(self._dated(check) for answer in answers for check in answer)
            report = Report(_overall(checks), checks)
            self._last = (time.monotonic(), report)
            return report

    async def _ask(self, name: str) -> Sequence[Check]:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                answer = await self._sources[name]()
        except TimeoutError:
            return (
                Check(name, "degraded", "check-slow", f"It did not answer within {ANSWER_WITHIN_S:.0f} s."),
            )
        except NodeError as exc:
            return (Check(name, "down", exc.code, exc.hint),)
        except Exception:
            logger.exception("the health check %s failed", name)
            return (
                Check(name, "degraded", "check-failed", "The check itself failed; the node's log says how."),
            )
        return (answer,) if isinstance(answer, Check) else tuple(answer)

    def _dated(self, check: Check) -> Check:
        before = self._since.get(check.name)
        if before is not None and (before.status, before.code) == (check.status, check.code):
            dated = replace(check, since=before.since)
            if check.news != before.news:
                self._since[check.name] = dated
                logger.warning("%s is %s: %s", check.name, check.status, check.hint)
            return dated
        dated = check if check.since is not None else replace(check, since=self._now())
        self._since[check.name] = dated
        if check.status != "ok" or (before is not None and before.status != "ok"):
            logger.warning("%s is %s%s", check.name, check.status, f": {check.hint}" if check.hint else "")
        return dated


def _overall(checks: Sequence[Check]) -> Status:
    """The worst of all; but without an essential part being down the node still does its work: degraded."""
    worst: Status = max((c.status for c in checks), key=RANK.__getitem__, default="ok")
    if worst == "down" and not any(c.status == "down" and c.name in ESSENTIAL for c in checks):
        return "degraded"
    return worst


def as_json(report: Report) -> dict[str, Any]:
    """The body of /healthz."""
    told = ("name", "status", "code", "hint", "since")
    return {
        "status": report.status,
        "checks": [{name: getattr(check, name) for name in told} for check in report.checks],
    }


def database_check(pool: Pool, postgres: Postgres | None) -> Source:
    """Whether the database answers; for the embedded one also what its watcher says."""

    async def ask() -> Check:
        if postgres is not None and postgres.trouble:
            return Check("database", "down", "postgres-failed", postgres.trouble)
        async with pool.acquire() as conn:
            if await conn.fetchval("select pg_is_in_recovery()"):
                return Check(
                    "database", "down", "database-standby", "This is a standby; point at the primary."
                )
        return Check("database")

    return ask


def leader_check(leader: Leader) -> Source:
    """Whether this process holds the pen."""

    async def ask() -> Check:
        if leader.leading:
            return Check("log-writer")
        hint = "The lock on the log was lost; it is taken again with the next report."
        return Check("log-writer", "degraded", "pen-lost", hint)

    return ask


def identity_check(identity: Identity, now: Callable[[], datetime]) -> Source:
    """Whether the node's statement and its encryption keys are in force and for how long; news at each stage."""

    async def ask() -> Check:
        expiring = due(identity, now())
        if expiring is None:
            return Check("identity")
        hint = f"{expiring.message} {expiring.hint}"
        return Check("identity", "degraded", expiring.code, hint, mark=expiring.stage)

    return ask


def address_check(settings: Settings, identity: Identity) -> Source:
    """Whether peers are told what node.toml says."""

    async def ask() -> Check:
        statement = identity.statement
        said = (statement.org.name, statement.org.domain, statement.urls[0])
        if said == (settings.node.org, settings.public_domain, settings.public_url):
            return Check("address")
        hint = "Name, domain or address in node.toml is not what peers are told: `tocsin key rotate DIR` tells them."
        return Check("address", "degraded", "address-differs", hint)

    return ask


def disk_check(directory: Path) -> Source:
    """Whether there is room where the embedded database keeps its files."""

    async def ask() -> Check:
        usage = await asyncio.to_thread(shutil.disk_usage, directory)
        if usage.free < DISK_LOW_BYTES:
            hint = (
                f"Only {usage.free // (1024 * 1024)} MiB are left on the disk of the node's directory. Make room: "
                "without any, nothing can be filed or taken in."
            )
            return Check("disk", "degraded", "disk-low", hint)
        return Check("disk")

    return ask


def utc_now() -> datetime:
    """The clock of a running node."""
    return datetime.now(UTC)
