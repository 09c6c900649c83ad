"""Section 8 of PROTOCOL.md: what it says of STIX bundles, remarks and reports."""

import json
import uuid
from collections.abc import Sequence
from typing import Any

from tests.federation.second_reader.basics import MARKINGS, above
from tests.federation.second_reader.entries import for_us

NAMESPACE = uuid.UUID("4cac07ad-23e0-4b59-a1fc-4f67c75acc0a")


def identity(node: str) -> str:
    """The identity that belongs to a NodeID."""
    return f"identity--{uuid.uuid5(NAMESPACE, f'node:{node}')}"


def marking(objects: Sequence[dict[str, Any]], marked: dict[str, Any]) -> str | None:
    """The one TLP marking of an object of a bundle."""
    levels = {
        each["id"]: next(e["tlp_2_0"] for e in each["extensions"].values() if "tlp_2_0" in e)
        for each in objects
        if each["type"] == "marking-definition"
    }
    named = [levels[ref] for ref in marked.get("object_marking_refs", ()) if ref in levels]
    return named[0] if len(named) == 1 and named[0] in MARKINGS else None


def remark(
    header: dict[str, Any], content: bytes, *, peer: str, active: bool, ceiling: str, me: str, held: Any
) -> str | None:
    """P-80 to P-83 and P-86 to P-88. `held`: `origin`, `audience` of the entry that `ref` names, `tlp`; None for nothing."""
    if (bad := for_us(header, peer, me, {"remark"})) is not None:
        return bad
    if len(content) > 16_384:
        return "content-invalid"
    objects = json.loads(content)["objects"]
    kinds = {"sighting", "opinion", "note"}
    (own,) = (each for each in objects if each["type"] in kinds)
    if {each["type"] for each in objects} - kinds - {"identity", "marking-definition"} or len(objects) > 3:
        return "content-invalid"
    about = [*own.get("object_refs", ()), own.get("sighting_of_ref")]
    if header["id"] not in about:
        return "inner-mismatch"
    if header["tlp"] != marking(objects, own):
        return "tlp-mismatch"
    if own["created_by_ref"] != identity(header["by"]):
        return "foreign-creator"
    if not active:
        return "peer-inactive"
    if above(header["tlp"], ceiling):
        return "above-ceiling"
    if held is None or held["tlp"] is None:
        return "unknown-report"
    if held["origin"] != peer and not (held["origin"] == me and peer in held["audience"]):
        return "not-recipient"
    return "marking-looser" if above(held["tlp"], header["tlp"]) else None
