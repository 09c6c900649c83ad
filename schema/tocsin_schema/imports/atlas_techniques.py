"""The techniques of MITRE ATLAS as `attack-pattern` objects: as MITRE publishes them, or made from ATLAS.yaml."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, Final

import msgspec

from tocsin_schema import canonical, ids
from tocsin_schema.compose import PARTY_EPOCH
from tocsin_schema.errors import ImportUnreadable, SchemaError
from tocsin_schema.imports.clean import clean
from tocsin_schema.imports.foreign import day_at, list_at, text_at, texts_at
from tocsin_schema.imports.split import split
from tocsin_schema.imports.tidy import tidy_text

CHAIN: Final = "mitre-atlas"
_KEY: Final = re.compile(r"AML\.T\d{4}(?:\.\d{3})?", re.ASCII).fullmatch


class Technique(msgspec.Struct, frozen=True):
    """One technique: its key such as AML.T0051.000, its object, and what had to be put right in it."""

    key: str
    object: dict[str, Any]
    repairs: tuple[str, ...] = ()


Techniques = Mapping[str, Technique]


def published(stream: BinaryIO) -> dict[str, Technique]:
    """The techniques of stix-atlas.json, by key, under the identifiers that MITRE gave them.

    Raises: `ImportUnreadable` when there are none, or the file is no JSON.
    """
    found: dict[str, Technique] = {}
    for obj in _objects(stream):
        keys = [
            text_at(one, "external_id")
            for one in list_at(obj, "external_references")
            if text_at(one, "source_name") == CHAIN
        ]
        if text_at(obj, "type") != "attack-pattern" or not keys or not _KEY(keys[0]):
            continue
        lost: dict[str, int] = {}
        sound = clean(obj, lost)
        if sound is not None:
            named = sorted(name for name in lost if not name.startswith("x_mitre_"))
            repairs = (f"technique {keys[0]}: left out or set right: {', '.join(named)}",) if named else ()
            found.setdefault(keys[0], Technique(keys[0], sound, repairs))
    if not found:
        raise ImportUnreadable("It holds no technique of ATLAS: this is no stix-atlas.json.")
    return found


def _objects(stream: BinaryIO) -> Iterator[Any]:
    for piece in split(stream):
        if piece.kind == "too-large":
            continue
        try:
            value = canonical.parse_strict(piece.raw)
        except SchemaError as exc:
            raise ImportUnreadable(f"The file of techniques cannot be read: {exc}") from exc
        yield from list_at(value, "objects") if text_at(value, "type") == "bundle" else [value]


def described(tree: object) -> dict[str, Technique]:
    """The techniques that stand in ATLAS.yaml, by key, under identifiers derived from the keys."""
    found: dict[str, Technique] = {}
    for matrix in list_at(tree, "matrices"):
        phases = {
            text_at(one, "id"): text_at(one, "name").lower().replace(" ", "-")
            for one in list_at(matrix, "tactics")
        }
        parents = {text_at(one, "id"): one for one in list_at(matrix, "techniques")}
        for one in list_at(matrix, "techniques"):
            key = text_at(one, "id")
            if _KEY(key) and key not in found:
                parent = parents.get(text_at(one, "subtechnique-of"), one)
                technique = _described(
                    key, one, [phases.get(name, "") for name in texts_at(parent, "tactics")]
                )
                if technique is not None:
                    found[key] = technique
    return found


def _described(key: str, one: object, phases: list[str]) -> Technique | None:
    repairs: list[str] = []
    created = day_at(one, "created_date") or PARTY_EPOCH
    modified = day_at(one, "modified_date") or created
    if modified < created:
        repairs.append(f"technique {key}: left out or set right: modified before created")
        modified = created
    url = f"https://atlas.mitre.org/techniques/{key}"
    made = {
        "type": "attack-pattern",
        "spec_version": "2.1",
        "id": ids.derive("attack-pattern", f"attack-pattern:atlas:{key}"),
        "created": created,
        "modified": modified,
        "name": tidy_text(text_at(one, "name"), 500, key, repairs, line=True),
        "description": tidy_text(text_at(one, "description"), 50_000, key, repairs),
        "kill_chain_phases": [{"kill_chain_name": CHAIN, "phase_name": name} for name in phases if name],
        "external_references": [{"source_name": CHAIN, "url": url, "external_id": key}],
    }
    sound = clean(made, {})
    return Technique(key, sound, tuple(repairs)) if sound is not None else None


def newest(tree: object) -> str:
    """The day of the newest change that the file names, as a timestamp; a fixed day when it names none."""
    days = [
        day
        for matrix in list_at(tree, "matrices")
        for kind in ("tactics", "techniques", "mitigations")
        for one in list_at(matrix, kind)
        if (day := day_at(one, "modified_date")) is not None
    ]
    return max(days, default=PARTY_EPOCH)
