"""Who passes on what its marking forbids is found out by who gets it, and convicted by its own log alone."""

from dataclasses import replace

from tests.node.test_passing_on import LINE, NAMES, outcomes, policy
from tests.node.test_share import file
from tests.support.circle import circle, introduce
from tests.support.villain import get, until

from tocsin_federation.envelope import seal
from tocsin_federation.onward import write_complaint, write_share
from tocsin_federation.proof import Disclosed, read_proof, verify_proof
from tocsin_node.services.ledger import Posting
from tocsin_node.storage.reports import Place
from tocsin_schema.marking import Tlp

TRIANGLE = (*LINE, ("elm", "oak"))


async def wide(nodes):
    """Ceilings that let everything through: what is refused is refused for its marking."""
    for node in nodes.values():
        for other in nodes:
            if any(p["name"] == other for p in (await get(node, "/v1/peers"))["items"]):
                await policy(node, other, max_tlp_out="red", max_tlp_in="red")


async def given(elm, fir, tlp):
    """A report of elm's that fir alone was given."""
    said = await file(elm, elm.bundle("For fir alone", tlp=tlp), to="fir")

    async def there():
        async with fir.client.get(f"/v1/reports/{said['id']}") as answer:
            return answer.status == 200

    await until(there)
    return said["id"]


async def log(node, kind, content, to, **header):
    """Put an entry into a node's log, as a program without manners would. The posting's sealed entry and its place."""
    us = node.node
    sealed = seal(
        t=kind,
        by=us.identity.node_id,
        content=content,
        recipients=us.peering.enc_keys([us.peering.named(name).node_id for name in to]),
        now=us.now(),
        rng=us.rng,
        **header,
    )
    (posted,) = await us.ledger.post(Posting(sealed=sealed))
    return sealed, posted.place


async def passed_on(node, report_id, *to, client=False):
    """Pass a report on whatever its marking says."""
    ready = await node.node.passing_on._ready(await node.node.reporting.get(report_id))
    content = write_share(ready.proof, client=client)
    stored = ready.stored
    facts = {"id": report_id, "ver": stored.ver, "tlp": Tlp(stored.tlp), "ref": stored.leaf_hash}
    sealed, place = await log(node, "share", content, to, **facts)
    return sealed, place, content


async def complaints(node, count=1):
    async def there():
        items = (await get(node, "/v1/complaints"))["items"]
        return items if len(items) >= count else None

    return await until(there)


