"""JSON Lines: one flat, readable object a report and line, for scripts, notebooks and databases."""

import json
from collections.abc import Iterable, Iterator
from typing import Final

from tocsin_schema.exports import content, flat
from tocsin_schema.exports.plain import escaped
from tocsin_schema.report import IncidentReport

LOSSES: Final = (
    (
        "Names stand in place of objects: identifiers of parties and systems, the objects beside the incident"
        " (notes, opinions, sightings, techniques, relationships) and markings other than TLP are not there."
    ),
    "Properties of a later profile and extensions that nobody here knows are not there.",
    "There is no way back: import from `stix` instead.",
)


def write(reports: Iterable[IncidentReport]) -> Iterator[bytes]:
    """A line for each report, its keys in the order of `flat.KEYS`."""
    for report in reports:
        text = json.dumps(flat.record(content.read(report)), ensure_ascii=False, separators=(", ", ": "))
        yield escaped(text).encode() + b"\n"
