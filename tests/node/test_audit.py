"""The audit log: what is written into it and when, that it survives kills, and that nobody changes it unnoticed."""

import json
import signal

import aiohttp
import pytest
from tests.support.node import NodeProcess, open_here, settings_on
from tests.support.reports import report_by
from tests.support.villain import outcomes, until

from tocsin_federation.audit import LINE, Reader, commitment, open_audit_note
from tocsin_federation.checkpoint import open_checkpoint
from tocsin_federation.errors import AuditRefused, CheckpointRefused
from tocsin_node.actor import Actor, acting_as
from tocsin_node.storage import audit
from tocsin_node.storage.audit import Act
from tocsin_node.storage.errors import StorageError

ANN = Actor("person:Ann", "token:desk")
STIX = {"Content-Type": "application/stix+json"}


async def lines_of(served, **query) -> list[dict]:
    async with served.client.get("/v1/audit", params={"limit": "500", **query}) as answer:
        assert answer.status == 200, await answer.text()
        return (await answer.json())["items"]


async def noted(node, *acts: Act) -> None:
    async with node.pool.transaction() as conn:
        await audit.note(conn, *acts)


async def noted_in_vain(node, act: Act) -> None:
    async with node.pool.transaction() as conn:
        await audit.note(conn, act)
        raise RuntimeError


def read_all(reader: Reader, rows) -> None:
    for row in rows:
        reader.take(LINE.encode(row.line()))
    reader.finish()


async def verified(node) -> int:
    """Read the whole log as a stranger would, and return how many lines hold."""
    head = await node.auditing.seal()
    reader = Reader(open_audit_note(head.note, node.identity.statements))
    read_all(reader, await node.auditing.lines(0, limit=10_000))
    return head.size


async def test_an_act_is_in_the_log_if_and_only_if_its_transaction_is_committed(acme):
    async with acme.node.pool.transaction() as conn:
        await audit.note(conn, Act("silence.add", "silence:1", {"count": 3}, ANN))
    with pytest.raises(RuntimeError):
        await noted_in_vain(acme.node, Act("silence.add", "silence:2", actor=ANN))
    (line,) = await lines_of(acme, action="silence.add")
    assert (line["who"], line["via"], line["object"]) == ("person:Ann", "token:desk", "silence:1")
    assert line["detail"] == {"count": 3}


async def test_filing_a_report_leaves_a_line_with_who_which_and_to_whom_but_not_what_it_says(acme):
    raw = acme.bundle("Pump gives the wrong dose", description="The word marmalade.")
    async with acme.client.post("/v1/reports", data=raw, headers=STIX) as answer:
        report_id = (await answer.json())["id"]
    (line,) = await lines_of(acme, action="report.file")
    assert line["who"] == line["via"] == "token:init"
    assert line["object"] == f"report:{report_id}"
    assert line["detail"]["ver"] == 1
    assert line["detail"]["recipients"] == 0
    everything = json.dumps(await lines_of(acme))
    assert "marmalade" not in everything
    assert "Pump" not in everything


async def test_who_reads_a_report_is_noted_once_for_ten_minutes(acme):
    async with acme.client.post("/v1/reports", data=acme.bundle("Pump"), headers=STIX) as answer:
        report_id = (await answer.json())["id"]
    for _ in range(3):
        async with acme.client.get(f"/v1/reports/{report_id}") as answer:
            assert answer.status == 200
    (line,) = await lines_of(acme, action="report.read")
    assert (line["who"], line["object"]) == ("token:init", f"report:{report_id}")


async def test_the_log_verifies_line_by_line_and_its_notes_are_no_checkpoints_of_the_other_log(acme):
    await noted(acme.node, *(Act("silence.add", f"silence:{n}", actor=ANN) for n in range(1200)))
    assert await verified(acme.node) >= 1200
    note = (await acme.node.auditing.seal()).note
    with pytest.raises(CheckpointRefused) as refused:
        open_checkpoint(note, acme.node.identity.statement.log.vkey)
    assert refused.value.code == "note-unsigned"


