"""The section on what the organisation is before the law."""

from typing import Annotated, Literal

from msgspec import Meta, Struct


class DutySettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What the organisation is before the law: from this follow the duties to authorities (tocsin duty list)."""

    roles: Annotated[
        tuple[
            Literal[
                "provider",
                "deployer",
                "gpai-systemic-provider",
                "gpai-code-signatory",
                "frontier-developer",
                "controller",
                "nis2-entity",
                "financial-entity",
                "product-manufacturer",
                "device-manufacturer",
                "device-user-facility",
                "vehicle-operator",
                "critical-infrastructure-operator",
                "network-operator",
                "state-organ",
                "genai-provider",
            ],
            ...,
        ],
        Meta(
            description="The organisation's roles (schema/README.md says what each means). Empty: no duties."
        ),
    ] = ()
    jurisdictions: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^(EU|[A-Z]{2}(-[A-Z0-9]{1,3})?)$")], ...],
        Meta(
            description="Every country, the EU, or part of a country whose law binds it, such as DE, CN, US-CA. "
            "Empty: no duties."
        ),
    ] = ()
    zone: Annotated[
        str, Meta(min_length=1, max_length=64, description="Time zone of the national authority.")
    ] = "Europe/Brussels"
    holidays: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}$")], ...],
        Meta(
            max_length=1000,
            description="Public holidays there, such as 2027-01-01. Saturdays and Sundays are known.",
        ),
    ] = ()
