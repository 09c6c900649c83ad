"""The courier: carry the outbox of one channel, most urgent first, each message once.

Lease a row, talk to the other side outside any transaction, write down what came of it. Every row is repeated
under its own transaction id until the other side says yes or says that this message is bad. All times stand
in the database, so a courier that dies is followed by one that goes on where it was.
"""

import asyncio
import json
import logging
import time
from contextlib import suppress
from dataclasses import replace
from typing import assert_never

import msgspec

from tocsin_node.links.alert_thread import Saying
from tocsin_node.links.transport import BadMessage, ChannelDown, Outcome, Retry, Sender, Sent
from tocsin_node.services.alarm_channel import Channel, jitter_s
from tocsin_node.services.alarm_gatekeeper import Gatekeeper
from tocsin_node.services.alarm_plan import AlarmPlanner
from tocsin_node.services.alarm_present import present
from tocsin_node.services.alarm_words import renamed
from tocsin_node.services.pace import Pace
from tocsin_node.services.resting import rest
from tocsin_node.storage import alerts, deliveries, receipts
from tocsin_node.storage.alerts import StoredAlert
from tocsin_node.storage.deliveries import Job
from tocsin_node.storage.pool import Connection, Pool

IDLE_S = 30.0  # how long a row of another process may go unseen
LEASE_BEYOND_S = 20.0  # beyond the time limit of a request
STALE_S = 23 * 3600.0  # homeservers forget transaction ids after 24 hours
LISTEN_FIRST_S = 2.0
RETRY_FIRST_S = 0.25
RETRY_MAX_S = 5.0
TAKEN_BACK = {"msgtype": "m.notice", "body": "(taken back)", "m.mentions": {}}
logger = logging.getLogger(__name__)


