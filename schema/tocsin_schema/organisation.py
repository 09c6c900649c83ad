"""The organisation whose duties are reckoned: what it is before the law, where, and which days it does not work.

Roles and jurisdictions are the organisation's own statement; nothing here looks them up. A member state stands for
the EU too, and US-CA for the US, but the US alone leaves open whether California's law applies.
"""

from collections.abc import Iterable
from datetime import date
from typing import Final

import msgspec

from tocsin_schema.vocabulary import Words

ROLE: Final[Words] = {
    "provider": "puts an AI system on the market or into service under its own name",
    "deployer": "uses an AI system under its own authority",
    "gpai-systemic-provider": "provides a general-purpose AI model with systemic risk (EU)",
    "gpai-code-signatory": "has signed the EU Code of Practice, chapter Safety and Security",
    "frontier-developer": "has trained a frontier model (California, New York: above 10^26 operations)",
    "controller": "decides on the processing of personal data",
    "nis2-entity": "is an essential or important entity under NIS2",
    "financial-entity": "is a financial entity under DORA",
    "product-manufacturer": "makes products with digital elements (CRA)",
    "device-manufacturer": "makes medical devices",
    "device-user-facility": "uses medical devices: a hospital, a nursing home (US)",
    "vehicle-operator": "makes or operates vehicles with automated driving (US)",
    "critical-infrastructure-operator": "runs critical information infrastructure",
    "network-operator": "runs networks or information systems (China)",
    "state-organ": "is a central or state organ (China)",
    "genai-provider": "provides a generative AI service (China)",
}

EU: Final = frozenset(
    [
        "AT",
        "BE",
        "BG",
        "CY",
        "CZ",
        "DE",
        "DK",
        "EE",
        "ES",
        "FI",
        "FR",
        "GR",
        "HR",
        "HU",
        "IE",
        "IT",
        "LT",
        "LU",
        "LV",
        "MT",
        "NL",
        "PL",
        "PT",
        "RO",
        "SE",
        "SI",
        "SK",
    ]
)
JURISDICTION_PATTERN: Final = r"EU|[A-Z]{2}(-[A-Z0-9]{1,3})?"
DEFAULT_ZONE: Final = "Europe/Brussels"


class Organisation(msgspec.Struct, frozen=True):
    """Who has duties. `zone`: of the national authority, an IANA name; `holidays`: days that are no working days."""

    name: str
    roles: frozenset[str] = frozenset()
    jurisdictions: frozenset[str] = frozenset()
    holidays: frozenset[date] = frozenset()
    zone: str = DEFAULT_ZONE

    @property
    def stated(self) -> bool:
        """Whether it has said what it is; without that nothing can be reckoned."""
        return bool(self.roles and self.jurisdictions)


def within(code: str, places: Iterable[str]) -> bool | None:
    """Whether any of `places` (countries, EU, or subdivisions such as US-CA) lies in `code`, or is it.

    None when that is open: a country was named, a part of it is asked for, and no part was named.
    """
    there = set(places)
    if code in there or (code == "EU" and not EU.isdisjoint(there)):
        return True
    if any(place.startswith(f"{code}-") for place in there):
        return True
    parent, dash, _ = code.partition("-")
    if dash and parent in there and not any(place.startswith(f"{parent}-") for place in there):
        return None
    return False
