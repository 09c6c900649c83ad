"""What a report can be found by: keys such as `harm:privacy`, the texts for full-text search, and its times.

Everything comes from the report as it was checked; nothing is parsed again. A key is `kind:value` with the value
folded, so that what is stored and what is asked for are equal when they mean the same. Long values are cut and told
apart by a digest. What looks like a secret (a key, a token, a password) is in none of it: nobody shall find a report by
it, and no index shall hold it.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from tocsin_schema import ids, times
from tocsin_schema.report import IncidentReport
from tocsin_schema.secret import without_secrets
from tocsin_schema.words import searchable

MAX_KEY: Final = 160
MAX_PER_KIND: Final = 200
DUPLICATE_OF: Final = "duplicate-of"
TIMES: Final = ("occurred_start", "occurred_end", "detected_at", "aware_at", "causal_link_at")
# Names that say nothing about which system it was.
NAMELESS: Final = frozenset(
    (
        "",
        "unknown",
        "n/a",
        "none",
        "other",
        "ai",
        "ai system",
        "ai model",
        "model",
        "llm",
        "chatbot",
        "algorithm",
    )
)

Object = Mapping[str, Any]


class Facets(msgspec.Struct, frozen=True):
    """What one version of a report is found by. `newest`: the latest of its known times; texts are folded."""

    keys: tuple[str, ...]
    title: str
    names: str
    text: str
    occurred: datetime | None
    newest: datetime | None


def key(kind: str, value: str) -> str:
    """The key under which `value` is found, blind to case, width and spacing."""
    return _key(kind, without_secrets(value))


def _key(kind: str, value: str) -> str:
    folded = ids.fold(value)
    if len(folded) > MAX_KEY:
        folded = f"{folded[:MAX_KEY]}#{hashlib.sha256(folded.encode()).hexdigest()[:16]}"
    return f"{kind}:{folded}"


def system_keys(value: str) -> tuple[str, ...]:
    """The keys under which a system may be found by what a person writes: its id, its name, with or without version."""
    return key("software", value), key("system", value), key("product", value)


def url_key(url: str) -> str | None:
    """A source's address without what does not tell pages apart: scheme, `www.`, a last slash, the fragment."""
    try:
        parts = urlsplit(without_secrets(url))
        host = (parts.hostname or "").removeprefix("www.")
    except ValueError:
        return None
    query = f"?{parts.query}" if parts.query else ""
    return _key("url", f"{host}{parts.path.rstrip('/')}{query}") if host else None


def facets_of(report: IncidentReport) -> Facets:
    """What `report` is found by; its origin is the node's to add."""
    extension = report.extension
    found: dict[str, None] = dict.fromkeys(_own_keys(report))
    names: list[str] = list(report.systems)
    parties = {ref for refs in _refs(extension.get("parties")) for ref in refs}
    systems = {use["system_ref"] for use in extension.get("systems", ())}
    kept: dict[str, int] = {}
    for each in (made for obj in report.objects for made in _of_object(report, obj, parties, systems, names)):
        kind = each.partition(":")[0]
        kept[kind] = kept.get(kind, 0) + 1
        if kept[kind] <= MAX_PER_KIND:
            found[each] = None
    found.update(
        dict.fromkeys(f"{DUPLICATE_OF}:{other}" for other in duplicates_named(report)[:MAX_PER_KIND])
    )
    known = [at for name in TIMES if (at := times.parse(extension.get(name))) is not None]
    return Facets(
        keys=tuple(found),
        title=searchable(without_secrets(report.name)),
        names=searchable(*map(without_secrets, names)),
        text=searchable(without_secrets(report.description)),
        occurred=times.parse(extension.get("occurred_start")),
        newest=max(known, default=None),
    )


def duplicates_named(report: IncidentReport) -> tuple[str, ...]:
    """The incidents that `report` says it tells of the same event as."""
    return tuple(
        obj["target_ref"]
        for obj in report.objects
        if obj["type"] == "relationship"
        and obj["relationship_type"] == DUPLICATE_OF
        and obj["source_ref"] == report.id
    )


def _own_keys(report: IncidentReport) -> Iterable[str]:
    extension = report.extension
    yield f"state:{'withdrawn' if report.revoked else 'active'}"
    yield f"tlp:{report.tlp.value}"
    yield f"grade:{report.severity.grade.casefold()}"
    yield f"realization:{report.realization}"
    for harm in extension.get("harms", ()):
        yield f"harm:{harm['harm_type']}"
    for name, kind in (("flags", "flag"), ("countries", "country")):
        for value in extension.get(name, ()):
            yield _key(kind, value)
    for each in extension.get("classifications", ()):
        yield key("classification", f"{each['scheme']}:{each['code']}")
    if report.source is not None:
        yield _key("source", report.source.source)


def _of_object(
    report: IncidentReport, obj: Object, parties: set[str], systems: set[str], names: list[str]
) -> Iterable[str]:
    kind = obj["type"]
    if obj["id"] in systems:
        yield from _of_system(obj)
    elif obj["id"] in parties:
        names.append(obj["name"])
        yield key("party", obj["name"])
    elif kind == "attack-pattern":
        names.append(obj["name"])
        yield f"technique:{obj['id']}"
        for reference in obj.get("external_references", ()):
            if "external_id" in reference:
                names.append(reference["external_id"])
                yield key("technique", reference["external_id"])
    elif obj["id"] == report.id:
        for reference in obj.get("external_references", ()):
            if (made := url_key(reference.get("url", ""))) is not None:
                yield made


def _of_system(obj: Object) -> Iterable[str]:
    name, vendor, version = obj["name"], obj.get("vendor", ""), obj.get("version", "")
    product = name if not vendor or name.casefold().startswith(vendor.casefold()) else f"{vendor} {name}"
    yield f"software:{obj['id']}"
    yield key("system", name)
    if version:
        yield key("system", f"{product} {version}")
    if ids.fold(name) not in NAMELESS:
        yield key("product", product)


def _refs(parties: Any) -> Iterable[list[str]]:
    return (
        (refs for refs in parties.values() if isinstance(refs, list)) if isinstance(parties, Mapping) else ()
    )
