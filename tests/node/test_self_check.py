"""A4 and A24, the operator himself: a database that was restored from a backup never makes its node sign a second past."""

import asyncio
import shutil
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from urllib.parse import urlsplit

import msgspec
import orjson
import pytest
from tests.node.test_recalls import gone
from tests.support.circle import QUICK, circle, filed, introduce, seen
from tests.support.node import open_here, settings_on
from tests.support.ports import free_port
from tests.support.villain import get, post, problem_of, until

from tocsin_federation.checkpoint import open_checkpoint
from tocsin_federation.evidence import read_evidence, verify_evidence
from tocsin_federation.proof import read_proof, verify_proof
from tocsin_node.continuity import Continuity
from tocsin_node.recovery import CameBackInDoubt, last_good
from tocsin_node.rotation import Change, rotate
from tocsin_node.storage.log import came_back
from tocsin_schema.check import check_bundle
from tocsin_schema.remarks import exposure
from tocsin_schema.stix import withdraw


class Elm:
    """A node that is stopped and started, on its database or on an older copy of it."""

    def __init__(self, cluster, directory, stack, database):
        self.cluster = cluster
        self.stack = stack
        self.settings = settings_on(directory / "elm", database, QUICK, org="elm")
        self.database = database

    @asynccontextmanager
    async def up(self):
        async with open_here(self.settings) as served:
            yield served

    async def dump(self):
        """A copy of the database as it is now; the node is down."""
        name = urlsplit(self.database.url).path.lstrip("/")
        return await self.stack.enter_async_context(self.cluster.database(template=name))

    def put_back(self, dump):
        """Put the copy in the database's place."""
        database = msgspec.structs.replace(self.settings.database, url=dump.url)
        self.settings = msgspec.structs.replace(self.settings, database=database)

    def restore(self, dump, node_id):
        """Put the copy in its place, on another machine: no note is there."""
        self.put_back(dump)
        self.move(node_id)

    def waiting(self, restore_check_s):
        """Wait for silent peers for so long."""
        federation = msgspec.structs.replace(self.settings.federation, restore_check_s=restore_check_s)
        self.settings = msgspec.structs.replace(self.settings, federation=federation)

    def reboot(self, node_id):
        """The machine's memory is gone; the directory is there."""
        self.notes(node_id).file.unlink(missing_ok=True)

    def move(self, node_id):
        """Neither is there."""
        self.reboot(node_id)
        self.notes(node_id).kept.unlink(missing_ok=True)

    def notes(self, node_id):
        return Continuity(node_id, self.settings.path("log-size"))


@pytest.fixture
async def elm(cluster, database, tmp_path):
    async with AsyncExitStack() as stack:
        yield Elm(cluster, tmp_path, stack, database)


async def health_of(node, code):
    async def there():
        checks = (await get_health(node))["checks"]
        return [c for c in checks if c["code"] == code]

    return (await until(there))[0]


async def over(node, code):
    async def told_no_more():
        return not [c for c in (await get_health(node))["checks"] if c["code"] == code]

    await until(told_no_more)


async def get_health(node):
    async with node.client.get("/healthz") as answer:
        return await answer.json()


async def heads_held(node, origin_of):
    """(size, root) of every head of that node's log that this one ever verified or cosigned."""
    vkey = origin_of.node.identity.statement.log.vkey
    async with node.node.pool.acquire() as conn:
        rows = await conn.fetch(
            "select note from remote_checkpoint where origin = $1 union select note from cosigned where log = $2",
            origin_of.node.identity.node_id,
            origin_of.node.identity.statement.log.origin,
        )
    return {(head.size, head.root) for head in (open_checkpoint(row[0], vkey) for row in rows)}


