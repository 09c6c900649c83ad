"""STIX 2.1 objects that reports do not carry and that are passed on all the same, property by property.

Together with the objects of reports these are all types but indicators, observations and the cyber-observable
objects they are about, malware analyses and translations.
"""

from collections.abc import Mapping
from typing import Any, Final

from tocsin_schema.finding import Finding
from tocsin_schema.objects import (
    DESCRIPTION,
    KILL_CHAIN_PHASES,
    KINDS,
    NAME,
    OBJECT_REFS,
    OBJECTS,
    PLAIN,
    TITLE,
    common,
)
from tocsin_schema.record import Field, ListOf, Record, Rule
from tocsin_schema.shape import Number, Ref, Text, Time, YesNo

_SEEN: Final = {"first_seen": Field(Time(), "first seen"), "last_seen": Field(Time(), "last seen")}
_ALIASES: Final = Field(ListOf(Text(250), 100), "other names")


def _table(kind: str, fields: Mapping[str, Field], rule: Rule | None = None) -> Record:
    return Record({**common(kind, PLAIN), **fields}, unknown="refuse", rule=rule)


def _is_somewhere(place: Mapping[str, Any]) -> list[Finding]:
    """STIX 2.1, 4.8: a region, a country, or both coordinates; a precision only with these."""
    both = {"latitude", "longitude"} <= place.keys()
    half = not both and ({"latitude", "longitude", "precision"} & place.keys())
    if half or not (both or {"region", "country"} & place.keys()):
        said = "It says neither region nor country nor both coordinates."
        return [Finding("missing-property", "", said, "Add one of them.")]
    return []


FURTHER: Final[Mapping[str, Record]] = {
    **OBJECTS,
    "campaign": _table(
        "campaign",
        {
            "name": NAME,
            "description": DESCRIPTION,
            "aliases": _ALIASES,
            **_SEEN,
            "objective": Field(Text(10_000, lines=True), "what for"),
        },
    ),
    "grouping": _table(
        "grouping",
        {
            "name": Field(TITLE, "its name"),
            "description": DESCRIPTION,
            "context": Field(Text(100), "why they are together", required=True),
            "object_refs": OBJECT_REFS,
        },
    ),
    "intrusion-set": _table(
        "intrusion-set",
        {
            "name": NAME,
            "description": DESCRIPTION,
            "aliases": _ALIASES,
            **_SEEN,
            "goals": Field(ListOf(Text(1000), 50), "goals"),
            "resource_level": Field(Text(100), "means"),
            "primary_motivation": Field(Text(100), "motive"),
            "secondary_motivations": Field(KINDS, "other motives"),
        },
    ),
    "location": _table(
        "location",
        {
            "name": Field(TITLE, "its name"),
            "description": DESCRIPTION,
            "latitude": Field(Number(-90, 90), "degrees north"),
            "longitude": Field(Number(-180, 180), "degrees east"),
            "precision": Field(Number(0, 1e9), "metres"),
            "region": Field(Text(100), "region"),
            "country": Field(Text(2), "country"),
            "administrative_area": Field(Text(250), "state or province"),
            "city": Field(Text(250), "city"),
            "street_address": Field(Text(1000), "address"),
            "postal_code": Field(Text(50), "postal code"),
        },
        _is_somewhere,
    ),
    "malware": _table(
        "malware",
        {
            "name": Field(TITLE, "its name"),
            "description": DESCRIPTION,
            "malware_types": Field(KINDS, "kinds"),
            "is_family": Field(YesNo(), "whether it is a family", required=True),
            "aliases": _ALIASES,
            "kill_chain_phases": Field(KILL_CHAIN_PHASES, "phases"),
            **_SEEN,
            "operating_system_refs": Field(ListOf(Ref(("software",)), 100), "where it runs"),
            "architecture_execution_envs": Field(KINDS, "processors"),
            "implementation_languages": Field(KINDS, "languages"),
            "capabilities": Field(KINDS, "what it can do"),
        },
    ),
}
