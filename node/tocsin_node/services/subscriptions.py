"""Subscriptions: people who are told of some alerts besides the room, at once or once a day.

A mail address gets a letter of its own; a Matrix user is mentioned in the alert's thread, and for a digest in the room.
Every alert is held against the subscriptions once, and every promise to tell is a row that is kept until the message
is in the outbox, so nothing is told twice or forgotten.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from datetime import datetime, time, timedelta
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec

from tocsin_node.errors import NodeError
from tocsin_node.links.alert_text import headline, title_of
from tocsin_node.links.alert_thread import Saying
from tocsin_node.services.alarm_plan import AlarmPlanner
from tocsin_node.services.alarm_way import MAIL, MATRIX
from tocsin_node.services.quiet import due_at
from tocsin_node.services.resting import go_round
from tocsin_node.settings.kinds import Person
from tocsin_node.storage import alerts, subscriptions
from tocsin_node.storage.alerts import StoredAlert
from tocsin_node.storage.errors import StorageError
from tocsin_node.storage.pool import Connection, Pool
from tocsin_node.storage.subscriptions import NewSubscription, Subscription
from tocsin_schema.facets import key, system_keys
from tocsin_schema.ids import fold
from tocsin_schema.marking import Tlp

IDLE_S = 30.0
AGAIN = timedelta(minutes=1)  # after a fault of ours
logger = logging.getLogger(__name__)
SHOWN_IN_DIGEST = 50


class SubscriptionUnknown(NodeError):
    """No subscription of that number stands."""

    code = "subscription-unknown"
    hint = "`tocsin alert subscriptions` shows those that stand."


class SubscriptionInvalid(NodeError):
    """A subscription names somebody whom nothing reaches, or a time that is none."""

    code = "subscription-invalid"
    hint = "Name a Matrix user or a mail address, times such as 08:00, and a zone such as Europe/Berlin."


Few = Annotated[
    tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=200)], ...], msgspec.Meta(max_length=50)
]


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody wants to be told of; of each list one must fit, an empty one fits all. Times: local, HH:MM."""

    person: Person
    grades: tuple[Literal["I", "II", "III", "IV"], ...] = ()
    origins: Few = ()
    systems: Few = ()
    harms: Few = ()
    classes: Few = ()  # SCHEME:CODE
    max_tlp: Literal["clear", "green", "amber", "amber+strict", "red"] = "green"
    digest_at: str | None = None
    quiet: tuple[str, str] | None = None
    zone: str | None = None
    break_quiet: bool = True
    by: str | None = None


