"""Erasing leaves nothing: every column of every table is searched for what the report was, and everything else verifies."""

import json
import os
import uuid
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from tests.node.test_recalls import gone, until_recall
from tests.support.alarms import TITLE, bell, incident
from tests.support.circle import QUICK, circle, filed, seen
from tests.support.pager import pager
from tests.support.recorder import database_values, found
from tests.support.villain import GRAVE, get, post, until

from tocsin_federation.merkle import root_of
from tocsin_node.data_keys import DataKeys
from tocsin_node.services.alarm_notice import Notices
from tocsin_node.services.erasing import Erasing
from tocsin_node.storage import complaints, erasing, log, recalls
from tocsin_schema.check import check_bundle
from tocsin_schema.marking import Tlp
from tocsin_schema.redaction import project
from tocsin_schema.remarks import exposure, sighting
from tocsin_schema.stix import revise

STIX = {"Content-Type": "application/stix+json"}
WHY = {"by": "Kim", "reason": "Somebody asked for it."}
# Words that stand nowhere else, in each part that a report has.
WORDS = {
    "title": "Quokkaberry overdose",
    "description": "The wombatine pump gave the marsupialene dose twice.",
}
SYSTEM = "Bandicootron"
NOTES = {"note": "Numbatine says so", "reason": "Platypusine goes on", "remark": "Echidnose was seen"}
TABLES = "select tablename from pg_tables where schemaname = 'public'"
COLUMNS = """
select table_name, column_name from information_schema.columns
where table_schema = 'public' and column_name in
    ('report_id', 'record_id', 'other_id', 'incident', 'alert_id', 'emergency', 'duty_id', 'leaf', 'ct', 'data_key', 'bundle')
"""


@pytest.fixture
async def tables(pool):
    async with pool.acquire() as conn:
        return {row[0] for row in await conn.fetch(TABLES)}


async def test_every_table_is_erased_from_or_says_why_not(tables):
    erased = {table for table, _ in erasing.ERASED}
    assert not erased & set(erasing.KEPT)
    assert erased | set(erasing.KEPT) == tables, "a new table: say in storage/erasing.py what becomes of it"


async def test_no_table_that_names_a_report_is_kept(pool):
    async with pool.acquire() as conn:
        naming = {row[0] for row in await conn.fetch(COLUMNS)}
    assert not naming & set(erasing.KEPT)


async def test_whoever_refers_to_a_report_by_a_key_is_erased_from(pool):
    references = """
        select distinct conrelid::regclass::text from pg_constraint
        where contype = 'f' and confrelid in ('report'::regclass, 'alert'::regclass, 'duty'::regclass, 'emergency'::regclass)
    """
    async with pool.acquire() as conn:
        referring = {row[0] for row in await conn.fetch(references)}
    assert referring <= {table for table, _ in erasing.ERASED}


SMALL = {
    "stirred", "silence", "subscription", "cluster_rung", "duty_warning", "audit_waiting", "complaint", "emergency",
    "unnest", "gone", "ended", "told", "spent",
}  # fmt: skip


NAME = "incident--6f2d7a0e-8a3c-4a53-9f58-0d8a1c8a2f10"
UNDER_THE_PEN = [
    ("alert", erasing.ALERTS, ([NAME],)),
    *[
        (table, one, ([7] if "$1::bigint[]" in one else [NAME], None)[: 2 if "$2" in one else 1])
        for table, one in erasing.ERASED
    ],
    ("quarantine", recalls.LET_GO, ("n1x", [b"x"])),
    ("complaint", complaints.ASKED, ("n1x", [b"x"], "n1y")),
    ("complaint", complaints.END, ("n1y",)),
]


@pytest.mark.parametrize(("table", "statement", "given"), UNDER_THE_PEN)
async def test_no_table_that_may_be_large_is_read_from_end_to_end_while_the_pen_is_held(
    pool, table, statement, given
):
    """At a million alerts and a million entries set aside an erasing had taken half a minute."""
    async with pool.transaction() as conn:
        await conn.execute("set local enable_seqscan = off")
        plan = [row[0] for row in await conn.fetch(f"explain {statement}", *given)]
    read = {line.split("Seq Scan on ")[1].split()[0] for line in plan if "Seq Scan on " in line}
    assert read <= SMALL, (table, plan)


async def send(node, method, path, raw, **query):
    async with node.client.request(method, path, data=raw, headers=STIX, params=query) as answer:
        said = await answer.json()
        assert answer.status in {200, 201}, said
        return said


