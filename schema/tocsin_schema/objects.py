"""The STIX 2.1 objects that a report may carry, property by property.

Each table holds every property that STIX 2.1 gives the type: a property beyond them is refused, since stix2
and strict receivers refuse it as well, and our own additions live in extensions. Types that no table names
are not carried: what nobody here can check must not ride along in a sealed report.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from tocsin_schema.extension import CORE, INCIDENT, PROPERTY_EXTENSION, SHA256, SYSTEM
from tocsin_schema.finding import Finding, show
from tocsin_schema.ids import CORE_EXTENSION, INCIDENT_EXTENSION, SYSTEM_EXTENSION, TLP_EXTENSION
from tocsin_schema.marking import Tlp
from tocsin_schema.record import Field, ListOf, Record
from tocsin_schema.shape import Pattern, Present, Ref, Text, Time, Whole, Word, YesNo
from tocsin_schema.vocabulary import OPINION

VERSION_TIME: Final = Time(exact=True)
TITLE: Final = Text(500)
PROSE: Final = Text(50_000, lines=True)
LABELS: Final = ListOf(Text(250), 100)
# The two-letter codes of ISO 639-1 that validators of STIX know; what they make of regions differs.
_LANGUAGES: Final = (
    "af ar az be bg ca cs cy da de dv el en eo es et eu fa fi fo fr gl gu he hi hr hu hy id is it ja ka kk kn ko ky lt"
    " lv mi mk mn mr ms mt nb nl ns pa pl ps pt qu ro ru sa se sk sl sq sv sw ta te th tl tn tr ts tt uk ur uz vi xh zh"
    " zu"
)
LANGUAGE: Final = Word(dict.fromkeys(_LANGUAGES.split(), "ISO 639-1"))
# RFC 3986 without the brackets of bare IPv6 addresses; a percent sign must begin a byte.
URI: Final = Pattern(
    r"[A-Za-z][A-Za-z0-9+.-]{1,30}:(?!.*%(?![0-9A-Fa-f]{2}))[A-Za-z0-9._~:/?#@!$&'()*+,;=%-]{1,1960}",
    "an address such as https://example.org",
)
HASHES: Final = Record(
    {"SHA-256": Field(SHA256, "SHA-256")},
    unknown="refuse",
    like="an object with SHA-256",
)

_CATALOGUES: Final = {
    "cve": re.compile(r"CVE-\d{4}-(?:0\d{3}|[1-9]\d{3,})", re.ASCII).fullmatch,
    "capec": re.compile(r"CAPEC-\d+", re.ASCII).fullmatch,
}


def _check_catalogue(reference: Mapping[str, Any]) -> list[Finding]:
    """STIX 2.1, 2.5.2: the names cve and capec belong to keys of these catalogues, and only to them."""
    source, key = reference.get("source_name"), reference.get("external_id")
    matches = _CATALOGUES.get(source) if isinstance(source, str) else None
    belongs = [name for name, one in _CATALOGUES.items() if isinstance(key, str) and one(key)]
    if (matches is not None and source not in belongs) or (matches is None and belongs):
        said = f"{show(key)} and the source {show(source)} do not belong together."
        hint = (
            "CVE-2024-1234 has the source cve, CAPEC-66 the source capec, and these sources only such keys."
        )
        return [Finding("bad-reference", "external_id", said, hint)]
    return []


EXTERNAL_REFERENCE: Final = Record(
    {
        "source_name": Field(Text(250), "who says so", required=True),
        "description": Field(Text(5000, lines=True), "what it says"),
        "url": Field(URI, "where"),
        "hashes": Field(HASHES, "hash of what is there"),
        "external_id": Field(Text(250), "its key there"),
    },
    unknown="refuse",
    like="an object with source_name",
    one_of=("url", "external_id", "description"),
    rule=_check_catalogue,
)


GRANULAR_MARKING: Final = Record(
    {
        "marking_ref": Field(Ref(("marking-definition",)), "the marking", required=True),
        "selectors": Field(ListOf(Text(250), 100), "the parts it marks", required=True),
    },
    unknown="refuse",
    like="an object with selectors",
)


def _extensions(**known: Record) -> Record:
    names = {
        "incident": INCIDENT_EXTENSION,
        "system": SYSTEM_EXTENSION,
        "core": CORE_EXTENSION,
        "tlp": TLP_EXTENSION,
    }
    return Record(
        {names[key]: Field(shape, f"the {key} extension") for key, shape in known.items()},
        unknown="extension",
        like="an object of extensions",
    )


KILL_CHAIN_PHASES: Final = ListOf(
    Record(
        {
            "kill_chain_name": Field(Text(250), "which chain", required=True),
            "phase_name": Field(Text(250), "which phase", required=True),
        },
        unknown="refuse",
    ),
    50,
)


PLAIN: Final = _extensions()
MARKING_REFS: Final = ListOf(Ref(("marking-definition",)), 20)
GRANULAR_MARKINGS: Final = ListOf(GRANULAR_MARKING, 100)
SPEC_VERSION: Final = Word({"2.1": "STIX 2.1"})
STATEMENT: Final = Record(
    {"statement": Field(PROSE, "the statement", required=True)},
    unknown="refuse",
    like="an object with statement",
)
TLP: Final = Record(
    {
        "extension_type": Field(PROPERTY_EXTENSION, "always property-extension", required=True),
        "tlp_2_0": Field(Word({tlp.value: tlp.label for tlp in Tlp}), "the colour", required=True),
    },
    unknown="refuse",
)
EXTENSION_TYPE: Final = Word(
    {
        "new-sdo": "a new domain object",
        "new-sco": "a new observable",
        "new-sro": "a new relationship",
        "property-extension": "properties in an extension",
    }
)


def common(kind: str, extensions: Record) -> dict[str, Field]:
    """What every domain object and relationship has (STIX 2.1, 3.2)."""
    return {
        "type": Field(Word({kind: "the type"}), "the type", required=True),
        "spec_version": Field(SPEC_VERSION, "STIX 2.1", required=True),
        "id": Field(Ref((kind,)), "its identifier", required=True),
        "created_by_ref": Field(Ref(("identity",)), "who made it"),
        "created": Field(VERSION_TIME, "when its first version was made", required=True),
        "modified": Field(VERSION_TIME, "when this version was made", required=True),
        "revoked": Field(YesNo(), "whether it is taken back"),
        "labels": Field(LABELS, "labels"),
        "confidence": Field(Whole(0, 100), "how sure its creator is"),
        "lang": Field(LANGUAGE, "its language"),
        "external_references": Field(ListOf(EXTERNAL_REFERENCE, 500), "sources"),
        "object_marking_refs": Field(MARKING_REFS, "markings"),
        "granular_markings": Field(GRANULAR_MARKINGS, "markings of parts"),
        "extensions": Field(extensions, "extensions"),
    }


def _domain(kind: str, fields: dict[str, Field], extensions: Record = PLAIN) -> Record:
    return Record({**common(kind, extensions), **fields}, unknown="refuse")


def _names(limit: int = 100) -> Field:
    return Field(ListOf(Text(250), limit), "other names")


NAME: Final = Field(TITLE, "its name", required=True)
DESCRIPTION: Final = Field(PROSE, "in words")
KINDS: Final = ListOf(Text(100), 50)
OBJECT_REFS: Final = Field(ListOf(Ref(), 2000), "the objects it is about", required=True)

OBJECTS: Final[dict[str, Record]] = {
    "incident": _domain(
        "incident",
        {
            "name": NAME,
            "description": Field(PROSE, "what happened", required=True),
            "kill_chain_phases": Field(KILL_CHAIN_PHASES, "phases of an attack"),
        },
        _extensions(incident=INCIDENT, core=CORE),
    ),
    "report": _domain(
        "report",
        {
            "name": NAME,
            "description": DESCRIPTION,
            "report_types": Field(KINDS, "kinds of report"),
            "published": Field(Time(), "when it was first published", required=True),
            "object_refs": OBJECT_REFS,
        },
    ),
    "identity": _domain(
        "identity",
        {
            "name": NAME,
            "description": DESCRIPTION,
            "roles": Field(KINDS, "roles"),
            "identity_class": Field(Text(100), "organization, class, group, system, individual"),
            "sectors": Field(KINDS, "sectors"),
            "contact_information": Field(Text(1000, lines=True), "how to reach them"),
        },
    ),
    "relationship": _domain(
        "relationship",
        {
            "relationship_type": Field(
                Pattern("[a-z0-9-]{1,250}", "a verb of a-z, 0-9 and dashes", recurring=True),
                "how they relate",
                required=True,
            ),
            "description": DESCRIPTION,
            "source_ref": Field(Ref(), "from", required=True),
            "target_ref": Field(Ref(), "to", required=True),
            "start_time": Field(Time(), "since"),
            "stop_time": Field(Time(), "until"),
        },
    ),
    "sighting": _domain(
        "sighting",
        {
            "description": DESCRIPTION,
            "first_seen": Field(Time(), "first seen"),
            "last_seen": Field(Time(), "last seen"),
            "count": Field(Whole(0, 999_999_999), "how often"),
            "sighting_of_ref": Field(Ref(), "what was seen", required=True),
            "observed_data_refs": Field(ListOf(Ref(("observed-data",)), 100), "what was observed"),
            "where_sighted_refs": Field(ListOf(Ref(("identity", "location")), 100), "by whom"),
            "summary": Field(YesNo(), "whether this sums up"),
        },
    ),
    "note": _domain(
        "note",
        {
            "abstract": Field(TITLE, "in short"),
            "content": Field(PROSE, "the note", required=True),
            "authors": Field(KINDS, "who wrote it"),
            "object_refs": OBJECT_REFS,
        },
    ),
    "opinion": _domain(
        "opinion",
        {
            "explanation": Field(PROSE, "why"),
            "authors": Field(KINDS, "who holds it"),
            "opinion": Field(Word(OPINION), "the opinion", required=True),
            "object_refs": OBJECT_REFS,
        },
    ),
    "attack-pattern": _domain(
        "attack-pattern",
        {
            "name": NAME,
            "description": DESCRIPTION,
            "aliases": _names(),
            "kill_chain_phases": Field(KILL_CHAIN_PHASES, "phases"),
        },
    ),
    "course-of-action": _domain("course-of-action", {"name": NAME, "description": DESCRIPTION}),
    "vulnerability": _domain(
        "vulnerability", {"name": NAME, "description": DESCRIPTION}, _extensions(incident=INCIDENT)
    ),
    "infrastructure": _domain(
        "infrastructure",
        {
            "name": NAME,
            "description": DESCRIPTION,
            "infrastructure_types": Field(KINDS, "kinds"),
            "aliases": _names(),
            "kill_chain_phases": Field(KILL_CHAIN_PHASES, "phases"),
            "first_seen": Field(Time(), "first seen"),
            "last_seen": Field(Time(), "last seen"),
        },
        _extensions(system=SYSTEM),
    ),
    "tool": _domain(
        "tool",
        {
            "name": NAME,
            "description": DESCRIPTION,
            "tool_types": Field(KINDS, "kinds"),
            "aliases": _names(),
            "kill_chain_phases": Field(KILL_CHAIN_PHASES, "phases"),
            "tool_version": Field(Text(100), "version"),
        },
    ),
    "threat-actor": _domain(
        "threat-actor",
        {
            "name": NAME,
            "description": DESCRIPTION,
            "threat_actor_types": Field(KINDS, "kinds"),
            "aliases": _names(),
            "first_seen": Field(Time(), "first seen"),
            "last_seen": Field(Time(), "last seen"),
            "roles": Field(KINDS, "roles"),
            "goals": Field(ListOf(Text(1000), 50), "goals"),
            "sophistication": Field(Text(100), "skill"),
            "resource_level": Field(Text(100), "means"),
            "primary_motivation": Field(Text(100), "motive"),
            "secondary_motivations": Field(KINDS, "other motives"),
            "personal_motivations": Field(KINDS, "personal motives"),
        },
    ),
    "software": Record(
        {
            "type": Field(Word({"software": "the type"}), "the type", required=True),
            "spec_version": Field(SPEC_VERSION, "STIX 2.1"),
            "id": Field(Ref(("software",)), "its identifier, from name, vendor and version", required=True),
            "name": NAME,
            "cpe": Field(Pattern(r"cpe:2\.3:[aho](:[!-~]{1,200}){10}", "a CPE 2.3 name"), "its CPE name"),
            "swid": Field(Text(500), "its SWID tag"),
            "languages": Field(ListOf(LANGUAGE, 100), "its languages"),
            "vendor": Field(TITLE, "who makes it"),
            "version": Field(Text(250), "its version"),
            "object_marking_refs": Field(MARKING_REFS, "markings"),
            "granular_markings": Field(GRANULAR_MARKINGS, "markings of parts"),
            "defanged": Field(YesNo(), "whether addresses in it are defanged"),
            "extensions": Field(_extensions(system=SYSTEM), "extensions"),
        },
        unknown="refuse",
    ),
    "marking-definition": Record(
        {
            "type": Field(Word({"marking-definition": "the type"}), "the type", required=True),
            "spec_version": Field(SPEC_VERSION, "STIX 2.1", required=True),
            "id": Field(Ref(("marking-definition",)), "its identifier", required=True),
            "created": Field(VERSION_TIME, "when it was made", required=True),
            "created_by_ref": Field(Ref(("identity",)), "who made it"),
            "external_references": Field(ListOf(EXTERNAL_REFERENCE, 500), "sources"),
            "object_marking_refs": Field(MARKING_REFS, "markings"),
            "granular_markings": Field(GRANULAR_MARKINGS, "markings of parts"),
            "name": Field(TITLE, "its name"),
            "definition_type": Field(Word({"statement": "a statement, such as a licence"}), "its kind"),
            "definition": Field(STATEMENT, "the statement"),
            "extensions": Field(_extensions(tlp=TLP), "extensions"),
        },
        unknown="refuse",
    ),
    "extension-definition": Record(
        {
            "type": Field(Word({"extension-definition": "the type"}), "the type", required=True),
            "spec_version": Field(SPEC_VERSION, "STIX 2.1", required=True),
            "id": Field(Ref(("extension-definition",)), "its identifier", required=True),
            "created_by_ref": Field(Ref(("identity",)), "who made it", required=True),
            "created": Field(VERSION_TIME, "when its first version was made", required=True),
            "modified": Field(VERSION_TIME, "when this version was made", required=True),
            "revoked": Field(YesNo(), "whether it is taken back"),
            "labels": Field(LABELS, "labels"),
            "external_references": Field(ListOf(EXTERNAL_REFERENCE, 500), "sources"),
            "object_marking_refs": Field(MARKING_REFS, "markings"),
            "granular_markings": Field(GRANULAR_MARKINGS, "markings of parts"),
            "name": NAME,
            "description": DESCRIPTION,
            "schema": Field(Text(100_000, lines=True), "its schema or where that is", required=True),
            "version": Field(
                Pattern(r"\d{1,5}\.\d{1,5}\.\d{1,5}", "a version such as 1.0.0"), "version", required=True
            ),
            "extension_types": Field(ListOf(EXTENSION_TYPE, 5), "what it adds", required=True),
        },
        unknown="refuse",
    ),
}

BUNDLE: Final = Record(
    {
        "type": Field(Word({"bundle": "the type"}), "the type", required=True),
        "id": Field(Ref(("bundle",)), "its identifier", required=True),
        "objects": Field(Present("a list of objects"), "the objects", required=True),
    },
    unknown="refuse",
    like="a STIX bundle",
)

CARRIED: Final = ", ".join(OBJECTS)
