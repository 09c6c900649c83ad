"""Erasing: the one verb after which nothing of a report is in any table but the hashes of its entries.

`ERASED` says table by table what goes, in an order that every reference allows; `KEPT` says of every other table why
nothing of a report is in it. A test holds both against the database's own catalogue. The tree stays whole: it needs the
leaf hashes alone, so every proof of everything else still verifies. Messages that stand in rooms are not rows: they
become jobs of the outbox that take them back.
"""

from collections.abc import Sequence
from typing import Final

from tocsin_node.storage import complaints, spent
from tocsin_node.storage.pool import Connection
from tocsin_node.storage.reports import CREATOR

# Whoever writes about a report while it is erased waits for this lock, and then finds none.
LOCK = "select id from report where id = any($1::text[]) for update"

# Alerts about them, and those that name them in passing; each part by an index of its own: the pen is held meanwhile.
ALERTS = """
select a.id from alert a where a.report_id = any($1::text[])
union select a.id from alert a where a.incident = any($1::text[])
union select a.id from alert a where report_names(a.facts::text) && $1::text[]
union select a.id from alert a join emergency e on e.id = a.emergency where e.report_id = any($1::text[])
"""
# A statement that has it is given these, all others the reports.
_ALERTS = "any($1::bigint[])"
_EMERGENCIES = "(select id from emergency where report_id = any($1::text[]))"
_DUTIES = "(select id from duty where report_id = any($1::text[]))"
# The name in a header, as the index `log_entry_about` has it: after `"id":"`.
_ABOUT = r"""substring(leaf from position('\x226964223a22'::bytea in leaf) + 6 for 46)
    = any(array(select convert_to(i, 'UTF8') from unnest($1::text[]) i))"""
# A complaint that its author has not heard yet stays for it (storage/complaints.py).
_UNHEARD = """not exists (
    select from complaint c where c.told_gen = e.gen and c.told_idx = e.idx and c.report_id = any($1::text[]))"""

_DIGESTS = f"""(
    select g.id from delivery c join delivery g on g.kind = 'digest' and c.thread in (g.id, g.thread)
    where c.state = 'covered' and c.alert_id = {_ALERTS})"""

# What may stand in a room: by its event, or, where the answer was lost, by the transaction that made it.
UNSAY = f"""
insert into delivery (channel, room, priority, content, txn, max_tlp, kind)
select channel, room, 5, jsonb_build_object('event', event_id, 'txn', txn), 'unsay-' || txn, 'clear', 'unsay'
from delivery
where id in (select id from delivery where alert_id = {_ALERTS} union {_DIGESTS})
    and kind <> 'unsay' and state <> 'covered' and room ~ '^[!#]'
    and (event_id is not null or first_try_at is not null)
on conflict (txn) do nothing
"""

# A digest told of others, too: its row stays, and says nothing any more.
HUSH = f"""
update delivery set content = '{{}}', said = null, state = 'superseded', event_id = null, lease_until = null
where id in {_DIGESTS}
"""

ERASED: Final[tuple[tuple[str, str], ...]] = (
    ("spent", spent.ALERTS),
    ("spent", spent.EMERGENCIES),
    ("delivery", UNSAY),
    ("delivery", HUSH),
    (
        "delivery",
        f"""with gone as (select id from delivery where alert_id = {_ALERTS})
        update delivery set thread = case when thread not in (select id from gone) then thread end,
            edits = case when edits not in (select id from gone) then edits end
        where id in (
            select d.id from gone join delivery d on d.thread = gone.id
            union select d.id from gone join delivery d on d.edits = gone.id)""",
    ),
    ("subscription_alert", f"delete from subscription_alert where alert_id = {_ALERTS}"),
    (
        "subscription",
        """update subscription set filters = '{}', keys = '{}', ended_at = coalesce(ended_at, now())
        where exists (select from unnest($1::text[]) i where strpos(filters::text || keys::text, i) > 0)""",
    ),
    ("followup", f"delete from followup where alert_id = {_ALERTS}"),
    ("cluster_rung", f"delete from cluster_rung where alert_id = {_ALERTS}"),
    ("duty_warning", f"delete from duty_warning where duty_id in {_DUTIES}"),
    ("duty_warning", f"delete from duty_warning where alert_id = {_ALERTS}"),
    ("act", "delete from act where report_id = any($1::text[])"),
    ("act", f"delete from act where alert_id = {_ALERTS}"),
    ("delivery", f"delete from delivery where alert_id = {_ALERTS}"),
    ("alert", f"delete from alert where id = {_ALERTS}"),
    ("emergency_told", f"delete from emergency_told where emergency in {_EMERGENCIES}"),
    ("emergency_answer", f"delete from emergency_answer where emergency in {_EMERGENCIES}"),
    ("emergency_call", f"delete from emergency_call where emergency in {_EMERGENCIES}"),
    ("emergency", "delete from emergency where report_id = any($1::text[])"),
    ("duty_event", f"delete from duty_event where duty_id in {_DUTIES}"),
    ("duty", "delete from duty where report_id = any($1::text[])"),
    ("duty_subject", "delete from duty_subject where report_id = any($1::text[])"),
    ("fellow_message", "delete from fellow_message where report_id = any($1::text[])"),
    ("likeness", "delete from likeness where report_id = any($1::text[]) or other_id = any($1::text[])"),
    ("redaction", "delete from redaction where report_id = any($1::text[]) or record_id = any($1::text[])"),
    ("remark", "delete from remark where report_id = any($1::text[])"),
    ("review", "delete from review where report_id = any($1::text[])"),
    ("circle_entry", "update circle_entry set report_id = '' where report_id = any($1::text[])"),
    ("onward", "delete from onward where report_id = any($1::text[])"),
    ("passed", "delete from passed where report_id = any($1::text[])"),
    ("complaint", complaints.ERASE_ASKED),
    ("complaint", complaints.ERASE),
    (
        "audit_waiting",
        """update audit_waiting set object = null, salt = null
        where object = any(array(select 'report:' || i from unnest($1::text[]) i))""",
    ),
    (
        "audit_line",
        """update audit_line set object = null, salt = null
        where object = any(array(select 'report:' || i from unnest($1::text[]) i))""",
    ),
    ("silence", "delete from silence where report_id = any($1::text[])"),
    ("stirred", "delete from stirred where incident = any($1::text[])"),
    ("report_facet", "delete from report_facet where report_id = any($1::text[])"),
    ("report_share", "delete from report_share where report_id = any($1::text[])"),
    ("report_version", "delete from report_version where report_id = any($1::text[])"),
    (
        "quarantine",
        """delete from quarantine where (origin, gen, idx) in (
            select origin, gen, idx from remote_entry where report_id = any($1::text[])
            union select origin, gen, idx from quarantine where report_names(encode(leaf, 'escape')) && $1::text[])""",
    ),
    (
        "remote_entry",
        """update remote_entry set report_id = null, ver = null, leaf = null, data_key = null
        where report_id = any($1::text[])""",
    ),
    (
        "log_wrap",
        f"""update log_wrap w set wrap = '' from log_entry e
        where e.gen = w.gen and e.idx = w.idx and {_ABOUT.replace("leaf", "e.leaf")} and {_UNHEARD}""",
    ),
    (
        "log_entry",
        f"""update log_entry e set leaf = null, ct = null, data_key = null, erased_at = now()
        where {_ABOUT} and {_UNHEARD}""",
    ),
    ("report", "delete from report where id = any($1::text[])"),
)

