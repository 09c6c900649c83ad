"""Complaints in Postgres, and how each ends: told to its author, and then a row that names no report any more.

What proves a complaint is an entry with the report in it, which its marking kept from us. It is let go of when the
author has it; its header, which names the report, when the report is taken back or erased; and all of it in time.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from tocsin_node.storage.errors import StorageContention
from tocsin_node.storage.pool import Connection
from tocsin_node.storage.reports import Place

KEPT_DAYS: Final = 90  # that there is something to show
ASKED_DAYS: Final = 30  # once the report was taken back, while the author does not know of it


@dataclass(frozen=True, slots=True)
class NewComplaint:
    """`by` complains that `against` passed on, in its entry at `place`, what the marking forbids.

    `tag`: keyed hash of the report's id and the version.
    `sealed`: that entry's header, ciphertext and locked data key, when we complain; `proof`: what others showed.
    """

    by: str
    against: str
    place: Place
    report_id: str
    ver: int
    tlp: str
    author: str
    recipients: tuple[str, ...]
    tag: bytes
    sealed: tuple[bytes, bytes, bytes] | None = field(repr=False, default=None)
    proof: bytes | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True)
class Complaint:
    """A complaint as it is shown. `told`: the author was told by an entry of ours.

    `until`: when what proves it is let go of; None: it stays, or is gone already, and then `report_id` is None too.
    """

    id: int
    by: str
    against: str
    gen: int
    idx: int
    leaf_hash: bytes
    report_id: str | None
    ver: int | None
    tlp: str
    author: str
    recipients: tuple[str, ...]
    at: datetime
    told: bool
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a complaint is proven by. Ours: header, ciphertext, locked data key; of others: the proof as it came."""

    leaf: bytes | None
    ct: bytes | None
    data_key: bytes | None
    proof: bytes | None


# One for each version, also when that one has ended: else who passes it on a thousand times, taking it back each time,
# has its author told a thousand times, by us.
COMPLAIN = """
insert into complaint (by, against, gen, idx, leaf_hash, report_id, ver, tlp, author, recipients, leaf, ct, data_key,
    proof, tag)
select $1::text, $2::text, $3::int, $4::bigint, $5::bytea, $6::text, $7::int, $8::text, $9::text, $10::text[],
    $11::bytea, $12::bytea, $13::bytea, $14::bytea, $15::bytea
where not exists (
    select from complaint where by = $1 and against = $2 and (report_id = $6 and ver = $7 or tag = $15))
on conflict (by, leaf_hash) do nothing
"""

# Of our own reports it is ours how long we can show who passed them on.
_COMPLAINT = f"""
select id, by, against, gen, idx, leaf_hash, report_id, ver, tlp, author, recipients, at, told_idx is not null,
    case when ended_at is null and author <> $1
        then least(at + interval '{KEPT_DAYS} days', asked_at + interval '{ASKED_DAYS} days') end
from complaint
"""

COMPLAINTS = f"{_COMPLAINT} where $2::text is null or against = $2 order by id desc limit $3"

COMPLAINT = f"{_COMPLAINT} where id = $2"

EVIDENCE = "select leaf, ct, data_key, proof from complaint where id = $1"

UNTOLD = f"""
{_COMPLAINT} where ct is not null and told_idx is null and author = any($2::text[]) and id > $3 order by id limit 1
"""

# What the marking kept from us is let go of once its author has it.
TOLD = """
update complaint set told_gen = $2, told_idx = $3, ct = null, data_key = null
where id = $1 and ended_at is null returning id
"""

IN_A_DAY = "select count(*) from complaint where at > now() - interval '24 hours'"

COUNTS = "select against, count(*) from complaint group by against"

_HEARD = """(c.told_idx is not null and (
    (select r.outcome from receipt r where r.node = c.author and r.gen = c.told_gen and r.idx = c.told_idx) is not null
    or exists (select from peer p where p.node_id = c.author
        and (p.fetched_gen, p.fetched_next) > (c.told_gen, c.told_idx))))"""


def _ending(which: str) -> str:
    """Leave of these complaints nothing but who, whom, when and hashes; and nothing of the entries that told them."""
    return f"""
with ended as (
    update complaint c set report_id = null, ver = null, leaf = null, ct = null, data_key = null, proof = null,
        ended_at = now()
    where c.ended_at is null and ({which}) returning c.told_gen, c.told_idx
), told as (
    select e.gen, e.idx from ended d join log_entry e on e.gen = d.told_gen and e.idx = d.told_idx
    where position('"t":"complain"'::bytea in e.leaf) > 0
), unwrapped as (
    update log_wrap w set wrap = '' from told t where w.gen = t.gen and w.idx = t.idx
), shredded as (
    update log_entry l set leaf = null, ct = null, data_key = null, erased_at = now() from told t
    where l.gen = t.gen and l.idx = t.idx
)
select count(*) from ended
"""


