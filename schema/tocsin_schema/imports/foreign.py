"""Looking into foreign JSON and YAML, where any value may be of any type: what is not as hoped counts as absent."""

from collections.abc import Mapping
from datetime import date
from typing import Any


def at(value: object, *path: str) -> Any:
    """The value under a path of keys, or None."""
    for name in path:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def text_at(value: object, *path: str) -> str:
    """The text under a path of keys; empty when there is none."""
    found = at(value, *path)
    return found if isinstance(found, str) else ""


def list_at(value: object, *path: str) -> list[Any]:
    """The list under a path of keys; empty when there is none."""
    found = at(value, *path)
    return found if isinstance(found, list) else []


def texts_at(value: object, *path: str) -> list[str]:
    """The texts in the list under a path of keys, each once."""
    return list(dict.fromkeys(one for one in list_at(value, *path) if isinstance(one, str)))


def day_at(value: object, *path: str) -> str | None:
    """The date under a path as the STIX timestamp of its first moment, or None."""
    said = text_at(value, *path)[:10]
    try:
        return f"{date.fromisoformat(said).isoformat()}T00:00:00.000Z" if len(said) == 10 else None
    except ValueError:
        return None
