"""Whether an alert would get to a person now: every channel looked at afresh, and what each look found.

Nothing is sent and nobody is disturbed. A channel reaches people when its other side answers, would take a message,
and, where that can be known, somebody who may acknowledge is there.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tocsin_node.health import RANK, Check, Status
from tocsin_node.links.transport import ChannelDown, Ready, Retry
from tocsin_node.services.alarm_line import Line
from tocsin_node.services.alarm_way import Way

NO_CHANNEL = Check(
    "channels",
    "down",
    "no-channel",
    "Nobody is rung: add a [matrix], [webhook] or [mail] section to node.toml.",
)
NOBODY = Check(
    "channels", "down", "nobody-reached", "No channel reaches a person now; mend one of those below."
)
ONE_WAY = Check(
    "second-way",
    "degraded",
    "one-way-only",
    "There is no second way that reaches people: set up [matrix_second], [webhook] or [mail], or mend it.",
)


async def judge(
    lines: Mapping[str, Line],
    ways: Mapping[str, Way],
    others: Sequence[Check],
    *,
    on_rota: Collection[str] = (),
) -> dict[str, Any]:
    """`status`, `channels`, and `findings`: all that is not well, the gravest first.

    `on_rota`: Matrix users who may be called, and have to be in a room for that. `down`: no channel reaches a person;
    `degraded`: one does, but something is not well.
    """
    looks = await asyncio.gather(*(line.look() for line in lines.values()))
    looked = zip(lines.items(), looks, strict=True)
    channels = [await _channel(line, ways[name], found) for (name, line), found in looked]
    reaching = [c["channel"] for c in channels if c["reaches"]]
    findings: list[Check] = []
    if not reaching:
        findings.append(NOBODY if lines else NO_CHANNEL)
    elif len(reaching) == 1:
        findings.append(ONE_WAY)
    findings += [_finding(c) for c in channels if c["code"] is not None]
    findings += _absent(
        on_rota, [found for found in looks if isinstance(found, Ready) and found.present is not None]
    )
    findings += [line.canary.check() for line in lines.values() if line.canary is not None]
    findings = [f for f in (*findings, *others) if f.status != "ok"]
    findings.sort(key=lambda f: RANK[f.status], reverse=True)
    status = "down" if not reaching else "degraded" if findings else "ok"
    shown = [{"name": f.name, "status": f.status, "code": f.code, "hint": f.hint} for f in findings]
    return {"status": status, "channels": list(channels), "findings": shown}


async def _channel(line: Line, way: Way, found: Ready | Retry | ChannelDown) -> dict[str, Any]:
    code, hint = line.said(found)
    standing = line.channel.standing
    if code is None and standing.status == "down":  # a look does not prove all: the last message was refused
        code, hint = standing.code, standing.hint
    present = found.present if isinstance(found, Ready) else None
    canary = None if line.canary is None else await line.canary.last()
    return {
        "channel": line.name,
        "place": line.place,
        "reaches": isinstance(found, Ready) and present != 0 and standing.status != "down",
        "code": code,
        "hint": hint,
        "max_tlp": way.ceiling.value,
        "reserve": way.reserve,
        "responders_present": present,
        "canary_age_s": None if canary is None else canary.age_s,
        "canary_round_trip_s": None if canary is None else canary.round_trip_s,
    }


def _absent(on_rota: Collection[str], rooms: Sequence[Ready]) -> list[Check]:
    """Who is called in turn and would not see it, since he is in none of the rooms."""
    there = frozenset[str]().union(*(room.others for room in rooms))
    absent = sorted(set(on_rota) - there) if rooms else []
    if not absent:
        return []
    hint = (
        f"Members of a rota are in no room, and do not see that they are called: invite {', '.join(absent)}."
    )
    return [Check("oncall", "degraded", "oncall-absent", hint)]


def _finding(channel: Mapping[str, Any]) -> Check:
    status: Status = "degraded" if channel["reaches"] else "down"
    return Check(channel["channel"], status, channel["code"], channel["hint"])
