"""MISP's own JSON: one event a report, as a MISP server, a feed reader and PyMISP load it.

The event has the incident's UUID, so a later version updates it instead of making a second one. What MISP
has no place for travels in the attachment: the report's bundle, byte for byte as it was signed. The
distribution follows the marking and never exceeds it: a server that does not know TLP is kept from passing
the event on too.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from tocsin_schema import canonical
from tocsin_schema.exports import content
from tocsin_schema.exports.content import Content
from tocsin_schema.exports.markdown import page
from tocsin_schema.exports.misp_objects import INHERIT, Place, objects
from tocsin_schema.exports.misp_tags import MAX_NAME, tags
from tocsin_schema.marking import Tlp
from tocsin_schema.report import IncidentReport

# MISP: 0 this organisation only, 1 this community, 2 connected communities, 3 all.
DISTRIBUTION: Final[Mapping[Tlp, str]] = {
    Tlp.CLEAR: "3",
    Tlp.GREEN: "2",
    Tlp.AMBER: "1",
    Tlp.AMBER_STRICT: "0",
    Tlp.RED: "0",
}
THREAT_LEVEL: Final = {
    "I": "1",
    "II": "1",
    "III": "2",
    "IV": "3",
    "none": "4",
}  # high, medium, low, undefined
# MISP: 0 initial, 1 ongoing, 2 complete.
ANALYSIS: Final = {
    "draft": "0",
    "submitted": "0",
    "triaged": "1",
    "investigating": "1",
    "contained": "1",
    "disputed": "1",
    "resolved": "2",
    "closed": "2",
    "withdrawn": "2",
}
OPINION: Final = {"strongly-disagree": 0, "disagree": 25, "neutral": 50, "agree": 75, "strongly-agree": 100}

LOSSES: Final = (
    (
        "Numbers, details of harms, classifications, actions, times and evidence are words in the event report; as"
        " data they are in the attachment alone."
    ),
    (
        "Sightings, infrastructure, tools, threat actors, and relationships that do not start at the incident, are in"
        " the attachment alone, and so are markings other than TLP, such as licences."
    ),
    "A value ends after 65,000 bytes, a name after 255 characters, where MISP would cut it; a longer tag is left out.",
    (
        "From MISP on to STIX, misp-stix makes a grouping of the event: incident, models and software become custom"
        " objects of MISP's, techniques lose their identifiers, notes and opinions are about the grouping, and the"
        " bundle is an artifact. To get the report back, take that artifact."
    ),
)


def write(reports: Iterable[IncidentReport]) -> Iterator[bytes]:
    """{"response": [{"Event": …}, …]}, an event a line."""
    yield b'{"response":['
    between = b"\n"
    for report in reports:
        yield between + canonical.to_bytes({"Event": event(report)})
        between = b",\n"
    yield b"\n]}\n"


def event(report: IncidentReport) -> dict[str, Any]:
    """The event of a report; a withdrawn one says so in its title and its tags."""
    found = content.read(report)
    own = report.id.partition("--")[2]
    place = Place(own, str(int(report.modified.timestamp())))
    facts = report.extension
    return {
        "uuid": own,
        "info": ("[withdrawn] " if report.revoked else "") + report.name,
        "date": str(facts.get("occurred_start") or found.incident["created"])[:10],
        "threat_level_id": THREAT_LEVEL[report.severity.grade],
        "analysis": ANALYSIS.get(facts.get("report_status", "submitted"), "1"),
        "distribution": DISTRIBUTION[report.tlp],
        "timestamp": place.timestamp,
        "publish_timestamp": "0",
        "published": False,
        "Orgc": {"uuid": report.created_by_ref.partition("--")[2], "name": found.creator[:MAX_NAME]},
        "Tag": [{"name": name} for name in tags(found)],
        "Attribute": [*_links(found, place), _attachment(report, place)],
        "Object": list(objects(found, place)),
        "EventReport": [
            {
                "uuid": place.uuid("report"),
                "name": report.name[:MAX_NAME],
                "content": page(found),
                "distribution": INHERIT,
                "timestamp": place.timestamp,
            }
        ],
        **_said(found, own),
    }


def _links(found: Content, place: Place) -> Iterator[dict[str, Any]]:
    """The sources: an address once, as MISP refuses a second attribute of the same value."""
    seen: set[str] = set()
    for source in found.sources():
        value = source.get("external_id") if source["source_name"] == "cve" else source.get("url")
        if value is None or value in seen:
            continue
        seen.add(value)
        kind = "vulnerability" if source["source_name"] == "cve" else "link"
        yield place.attribute(f"{kind}:{value}", kind, value, comment=source["source_name"])


def _attachment(report: IncidentReport, place: Place) -> dict[str, Any]:
    made = place.attribute(
        "bundle", "attachment", f"{report.id}.stix.json", data=base64.b64encode(report.raw).decode()
    )
    return {**made, "comment": "The report as it was signed: STIX 2.1, extension ai-incident."}


def _said(found: Content, event_uuid: str) -> dict[str, list[dict[str, Any]]]:
    """Notes and opinions as analyst data of the event."""
    notes = [
        {**_frame(obj, found, event_uuid), "note": obj["content"], "language": obj.get("lang", "")}
        for obj in found.of("note")
    ]
    opinions = [
        {
            **_frame(obj, found, event_uuid),
            "opinion": OPINION[obj["opinion"]],
            "comment": obj.get("explanation", ""),
        }
        for obj in found.of("opinion")
    ]
    return {**({"Note": notes} if notes else {}), **({"Opinion": opinions} if opinions else {})}


def _frame(obj: Mapping[str, Any], found: Content, event_uuid: str) -> dict[str, Any]:
    authors = obj.get("authors") or [found.name_of(obj.get("created_by_ref", found.report.created_by_ref))]
    return {
        "uuid": obj["id"].partition("--")[2],
        "authors": ", ".join(authors),
        "object_type": "Event",
        "object_uuid": event_uuid,
        "created": f"{obj['created'][:10]} {obj['created'][11:19]}",
        "modified": f"{obj['modified'][:10]} {obj['modified'][11:19]}",
        "distribution": INHERIT,
    }
