"""The ledger: the one writer of our log and of our own reports.

Callers bring postings and wait. The writer takes all that have gathered while the last transaction was committing
and writes them in the next one: reports, log entries, wraps, the checkpoint that covers them, alerts and their
outbox rows. So a busy node pays for one commit a batch and an idle one waits for nobody. Nothing is visible to a
peer before it is committed (persist before publish), and what was acknowledged to a caller is on the disk.

The writer works on the leader's connection, which holds the database-wide lock: who loses the lock loses the pen.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tocsin_federation.checkpoint import Checkpoint, sign_checkpoint
from tocsin_federation.envelope import Sealed
from tocsin_federation.merkle import Frontier
from tocsin_federation.messages import read_header
from tocsin_federation.receipt import about
from tocsin_node.data_keys import DataKeys
from tocsin_node.errors import NodeError, NodeStopping
from tocsin_node.services.alarm_plan import AlertPlan
from tocsin_node.services.alarms import Alarms
from tocsin_node.storage import audit, log, recalls, reports, shares
from tocsin_node.storage.audit import Act
from tocsin_node.storage.errors import StorageConflict, StorageError, StorageUnavailable
from tocsin_node.storage.leader import Leader
from tocsin_node.storage.pool import Connection
from tocsin_schema.report import IncidentReport

BATCH_POSTINGS = 512
LOOK_EVERY_S = 1.0
HELD_S = 10.0  # a caller waits so long for the pen to be let go
Beside = Callable[[Connection], Awaitable[None]]  # what is written in the same transaction
logger = logging.getLogger(__name__)


class Unconfirmed(NodeError):
    """It is not known yet whether this log is whole, so nothing is signed."""

    code = "log-unconfirmed"
    hint = "It goes on by itself once a peer was asked; `/healthz` says how it stands."
    retryable = True


@dataclass(frozen=True, slots=True)
class Posting:
    """What is to be written together: a report version, its sealed entry, its alert; each may be absent.

    `held_ver` is the version that this one replaces (None: the first). With `wider` the report is that very version,
    as it stands, and `audience` are the further recipients. `after` runs inside the transaction with the index of the
    entry, `beside` whether there is one or not. `acts` are noted in the audit log once it is stored. Postings of
    one call with the same `together` are all written or none.
    """

    sealed: Sealed | None = None
    report: IncidentReport | None = None
    held_ver: int | None = None
    audience: tuple[str, ...] = ()
    wider: bool = False
    alert: AlertPlan | None = None
    after: Callable[[Connection, int], Awaitable[None]] | None = None
    beside: Beside | None = None
    acts: tuple[Act, ...] = ()
    together: object = None


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of a posting.

    `exists`: other content stands under the id. `conflict`: the version to replace is no longer the newest.
    `held` is what stood there before.
    """

    outcome: Literal["stored", "unchanged", "exists", "conflict"]
    place: reports.Place | None = None
    alert_id: int | None = None
    held: reports.Held | None = None


@dataclass(slots=True)
class _Call:
    postings: Sequence[Posting]
    done: asyncio.Future[list[Posted]]


@dataclass(slots=True)
class _Page:
    """What a batch comes to: an outcome for each posting, and what is to be written. `head`: the log's, after."""

    head: log.Head
    posted: list[Posted] = field(default_factory=list)
    entries: list[log.Entry] = field(default_factory=list)
    fresh: list[reports.NewReport] = field(default_factory=list)
    replacing: list[tuple[reports.NewReport, int]] = field(default_factory=list)
    wider: list[shares.Share] = field(default_factory=list)


