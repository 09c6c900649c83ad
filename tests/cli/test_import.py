"""Imports: every record accounted for, in batches, again and again without harm."""

import csv
import io
import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.cli.fake_node.wire import answers, goes_away, says
from tests.schema.imports.test_atlas import TREE
from tests.schema.imports.test_avid import RECORD
from tests.schema.samples import DATA

from tocsin_cli.importing import MAX_BUNDLES, MAX_BYTES, Account, Importer, _batches
from tocsin_schema.check import check_bundle
from tocsin_schema.finding import Finding
from tocsin_schema.imports.record import Record
from tocsin_schema.marking import Tlp

HEADER = [
    "_id", "incident_id", "date", "reports", "Alleged deployer of AI system", "Alleged developer of AI system",
    "Alleged harmed or nearly harmed parties", "description", "title",
]  # fmt: skip


def aiid_csv(*rows: dict[str, str]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, HEADER)
    writer.writeheader()
    for at, row in enumerate(rows, 1):
        usual = {
            "_id": f"{1650000000 + at:08x}{at:016x}", "incident_id": str(at), "date": "2020-01-02", "reports": "[1]",
            HEADER[4]: '["acme"]', HEADER[5]: '["acme"]', HEADER[6]: '["pedestrians"]',
            "description": f"Something happened, number {at}.", "title": f"Incident {at}",
        }  # fmt: skip
        writer.writerow(usual | row)
    return out.getvalue()


OPENCTI_BUNDLES = [f"atlas/opencti-bundles/AMLCS00{number}.json" for number in (10, 11)]


def account(result) -> dict:
    found = json.loads(result.stdout)
    assert found["read"] == found["imported"] + found["unchanged"] + found["repaired"] + found["refused"]
    assert len(found["refusals"]) == found["refused"]
    assert len(found["repairs"]) == found["repaired"]
    return found


@pytest.fixture
def sample(home):
    return str(
        home.file("incidents.csv", aiid_csv({}, {}, {"title": ""}, {"incident_id": "x"}, {"date": "soon"}))
    )


def test_the_account_adds_up_and_names_every_refusal(tocsin, node, sample):
    result = tocsin("import", "aiid", sample, "--json")
    assert result.exit_code == 0, result.stderr
    found = account(result)
    assert (found["read"], found["imported"], found["repaired"], found["refused"]) == (5, 2, 2, 1)
    assert found["refusals"][0]["reason"]
    assert found["complete"] is True
    assert len(node.reports) == 4
    assert node.posts("/v1/imports")[0].query == []


def test_people_get_a_line_of_account(tocsin, node, sample):
    result = tocsin("import", "aiid", sample)
    lines = result.stdout.splitlines()
    assert lines[-1] == "5 read = 2 imported + 0 unchanged + 2 repaired + 1 refused"
    assert lines[0].startswith("refused aiid:")
    assert "repaired" in tocsin("import", "aiid", sample, "-v").stdout + lines[-1]


def test_a_second_run_finds_everything_unchanged(tocsin, node, sample):
    tocsin("import", "aiid", sample)
    found = account(tocsin("import", "aiid", sample, "--json"))
    assert (found["imported"], found["repaired"], found["unchanged"]) == (0, 0, 4)
    assert len(node.reports) == 4


def test_sharing_is_asked_for(tocsin, node, sample):
    node.add_peer("beta")
    tocsin("import", "aiid", sample, "--share")
    assert node.posts("/v1/imports")[-1].query == [("share", "1")]
    tocsin("import", "aiid", sample, "--to", "beta")
    assert node.posts("/v1/imports")[-1].query == [("share", "1"), ("to", "beta")]


def test_a_dry_run_sends_nothing_and_needs_no_node(tocsin, home, sample):
    found = account(tocsin("import", "aiid", sample, "--dry-run", "--json"))
    assert (found["imported"], found["repaired"], found["refused"], found["dry_run"]) == (2, 2, 1, True)


