"""Turning a file of another form into one STIX bundle, and the account of what came through.

The account adds up: what was read is converted, repaired (converted after something was put right) or
refused.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tocsin_schema.imports.record import Passed, Record
    from tocsin_schema.merge import Merger


@dataclass(slots=True)
class Conversion:
    """What became of everything that was read. `only`: the one report, as long as there is nothing else."""

    only: bytes | None = None
    converted: int = 0
    repaired: int = 0
    objects: int = 0
    differing: int = 0
    carried: int = 0
    refused: list[dict[str, str]] = field(default_factory=list)
    repairs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def read(self) -> int:
        """How many records were read."""
        return self.converted + self.repaired + len(self.refused)

    def run(
        self, records: "Iterable[Record | Passed]", merger: "Merger", settled: Callable[[], None]
    ) -> None:
        """Merge all records; `settled` is called after each. The first report brings what announces our extensions."""
        import orjson

        from tocsin_schema.artefacts import announcements
        from tocsin_schema.check import check_bundle
        from tocsin_schema.imports.record import Passed

        reports = passed = 0
        for record in records:
            self._note(record)
            if isinstance(record, Passed):
                passed += 1
                merger.add(record.objects)
            elif record.bundle is not None:
                reports += 1
                if reports == 1:
                    merger.add(announcements())
                report = check_bundle(record.bundle).report
                assert report is not None  # Record promises it
                merger.add_report(report)
                self.only = record.bundle
            settled()
        merger.complete()
        self.objects, self.differing = merger.objects_held, merger.older + merger.differing
        self.carried = merger.carried
        if (reports, passed) != (1, 0):
            self.only = None
        elif self.only is not None:
            self.objects = len(orjson.loads(self.only)["objects"])

    def _note(self, record: "Record | Passed") -> None:
        refusal = record.refusal
        if refusal is not None:
            entry = {"key": record.key, "code": refusal.code, "reason": refusal.message, "hint": refusal.hint}
            self.refused.append(entry)
        elif record.repairs:
            self.repaired += 1
            self.repairs.append({"key": record.key, "repairs": list(record.repairs)})
        else:
            self.converted += 1

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "read": self.read,
            "converted": self.converted,
            "repaired": self.repaired,
            "refused": len(self.refused),
            "objects": self.objects,
            "differing": self.differing,
            "carried": self.carried,
            "refusals": self.refused,
            "repairs": self.repairs,
        }

    def line(self) -> str:
        """The line of account."""
        settled = f"{self.converted} converted + {self.repaired} repaired + {len(self.refused)} refused"
        differing = f"; {self.differing} older or other version(s) of one left out" if self.differing else ""
        if self.carried:
            differing += f"; {self.carried} report(s) carried whole, too, since their objects differ"
        return f"{self.read} read = {settled}; {self.objects} STIX object(s){differing}"
