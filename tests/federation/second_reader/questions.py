"""Sections 7a and 13 of PROTOCOL.md: what nodes ask each other about logs, and what they answer."""

import re
from collections.abc import Sequence
from typing import Any

from tests.federation.second_reader.basics import number, read, sha, unbase64

ENDS = {"sealed", "withheld", "stored", "unchanged", "superseded", "refused", "quarantined"}


TILE = re.compile(r"tile/([0-9])/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


def tile(path: str) -> tuple[int, int, int] | str:
    """Section 7, by C2SP tlog-tiles: level, index and width."""
    form = TILE.fullmatch(path)
    if form is None or form[2].startswith("x000") or int(form[3] or 1) > 255:
        return "proof-malformed"
    return int(form[1]), int(re.sub("[x/]", "", form[2])), int(form[3] or 256)


def heads(raw: bytes) -> str | None:
    """P-172: a question about heads."""
    asked = read(raw, 65_536)
    good = (
        asked is not None
        and set(asked) == {"logs", "salt", "v"}
        and number(asked["v"], 1, 1)
        and unbase64(asked["salt"], 16) is not None
        and isinstance(asked["logs"], list)
        and len(asked["logs"]) <= 1024
        and all(unbase64(each, 16) is not None for each in asked["logs"])
    )
    return None if good else "heads-malformed"


def compare(raw: bytes) -> str | None:
    """P-225: a question that compares."""
    asked = read(raw, 65_536)
    if asked is None or set(asked) != {"listed", "ranges", "v"} or not number(asked["v"], 1, 1):
        return "compare-malformed"
    listed, ranges = asked["listed"], asked["ranges"]
    if not isinstance(listed, bool) or not isinstance(ranges, list) or not 1 <= len(ranges) <= 1024:
        return "compare-malformed"
    if not all(isinstance(each, list) and len(each) == 2 and all(map(number, each)) for each in ranges):
        return "compare-malformed"
    ends: list[Any] = [place for each in ranges for place in each]
    rising = all(begin < end for begin, end in ranges) and ends == sorted(ends)
    places = sum(end - begin for begin, end in ranges)
    return None if rising and places <= (1024 if listed else 1_048_576) else "compare-malformed"


def names(salt: bytes, origins: Sequence[str]) -> set[bytes]:
    """P-172: how logs are named in a question with this salt."""
    return {sha(b"tocsin/1/heads\0" + salt + origin.encode())[:16] for origin in origins}


def heads_named(raw: bytes) -> set[bytes]:
    """The logs that a sound question names."""
    asked = read(raw, 65_536) or {}
    return {unbase64(each) or b"" for each in asked["logs"]}


def heads_answered(raw: bytes) -> str | None:
    """P-172: the form of the answer; notes and evidence are verified by rules of their own."""
    told = read(raw, 8 * 2**20)
    lists = [told.get(name) for name in ("heads", "evidence")] if told is not None else []
    good = (
        told is not None
        and set(told) == {"evidence", "heads", "v"}
        and number(told["v"], 1, 1)
        and all(isinstance(each, list) for each in lists)
        and len(told["heads"]) <= 1024
        and len(told["evidence"]) <= 8
        and all((note := unbase64(each)) is not None and len(note) <= 16_384 for each in told["heads"])
        and all(unbase64(each) is not None for each in told["evidence"])
    )
    return None if good else "heads-malformed"


def summed(places: Sequence[int]) -> tuple[int, bytes]:
    """P-225."""
    return len(places), sha(b"tocsin/1/held\0" + b"".join(each.to_bytes(8, "big") for each in places))


def compared(question: bytes, raw: bytes, held: Sequence[int] | None) -> str | None:
    """P-225: the answer to a sound question; `held`: the places that its sums must be of."""
    asked, told = read(question, 65_536) or {}, read(raw, 262_144)
    if told is None or set(told) != {"entries", "next", "sums", "v"} or not number(told["v"], 1, 1):
        return "compare-malformed"
    sums, entries, ranges = told["sums"], told["entries"], asked["ranges"]
    if not number(told["next"]) or not isinstance(sums, list) or not isinstance(entries, list):
        return "compare-malformed"
    if not all(one_sum(each) for each in sums) or not all(one_entry(each) for each in entries):
        return "compare-malformed"
    places = [each["at"] for each in entries]
    within = all(any(low <= at < high for low, high in ranges) for at in places)
    if not within or places != sorted(set(places)) or len(entries) > 1024:
        return "compare-malformed"
    if len(sums) != (0 if asked["listed"] else len(ranges)) or (entries and not asked["listed"]):
        return "compare-malformed"
    if held is not None:
        due = [summed([at for at in held if low <= at < high]) for low, high in ranges]
        assert due == [(each["n"], unbase64(each["sum"])) for each in sums]
    return None


def one_sum(each: Any) -> bool:
    return (
        isinstance(each, dict)
        and set(each) == {"n", "sum"}
        and number(each["n"])
        and unbase64(each["sum"], 32) is not None
    )


def one_entry(each: Any) -> bool:
    return (
        isinstance(each, dict)
        and {"at", "state"} <= set(each) <= {"at", "code", "state"}
        and number(each["at"])
        and each["state"] in ENDS
        and re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", str(each.get("code", "none"))) is not None
        and len(each.get("code", "")) <= 64
    )
