"""CSV and JSON Lines: the same flat record, for spreadsheets and for scripts."""

import csv
import io
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.schema.exports.reports import BIDI, HOSTILE_TEXTS, hostile, report, rich, sound
from tests.schema.exports.test_stix_export import imported
from tests.schema.samples import FULL, MINIMAL, build

from tocsin_schema.exports import flat, jsonl, table
from tocsin_schema.extension import INCIDENT
from tocsin_schema.record import ListOf, Record

RUNS = ("=", "+", "-", "@", "＝", "＋", "－", "＠", "\t", "\r", "\n")


def rows(reports):
    text = b"".join(table.write(reports)).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


def lines(reports):
    return [json.loads(line) for line in b"".join(jsonl.write(reports)).splitlines()]


def test_a_row_says_the_essentials_in_words():
    (row,) = rows([rich()])
    assert row["title"] == FULL["title"]
    assert row["systems"] == "Voltwise GridPilot 4.2; Fjord Labs Fjord 3.1 70B"
    assert row["developers"] == "Voltwise; Fjord Labs"
    assert row["response_grade"] == "III"
    assert row["outage_minutes"] == "47"
    assert row["economic_loss"] == "180000.5 EUR"
    assert row["harms"] == "critical-infrastructure, reversible; economic, level 2"
    assert row["classifications"] == "mit-ai-risk-domain 7.3 Lack of capability or robustness"
    assert row["sources"] == "Example Energy https://example.org/notices/47"
    assert row["revoked"] == "no"


def test_the_table_is_that_of_rfc_4180():
    raw = b"".join(table.write([rich()]))
    assert not raw.startswith(b"\xef\xbb\xbf")
    assert raw.endswith(b"\r\n")
    first = next(csv.reader(io.StringIO(raw.decode(), newline="")))
    assert tuple(first) == table.HEADER
    assert len(set(table.HEADER)) == len(table.HEADER)


def test_every_report_has_a_cell_under_each_head_and_an_empty_export_has_the_head():
    found = rows(sound())
    assert len(found) == len(sound())
    assert all(None not in row and None not in row.values() for row in found)
    assert b"".join(table.write([])).startswith(b"id,title,")


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_no_cell_of_a_hostile_report_is_run_by_a_spreadsheet(text):
    for value in rows([hostile(text)])[0].values():
        assert not value.startswith(RUNS)
        assert not any(hidden in value for hidden in "\u202e\u2066\u200b\U000e0041")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["", *RUNS, "\u202e"]), st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_no_text_at_all_makes_a_cell_that_runs_or_hides(start, text):
    made = table.cell(start + text)
    assert not made.startswith(RUNS)
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b\x00-\x08\x7f-\x9f]", made)


def test_a_cell_ends_before_a_spreadsheet_would_cut_it():
    one = report(build({**MINIMAL, "description": "=" + "x" * 48_000}))
    (row,) = rows([one])
    assert len(row["description"]) == table.MAX_CELL
    assert row["description"].endswith("…")


def test_every_list_of_objects_has_a_short_form_for_a_cell():
    lists = {
        name
        for name, field in INCIDENT.fields.items()
        if isinstance(field.shape, ListOf) and isinstance(field.shape.item, Record)
    }
    assert lists - set(table._SHORT) == set()


def test_json_lines_have_the_words_of_the_glossary_as_keys_and_all_values():
    (found,) = lines([rich()])
    assert set(found) <= set(flat.KEYS)
    for name in ("harms", "quantities", "flags", "actions_taken", "classifications", "evidence", "countries"):
        assert found[name] == rich().extension[name]
    assert found["systems"][0] == {
        "name": "GridPilot", "vendor": "Voltwise", "version": "4.2", "kind": "system", "role": "primary",
    }  # fmt: skip
    assert found["sources"][0]["url"] == "https://example.org/notices/47"


def test_a_line_holds_one_report_and_no_hidden_character_yet_every_datum():
    raw = b"".join(jsonl.write([hostile(BIDI), hostile("a\u2028b")]))
    assert raw.count(b"\n") == 2
    assert not any(hidden in raw.decode() for hidden in "\u202e\u2066\u200b\u2028\U000e0041")
    assert [one["title"] for one in lines([hostile(BIDI), hostile("a\u2028b")])] == [BIDI, "a\u2028b"]


def test_public_incidents_go_into_both_forms():
    reports = imported(300, 3)
    assert [row["id"] for row in rows(reports)] == [one.id for one in reports]
    assert [one["id"] for one in lines(reports)] == [one.id for one in reports]
    assert all(row["source_record"].startswith("aiid ") for row in rows(reports))


@pytest.mark.parametrize("form", [table, jsonl], ids=["csv", "jsonl"])
def test_the_same_reports_give_the_same_bytes(form):
    assert b"".join(form.write(sound())) == b"".join(form.write(sound()))
