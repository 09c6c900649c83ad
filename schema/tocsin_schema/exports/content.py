"""A checked report with its references followed, so that every form can say names where STIX says identifiers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from tocsin_schema.compose import ROLES
from tocsin_schema.ids import CORE_EXTENSION, SYSTEM_EXTENSION
from tocsin_schema.report import IncidentReport

Object = Mapping[str, Any]

EMPTY: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True)
class System:
    """An AI system of the incident: its object, its part in the incident, and its ai-system extension."""

    obj: Object
    role: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Content:
    """A report and its objects by identifier."""

    report: IncidentReport
    objects: Mapping[str, Object]

    @property
    def incident(self) -> Object:
        """The incident object."""
        return self.objects[self.report.id]

    @property
    def wrapper(self) -> Object:
        """The report object."""
        return self.objects[self.report.wrapper_id]

    @property
    def core(self) -> Mapping[str, Any]:
        """The incident-core extension, empty when there is none."""
        found: Mapping[str, Any] = self.incident["extensions"].get(CORE_EXTENSION, EMPTY)
        return found

    @property
    def creator(self) -> str:
        """The name of the organisation that answers for the report; its identifier when it did not come along."""
        return self.name_of(self.report.created_by_ref)

    def name_of(self, ref: str) -> str:
        """An object's name, or its identifier."""
        return str(self.objects.get(ref, EMPTY).get("name", ref))

    def systems(self) -> Iterator[System]:
        """The AI systems that came along, in the order in which the incident names them."""
        for use in self.report.extension.get("systems", ()):
            obj = self.objects.get(use["system_ref"])
            if obj is not None:
                facts = obj.get("extensions", EMPTY).get(SYSTEM_EXTENSION, EMPTY)
                yield System(obj, use.get("role", "primary"), facts)

    def parties(self) -> dict[str, list[Object]]:
        """The parties that came along by the form's words: developers, deployers, affected, actors."""
        refs = self.report.extension.get("parties", EMPTY)
        found = {
            key: [self.objects[ref] for ref in refs.get(name, ()) if ref in self.objects]
            for key, (name, _) in ROLES.items()
        }
        return {key: ones for key, ones in found.items() if ones}

    def sources(self) -> list[Object]:
        """The incident's external references."""
        return list(self.incident.get("external_references", ()))

    def of(self, kind: str) -> list[Object]:
        """Every object of a type, in the order of the bundle."""
        return [obj for obj in self.objects.values() if obj["type"] == kind]

    def steps(self) -> list[tuple[Object, str]]:
        """The techniques, each with what the incident's `uses` says of it."""
        said = {
            link["target_ref"]: str(link.get("description", ""))
            for link in self.of("relationship")
            if link["source_ref"] == self.report.id and link["relationship_type"] == "uses"
        }
        return [(obj, said.get(obj["id"], "")) for obj in self.of("attack-pattern")]


def read(report: IncidentReport) -> Content:
    """The content of a checked report."""
    return Content(report, {obj["id"]: obj for obj in orjson.loads(report.raw)["objects"]})
