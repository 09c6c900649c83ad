"""Keeping the audit log: lines that wait are sealed into its tree in order, and it is looked at whether it still holds.

Sealing is done on the leader's connection: who loses the pen seals nothing. After each sealing the signed
checkpoint is also kept in the node's directory, outside the database. At a start the database must extend it, and every
line is hashed anew; what does not hold is told in `/healthz` and to the operators. It stops nothing else: alerts go out
all the same.
"""

import asyncio
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from tocsin_federation.audit import Fact, Reader, open_audit_note, sign_audit
from tocsin_federation.checkpoint import Checkpoint
from tocsin_federation.errors import AuditRefused, CheckpointRefused, FederationError
from tocsin_federation.identity import Identity
from tocsin_federation.merkle import Frontier
from tocsin_node.actor import NODE, STRANGER, acting
from tocsin_node.disk import Disk
from tocsin_node.errors import NodeError, SecretError
from tocsin_node.health import Check
from tocsin_node.services.late_notes import LateNotes
from tocsin_node.storage import audit
from tocsin_node.storage.audit import Act, Head, Row, Wanted
from tocsin_node.storage.errors import StorageConflict, StorageError
from tocsin_node.storage.leader import Leader
from tocsin_node.storage.pool import Pool

SEAL_LINES = 512  # of one transaction on the connection that writes the log
SEAL_EVERY_S = 1.0
LOOK_EVERY_S = 24 * 3600.0
LOOK_LINES = 1000
HASHES = 8192  # that are held at once
REFUSED_EVERY_S = 60.0  # so often at most a line tells of refused requests
REFUSED_CODES = 16
READ_AGAIN_S = 600.0  # the same reader of the same thing is noted so often at most
READERS_MAX = 10_000
KEPT = "audit-note"
CONTRADICTED = "contradicted"
logger = logging.getLogger(__name__)


class NoSuchLines(NodeError):
    """The audit log does not reach so far."""

    code = "no-such-lines"
    hint = "Ask for its checkpoint first; it says how many lines there are."


