"""Changes inside JSON, which changes of single bytes hardly ever reach: values of another kind, size or place."""

import json
import random
from typing import Any

_DEEP: list[Any] = []
for _ in range(200):
    _DEEP = [_DEEP]
_WILD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 2**31, 2**53, 2**64, 10**400, 1e308, float("nan"), float("inf"),
    "", " ", "-", "--5", "5-", "\u0000", "\ud800", "\u0661", "http://[", "//", "a" * 5000, "9" * 5000, "2026-02-30T00:00:00Z",
    "0001-01-01T00:00:00Z", "9999-12-31T23:59:60Z", [], {}, [[]], [None], {"": None}, _DEEP,
)  # fmt: skip


def mutate(data: bytes, seed: int) -> bytes | None:
    """The JSON in `data`, from its first bracket on, with one to three changes; None when there is none."""
    starts = [at for at in (data.find(b"{"), data.find(b"[")) if at >= 0]
    if not starts:
        return None
    at = min(starts)
    try:
        value = json.loads(data[at:])
        dice = random.Random(seed)
        for _ in range(dice.randint(1, 3)):
            value = _changed(value, dice)
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    except (ValueError, RecursionError):
        return None
    return data[:at] + text.encode("utf-8", "surrogatepass")


def _changed(value: Any, dice: random.Random) -> Any:
    places = list(_places(value))
    if not places:
        return value
    inside, key = dice.choice(places)
    match dice.randrange(5):
        case 0:
            del inside[key]
        case 1 if isinstance(inside, dict):
            inside[dice.choice([str(k) for _, k in places])] = inside.pop(key)
        case 2:
            other, name = dice.choice(places)
            inside[key] = json.loads(json.dumps(other[name]))  # a copy: a list must not hold itself
        case 3 if isinstance(inside[key], str) and inside[key]:
            at = dice.randrange(len(inside[key]))
            inside[key] = (
                inside[key][:at]
                + dice.choice(("", "\n", "\u202e", ":", "9", "é", "\ud800"))
                + inside[key][at + 1 :]
            )
        case _:
            inside[key] = dice.choice(_WILD)
    return value


def _places(value: Any) -> Any:
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])