def test_stix_that_we_made_passes_unchanged(tocsin, node, home, sample):
    tocsin("import", "aiid", sample)
    before = {report_id: kept.raw for report_id, kept in node.reports.items()}
    lines = b"\n".join(before.values())
    node.reports.clear()
    found = account(tocsin("import", "stix", str(home.file("all.jsonl", lines)), "--json"))
    assert found["imported"] == 4
    assert {report_id: kept.raw for report_id, kept in node.reports.items()} == before


def test_flaws_and_case_studies_come_in_and_a_second_run_finds_them_unchanged(tocsin, node, home):
    flaws = home.file("reports.jsonl", json.dumps(RECORD) + "\n")
    studies = home.file("ATLAS.yaml", json.dumps(TREE))
    for source, file in (("avid", flaws), ("atlas", studies)):
        found = account(tocsin("import", source, str(file), "--json"))
        assert (found["read"], found["refused"]) == (1, 0)
        assert node.posts("/v1/imports")[-1].query == []
        assert account(tocsin("import", source, str(file), "--json"))["unchanged"] == 1
    assert len(node.reports) == 2


def test_objects_that_belong_to_no_incident_are_counted_and_said(tocsin, node, home):
    tool = {"type": "tool", "id": "tool--00000000-0000-4000-8000-000000000001", "name": "Hammer"}
    incident = {
        "type": "incident", "spec_version": "2.1", "id": "incident--00000000-0000-4000-8000-000000000002", "name": "Fall",
        "created": "2024-02-06T15:29:37.168Z", "modified": "2024-02-06T15:29:37.168Z", "description": "It fell.",
    }  # fmt: skip
    mixed = str(home.file("mixed.json", json.dumps([tool, incident])))
    result = tocsin("import", "stix", mixed, "--json")
    found = account(result)
    assert (result.exit_code, found["read"], found["passed_over"]) == (0, 1, {"tool": 1})
    assert (
        "1 object(s) (1 tool) that belong to no incident passed over"
        in tocsin("import", "stix", mixed).stdout
    )
    none = tocsin("import", "stix", str(home.file("none.json", json.dumps([tool]))))
    assert none.exit_code == 0
    assert "0 read = 0 imported + 0 unchanged + 0 repaired + 0 refused; 1 object(s) (1 tool)" in none.stdout
    assert "Nothing to import: it holds no incident." in none.stderr
    assert "tocsin convert stix" in none.stderr
    told = account(tocsin("import", "stix", str(home.file("none.json", json.dumps([tool]))), "--json"))
    assert (told["read"], told["refused"], told["passed_over"]) == (0, 0, {"tool": 1})


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"type": "bundle", "objects": []}', "a,b\n1,2\n"])
def test_a_file_without_any_stix_object_is_the_wrong_file(text, tocsin, node, home):
    found = tocsin("import", "stix", str(home.file("wrong.json", text)))
    assert found.exit_code == 6
    assert "refused" in found.stdout


@pytest.mark.parametrize("name", ["attack/ics-attack-18.1.json", "atlas/stix-atlas.json", *OPENCTI_BUNDLES])
def test_published_stix_bundles_come_through_both_doors(name, tocsin, node):
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not beside the repository")
    assert tocsin("import", "stix", str(path)).exit_code == 0
    assert tocsin("convert", "stix", str(path)).exit_code == 0


@pytest.mark.parametrize(("options", "tlp"), [((), Tlp.RED), (("--tlp", "green"), Tlp.GREEN)])
def test_a_person_says_how_to_mark_what_carries_no_marking(tocsin, node, home, options, tlp):
    incident = {
        "type": "incident", "spec_version": "2.1", "id": "incident--00000000-0000-4000-8000-000000000002", "name": "Fall",
        "created": "2024-02-06T15:29:37.168Z", "modified": "2024-02-06T15:29:37.168Z", "description": "It fell.",
    }  # fmt: skip
    file = str(home.file("bare.json", json.dumps([incident])))
    assert tocsin("import", "stix", file, *options).exit_code == 0
    (kept,) = node.reports.values()
    assert check_bundle(kept.raw).report.tlp is tlp