async def traces(node, report_id):
    """Bytes that only this report put into the node's database, but for its leaf hashes."""
    async with node.node.pool.acquire() as conn:
        rows = await conn.fetch(
            "select leaf, ct, data_key from log_entry where position($1::bytea in leaf) > 0",
            report_id.encode(),
        )
        rows += await conn.fetch("select leaf, data_key from remote_entry where report_id = $1", report_id)
        rows += await conn.fetch(
            "select w.wrap from log_wrap w join log_entry e on e.gen = w.gen and e.idx = w.idx "
            "where position($1::bytea in e.leaf) > 0",
            report_id.encode(),
        )
        rows += await conn.fetch("select proof, data_key from passed where report_id = $1", report_id)
        rows += await conn.fetch("select sha256, bundle from report where id = $1", report_id)
        rows += await conn.fetch("select sha256, bundle from report_version where report_id = $1", report_id)
    found = {bytes(value) for row in rows for value in row.values() if value}
    keys = set()
    async with node.node.pool.acquire() as conn:
        for leaf_hash, locked in await conn.fetch(
            "select leaf_hash, data_key from log_entry where position($1::bytea in leaf) > 0",
            report_id.encode(),
        ):
            keys.add(node.node.proving._data_keys.unlock(leaf_hash, locked))
    return found | keys


async def database_url(node):
    async with node.node.pool.acquire() as conn:
        name = await conn.fetchval("select current_database()")
    return node.node.settings.database.url or name


async def left(node, report_id, remains):
    """What is still found of the report, in any form, in any column of any table."""
    values = await database_values(await database_url(node))
    texts = {*WORDS.values(), SYSTEM, *NOTES.values(), report_id.removeprefix("incident--")}
    return found(texts, values) | {bytes(one[:8]) for one in remains for value in values if one in value}


async def lived(acme, birch, cedar):
    """A report that went through everything that keeps something about one; its id."""
    raw = acme.bundle(
        WORDS["title"],
        **{
            **GRAVE,
            "description": WORDS["description"],
            "systems": [{"name": SYSTEM, "vendor": "K", "kind": "model"}],
        },
    )
    report_id = (await send(acme, "POST", "/v1/reports", raw))["id"]
    await seen(birch, report_id)
    await seen(cedar, report_id)
    report = check_bundle(raw).report
    later = datetime.now(UTC) + timedelta(seconds=2)
    remark = exposure(report, "affected", producer=dict(birch.node.producer), now=later, text=NOTES["remark"])
    await send(birch, "POST", f"/v1/reports/{report_id}/remarks", remark)
    own = sighting(report, producer=dict(acme.node.producer), now=later, text=NOTES["remark"])
    await send(acme, "POST", f"/v1/reports/{report_id}/remarks", own)
    raw = revise(raw, {"countries": ["SE"]}, now=datetime.now(UTC) + timedelta(seconds=1))
    await send(acme, "PUT", f"/v1/reports/{report_id}", raw)
    await seen(birch, report_id, ver=2)
    made = project(
        raw, clearance=Tlp.CLEAR, now=datetime.now(UTC) + timedelta(seconds=1), drop=("countries",)
    ).raw
    redaction = await send(acme, "POST", "/v1/reports", made, redaction_of=report_id, record_ver=2)
    other = (await filed(acme, "Of another kind"))["id"]
    for node in (acme, birch):
        await seen(node, other)
        verdict = {"verdict": "distinct", "by": "Kim", "reason": NOTES["note"]}
        async with node.client.put(f"/v1/reports/{report_id}/duplicates/{other}", json=verdict) as answer:
            assert answer.status == 200, await answer.json()
        silence = {"reason": NOTES["reason"], "for_s": 3600, "by": "Kim", "report_id": report_id}
        await post(node, "/v1/silences", silence)
        await post(node, "/v1/duties/track", {"report_id": report_id, "by": "Kim", "reason": NOTES["reason"]})

        async def alert(node=node):
            items = (await get(node, "/v1/alerts?limit=100"))["items"]
            return next((item for item in items if item["report_id"] == report_id), None)

        one = await until(alert)
        await post(node, f"/v1/alerts/{one['id']}/ack", {"by": "Kim"})
        await post(node, f"/v1/alerts/{one['id']}/take", {"by": "Kim", "note": NOTES["note"]})
    wanted = {"report_id": report_id, "reason": NOTES["reason"], "by": "Kim", "drill": True}
    called = (await post(acme, "/v1/emergencies", wanted))["emergency"]["id"]

    async def answered():
        async with birch.client.post(f"/v1/emergencies/{called}/answer", json={"says": "affected"}) as answer:
            return answer.status == 200

    await until(answered)
    for node in (acme, birch):
        async with node.node.pool.acquire() as conn:  # what needs a room, a flood or a bad wire to come about
            await conn.execute(
                "insert into quarantine (origin, gen, idx, code, leaf, wrap, ct) "
                "values ('n1x', 1, 7, 'bad-wrap', $1, '', '')",
                json.dumps({"t": "publish", "id": report_id}).encode(),
            )
            await conn.execute(
                "insert into fellow_message (event_id, room, sender, report_id, ver, kind, grade, at) "
                "values ('$e', '!r', '@x', $1, 1, 'raise', 'I', now())",
                report_id,
            )
            await conn.execute("insert into stirred (incident) values ($1)", report_id)
    return report_id, redaction["id"], other