KEPT: Final[dict[str, str]] = {
    "audit_head": "the head of the audit log",
    "bystander": "who does not know whose log",
    "channel": "how a way to people is",
    "circle": "who belongs to a circle",
    "circle_epoch": "when each epoch was learnt",
    "circle_told": "who knows which epoch",
    "comparison": "how many entries differ from a peer's",
    "cosignature": "signature lines over heads",
    "cosigned": "heads of logs",
    "erasure": "keyed hashes of what was erased, who, when and why",
    "evidence": "checkpoints that contradict each other",
    "heartbeat": "when the last one went out",
    "invite": "of peers",
    "log_checkpoint": "heads of our log",
    "log_confirmation": "who let the log go on",
    "matrix_heard": "digests of messages",
    "matrix_set_aside": "messages of the room as they are encrypted there",
    "migration": "of the database",
    "onward_reader": "a keyed hash of what was passed on, to whom, and how far that got",
    "peer": "who the peers are",
    "recall": "a keyed hash of what was recalled, who, when and why",
    "recall_peer": "whom a recall goes to, and the hash of an entry",
    "recalled": "hashes of entries",
    "receipt": "how far an entry got, by its place",
    "receipt_due": "hashes of entries",
    "regained": "places of entries, and who is to be asked about them",
    "relay": "how many entries went from hand to hand",
    "remote_checkpoint": "heads of peers' logs",
    "remote_leaf": "leaf hashes",
    "remote_log": "heads of peers' logs",
    "token": "of people and programs",
    "trouble": "codes of checks",
}

CONTENTS = """
select sha256 from report where id = any($1::text[])
union select sha256 from report_version where report_id = any($1::text[])
"""

OWNERS = f"""
select r.id, r.origin, {CREATOR}
from report r left join report_facet f on f.report_id = r.id where r.id = any($1::text[])
"""

TOLD_IN = "select distinct channel from delivery where alert_id = any($1::bigint[]) and event_id is not null"


async def erase(conn: Connection, report_ids: Sequence[str], asked_by: str | None = None) -> None:
    """Leave nothing of these reports, inside the caller's transaction; no matter whether anything is held of them.

    `asked_by`: the peer (NodeID) whose recall is obeyed; None: our own people.
    """
    ids = list(report_ids)
    await conn.execute(LOCK, ids)
    alerts = await _alerts(conn, ids)
    for _, statement in ERASED:
        about = alerts if _ALERTS in statement else ids
        await conn.execute(statement, about, *([asked_by] if "$2" in statement else []))


async def forget_alerts(conn: Connection, alerts: Sequence[int]) -> None:
    """Leave nothing of these alerts and their messages, inside the caller's transaction."""
    for _, statement in ERASED:
        if _ALERTS in statement:
            await conn.execute(statement, list(alerts))


async def contents(conn: Connection, report_ids: Sequence[str]) -> list[bytes]:
    """SHA-256 of the bytes of every version that is held of these reports."""
    return [row[0] for row in await conn.fetch(CONTENTS, list(report_ids))]


async def owners(conn: Connection, report_ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Whose the reports that are held of these are: NodeID of who brought each, and the identity that created it."""
    return {row[0]: (row[1], row[2]) for row in await conn.fetch(OWNERS, list(report_ids))}


async def told_in(conn: Connection, report_ids: Sequence[str]) -> list[str]:
    """The channels in which a message about these reports stands."""
    return [row[0] for row in await conn.fetch(TOLD_IN, await _alerts(conn, list(report_ids)))]


async def _alerts(conn: Connection, report_ids: list[str]) -> list[int]:
    return [row[0] for row in await conn.fetch(ALERTS, report_ids)]
