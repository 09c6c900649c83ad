"""The published files of this wing, made from the tables: extension definitions, JSON Schemas, the word lists.

`python -m tocsin_schema.artefacts DIR` writes them into DIR/extension and replaces the generated part of
DIR/README.md. A test compares what is committed with what would be written, so neither can drift from the
checks.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tocsin_schema import vocabulary
from tocsin_schema.compose import PARTY_EPOCH
from tocsin_schema.extension import CORE, INCIDENT, SYSTEM
from tocsin_schema.form import FORM, PARTY_LISTS
from tocsin_schema.ids import (
    CORE_EXTENSION,
    FOREIGN_TYPE_EXTENSION,
    INCIDENT_EXTENSION,
    SYSTEM_EXTENSION,
    derive,
)
from tocsin_schema.objects import OBJECTS
from tocsin_schema.record import Record

VERSION: Final = "1.0.0"
BEGIN: Final = (
    "<!-- made from the tables by `python -m tocsin_schema.artefacts schema`; do not edit below -->"
)

# The author of the extensions; its name is the product's, so that anyone may run it.
AUTHOR: Final[Mapping[str, Any]] = {
    "type": "identity",
    "spec_version": "2.1",
    "id": derive("identity", "author:tocsin"),
    "created": PARTY_EPOCH,
    "modified": PARTY_EPOCH,
    "name": "Tocsin",
    "identity_class": "group",
}
_EXTENSIONS: Final = (
    (
        "ai-incident",
        INCIDENT_EXTENSION,
        INCIDENT,
        "Facts, severity and provenance of an AI incident, on incident objects.",
    ),
    (
        "ai-system",
        SYSTEM_EXTENSION,
        SYSTEM,
        "Facts about an AI model or system, on software and infrastructure objects.",
    ),
)


def announcements() -> list[dict[str, Any]]:
    """The objects that announce the two extensions, and their author; a feed carries them once."""
    said = [extension_definition(name, identifier, said) for name, identifier, _, said in _EXTENSIONS]
    return [dict(AUTHOR), *said]


def foreign_type_definition() -> tuple[dict[str, Any], ...]:
    """What an object of a type that STIX does not have refers to when it is passed on: the definition, its author."""
    said = "An object of a type that STIX 2.1 does not have, passed on as its maker wrote it."
    return dict(AUTHOR), extension_definition("foreign-type", FOREIGN_TYPE_EXTENSION, said, "new-sdo")


def files() -> Iterator[tuple[str, str]]:
    """Every generated file as (path under the wing, text)."""
    for name, identifier, record, said in _EXTENSIONS:
        yield f"extension/{name}.schema.json", _text(json_schema(name, identifier, record, said))
        yield f"extension/{name}.json", _text(extension_definition(name, identifier, said))
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:tocsin:schema:foreign-type:{VERSION}",
        "title": "foreign-type",
        "type": "object",
        "required": ["type", "id", "created", "modified", "extensions"],
    }
    yield "extension/foreign-type.schema.json", _text(schema)
    yield "extension/foreign-type.json", _text(foreign_type_definition()[1])
    yield "extension/author.json", _text(AUTHOR)


def json_schema(name: str, identifier: str, record: Record, said: str) -> dict[str, Any]:
    """The JSON Schema of an extension's value."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:tocsin:schema:{name}:{VERSION}",
        "title": name,
        "description": f"{said} Value of the key {identifier}.",
        **record.json_schema(),
    }


def extension_definition(
    name: str, identifier: str, said: str, kind: str = "property-extension"
) -> dict[str, Any]:
    """The STIX object that announces an extension; its schema is the file that lies beside it."""
    return {
        "type": "extension-definition",
        "spec_version": "2.1",
        "id": identifier,
        "created_by_ref": AUTHOR["id"],
        "created": PARTY_EPOCH,
        "modified": PARTY_EPOCH,
        "name": name,
        "description": said,
        "schema": f"urn:tocsin:schema:{name}:{VERSION}",
        "version": VERSION,
        "extension_types": [kind],
    }


def glossary() -> str:
    """The tables of the README: the form, the two extensions, the objects carried, the word lists."""
    parts = ["## The form", "", _table(FORM, skip=frozenset(INCIDENT.fields) - {"systems", "parties"})]
    parts += ["Besides these, the form takes every property of ai-incident that is not computed.", ""]
    for name, identifier, record, said in _EXTENSIONS:
        parts += [f"## {name}", "", f"{said} Key: `{identifier}`.", "", _table(record)]
    parts += [
        "## incident-core",
        "",
        f"The stable part of the OASIS extension `{CORE_EXTENSION}`.",
        "",
        _table(CORE),
    ]
    parts += ["## Objects that a report may carry", "", ", ".join(f"`{kind}`" for kind in OBJECTS) + ".", ""]
    parts += ["## Word lists", ""]
    for name, words in sorted(_vocabularies().items()):
        parts += [f"**{name}**", "", *(f"- `{word}`: {meaning}" for word, meaning in words.items()), ""]
    return "\n".join(parts)


def _table(record: Record, skip: frozenset[str] = frozenset()) -> str:
    rows = ["| property | shape | meaning |", "|---|---|---|"]
    for name, field in record.fields.items():
        if name not in skip:
            note = " *(required)*" if field.required else " *(computed)*" if field.computed else ""
            shape = field.shape.words().replace("|", "\\|")
            shape = "name, or {name, class}" if name in PARTY_LISTS else shape
            rows.append(f"| `{name}` | {shape} | {field.meaning}{note} |")
    return "\n".join([*rows, ""])


def _vocabularies() -> dict[str, Mapping[str, str]]:
    return {
        name.lower().removesuffix("_ov").replace("_", "-")
        + (" (open)" if name.endswith("_OV") else ""): value
        for name, value in vars(vocabulary).items()
        if name.isupper() and isinstance(value, dict) and name != "STATUS_TO_CORE"
    }


def _text(obj: Mapping[str, Any]) -> str:
    return json.dumps(obj, indent=2, ensure_ascii=False) + "\n"


def write(wing: Path) -> None:
    """Write every generated file under the wing's folder and renew the tables of its README."""
    for name, text in files():
        path = wing / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    readme = wing / "README.md"
    head = readme.read_text(encoding="utf-8").partition(BEGIN)[0]
    readme.write_text(f"{head}{BEGIN}\n\n{glossary()}", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