# What needs a subscriber, a late duty or a peer without manners to come about. The data key and the proof are the report's.
BESIDE = """
with one as (select id from alert where report_id = $1 limit 1),
    late as (select id from duty where report_id = $1 limit 1),
    sub as (
        insert into subscription (person, filters, keys, origins, max_tlp, zone, break_quiet, made_by)
        values ('Kim', jsonb_build_object('report', $1::text), array[$1::text], '{}', 'amber', 'UTC', false, 'Kim')
        returning id
    ),
    told as (insert into subscription_alert (subscription_id, alert_id, due_at) select sub.id, one.id, now() from sub, one),
    rung as (insert into cluster_rung (cluster_id, organisations, alert_id) select 'x', 2, id from one),
    warned as (insert into duty_warning (duty_id, percent, due, at) select id, 50, now(), now() from late),
    looked as (
        insert into review (report_id, ver, reviewed_by, kinds, found) values ($1, 1, 'Kim', '{name}', '{}')
        on conflict do nothing
    ),
    placed as (
        insert into circle_entry (circle, origin, cseq, leaf_hash, epoch, gen, idx, report_id, ver, ours)
        values ('\\x01', $2, 1, '\\x02', 0, 1, 1, $1, 1, false)
    ),
    shared as (
        insert into report_share (report_id, ver, gen, idx, leaf_hash) values ($1, 1, 99, 1, '\\x03')
    )
insert into complaint (by, against, gen, idx, leaf_hash, report_id, ver, tlp, author, recipients, leaf, ct, data_key, proof)
values ('n1a', 'n1b', 1, 1, '\\x04', $1, 1, 'amber', $2, '{}', $3, $3, $3, $3)
"""
# What elder complains of, against birch and against another: birch will take the report back before its author has heard.
STANDING = """
insert into complaint (by, against, gen, idx, leaf_hash, report_id, ver, tlp, author, recipients, leaf, ct, data_key)
values ('n1elder', $2, 1, 1, '\\x05', $1, 1, 'amber', $3, '{}', $4, $4, $4),
    ('n1elder', 'n1friend', 1, 1, '\\x06', $1, 1, 'amber', $3, '{}', $4, $4, $4)
"""
PASSING = {"audit_waiting", "spent"}  # sealed within a second; filled by erasing itself


async def passed_further(acme, birch, elder, report_id):
    """`birch` passes it on to `elder`, who knows nobody else; `acme` learns that."""
    async with birch.client.post(f"/v1/reports/{report_id}/share?to=elder") as answer:
        assert answer.status == 201, await answer.json()
    await seen(elder, report_id)

    async def told():
        return (await get(acme, f"/v1/reports/{report_id}"))["passed_on"]

    await until(told)


async def empty(nodes):
    """The tables that a report is erased from in which no node has anything."""
    tables = {table for table, _ in erasing.ERASED}
    for node in nodes.values():
        async with node.node.pool.acquire() as conn:
            tables -= {
                table for table in tables if await conn.fetchval(f"select exists (select from {table})")
            }
    return tables - PASSING


