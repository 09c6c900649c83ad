"""What an import door gives for each record of a foreign file."""

from typing import Any

import msgspec

from tocsin_schema.finding import Finding


class Record(msgspec.Struct, frozen=True):
    """One record: its key in the source ("aiid:23"), and either a bundle or the reason why there is none.

    `bundle` is canonical and has passed `check_bundle`; it is None exactly when `refusal` says why.
    `repairs` names what was put right or left out, one short sentence each.
    """

    key: str
    bundle: bytes | None
    repairs: tuple[str, ...] = ()
    refusal: Finding | None = None


class Passed(msgspec.Struct, frozen=True):
    """An object of a foreign STIX file that belongs to no incident, as it can be passed on.

    `objects` holds it and the marking it refers to; it is empty exactly when `refusal` says why.
    """

    key: str
    objects: tuple[dict[str, Any], ...]
    repairs: tuple[str, ...] = ()
    refusal: Finding | None = None
