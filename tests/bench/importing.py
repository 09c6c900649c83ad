"""Each import door beside stix2.parse and stix2-validator on the records that it has just made."""

import io
import itertools
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

import stix2
from stix2validator import ValidationOptions, validate_string
from tests.bench.measure import Figure, Limit, Round, throughput

from tocsin_schema.imports import aiid, atlas, avid, stix
from tocsin_schema.imports.record import Record

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
Door = Callable[[BinaryIO], Iterator[Record]]


def figures(*, number: int, judged: int, rounds: int) -> Iterable[Figure]:
    """Two figures a source whose file is there.

    `number` records are imported a round; stix2 reads every one of `judged` of them and stix2-validator
    every third of these, once, as both are slow.
    """
    for name, raw, door in _sources(number):
        done = [_imported(raw, door, number) for _ in range(rounds)]
        bundles = [record.bundle for record in done[0][1] if record.bundle is not None]
        step = max(1, len(bundles) // judged)
        chosen = [bundle.decode() for bundle in bundles[::step]]
        best = [one for one, _ in done]
        yield throughput(f"import {name}, records", best, Limit("stix2.parse", _rate(_parse, chosen), "/s"))
        slow = Limit("stix2-validator", _rate(_validate, chosen[::3]), "/s")
        yield throughput(f"import {name}, the same", best, slow)


def _sources(number: int) -> Iterator[tuple[str, bytes, Door]]:
    for name, place, door in (
        ("aiid", "aiid/incidents.csv", aiid.read),
        ("avid", "avid/reports.jsonl", avid.read),
        ("atlas", "atlas/ATLAS.yaml", atlas.read),
    ):
        path = DATA / place
        if path.exists():
            yield name, path.read_bytes(), door
        else:
            sys.stderr.write(f"import {name}: skipped, {place} is not beside the repository\n")
    path = DATA / "aiid" / "incidents.csv"
    if path.exists():
        # The only collection of incidents in STIX that is large enough is the one that we make.
        records = list(itertools.islice(aiid.read(io.BytesIO(path.read_bytes())), number))
        objects = {
            obj["id"]: obj
            for record in records
            if record.bundle is not None
            for obj in json.loads(record.bundle)["objects"]
        }
        yield "stix", json.dumps(list(objects.values())).encode(), partial(stix.read)


def _imported(raw: bytes, door: Door, number: int) -> tuple[Round, list[Record]]:
    began = time.perf_counter()
    records = list(itertools.islice(door(io.BytesIO(raw)), number))
    return Round(len(records), time.perf_counter() - began), records


def _rate(judge: Callable[[str], object], bundles: list[str]) -> float:
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrong = [bundle for bundle in bundles if not judge(bundle)]
    seconds = time.perf_counter() - began
    if wrong:
        raise RuntimeError(f"{len(wrong)} imported records are no valid STIX")
    return len(bundles) / seconds


def _parse(bundle: str) -> bool:
    return len(stix2.parse(bundle, allow_custom=False, version="2.1").objects) > 0


def _validate(bundle: str) -> bool:
    return bool(validate_string(bundle, ValidationOptions(version="2.1")).is_valid)