class Ledger:
    """The single writer. Start `run()` once; `post()` from anywhere."""

    def __init__(
        self,
        leader: Leader,
        alarms: Alarms,
        *,
        node_id: str,
        origin: str,
        gen: int,
        log_private: bytes,
        data_keys: DataKeys,
    ) -> None:
        self._leader = leader
        self._alarms = alarms
        self._node_id = node_id
        self._origin = origin
        self._gen = gen
        self._log_private = log_private
        self._data_keys = data_keys
        self._calls: asyncio.Queue[_Call] = asyncio.Queue(maxsize=4096)
        self._head: log.Head | None = None  # the newest that is known to be committed
        self._certain = False  # False: a commit may have happened that we did not hear of
        self._grown = asyncio.Event()
        self._closing = False
        self._letting_go = False
        self._held: Unconfirmed | None = None  # why nothing is signed
        self._released = asyncio.Event()
        self.held_s = HELD_S
        self.on_head: Callable[[log.Head], None] = lambda _head: None  # after each longer log was committed
        self.on_stored: Callable[[], None] = _nobody  # after reports of ours were committed

    @property
    def head(self) -> log.Head:
        """The newest committed checkpoint."""
        if self._head is None:
            raise StorageUnavailable
        return self._head

    async def load(self) -> log.Head:
        """Read where the log stands; an empty log gets its first checkpoint (size 0)."""
        async with self._leader.connection() as conn:
            head = await log.head(conn, self._gen)
            if head is None:
                head = self._signed(Frontier())
                async with conn.transaction():
                    await recalls.say_again(conn)
                    await log.append(conn, (), head)
        self._stand_at(head)
        return head

    async def post(self, *postings: Posting) -> list[Posted]:
        """Write `postings` durably, in order; returns when they are committed.

        What is to be signed waits a moment for the pen, if it is held. Raises: StorageUnavailable (nothing is known to
        be written: try again, ids make it safe), StorageError, NodeStopping, Unconfirmed.
        """
        if any(p.sealed is not None for p in postings):
            await self.signable()
        if self._closing:
            raise NodeStopping
        call = _Call(postings, asyncio.get_running_loop().create_future())
        await self._calls.put(call)
        return await call.done

    @property
    def held(self) -> bool:
        """Whether nothing is signed, because it is not known whether our log is whole."""
        return self._held is not None

    def hold(self, why: Unconfirmed) -> None:
        """Sign nothing until `release()`: it is not known whether our log is whole."""
        self._held = why
        self._released.clear()

    def release(self) -> None:
        """Our log is whole: sign."""
        self._held = None
        self._released.set()
        if self._head is not None:
            self.on_head(self._head)

    async def adopt(
        self, before: log.Head, signed: Checkpoint, frontier: bytes, note: bytes, leaves: Sequence[bytes]
    ) -> None:
        """Go on from a head that was signed with our key and that this database had lost.

        `leaves`: the hashes from `before` on; the caller has verified that they lead to `signed`. The pen is held.
        Raises: StorageConflict when the log has grown meanwhile, StorageError.
        """
        head = log.Head(self._gen, signed.size, signed.root, frontier, note)
        async with self._leader.connection() as conn:
            await log.adopt(conn, before.size, leaves, head)
        self._stand_at(head)

    async def signable(self) -> None:
        """Return when something may be signed; waits a moment for the pen. Raises: Unconfirmed."""
        if self._held is None:
            return
        try:
            async with asyncio.timeout(self.held_s):
                await self._released.wait()
        except TimeoutError:
            if self._held is not None:
                raise self._held from None

    async def grown(self, since: int, wait_s: float) -> log.Head:
        """The head as soon as it differs from `since`, or as it is after `wait_s` seconds.

        Who knows more of this log than there is gets the head at once: it has something to find out.
        """
        grown = self._grown
        if self.head.size == since and wait_s > 0 and not self._letting_go:
            try:
                async with asyncio.timeout(wait_s):
                    await grown.wait()
            except TimeoutError:
                pass
        return self.head

    async def run(self) -> None:
        """Write until `drain()`; started once by the node."""
        while True:
            batch = [await self._next_call()]
            count = len(batch[0].postings)
            while not self._calls.empty() and count < BATCH_POSTINGS:
                batch.append(self._calls.get_nowait())
                count += len(batch[-1].postings)
            await self._write(batch)
            for _ in batch:
                self._calls.task_done()

    def stir(self) -> None:
        """Answer the long polls that wait, though the log is no longer: there is more on its note."""
        self._grown.set()
        self._grown = asyncio.Event()

    def let_go(self) -> None:
        """Answer every long poll now: the node is stopping."""
        self._letting_go = True
        self._grown.set()

    async def drain(self) -> None:
        """Refuse new postings and write what waits."""
        self._closing = True
        self.let_go()
        await self._calls.join()

    async def _next_call(self) -> _Call:
        """The next call. While it is not known whether the last commit happened, look again and again.

        What was committed unheard must reach the peers even if nobody files anything more.
        """
        while not self._certain:
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    return await self._calls.get()
            except TimeoutError:
                try:
                    await self.load()
                    self._alarms.wake()
                except StorageError as exc:
                    logger.warning("it is not known yet whether the last report was written: %s", exc)
        return await self._calls.get()

    def _stand_at(self, head: log.Head) -> None:
        """From now on this is known to be committed; whoever waits for a longer log is woken."""
        before, self._head, self._certain = self._head, head, True
        if before is not None and head.size > before.size:
            self.on_head(head)
            self._grown.set()
            self._grown = asyncio.Event()

    async def _write(self, batch: list[_Call]) -> None:
        try:
            posted = await self._commit([p for call in batch for p in call.postings])
        except _LookAgain:
            await self._write(batch)
        except StorageError as exc:
            if len(batch) > 1 and not isinstance(exc, StorageUnavailable):
                for call in batch:  # one bad posting must not take its neighbours with it
                    await self._write([call])
                return
            for call in batch:
                _fail(call, exc)
        except Exception as exc:
            logger.exception("a batch could not be written")
            for call in batch:
                _fail(call, exc)
        else:
            rest = iter(posted)
            for call in batch:
                mine = [next(rest) for _ in call.postings]
                if not call.done.done():
                    call.done.set_result(mine)

    async def _commit(self, postings: Sequence[Posting]) -> list[Posted]:
        before = self.head if self._certain else await self.load()
        self._certain = False
        async with self._leader.connection() as conn:
            done = await self._file(conn, postings, before)
            if done is None:
                async with conn.transaction():
                    done = await self._apply(conn, postings, before)
        posted, after = done
        self._stand_at(after)
        if any(p.alert_id is not None for p in posted):
            self._alarms.wake()
        if any(
            p.report is not None and was.outcome == "stored" for p, was in zip(postings, posted, strict=True)
        ):
            self.on_stored()
        return posted

    async def _file(
        self, conn: Connection, postings: Sequence[Posting], before: log.Head
    ) -> tuple[list[Posted], log.Head] | None:
        """Write the usual batch, first versions that ring nobody, in one statement, which is its own transaction.

        None when the batch is another, or one of its ids is taken: then nothing has been written.
        """
        usual = {
            p.report.id for p in postings if p.report and not (p.held_ver or p.alert or p.after or p.beside)
        }
        if len(usual) != len(postings):
            return None
        page = self._page(postings, {}, before)
        try:
            await _write_page(conn, page, [act for p in postings for act in p.acts])
        except StorageConflict as exc:
            if exc.constraint != reports.ID_TAKEN:
                raise
            return None
        return page.posted, page.head

    async def _apply(
        self, conn: Connection, postings: Sequence[Posting], before: log.Head
    ) -> tuple[list[Posted], log.Head]:
        """Look what is held, judge, write; inside the caller's transaction."""
        ids = [p.report.id for p in postings if p.report is not None] + _spoken_of(postings)
        page = self._page(postings, await reports.held(conn, ids) if ids else {}, before)
        try:
            await _write_page(conn, page)
        except StorageConflict as exc:
            if exc.constraint != reports.ID_TAKEN:
                raise
            raise _LookAgain from exc  # a peer's report took one of the ids between our look and our insert
        for new, held_ver in page.replacing:
            if not await reports.replace(conn, new, held_ver=held_ver, held_origin=self._node_id):
                raise _LookAgain
        for share in page.wider:
            await shares.record(conn, share)
        return await self._finish(conn, postings, page.posted), page.head

    def _page(self, postings: Sequence[Posting], held: dict[str, reports.Held], before: log.Head) -> "_Page":
        """What the postings come to; those of which one cannot be written go together, and none of them is."""
        broken: set[object] = set()
        while True:
            page = self._paged(postings, held, before, broken)
            more = {p.together for p, was in zip(postings, page.posted, strict=True) if _is_refused(was)}
            if more <= broken | {None}:
                return page
            broken |= more - {None}

    def _paged(
        self,
        postings: Sequence[Posting],
        held: dict[str, reports.Held],
        before: log.Head,
        broken: Collection[object],
    ) -> "_Page":
        page = _Page(before)
        frontier = Frontier.from_bytes(before.frontier)
        seen: dict[str, bytes] = {}
        for posting in postings:
            verdict = _judge(posting, held, seen, self._node_id)
            if verdict is None and posting.together in broken:
                verdict = Posted("conflict")
            if verdict is not None:
                page.posted.append(verdict)
                continue
            place = None
            if posting.sealed is not None:
                place = reports.Place(self._gen, frontier.size, posting.sealed.leaf_hash)
                frontier.append(posting.sealed.leaf_hash)
                page.entries.append(self._entry(posting.sealed, place.index))
            if posting.report is not None and posting.wider and place is not None:
                page.wider.append(
                    shares.Share(posting.report.id, posting.held_ver or 1, place, posting.audience)
                )
                seen[posting.report.id] = posting.report.sha256
            elif posting.report is not None:
                new = reports.NewReport(
                    posting.report, self._node_id, (posting.held_ver or 0) + 1, place, posting.audience
                )
                seen[posting.report.id] = posting.report.sha256
                if posting.held_ver is None:
                    page.fresh.append(new)
                else:
                    page.replacing.append((new, posting.held_ver))
            standing = held.get(posting.report.id) if posting.report else None
            page.posted.append(Posted("stored", place, held=standing))
        if page.entries:
            page.head = self._signed(frontier)
        return page

    async def _finish(
        self, conn: Connection, postings: Sequence[Posting], posted: list[Posted]
    ) -> list[Posted]:
        finished = []
        acts: list[Act] = []
        for posting, was in zip(postings, posted, strict=True):
            alert_id = None
            if was.outcome == "stored":
                if posting.alert is not None:
                    ver = (posting.held_ver or 0) + 1
                    alert_id = await self._alarms.record(conn, posting.alert, report_ver=ver)
                if posting.after is not None and was.place is not None:
                    await posting.after(conn, was.place.index)
                if posting.beside is not None:
                    await posting.beside(conn)
                acts += posting.acts
            finished.append(Posted(was.outcome, was.place, alert_id, was.held))
        await audit.note(conn, *acts)
        return finished

    def _entry(self, sealed: Sealed, index: int) -> log.Entry:
        locked = self._data_keys.lock(sealed.leaf_hash, sealed.data_key)
        return log.Entry(index, sealed.leaf_hash, sealed.leaf, sealed.ct, dict(sealed.wraps), locked)

    def _signed(self, frontier: Frontier) -> log.Head:
        root = frontier.root()
        note = sign_checkpoint(self._origin, frontier.size, root, self._log_private)
        return log.Head(self._gen, frontier.size, root, frontier.to_bytes(), note)


