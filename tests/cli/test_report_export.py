import csv
import io
import json
import os
import stat

import click
import pytest
from tests.cli.fake_node.wire import problem
from tests.schema.exports.reports import report, rich_raw
from tests.schema.samples import FULL, LATER, MINIMAL, PRODUCER, build

from tocsin_cli.command import LazyGroup
from tocsin_cli.commands.report_export import COMMANDS
from tocsin_cli.durable import stream_durably
from tocsin_schema import stix

FORMS = ("stix", "misp", "opencti", "csv", "jsonl", "html")


def raw_of(number, **changes):
    return build({**MINIMAL, **changes}, f"incident--5ee864f7-a0d5-4b08-9887-{number:012}")


CLEAR, GREEN, RED = raw_of(1, tlp="clear"), raw_of(2), raw_of(3, tlp="red")
NAMES = raw_of(4, personal_data="present")


@pytest.fixture
def held(node):
    """A node that holds reports."""

    def hold(*raws):
        for raw in raws:
            node._keep(report(raw).id, raw, 1, [])
        return node

    return hold


def ids_of(output):
    return [json.loads(line)["id"] for line in output.splitlines()]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_comes_from_a_node_and_from_a_file(form, held, home, tocsin):
    held(CLEAR)
    node_way = tocsin("report", "export", form)
    file_way = tocsin("report", "export", form, "--file", str(home.file("a.json", CLEAR)))
    assert node_way.exit_code == file_way.exit_code == 0
    assert node_way.stdout_bytes == file_way.stdout_bytes
    assert b"Chat assistant gave a dangerous dose" in node_way.stdout_bytes
    assert "Exported 1 report." in node_way.stderr


def test_a_file_needs_no_node_and_a_pipe_will_do(home, tocsin):
    found = tocsin("report", "export", "jsonl", "--file", "-", input=CLEAR + b"\n" + GREEN)
    assert found.exit_code == 0
    assert ids_of(found.stdout) == [report(CLEAR).id, report(GREEN).id]


def test_the_reports_named_are_taken_in_their_order_and_once(held, tocsin):
    held(CLEAR, GREEN)
    wanted = [report(GREEN).id, report(CLEAR).id]
    found = tocsin("report", "export", "jsonl", *wanted, wanted[0].removeprefix("incident--"))
    assert ids_of(found.stdout) == wanted


def test_all_pages_of_a_node_are_taken_and_filters_go_to_it(held, tocsin, monkeypatch):
    monkeypatch.setattr("tocsin_cli.exporting.PAGE", 2)
    raws = [raw_of(number) for number in range(5)]
    node = held(*raws)
    found = tocsin("report", "export", "jsonl", "--grade", "IV", "--state", "active", "--text", "dose")
    assert ids_of(found.stdout) == [report(raw).id for raw in reversed(raws)]
    asked = [dict(seen.query) for seen in node.seen if seen.path == "/v1/reports"]
    lists = [query for query in asked if query.get("origin") != "us"]  # the others ask what was redacted
    assert [query.get("cursor") for query in lists] == [None, "2", "4"]
    assert all(
        {"limit": "2", "grade": "IV", "state": "active", "text": "dose"}.items() <= query.items()
        for query in lists
    )


def test_since_keeps_versions_made_since_then(held, tocsin):
    later = stix.revise(GREEN, {"report_status": "triaged"}, now=LATER.replace(year=2026))
    held(CLEAR, later)
    found = tocsin("report", "export", "jsonl", "--since", "2026-01-01")
    assert ids_of(found.stdout) == [report(GREEN).id]


def test_what_is_above_green_stays_out_is_not_fetched_and_makes_the_run_end_with_1(held, tocsin):
    node = held(CLEAR, RED)
    found = tocsin("report", "export", "jsonl")
    assert found.exit_code == 1
    assert ids_of(found.stdout) == [report(CLEAR).id]
    assert "Exported 1 report; left out: 1 marked above TLP:GREEN." in found.stderr
    assert "export-incomplete" in found.stderr
    assert "--max-tlp" in found.stderr
    assert f"/v1/reports/{report(RED).id}" not in [seen.path for seen in node.seen]