async def test_a13_what_was_passed_on_against_its_marking_is_refused_and_its_author_can_prove_who_did_it(
    cluster, tmp_path
):
    async with circle(cluster, tmp_path, NAMES, pairs=TRIANGLE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        await wide(nodes)
        for tlp in (Tlp.AMBER_STRICT, Tlp.RED, Tlp.AMBER):
            report_id = await given(elm, fir, tlp)
            await passed_on(fir, report_id, "oak")
            await passed_on(fir, report_id, "oak")
            async with oak.client.get(f"/v1/reports/{report_id}") as answer:
                assert answer.status == 404
        assert await outcomes(oak, "fir", 6) == [("refused", "onward-forbidden")] * 6
        told = await complaints(elm, 3)
        assert {each["tlp"] for each in told} == {"amber", "amber+strict", "red"}
        for each in told:
            assert (each["by"]["name"], each["against"]["name"]) == ("oak", "fir")
            path = f"/v1/complaints/{each['id']}/evidence"
            async with elm.client.get(path) as answer:
                assert read_proof(await answer.read()).disclosed is None
            async with elm.client.get(f"{path}?disclose=1") as answer:
                proof = read_proof(await answer.read())
            proven = verify_proof(proof, expected=fir.node.identity.node_id)
            assert proven.header.t == "share"
            assert oak.node.identity.node_id in proven.header.aud.nodes
            assert proof.disclosed is not None
        assert (await get(elm, "/v1/peers/fir"))["complaints"] == 3, "one for each version"
        assert (await get(elm, "/v1/peers/oak"))["complaints"] == 0
        checks = {c["name"]: c for c in (await get(elm, "/healthz"))["checks"]}
        assert checks["complaints"]["code"] == "passed-on-against-marking"
        assert (await get(elm, "/v1/peers/fir"))["state"] == "active", "a person decides what follows"

        async def let_go():
            rows = (await get(oak, "/v1/complaints"))["items"]
            return all(each["author_told"] for each in rows) and rows

        await until(let_go)
        async with oak.node.pool.acquire() as conn:
            assert await conn.fetchval("select count(*) from complaint where ct is not null") == 0


async def test_a13_who_passes_on_and_tells_the_author_convicts_itself(cluster, tmp_path):
    async with circle(cluster, tmp_path, NAMES, pairs=LINE) as nodes:
        elm, fir, _ = (nodes[name] for name in NAMES)
        await wide(nodes)
        report_id = await given(elm, fir, Tlp.AMBER_STRICT)
        await passed_on(fir, report_id, "elm", "oak")
        (found,) = await complaints(elm)
        assert (found["by"]["name"], found["against"]["name"]) == ("elm", "fir")
        async with elm.client.get(f"/v1/complaints/{found['id']}/evidence") as answer:
            assert verify_proof(read_proof(await answer.read())).header.by == fir.node.identity.node_id


async def test_a_complaint_waits_for_an_author_who_is_no_peer_and_is_shown_meanwhile(cluster, tmp_path):
    async with circle(cluster, tmp_path, NAMES, pairs=LINE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        await wide(nodes)
        report_id = await given(elm, fir, Tlp.AMBER_STRICT)
        await passed_on(fir, report_id, "oak")
        (kept,) = await complaints(oak)
        assert (kept["author"]["node_id"], kept["author_told"]) == (elm.node.identity.node_id, False)
        await oak.node.complaints.tell()
        assert (await get(elm, "/v1/complaints"))["items"] == []
        await introduce("elm", elm, "oak", oak)
        assert await oak.node.complaints.tell() == 1
        assert (await complaints(elm))[0]["by"]["name"] == "oak"
        assert await oak.node.complaints.tell() == 0


async def test_a13_nobody_is_framed_without_its_own_logs_key(cluster, tmp_path):
    async with circle(cluster, tmp_path, NAMES, pairs=TRIANGLE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        await wide(nodes)
        secret = await given(elm, fir, Tlp.AMBER_STRICT)
        open_ = await given(elm, fir, Tlp.GREEN)
        # What was permitted is no ground for a complaint.
        sealed, place, content = await passed_on(fir, open_, "oak")
        await outcomes(oak, "fir", 1)
        async with oak.node.pool.acquire() as conn:
            proof = await oak.node.proving.of_entry(
                conn, fir.node.identity.node_id, place, sealed.leaf, Disclosed(content, sealed.data_key)
            )
        header = {"id": open_, "ver": 1, "tlp": Tlp.GREEN, "ref": place.leaf_hash}
        await log(oak, "complain", write_complaint(proof), ["elm"], **header)
        assert await outcomes(elm, "oak", 1) == [("refused", "complaint-unfounded")]
        # A share of fir's that oak writes itself stands in no log of fir's.
        stored = await fir.node.reporting.get(secret)
        ready = await fir.node.passing_on._ready(stored)
        forged = seal(
            t="share",
            by=fir.node.identity.node_id,
            id=secret,
            ver=1,
            tlp=Tlp.AMBER_STRICT,
            ref=stored.leaf_hash,
            content=write_share(ready.proof, client=False),
            recipients=oak.node.peering.enc_keys([elm.node.identity.node_id]),
            now=oak.node.now(),
            rng=oak.node.rng,
        )
        async with oak.node.pool.acquire() as conn:
            framed = await oak.node.proving.of_entry(
                conn,
                fir.node.identity.node_id,
                Place(1, 0, forged.leaf_hash),
                forged.leaf,
                Disclosed(write_share(ready.proof, client=False), forged.data_key),
            )
        header = {"id": secret, "ver": 1, "tlp": Tlp.AMBER_STRICT, "ref": forged.leaf_hash}
        await log(oak, "complain", write_complaint(framed), ["elm"], **header)
        assert (await outcomes(elm, "oak", 2))[1] == ("quarantined", "unproven")
        assert (await get(elm, "/v1/complaints"))["items"] == []


async def test_a12_what_is_passed_on_cannot_be_claimed_changed_or_redirected(cluster, tmp_path):
    async with circle(cluster, tmp_path, NAMES, pairs=TRIANGLE) as nodes:
        elm, fir, oak = (nodes[name] for name in NAMES)
        report_id = await given(elm, fir, Tlp.GREEN)
        stored = await fir.node.reporting.get(report_id)
        # Under its own name: the report says who made it.
        await log(fir, "publish", stored.bundle, ["oak"], id=report_id, ver=1, tlp=Tlp.GREEN)
        # With other words, another marking, another reference.
        ready = await fir.node.passing_on._ready(stored)
        proof, key = ready.proof, ready.proof.disclosed.data_key
        other = stored.bundle.replace(b"For fir alone", b"For all of you")
        spoilt = write_share(replace(proof, disclosed=Disclosed(other, key)), client=False)
        facts = {"id": report_id, "ver": 1, "tlp": Tlp.GREEN, "ref": stored.leaf_hash}
        await log(fir, "share", spoilt, ["oak"], **facts)
        good = write_share(proof, client=False)
        await log(fir, "share", good, ["oak"], **{**facts, "tlp": Tlp.CLEAR})
        await log(fir, "share", good, ["oak"], **{**facts, "ref": bytes(32)})
        assert await outcomes(oak, "fir", 4) == [
            ("refused", "foreign-creator"),
            ("quarantined", "unproven"),
            ("quarantined", "inner-mismatch"),
            ("quarantined", "inner-mismatch"),
        ]
        # And who got it from fir cannot pass it on as if elm had given it to it.
        await passed_on(fir, report_id, "oak")
        await outcomes(oak, "fir", 5)
        await log(oak, "share", good, ["elm"], **facts)
        (found,) = await complaints(elm)
        assert (found["against"]["name"], found["tlp"]) == ("oak", "green")