async def test_nothing_is_left_of_it_anywhere_and_everything_else_verifies(cluster, tmp_path):
    async with pager() as there:
        values = {
            **QUICK,
            "webhook": there.settings(tmp_path),
            "duties": {"roles": ["nis2-entity", "controller"], "jurisdictions": ["DE"]},
        }
        pairs = (("acme", "birch"), ("acme", "cedar"), ("birch", "cedar"), ("birch", "elder"))
        async with circle(
            cluster, tmp_path, ["acme", "birch", "cedar", "elder"], values, pairs=pairs
        ) as nodes:
            acme, birch, cedar, elder = nodes.values()
            report_id, redaction, other = await lived(acme, birch, cedar)
            await passed_further(acme, birch, elder, report_id)
            for node in (acme, birch):
                async with node.node.pool.acquire() as conn:
                    author = acme.node.identity.node_id
                    await conn.execute(BESIDE, report_id, author, report_id.encode())
            async with elder.node.pool.acquire() as conn:
                against = birch.node.identity.node_id
                await conn.execute(STANDING, report_id, against, author, report_id.encode())
            assert await empty(nodes) == set(), "a part whose rows this search has never seen"
            remains = {name: await traces(node, report_id) for name, node in nodes.items()}
            assert all(len(each) >= 4 for each in remains.values())
            for name, node in nodes.items():
                assert len(await left(node, report_id, remains[name])) > 4, "the search finds what is there"
            said = await post(acme, f"/v1/reports/{report_id}/erase", WHY)
            assert said["redactions"] == [redaction]
            await post(
                acme, f"/v1/reports/{redaction}/erase", WHY
            )  # it tells the same, and is a report of its own
            for node in nodes.values():
                await gone(node, report_id)
                await gone(node, redaction)
            await until_recall(acme, report_id, "purged", "purged")
            assert await left(elder, report_id, remains["elder"]), "the complaints stand, for the author"
            async with elder.node.pool.acquire() as conn:
                assert await conn.fetchval("select count(*) from complaint where ct is not null") == 2
                await conn.execute("update complaint set asked_at = asked_at - interval '31 days'")
            await elder.node.complaints.tell()
            for name, node in nodes.items():
                assert await left(node, report_id, remains[name]) == set(), name
            for node in (acme, birch, cedar):
                assert await get(node, f"/v1/reports/{other}")
            await until_recall(birch, report_id, "purged")
            await whole({name: node for name, node in nodes.items() if node is not elder})
            bystander = await filed(acme, "Afterwards")
            await seen(birch, bystander["id"])
            async with acme.client.get(f"/v1/reports/{other}/proof") as answer:
                assert answer.status == 200


async def whole(nodes):
    """Every node's tree, hashed anew from the leaves that are left, has the root that it signed."""
    for node in nodes.values():
        head = node.node.ledger.head
        async with node.node.pool.acquire() as conn:
            hashes = await log.hashed_anew(conn, head.gen, 0, head.size)
            erased = await conn.fetchval("select count(*) from log_entry where erased_at is not null")
            lost = await log.lost(conn, head.gen)
        assert root_of(hashes) == head.root
        assert (erased > 0, lost) == (True, 0)


async def test_entries_of_what_was_erased_are_served_to_nobody(cluster, tmp_path):
    async with circle(cluster, tmp_path, ["acme", "birch"]) as nodes:
        acme, birch = nodes["acme"], nodes["birch"]
        done = await filed(acme, "Something happened")
        await seen(birch, done["id"])
        await post(acme, f"/v1/reports/{done['id']}/erase", WHY)
        await gone(birch, done["id"])
        async with acme.node.pool.acquire() as conn:
            row = await conn.fetchrow(
                "select leaf, ct, data_key from log_entry where idx = $1", done["entry"]["index"]
            )
            assert list(row.values()) == [None, None, None]
            assert (
                await conn.fetchval(
                    "select count(*) from log_wrap where idx = $1 and wrap <> ''", done["entry"]["index"]
                )
                == 0
            )


async def test_a_report_of_a_peer_can_be_erased_here_alone(cluster, tmp_path):
    async with circle(cluster, tmp_path, ["acme", "birch"]) as nodes:
        acme, birch = nodes["acme"], nodes["birch"]
        done = await filed(acme, "Something happened")
        await seen(birch, done["id"])
        said = await post(birch, f"/v1/reports/{done['id']}/erase", WHY)
        assert (said["outcome"], said["peers"]) == ("erased", [])
        await gone(birch, done["id"])
        assert (await get(acme, f"/v1/reports/{done['id']}"))["ver"] == 1