def test_a_limit_that_was_named_is_a_choice_and_the_run_ends_with_0(held, tocsin):
    held(CLEAR, GREEN, RED)
    narrow = tocsin("report", "export", "jsonl", "--max-tlp", "clear")
    assert (narrow.exit_code, ids_of(narrow.stdout)) == (0, [report(CLEAR).id])
    assert "left out: 2 marked above TLP:CLEAR" in narrow.stderr
    wide = tocsin("report", "export", "jsonl", "--max-tlp", "red")
    assert (wide.exit_code, len(ids_of(wide.stdout))) == (0, 3)


def test_a_report_marked_higher_than_the_list_says_stays_out_all_the_same(held, tocsin):
    node = held(CLEAR)
    node.reports[report(CLEAR).id].raw = build({**FULL, "tlp": "red"}, report(CLEAR).id)
    lying = {
        "items": [{"id": report(CLEAR).id, "tlp": "clear", "modified": "2026-01-01T00:00:00Z"}],
        "next": None,
    }

    async def answer(request, handler):
        from aiohttp import web

        return web.json_response(lying)

    node.fault("GET", "/v1/reports", answer)
    found = tocsin("report", "export", "jsonl")
    assert found.exit_code == 1
    assert found.stdout == ""


def test_a_report_that_names_people_stays_out_until_somebody_says_otherwise(held, tocsin):
    held(NAMES, CLEAR)
    quiet = tocsin("report", "export", "jsonl")
    assert quiet.exit_code == 1
    assert ids_of(quiet.stdout) == [report(CLEAR).id]
    assert "1 with personal data" in quiet.stderr
    assert tocsin("report", "export", "jsonl", "--no-personal-data").exit_code == 0
    said = tocsin("report", "export", "jsonl", "--include-personal-data")
    assert (said.exit_code, len(ids_of(said.stdout))) == (0, 2)


@pytest.mark.parametrize("form", FORMS)
def test_no_form_lets_anything_of_a_withheld_report_through(form, held, tocsin):
    held(raw_of(9, tlp="red", title="Unspeakable title", description="Unspeakable words"), CLEAR)
    found = tocsin("report", "export", form)
    assert found.exit_code == 1
    assert b"Unspeakable" not in found.stdout_bytes


def test_the_file_is_written_whole_for_its_owner_alone_and_never_over_another(held, home, tocsin):
    held(CLEAR)
    out = home.path / "reports.csv"
    assert tocsin("report", "export", "csv", "--out", str(out)).exit_code == 0
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    assert len(list(csv.reader(io.StringIO(out.read_text("utf-8"), newline="")))) == 2
    again = tocsin("report", "export", "csv", "--out", str(out))
    assert again.exit_code == 2
    assert "file-exists" in again.stderr or "--force" in again.stderr
    assert tocsin("report", "export", "csv", "--out", str(out), "--force").exit_code == 0
    assert [path.name for path in home.path.glob("*.part")] == []


def test_an_export_that_breaks_off_leaves_the_old_file_and_nothing_beside_it(held, home, tocsin):
    node = held(CLEAR, GREEN)
    out = home.file("reports.jsonl", "old")

    async def broken(request, handler):
        return problem(503, "busy", "Not now.", headers={"Retry-After": "1"})

    node.fault("GET", f"/v1/reports/{report(CLEAR).id}", broken)
    found = tocsin("report", "export", "jsonl", "--out", str(out), "--force")
    assert found.exit_code == 3
    assert out.read_text() == "old"
    assert not [path for path in home.path.iterdir() if path.name.endswith(".part")]


@pytest.mark.parametrize("kind", ["directory", "pipe", "link"])
def test_only_a_plain_file_is_overwritten(kind, held, home, tocsin):
    held(CLEAR)
    out, target = home.path / "out", home.file("target", "kept")
    {"directory": out.mkdir, "pipe": lambda: os.mkfifo(out), "link": lambda: out.symlink_to(target)}[kind]()
    found = tocsin("report", "export", "csv", "--out", str(out), "--force")
    assert found.exit_code == 2
    assert "no plain file" in found.stderr
    assert target.read_text() == "kept"