async def test_a24_a_restored_node_takes_its_log_back_from_its_peers_and_goes_on(elm, cluster, tmp_path):
    async with circle(cluster, tmp_path, ("fir", "oak")) as others:
        async with elm.up() as node:
            for name, other in others.items():
                await introduce("elm", node, name, other)
            first = await filed(node, "Before the backup")
            await seen(others["fir"], first["id"])
        dump = await elm.dump()
        async with elm.up() as node:
            lost = [await filed(node, f"After the backup {n}") for n in range(3)]
            for other in others.values():
                await seen(other, lost[-1]["id"])
            size = node.node.ledger.head.size
            node_id = node.node.identity.node_id
        elm.restore(dump, node_id)
        async with elm.up() as node:
            again = await filed(node, "After the restore")
            assert again["entry"]["index"] == size
            for other in others.values():
                await seen(other, again["id"])
                status = await get(other, "/v1/peers/elm")
                assert (status["state"], status["problem"]) == ("active", None)
                held = await heads_held(other, node)
                assert len({root for _, root in held}) == len({s for s, _ in held})
            assert (await get_health(node))["checks"]
            await until(lambda: lost_is(node, 0))
            for n, report in enumerate(lost):
                back = await seen(node, report["id"], name=f"After the backup {n}", ver=1)
                await until_readers(node, report["id"], "fir", "oak")
                assert back["entry"] == report["entry"]
            assert (await get(node, "/v1/alerts"))["items"] == [], "nothing rings for what came back"
            async with node.client.get("/v1/log/leaves") as answer:
                assert len(await answer.read()) == 32 * (size + 1)


async def readers_of(node, report_id):
    """To whom later versions go."""
    return {to["name"] for to in (await get(node, f"/v1/reports/{report_id}"))["to"]}


async def until_readers(node, report_id, *names):
    """Return when later versions go to those: a reader comes back with what it shows, which is judged a moment later."""

    async def there():
        return await readers_of(node, report_id) == set(names)

    await until(there)


async def remarks_on(node, report_id):
    async with node.client.get(f"/v1/reports/{report_id}") as answer:
        return (await answer.json()).get("remarks")


async def lost_is(node, count):
    return (await get(node, "/v1/node"))["log"]["lost"] == count


async def test_what_recipients_hold_of_a_lost_log_comes_back_whole_and_what_nobody_holds_stays_lost(
    elm, cluster, tmp_path
):
    """Versions, a withdrawal and a remark come back; what was for a peer that is gone stays lost, and all verify."""
    async with circle(cluster, tmp_path, ("fir", "oak")) as others:
        fir = others["fir"]
        async with elm.up() as node:
            for name, other in others.items():
                await introduce("elm", node, name, other)
            first = await filed(node, "Before the backup")
            for other in others.values():
                await seen(other, first["id"])
        dump = await elm.dump()
        async with elm.up() as node:
            held = (await get(node, f"/v1/reports/{first['id']}"))["bundle"]
            kind = {"Content-Type": "application/stix+json"}
            gone = withdraw(orjson.dumps(held), reason="It was a test.", now=datetime.now(UTC))
            path = f"/v1/reports/{first['id']}/withdraw"
            async with node.client.post(path, data=gone, headers=kind) as answer:
                assert answer.status < 300, await answer.text()
            for other in others.values():
                await seen(other, first["id"], state="withdrawn")
            query = "/v1/reports?to=fir"
            async with node.client.post(query, data=node.bundle("For fir alone"), headers=kind) as answer:
                alone = await answer.json()
            await seen(fir, alone["id"])
            after = await filed(node, "For both")
            bundle = orjson.dumps((await get(node, f"/v1/reports/{after['id']}"))["bundle"])
            report = check_bundle(bundle).report
            said = exposure(report, "affected", producer=dict(node.node.producer), now=datetime.now(UTC))
            async with node.client.post(
                f"/v1/reports/{after['id']}/remarks", data=said, headers=kind
            ) as answer:
                assert answer.status == 201, await answer.text()
            for other in others.values():
                await until(lambda other=other: remarks_on(other, after["id"]))
            async with fir.client.delete("/v1/peers/elm") as answer:
                assert answer.status == 204
            node_id = node.node.identity.node_id
        elm.restore(dump, node_id)
        async with elm.up() as node:
            await until(lambda: lost_is(node, 1))
            await seen(node, first["id"], state="withdrawn", ver=2)
            await seen(node, after["id"], ver=1)
            assert [one["said"] for one in await remarks_on(node, after["id"])] == ["affected"]
            async with node.client.get(f"/v1/reports/{alone['id']}") as answer:
                assert answer.status == 404, "who had it is gone"
            async with node.client.get(f"/v1/reports/{after['id']}/proof?disclose=1") as answer:
                verify_proof(read_proof(await answer.read()), expected=node_id)
            found = await get(node, "/v1/peers/oak/verify")
            assert found["our_log"]["differences"] == []