class Subscriptions:
    """All of one node. Start `run()` once; `wake()` after an alert was recorded. `told`: called after letters were."""

    def __init__(
        self,
        pool: Pool,
        planner: AlarmPlanner,
        *,
        zone: str,
        told: Callable[[], None],
        now: Callable[[], datetime],
    ) -> None:
        self._pool = pool
        self._planner = planner
        self._zone = zone
        self._told = told
        self._now = now
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """There may be a new alert."""
        self._woken.set()

    async def run(self) -> None:
        """Offer and tell until cancelled."""
        await go_round(self._all, self._woken)

    async def _all(self) -> float:
        while await self.offer_next() or await self.tell_next():
            pass
        async with self._pool.acquire() as conn:
            at = await subscriptions.next_at(conn)
        return IDLE_S if at is None else min(max((at - self._now()).total_seconds(), 0.0), IDLE_S)

    async def subscribe(self, wanted: Wanted, *, by: str) -> dict[str, Any]:
        """Keep a subscription; as JSON. Raises: SubscriptionInvalid."""
        zone = wanted.zone or self._zone
        reached = MATRIX if wanted.person.startswith("@") else MAIL
        if self._planner.ceiling_of(reached) is None:
            raise SubscriptionInvalid(f"There is no [{reached}] here that reaches {wanted.person}.")
        try:
            ZoneInfo(zone)
            digest = None if wanted.digest_at is None else time.fromisoformat(wanted.digest_at)
            begin, end = (None, None) if wanted.quiet is None else map(time.fromisoformat, wanted.quiet)
        except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
            raise SubscriptionInvalid("A time or the time zone is none.") from exc
        filters = {name: list(getattr(wanted, name)) for name in ("grades", "systems", "harms", "classes")}
        new = NewSubscription(
            wanted.person,
            json.dumps({**filters, "origins": list(wanted.origins)}),
            tuple(_keys(wanted)),
            tuple(origin.lower() for origin in wanted.origins),
            wanted.max_tlp,
            digest,
            zone,
            begin,
            end,
            wanted.break_quiet,
            by,
        )
        async with self._pool.acquire() as conn:
            return subscription_as_json(await subscriptions.add(conn, new))

    async def standing(self) -> Sequence[dict[str, Any]]:
        """Those that stand, as JSON."""
        async with self._pool.acquire() as conn:
            return [subscription_as_json(each) for each in await subscriptions.listing(conn)]

    async def end(self, subscription_id: int, *, by: str) -> dict[str, Any]:
        """End one; as JSON. Raises: SubscriptionUnknown."""
        async with self._pool.acquire() as conn:
            gone = await subscriptions.end(conn, subscription_id, by)
        if gone is None:
            raise SubscriptionUnknown(f"No subscription {subscription_id} stands.")
        return subscription_as_json(gone)

    async def end_by(self, conn: Connection, person: str, subscription_id: int | None) -> str:
        """End one of a person's own, as that person wants it in the room; what to answer."""
        if subscription_id is None:
            return "Which? !subscriptions shows yours, !unsubscribe N ends one."
        gone = await subscriptions.end(conn, subscription_id, person, person=person)
        if gone is None:
            return f"You have no subscription {subscription_id}. !subscriptions shows yours."
        return f"Subscription {subscription_id} has ended."

    async def lines(self, conn: Connection, person: str) -> list[str]:
        """A person's own, a line each."""
        return [words_of(each) for each in await subscriptions.listing(conn, person)] or [
            "You have no subscription. `tocsin alert subscribe` makes one."
        ]

    async def offer_next(self) -> bool:
        """Hold the oldest alert that is new against the subscriptions; False: there is none."""
        now, alert_id = self._now(), None
        try:
            async with self._pool.transaction() as conn:
                alert_id = await subscriptions.unoffered(conn, now)
                if alert_id is None:
                    return False
                for fit in await subscriptions.fitting(conn, alert_id):
                    due_at = _due(fit.subscription, now, urgent=fit.urgent)
                    await subscriptions.promise(conn, fit.subscription.id, alert_id, due_at)
                await subscriptions.offered(conn, alert_id)
        except StorageError:
            raise
        except Exception:
            if alert_id is None:
                raise
            logger.exception(
                "alert %d could not be held against the subscriptions; others do not wait", alert_id
            )
            async with self._pool.acquire() as conn:
                await subscriptions.offer_later(conn, alert_id, now + AGAIN)
        return True

    async def tell_next(self) -> bool:
        """Put what is due to one person into the outbox; False: nothing is due."""
        now, who = self._now(), None
        try:
            async with self._pool.transaction() as conn:
                who = await subscriptions.due(conn, now)
                if who is None:
                    return False
                found = [
                    alert
                    for alert_id in await subscriptions.tell(conn, who.id, now)
                    if (alert := await alerts.get(conn, alert_id)) is not None
                ]
                await self._tell(conn, who, found, now)
        except StorageError:
            raise
        except Exception:
            if who is None:
                raise
            logger.exception("subscription %d could not be told; the others do not wait for it", who.id)
            async with self._pool.acquire() as conn:
                await subscriptions.tell_later(conn, who.id, now, now + AGAIN)
            return True
        self._told()
        return True

    async def _tell(
        self, conn: Connection, who: Subscription, found: Sequence[StoredAlert], now: datetime
    ) -> None:
        ceiling = Tlp(who.max_tlp)
        if len(found) == 1 and who.digest_at is None:
            saying = Saying(
                f"subscription-{who.id}", f"{who.person}: it fits your subscription {who.id}.", facts=True
            )
            if who.person.startswith("@"):
                named = msgspec.structs.replace(saying, mention=(who.person,), facts=False)
                await self._planner.say(conn, found[0].id, "escalation", named, channels=(MATRIX,))
            else:
                await self._planner.write(conn, found[0], [who.person], saying, ceiling=ceiling)
            return
        lines = [_digest_line(self._planner, alert, who.person, ceiling) for alert in found[:SHOWN_IN_DIGEST]]
        if len(found) > SHOWN_IN_DIGEST:
            lines.append(f"… and {len(found) - SHOWN_IN_DIGEST} more.")
        head = f"{len(found)} alerts that fit your subscription {who.id}"
        await self._planner.tell(
            conn, who.person, head, lines, what=f"subscription-{who.id}-{found[0].id}-{found[-1].id}", at=now
        )


def subscription_as_json(each: Subscription) -> dict[str, Any]:
    """A subscription as the API shows it."""
    return {
        "id": each.id,
        "person": each.person,
        **json.loads(each.filters),
        "max_tlp": each.max_tlp,
        "digest_at": None if each.digest_at is None else f"{each.digest_at:%H:%M}",
        "quiet": None
        if each.quiet_from is None or each.quiet_until is None
        else [f"{each.quiet_from:%H:%M}", f"{each.quiet_until:%H:%M}"],
        "zone": each.zone,
        "break_quiet": each.break_quiet,
        "by": each.made_by,
        "at": each.made_at,
        "ended_at": each.ended_at,
    }


def words_of(each: Subscription) -> str:
    """A subscription in one line."""
    filters = {name: values for name, values in json.loads(each.filters).items() if values}
    what = "; ".join(f"{name} {', '.join(values)}" for name, values in filters.items()) or "all alerts"
    when = "at once" if each.digest_at is None else f"every day at {each.digest_at:%H:%M} {each.zone}"
    quiet = (
        ""
        if each.quiet_from is None or each.quiet_until is None
        else f", not from {each.quiet_from:%H:%M} to {each.quiet_until:%H:%M}"
    )
    return f"{each.id}: {what}; {when}{quiet}"


def _keys(wanted: Wanted) -> Sequence[str]:
    return [
        *(key("grade", grade) for grade in wanted.grades),
        *(each for system in wanted.systems for each in system_keys(system)),
        *(f"harm:{fold(harm)}" for harm in wanted.harms),
        *(key("classification", each) for each in wanted.classes),
    ]


def _due(who: Subscription, now: datetime, *, urgent: bool) -> datetime:
    quiet = None if who.quiet_from is None or who.quiet_until is None else (who.quiet_from, who.quiet_until)
    return due_at(
        now,
        ZoneInfo(who.zone),
        digest_at=who.digest_at,
        quiet=quiet,
        breaks=urgent and who.break_quiet,
    )


def _digest_line(planner: AlarmPlanner, alert: StoredAlert, person: str, ceiling: Tlp) -> str:
    room = planner.ceiling_of(MATRIX if person.startswith("@") else MAIL)
    most = ceiling if room is None else min(ceiling, Tlp(room), key=lambda tlp: tlp.rank)
    facts = planner.facts_now(alert, most)
    return f"Alert {alert.id}: {headline(facts)}: {title_of(facts)} (tocsin alert show {alert.id})"