async def test_a_line_is_refused_any_change_by_the_database_itself(acme):
    await acme.node.auditing.seal()
    async with acme.node.pool.acquire() as conn:
        for statement in (
            "update audit_line set who = 'person:Eve'",
            "update audit_line set detail = '{}', object = null, salt = null where action = 'key.change'",
            "delete from audit_line",
            "truncate audit_line",
        ):
            with pytest.raises(StorageError):
                await conn.execute(statement)
    assert await verified(acme.node)


TAMPERING = {
    "another name": ("update audit_line set who = 'person:Eve' where seq = 3", "audit-root-differs"),
    "another time": ("update audit_line set at = at - interval '1 day' where seq = 3", "audit-root-differs"),
    "another detail": ("update audit_line set detail = '{\"count\": 9}' where seq = 3", "audit-root-differs"),
    "another object": ("update audit_line set object = 'silence:9' where seq = 3", "audit-object-differs"),
    "another object with its salt and commitment": (
        ("update audit_line set object = l.object, salt = l.salt, commitment = l.commitment"
        " from audit_line l where audit_line.seq = 3 and l.seq = 4"),
        "audit-root-differs",
    ),
    "a line taken out": ("delete from audit_line where seq = 3", "audit-line-missing"),
    "the end cut off": ("delete from audit_line where seq >= (select max(seq) - 1 from audit_line)", "audit-truncated"),
    "two that changed places": (
        ("update audit_line set seq = case seq when 3 then 100004 when 4 then 100003 end where seq in (3, 4);"
        "update audit_line set seq = seq - 100000 where seq > 100000"),
        "audit-root-differs",
    ),
    "a line put in between": (
        ("update audit_line set seq = seq + 100000 where seq >= 3;"
        "update audit_line set seq = seq - 99999 where seq > 100000;"
        "insert into audit_line select 3, at, who, via, action, object, salt, commitment, detail, leaf_hash"
        " from audit_line where seq = 2"),
        "audit-too-long",
    ),
    "a head that says less": (
        "update audit_head set size = 2",
        "audit-root-differs",
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", TAMPERING)
async def test_whoever_gets_past_the_trigger_is_found_out(acme, how):
    statement, code = TAMPERING[how]
    await noted(acme.node, *(Act("silence.add", f"silence:{n}", {"count": n}, ANN) for n in range(8)))
    note = (await acme.node.auditing.seal()).note
    async with acme.node.pool.acquire() as conn:
        await conn.execute("alter table audit_line disable trigger user")
        for each in statement.split(";"):
            await conn.execute(each)
        rows = await audit.lines(conn, 0, 1000)
    reader = Reader(open_audit_note(note, acme.node.identity.statements))
    if "head" not in how:
        with pytest.raises(AuditRefused) as refused:
            read_all(reader, rows)
        assert refused.value.code == code
    await acme.node.auditing.look()
    check = await acme.node.auditing.health()
    assert (check.status, check.code) == ("degraded", "audit-contradicted")


async def test_what_was_noted_and_not_sealed_is_sealed_after_a_kill(database, tmp_path):
    settings = settings_on(tmp_path / "acme", database)
    async with open_here(settings) as served:
        address = served.node.pool
        async with address.acquire() as conn:
            await conn.execute(
                "insert into audit_waiting (who, via, action, detail) values ('node','clock','node.stop','{}')"
            )
            count = await conn.fetchval("select count(*) from audit_waiting")
        assert count >= 1
    async with open_here(settings) as served:
        actions = [line["action"] for line in await lines_of(served)]
        assert actions.count("node.start") == 2
        assert actions.count("node.stop") == 2
        assert await verified(served.node)


async def test_a_checkpoint_that_lags_behind_the_database_after_a_crash_is_no_contradiction(
    database, tmp_path
):
    """The lines were committed, and the power went before the node's directory had heard of them."""
    settings = settings_on(tmp_path / "acme", database)
    async with open_here(settings) as served:
        older = await served.node.auditing.seal()
    async with open_here(settings) as served:
        await noted(served.node, *(Act("silence.add", f"silence:{n}", actor=ANN) for n in range(9)))
        await served.node.auditing.seal()
    (tmp_path / "acme" / "audit-note").write_bytes(older.note)
    async with open_here(settings) as served:
        assert (await served.node.auditing.health()).status == "ok"
    assert not list((tmp_path / "acme").glob("audit-note.*.contradicted"))


async def test_a_database_that_went_on_from_an_older_one_is_told_of_however_long_it_is_by_now(
    database, tmp_path
):
    settings = settings_on(tmp_path / "acme", database)
    async with open_here(settings) as served:
        older = await served.node.auditing.seal()
        await noted(served.node, Act("silence.add", "silence:9", actor=ANN))
        lost = await served.node.auditing.seal()
        address = served.node.pool.address
    from tocsin_node.storage.pool import connect

    conn = await connect(address)
    await conn.execute("alter table audit_line disable trigger user")
    await conn.execute("delete from audit_line where seq >= $1", older.size)
    await audit.set_head(conn, older)
    await conn.execute("alter table audit_line enable trigger user")
    await conn.close()
    (tmp_path / "acme" / "audit-note").unlink()
    async with open_here(settings) as served:  # it went on elsewhere, and came back
        await noted(served.node, *(Act("silence.add", f"silence:{n}", actor=ANN) for n in range(9)))
        assert (await served.node.auditing.seal()).size > lost.size
    (tmp_path / "acme" / "audit-note").write_bytes(lost.note)
    async with open_here(settings) as served:
        assert (await served.node.auditing.health()).code == "audit-contradicted"


async def test_a_database_that_was_put_back_is_told_of_and_stops_nothing(database, tmp_path):
    settings = settings_on(tmp_path / "acme", database)
    async with open_here(settings) as served:
        await noted(served.node, *(Act("silence.add", f"silence:{n}", actor=ANN) for n in range(5)))
        older = await served.node.auditing.seal()
        await noted(served.node, Act("silence.add", "silence:9", actor=ANN))
        await served.node.auditing.seal()
        pool = served.node.pool
        assert (await served.node.auditing.health()).status == "ok"
    from tocsin_node.storage.pool import connect

    conn = await connect(pool.address)
    await conn.execute("alter table audit_line disable trigger user")
    await conn.execute("delete from audit_line where seq >= $1", older.size)
    await audit.set_head(conn, older)
    await conn.execute("alter table audit_line enable trigger user")
    await conn.close()
    for _ in range(2):  # until somebody has looked, at each start
        async with open_here(settings) as served:
            check = await served.node.auditing.health()
            assert (check.status, check.code) == ("degraded", "audit-contradicted")
            async with served.client.get("/healthz") as answer:
                assert answer.status == 200
            async with served.client.post("/v1/reports", data=served.bundle("Pump"), headers=STIX) as answer:
                assert answer.status == 201
    (aside,) = (tmp_path / "acme").glob("audit-note.*.contradicted")
    aside.unlink()
    async with open_here(settings) as served:
        assert (await served.node.auditing.health()).status == "ok"
        assert await verified(served.node)


async def test_a_report_that_is_forgotten_leaves_its_lines_without_its_name(acme):
    async with acme.client.post("/v1/reports", data=acme.bundle("Pump"), headers=STIX) as answer:
        report_id = (await answer.json())["id"]
    before = await acme.node.auditing.seal()
    await noted(acme.node, Act("report.read", f"report:{report_id}", actor=ANN))  # waits to be sealed
    async with acme.node.pool.transaction() as conn:
        await audit.forget(conn, report_id)
    lines = await lines_of(acme)
    assert report_id not in json.dumps(lines)
    assert [line["action"] for line in lines if line["forgotten"]] == ["report.read", "report.file"]
    after = await acme.node.auditing.seal()
    reader = Reader(
        open_audit_note(after.note, acme.node.identity.statements),
        [open_audit_note(before.note, acme.node.identity.statements)],
    )
    read_all(reader, await acme.node.auditing.lines(0, limit=10_000))
    async with acme.node.pool.acquire() as conn:
        dump = await conn.fetch("select row_to_json(l)::text from audit_line l")
    assert report_id not in "".join(row[0] for row in dump)


def test_the_same_name_is_committed_to_differently_each_time():
    assert commitment(b"a" * 16, "report:1") != commitment(b"b" * 16, "report:1")


async def test_an_act_that_the_log_does_not_know_is_refused_where_it_is_made():
    with pytest.raises(ValueError, match="audit_actions"):
        Act("report.eat")


async def test_who_acts_is_known_in_the_block_alone():
    from tocsin_node.actor import NODE, acting

    with acting_as(ANN):
        assert acting() == ANN
    assert acting() == NODE


async def test_a_kill_between_act_and_sealing_loses_no_line_of_what_was_acknowledged(database, tmp_path):
    settings = settings_on(tmp_path / "acme", database)
    filed = []
    async with NodeProcess(["--dir", str(settings.dir)], tmp_path / "log") as process:
        await process.answers(settings.public_url)
        token = (settings.dir / "token").read_text().strip()
        headers = {**STIX, "Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession(settings.public_url, headers=headers) as client:
            async with client.get("/v1/node") as answer:
                producer = (await answer.json())["identity"]
            for nth in range(12):  # faster than they are sealed
                async with client.post("/v1/reports", data=report_by(producer, f"Pump {nth}")) as answer:
                    if answer.status == 201:
                        filed.append((await answer.json())["id"])
        await process.stop(signal.SIGKILL)
    assert filed
    async with open_here(settings) as served:
        noted = {line["object"] for line in await lines_of(served, action="report.file")}
        assert {f"report:{report_id}" for report_id in filed} <= noted
        assert await verified(served.node) >= len(filed)
        actions = [line["action"] for line in await lines_of(served, action="node")]
        assert actions == ["node.start", "node.start", "node.migrate"], (
            "a kill is a start without a stop before it"
        )


async def test_refused_requests_become_one_line_however_many_they_are(acme):
    for _ in range(30):
        async with acme.client.get("/v1/node", headers={"Authorization": "Bearer tocsin_wrong"}) as answer:
            assert answer.status == 401

    async def told():
        return await lines_of(acme, action="login.refused")

    (line,) = await until(told)
    assert line["who"] == "stranger"
    first = line["detail"]["count"]
    await acme.node.auditing.close()  # what has come since is told at the stop
    assert first + sum(each["detail"]["count"] for each in (await told())[:-1]) == 30


async def test_a_proof_that_discloses_is_told_from_one_that_does_not(acme, mallory):
    async with acme.client.post("/v1/reports", data=acme.bundle("Pump"), headers=STIX) as answer:
        report_id = (await answer.json())["id"]
    for query in ("", "?disclose=1"):
        async with acme.client.get(f"/v1/reports/{report_id}/proof{query}") as answer:
            assert answer.status == 200
    actions = [line["action"] for line in await lines_of(acme, object=f"report:{report_id}")]
    assert actions == ["report.disclose", "report.prove", "report.file"]


async def test_what_a_peer_sent_and_what_became_of_it_is_noted_entry_by_entry(acme, mallory):
    for title in ("One", "Two"):
        mallory.publish(acme, mallory.bundle(title))
    mallory.publish(acme, b"no report", id="incident--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a")
    await mallory.ring()
    await outcomes(acme, 3)
    lines = (await lines_of(acme, who=f"peer:{mallory.node_id}", action="entry"))[::-1]
    assert [(line["action"], line["detail"]["index"]) for line in lines] == [
        ("entry.stored", 0),
        ("entry.stored", 1),
        ("entry.quarantined", 2),
    ]
    assert all(line["object"].startswith("report:incident--") for line in lines[:2])
    assert lines[2]["detail"]["code"]


async def test_a_head_that_was_changed_in_the_database_is_found_at_the_next_line(acme):
    await noted(acme.node, Act("silence.add", "silence:1", actor=ANN))
    await acme.node.auditing.seal()
    async with acme.node.pool.acquire() as conn:
        await conn.execute("update audit_head set root = sha256('another')")
    await noted(acme.node, Act("silence.add", "silence:2", actor=ANN))
    await acme.node.auditing.seal()
    assert (await acme.node.auditing.health()).code == "audit-contradicted"


async def test_who_lists_recalls_which_say_of_which_reports_is_noted(database, tmp_path):
    async with open_here(settings_on(tmp_path / "acme", database)) as served:
        async with served.client.get("/v1/recalls") as answer:
            assert answer.status == 200
        assert [one["who"] for one in await lines_of(served, action="report.list")] == ["token:init"]
