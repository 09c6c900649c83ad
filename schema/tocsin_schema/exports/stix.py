"""Strict STIX 2.1: many reports as one bundle, or each report byte for byte as it was signed, one a line."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final

from tocsin_schema import canonical, ids
from tocsin_schema.artefacts import announcements
from tocsin_schema.merge import Merger
from tocsin_schema.report import IncidentReport

LOSSES: Final = (
    (
        "An object that several reports carry (a party, a system, a technique) is there once, in its latest version; of"
        " two spellings or descriptions that claim one version, that of the report changed last. Each report whose own"
        " objects differ is there a second time, as it was signed, in an artifact: tocsin import stix gives every"
        " report back byte for byte; another tool may show the one spelling for all."
    ),
    (
        "The bundle holds everything that its reports hold, so it must be handled as the strictest of them. An object"
        " without a marking of its own no longer shows from which report it came."
    ),
    "Signature, log entry, recipients and acknowledgements belong to the node and are in no form.",
)


def write(reports: Iterable[IncidentReport]) -> Iterator[bytes]:
    """One bundle: the extension definitions once, then the objects as they are first met."""
    with Merger() as merger:
        merger.add(announcements())
        for report in reports:
            merger.add_report(report)
        merger.complete()
        yield from bundle(merger)


def bundle(merger: Merger) -> Iterator[bytes]:
    """The merged objects as one bundle, an object a line; its identifier is derived from them and stands at the end."""
    digest = hashlib.sha256()
    yield b'{"type":"bundle","objects":['
    between = b"\n"
    for text in merger.texts():
        digest.update(text + b"\n")
        yield between + text
        between = b",\n"
    identifier = ids.derive("bundle", f"bundle:{digest.hexdigest()}")
    yield b'\n],"id":' + canonical.to_bytes(identifier) + b"}\n"


def write_lines(reports: Iterable[IncidentReport]) -> Iterator[bytes]:
    """One bundle a line: the bytes that were signed; only a report that has line breaks is written without them."""
    for report in reports:
        raw = report.raw
        yield (raw if b"\n" not in raw else canonical.to_bytes(canonical.parse_strict(raw))) + b"\n"