_DUE = f"""c.author <> $1 and (c.at < now() - interval '{KEPT_DAYS} days'
    or c.asked_at < now() - interval '{ASKED_DAYS} days' or c.asked_at is not null and {_HEARD})"""

# Our entry that tells the author holds what its marking kept from us. An author that refuses it does not need that
# again after a restore. Its header stays as long as the complaint does.
_REFUSED = """
select e.gen, e.idx from complaint c join log_entry e on e.gen = c.told_gen and e.idx = c.told_idx
join receipt r on r.node = c.author and r.gen = c.told_gen and r.idx = c.told_idx and r.outcome = 'refused'
where c.ended_at is null and e.ct is not null"""

LIGHTEN = f"""
with refused as ({_REFUSED}), unwrapped as (
    update log_wrap w set wrap = '' from refused r where w.gen = r.gen and w.idx = r.idx
), lightened as (
    update log_entry l set ct = null, data_key = null from refused r where l.gen = r.gen and l.idx = r.idx returning 1
)
select count(*) from lightened
"""

DUE = f"""
select exists (select from complaint c where c.ended_at is null and ({_DUE})) or exists ({_REFUSED})
"""

END = _ending(_DUE)

# Its report goes, as its author or our own people ask. At the word of anybody else, who is complained of or a friend of
# his, it waits until the author knows.
ERASE_ASKED = "update complaint set asked_at = coalesce(asked_at, now()) where report_id = any($1::text[])"
ERASE = _ending(f"c.report_id = any($1::text[]) and ($2::text is null or $2 = c.author or {_HEARD})")

# The entry that is complained of was taken back, which was never taken here. What is ours stays.
ASKED = """
update complaint set asked_at = coalesce(asked_at, now())
where against = $1 and leaf_hash = any($2::bytea[]) and author <> $3 and ended_at is null
"""


async def complain(conn: Connection, new: NewComplaint) -> None:
    """Keep a complaint; of one node about another, one for each version of a report."""
    place = new.place
    await conn.execute(
        COMPLAIN,
        new.by,
        new.against,
        place.gen,
        place.index,
        place.leaf_hash,
        new.report_id,
        new.ver,
        new.tlp,
        new.author,
        list(new.recipients),
        *(new.sealed or (None, None, None)),
        new.proof,
        new.tag,
    )


async def listing(conn: Connection, us: str, against: str | None, limit: int) -> list[Complaint]:
    """The newest complaints, of all or against one node (NodeID), newest first."""
    return [_complaint(row) for row in await conn.fetch(COMPLAINTS, us, against, limit)]


async def one(conn: Connection, us: str, number: int) -> tuple[Complaint, Evidence] | None:
    """One complaint, with what proves it."""
    row, kept = await conn.fetchrow(COMPLAINT, us, number), await conn.fetchrow(EVIDENCE, number)
    return None if row is None or kept is None else (_complaint(row), Evidence(*kept))


async def untold(conn: Connection, us: str, authors: Sequence[str], after: int) -> Complaint | None:
    """The oldest complaint of ours above that number that one of `authors` (NodeIDs) is to be told."""
    row = await conn.fetchrow(UNTOLD, us, list(authors), after)
    return None if row is None else _complaint(row)


async def mark_told(conn: Connection, number: int, gen: int, index: int) -> None:
    """Our log entry `index` tells the author. Raises: StorageContention when the complaint has ended meanwhile.

    Then nothing of its report may be written any more: nobody would come to take it away.
    """
    if await conn.fetchval(TOLD, number, gen, index) is None:
        raise StorageContention("The complaint has ended meanwhile.")


async def asked(conn: Connection, against: str, entries: Sequence[bytes], us: str) -> None:
    """Who is complained of takes these entries of its log back; what is due by that is ended too."""
    await conn.execute(ASKED, against, list(entries), us)
    await end(conn, us)


async def due(conn: Connection, us: str) -> bool:
    """Whether a complaint has come to its end, or what tells it is refused."""
    found: bool = await conn.fetchval(DUE, us)
    return found


async def end(conn: Connection, us: str) -> int:
    """End what has come to its end, and let go of what authors have refused; how many ended."""
    count: int = await conn.fetchval(END, us)
    await conn.fetchval(LIGHTEN)
    return count


async def in_a_day(conn: Connection) -> int:
    """How many came up in the last 24 hours."""
    count: int = await conn.fetchval(IN_A_DAY)
    return count


async def counts(conn: Connection) -> dict[str, int]:
    """NodeID → how many complaints there are against it."""
    return {row[0]: row[1] for row in await conn.fetch(COUNTS)}


def _complaint(row: Any) -> Complaint:
    values: list[Any] = list(row)
    values[10] = tuple(values[10])
    return Complaint(*values)
