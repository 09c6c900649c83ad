"""What each setting allows by itself, but not together with another."""

from collections.abc import Iterator
from datetime import date
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tocsin_node.settings.address import LOOPBACK, parts_of
from tocsin_node.settings.channels import MatrixSettings
from tocsin_node.settings.duties import DutySettings
from tocsin_node.settings.record import Settings

ROOM_TLPS = ("clear", "green")
ENCRYPTED_ROOM_TLPS = ("amber", "amber+strict")


def contradictions(settings: Settings) -> Iterator[str]:
    """What each field allows by itself but not together."""
    if settings.database.url and settings.database.url_file:
        yield "database.url and database.url_file exclude each other."
    if settings.database.url and parts_of(settings.database.url).password:
        yield "database.url holds a password; put the address into a file and name it in database.url_file."
    yield from _unknown_to_the_calendar(settings.duties)
    homeserver = settings.matrix.homeserver if settings.matrix else ""
    second = settings.matrix_second.homeserver if settings.matrix_second else ""
    for name, url in (
        ("node.url", settings.node.url),
        ("matrix.homeserver", homeserver),
        ("matrix_second.homeserver", second),
    ):
        if url and (parts_of(url).scheme not in {"http", "https"} or not parts_of(url).hostname):
            yield f"{name} must be an address such as https://tocsin.example.org."
        elif name == "node.url" and parts_of(settings.node.url).path.strip("/"):
            yield "node.url must not have a path: peers reach the node at the root of its host."
    yield from _unfit_channels(settings)
    yield from _unfit_rotas(settings)
    yield from _unfit_reserve(settings)


def _unfit_channels(settings: Settings) -> Iterator[str]:
    """Ways on which an alert could be read by others."""
    webhook, mail = settings.webhook, settings.mail
    if settings.matrix is not None:
        yield from _unfit_room("matrix", settings.matrix)
    if settings.matrix_second is not None:
        yield from _unfit_room("matrix_second", settings.matrix_second)
    if webhook is not None:
        address = parts_of(webhook.url)
        plain = address.scheme == "http" and (webhook.allow_http or address.hostname in LOOPBACK)
        if not address.hostname or not (address.scheme == "https" or plain):
            yield "webhook.url must be an address such as https://pager.example.org/tocsin."
        elif address.username or address.password:
            yield "webhook.url must not hold a name or password: requests are signed."
    if mail is not None and mail.security == "none" and mail.server not in LOOPBACK:
        yield "mail.security must be starttls or tls: the mail would cross the network readable."


def _unfit_reserve(settings: Settings) -> Iterator[str]:
    """What stands beside the first room, and needs it or another."""
    if settings.matrix_second is not None and settings.matrix is None:
        yield "matrix_second stands beside [matrix]; with one room only, call the section [matrix]."
    if settings.ops.room and settings.matrix is None:
        yield "ops.room needs the bot of [matrix]; without one, name other channels in ops.channels."
    there = {
        "matrix": settings.matrix,
        "matrix-2": settings.matrix_second,
        "webhook": settings.webhook,
        "mail": settings.mail,
    }
    for name in settings.ops.channels:
        if there[name] is None:
            yield f"ops.channels names {name}, but there is no section for it."


def _unfit_room(name: str, matrix: MatrixSettings) -> Iterator[str]:
    """A room that would be told more than rooms of its kind may be."""
    tlp = matrix.room_max_tlp
    if tlp == "red":
        yield (
            f"{name}.room_max_tlp cannot be red: TLP:RED is for named people, and whoever is let into a room reads "
            "there. Set amber+strict or less for an encrypted room, green or clear for any other."
        )
    elif tlp in ENCRYPTED_ROOM_TLPS and not matrix.encrypted:
        yield (
            f"{name}.room_max_tlp = {tlp} needs an encrypted room: what is marked above green never goes into a "
            "room in the clear. Leave the setting out (it is then green), or encrypt the room and set "
            f"{name}.encrypted = true."
        )
    elif tlp not in {"", *ROOM_TLPS, *ENCRYPTED_ROOM_TLPS}:
        yield f"{name}.room_max_tlp: {tlp} is none of {', '.join((*ROOM_TLPS, *ENCRYPTED_ROOM_TLPS))}."


def _unfit_rotas(settings: Settings) -> Iterator[str]:
    """Rotations that no calendar knows, or whose people nothing reaches."""
    oncall, seen = settings.oncall, set[str]()
    yield from _unknown_zone("oncall.zone", oncall.zone)
    for rota in oncall.rota:
        where = f"oncall.rota {rota.name}"
        if rota.name in seen:
            yield f"{where} stands there twice; give each a name of its own."
        seen.add(rota.name)
        if rota.zone:
            yield from _unknown_zone(f"{where}: zone", rota.zone)
        try:
            date.fromisoformat(rota.first)
        except ValueError:
            yield f"{where}: first: {rota.first} is not a day."
        for section, part in (("matrix", settings.matrix), ("mail", settings.mail)):
            if part is None and any(p.startswith("@") == (section == "matrix") for p in rota.members):
                yield f"{where} has members that only [{section}] reaches, and there is no such section."


def _unknown_zone(where: str, zone: str) -> Iterator[str]:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield f"{where}: {zone} is not a time zone such as Europe/Berlin."


def _unknown_to_the_calendar(duties: DutySettings) -> Iterator[str]:
    yield from _unknown_zone("duties.zone", duties.zone)
    for day in duties.holidays:
        try:
            date.fromisoformat(day)
        except ValueError:
            yield f"duties.holidays: {day} is not a day."