def test_many_are_sent_in_batches(tocsin, node, home):
    path = home.file("many.csv", aiid_csv(*({} for _ in range(2 * MAX_BUNDLES + 5))))
    found = account(tocsin("import", "aiid", str(path), "--json"))
    assert found["imported"] == 2 * MAX_BUNDLES + 5
    sizes = [len(seen.body.splitlines()) for seen in node.posts("/v1/imports")]
    assert sizes == [MAX_BUNDLES, MAX_BUNDLES, 5]


def test_a_node_that_goes_away_leaves_a_true_account_and_the_import_can_go_on(tocsin, node, home):
    path = str(home.file("many.csv", aiid_csv(*({} for _ in range(MAX_BUNDLES + 5)))))

    async def fine(request, handler):
        return await handler(request)

    node.fault("POST", "/v1/imports", fine, goes_away)
    result = tocsin("import", "aiid", path, "--json")
    assert result.exit_code == 3
    found = account(result)
    assert (found["imported"], found["complete"]) == (MAX_BUNDLES, False)
    assert "run the import again" in json.loads(result.stderr)["hint"]
    found = account(tocsin("import", "aiid", path, "--json"))
    assert (found["imported"], found["unchanged"], found["complete"]) == (5, MAX_BUNDLES, True)


def test_a_node_that_asks_to_wait_is_waited_for(tocsin, node, sample):
    node.fault("POST", "/v1/imports", answers(429, "too-fast", headers={"Retry-After": "1"}))
    assert tocsin("import", "aiid", sample).exit_code == 0
    assert len(node.posts("/v1/imports")) == 2


def test_a_batch_that_is_too_large_for_the_node_is_halved(tocsin, node, home):
    path = str(home.file("few.csv", aiid_csv({}, {}, {})))
    node.fault(
        "POST", "/v1/imports", answers(413, "too-large"), answers(413, "too-large", "One is too large.")
    )
    found = account(tocsin("import", "aiid", path, "--json"))
    assert (found["imported"], found["refused"]) == (2, 1)
    assert found["refusals"][0]["reason"] == "One is too large."


@pytest.mark.parametrize(
    "body", [b"{}", b'{"items":[]}', b'{"items":3}', b'{"items":[{"outcome":"odd"},{},{},{}]}', b"<html>"]
)
def test_an_answer_that_makes_no_sense_ends_the_import_with_a_true_account(tocsin, node, sample, body):
    node.fault("POST", "/v1/imports", says(body))
    result = tocsin("import", "aiid", sample, "--json")
    assert result.exit_code == 1
    assert json.loads(result.stderr)["code"] == "answer-broken"
    if result.stdout:
        assert account(result)["complete"] is False


def test_all_refused_is_exit_6(tocsin, node, home):
    path = str(home.file("bad.csv", aiid_csv({"incident_id": "x"}, {"incident_id": "y"})))
    result = tocsin("import", "aiid", path)
    assert result.exit_code == 6
    assert "2 read = 0 imported + 0 unchanged + 0 repaired + 2 refused" in result.stdout


@pytest.mark.parametrize("kind", ["aiid", "stix"])
@pytest.mark.parametrize("content", [b"", b"a,b,c\n1,2,3\n", b"\xff\xfe\x00", b"{" * 100_000, b"\0" * 1000])
def test_a_file_of_another_kind_is_said_so(tocsin, node, home, kind, content):
    result = tocsin("import", kind, str(home.file("f", content)))
    assert result.exit_code in {0, 2, 6}
    assert "Traceback" not in result.output
    assert node.reports == {}


def test_a_file_that_is_not_there_is_usage(tocsin, node, home):
    assert tocsin("import", "aiid", "/no/such/file").exit_code == 2
    assert tocsin("import", "aiid", str(home.path)).exit_code == 2
    assert node.seen == []


