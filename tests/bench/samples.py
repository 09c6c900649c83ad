"""Distinct reports for the price of a join: one is built as people build them, then its own names are changed.

Incident, wrapper, bundle and relationships get fresh identifiers and the title a number of its own; parties,
systems and markings stay, as they do in life. Every property keeps its place, so the bytes stay canonical.
"""

import re
import tomllib
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from tocsin_schema.ids import UUID_PATTERN
from tocsin_schema.stix import build, node_identity

DEMO = Path(__file__).resolve().parents[2] / "deploy" / "demo"
OWN = rf"(?:incident|report|bundle|relationship)--({UUID_PATTERN})"
SERIAL = "case 0000000"
NOBODY = node_identity("Bench", "n1" + "a" * 52)
_numbers = count(1)


class Reports:
    """Reports made after one form, in the name of `producer`. `size`: bytes of each."""

    def __init__(self, form: dict, producer: dict) -> None:
        form = {**form, "title": f"{form['title']} ({SERIAL})"}
        raw = build(form, producer=producer, incident_id=f"incident--{uuid.uuid4()}", now=datetime.now(UTC))
        self.size = len(raw)
        text = raw.decode()
        self._own = sorted({*re.findall(OWN, text), SERIAL})
        self._incident = re.findall(f"incident--({UUID_PATTERN})", text)[0]
        self._parts = re.split("|".join(map(re.escape, self._own)), text)
        self._names = re.findall("|".join(map(re.escape, self._own)), text)

    def make(self) -> tuple[str, bytes]:
        """(incident id, bundle) of a report that nobody has seen before."""
        fresh = {name: str(uuid.uuid4()) for name in self._own}
        fresh[SERIAL] = f"case {next(_numbers):07}"
        pieces = [self._parts[0]]
        for name, part in zip(self._names, self._parts[1:], strict=True):
            pieces += (fresh[name], part)
        return f"incident--{fresh[self._incident]}", "".join(pieces).encode()

    def take(self, number: int) -> list[bytes]:
        """That many bundles."""
        return [self.make()[1] for _ in range(number)]

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        while True:
            yield self.make()


def quiet(producer: dict = NOBODY) -> Reports:
    """Grade IV, TLP:GREEN: stored and shared, rings nobody."""
    forms = tomllib.loads((DEMO / "incidents.toml").read_text("utf-8"))["incident"]
    return Reports(next(form for form in forms if form["title"].startswith("Coding agent deletes")), producer)


def ringing(producer: dict = NOBODY) -> Reports:
    """Grade II, TLP:GREEN: rings."""
    return Reports(tomllib.loads((DEMO / "severe.toml").read_text("utf-8")), producer)
