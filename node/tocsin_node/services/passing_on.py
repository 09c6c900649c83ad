"""Passing on what peers wrote: where its marking lets it go, with the author's proof, and so that the author learns it.

`share` does for a peer's report what `Reporting.share` does for our own. A report that its author withdraws is
withdrawn by itself at everybody whom we passed it on to: what waits is read from the tables, so it outlives a crash.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from tocsin_federation.envelope import Sealed
from tocsin_federation.errors import FederationError, SealRefused
from tocsin_federation.messages import Header, read_header
from tocsin_federation.onward import release_onward, write_share
from tocsin_federation.proof import Proof
from tocsin_federation.sharing import Release
from tocsin_node.errors import NodeError
from tocsin_node.health import Check
from tocsin_node.services.audience import split_off
from tocsin_node.services.ledger import Ledger, Posting
from tocsin_node.services.peering import Peering
from tocsin_node.services.proving import Proving
from tocsin_node.services.recalling import Recalling
from tocsin_node.services.releasing import sealable_only
from tocsin_node.services.report_acts import report_act, review_acts
from tocsin_node.services.report_refusals import RecipientsMissing, ReportUnknown
from tocsin_node.services.reporting import Reporting
from tocsin_node.services.resting import keep_at
from tocsin_node.services.screening import Screened, Screening
from tocsin_node.services.sealing import Sealing
from tocsin_node.services.submission import Submission
from tocsin_node.storage import onward, recalls
from tocsin_node.storage.onward import Passing, StoredPassing, Through
from tocsin_node.storage.pool import Connection, Pool
from tocsin_node.storage.reports import Place, StoredReport
from tocsin_schema.check import check_bundle
from tocsin_schema.finding import Finding
from tocsin_schema.marking import Tlp
from tocsin_schema.report import IncidentReport

LOOK_EVERY_S = 300.0  # what waits for a peer's key or approval is tried again
logger = logging.getLogger(__name__)


class NotFromAuthor(NodeError):
    """Only who has a report from its author passes it on."""

    code = "not-from-author"
    hint = "Ask the author, or who passed it on to you, to share it with them."


class Disputed(NodeError):
    """Its author has ended the log that this report stands in, before it."""

    code = "disputed"
    hint = "Wait until the author has said it again; `tocsin report show ID` says how it stands."


class Recalled(NodeError):
    """Its author takes it back, or marks it more strictly, and that is not done here yet."""

    code = "recalled"
    hint = "`tocsin report recalls` shows what its author asks."


class TooLarge(NodeError):
    """The report is too large to be passed on with its proof."""

    code = "too-large-to-pass-on"
    hint = "Ask the author to share it with them."


@dataclass(frozen=True, slots=True)
class _Ready:
    """A version that may be passed on, with all that goes with it."""

    stored: StoredReport
    report: IncidentReport
    header: Header
    proof: Proof
    findings: tuple[Finding, ...]


class PassingOn:
    """The verbs. Start `run()` once; `wake()` after reports of peers were stored."""

    def __init__(
        self,
        pool: Pool,
        ledger: Ledger,
        peering: Peering,
        reporting: Reporting,
        proving: Proving,
        screening: Screening,
        sealing: Sealing,
        recalling: Recalling,
        *,
        node_id: str,
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._peering = peering
        self._reporting = reporting
        self._proving = proving
        self._screening = screening
        self._sealing = sealing
        self._recalling = recalling
        self._node_id = node_id
        self._woken = asyncio.Event()
        self._one = asyncio.Lock()  # two at once would seal one version twice
        self._held: set[str] = set()  # withdrawals that a person must look at first

    def wake(self) -> None:
        """A report that was passed on may be withdrawn."""
        self._woken.set()

    async def run(self) -> None:
        """Pass withdrawals on, now and whenever woken, until cancelled."""
        await keep_at(self.withdraw, self._woken, LOOK_EVERY_S, what="withdrawals to be passed on")

    async def share(
        self,
        report_id: str,
        *,
        to: Sequence[str],
        dry_run: bool = False,
        reviewed_by: str | None = None,
        circle: str | None = None,
    ) -> Submission:
        """Send a report to the peers `to` that do not have it yet; one of a peer's as the marking permits.

        Raises: as `Reporting.share`, and for a peer's report NotFromAuthor, Disputed, Recalled, TooLarge,
        NotKept, DataKeyLost.
        """
        stored = await self._reporting.get(report_id)
        if stored.origin == self._node_id:
            return await self._reporting.share(
                report_id, to=to, dry_run=dry_run, reviewed_by=reviewed_by, circle=circle
            )
        if circle is not None or not to:
            raise RecipientsMissing("A peer's report goes on to peers that you name.")
        requested = [self._peering.named(name).node_id for name in to]
        async with self._one:
            ready = await self._ready(stored)
            return await self._pass(ready, requested, dry_run=dry_run, reviewed_by=reviewed_by)

    async def withdraw(self) -> int:
        """Withdraw what its author has withdrawn since we passed it on; how many reports. Raises: StorageError."""
        async with self._pool.acquire() as conn:
            waiting = await onward.stale(conn, self._node_id, [p.node_id for p in self._peering.active()])
        count = 0
        held = set()
        for report_id, told in waiting:
            try:
                async with self._one:
                    ready = await self._ready(await self._reporting.get(report_id))
                    done = [
                        await self._pass(ready, some, dry_run=False, reviewed_by=None)
                        for some in self._peering.apart(told)
                    ]
                count += any(one.outcome == "stored" for one in done)
            except (NodeError, FederationError) as exc:
                held |= {report_id} if exc.code == "review-needed" else set()
                logger.warning("the withdrawal of %s was not passed on: %s", report_id, exc)
        self._held = held
        return count

    async def health(self) -> Check:
        """Whether a withdrawal waits for a person."""
        if self._held:
            hint = (
                "The withdrawal of a report that you passed on seems to name people or hold a secret: "
                "look at it, then `tocsin report share ID --to NAME --reviewed-by YOU`."
            )
            return Check("passing-on", "degraded", "withdrawal-held", hint)
        return Check("passing-on")

    async def of_report(self, report_id: str) -> list[StoredPassing]:
        """Who has passed on which versions of a report to whom, as far as we know, we too; oldest first."""
        async with self._pool.acquire() as conn:
            return await onward.of_reports(conn, [report_id])

    async def through(self, reports: Sequence[StoredReport]) -> dict[str, Through]:
        """By report: through whom those came that did not come from their authors."""
        foreign = [(one.id, one.ver) for one in reports if one.origin != self._node_id]
        if not foreign:
            return {}
        async with self._pool.acquire() as conn:
            return await onward.through(conn, foreign)

    # -------------------------------------------------------------------------------------------------

    async def _ready(self, stored: StoredReport) -> _Ready:
        """Raises: NotFromAuthor, Disputed, Recalled, NotKept, DataKeyLost."""
        if stored.disputed:
            raise Disputed
        async with self._pool.acquire() as conn:
            came = (await onward.through(conn, [(stored.id, stored.ver)])).get(stored.id)
            if came is not None:
                author, giver = self._peering.name_of(stored.origin), self._peering.name_of(came.through)
                raise NotFromAuthor(
                    hint=f"Ask its author, {author}, to share it with them; or {giver}, who passed it on to you."
                )
            if await recalls.waiting(conn, stored.id):
                raise Recalled
            proof = await self._proving.of_peer(conn, stored)
        checked = check_bundle(stored.bundle)
        assert checked.report is not None, "it was checked when it came"
        return _Ready(stored, checked.report, read_header(proof.leaf), proof, checked.findings)

    async def _pass(
        self, ready: _Ready, requested: Sequence[str], *, dry_run: bool, reviewed_by: str | None
    ) -> Submission:
        stored, report = ready.stored, ready.report
        release = await self._release(ready, requested)
        screened = await self._screening.screen(report, leaves=bool(release.to), reviewed_by=reviewed_by)
        findings = (*ready.findings, *screened.findings)
        if dry_run:
            needed = screened.needed
            return Submission("dry-run", report, stored.ver, release, findings, review_needed=needed)
        if not release.to:
            return Submission("unchanged", report, stored.ver, release, findings)
        screened = screened.admit()
        passing = Passing(
            by=self._node_id,
            place=Place(self._ledger.head.gen, 0, b""),
            report_id=stored.id,
            ver=stored.ver,
            recipients=tuple(p.node_id for p in release.to),
            client=ready.header.tlp is Tlp.AMBER,  # then all of them are: nobody else may have it
        )
        await self._recalling.before_giving(stored.id)
        sealed = await self._seal(ready, passing)
        acts = (
            report_act("report.share", report, stored.ver, passing.recipients),
            *review_acts(screened, report.id, stored.ver),
        )
        (posted,) = await self._ledger.post(
            Posting(sealed=sealed, after=_keeping(passing, sealed, screened), acts=acts)
        )
        if posted.outcome != "stored":
            raise ReportUnknown  # it was taken back meanwhile
        self.wake()  # it may have been withdrawn meanwhile
        return Submission("stored", report, stored.ver, release, findings, posted.place)

    async def _release(self, ready: _Ready, requested: Sequence[str]) -> Release:
        policies = self._peering.policies()
        release = release_onward(
            ready.header,
            policies,
            requested=requested,
            us=self._node_id,
            marked=Tlp(ready.stored.tlp),
        )
        passings = await self.of_report(ready.stored.id)
        having = {
            node
            for one in passings
            if one.by == self._node_id and one.ver == ready.stored.ver
            for node in one.recipients
        }
        release = split_off(release, having, "has-it", "it has this version already")
        return sealable_only(release, self._peering)

    async def _seal(self, ready: _Ready, passing: Passing) -> Sealed:
        """The entry, for who gets the report, and for its author, who learns so to whom it goes. Raises: TooLarge."""
        try:
            content = write_share(ready.proof, client=passing.client)
        except SealRefused as exc:
            raise TooLarge from exc
        author = self._peering.by_id(ready.header.by)
        told = (
            [author.node_id]
            if author is not None and author.active and self._peering.sealable(author.node_id)
            else []
        )
        return await self._sealing.seal(
            "share",
            passing.report_id,
            passing.ver,
            to=[*passing.recipients, *told],
            tlp=ready.header.tlp,
            content=content,
            ref=ready.stored.leaf_hash,
        )


def _keeping(
    passing: Passing, sealed: Sealed, screened: Screened
) -> Callable[[Connection, int], Awaitable[None]]:
    """Keeps, together with the entry, whom it went to, and who took on that it leaves."""

    async def after(conn: Connection, index: int) -> None:
        place = replace(passing.place, index=index, leaf_hash=sealed.leaf_hash)
        await onward.record(conn, replace(passing, place=place))
        if screened.reviewed_by is not None:
            await screened.record(conn, passing.report_id, passing.ver)

    return after