async def test_a_dry_run_erases_nothing(cluster, tmp_path):
    async with circle(cluster, tmp_path, ["acme", "birch"]) as nodes:
        acme = nodes["acme"]
        done = await filed(acme, "Something happened")
        said = await post(acme, f"/v1/reports/{done['id']}/erase", {**WHY, "dry_run": True})
        assert (said["outcome"], [p["name"] for p in said["peers"]]) == ("dry-run", ["birch"])
        await get(acme, f"/v1/reports/{done['id']}")


async def test_what_was_sealed_about_a_report_while_it_was_erased_is_not_written(acme):
    """An acknowledgement that was under way would name it in our log for ever."""
    from tocsin_federation.envelope import seal
    from tocsin_federation.keys import generate_enc, load_enc_public
    from tocsin_node.services.ledger import Posting

    public = load_enc_public(generate_enc(os.urandom).public)
    sealed = seal(
        t="ack",
        by=acme.node.identity.node_id,
        id=f"incident--{uuid.uuid4()}",
        ver=1,
        tlp=Tlp.GREEN,
        content=b"{}",
        recipients={"n1" + "a" * 52: public},
        now=datetime.now(UTC),
        rng=os.urandom,
        ref=bytes(32),
    )
    (posted,) = await acme.node.ledger.post(Posting(sealed=sealed))
    assert posted.outcome == "conflict"
    assert acme.node.ledger.head.size == 0


async def test_who_erases_again_hears_that_it_was_done_and_not_that_it_never_was(acme):
    """The answer was lost on its way: whoever asks again has to know which it is."""
    done = await filed(acme, "Something happened")
    await post(acme, f"/v1/reports/{done['id']}/erase", WHY)
    for report_id, status, code in (
        (done["id"], 409, "erased"),
        (f"incident--{uuid.uuid4()}", 404, "report-unknown"),
    ):
        async with acme.client.post(f"/v1/reports/{report_id}/erase", json=WHY) as answer:
            assert (answer.status, (await answer.json())["code"]) == (status, code)


# In rooms -------------------------------------------------------------------------------------------------------


async def erase_in_room(ringing, report):
    async with ringing.pool.transaction() as conn:
        await erasing.erase(conn, [report.id])
    ringing.alarms.wake()


async def unsaid(pool):
    async with pool.acquire() as conn:
        return await conn.fetchval(
            "select bool_and(state = 'accepted' and content = '{}') from delivery where kind = 'unsay'"
        )


async def test_messages_in_a_room_are_taken_back(pool, tmp_path, room):
    async with bell(pool, tmp_path, room) as ringing:
        report, other = incident("I"), incident("I", title="Another one")
        await ringing.store(report, ver=1)
        await ringing.store(other, ver=1)
        await ringing.all_echoed(2)
        assert any(TITLE in text for text in bodies(room))
        await erase_in_room(ringing, report)
        await ringing.until(partial(unsaid, pool))
        texts = bodies(room)
        assert not any(TITLE in text for text in texts)
        assert any("Another one" in text for text in texts)


async def test_a_message_whose_answer_was_lost_is_taken_back_too(pool, tmp_path, room):
    """The node died after the homeserver took it: only its transaction id is known."""
    async with bell(pool, tmp_path, room) as ringing:
        report = incident("I")
        await ringing.store(report, ver=1)
        await ringing.all_echoed(1)
        async with pool.acquire() as conn:
            await conn.execute(
                "update delivery set state = 'pending', event_id = null, next_at = now() + interval '1 hour'"
            )
        await erase_in_room(ringing, report)
        await ringing.until(partial(unsaid, pool))
        assert not any(TITLE in text for text in bodies(room))


async def test_a_homeserver_that_refuses_is_told_of(pool, tmp_path):
    """What cannot be taken back stays there, and the operators hear of it."""
    async with pool.acquire() as conn:
        await conn.execute(
            "insert into delivery (channel, room, priority, content, txn, kind, state, last_error) "
            "values ('matrix', '!r', 5, '{}', 'unsay-x', 'unsay', 'failed', 'redaction-refused')"
        )
    notices = Notices("Acme", {}, lambda: datetime.now(UTC))
    service = Erasing(pool, DataKeys(bytes(32), os.urandom), notices, node_id="n1")
    check = await service.health()
    assert (check.status, check.code) == ("degraded", "message-stays")
    del tmp_path


def bodies(room):
    """What people read of the bot in the room; what was taken back has no body."""
    return [str(event.get("content", {}).get("body", "")) for event in room.alerts()]