@asynccontextmanager
async def elm_and_fir(elm, cluster, tmp_path):
    """Elm has told fir one report and is down, as fir is. Gives fir's settings, elm's NodeID and its database of before."""
    async with cluster.database() as fir_database:
        fir = settings_on(tmp_path / "fir", fir_database, QUICK, org="fir")
        async with elm.up() as node, open_here(fir) as other:
            await introduce("elm", node, "fir", other)
            node_id = node.node.identity.node_id
        dump = await elm.dump()
        async with elm.up() as node, open_here(fir) as other:
            await seen(other, (await filed(node, "Known to fir"))["id"])
        yield fir, node_id, dump


async def test_a24_without_a_peer_to_ask_a_moved_node_signs_nothing_until_one_answers(elm, cluster, tmp_path):
    async with elm_and_fir(elm, cluster, tmp_path) as (fir, node_id, _):
        elm.move(node_id)
        async with elm.up() as node:
            check = await health_of(node, "log-unconfirmed")
            assert "tocsin node confirm" in check["hint"]
            waiting = asyncio.create_task(filed(node, "Held back"))
            async with open_here(fir) as other:
                node.node.self_check.nudge()
                await seen(other, (await waiting)["id"])


async def test_a24_a_named_person_may_let_it_go_on_but_not_when_it_is_known_to_be_old(elm, cluster, tmp_path):
    async with elm_and_fir(elm, cluster, tmp_path) as (_, node_id, dump):
        elm.move(node_id)
        async with elm.up() as node:
            await health_of(node, "log-unconfirmed")
            async with node.client.post("/v1/log/confirm", json={"by": "Ada"}) as answer:
                assert (await answer.json())["state"] == "confirmed"
            async with node.node.pool.acquire() as conn:
                assert await conn.fetchval("select by from log_confirmation") == "Ada"
            await filed(node, "After Ada's word")
        elm.put_back(dump)
        async with elm.up() as node:  # the machine remembers that the log was longer
            await health_of(node, "log-restored")
            async with node.client.post("/v1/log/confirm", json={"by": "Ada"}) as answer:
                assert (answer.status, (await answer.json())["code"]) == (503, "log-restored")


async def test_a24_a_log_that_was_forced_on_stops_when_peers_hold_another_past_of_it(elm, cluster, tmp_path):
    async with elm_and_fir(elm, cluster, tmp_path) as (fir, node_id, dump):
        elm.restore(dump, node_id)
        async with elm.up() as node:
            await health_of(node, "log-unconfirmed")
            async with node.client.post("/v1/log/confirm", json={"by": "Ada"}) as answer:
                assert answer.status == 200
            await filed(node, "Signed by force")
            async with open_here(fir):
                node.node.self_check.nudge()
                check = await health_of(node, "log-contradicted")
                assert "tocsin key recover" in check["hint"]
            raw = node.bundle("Not signed any more")
            node.node.ledger.held_s = 0.1
            async with node.client.post(
                "/v1/reports", data=raw, headers={"Content-Type": "application/stix+json"}
            ) as answer:
                assert (answer.status, (await answer.json())["code"]) == (503, "log-contradicted")


async def test_a24_after_a_reboot_silent_peers_hold_it_for_a_moment_only_and_it_says_so(
    elm, cluster, tmp_path
):
    async with elm_and_fir(elm, cluster, tmp_path) as (fir, node_id, _):
        elm.reboot(node_id)
        elm.waiting(1.0)
        async with elm.up() as node:
            assert node.node.self_check.state in {"checking", "unreachable"}
            said = await filed(node, "Rung although nobody answers")
            check = await health_of(node, "log-unasked")
            assert check["status"] == "degraded"
            async with open_here(fir) as other:
                node.node.self_check.nudge()
                await seen(other, said["id"])

                async def well():
                    return [
                        c
                        for c in (await get_health(node))["checks"]
                        if c["name"] == "log" and c["status"] == "ok"
                    ]

                await until(well)


