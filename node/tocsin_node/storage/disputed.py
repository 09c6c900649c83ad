"""What is disputed (PROTOCOL.md, P-151), in SQL: whatever stands in a log where its author no longer vouches for it.

It is derived from one number of the log, so that all that stands there changes in the moment in which that does.
"""

from collections.abc import Sequence

from tocsin_node.storage.pool import Connection


def disputed(author: str, gen: str, index: str) -> str:
    """The condition that a place in a log is disputed. `author` (its NodeID), `gen`, `index`: SQL expressions."""
    return f"""exists (
    select from remote_log l where l.origin = {author} and l.gen = {gen} and l.disputed_from <= {index})"""


# Of a row `k` of `act`, and of a row `k` of `emergency_call` whose emergency is `o`.
ACT = disputed("k.node", "k.log_gen", "k.log_index")
CALL = disputed("o.origin", "k.log_gen", "k.log_index")
# An act that stands. One that is disputed counts as one that was taken back (P-253).
STANDS = f"k.revoked_at is null and not {ACT}"


def unsaid(recall: str) -> str:
    """The condition that a peer's recall (a row of `recalled`, its alias) stands where that peer's log is disputed."""
    return f"""exists (
    select from remote_entry said join remote_log l on l.origin = said.origin and l.gen = said.gen
    where said.origin = {recall}.origin and said.leaf_hash = {recall}.leaf_hash and l.disputed_from <= said.idx)"""


def unvouched(emergency: str) -> str:
    """The condition that all calls of an emergency are disputed: nobody called. `emergency`: SQL, its id or null."""
    return f"""exists (
    select from emergency o where o.id = {emergency} and not exists (
        select from emergency_call k where k.emergency = o.id and not {CALL}))"""


def over(emergency: str) -> str:
    """The condition that an emergency was stood down by a call that is not disputed, or that nobody called."""
    return f"""({unvouched(emergency)} or exists (
    select from emergency o join emergency_call k on k.emergency = o.id
    where o.id = {emergency} and k.state = 'stood-down' and not {CALL}))"""


# Of a row `a` of `alert`: that it is about a version of a report, or a call, that its author vouches for no longer.
ALERT = f"""({unvouched("a.emergency")} or exists (
    select from report r where r.id = a.report_id and a.kind in ('raise', 'escalate')
        and {disputed("r.origin", "r.log_gen", "r.log_index")}))"""
# That nothing is to be done about it any more, or nothing for as long as its author does not vouch for it.
OVER = f"""({over("a.emergency")} or {ALERT})"""


# Of those that rang: of all others nobody is told how they stand, however many there are.
STANCES = f"""
select o.id::text, max(k.seq) filter (where not {CALL}) from emergency o join emergency_call k on k.emergency = o.id
where o.origin = $1 and exists (select from alert a where a.emergency = o.id) group by o.id
"""

# What was told of them may look otherwise now.
STIR = """
insert into stirred (incident)
select distinct a.incident from alert a join (
    select report_id from act where node = $1 and log_gen = $2
    union select id from report where origin = $1 and log_gen = $2
) of on of.report_id = a.report_id where exists (select from delivery d where d.alert_id = a.id)
"""

STIR_REPORTS = """
insert into stirred (incident) select distinct incident from alert where report_id = any($1::text[])
"""


async def stances(conn: Connection, origin: str) -> dict[str, int | None]:
    """The count of the call that stands for each emergency of a node that rang; None: all its calls are disputed."""
    return {row[0]: row[1] for row in await conn.fetch(STANCES, origin)}


async def stir(conn: Connection, origin: str, gen: int) -> None:
    """Have every room look again at what it was told of what that node has reported and acknowledged in that log."""
    await conn.execute(STIR, origin, gen)


async def stir_reports(conn: Connection, report_ids: Sequence[str]) -> None:
    """Have every room look again at what it was told of these reports: their author vouches for them again."""
    await conn.execute(STIR_REPORTS, list(report_ids))


def changed(before: dict[str, int | None], after: dict[str, int | None]) -> Sequence[str]:
    """The emergencies for which another call stands than before."""
    return [name for name, seq in after.items() if before.get(name) != seq]
