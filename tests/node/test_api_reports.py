"""Reports over HTTP as nobody should send them: all findings at once, a clear no, and nothing stored."""

import asyncio
import io
import json

import pytest
from tests.support.villain import GRAVE, get, incident_id_of
from yarl import URL

from tocsin_schema.marking import MARKING_IDS, Tlp

STIX = {"Content-Type": "application/stix+json"}
NDJSON = {"Content-Type": "application/x-ndjson"}


@pytest.fixture
def good(acme):
    """A report as it should be."""
    return acme.bundle("As it should be")


async def file(acme, raw, **more):
    async with acme.client.post("/v1/reports", data=raw, headers=STIX, **more) as answer:
        return answer.status, await answer.json()


async def nothing_stored(acme):
    assert (await get(acme, "/v1/reports"))["items"] == []
    assert (await get(acme, "/v1/node"))["log"]["size"] == 0
    assert (await get(acme, "/v1/alerts"))["items"] == []


def in_name(text):
    return lambda raw: raw.replace(b"As it should be", text)


def mark(tlp):
    return lambda raw: raw.replace(MARKING_IDS[Tlp.GREEN].encode(), tlp)


HOSTILE = {
    "empty": lambda _raw: b" ",
    "null": lambda _raw: b"null",
    "list": lambda _raw: b"[]",
    "object": lambda _raw: b"{}",
    "text": lambda _raw: b'"bundle"',
    "not-json": lambda _raw: b"title = 'TOML'",
    "cut": lambda raw: raw[:-1],
    "trailing": lambda raw: raw + b"x",
    "two": lambda raw: raw + raw,
    "nested": lambda _raw: b"[" * 400_000 + b"]" * 400_000,
    "nested-inside": lambda raw: raw.replace(b'"As it should be"', b'{"a":' * 5000 + b"1" + b"}" * 5000),
    "duplicate-keys": lambda raw: raw.replace(b'"type":"bundle"', b'"type":"bundle","type":"bundle"'),
    "nul": in_name(b"a\x00b"),
    "nul-escaped": in_name(b"a\\u0000b"),
    "lone-surrogate": in_name(b"a\\ud800b"),
    "surrogate-bytes": in_name(b"a\xed\xa0\x80b"),
    "latin-1": in_name(b"caf\xe9"),
    "utf-16": lambda raw: raw.decode().encode("utf-16"),
    "byte-order-mark": lambda raw: b"\xef\xbb\xbf" + raw,
    "nan": lambda raw: raw.replace(b'"As it should be"', b"NaN"),
    "huge-number": lambda raw: raw.replace(b'"As it should be"', b"1" + b"0" * 5000),
    "unknown-marking": mark(b"marking-definition--00000000-0000-4000-8000-000000000000"),
    "marking-of-a-report": mark(b"incident--00000000-0000-4000-8000-000000000000"),
    "no-marking": lambda raw: raw.replace(b'"object_marking_refs"', b'"object_marking_rufs"'),
    "name-of-another-type": lambda raw: raw.replace(b'"As it should be"', b"null"),
    "id-of-another-type": lambda raw: raw.replace(b"incident--", b"indicator--"),
    "year-0": lambda raw: raw.replace(b'"modified":"20', b'"modified":"00'),
    "no-objects": lambda raw: raw.replace(b'"objects"', b'"abjects"'),
}


@pytest.mark.parametrize("how", HOSTILE)
async def test_a_hostile_report_gets_its_findings_and_is_not_stored(acme, good, how):
    status, said = await file(acme, HOSTILE[how](good))
    assert (status, said["code"]) == (422, "findings")
    errors = [finding for finding in said["findings"] if finding["level"] == "error"]
    assert errors
    for finding in errors:
        assert finding["code"]
        assert finding["message"]
        assert finding["hint"]
    await nothing_stored(acme)


async def test_all_findings_come_at_once(acme, good):
    spoilt = json.loads(good)
    incident = next(o for o in spoilt["objects"] if o["type"] == "incident")
    incident["name"] = 5
    incident["created"] = "yesterday"
    incident["confidence"] = 500
    status, said = await file(acme, json.dumps(spoilt).encode())
    assert status == 422
    paths = " ".join(finding["path"] for finding in said["findings"] if finding["level"] == "error")
    for field in ("name", "created", "confidence"):
        assert field in paths
    await nothing_stored(acme)


async def test_a_report_of_a_mebibyte_and_a_byte_is_too_large(acme, good):
    padded = good[:-1] + b" " * (1024 * 1024 - len(good) + 1) + good[-1:]
    assert len(padded) == 1024 * 1024 + 1
    status, said = await file(acme, io.BytesIO(padded))
    assert (status, said["code"]) == (413, "too-large")
    assert (await file(acme, good))[0] == 201


