"""Section 8 of PROTOCOL.md: what it says of STIX bundles, remarks and reports."""

import json
import uuid
from collections.abc import Sequence
from typing import Any

from tests.federation.second_reader.basics import MARKINGS, above, sha
from tests.federation.second_reader.entries import REPORTS, for_us

NAMESPACE = uuid.UUID("4cac07ad-23e0-4b59-a1fc-4f67c75acc0a")


REMARKS = {"sighting", "opinion", "note"}


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
    kinds = REMARKS
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


def stands(content: bytes, standing: bytes) -> str:
    """P-89, of two remarks of one node and kind on one report: what becomes of `content`."""
    if content == standing:
        return "unchanged"
    (new, old) = (
        next(each["modified"] for each in json.loads(raw)["objects"] if each["type"] in REMARKS)
        for raw in (content, standing)
    )
    return "stored" if (new, sha(content)) > (old, sha(standing)) else "superseded"


def node_of(bundle: Any, creator: str, nodes: Sequence[str]) -> str | None:
    """P-106: the node whose identity created a report, as far as the report and the NodeIDs that are known tell."""
    said = [each for each in bundle["objects"] if each["id"] == creator]
    named = [
        reference.get("external_id")
        for each in said
        for reference in each.get("external_references", ())
        if reference["source_name"] == "tocsin"
    ]
    return next(
        (node for node in (*nodes, *named) if isinstance(node, str) and identity(node) == creator), None
    )


def incident(bundle: Any) -> Any:
    (found,) = (each for each in bundle["objects"] if each["type"] == "incident")
    return found


def report(
    header: dict[str, Any],
    content: bytes,
    *,
    peer: str,
    active: bool,
    ceiling: str,
    me: str,
    nodes: Sequence[str],
    held: Any,
) -> str | tuple[str] | None:
    """P-80 to P-83, P-106, then P-90 to P-96, P-107 and P-153: the code, or in a tuple what becomes of it.

    `held`: `content`, `origin`, `ver` and `disputed` of what is held under the identifier; None for nothing.
    """
    if (bad := for_us(header, peer, me, REPORTS)) is not None:
        return bad
    bundle = json.loads(content)
    own = incident(bundle)
    if own["id"] != header["id"] or own.get("revoked", False) != (header["t"] == "revoke"):
        return "inner-mismatch"
    marked = marking(bundle["objects"], own)
    if marked is None:
        return "tlp-unknown"
    if marked != header["tlp"]:
        return "tlp-mismatch"
    if node_of(bundle, own["created_by_ref"], [me, *nodes]) not in {None, header["by"]}:
        return "foreign-creator"
    if not active:
        return "peer-inactive"
    if above(header["tlp"], ceiling):
        return "above-ceiling"
    return became(header, content, own["created_by_ref"], held)


def became(header: dict[str, Any], content: bytes, creator: str, held: Any) -> str | tuple[str]:
    """Section 9, for a report that came through section 8."""
    if held is None:
        return ("stored",)
    was = incident(json.loads(held["content"]))
    copied = held["origin"] != header["by"] and was["created_by_ref"] == creator == identity(header["by"])
    if copied:
        return ("stored",)
    same, theirs = content == held["content"], held["origin"] == header["by"]
    if held["disputed"] and theirs:
        return ("unchanged",) if same and held["ver"] == header["ver"] else ("stored",)
    if same:
        return ("unchanged",)
    if not theirs or was["created_by_ref"] != creator:
        return "not-owner"
    if header["ver"] < held["ver"]:
        return ("superseded",)
    if header["ver"] == held["ver"]:
        return "version-conflict"
    return "already-withdrawn" if was.get("revoked") else ("stored",)
