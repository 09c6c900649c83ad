"""Traffic Light Protocol 2.0 as STIX marking definitions.

The five identifiers and objects are those of the OASIS extension `60a3c5c5-…` (created 2022-10-01).
Look-alike identifiers circulate in public code; only an exact match counts, and anything else is unknown:
no release. TLP 1 identifiers are known here for one purpose, to say in a finding which TLP 2.0 marking
replaces them.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from tocsin_schema.ids import TLP_EXTENSION


class Tlp(StrEnum):
    """How far a report may travel, from the widest to the narrowest."""

    CLEAR = "clear"
    GREEN = "green"
    AMBER = "amber"
    AMBER_STRICT = "amber+strict"
    RED = "red"

    @property
    def rank(self) -> int:
        """0 (clear) to 4 (red): the higher, the stricter."""
        return _RANKS[self.value]

    @property
    def label(self) -> str:
        """As people write it: "TLP:AMBER+STRICT"."""
        return f"TLP:{self.value.upper()}"


_RANKS: Final = {tlp.value: rank for rank, tlp in enumerate(Tlp)}

MARKING_IDS: Final[Mapping[Tlp, str]] = MappingProxyType(
    {
        Tlp.CLEAR: "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487",
        Tlp.GREEN: "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb",
        Tlp.AMBER: "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421",
        Tlp.AMBER_STRICT: "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003",
        Tlp.RED: "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1",
    }
)

TLP_BY_ID: Final[Mapping[str, Tlp]] = MappingProxyType({ref: tlp for tlp, ref in MARKING_IDS.items()})

# STIX 2.1, 7.2.1.4. WHITE became CLEAR; the others kept their colour.
TLP1_REPLACEMENTS: Final[Mapping[str, Tlp]] = MappingProxyType(
    {
        "marking-definition--613f2e26-407d-48c7-9eca-b8e91df99dc9": Tlp.CLEAR,
        "marking-definition--34098fce-860f-48ae-8e50-ebd3cc5e41da": Tlp.GREEN,
        "marking-definition--f88d31f6-486f-44da-b317-01333bde0b82": Tlp.AMBER,
        "marking-definition--5e57c739-391a-4eb3-b6be-7d15ca92d5ed": Tlp.RED,
    }
)


def _marking_object(tlp: Tlp) -> dict[str, Any]:
    return {
        "type": "marking-definition",
        "spec_version": "2.1",
        "id": MARKING_IDS[tlp],
        "created": "2022-10-01T00:00:00.000Z",
        "name": tlp.label,
        "extensions": {TLP_EXTENSION: {"extension_type": "property-extension", "tlp_2_0": tlp.value}},
    }


MARKING_OBJECTS: Final[Mapping[Tlp, dict[str, Any]]] = MappingProxyType(
    {tlp: _marking_object(tlp) for tlp in Tlp}
)


def tlp_of(marking_refs: Iterable[str] | None) -> Tlp | None:
    """The one TLP 2.0 marking among an object's `object_marking_refs`.

    None when there is none, more than one, or when a reference is a TLP 1 marking: the caller must then
    release to nobody. References to other markings (statements, licences) do not count.
    """
    found: Tlp | None = None
    for ref in marking_refs or ():
        if ref in TLP1_REPLACEMENTS:
            return None
        tlp = TLP_BY_ID.get(ref)
        if tlp is not None and tlp is not found:
            if found is not None:
                return None
            found = tlp
    return found


def strictest(*tlps: Tlp) -> Tlp:
    """The narrowest of several markings."""
    return max(tlps, key=lambda tlp: tlp.rank)