async def test_a_hundred_megabytes_are_refused_unread(acme):
    reader, writer = await asyncio.open_connection("127.0.0.1", acme.node.settings.node.port)
    token = acme.client.headers["Authorization"]
    head = f"POST /v1/reports HTTP/1.1\r\nHost: x\r\nAuthorization: {token}\r\nContent-Type: application/stix+json\r\n"
    writer.write(f"{head}Content-Length: {100 * 1024 * 1024}\r\n\r\n".encode())
    async with asyncio.timeout(60):
        line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    assert b" 413 " in line


async def test_a_dry_run_says_everything_and_stores_nothing(acme, mallory):
    raw = acme.bundle("Only asking", **GRAVE)
    status, said = await file(acme, raw, params={"dry_run": "1"})
    assert (status, said["outcome"]) == (200, "dry-run")
    assert [peer["name"] for peer in said["to"]] == ["mallory"]
    assert said["sends"]["bytes"] == len(raw)
    assert {o["type"] for o in said["sends"]["objects"]} >= {"incident", "report"}
    await nothing_stored(acme)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [("shared=0", "did you mean share?"), ("dryrun=1", "did you mean dry_run?"), ("zzz=1", "there are: to,")],
)
async def test_a_misspelt_parameter_stores_and_sends_nothing(acme, mallory, wrong, said):
    status, answer = await file(acme, acme.bundle("Misspelt", **GRAVE), params=dict([wrong.split("=")]))
    assert (status, answer["code"]) == (400, "bad-parameter")
    assert said in answer["detail"]
    await nothing_stored(acme)


async def test_red_goes_to_nobody_who_is_not_named(acme, mallory):
    raw = acme.bundle("Red", tlp="red")
    status, said = await file(acme, raw)
    assert (status, said["code"]) == (422, "audience-empty")
    await nothing_stored(acme)
    status, said = await file(acme, raw, params={"to": "mallory"})
    assert (status, said["to"]) == (201, [])
    assert [w["code"] for w in said["withheld"]] == ["above-ceiling"]


async def test_an_unknown_recipient_is_refused_before_anything_is_stored(acme, mallory):
    status, said = await file(acme, acme.bundle("To whom"), params={"to": "nobody"})
    assert (status, said["code"]) == (404, "peer-unknown")
    await nothing_stored(acme)


async def test_personal_data_stays_here(acme, mallory):
    status, said = await file(acme, acme.bundle("With names", personal_data="present"))
    assert (status, said["to"], said["entry"]) == (201, [], None)
    assert [w["code"] for w in said["withheld"]] == ["personal-data"]
    assert (await get(acme, "/v1/node"))["log"]["size"] == 0


async def test_an_import_takes_what_is_good_and_says_what_is_not(acme, mallory):
    good = [acme.bundle(f"Good {n}") for n in range(3)]
    lines = [good[0], b"{", HOSTILE["nul"](acme.bundle("As it should be")), good[1], b"null", good[2]]
    params = {"share": "1"}
    async with acme.client.post(
        "/v1/imports", data=b"\n".join(lines), headers=NDJSON, params=params
    ) as answer:
        items = (await answer.json())["items"]
    assert [item["outcome"] for item in items] == [
        "stored",
        "refused",
        "refused",
        "stored",
        "refused",
        "stored",
    ]
    assert all(
        item["code"] == "findings" and item["findings"] for item in items if item["outcome"] == "refused"
    )
    assert (await get(acme, "/v1/node"))["log"]["size"] == 3


async def test_an_import_of_too_many_lines_or_bytes_is_refused_whole(acme, good):
    for body, code in ((b"\n".join([good] * 501), "too-many"), (b"x" * (8 * 1024 * 1024 + 1), "too-large")):
        data = io.BytesIO(body)
        async with acme.client.post("/v1/imports", data=data, headers=NDJSON) as answer:
            assert (answer.status, (await answer.json())["code"]) == (413, code)
    await nothing_stored(acme)


