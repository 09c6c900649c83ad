"""The AI Incident Database's incidents.csv (https://incidentdatabase.ai, CC BY-SA 4.0) as reports.

Every node that imports the same row makes the same bytes: identifiers are derived from the incident's
number, the creator is one fixed identity for the database, and times are the source's own. Rows stream by;
memory stays flat. The files of classifications may be given too: they are small, are read first, and add
harm types, numbers and taxonomies.

Harmed people appear in the source by name. Names that may be a private person's are withheld, from the
lists of parties and from the texts, and every record says how many were (see `party.py`).
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO, Final

from tocsin_schema import times
from tocsin_schema.compose import PARTY_EPOCH
from tocsin_schema.errors import ImportUnreadable
from tocsin_schema.finding import show
from tocsin_schema.imports.aiid_classes import read_classes
from tocsin_schema.imports.parties import Parties
from tocsin_schema.imports.record import Record
from tocsin_schema.imports.source import Source, refused
from tocsin_schema.imports.tidy import MAX_LINE, title_and_description

SOURCE: Final = Source(
    key="aiid", name="AI Incident Database", url="https://incidentdatabase.ai", license="CC-BY-SA-4.0"
)
COLUMNS: Final = {
    "Alleged developer of AI system": "developers",
    "Alleged deployer of AI system": "deployers",
    "Alleged harmed or nearly harmed parties": "affected",
}
_OBJECT_ID: Final = re.compile(r"([0-9a-f]{8})[0-9a-f]{16}").search


def read(
    stream: BinaryIO, *, classifications: Iterable[BinaryIO] = (), as_of: datetime | None = None
) -> Iterator[Record]:
    """One record for each row of incidents.csv, in the order of the file.

    `classifications`: any of the CSETv0, CSETv1, MIT and GMF files of the same export. `as_of`: the date of
    the export, put as `modified` so that a later export of an edited incident is a later version; without
    it `modified` is `created`.
    Raises: `ImportUnreadable` when the header is not that of the export, or a line is longer than 1 MiB.
    """
    files = list(classifications)
    facts = read_classes(files)
    rows = csv.DictReader(lines(stream))
    try:
        header = rows.fieldnames or ()
    except csv.Error as exc:
        raise ImportUnreadable(f"The first line is not a CSV header: {exc}.") from exc
    missing = [name for name in ("incident_id", "title", "description") if name not in header]
    if missing:
        raise ImportUnreadable(f"The header lacks {', '.join(missing)}: this is no incidents.csv of AIID.")
    seen: set[int] = set()
    while True:
        try:
            row = next(rows, None)
        except csv.Error as exc:
            yield refused(
                f"{SOURCE.key}:line {rows.line_num}", "import-malformed", f"The line is not CSV: {exc}."
            )
            continue
        if row is None:
            return
        yield _record(row, rows.line_num, seen, facts, as_of, len(files))


def lines(stream: BinaryIO) -> Iterator[str]:
    """The lines of a UTF-8 file, none longer than 1 MiB; bytes that are not UTF-8 become U+FFFD."""
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="")
    try:
        while line := text.readline(MAX_LINE + 1):
            if len(line) > MAX_LINE:
                raise ImportUnreadable("A line is longer than 1 MiB.")
            yield line
    finally:
        text.detach()  # the stream is the caller's to close


def _record(
    row: Mapping[str | None, Any],
    line: int,
    seen: set[int],
    facts: Mapping[int, Mapping[str, Any]],
    as_of: datetime | None,
    files: int,
) -> Record:
    number = str(row.get("incident_id") or "").strip()
    if not (number.isascii() and number.isdecimal() and int(number[:10]) > 0 and len(number) <= 10):
        return refused(
            f"{SOURCE.key}:line {line}", "import-malformed", f"incident_id is {show(number)}, not a number."
        )
    key = f"{SOURCE.key}:{int(number)}"
    if None in row or None in row.values():
        return refused(key, "import-malformed", "The row has more or fewer columns than the header.")
    if int(number) in seen:
        return refused(
            key, "import-duplicate", "The file holds this incident twice; the first one was taken."
        )
    seen.add(int(number))
    fields = {str(name): str(value) for name, value in row.items()}
    repairs: list[str] = []
    form = _form(fields, int(number), repairs)
    form.update(facts.get(int(number), {}))
    created = _created(fields, repairs)
    modified = max(created, times.write(as_of)) if as_of is not None else created
    if int(number) in facts:  # more files say more: what they yield is a later version
        moment = times.parse(modified)
        assert moment is not None
        modified = times.write(moment + timedelta(milliseconds=files))
    return SOURCE.publish(str(int(number)), form, repairs, created=created, modified=modified)


def _form(row: Mapping[str, str], number: int, repairs: list[str]) -> dict[str, Any]:
    form: dict[str, Any] = {"tlp": "clear", "realization": "unknown", "report_status": "submitted"}
    title, description = title_and_description(row["title"], row["description"], repairs)
    parties = _parties(row, form, repairs)
    form["title"], form["description"] = parties.mask(title, description)
    day = row.get("date", "").strip()
    if re.fullmatch(r"\d{4}-\d{2}-\d{2}", day) and times.parse(f"{day}T00:00:00Z") is not None:
        form["occurred_start"] = day
    else:
        repairs.append(f"date {show(day)} is no day: left out")
    url = f"https://incidentdatabase.ai/cite/{number}"
    record, reference = SOURCE.record(str(number), url, dict(row), "AI Incident Database, CC BY-SA 4.0")
    reports = _listed(row.get("reports", ""), "reports", repairs)
    if reports:
        record["report_ids"] = [str(one)[:100] for one in reports[:2000]]
    form["source_record"] = record
    form["sources"] = [reference]
    return form


def _listed(value: str, name: str, repairs: list[str]) -> list[Any]:
    """The JSON list in a cell; an unreadable one is left out and said so."""
    if not value.strip():
        return []
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list):
        repairs.append(f"{name}: not a list, left out")
        return []
    return [one for one in found if isinstance(one, str | int) and not isinstance(one, bool)]


def _parties(row: Mapping[str, str], form: dict[str, Any], repairs: list[str]) -> Parties:
    """Put the parties that may be named into the form."""
    parties = Parties(form, repairs)
    for column, field in COLUMNS.items():
        parties.add(field, map(str, _listed(row.get(column, ""), column, repairs)))
    parties.close()
    return parties


def _created(row: Mapping[str, str], repairs: list[str]) -> str:
    """When the source made its record: inside its object id; else the day of the incident."""
    match = _OBJECT_ID(row.get("_id", ""))
    if match is not None:
        return times.write(datetime.fromtimestamp(int(match[1], 16), tz=UTC))
    day = f"{row.get('date', '').strip()}T00:00:00.000Z"
    if times.parse(day) is not None:
        repairs.append("no object id: created is the day of the incident")
        return day
    repairs.append("neither object id nor date: created is a fixed day")
    return PARTY_EPOCH