class Courier:
    """Works through the outbox of one channel. `wake()` after new rows were committed.

    `stale_s`: after so long the other side may have forgotten a transaction id. `listening`: is set when it is known
    what others have told there meanwhile; the first message waits for that, for a moment.
    """

    def __init__(
        self,
        pool: Pool,
        transport: Sender,
        name: str,
        channel: Channel,
        planner: AlarmPlanner,
        pace: Pace,
        *,
        request_timeout_s: float,
        stale_s: float = STALE_S,
        listening: asyncio.Event | None = None,
    ) -> None:
        self._pool = pool
        self._transport = transport
        self._name = name
        self._channel = channel
        self._stale_s = stale_s
        self._listening = listening
        self._planner = planner
        self._pace = pace
        self._lease_s = request_timeout_s + LEASE_BEYOND_S
        self._woken = asyncio.Event()
        self._hurry = False
        self._beat_s = 0.0

    def wake(self) -> None:
        """Something is in the outbox."""
        self._woken.set()

    def hurry(self) -> None:
        """The other side is back: what waits for its next try goes now."""
        self._hurry = True
        self._woken.set()

    @property
    def alive(self) -> bool:
        """Whether it was at work so lately that it cannot be stuck."""
        return time.monotonic() - self._beat_s < self._lease_s + IDLE_S

    async def run(self) -> None:
        """Carry until cancelled."""
        async with self._pool.acquire() as conn:
            await deliveries.release(conn, self._name)
        if self._listening is not None:
            await self._channel.usable.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(LISTEN_FIRST_S):
                    await self._listening.wait()
        while True:
            await self._channel.usable.wait()
            self._woken.clear()
            self._beat_s = time.monotonic()
            rest_s = await self.carry()
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise asyncio.CancelledError  # a sender's library kept it to itself (asyncio.wait_for, Python 3.11)
            if rest_s > 0:
                await rest(self._woken, rest_s)

    async def carry(self) -> float:
        """Carry at most one message; returns the seconds until there may be another.

        Raises: StorageError; a message that was sent is then sent again, and is the same message.
        """
        rest_s = self._channel.pause_s()
        if rest_s > 0:
            return rest_s
        allowed = self._pace.allowed(time.monotonic())
        if allowed is None:
            return self._pace.next_s(time.monotonic())
        async with self._pool.transaction() as conn:
            if self._hurry:
                self._hurry = False
                await deliveries.hurry(conn, self._name)
            job = await deliveries.lease(
                conn, self._name, up_to=allowed, lease_s=self._lease_s, stale_s=self._stale_s
            )
            if job is None:
                return self._idle_s(await deliveries.due_in_s(conn, self._name))
            ready = await self._ready(conn, job)
        if ready is None:
            return 0.0
        return await self._hand_over(ready)

    async def _hand_over(self, job: Job) -> float:
        self._pace.take()
        if job.kind == "unsay":
            return await self._settle(job, await self._unsay(job))
        outcome = await self._transport.send(job.room, "m.room.message", json.loads(job.content), job.txn)
        return await self._settle(job, outcome)

    async def _unsay(self, job: Job) -> Outcome:
        """Take back a message of ours whose report was erased.

        Where it is not known whether the message is there, it is made sure of first: under its old transaction id it is
        the same message, or, when the other side has forgotten that, one that says nothing.
        """
        what = json.loads(job.content)
        event_id = what["event"]
        if event_id is None:
            there = await self._transport.send(job.room, "m.room.message", TAKEN_BACK, what["txn"])
            if not isinstance(there, Sent):
                return there
            event_id = there.event_id
        return await self._transport.unsay(job.room, event_id, job.txn)

    async def _settle(self, job: Job, outcome: Outcome) -> float:
        match outcome:
            case Sent(warning=warning) if job.kind == "unsay":
                async with self._pool.acquire() as conn:
                    await deliveries.unsaid(conn, job)
                await self._channel.worked(sent=True, warning=warning)
                return 0.0
            case Sent(event_id=event_id, warning=warning):
                async with self._pool.transaction() as conn:
                    await receipts.owe_alerted(conn, job.id)
                    await deliveries.accepted(conn, job, event_id, channel=self._name)
                self._planner.on_sent()
                await self._channel.worked(sent=True, warning=warning)
                return 0.0
            case Retry(code=code, after_s=after_s):
                again_s = after_s if after_s is not None else _again_s(job)
                async with self._pool.acquire() as conn:
                    await deliveries.defer(conn, job, code, again_s)
                if after_s is not None:
                    self._pace.drain()
                await self._channel.stumbled(outcome)
                return self._channel.pause_s() or self._channel.rest_s()
            case ChannelDown(code=code):
                async with self._pool.acquire() as conn:
                    await deliveries.defer(conn, job, code, _again_s(job))
                await self._channel.broke(outcome)
                return 0.0
            case BadMessage(code=code):
                await self._fall_back(job, code)
                return 0.0
        assert_never(outcome)

    async def _fall_back(self, job: Job, code: str) -> None:
        """Give this message up and send the short form under a name of its own; that one is tried once."""
        logger.error("%s refuses the message of alert %s: %s", self._name, job.alert_id or "-", code)
        async with self._pool.transaction() as conn:
            await deliveries.fail(conn, job, code)
            alert = await alerts.get(conn, job.alert_id)
            if alert is not None and "to" not in json.loads(
                job.content
            ):  # a letter to one person goes to nobody else
                await self._planner.enqueue_short(conn, alert, self._name, job, _saying(job))

    async def _ready(self, conn: Connection, job: Job) -> Job | None:
        """The leased message as it goes out, kept so for every further try; None: it does not go out."""
        if job.kind == "unsay":
            return job
        alert = await alerts.get(conn, job.alert_id)
        if job.edits is not None and job.root_txn is None:
            await deliveries.drop(conn, job, "root-gone")
            return None
        if alert is not None and job.attempts == 1 and not await self._passes(conn, job, alert):
            return None
        anew = job if alert is None else await self._judged(conn, job, alert)
        if anew is None:
            await deliveries.drop(conn, job, "nothing-new")
            return None
        if job.attempts == 1 or anew is not job:
            anew = replace(anew, content=self._planner.tied(anew, self._name))
            await deliveries.freeze(conn, anew)
        return await self._renamed(conn, anew) if anew.stale else anew

    async def _passes(self, conn: Connection, job: Job, alert: StoredAlert) -> bool:
        way = self._planner.way(self._name)
        return way is None or await Gatekeeper(self._planner, way).passes(conn, job, alert)

    async def _judged(self, conn: Connection, job: Job, alert: StoredAlert) -> Job | None:
        """The message as it may be said now: its report's marking may have been raised since it was written.

        If it was tried before, the other side may have it in its old words, and people then see two messages; to
        repeat the old words could tell what may no longer be told, and to say nothing could leave nobody rung. None:
        it was to say how things are now, and that is what was said last.
        """
        way = self._planner.way(self._name)
        if job.kind in {"update", "digest"} and way is not None:
            anew = await present(conn, self._planner, way, job, alert)
            if anew is None:
                return None
        else:
            anew = self._planner.said_now(
                alert, job.txn, channel=self._name, ceiling=job.max_tlp, kind=job.kind, saying=_saying(job)
            )
        if anew is None or anew[0] == job.txn:
            return job
        txn, content = anew[0], _addressed(job.content, anew[1])
        await deliveries.rename(
            conn, job, txn=txn, content=content, max_tlp=self._planner.ceiling_of(self._name)
        )
        return replace(job, txn=txn, content=content, stale=False)

    async def _renamed(self, conn: Connection, job: Job) -> Job:
        """A message that was tried so long ago that the homeserver may have forgotten it, as another message."""
        txn, content = renamed(job.content, job.txn)
        await deliveries.rename(conn, job, txn=txn, content=content, max_tlp=job.max_tlp)
        return replace(job, txn=txn, content=content, stale=False)

    def _idle_s(self, due_s: float | None) -> float:
        if due_s is None:
            return IDLE_S
        if due_s > 0:
            return min(due_s, IDLE_S)
        return max(self._pace.next_s(time.monotonic()), RETRY_FIRST_S)  # due, but kept for more urgent ones


def _addressed(before: str, content: str) -> str:
    """New words (JSON) to those whom the old ones were written to, where that is somebody by name."""
    to = json.loads(before).get("to")
    return content if to is None else json.dumps({**json.loads(content), "to": to})


def _saying(job: Job) -> Saying | None:
    return None if job.said is None else msgspec.json.decode(job.said, type=Saying)


def _again_s(job: Job) -> float:
    return jitter_s(RETRY_FIRST_S * 2.0 ** min(job.attempts, 10), RETRY_MAX_S)
