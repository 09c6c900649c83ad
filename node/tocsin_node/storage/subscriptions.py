"""Who is told of which alerts besides the room, and what each of them is still to be told."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time

from tocsin_node.actor import person as named
from tocsin_node.storage import audit
from tocsin_node.storage.audit import Act
from tocsin_node.storage.pool import Connection


@dataclass(frozen=True, slots=True)
class NewSubscription:
    """`filters`: JSON as it was written; `keys`: the same as keys of reports (`tocsin_schema.facets`)."""

    person: str
    filters: str
    keys: tuple[str, ...]
    origins: tuple[str, ...]
    max_tlp: str
    digest_at: time | None
    zone: str
    quiet_from: time | None
    quiet_until: time | None
    break_quiet: bool
    made_by: str


@dataclass(frozen=True, slots=True)
class Subscription:
    """One that stands, or stood."""

    id: int
    person: str
    filters: str
    max_tlp: str
    digest_at: time | None
    zone: str
    quiet_from: time | None
    quiet_until: time | None
    break_quiet: bool
    made_by: str
    made_at: datetime
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Fit:
    """A subscription that an alert fits. `urgent`: grade I, or a life at risk."""

    subscription: Subscription
    urgent: bool


_NAMES = """id, person, filters, max_tlp, digest_at, zone, quiet_from, quiet_until, break_quiet, made_by, made_at,
    ended_at"""
_COLUMNS = ", ".join(f"s.{name.strip()}" for name in _NAMES.split(","))

ADD = f"""
insert into subscription as s (person, filters, keys, origins, max_tlp, digest_at, zone, quiet_from, quiet_until,
    break_quiet, made_by)
values ($1, $2::jsonb, $3, $4, $5, $6, $7, $8, $9, $10, $11)
returning {_COLUMNS}
"""

LIST = f"select {_COLUMNS} from subscription s where ended_at is null and ($1::text is null or person = $1) order by id"

END = f"""
update subscription s set ended_at = now(), ended_by = $2
where id = $1 and ended_at is null and ($3::text is null or person = $3) returning {_COLUMNS}
"""

UNOFFERED = """
select alert_id from followup where offered_at is null and (offer_at is null or offer_at <= $1)
order by alert_id limit 1 for update skip locked
"""

OFFER_LATER = "update followup set offer_at = $2 where alert_id = $1"

OFFERED = "update followup set offered_at = now() where alert_id = $1"

# Of each kind of key one must fit. What a report is called in (software, system, product) is one kind.
FITTING = f"""
with told as (
    select a.*, coalesce(f.keys, '{{}}') || ('grade:' || lower(a.grade)) as known, u.urgent
    from alert a join followup u on u.alert_id = a.id left join report_facet f on f.report_id = a.report_id
    where a.id = $1
)
select {_COLUMNS}, t.urgent from subscription s, told t
where s.ended_at is null and s.made_at <= t.raised_at and t.kind not in ('test', 'duty')
  and (s.origins = '{{}}' or lower(t.origin) = any(s.origins))
  and not exists (
    select from (
        select case when k ~ '^(software|system|product):' then 'system' else split_part(k, ':', 1) end as kind, k
        from unnest(s.keys) k
    ) wanted group by wanted.kind having not t.known && array_agg(wanted.k))
order by s.id
"""

PROMISE = """
insert into subscription_alert (subscription_id, alert_id, due_at) values ($1, $2, $3) on conflict do nothing
"""

# Whoever is told of one thing that is due is told at once of all that is.
DUE = f"""
select {_COLUMNS} from subscription s
where s.id = (select p.subscription_id from subscription_alert p join subscription w on w.id = p.subscription_id
              where p.told_at is null and p.due_at <= $1 and w.ended_at is null order by p.due_at limit 1)
for update skip locked
"""

TELL = """
update subscription_alert set told_at = now()
where subscription_id = $1 and told_at is null and due_at <= $2 returning alert_id
"""

TELL_LATER = """
update subscription_alert set due_at = $3 where subscription_id = $1 and told_at is null and due_at <= $2
"""

NEXT_AT = """
select least(
    (select min(p.due_at) from subscription_alert p join subscription s on s.id = p.subscription_id
     where p.told_at is null and s.ended_at is null),
    (select min(offer_at) from followup where offered_at is null))
"""


async def add(conn: Connection, new: NewSubscription) -> Subscription:
    """Keep one."""
    async with conn.transaction():
        row = await conn.fetchrow(
            ADD,
            new.person,
            new.filters,
            list(new.keys),
            list(new.origins),
            new.max_tlp,
            new.digest_at,
            new.zone,
            new.quiet_from,
            new.quiet_until,
            new.break_quiet,
            new.made_by,
        )
        made = Subscription(*row)
        detail = {"person": new.person, "max_tlp": new.max_tlp}
        act = Act("subscription.make", f"subscription:{made.id}", detail, named(new.made_by))
        await audit.note(conn, act)
    return made


async def listing(conn: Connection, person: str | None = None) -> list[Subscription]:
    """Those that stand, of one person or of all."""
    return [Subscription(*row) for row in await conn.fetch(LIST, person)]


async def end(
    conn: Connection, subscription_id: int, by: str, *, person: str | None = None
) -> Subscription | None:
    """End one, of that person if one is named; None when none of that number stands."""
    async with conn.transaction():
        row = await conn.fetchrow(END, subscription_id, by, person)
        if row is not None:
            await audit.note(
                conn, Act("subscription.end", f"subscription:{subscription_id}", actor=named(by))
            )
    return None if row is None else Subscription(*row)


async def unoffered(conn: Connection, now: datetime) -> int | None:
    """The oldest alert that was not held against the subscriptions yet, locked for the transaction."""
    alert_id: int | None = await conn.fetchval(UNOFFERED, now)
    return alert_id


async def offer_later(conn: Connection, alert_id: int, at: datetime) -> None:
    """It could not be held against them; not before `at` again."""
    await conn.execute(OFFER_LATER, alert_id, at)


async def offered(conn: Connection, alert_id: int) -> None:
    """It was."""
    await conn.execute(OFFERED, alert_id)


async def fitting(conn: Connection, alert_id: int) -> list[Fit]:
    """The subscriptions that an alert fits and that stood when it was raised."""
    return [Fit(Subscription(*row[:-1]), row[-1]) for row in map(tuple, await conn.fetch(FITTING, alert_id))]


async def promise(conn: Connection, subscription_id: int, alert_id: int, due_at: datetime) -> None:
    """They are to be told of the alert at that time."""
    await conn.execute(PROMISE, subscription_id, alert_id, due_at)


async def due(conn: Connection, now: datetime) -> Subscription | None:
    """One whose person is to be told of something by now, locked for the transaction."""
    row = await conn.fetchrow(DUE, now)
    return None if row is None else Subscription(*row)


async def tell(conn: Connection, subscription_id: int, now: datetime) -> Sequence[int]:
    """The alerts that are due, in order; they count as told when the transaction is committed."""
    return sorted(row[0] for row in await conn.fetch(TELL, subscription_id, now))


async def tell_later(conn: Connection, subscription_id: int, now: datetime, at: datetime) -> None:
    """What is due by now could not be told; not before `at` again."""
    await conn.execute(TELL_LATER, subscription_id, now, at)


async def next_at(conn: Connection) -> datetime | None:
    """When the next is to be told of something, or an alert is to be tried again."""
    at: datetime | None = await conn.fetchval(NEXT_AT)
    return at
