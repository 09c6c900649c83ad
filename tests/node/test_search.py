"""Finding reports: by words in any script, by every facet, page by page; and what nobody should be able to ask."""

from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from tests.support.node import open_here, settings_on
from tests.support.reports import PUBLIC
from tests.support.villain import get, outcomes

from tocsin_node.services.finding import Finding
from tocsin_node.storage import facets, search
from tocsin_schema.check import check_bundle
from tocsin_schema.facets import facets_of
from tocsin_schema.stix import build, revise, withdraw

STIX = {"Content-Type": "application/stix+json"}


def form(title, **fields):
    return {
        "title": title,
        "description": "What happened.",
        "tlp": "green",
        "realization": "near-miss",
        **fields,
    }


SHUTTLE = form(
    "Shuttle hits a truck",
    description="A self-driving shuttle of a café in Zürich was hit by a delivery truck.",
    systems=[{"name": "Autonom Shuttle", "vendor": "Navya", "version": "2.1", "kind": "system"}],
    deployers=["Keolis Nord"],
    countries=["CH"],
    occurred_start="2025-03-24",
    harms=[{"harm_type": "property", "level": 2}],
    classifications=[{"scheme": "mit-risk-domain", "code": "7.3"}],
    flags=["cross-border"],
    sources=[{"name": "Daily", "url": "https://www.example.org/shuttle/"}],
)
CHAT = form(
    "Chat model leaks addresses",
    description="自動運転車の事故 was described with the addresses of customers.",
    tlp="amber",
    realization="harm-event",
    systems=[{"name": "Chatter", "vendor": "Kestrel", "version": "9"}],
    countries=["DE", "FR"],
    occurred_start="2024-01-10",
    harms=[{"harm_type": "privacy", "level": 4, "materialised": True}],
    quantities={"personal_records": 2_000_000},
    causality="direct",
)
PLAIN = form("Nothing much")


def made(fields, nth, by=PUBLIC):
    return build(
        fields,
        producer=dict(by),
        incident_id=f"incident--00000000-0000-4000-8000-{nth:012}",
        now=datetime.now(UTC),
    )


async def file(acme, raw, method="POST", path="/v1/reports"):
    async with acme.client.request(method, path, data=raw, headers=STIX) as answer:
        assert answer.status == 201, await answer.text()


async def titles(acme, query):
    return [item["name"] for item in (await get(acme, f"/v1/reports?{query}"))["items"]]


@pytest.fixture
async def three(acme):
    for nth, fields in enumerate((SHUTTLE, CHAT, PLAIN), 1):
        await file(acme, made(fields, nth, acme.node.producer))
    return acme


FOUND = {
    "q=shuttle": ["Shuttle hits a truck"],
    "q=SHUTTLE+truck": ["Shuttle hits a truck"],
    "q=zurich+cafe": ["Shuttle hits a truck"],
    "q=navya": ["Shuttle hits a truck"],
    "q=keolis": ["Shuttle hits a truck"],
    'q="delivery+truck"': ["Shuttle hits a truck"],
    'q="truck+delivery"': [],
    "q=shuttle+or+addresses": ["Chat model leaks addresses", "Shuttle hits a truck"],
    "q=happened+-shuttle": ["Nothing much"],
    f"q={quote('事故')}": ["Chat model leaks addresses"],
    f"q={quote('故事')}": [],
    "harm=property": ["Shuttle hits a truck"],
    "harm=property&harm=privacy": ["Chat model leaks addresses", "Shuttle hits a truck"],
    "harm=property&country=DE": [],
    "country=fr": ["Chat model leaks addresses"],
    "system=navya+autonom+shuttle": ["Shuttle hits a truck"],
    "system=Autonom+Shuttle": ["Shuttle hits a truck"],
    "system=Navya+Autonom+Shuttle+2.1": ["Shuttle hits a truck"],
    "system=Navya+Autonom+Shuttle+2.2": [],
    "party=keolis++nord": ["Shuttle hits a truck"],
    "classification=mit-risk-domain:7.3": ["Shuttle hits a truck"],
    "flag=cross-border": ["Shuttle hits a truck"],
    "tlp=amber": ["Chat model leaks addresses"],
    "grade=II": ["Chat model leaks addresses"],
    "min_level=4": ["Chat model leaks addresses"],
    "realization=near-miss": ["Nothing much", "Shuttle hits a truck"],
    "since=2025-01-01": ["Shuttle hits a truck"],
    "until=2025-03-24": ["Chat model leaks addresses", "Shuttle hits a truck"],
    "until=2025-03-23": ["Chat model leaks addresses"],
    "since=2025-03-24T00:00:01Z": [],
    "stored_until=2020-01-01": [],
    "stored_since=2020-01-01&text=LEAKS": ["Chat model leaks addresses"],
    "origin=us": ["Nothing much", "Chat model leaks addresses", "Shuttle hits a truck"],
    "state=withdrawn": [],
}


