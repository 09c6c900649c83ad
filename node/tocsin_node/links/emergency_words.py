"""The words of an emergency, and of a drill, which says that it is one before it says anything else. Pure.

Strangers' text (`caller`) comes in harmless, through `alert_text.foreign`. `ROOM_ANSWERS` are the words by which a room
answers a call.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from tocsin_federation.calls import Said

DRILL_NOTE = "This is a DRILL: act it through, but change nothing in earnest."
LIMIT_NOTE = "It is over the limit of a day for its caller, and rings as any other alert."
ROOM_ANSWERS: Final[Mapping[str, Said]] = {  # what a room writes, after an exclamation mark → what it says
    "affected": "affected",
    "not-affected": "not-affected",
    "investigating": "investigating",
}


def headline(*, drill: bool, ordinary: bool, over: bool, disputed: bool, caller: str, marking: str) -> str:
    """The first line of the alert. `ordinary`: past its caller's limit of a day; `over`: it was stood down.

    `disputed`: whoever is said to have called has ended the log that it stands in.
    """
    who = f" called by {caller}" if caller else ""
    if disputed:
        what = "DRILL" if drill else "EMERGENCY"
        return f"⚪ {what} disputed: {caller or 'its caller'} vouches for it no longer · {marking}"
    if over:
        return f"⚪ {'DRILL' if drill else 'EMERGENCY'} over: what was{who} is stood down · {marking}"
    if drill:
        return f"🔵 DRILL of an emergency{who}: nothing has happened · {marking}"
    if ordinary:
        return f"🔴 ALERT, grade I: one more emergency{who} · {marking}"
    return f"🚨 EMERGENCY{who} · {marking}"


def notes(*, drill: bool, ordinary: bool, over: bool) -> list[str]:
    """What is said before what happened."""
    if over:
        return ["This was a DRILL."] if drill else []
    return [*([DRILL_NOTE] if drill else []), *([LIMIT_NOTE] if ordinary and not drill else [])]


def steps_text(names: Sequence[str], texts: Sequence[str]) -> list[tuple[str, str]]:
    """The response steps, numbered. `texts`: what each says further; empty where that may not be read."""
    further = [*texts, *([""] * (len(names) - len(texts)))]
    return [
        (f"Step {nth}", f"{name}: {text}" if text else name)
        for nth, (name, text) in enumerate(zip(names, further, strict=False), 1)
    ]


def to_do(emergency: str, *, ours: bool, over: bool) -> list[tuple[str, str]]:
    """What is asked of those who read it, and how it ends."""
    if over:
        return [("See who answered", f"tocsin emergency show {emergency}")]
    words = ", ".join(f"!{word}" for word in ROOM_ANSWERS)
    answer = (
        "Answer",
        f"in the room, in this thread: {words}; or tocsin emergency answer {emergency} --affected (and so on)",
    )
    look = ("See who answers", f"tocsin emergency show {emergency}")
    if ours:
        return [answer, look, ("Stand it down", f"tocsin emergency stand-down {emergency} --reason …")]
    return [answer, look, ("It ends", "when its caller stands it down; you are told here")]


def title(text: str, *, drill: bool) -> str:
    """A title for lists."""
    return f"{'DRILL' if drill else 'EMERGENCY'}: {text}"


def said(line: str, *, drill: bool) -> str:
    """A line about an emergency that is under way."""
    return f"{'DRILL' if drill else 'EMERGENCY'}, {line}"
