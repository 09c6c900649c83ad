"""Sections 8, 14 and 16 of PROTOCOL.md: acknowledgements, receipts and recalls.

Each function is given header and content as they came out of an entry that was opened, and what the reader knows.
"""

import re
from collections.abc import Sequence
from typing import Any

from tests.federation.second_reader.basics import COUNT, NODE, UUID, canonical, number, unbase64
from tests.federation.second_reader.entries import for_us

REPORT = rf"incident--{UUID}"
DAYS_31 = 31 * 86_400_000


def told(content: bytes, most: int) -> dict[str, Any] | str:
    """A content in strict canonical JSON with a `v`, or the code."""
    try:
        said = canonical(content) if len(content) <= most else None
    except (ValueError, RecursionError):
        said = None
    return said if isinstance(said, dict) and type(said.get("v")) is int else "content-invalid"


def words(value: Any, most: int) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= most


def acknowledgement(content: bytes) -> dict[str, Any] | str:
    """P-85, P-109 to P-111: what it says, or the code."""
    said = told(content, 4096)
    if isinstance(said, str):
        return said
    if said["v"] not in {1, 2}:
        return "unsupported"
    fields, state = {"at", "report_id", "revoked", "v", "ver"}, said.get("state")
    if said["v"] == 2:
        if not isinstance(state, str):
            return "content-invalid"
        if state not in {"taken", "resolved", "unanswered", "muted", "escalated"}:
            return "unsupported"
        fields |= {"state", "until"} if state == "muted" and said.get("revoked") is False else {"state"}
    good = (
        set(said) == fields
        and re.fullmatch(REPORT, str(said["report_id"])) is not None
        and isinstance(said["revoked"], bool)
        and number(said["at"])
        and number(said["ver"], 1, COUNT)
        and ("until" not in said or number(said["until"], said["at"] + 1, said["at"] + DAYS_31))
    )
    return said if good else "content-invalid"


def acknowledged(header: dict[str, Any], content: bytes, *, peer: str, active: bool, me: str) -> str | None:
    """P-85, but for what our own log has to say of it (`not-ours`)."""
    if (bad := for_us(header, peer, me, {"ack"})) is not None:
        return bad
    said = acknowledgement(content)
    if isinstance(said, str):
        return said
    if (said["report_id"], said["ver"]) != (header["id"], header["ver"]):
        return "inner-mismatch"
    return None if active else "peer-inactive"


ENDS = {
    "stored",
    "unchanged",
    "superseded",
    "refused",
    "quarantined",
    "alerted",
    "waiting",
    "purged",
    "narrowed",
}


def item(each: Any, v: int) -> bool:
    fields = {"at", "entry", "state"} | ({"by"} if v == 2 else set())
    return (
        isinstance(each, dict)
        and set(each) == (fields | {"code"} if each.get("state") in {"refused", "quarantined"} else fields)
        and each["state"] in ENDS
        and number(each["at"])
        and (v == 1 or (isinstance(each["by"], str) and NODE.fullmatch(each["by"]) is not None))
        and unbase64(each["entry"], 32) is not None
        and re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", each.get("code", "none")) is not None
        and len(each.get("code", "")) <= 64
    )


def receipt(
    header: dict[str, Any],
    content: bytes,
    *,
    peer: str,
    active: bool,
    me: str,
    sealed: Sequence[bytes],
    passed: Sequence[tuple[bytes, str]],
) -> str | None:
    """P-180 to P-184, P-270, P-271. `sealed`: leaf hashes of our log's entries that were sealed to the peer.

    `passed`: leaf hashes of entries of the peer's log that passed a report of ours on, each with one that it went to.
    """
    if (bad := for_us(header, peer, me, {"receipt"})) is not None:
        return bad
    said = told(content, 65_536)
    if isinstance(said, str):
        return said
    if said["v"] not in {1, 2}:
        return "unsupported"
    items = said.get("items")
    if set(said) != {"items", "v"} or not isinstance(items, list) or not 1 <= len(items) <= 256:
        return "content-invalid"
    if not all(item(each, said["v"]) for each in items):
        return "content-invalid"
    if len({(each["entry"], each["state"], each.get("by")) for each in items}) != len(items):
        return "content-invalid"
    if header["ref"] != items[0]["entry"]:
        return "inner-mismatch"
    if not active:
        return "peer-inactive"
    if said["v"] == 2:
        counts = any((unbase64(each["entry"]), each["by"]) in passed for each in items)
    else:
        counts = any(unbase64(each["entry"]) in sealed for each in items)
    return None if counts else "not-ours"


def recall(
    header: dict[str, Any],
    content: bytes,
    *,
    peer: str,
    active: bool,
    me: str,
    owners: dict[bytes, str | None],
) -> str | None:
    """P-185 to P-188. `owners`: of the entries that came here to whom the report held belongs; None: nothing is held."""
    if (bad := for_us(header, peer, me, {"recall"})) is not None:
        return bad
    said = told(content, 32_768)
    if isinstance(said, str):
        return said
    if said["v"] != 1:
        return "unsupported"
    entries = said.get("entries")
    good = (
        set(said) == {"at", "deadline", "entries", "reason", "v", "what"}
        and said["what"] in {"purge", "narrow"}
        and words(said["reason"], 500)
        and number(said["at"])
        and number(said["deadline"], said["at"])
        and isinstance(entries, list)
        and 1 <= len(entries) <= 256
        and all(unbase64(each, 32) is not None for each in entries)
        and len(set(entries)) == len(entries)
    )
    if not good:
        return "content-invalid"
    if header["ref"] != entries[0]:
        return "inner-mismatch"
    if not active:
        return "peer-inactive"
    came = [owners[raw] for each in entries if (raw := unbase64(each)) in owners]
    return "not-owner" if came and not {peer, None} & set(came) else None