def test_a_file_that_appears_meanwhile_is_left_as_it_is(tmp_path):
    out = tmp_path / "out"

    def pieces():
        yield b"ours"
        out.write_text("theirs")

    with pytest.raises(FileExistsError):
        stream_durably(out, pieces(), overwrite=False)
    assert out.read_text() == "theirs"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_directory_that_is_not_there_is_said(held, home, tocsin):
    held(CLEAR)
    found = tocsin("report", "export", "csv", "--out", str(home.path / "none" / "out"))
    assert found.exit_code == 2
    assert "cannot be written" in found.stderr


def test_the_account_is_json_where_it_is_not_in_the_way(held, home, tocsin):
    held(CLEAR, RED, NAMES)
    out = home.path / "a.jsonl"
    found = tocsin(
        "report", "export", "jsonl", "--out", str(out), "--json", "--max-tlp", "green", "--no-personal-data"
    )
    told = json.loads(found.stdout)
    assert (told["read"], told["exported"], told["withheld"]) == (3, 1, {"above-tlp": 1, "personal-data": 1})
    assert {each["id"] for each in told["left_out"]} == {report(RED).id, report(NAMES).id}
    assert told["out"] == str(out)
    piped = tocsin("report", "export", "jsonl", "--json", "--max-tlp", "green", "--no-personal-data")
    assert ids_of(piped.stdout) == [report(CLEAR).id]
    assert json.loads(piped.stderr)["exported"] == 1


def test_losses_are_said_without_a_node_and_nothing_is_exported(tocsin):
    for form in FORMS:
        told = json.loads(tocsin("report", "export", form, "--losses", "--json").stdout)
        assert told["form"] == form
        assert told["losses"]
        assert tocsin("report", "export", form, "--losses").stdout.startswith("- ")


@pytest.mark.parametrize(
    "args",
    [
        ("5ee864f7-a0d5-4b08-9887-000000000001", "--grade", "I"),
        ("5ee864f7-a0d5-4b08-9887-000000000001", "--file", "a.json"),
        ("--file", "a.json", "--since", "2026-01-01"),
    ],
)
def test_ids_files_and_filters_do_not_go_together(args, tocsin):
    found = tocsin("report", "export", "csv", *args)
    assert found.exit_code == 2
    assert "do not go together" in found.stderr


def test_an_unknown_report_a_missing_file_and_a_broken_file_are_said(held, home, tocsin):
    held()
    assert tocsin("report", "export", "csv", report(CLEAR).id).exit_code == 1
    missing = tocsin("report", "export", "csv", "--file", "none.json")
    assert (missing.exit_code, "cannot be read" in missing.stderr) == (2, True)
    broken = tocsin(
        "report", "export", "jsonl", "--file", str(home.file("b.json", b'{"type":"bundle","objects":['))
    )
    assert broken.exit_code == 1
    assert "1 not sound, or not readable here" in broken.stderr


def test_an_export_of_nothing_is_whole_and_no_error(held, home, tocsin):
    held()
    assert tocsin("report", "export", "csv").stdout.startswith("id,title")
    assert tocsin("report", "export", "html").exit_code == 0
    empty = home.file(
        "e.json", b'{"type":"bundle","id":"bundle--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a","objects":[]}'
    )
    found = tocsin("report", "export", "jsonl", "--file", str(empty))
    assert (found.exit_code, found.stdout) == (0, "")


def test_what_stix_exports_is_imported_again_as_the_same_reports(held, home, tocsin):
    raws = [CLEAR, GREEN, build(FULL, report(RED).id)]
    node = held(*raws)
    for more in ([], ["--lines"]):
        exported = tocsin("report", "export", "stix", "--max-tlp", "red", *more)
        node.reports.clear()
        imported = tocsin("import", "stix", str(home.file("out.json", exported.stdout_bytes)))
        assert imported.exit_code == 0
        assert {kept.raw for kept in node.reports.values()} == set(raws)


def test_lines_are_what_was_signed(held, tocsin):
    held(rich_raw())
    assert (
        tocsin("report", "export", "stix", "--lines", "--max-tlp", "red").stdout_bytes == rich_raw() + b"\n"
    )