async def test_what_is_looked_for_is_found_and_nothing_else(three):
    for query, expected in FOUND.items():
        found = await titles(three, query)
        ordered = found if "q=" not in query else sorted(found)
        assert ordered == expected, query


async def test_a_title_counts_more_than_a_description_and_the_snippet_shows_the_word(acme):
    await file(acme, made(form("Brakes fail"), 1, acme.node.producer))
    await file(
        acme,
        made(
            form("Something else", description="Long before. " * 30 + "The brakes were fine."),
            2,
            acme.node.producer,
        ),
    )
    found = (await get(acme, "/v1/reports?q=brakes"))["items"]
    assert [item["name"] for item in found] == ["Brakes fail", "Something else"]
    assert "brakes were fine" in found[1]["snippet"]
    assert "snippet" not in (await get(acme, "/v1/reports"))["items"][0]


async def test_a_new_version_is_found_by_what_it_says_now_and_a_withdrawn_one_by_its_state(acme):
    raw = made(SHUTTLE, 1, acme.node.producer)
    report_id = check_bundle(raw).report.id
    await file(acme, raw)
    newer = revise(raw, {"title": "Tram hits a truck", "countries": ["AT"]}, now=datetime.now(UTC))
    await file(acme, newer, "PUT", f"/v1/reports/{report_id}")
    assert await titles(acme, "country=CH") == []
    assert await titles(acme, "country=AT&q=tram") == ["Tram hits a truck"]
    gone = withdraw(newer, reason="It was a drill.", now=datetime.now(UTC))
    await file(acme, gone, "POST", f"/v1/reports/{report_id}/withdraw")
    assert await titles(acme, "state=active") == []
    assert await titles(acme, "state=withdrawn&q=tram") == ["Tram hits a truck"]


async def test_what_a_peer_sends_is_found_too(acme, mallory):
    mallory.publish(acme, mallory.bundle("A received shuttle", countries=["NO"]))
    await mallory.ring()
    await outcomes(acme, 1)
    assert await titles(acme, "country=NO&origin=mallory&q=shuttle") == ["A received shuttle"]
    assert await titles(acme, "origin=us") == []


async def test_a_report_is_found_by_each_of_its_keys_and_counted_under_it(three):
    facet_of = {"product": "system"}
    counted = (await get(three, "/v1/reports/facets"))["facets"]
    for nth, fields in enumerate((SHUTTLE, CHAT, PLAIN), 1):
        report = check_bundle(made(fields, nth)).report
        for each in facets_of(report).keys:
            name, _, value = each.partition(":")
            if name in {"url", "software", "system"}:
                continue
            value = value.upper() if name == "grade" and value != "none" else value
            query = f"{facet_of.get(name, name)}={quote(value)}"
            assert report.name in await titles(three, query), each
            shown = {(v["value"].casefold(), v["count"]) for v in counted[facet_of.get(name, name)]}
            assert (value.casefold(), len(await titles(three, query))) in shown, each


async def test_counts_are_those_of_the_same_filter(three):
    counted = await get(three, "/v1/reports/facets?harm=privacy")
    assert (counted["total"], counted["complete"]) == (1, True)
    assert counted["facets"]["country"] == [{"value": "DE", "count": 1}, {"value": "FR", "count": 1}]
    assert counted["facets"]["origin"] == [{"value": "us", "count": 1}]
    assert (await get(three, "/v1/reports/facets?q=nowhere"))["total"] == 0


async def test_pages_show_everything_once_with_words_and_without(acme):
    bundles = [made(form(f"Truck {'truck ' * (nth % 3)}{nth}"), nth) for nth in range(23)]
    async with acme.client.post(
        "/v1/imports", data=b"\n".join(bundles), headers={"Content-Type": "application/x-ndjson"}
    ) as answer:
        assert answer.status == 200
    for query in ("", "&q=truck"):
        seen, cursor = [], ""
        while True:
            page = await get(acme, f"/v1/reports?limit=5{query}{cursor}")
            seen += [item["id"] for item in page["items"]]
            if page["next"] is None:
                break
            cursor = f"&cursor={page['next']}"
        assert len(seen) == len(set(seen)) == 23


