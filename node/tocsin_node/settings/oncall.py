"""The section on who is on call."""

from typing import Annotated

from msgspec import Meta, Struct

from tocsin_node.settings.kinds import Person, Waits


class RotaSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """People who are on call in turn: one [[oncall.rota]]."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,31}\Z")]
    members: Annotated[tuple[Person, ...], Meta(min_length=1, max_length=100)]
    first: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}\Z")]
    at: Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d\Z")] = "09:00"
    length: Annotated[str, Meta(pattern=r"^[1-9]\d{0,2}[dh]\Z")] = "7d"
    level: Annotated[int, Meta(ge=0, le=9)] = 0
    zone: Annotated[str, Meta(max_length=64)] = ""


class OncallSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Who is on call, and when the next are called because nobody has answered."""

    zone: Annotated[
        str,
        Meta(min_length=1, max_length=64, description="Time zone of the rotations, such as Europe/Berlin."),
    ] = "UTC"
    grade_i_waits_min: Annotated[
        Waits,
        Meta(
            max_length=10,
            description="Minutes that an alert of grade I waits for an answer at each level. Level 0 is who is on "
            "call; at the last level everybody is called, on every channel, and again after its minutes until "
            "somebody answers. Empty: only the first call.",
        ),
    ] = (5, 10, 15)
    grade_ii_waits_min: Annotated[Waits, Meta(max_length=10, description="The same for grade II.")] = (
        30,
        60,
        120,
    )
    grade_iii_waits_min: Annotated[
        Waits, Meta(max_length=10, description="The same for whatever else rings.")
    ] = ()
    rota: Annotated[
        tuple[RotaSettings, ...],
        Meta(
            max_length=20,
            description="The rotations, each under a heading [[oncall.rota]] of its own: name; members (Matrix "
            "users or mail addresses, in turn); first and at (day and time at which the first member began); length "
            "(such as 7d or 12h); level (0 is called first, the next when nobody has answered); zone (another "
            "than above). Without any, all responders are called at once.",
        ),
    ] = ()
