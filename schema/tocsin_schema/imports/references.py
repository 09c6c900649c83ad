"""The references of a foreign record as sources of a form."""

import re
from collections.abc import Iterable
from typing import Any, Final
from urllib.parse import urlsplit

from tocsin_schema.extension import URL
from tocsin_schema.imports.foreign import text_at
from tocsin_schema.imports.tidy import tidy_text

MAX_REFERENCES: Final = 190  # the form takes 200, and a source has some of its own
_is_address: Final = re.compile(URL.pattern).fullmatch


def references(items: Iterable[object], label: str, repairs: list[str]) -> list[dict[str, Any]]:
    """Sources made of objects with `url` and, under `label`, what stands there.

    An address that is none is carried as words, so that nothing is lost; a reference of nothing is left out.
    """
    made: list[dict[str, Any]] = []
    bare = broken = 0
    for item in items:
        said = tidy_text(text_at(item, label), 5000, "reference", repairs)
        url = text_at(item, "url").strip()
        if not said and not url:
            bare += 1
            continue
        one: dict[str, Any] = {"name": tidy_text(said, 250, "reference", [], line=True) or "reference"}
        if is_address(url):
            one["name"] = (urlsplit(url).hostname or one["name"])[:250]
            one["url"] = url
        elif url:
            broken += 1
            said = tidy_text(f"{said} ({url})".strip(), 5000, "reference", repairs)
        if said:
            one["description"] = said
        made.append(one)
    if broken:
        repairs.append(f"{broken} reference(s) whose address is none carried as words")
    if bare:
        repairs.append(f"{bare} empty reference(s) left out")
    if len(made) > MAX_REFERENCES:
        repairs.append(f"{len(made) - MAX_REFERENCES} reference(s) beyond {MAX_REFERENCES} left out")
    return made[:MAX_REFERENCES]


def is_address(url: str) -> bool:
    """Whether a text is a web address that STIX and we accept, with a host that can be read."""
    if len(url) > URL.limit or _is_address(url) is None:
        return False
    try:
        return bool(urlsplit(url).hostname)
    except ValueError:
        return False