async def test_a24_without_a_wait_it_signs_at_once_after_a_reboot(elm, cluster, tmp_path):
    async with elm_and_fir(elm, cluster, tmp_path) as (_, node_id, _):
        elm.reboot(node_id)
        elm.waiting(0.0)
        async with elm.up() as node:
            assert node.node.self_check.state == "confirmed"
            await filed(node, "At once")


async def test_a24_a_note_in_the_directory_that_is_larger_than_the_database_holds_it_however_long(
    elm, cluster, tmp_path
):
    async with elm_and_fir(elm, cluster, tmp_path) as (fir, node_id, dump):
        elm.reboot(node_id)
        elm.waiting(0.0)
        elm.put_back(dump)
        async with elm.up() as node:
            await health_of(node, "log-restored")
            async with node.client.post("/v1/log/confirm", json={"by": "Ada"}) as answer:
                assert (answer.status, (await answer.json())["code"]) == (503, "log-restored")
            waiting = asyncio.create_task(filed(node, "Held back"))
            async with open_here(fir) as other:
                node.node.self_check.nudge()
                said = await waiting
                assert said["entry"]["index"] > 0
                await seen(other, said["id"])


async def test_a24_a_whole_machine_put_back_takes_its_log_back_when_a_peer_answers_in_time(
    elm, cluster, tmp_path
):
    async with elm_and_fir(elm, cluster, tmp_path) as (fir, node_id, dump):
        size = int(elm.notes(node_id).kept.read_text().split()[1])
        elm.restore(dump, node_id)
        elm.notes(node_id).note(1, 0)  # as old as the database is
        elm.reboot(node_id)
        async with open_here(fir) as other, elm.up() as node:
            said = await filed(node, "After the restore")
            assert said["entry"]["index"] == size
            await seen(other, said["id"])
            assert (await get(other, "/v1/peers/elm"))["state"] == "active"


async def test_a24_a_longer_log_that_gossip_tells_of_later_stops_the_pen_again(elm, cluster, tmp_path):
    async with elm_and_fir(elm, cluster, tmp_path) as (fir, node_id, dump):
        elm.restore(dump, node_id)
        elm.notes(node_id).note(1, 0)
        elm.reboot(node_id)
        elm.waiting(0.0)
        async with elm.up() as node:
            assert node.node.self_check.state == "confirmed"
            async with open_here(fir):
                (peer,) = node.node.peering.active()
                await node.node.gossip.ask(peer)

                async def recovered():
                    return node.node.self_check.lost and node.node.self_check.state == "confirmed"

                await until(recovered)


async def test_a24_a_clone_that_signs_beside_the_node_it_was_taken_from_is_found_out_by_their_peers(
    elm, cluster, tmp_path
):
    """Two machines with one identity: whatever each signs, the first peer to see both holds the proof."""
    async with elm_and_fir(elm, cluster, tmp_path) as (fir, _, _):
        database = msgspec.structs.replace(elm.settings.database, url=(await elm.dump()).url)
        node = msgspec.structs.replace(elm.settings.node, port=free_port())
        shutil.copytree(elm.settings.dir, tmp_path / "clone")
        clone = msgspec.structs.replace(elm.settings, dir=tmp_path / "clone", node=node, database=database)
        async with open_here(fir) as other, elm.up() as one, open_here(clone) as two:
            assert one.node.identity.node_id == two.node.identity.node_id
            first, second = await filed(one, "By the machine"), await filed(two, "By its clone")
            assert first["entry"]["index"] == second["entry"]["index"]

            async def proven():
                return [
                    r
                    for r in await evidence_of(other)
                    if r["code"] == "log-fork" and r["origin"] == one.node.identity.node_id
                ]

            await until(proven)
            await problem_of(other, "log-fork", "elm")
            assert (await get(other, "/v1/peers/elm"))["state"] == "suspect"
            async with other.client.get("/v1/peers/elm/evidence") as answer:
                told = verify_evidence(read_evidence(await answer.read()))
            assert told.identity.node_id == one.node.identity.node_id