async def test_windows_of_a_word_in_very_many_reports_follow_each_other(acme):
    for nth in range(10):
        await file(acme, made(form(f"Truck {nth}"), nth, acme.node.producer))
    wanted = search.Wanted(words="truck")
    seen, at = [], search.Place()
    while at is not None:
        page = await search.page(acme.node.pool, wanted, at=at, limit=3, window=4)
        seen += [item.name for item in page.items]
        at = page.next
    assert sorted(seen) == [f"Truck {nth}" for nth in range(10)]


HOSTILE = {
    "q=%00": "bad-parameter",
    "q=": "bad-parameter",
    "q=-%22%22": "bad-parameter",
    "q=" + "x" * 5000: "bad-parameter",
    "harm=nothing": "bad-parameter",
    "harm=" + "x" * 5000: "bad-parameter",
    "grade=V": "bad-parameter",
    "min_level=6": "bad-parameter",
    "min_level=-1": "bad-parameter",
    "since=yesterday": "bad-parameter",
    "since=2025-03-24T10:15:00": "bad-parameter",
    "until=9999-12-31": "bad-parameter",
    "cursor=-1": "bad-parameter",
    "cursor=1.x": "bad-parameter",
    "cursor=١": "bad-parameter",
    "origin=nobody": "peer-unknown",
    "country=": "bad-parameter",
    "&".join(f"country={n}" for n in range(21)): "bad-parameter",
}


async def test_a_search_that_cannot_be_meant_is_refused_by_name(acme):
    for query, code in HOSTILE.items():
        for path in ("/v1/reports", "/v1/reports/facets"):
            if "cursor" in query and path.endswith("facets"):
                continue
            async with acme.client.get(f"{path}?{query}") as answer:
                said = await answer.json()
            assert (answer.status, said["code"]) == (404 if "unknown" in code else 400, code), query[:50]
            assert said["hint"]


ODD = (
    "'; drop table report; --",
    "a & | ! <-> (b:*",
    "\\ x",
    "% x",
    "x'",
    '"unclosed phrase',
    "or or or",
    "- - x",
    "\x1b[31mred\x1b[0m",
    "\u202egnirts",
    "x" * 500,
    "(" * 250 + "x" + ")" * 249,
    "😀 x",
    "a:b:c*",
    "-happened",
)


async def test_syntax_of_databases_and_terminals_is_only_words(three):
    for words in ODD:
        await titles(three, f"q={quote(words)}")
        await titles(three, f"party={quote(words)}&system={quote(words)}&text={quote(words)}")
    assert len(await titles(three, "")) == 3


async def test_a_token_that_may_not_read_reports_finds_none(three):
    token = (await three.node.tokens.create("peers-only", ("peer:read",)))[1]
    for path in ("/v1/reports?q=shuttle", "/v1/reports/facets"):
        async with three.client.get(path, headers={"Authorization": f"Bearer {token}"}) as answer:
            assert answer.status == 403
            assert "Shuttle" not in await answer.text()


async def test_reports_from_before_there_were_facets_are_filled_in_and_it_may_stop_half_way(three):
    pool = three.node.pool
    async with pool.acquire() as conn:
        before = await conn.fetch("select report_id, seq, keys, words::text from report_facet order by seq")
        await conn.execute("delete from report_facet where seq <> (select max(seq) from report_facet)")
        spoilt = await facets.missing(conn, below=2**63 - 1, limit=1)
        await facets.fill_bare(conn, [spoilt[0].id])  # as for a report that this program would refuse
        assert await titles(three, "q=leaks&tlp=amber") == ["Chat model leaks addresses"]
        await conn.execute("delete from report_facet where report_id = $1", spoilt[0].id)
    finding = Finding(pool)
    await finding.look()
    assert (await finding.health())[0].code == "search-filling"
    await finding.run()
    assert (await finding.health())[0].status == "ok"
    async with pool.acquire() as conn:
        after = await conn.fetch("select report_id, seq, keys, words::text from report_facet order by seq")
        odd = await conn.fetchval(
            "select count(*) from report_facet f join report r on r.id = f.report_id "
            "where f.stored_at <> r.stored_at or f.first_at > f.stored_at"
        )
    assert [tuple(row) for row in after] == [tuple(row) for row in before]
    assert odd == 0


async def test_a_node_that_starts_again_finds_the_same(database, tmp_path):
    settings = settings_on(tmp_path / "node", database)
    async with open_here(settings) as first:
        await file(first, made(SHUTTLE, 1, first.node.producer))
    async with open_here(settings) as second:
        assert "search-filling" not in str(await get(second, "/healthz"))
        assert await titles(second, "q=shuttle&harm=property") == ["Shuttle hits a truck"]
