"""The desk: what people do about alerts, whether they say it in the room or to the API, in one transaction each.

An act, what it does to the timer and what the room is told of it are committed together. `take` and `resolve` come
with an acknowledgement of their own: who works on it has seen it, and a peer that knows only these learns it.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from tocsin_node.errors import NodeError
from tocsin_node.links.alert_thread import Saying
from tocsin_node.links.room_words import done_line, span_words, undone_line
from tocsin_node.services.alarm_escalation import Escalation
from tocsin_node.services.alarm_plan import AlarmPlanner
from tocsin_node.services.oncall import Oncall
from tocsin_node.storage import acts, alerts, followups
from tocsin_node.storage.acts import NewAct
from tocsin_node.storage.alerts import StoredAlert
from tocsin_node.storage.pool import Connection

MUTE_MAX = timedelta(hours=24)
MUTE_MAX_GRADE_I = timedelta(hours=1)
SEEN = frozenset({"take", "resolve"})  # these come with an acknowledgement


class MuteTooLong(NodeError):
    """An alert can be muted for 24 hours at most, one of grade I for one hour."""

    code = "mute-too-long"
    hint = "Mute it for a shorter time, and again if need be."


class Desk:
    """Does and undoes acts."""

    def __init__(
        self,
        planner: AlarmPlanner,
        escalation: Escalation,
        oncall: Oncall,
        now: Callable[[], datetime],
    ) -> None:
        self._planner = planner
        self._escalation = escalation
        self._oncall = oncall
        self._now = now

    async def do(self, conn: Connection, alert: StoredAlert, act: NewAct) -> bool:
        """Store an act and what follows from it; False when it was known.

        Raises: MuteTooLong, of a mute that reaches further than allowed from its `at`.
        """
        followup = await followups.of(conn, alert.id)
        if act.kind == "mute":
            check_mute(act, alert.id, urgent=alert.grade == "I" or (followup is not None and followup.urgent))
        act_id = await acts.add(conn, alert.id, act)
        if act_id is None:
            return False
        if act.kind in SEEN:
            await acts.add(conn, alert.id, replace(act, kind="ack", note=None))
        await self._escalation.settle(conn, alert.id)
        others_called = followup is not None and followup.level > 0
        if act.kind != "ack" or others_called:  # who has seen it stands in the first message
            line = done_line(
                act.kind, alert.id, act.by, note=act.note, until=act.until, zone=self._oncall.zone
            )
            await self._say(conn, alert.id, f"act-{act_id}", line)
        return True

    async def call_now(self, conn: Connection, alert: StoredAlert, act: NewAct) -> bool:
        """Call the next because a person wants help: an acknowledgement stands, and the timer goes on from there.

        `act`: an `escalate`. False when it was known.
        """
        return await self._escalation.call_now(conn, alert, act)

    async def undone(self, conn: Connection, alert_id: int, by: str) -> None:
        """What follows when acts about an alert were taken back: if nobody else has answered, the room is told."""
        await self._escalation.settle(conn, alert_id)
        followup = await followups.of(conn, alert_id)
        if followup is not None and followup.next_at is not None:
            stands = await acts.standing(conn, alert_id)
            if not stands.acknowledged and stands.muted_until is None:
                stamp = followup.next_at.isoformat()
                await self._say(conn, alert_id, f"open-{stamp}", undone_line(alert_id, by))

    async def undo(self, conn: Connection, alert_id: int, kind: str, *, by: str) -> bool:
        """Take back all that stands of one kind here; False when nothing does."""
        if not await acts.revoke_kind(conn, alert_id, kind, self._now(), by):
            return False
        await self.undone(conn, alert_id, by)
        return True

    async def alert(self, conn: Connection, alert_id: int) -> StoredAlert | None:
        """An alert by its number."""
        return await alerts.get(conn, alert_id)

    async def _say(self, conn: Connection, alert_id: int, what: str, line: str) -> None:
        await self._planner.say(conn, alert_id, "notice", Saying(what, line), channels=None)


def check_mute(act: NewAct, alert_id: int, *, urgent: bool) -> None:
    """Refuse a mute that is too long. Raises: MuteTooLong."""
    most = MUTE_MAX_GRADE_I if urgent else MUTE_MAX
    if act.until is None or act.until - act.at > most:
        raise MuteTooLong(f"Alert {alert_id} can be muted for {span_words(most)} at most.")