async def evidence_of(node):
    async with node.node.pool.acquire() as conn:
        return await conn.fetch("select origin, code from evidence")


@pytest.mark.parametrize(
    ("memory", "kept", "found"),
    [
        (None, None, "unknown"),
        ("1 7", None, "same"),
        ("1 5", "1 5", "same"),
        (None, "1 7", "likely"),
        (None, "1 6", "likely"),
        (None, "1 8", "older"),
        ("1 8", None, "older"),
        ("1 7", "1 8", "older"),
        (None, "2 1", "unknown"),
        (None, "0 1", "unknown"),
        (None, "one 1", "unknown"),
        (None, "1 8" + " " * 99, "unknown"),
    ],
)
def test_what_the_notes_say_of_a_database_with_seven_entries(tmp_path, memory, kept, found):
    notes = Continuity("n", tmp_path / "log-size", tmp_path)
    for file, line in ((notes.file, memory), (notes.kept, kept)):
        if line is not None:
            file.write_text(f"{line}\n")
            file.chmod(0o600)
    assert notes.found(1, 7) == found


def test_a_generation_that_was_begun_since_the_note_was_never_written_in(tmp_path):
    notes = Continuity("n", tmp_path / "log-size", tmp_path)
    notes.note(1, 7)
    assert notes.found(2, 0) == "same"
    assert notes.found(2, 3) == "unknown"
    notes.close()


def test_a_note_is_replaced_whole_and_a_directory_that_takes_none_spoils_nothing(tmp_path):
    notes = Continuity("n", tmp_path / "log-size", tmp_path)
    for size in range(20):
        notes.note(1, size)
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted([notes.file.name, "log-size"])
    assert notes.found(1, 19) == "same"
    away = Continuity("m", tmp_path / "absent" / "log-size", tmp_path)
    away.note(1, 3)
    assert away.found(1, 3) == "same"
    notes.close()
    away.close()


async def test_a16_a_backup_of_before_a_recall_hears_of_it_again_and_purges_anew(elm, cluster, tmp_path):
    async with circle(cluster, tmp_path, ("fir",)) as others:
        fir = others["fir"]
        async with elm.up() as node:
            await introduce("elm", node, "fir", fir)
            done = await filed(fir, "Something happened")
            await seen(node, done["id"])
        dump = await elm.dump()
        async with elm.up() as node:
            why = {"by": "Kim", "reason": "It names a patient."}
            await post(fir, f"/v1/reports/{done['id']}/recall", why)
            await gone(node, done["id"])
        elm.put_back(dump)
        async with elm.up() as node:
            await gone(node, done["id"])


@asynccontextmanager
async def robbed(elm, cluster, tmp_path):
    """Elm's keys and database were copied, and fir was told something in its name. Gives fir's settings, and what it was told."""
    async with elm_and_fir(elm, cluster, tmp_path) as (fir, node_id, _):
        noted = elm.notes(node_id).file.read_bytes()
        shutil.copytree(elm.settings.dir, tmp_path / "thief")
        copy = await elm.dump()
        database = msgspec.structs.replace(elm.settings.database, url=copy.url)
        thief = msgspec.structs.replace(elm.settings, dir=tmp_path / "thief", database=database)
        async with open_here(thief) as node, open_here(fir) as other:
            told = await filed(node, "Invented")
            await seen(other, told["id"])
        elm.notes(node_id).file.write_bytes(noted)  # he did that on a machine of his own
        yield fir, told["id"], node_id


