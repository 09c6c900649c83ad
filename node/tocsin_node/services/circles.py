"""Circles: adopt, leave, look; tell the members; give a report its place in a circle's count.

Nothing is kept in memory: a circle is read from the database when it is asked for. What members are to be told is what
the database says they have not been told, so a crash tells it again or not at all.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from tocsin_federation.circle import circle_entry_id, read_file, verify_circle, write_file
from tocsin_federation.circle_rules import first_difference, next_count
from tocsin_federation.errors import CircleRefused
from tocsin_node.errors import NodeError
from tocsin_node.health import Check
from tocsin_node.services.circle_standing import Standing, Way
from tocsin_node.services.ledger import Ledger, Posting
from tocsin_node.services.peering import Peering
from tocsin_node.services.resting import keep_at
from tocsin_node.services.sealing import Sealing
from tocsin_node.storage import circles
from tocsin_node.storage.circles import Count
from tocsin_node.storage.pool import Connection, Pool

LOOK_EVERY_S = 30.0  # a member may have become a peer meanwhile
SOON = timedelta(days=14)
PREFIX = 8  # letters of a circle's id that name it
logger = logging.getLogger(__name__)


class CircleUnknown(NodeError):
    """There is no circle of that name."""

    code = "circle-unknown"
    hint = "`tocsin circle list` shows the circles; an id or its first 8 letters name one too."


class CircleNotOurs(NodeError):
    """The circle does not name this node."""

    code = "circle-not-member"
    hint = (
        "Ask its admins to propose an epoch with this node as a member: `tocsin key status` shows its NodeID."
    )


@dataclass(frozen=True, slots=True)
class Seen:
    """A circle as it is shown: with its members' knowledge of it and how their entries come."""

    standing: Standing
    told: dict[str, int]
    counts: tuple[Count, ...]


