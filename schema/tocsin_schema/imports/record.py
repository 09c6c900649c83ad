"""What an import door gives for each record of a foreign file."""

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