async def test_a_node_that_wrote_last_takes_a_thiefs_entries_for_nobodys_but_his(elm, cluster, tmp_path):
    async with robbed(elm, cluster, tmp_path) as (fir, told, _):
        async with open_here(fir), elm.up() as node:
            check = await health_of(node, "log-elsewhere")
            assert (check["status"], "--stolen log" in check["hint"]) == ("down", True)
            node.node.self_check.nudge()
            async with node.client.post("/v1/log/confirm", json={"by": "Ada"}) as answer:
                assert (answer.status, (await answer.json())["code"]) == (503, "log-elsewhere")
            size = node.node.ledger.head.size
            assert told not in [each["id"] for each in (await get(node, "/v1/reports"))["items"]]
        async with last_good(elm.settings.dir, None, stolen=True) as good:
            assert (good.void.size, good.beyond) == (size, 0)


async def test_a_running_node_that_signed_last_takes_a_thiefs_entries_for_nobodys_but_his(
    elm, cluster, tmp_path
):
    async with elm_and_fir(elm, cluster, tmp_path) as (fir, node_id, _):
        elm.move(node_id)  # the machine does not vouch for it, and its peers do
        async with elm.up() as node, open_here(fir) as other:
            await seen(other, (await filed(node, "Signed here"))["id"])
            assert node.node.self_check._wrote_last


async def test_what_a_person_vouches_for_is_taken_back_from_a_node_that_ran_elsewhere(elm, cluster, tmp_path):
    async with robbed(elm, cluster, tmp_path) as (fir, told, _), open_here(fir) as other, elm.up() as node:
        await health_of(node, "log-elsewhere")
        async with node.client.post("/v1/log/confirm", json={"by": "Ada", "take_back": True}) as answer:
            assert (await answer.json())["state"] == "restored"
        await until_held(node, told)
        await seen(other, (await filed(node, "And on"))["id"])
        await over(node, "log-came-back")


async def test_what_came_back_is_told_of_until_somebody_says_that_it_is_ours_and_no_theft_is_ended_without_a_size(
    elm, cluster, tmp_path
):
    async with robbed(elm, cluster, tmp_path) as (fir, told, node_id):
        elm.reboot(node_id)  # the machine was off, and vouches for nothing
        async with open_here(fir), elm.up() as node:
            await until_held(node, told)
            check = await health_of(node, "log-came-back")
            assert check["status"] == "degraded"
            (back,) = await came_back_at(node)
        with pytest.raises(CameBackInDoubt) as refused:
            async with last_good(elm.settings.dir, None, stolen=True):
                pass
        assert f"--last-good {back.start}" in refused.value.hint
        async with last_good(elm.settings.dir, back.start, stolen=True) as good:
            rotate(elm.settings.dir, change=Change(("log",), good.void))
        async with open_here(fir) as other, elm.up() as node:
            async with node.client.post("/v1/log/republish", json={}) as answer:
                outcomes = {i["id"]: i["outcome"] for i in (await answer.json())["items"]}
            assert outcomes.pop(told) == "came-back"
            assert set(outcomes.values()) == {"stored"}
            said = await filed(node, "By its author")
            await seen(other, said["id"])
            assert (await get(other, f"/v1/reports/{told}"))["disputed"]
            await over(node, "republish-waiting")
            async with node.client.post("/v1/log/republish", json={"reports": [told]}) as answer:
                assert [i["outcome"] for i in (await answer.json())["items"]] == ["stored"]


async def test_a_person_who_put_a_backup_back_says_that_what_came_back_is_ours(elm, cluster, tmp_path):
    async with elm_and_fir(elm, cluster, tmp_path) as (fir, node_id, dump):
        elm.restore(dump, node_id)
        async with open_here(fir), elm.up() as node:
            await health_of(node, "log-came-back")
            async with node.client.post("/v1/log/confirm", json={"by": "Ada"}) as answer:
                assert (await answer.json())["state"] == "confirmed"
            await over(node, "log-came-back")
            size = node.node.ledger.head.size
        async with last_good(
            elm.settings.dir, None, stolen=True
        ) as good:  # so it is good, if the key is stolen later
            assert good.void.size == size


async def came_back_at(node):
    async with node.node.pool.acquire() as conn:
        return await came_back(conn)


async def until_held(node, report_id):
    async def there():
        return report_id in [each["id"] for each in (await get(node, "/v1/reports"))["items"]]

    await until(there)