class Circles:
    """The verbs on circles. Start `run()` once; `wake()` when members may have something to learn."""

    def __init__(
        self,
        pool: Pool,
        ledger: Ledger,
        peering: Peering,
        sealing: Sealing,
        *,
        node_id: str,
        now: Callable[[], datetime],
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._peering = peering
        self._sealing = sealing
        self._node_id = node_id
        self._now = now
        self._woken = asyncio.Event()
        self._turn = asyncio.Lock()
        self.on_learned: Callable[[], None] = _nobody  # what waited for a manifest may be taken now
        self.ready: Callable[[], Awaitable[None]] = _at_once  # when what a restore lost was asked for

    # Looking -------------------------------------------------------------------------------------------

    async def all(self) -> list[Standing]:
        """Every circle that is known here."""
        async with self._pool.acquire() as conn:
            return [Standing.of(row) for row in await circles.all_circles(conn)]

    async def named(self, name: str) -> Standing:
        """The circle of that name or id (hex, or its beginning). Raises: CircleUnknown.

        One that is adopted is meant before one that a peer only offers: it cannot take its name away.
        """
        found = [
            s for s in await self.all()
            if s.newest.name == name or (len(name) >= PREFIX and s.circle.id.hex().startswith(name.lower()))
        ]  # fmt: skip
        adopted = [s for s in found if s.row.state == "adopted"]
        found = adopted or found
        if len(found) > 1:
            ids = ", ".join(s.circle.id.hex()[:16] for s in found)
            raise CircleUnknown(
                f"{len(found)} circles are called {name!r}.", hint=f"Name one by its id: {ids}."
            )
        if not found:
            raise CircleUnknown(f"There is no circle called {name!r}.")
        return found[0]

    async def seen(self, name: str) -> Seen:
        """A circle with all that is known of it. Raises: CircleUnknown."""
        standing = await self.named(name)
        async with self._pool.acquire() as conn:
            told = await circles.told(conn, standing.circle.id)
            others = sorted(standing.circle.ever() - {self._node_id})
            counted = await circles.counts(conn, [standing.circle.id], others)
        return Seen(standing, told, tuple(self._from_the_start(standing, each) for each in counted))

    async def of_report(self, report_id: str) -> list[Standing]:
        """The circles that a report was addressed to, the latest first."""
        async with self._pool.acquire() as conn:
            found = [await circles.get(conn, one) for one in await circles.of_report(conn, report_id)]
        return [Standing.of(row) for row in found if row is not None]

    async def gaps(self, node_id: str) -> list[tuple[str, Count]]:
        """(circle's name, count) where the entries of a peer have not come as they were counted."""
        known = {s.circle.id: s for s in await self.all()}
        if not known:
            return []
        async with self._pool.acquire() as conn:
            counted = await circles.counts(conn, list(known), [node_id])
        found = [(known[c.circle], self._from_the_start(known[c.circle], c)) for c in counted]
        return [(s.newest.name, count) for s, count in found if count.missing or count.doubled]

    def _from_the_start(self, standing: Standing, count: Count) -> Count:
        """Who is a member from the first epoch on knows that the count begins at 1."""
        if count.entries == circles.LOOKED_AT:
            return count
        always = all(self._node_id in m.members for m in standing.circle.manifests)
        return replace(count, missing=count.missing + count.first - 1) if always else count

    async def health(self) -> Sequence[Check]:
        """Whether a circle of ours is frozen, or ends soon; and whether one that is only offered is frozen.

        Anybody may read it: not which. Who offers circles of its own that contradict themselves hides nothing of ours.
        """
        known = await self.all()
        return self._ours([s for s in known if s.row.state == "adopted"]), self._offered(
            [s for s in known if s.row.state == "offered"]
        )

    def _ours(self, adopted: Sequence[Standing]) -> Check:
        frozen = sum(s.state == "frozen" for s in adopted)
        if frozen:
            hint = (
                "A circle has two manifests of one epoch. `tocsin circle list` says which: call its admins."
            )
            return Check("circles", "degraded", "circle-frozen", hint, count=frozen)
        ends = [s.newest.expires_at for s in adopted if self._node_id in s.newest.members]
        end = min(ends, default=None)
        if end is not None and end - self._now() < SOON:
            hint = f"A manifest ends {end:%Y-%m-%d}, its admins must sign the next: `tocsin circle list` says whose."
            days = (end - self._now()).days
            return Check("circles", "degraded", "circle-expiring", hint, mark=max(0, days))
        return Check("circles")

    @staticmethod
    def _offered(offered: Sequence[Standing]) -> Check:
        frozen = sum(s.state == "frozen" for s in offered)
        if not frozen:
            return Check("circles-offered")
        hint = "Of a circle that nobody here has adopted two manifests of one epoch are known: `tocsin circle list`."
        return Check("circles-offered", "degraded", "circle-frozen", hint, count=frozen)

    # Changing ------------------------------------------------------------------------------------------

    async def adopt(self, raw: bytes, *, resolve: bool = False) -> Standing:
        """Our operator's yes to a circle, or to a new epoch of one; its members are told.

        An epoch of a known circle that does not name us is taken, too: it ends what we share into that one.
        `resolve`: of two manifests of one epoch, the one in this file stands. Raises: CircleRefused, CircleNotOurs.
        """
        chain = read_file(raw)
        now = self._now()
        offered = verify_circle(chain, now=now)
        ours = self._node_id in offered.newest.members
        async with self._pool.transaction() as conn:
            row = (await circles.held(conn, [offered.id])).get(offered.id)
            if not ours and row is None:
                raise CircleNotOurs
            standing = None if row is None else Standing.of(row)
            forked = standing is not None and first_difference(standing.circle, offered) is not None
            resolved = resolve and (forked or (standing is not None and standing.frozen_at is not None))
            if standing is not None and not resolved:
                if forked:
                    await circles.freeze(conn, offered.id, chain)
                elif standing.frozen_at is not None:
                    raise CircleRefused("circle-forked")
                else:
                    offered = verify_circle(chain, now=now, held=standing.circle)
            if offered.hidden:
                self._peering.veil(offered.ever())  # before anything is sealed to them
            if not forked or resolved:
                if resolved:
                    await circles.forget_told(conn, offered.id)
                await circles.put(conn, offered.id, chain, "adopted" if ours or row is None else row.state)
        if forked and not resolved:
            raise CircleRefused("circle-forked")
        self.on_learned()
        self.wake()
        return await self.named(offered.id.hex())

    async def adopt_offered(self, name: str) -> Standing:
        """Our operator's yes to a circle that a peer has told us of. Raises: CircleUnknown, as adopt."""
        return await self.adopt(write_file((await self.named(name)).row.chain))

    async def leave(self, name: str) -> Standing:
        """Nothing goes to the circle any more. What was shared stays with those who have it. Raises: CircleUnknown."""
        standing = await self.named(name)
        async with self._pool.acquire() as conn:
            await circles.leave(conn, standing.circle.id)
        return await self.named(standing.circle.id.hex())

    # Sharing -------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def way(self, name: str) -> AsyncIterator[Way]:
        """The way into a circle for one report, and its next number, for the block: one at a time.

        After a restore it waits a moment for what is lost: newer manifests and numbers may come back with it.
        Raises: CircleUnknown, CircleClosed.
        """
        await self.ready()
        async with self._turn:
            standing = await self.named(name)
            standing.refuse_closed(self._node_id, self._now())
            yield await self._next(standing)

    @asynccontextmanager
    async def way_of(self, report_id: str) -> AsyncIterator[Way | None]:
        """The way of a report's next version: the circle it was addressed to last; `closed` if it is not open to us."""
        await self.ready()  # recalls may come back too, of any report
        standing = next(iter(await self.of_report(report_id)), None)
        if standing is None:
            yield None
            return
        if standing.closed(self._node_id, self._now()) is not None:
            yield Way(standing, self._node_id, self._ledger.head.gen, cseq=0, cprev=None, closed=True)
            return
        async with self._turn:
            yield await self._next(standing)

    async def _next(self, standing: Standing) -> Way:
        async with self._pool.acquire() as conn:
            cseq, cprev = next_count(*await circles.last_ours(conn, standing.circle.id))
        return Way(standing, self._node_id, self._ledger.head.gen, cseq, cprev)

    async def shared_since(self, standing: Standing, since: datetime | None) -> list[str]:
        """Our reports that were addressed to the circle."""
        async with self._pool.acquire() as conn:
            return await circles.ours_since(conn, standing.circle.id, since)

    # Telling -------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Members may have something to learn."""
        self._woken.set()

    async def run(self) -> None:
        """Tell members what they do not know, whenever woken and every half minute, until cancelled."""
        await keep_at(self.tell, self._woken, LOOK_EVERY_S, what="circles")

    async def tell(self) -> int:
        """Send the manifests of adopted circles to members, and those of the epoch before, that do not know them yet.

        Who was taken out learns that, and no later manifest. Only to those that are active peers. Returns how many
        entries were written. Raises: StorageError.
        """
        sealable = {p.node_id for p in self._peering.active() if self._peering.sealable(p.node_id)}
        count = 0
        for standing in await self.all():
            if standing.state != "adopted" or standing.circle.hidden:  # that one goes by hand alone
                continue
            circle = standing.circle
            async with self._pool.acquire() as conn:
                told = await circles.told(conn, circle.id)
            before = circle.at(circle.epoch - 1) if circle.epoch else None
            concerned = {*circle.newest.members, *(before.members if before else ())} & sealable
            untold = sorted(n for n in concerned - {self._node_id} if told.get(n, -1) < circle.epoch)
            if untold:
                await self._ledger.post(await self._posting(standing, untold))
                count += 1
        return count

    async def _posting(self, standing: Standing, to: Sequence[str]) -> Posting:
        circle = standing.circle
        sealed = await self._sealing.seal(
            "circle",
            circle_entry_id(circle.id),
            circle.epoch + 1,
            to=to,
            tlp=circle.newest.max_tlp,
            content=write_file(circle.chain),
            aud=self._peering.audience(to),
        )
        return Posting(sealed=sealed, after=partial(_told, circle.id, to, circle.epoch))


async def _told(circle: bytes, nodes: Sequence[str], epoch: int, conn: Connection, index: int) -> None:
    del index
    await circles.note_told(conn, circle, nodes, epoch)


async def _at_once() -> None:
    """Nothing is lost."""


def _nobody() -> None:
    """Nobody wants to know."""
