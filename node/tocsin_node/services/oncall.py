"""Who is on call here: the settings' rotations with what was changed by hand, and who may act on alerts.

Without a rotation for a level all responders are meant, and without responders the whole room.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tocsin_node.errors import NodeError
from tocsin_node.services.rota import Override, Rota, Shift, on_call, shifts
from tocsin_node.settings.oncall import OncallSettings, RotaSettings
from tocsin_node.settings.record import Settings
from tocsin_node.storage import overrides
from tocsin_node.storage.overrides import StoredOverride
from tocsin_node.storage.pool import Connection, Pool

SHOWN_MAX = timedelta(days=92)
OVERRIDE_MAX = timedelta(days=92)
UNITS = {"d": "days", "h": "hours"}


class RotaUnknown(NodeError):
    """There is no rota of that name."""

    code = "rota-unknown"
    hint = "`tocsin oncall show` names those there are; they stand in [[oncall.rota]] of node.toml."


class PersonUnknown(NodeError):
    """Somebody who is in no rota and no responder cannot stand in."""

    code = "person-unknown"
    hint = "Name a member of a rota or one of matrix.responders; nobody else may act on alerts."


class OverrideInvalid(NodeError):
    """An override has to end after it begins, in the future, and within 92 days."""

    code = "override-invalid"
    hint = "Give --until a time in the future that is later than --from."


class OverrideUnknown(NodeError):
    """No override of that number stands."""

    code = "override-unknown"
    hint = "`tocsin oncall show` gives the numbers of those that stand."


class Oncall:
    """The rotations of one node."""

    def __init__(self, settings: Settings, pool: Pool, now: Callable[[], datetime]) -> None:
        self.rotas = rotas_from(settings.oncall)
        self.zone = ZoneInfo(settings.oncall.zone)
        self.responders = settings.matrix.responders if settings.matrix is not None else ()
        self._members = {person for rota in self.rotas for person in rota.members}
        self._pool = pool
        self._now = now

    @property
    def matrix_members(self) -> frozenset[str]:
        """The members of rotas who are called in a room."""
        return frozenset(person for person in self._members if person.startswith("@"))

    def may_act(self, person: str, responders: Sequence[str]) -> bool:
        """Whether a Matrix user may act in a room: its responders and members of a rota; all where none are named."""
        return not responders or person in responders or person in self._members

    async def people(self, conn: Connection, level: int, at: datetime) -> tuple[str, ...]:
        """Who is on call at a level, each once; all responders where the level has no rota."""
        rotas = [rota for rota in self.rotas if rota.level == level]
        if not rotas:
            return self.responders
        changed = _overrides(await overrides.standing(conn, at, at + timedelta(seconds=1)))
        return tuple(dict.fromkeys(on_call(rota, changed, at).person for rota in rotas))

    async def everybody(self, conn: Connection, at: datetime) -> tuple[str, ...]:
        """All responders, and whoever is on call at any level; nobody named means the whole room."""
        levels = sorted({rota.level for rota in self.rotas})
        called = [person for level in levels for person in await self.people(conn, level, at)]
        return tuple(dict.fromkeys([*called, *self.responders]))

    async def show(
        self, conn: Connection, at: datetime | None = None, *, until: datetime | None = None
    ) -> dict[str, Any]:
        """Who is on call at `at` (now unless given) in each rota, who follows, and the overrides; as JSON.

        With `until` all shifts from `at` to there, at most 92 days.
        """
        begin = at or self._now()
        end = min(until or begin, begin + SHOWN_MAX)
        stored = await overrides.standing(conn, begin, begin + SHOWN_MAX)
        changed = _overrides(stored)
        shown = [_rota_as_json(rota, changed, begin, end) for rota in self.rotas]
        return {
            "at": begin,
            "rotas": shown,
            "responders": list(self.responders),
            "overrides": [override_as_json(each) for each in stored],
        }

    async def override(
        self,
        rota: str,
        person: str,
        *,
        begins_at: datetime | None,
        ends_at: datetime,
        by: str,
        note: str | None = None,
    ) -> dict[str, Any]:
        """Put `person` into a rota from `begins_at` (now unless given) until before `ends_at`; as JSON.

        Raises: RotaUnknown, PersonUnknown, OverrideInvalid.
        """
        now = self._now()
        begin = begins_at or now
        if rota not in {each.name for each in self.rotas}:
            raise RotaUnknown(f"There is no rota {rota}.")
        if person not in self._members and person not in self.responders:
            raise PersonUnknown(f"{person} is in no rota and no responder.")
        if ends_at <= max(begin, now) or ends_at - begin > OVERRIDE_MAX:
            raise OverrideInvalid("The override ends too early or too late.")
        async with self._pool.acquire() as conn:
            made = await overrides.add(
                conn, rota=rota, person=person, begins_at=begin, ends_at=ends_at, by=by, at=now, note=note
            )
        return override_as_json(made)

    async def clear(self, override_id: int, *, by: str) -> dict[str, Any]:
        """Take an override back; as JSON.

        Raises: OverrideUnknown.
        """
        async with self._pool.acquire() as conn:
            gone = await overrides.clear(conn, override_id, self._now(), by)
        if gone is None:
            raise OverrideUnknown(f"No override {override_id} stands.")
        return override_as_json(gone)


def rotas_from(settings: OncallSettings) -> tuple[Rota, ...]:
    """The rotations that the settings name, by level."""
    return tuple(
        sorted((_rota(each, settings.zone) for each in settings.rota), key=lambda r: (r.level, r.name))
    )


def override_as_json(each: StoredOverride) -> dict[str, Any]:
    """An override as the API shows it."""
    return {
        "id": each.id,
        "rota": each.rota,
        "person": each.person,
        "from": each.begins_at,
        "until": each.ends_at,
        "by": each.made_by,
        "at": each.made_at,
        "note": each.note,
    }


def _rota(settings: RotaSettings, zone: str) -> Rota:
    count, unit = int(settings.length[:-1]), settings.length[-1]
    return Rota(
        settings.name,
        settings.level,
        settings.members,
        datetime.fromisoformat(f"{settings.first}T{settings.at}"),
        timedelta(**{UNITS[unit]: count}),
        ZoneInfo(settings.zone or zone),
    )


def _overrides(stored: Sequence[StoredOverride]) -> list[Override]:
    return [Override(o.id, o.rota, o.person, o.begins_at, o.ends_at) for o in stored]


def _rota_as_json(rota: Rota, changed: Sequence[Override], begin: datetime, end: datetime) -> dict[str, Any]:
    now = on_call(rota, changed, begin)
    following = on_call(rota, changed, now.ends_at)
    return {
        "name": rota.name,
        "level": rota.level,
        "zone": rota.zone.key,
        "now": _shift_as_json(now),
        "next": _shift_as_json(following),
        "shifts": [_shift_as_json(each) for each in shifts(rota, changed, begin, end)],
    }


def _shift_as_json(shift: Shift) -> dict[str, Any]:
    return {
        "person": shift.person,
        "from": shift.begins_at,
        "until": shift.ends_at,
        "override": shift.override,
    }
