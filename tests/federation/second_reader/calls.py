"""Section 12 of PROTOCOL.md: calls and their answers."""

import re
import uuid
from typing import Any

from tests.federation.second_reader.basics import COUNT, UUID, above, number
from tests.federation.second_reader.entries import for_us
from tests.federation.second_reader.messages import REPORT, told, words


def step(each: Any) -> bool:
    return (
        isinstance(each, dict)
        and {"id", "name"} <= set(each) <= {"id", "name", "description"}
        and re.fullmatch(rf"course-of-action--{UUID}", str(each["id"])) is not None
        and words(each["name"], 120)
        and ("description" not in each or words(each["description"], 500))
    )


def steps(given: Any) -> bool:
    several = isinstance(given, list) and 1 <= len(given) <= 20 and all(step(each) for each in given)
    return several and len({each["id"] for each in given}) == len(given)


def call_of(content: bytes) -> dict[str, Any] | str:
    """P-140: what a call says, or the code."""
    said = told(content, 65_536)
    if isinstance(said, str):
        return said
    if said["v"] != 1:
        return "unsupported"
    fields = {"at", "drill", "key", "reason", "report_id", "seq", "since", "state", "steps", "v", "ver"}
    good = (
        fields - {"steps"} <= set(said) <= fields
        and re.fullmatch(UUID, str(said["key"])) is not None
        and re.fullmatch(REPORT, str(said["report_id"])) is not None
        and isinstance(said["drill"], bool)
        and words(said["reason"], 500)
        and all(number(said[name]) for name in ("at", "since"))
        and all(number(said[name], 1, COUNT) for name in ("seq", "ver"))
        and said["state"] in ({"declared"} if said["seq"] == 1 else {"updated", "stood-down"})
        and ("steps" not in said or steps(said["steps"]))
    )
    return said if good else "content-invalid"


def emergency(author: str, key: str) -> str:
    """P-141."""
    return str(uuid.uuid5(uuid.UUID(key), author))


def call(
    header: dict[str, Any],
    content: bytes,
    *,
    peer: str,
    active: bool,
    ceiling: str,
    me: str,
    held: Any,
    standing: bytes | None,
) -> str | None:
    """P-140 to P-144. `held`: `origin`, `tlp`, `withdrawn` of the version spoken of; None for nothing."""
    if (bad := for_us(header, peer, me, {"call"})) is not None:
        return bad
    said = call_of(content)
    if isinstance(said, str):
        return said
    if (said["report_id"], said["ver"]) != (header["id"], header["ver"]):
        return "inner-mismatch"
    if not active:
        return "peer-inactive"
    if above(header["tlp"], ceiling):
        return "above-ceiling"
    if held is None or held["tlp"] is None:
        return "unknown-report"
    if held["origin"] != peer:
        return "not-owner"
    if above(held["tlp"], header["tlp"]):
        return "marking-looser"
    if held["withdrawn"] and said["state"] != "stood-down":
        return "already-withdrawn"
    before = call_of(standing) if standing is not None else None
    if not isinstance(before, dict) or content == standing:
        return None
    if (before["report_id"], before["drill"]) != (said["report_id"], said["drill"]):
        return "call-changed"
    if said["seq"] == before["seq"]:
        return "version-conflict"
    return "already-stood-down" if said["seq"] > before["seq"] and before["state"] == "stood-down" else None


def answer_of(content: bytes) -> dict[str, Any] | str:
    """P-146: what an answer to a call says, or the code."""
    said = told(content, 4096)
    if isinstance(said, str):
        return said
    if said["v"] != 1:
        return "unsupported"
    fields = {"at", "emergency", "report_id", "revoked", "stage", "v", "ver"}
    good = (
        set(said) == (fields | {"said"} if said.get("stage") == "answered" else fields)
        and said["stage"] in {"stored", "rung", "acknowledged", "answered"}
        and said.get("said", "affected") in {"affected", "not-affected", "investigating"}
        and re.fullmatch(UUID, str(said["emergency"])) is not None
        and re.fullmatch(REPORT, str(said["report_id"])) is not None
        and isinstance(said["revoked"], bool)
        and number(said["at"])
        and number(said["ver"], 1, COUNT)
    )
    return said if good else "content-invalid"


def answer(header: dict[str, Any], content: bytes, *, peer: str, active: bool, me: str) -> str | None:
    """P-147, but for what our own log has to say of it (`not-ours`)."""
    if (bad := for_us(header, peer, me, {"answer"})) is not None:
        return bad
    said = answer_of(content)
    if isinstance(said, str):
        return said
    if (said["report_id"], said["ver"]) != (header["id"], header["ver"]):
        return "inner-mismatch"
    return None if active else "peer-inactive"
