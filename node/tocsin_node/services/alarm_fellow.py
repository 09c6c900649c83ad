"""What a fellow's bot says in the room that we share with it. Pure: one event in, one message or none out.

Its rings count, what it tells further of an emergency, and that it calls people to an alert which nobody answers: so it
is alive. No edit, notice or digest does. A fellow is one whom our own settings name, but what it writes is still a
stranger's JSON.
"""

from tocsin_node.links.alert_thread import CALL, ESCALATION
from tocsin_node.links.matrix_answers import mapping
from tocsin_node.links.transport import RoomEvent
from tocsin_node.storage.fellows import FellowMessage

VERSION_MAX = 2**31 - 1
TEXT_MAX = 200


def told_by_fellow(event: RoomEvent, room: str) -> FellowMessage | None:
    """The alert that `event` of a fellow tells, if it tells one."""
    told = mapping(event.content.get("org.tocsin.alert"))
    edited = mapping(event.content.get("m.relates_to")).get("rel_type") == "m.replace"
    if event.type != "m.room.message" or edited:
        return None
    kind, grade, ver = told.get("kind"), told.get("grade"), told.get("ver")
    about = told.get("emergency" if kind == "emergency" else "report")
    if "message" in told:
        kind, ver = told["message"], told.get("seq")
        if kind not in (CALL, ESCALATION):
            return None
    if not isinstance(ver, int) or isinstance(ver, bool) or not 0 < ver <= VERSION_MAX:
        return None
    if not (isinstance(about, str) and isinstance(kind, str) and isinstance(grade, str)):
        return None
    if any(len(text) > TEXT_MAX or "\0" in text for text in (about, kind, grade)):
        return None
    return FellowMessage(event.event_id, room, event.sender, about, ver, kind, grade, event.at)