records = st.lists(
    st.builds(
        Record,
        key=st.text(),
        bundle=st.none() | st.binary(min_size=1, max_size=20).map(lambda b: b.replace(b"\n", b"x")),
        repairs=st.lists(st.just("mended")).map(tuple),
        refusal=st.none() | st.just(Finding("bad", "", "It is bad.", "")),
    )
)


@given(records, st.randoms())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_read_and_answered_the_account_adds_up(given_records, random):
    class Client:
        def raw(self, *_args, body, **_more):
            outcomes = ["stored", "unchanged", "superseded", "refused"]
            return json.dumps(
                {"items": [{"outcome": random.choice(outcomes)} for _ in body.split(b"\n")[:-1]]}
            ).encode()

    kept = Account()
    Importer(Client(), kept, []).run(iter(given_records), lambda: None)
    assert kept.read == len(given_records)
    document = kept.document(complete=True, dry_run=False)
    assert document["read"] == sum(
        document[name] for name in ("imported", "unchanged", "repaired", "refused")
    )


@given(st.lists(st.integers(1, MAX_BYTES // 3), max_size=30))
def test_batches_keep_their_limits_and_the_order(sizes):
    made = [Record(str(at), bytes(size)) for at, size in enumerate(sizes)]
    batches = list(_batches(iter(made)))
    assert [record.key for batch in batches for record in batch] == [record.key for record in made]
    for batch in batches:
        assert 1 <= len(batch) <= MAX_BUNDLES
        assert sum(len(record.bundle) + 1 for record in batch) <= MAX_BYTES


def test_a_person_at_a_terminal_sees_how_far_it_is(node, home, sample, monkeypatch):
    from tests.cli.test_report_new import Terminal

    terminal = Terminal("import", "aiid", sample)
    assert terminal.end() == 0
    assert "Import" in terminal.seen
    assert "%" in terminal.seen
    assert terminal.seen.rstrip().endswith("5 read = 2 imported + 0 unchanged + 2 repaired + 1 refused")
    monkeypatch.setenv("TERM", "dumb")
    plain = Terminal("import", "aiid", sample)
    assert plain.end() == 0
    assert "\x1b" not in plain.seen


def test_a_refused_item_is_told_with_the_nodes_detail(tocsin, node, home):
    item = {
        "outcome": "refused",
        "code": "report-exists",
        "detail": "It is there already.",
        "hint": "Use update.",
    }
    node.fault("POST", "/v1/imports", says(json.dumps({"items": [item]}).encode()))
    result = tocsin("import", "aiid", str(home.file("one.csv", aiid_csv({}))))
    assert "It is there already. [report-exists] → Use update." in result.stdout


def test_a_flood_of_refusals_is_cut_for_people_and_whole_for_programs(tocsin, node, home):
    path = str(home.file("many.csv", aiid_csv(*({"title": "", "description": ""} for _ in range(50)))))
    found = tocsin("import", "aiid", path, "--dry-run")
    assert found.stdout.count("refused aiid:") == 20
    assert "… and 30 more; --json has all" in found.stdout
    assert len(account(tocsin("import", "aiid", path, "--dry-run", "--json"))["refusals"]) == 50
    assert tocsin("convert", "aiid", path).stderr.count("refused aiid:") == 20


def test_a_pipe_will_do_for_both_doors(tocsin, node):
    text = aiid_csv({}, {})
    assert account(tocsin("import", "aiid", "-", "--json", input=text))["imported"] == 2
    assert tocsin("convert", "aiid", "-", input=text).exit_code == 0


def test_what_cannot_be_sought_in_is_read_all_the_same(tocsin, node, home):
    pipe = home.path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as writer:
        done = writer.submit(pipe.write_text, aiid_csv({}, {}))
        assert account(tocsin("import", "aiid", str(pipe), "--json"))["imported"] == 2
        done.result()
