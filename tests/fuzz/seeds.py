"""Where fuzzing begins: the vectors of the protocol, the examples of the schema, and small files of each foreign form."""

import base64
import csv
import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml
from tests.schema.imports import test_aiid, test_atlas, test_avid

ROOT = Path(__file__).parents[2]
VECTORS = ROOT / "federation" / "vectors"
EXAMPLES = ROOT / "schema" / "examples"
MOST_BYTES = 64 * 1024  # a vector that is too large on purpose teaches a fuzzer nothing


def given(check: str, *, ok: bool = False) -> Iterator[dict[str, Any]]:
    """What each vector of a check gives, its bytes unpacked; `ok`: only of those that must pass."""
    for path in sorted((VECTORS / check).glob("*.json")):
        vector = json.loads(path.read_text(encoding="utf-8"))
        if not ok or vector["expect"] == "ok":
            yield _unpacked(vector["given"])


def field(check: str, name: str) -> Iterator[bytes]:
    """One field of every vector of a check, as bytes."""
    for one in given(check):
        value = one[name]
        yield value.encode() if isinstance(value, str) else value


def chains() -> Iterator[list[bytes]]:
    """Every chain of statements among the vectors."""
    for one in given("identity"):
        yield one["chain"]


def examples() -> Iterator[bytes]:
    """Reports that pass, and such that must not."""
    for path in sorted(EXAMPLES.rglob("*.json")):
        yield path.read_bytes()


def whole_examples() -> Iterator[bytes]:
    """Reports that pass."""
    for path in sorted(EXAMPLES.glob("*.json")):
        yield path.read_bytes()


def aiid() -> Iterator[bytes]:
    yield test_aiid.table({}, {"incident_id": "900002", "date": "2018-02-30"}).getvalue()


def aiid_classes() -> Iterator[bytes]:
    """One row in each of the four forms of classification."""
    for columns in (
        {
            "Incident ID": "1",
            "AI tangible harm": "AI tangible harm event",
            "Lives Lost": "1",
            "Injuries": "2",
        },
        {
            "Incident ID": "2",
            "Risk Domain": "1. Discrimination",
            "Risk Subdomain": "1.1 Unfair",
            "Intent": "2",
        },
        {"Incident ID": "3", "Known AI Goal": "Chat", "Known AI Technology": "Transformer"},
        {"Incident ID": "4", "Severity": "Minor", "Harm Type": '["Financial harm"]', "Lives Lost": "0"},
    ):
        text = io.StringIO()
        csv.writer(text).writerows([columns.keys(), columns.values()])
        yield text.getvalue().encode()


def avid() -> Iterator[bytes]:
    yield json.dumps(test_avid.RECORD).encode()
    yield b"\n".join([json.dumps(test_avid.RECORD).encode()] * 2)


def atlas() -> Iterator[bytes]:
    yield yaml.safe_dump(test_atlas.TREE).encode()
    yield json.dumps(test_atlas.TREE).encode()


def atlas_stix() -> Iterator[bytes]:
    yield json.dumps(test_atlas.STIX).encode()


def words(seeds: Iterable[bytes]) -> list[bytes]:
    """What a fuzzer may put in as a whole: names and short texts of the seeds."""
    found: dict[bytes, None] = {}
    for seed in seeds:
        for part in seed.replace(b'"', b"\n").replace(b" ", b"\n").split(b"\n"):
            if 3 <= len(part) <= 32:
                found[part] = None
    return list(found)[:400]


def _unpacked(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) == {"utf8"}:
            return value["utf8"].encode()
        if set(value) == {"base64"}:
            return base64.b64decode(value["base64"])
        return {key: _unpacked(item) for key, item in value.items()}
    return [_unpacked(item) for item in value] if isinstance(value, list) else value