ODD = ["%00", "%ED%A0%80", "%FF", "%F0%9F%94%94", "..%2F..", "%2E%2E", "x" * 5000, "' or 1=1 --", "%0A", "{}"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/reports/{}"),
        ("PUT", "/v1/reports/{}"),
        ("POST", "/v1/reports/{}/withdraw"),
        ("GET", "/v1/reports?text={}"),
        ("GET", "/v1/reports?grade={}"),
        ("GET", "/v1/reports?tlp={}"),
        ("GET", "/v1/reports?state={}"),
        ("GET", "/v1/reports?origin={}"),
        ("GET", "/v1/reports?cursor={}"),
        ("GET", "/v1/reports?limit={}"),
        ("POST", "/v1/reports?to={}"),
        ("POST", "/v1/reports?share={}"),
        ("GET", "/v1/peers/{}"),
        ("DELETE", "/v1/peers/{}"),
        ("POST", "/v1/peers/{}/approve"),
        ("POST", "/v1/peers/{}/sync"),
        ("GET", "/v1/alerts/{}"),
        ("POST", "/v1/alerts/{}/ack"),
        ("GET", "/v1/alerts?cursor={}"),
        ("GET", "/v1/log/leaves?from={}"),
        ("GET", "/v1/log/leaves?to={}"),
    ],
    ids=lambda part: part.replace("/v1/", ""),
)
async def test_odd_words_in_an_address_are_never_a_fault_of_ours(acme, good, method, path):
    body = good if "reports" in path and method != "GET" else b"{}" if method == "POST" else None
    kind = STIX if body is good else {"Content-Type": "application/json"}
    for odd in ODD:
        url = URL(acme.url + path.format(odd), encoded=True)
        async with acme.client.request(method, url, data=body, headers=kind if body else {}) as answer:
            assert answer.status < 500, (odd, await answer.text())


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/v1/peers/invites", {"name": "x", "ttl_s": 10**15}),
        ("/v1/peers/invites", {"name": "x", "ttl_s": -(10**15)}),
        ("/v1/peers/invites", {"name": "x", "ttl_s": 10**18}),
        ("/v1/peers/invites", {"name": "x", "ttl_s": 0}),
        ("/v1/peers/invites", {"name": "x", "ttl_s": 8 * 86_400}),
        ("/v1/peers/invites", {"name": ""}),
        ("/v1/peers/invites", {"name": "a\u0000b"}),
        ("/v1/peers/invites", {"name": "a\u202eb"}),
        ("/v1/peers/invites", {"name": "x" * 65}),
        ("/v1/peers/invites", {"name": 5}),
        ("/v1/peers/invites", {}),
        ("/v1/peers/join", {"invite": ""}),
        ("/v1/peers/join", {"invite": "tocsin1."}),
        ("/v1/peers/join", {"invite": "tocsin1." + "A" * 900}),
        ("/v1/peers/join", {"invite": "tocsin1.\u00e9\u0000"}),
        ("/v1/peers/mallory/approve", {"sas": "eight words that are not the right ones"}),
        ("/v1/peers/mallory/approve", {"unverified": True, "max_tlp_out": "purple"}),
        ("/v1/peers/mallory/approve", {"unverified": "yes"}),
        ("/v1/peers/mallory/sync", {"resume": 1}),
        ("/v1/alerts/1/ack", {"note": "x\u0000y"}),
        ("/v1/alerts/1/ack", {"note": 5}),
        ("/v1/alerts/99999999999999999999/ack", {}),
    ],
    ids=range(22),
)
async def test_documents_that_do_not_fit_are_refused(acme, mallory, path, document):
    async with acme.client.post(path, json=document) as answer:
        assert 400 <= answer.status < 500, await answer.text()
        problem = await answer.json()
        assert problem["code"]
        assert problem["hint"]


async def test_pages_of_a_list_hold_every_report_once(acme, mallory):
    bundles = [acme.bundle(f"Report {n}") for n in range(23)]
    await asyncio.gather(*(file(acme, raw) for raw in bundles))
    seen, cursor = [], ""
    while cursor is not None:
        page = await get(acme, f"/v1/reports?limit=5{cursor and f'&cursor={cursor}'}")
        seen += [item["id"] for item in page["items"]]
        cursor = page["next"]
    assert len(seen) == 23
    assert set(seen) == set(map(incident_id_of, bundles))


async def test_a_title_is_called_title_and_still_name_too(acme, mallory):
    _, filed = await file(acme, acme.bundle("Told twice"))
    shown = await get(acme, f"/v1/reports/{filed['id']}")
    (listed,) = (await get(acme, "/v1/reports"))["items"]
    for item in (filed, shown, listed):
        assert (item["title"], item["name"]) == ("Told twice", "Told twice")


async def test_a_list_is_narrowed_by_what_a_report_is(acme, mallory):
    await file(acme, acme.bundle("Grave", **GRAVE))
    await file(acme, acme.bundle("Mild and amber 50%_", tlp="amber"))
    for query, names in (
        ("tlp=amber", ["Mild and amber 50%_"]),
        ("text=GRAVE", ["Grave"]),
        ("text=50%25_", ["Mild and amber 50%_"]),
        ("text=%25", ["Mild and amber 50%_"]),
        ("state=withdrawn", []),
        ("origin=mallory", []),
        ("origin=us&limit=1", ["Mild and amber 50%_"]),
    ):
        page = await get(acme, f"/v1/reports?{query}")
        assert [item["name"] for item in page["items"]] == names, query


async def test_a_report_is_not_checked_again_to_be_shown(acme, stranger):
    """It was taken by the rules of its time; those of today must not make its reasons vanish, nor cost a check."""
    raw = acme.bundle("Grave", **GRAVE)
    status, filed = await file(acme, raw)
    assert status == 201
    async with acme.node.pool.acquire() as conn:
        later = raw.replace(b'"realization"', b'"No Such Name":null,"realization"')
        await conn.execute("update report set bundle = $1", later)
    shown = await get(acme, f"/v1/reports/{filed['id']}")
    assert shown["drivers"] == filed["drivers"] != []