class _LookAgain(StorageError):
    """The table changed between look and write; the batch is tried again."""

    code = "look-again"
    hint = "Try again."


def _judge(
    posting: Posting, held: dict[str, reports.Held], seen: dict[str, bytes], node_id: str
) -> Posted | None:
    """The outcome of a posting that is not to be written, or None."""
    report = posting.report
    if report is None:
        gone = any(report_id not in held for report_id in _spoken_of([posting]))
        return Posted("conflict") if gone else None  # it was erased meanwhile
    standing = held.get(report.id)
    if posting.wider:
        stands = standing is not None and (standing.origin, standing.ver, standing.sha256) == (
            node_id,
            posting.held_ver,
            report.sha256,
        )
        return None if stands and seen.get(report.id, report.sha256) == report.sha256 else Posted("conflict")
    if report.id in seen:
        taken: Literal["exists", "conflict"] = "exists" if posting.held_ver is None else "conflict"
        return Posted("unchanged" if seen[report.id] == report.sha256 else taken, held=standing)
    if standing is None:
        return Posted("conflict") if posting.held_ver is not None else None
    if standing.sha256 == report.sha256:
        return Posted("unchanged", held=standing)
    if posting.held_ver is None or (standing.origin, standing.creator) != (node_id, report.created_by_ref):
        return Posted("exists", held=standing)
    kept = set(standing.audience) <= set(posting.audience)  # else somebody got the version meanwhile
    return None if kept and standing.ver == posting.held_ver else Posted("conflict", held=standing)


def _spoken_of(postings: Sequence[Posting]) -> list[str]:
    """The reports that entries without a report of their own speak of; what is complained of is not held here."""
    leaves = [p.sealed.leaf for p in postings if p.report is None and p.sealed is not None]
    named = [about(leaf)[0] for leaf in leaves if read_header(leaf).t != "complain"]
    return [report_id for report_id in named if report_id is not None]


def _nobody() -> None:
    """Nobody wants to know."""


def _is_refused(posted: Posted) -> bool:
    return posted.outcome in {"exists", "conflict"}


async def _write_page(conn: Connection, page: _Page, acts: Sequence[Act] = ()) -> None:
    """First versions, entries and checkpoint, with what is noted of them, in one statement."""
    if page.entries:
        await log.append(conn, page.entries, page.head, page.fresh, acts)
    elif page.fresh:
        await reports.file(conn, page.fresh, acts)


def _fail(call: _Call, exc: Exception) -> None:
    if not call.done.done():
        call.done.set_exception(exc)
