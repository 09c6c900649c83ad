"""What a report says beyond its first lines, as label and value for a person: systems, parties, times, harms."""

import json
from collections.abc import Mapping
from typing import Any

from tocsin_cli.plain import local_time

Pairs = list[tuple[str, object]]
_PARTIES = (
    ("developers", "Developed by"),
    ("deployers", "Deployed by"),
    ("affected", "Affected"),
    ("actors", "Done by"),
)
_LISTS = (("flags", "Flags"), ("countries", "Countries"))
_SHOWN_OF_A_DATE = {"day": 10, "month": 7, "year": 4}


def content_facts(bundle: object) -> Pairs:
    """Return what the bundle of a node's answer says, one pair a line; a field that is not there has no line.

    Raises: SchemaError when it is no report that can be taken apart here.
    """
    from tocsin_schema.canonical import to_bytes
    from tocsin_schema.stix import to_form

    form = to_form(to_bytes(bundle))
    pairs: Pairs = [("AI system", _system(each)) for each in form.get("systems", ())]
    for name, label in _PARTIES:
        if form.get(name):
            pairs.append((label, "; ".join(_party(each) for each in form[name])))
    pairs += _times(form)
    pairs += [(label, ", ".join(form[name])) for name, label in _LISTS if form.get(name)]
    pairs += [("Harm", _harm(each)) for each in form.get("harms", ())]
    if quantities := form.get("quantities"):
        pairs.append(
            ("Quantities", ", ".join(f"{_words(name)}: {_value(n)}" for name, n in quantities.items()))
        )
    pairs += [("Source", _named(each, "name", "url")) for each in form.get("sources", ())]
    if record := form.get("source_record"):
        pairs.append(("Taken from", f"{record.get('source')} {_named(record, 'id', 'url')}"))
        pairs.append(("Licence", record.get("license") or "not said"))
    return pairs


def _times(form: Mapping[str, Any]) -> Pairs:
    exact = str(form.get("occurred_fidelity", ""))
    spans = [_moment(form[name], exact) for name in ("occurred_start", "occurred_end") if form.get(name)]
    pairs: Pairs = []
    if spans:
        until = "" if form.get("occurred_start") else "until "
        about = f" (known to the {exact})" if exact else ""
        pairs.append(("Occurred", until + " to ".join(dict.fromkeys(spans)) + about))
    if form.get("detected_at"):
        pairs.append(("Noticed", local_time(form["detected_at"])))
    if form.get("aware_at"):
        pairs.append(("Aware since", local_time(form["aware_at"])))
    return pairs


def _moment(text: object, exact: str) -> str:
    """A time in the reader's zone; what is only known to the day has no zone to be shown in."""
    shown = _SHOWN_OF_A_DATE.get(exact)
    return str(text)[:shown] if shown else local_time(text)


def _system(each: Mapping[str, Any]) -> str:
    return " ".join(str(each[name]) for name in ("vendor", "name", "version") if each.get(name))


def _party(each: object) -> str:
    return f"{each.get('name')} ({each.get('class')})" if isinstance(each, Mapping) else str(each)


def _harm(each: Mapping[str, Any]) -> str:
    more = [f"{_words(name)} {_value(value)}" for name, value in each.items() if name != "harm_type"]
    return ", ".join([str(each.get("harm_type")), *more])


def _named(each: Mapping[str, Any], name: str, url: str) -> str:
    return f"{each.get(name)}: {each[url]}" if each.get(url) else str(each.get(name))


def _words(name: str) -> str:
    return name.replace("_", " ")


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