class Auditing:
    """Seals, shows and verifies the audit log of a node. `directory`: the node's."""

    def __init__(
        self,
        pool: Pool,
        leader: Leader,
        identity: Identity,
        late: LateNotes,
        *,
        log_private: bytes,
        directory: Path,
    ) -> None:
        self._pool = pool
        self._leader = leader
        self._identity = identity
        self._log_private = log_private
        self.late = late
        self._kept = directory / KEPT
        self._turn = asyncio.Lock()
        self._head: Head | None = None
        self._broken: AuditRefused | None = None
        self._unkept = False
        self._readers: OrderedDict[tuple[str, str, str | None], float] = OrderedDict()
        self._refused: Counter[str] = Counter()
        self._refused_from = ""
        self._refused_at = float("-inf")

    @property
    def identity(self) -> Identity:
        """Whose log it is."""
        return self._identity

    # Life --------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Hold the database against the checkpoint in the node's directory, and note that the node starts.

        The former asks for no writes: else who rolls lines back would only have to let nothing be written meanwhile.
        """
        before = self._kept_checkpoint()
        async with self._pool.acquire() as conn:
            self._head = await audit.head(conn)
        if before is not None and not await self._extends(self._head or self._signed(Frontier()), before):
            await asyncio.to_thread(self._set_aside, before)
        try:
            await self._open()
        except StorageError as exc:
            if self._head is None or exc.of_data:
                raise
            logger.warning("the audit log is not written: %s", exc)
            await self.late.note(_started())

    async def _open(self) -> None:
        async with self._leader.connection() as conn:
            head = await audit.head(conn)
            if head is None:
                head = self._signed(Frontier())
                await audit.set_head(conn, head)
            statement = self._identity.statement
            known = await audit.newest_detail(conn, "key.change")
            if known is None or known.get("statement") != statement.seq:
                change = {
                    "statement": statement.seq,
                    "log": statement.log.origin,
                    "generation": statement.log.gen,
                }
                await audit.note(conn, Act("key.change", None, change, NODE))
                head = self._signed(
                    Frontier.from_bytes(head.frontier)
                )  # the same lines, under the key in force
                await audit.set_head(conn, head)
            await audit.note(conn, _started())
        self._head = head
        await self.seal()

    async def close(self) -> None:
        """Note that the node stops, and seal."""
        try:
            await self._tell_refused()
            async with self._pool.acquire() as conn:
                await audit.note(conn, Act("node.stop", None, {}, NODE))
            await self.seal()
        except StorageError as exc:
            logger.warning("that the node stops could not be noted in the audit log: %s", exc)

    async def run(self) -> None:
        """Seal what waits, and look at the whole log once a day, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._seal_on())
            group.create_task(self._look_on())

    async def _seal_on(self) -> None:
        while True:
            await asyncio.sleep(SEAL_EVERY_S)
            for step in (self._tell_refused_in_time, self.late.tell, self._seal_waiting):
                try:
                    await step()
                except StorageError as exc:
                    logger.warning("the audit log waits for the database: %s", exc)
                    break
                except Exception:  # what cannot be noted keeps nothing else from being sealed
                    logger.exception("lines of the audit log could not be sealed")

    async def _tell_refused_in_time(self) -> None:
        if time.monotonic() - self._refused_at >= REFUSED_EVERY_S:
            await self._tell_refused()

    async def _seal_waiting(self) -> None:
        async with self._pool.acquire() as conn:
            waits = await audit.any_waiting(conn)
        if waits:
            await self.seal()

    async def _look_on(self) -> None:
        while True:
            try:
                await self.look()
            except StorageError as exc:
                logger.warning("the audit log could not be looked at: %s", exc)
                await asyncio.sleep(SEAL_EVERY_S)
                continue
            except Exception:  # a line that nobody can read stops no alert
                logger.exception("the audit log could not be looked at")
                self._contradict(AuditRefused("audit-root-differs"))
            await asyncio.sleep(LOOK_EVERY_S)

    # Sealing -----------------------------------------------------------------------------------------

    async def seal(self) -> Head:
        """Seal all that waits; returns the checkpoint that covers it. Raises: StorageError, NodeRunning."""
        async with self._turn:
            before = self._head
            try:
                while await self._seal_some() == SEAL_LINES:
                    pass
            except StorageConflict:  # a line stands where the next one belongs, and we did not put it there
                self._contradict(AuditRefused("audit-too-long"))
                raise
            assert self._head is not None
            if before is None or before.note != self._head.note or self._unkept:
                await asyncio.to_thread(self._keep, self._head.note)
            return self._head

    async def _seal_some(self) -> int:
        async with self._leader.connection() as conn, conn.transaction():
            standing = await audit.head(conn)
            if standing is None or (self._head is not None and _behind(standing, self._head)):
                self._contradict(AuditRefused("audit-rewritten"))
                standing = standing or self._signed(Frontier())
            rows = await audit.waiting(conn, SEAL_LINES)
            after = standing
            if rows:
                frontier = Frontier.from_bytes(standing.frontier)
                hashes = [row.hashed(standing.size + nth) for nth, row in enumerate(rows)]
                frontier.extend(hashes)
                after = self._signed(frontier)
                await audit.seal(conn, rows, standing.size, hashes, after)
        self._head = after
        return len(rows)

    def _signed(self, frontier: Frontier) -> Head:
        note = sign_audit(self._identity.statement.log.origin, frontier, self._log_private)
        return Head(frontier.size, frontier.root(), frontier.to_bytes(), note)

    # Reading -----------------------------------------------------------------------------------------

    async def listing(self, wanted: Wanted, *, before: int | None, limit: int) -> list[Row]:
        """Lines, newest first, with all that was noted until now, as far as the database takes writes."""
        await self.standing()
        async with self._pool.acquire() as conn:
            return await audit.listing(conn, wanted, before=before, limit=limit)

    async def standing(self) -> Head:
        """The checkpoint over what was noted, or over what could be sealed of it. Raises: StorageError."""
        try:
            return await self.seal()
        except (StorageError, TimeoutError):
            if self._head is None:
                raise
            return self._head

    async def lines(self, start: int, stop: int | None = None, *, limit: int) -> list[Row]:
        """At most `limit` of the sealed lines [start, stop) in order (None: all). Raises: NoSuchLines."""
        size = 0 if self._head is None else self._head.size
        end = size if stop is None else stop
        if not 0 <= start <= end <= size:
            raise NoSuchLines
        async with self._pool.acquire() as conn:
            return await audit.lines(conn, start, min(end, start + limit))

    async def seen(
        self, action: str, name: str | None = None, detail: Mapping[str, Fact] | None = None
    ) -> None:
        """Note that somebody reads something, before he is shown it; the same by the same every ten minutes.

        While the database takes no writes it is kept, and noted late.
        """
        key = (acting().who, action, name)
        now = time.monotonic()
        if now - self._readers.get(key, float("-inf")) < READ_AGAIN_S:
            return
        await self.late.note(Act(action, name, detail or {}))
        self._readers[key] = now
        self._readers.move_to_end(key)
        while len(self._readers) > READERS_MAX:
            self._readers.popitem(last=False)

    async def note(self, *acts: Act) -> None:
        """Note acts that change no row here, such as handing something out; they are on the disk when it returns."""
        async with self._pool.acquire() as conn:
            await audit.note(conn, *acts)

    def refused(self, code: str, address: str) -> None:
        """A request was refused at the door; many of them become one line a minute."""
        known = code in self._refused or len(self._refused) < REFUSED_CODES
        self._refused[code if known else "other"] += 1
        self._refused_from = address

    async def _tell_refused(self) -> None:
        if not self._refused:
            return
        told, self._refused = self._refused, Counter()
        self._refused_at = time.monotonic()
        detail: dict[str, Fact] = {
            "count": told.total(),
            "codes": [f"{code} {count}" for code, count in told.most_common()],
            "last_from": self._refused_from,
        }
        try:
            async with self._pool.acquire() as conn:
                await audit.note(conn, Act("login.refused", None, detail, STRANGER))
        except StorageError:
            self._refused.update(told)
            raise

    # Verifying ---------------------------------------------------------------------------------------

    async def look(self) -> None:
        """Hash every line anew and hold it against the signed root; what does not hold is told by `health`."""
        async with self._pool.acquire() as conn:
            head = await audit.head(conn)
        try:
            await self._looked(head)
        except FederationError as exc:
            self._contradict(exc if isinstance(exc, AuditRefused) else AuditRefused("audit-root-differs"))

    async def _looked(self, head: Head | None) -> None:
        if head is None:
            raise AuditRefused("audit-truncated")
        reader = Reader(open_audit_note(head.note, self._identity.statements))
        async for row in self._all(head.size):
            hashed = row.hashed(row.number)
            if hashed != row.leaf_hash:
                logger.error("line %d of the audit log was changed after it was sealed", row.number)
                raise AuditRefused("audit-root-differs")
            reader.admit(row.line(), hashed)
        reader.finish()

    async def _all(self, size: int) -> AsyncIterator[Row]:
        for start in range(0, size, LOOK_LINES):
            async with self._pool.acquire() as conn:
                rows = await audit.lines(conn, start, min(start + LOOK_LINES, size))
            for row in rows:
                yield row
            await asyncio.sleep(0)  # others work too

    async def health(self) -> Check:
        """Whether the audit log still holds."""
        if self._broken is not None:
            hint = f"{self._broken} OPERATING.md, The audit log, says what to do."
            return Check("audit", "degraded", "audit-contradicted", hint)
        if self._unkept:
            hint = "The audit log's checkpoint cannot be kept in the node's directory: see its rights and its space."
            return Check("audit", "degraded", "audit-note-unkept", hint)
        aside = await asyncio.to_thread(self._aside)
        if aside:
            hint = (
                f"The database is not the one that wrote {aside[0].name} in the node's directory: lines were taken out "
                "or changed, or a backup was put back. Keep that file elsewhere once it is known why."
            )
            return Check("audit", "degraded", "audit-contradicted", hint)
        return Check("audit")

    def _contradict(self, why: AuditRefused) -> None:
        if self._broken is None or self._broken.code != why.code:
            logger.error("the audit log does not hold: %s (%s)", why, why.hint)
        self._broken = why

    async def _extends(self, head: Head, before: Checkpoint) -> bool:
        """Whether the lines under `head` begin with those that `before` covers; whether they are, `look` says.

        After a crash `before` is seconds older: then a handful of hashes is read, and never more than HASHES at once.
        """
        if before.size > head.size:
            return False
        if before.size == head.size:
            return before.root == head.root
        tree = Frontier.from_bytes(head.frontier).beginning(before.size)
        for start in range(tree.size, before.size, HASHES):
            async with self._pool.acquire() as conn:
                tree.extend(await audit.hashes(conn, start, min(start + HASHES, before.size)))
        return (tree.size, tree.root()) == (before.size, before.root)

    # The checkpoint in the node's directory ----------------------------------------------------------

    def _kept_checkpoint(self) -> Checkpoint | None:
        try:
            return open_audit_note(self._kept.read_bytes(), self._identity.statements)
        except FileNotFoundError:
            return None
        except (OSError, CheckpointRefused) as exc:
            logger.warning("%s says nothing: %s", self._kept, exc)
            return None

    def _keep(self, note: bytes) -> None:
        try:
            Disk().write(self._kept, note)
            self._unkept = False
        except SecretError as exc:
            if not self._unkept:
                logger.warning("the audit log's checkpoint: %s", exc)
            self._unkept = True

    def _set_aside(self, before: Checkpoint) -> None:
        name = f"{KEPT}.{before.size}.{before.root.hex()[:16]}.{CONTRADICTED}"
        logger.error("the audit log in the database does not extend its checkpoint; that is kept in %s", name)
        try:
            Disk().move(self._kept, self._kept.with_name(name))
        except SecretError as exc:
            logger.warning("%s", exc)
            self._contradict(AuditRefused("audit-rewritten"))

    def _aside(self) -> Sequence[Path]:
        return sorted(self._kept.parent.glob(f"{KEPT}.*.{CONTRADICTED}"))


def _started() -> Act:
    return Act("node.start", None, {"release": version("tocsin")}, NODE)


def _behind(standing: Head, known: Head) -> bool:
    """Whether the checkpoint in the database is older than one that we wrote there, or another of the same size."""
    return standing.size < known.size or (standing.size == known.size and standing.root != known.root)