def test_the_producer_of_the_samples_is_shown(held, tocsin):
    held(CLEAR)
    assert json.loads(tocsin("report", "export", "jsonl").stdout)["created_by"] == PRODUCER["name"]


@pytest.mark.parametrize(("name", "late"), COMMANDS.items(), ids=COMMANDS)
def test_the_line_known_without_importing_is_the_commands_own(name, late):
    group = LazyGroup("g", late={name: late})
    command = group.get_command(click.Context(group), name)
    assert late.help == command.get_short_help_str(200)


# --- what is suspected

KEY = "AKIA" + "Q7ZN3MWD5KXV2TRB"
MAIL = raw_of(5, description="Write to anna.berg@clinic.example about it.")
SECRET = raw_of(6, description=f"The key {KEY} stood in the answer.")


@pytest.mark.parametrize("form", FORMS)
def test_what_is_suspected_stays_out_of_every_form_and_stderr_says_what_and_where(form, held, tocsin):
    held(CLEAR, MAIL, SECRET)
    found = tocsin("report", "export", form)
    assert found.exit_code == 1
    assert "Exported 1 report; left out: 2 with what seems to be personal data or a secret." in found.stderr
    assert f"left out {report(MAIL).id}" in found.stderr
    assert "email-address at incident.description, " in found.stderr
    assert "access-key at incident.description, " in found.stderr
    assert "--reviewed-by" in found.stderr
    for said in (found.stdout, found.stderr):
        assert "anna.berg" not in said
        assert KEY not in said


def test_a_named_reviewer_takes_it_on_and_the_account_says_so(held, tocsin):
    held(CLEAR, MAIL)
    found = tocsin("report", "export", "jsonl", "--reviewed-by", " Ada   Lovelace ")
    assert (found.exit_code, len(ids_of(found.stdout))) == (0, 2)
    assert (
        "1 of them with what seems to be personal data or a secret, which Ada Lovelace has taken on"
        in found.stderr
    )
    told = json.loads(tocsin("--json", "report", "export", "jsonl", "--reviewed-by", "Ada").stderr)
    assert (told["taken_on"], told["reviewed_by"], told["withheld"]) == (1, "Ada", {})


def test_leaving_the_suspected_out_is_a_choice_and_the_run_ends_with_0(held, tocsin):
    held(CLEAR, MAIL)
    found = tocsin("report", "export", "jsonl", "--no-suspected")
    assert (found.exit_code, ids_of(found.stdout)) == (0, [report(CLEAR).id])
    assert "left out: 1 with what seems" in found.stderr


def test_no_reviewer_lets_out_what_names_people_or_is_marked_too_high(held, tocsin):
    held(CLEAR, NAMES, RED)
    found = tocsin("report", "export", "jsonl", "--reviewed-by", "Ada")
    assert (found.exit_code, ids_of(found.stdout)) == (1, [report(CLEAR).id])


@pytest.mark.parametrize("name", ["", "  ", "a\x07b", "x" * 201])
def test_a_reviewer_is_a_name(name, tocsin):
    found = tocsin("report", "export", "jsonl", "--reviewed-by", name)
    assert found.exit_code == 2
    assert "must be a name of 1 to 200 characters" in found.stderr


def test_reviewed_and_left_out_contradict_each_other(tocsin):
    assert tocsin("report", "export", "csv", "--reviewed-by", "Ada", "--no-suspected").exit_code == 2


def test_what_is_suspected_is_told_with_its_places_as_json(held, tocsin):
    held(MAIL)
    told = json.loads(tocsin("--json", "report", "export", "jsonl").stderr.splitlines()[0])
    (left,) = told["left_out"]
    assert left["reason"] == "suspected"
    assert left["found"] == [
        {"kind": "email-address", "path": "incident.description", "place": left["found"][0]["place"]}
    ]


def test_a_file_is_screened_like_a_node(home, tocsin):
    found = tocsin("report", "export", "html", "--file", str(home.file("a.json", MAIL)))
    assert found.exit_code == 1
    assert b"anna.berg" not in found.stdout_bytes
