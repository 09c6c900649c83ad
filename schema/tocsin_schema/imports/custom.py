"""Objects of types that STIX 2.1 does not have (x-mitre-tactic …), carried as new types by an extension.

STIX 2.1, 7.3: an object of a new type is legal when it names the extension that defines the type. Ours says no
more than that the object is passed on as its maker wrote it. What every object has (3.2) is checked as for any
other; of the rest, names and values must be such as STIX allows in extensions, and what is not is left out.
"""

from collections.abc import Mapping
from typing import Any, Final

from tocsin_schema.canonical import MAX_DEPTH
from tocsin_schema.compose import PARTY_EPOCH
from tocsin_schema.finding import label
from tocsin_schema.ids import FOREIGN_TYPE_EXTENSION
from tocsin_schema.imports.clean import clean
from tocsin_schema.objects import PLAIN, common
from tocsin_schema.record import MAX_UNKNOWN, PROPERTY_NAME, Record, explain_any

Object = dict[str, Any]

MARK: Final = {FOREIGN_TYPE_EXTENSION: {"extension_type": "new-sdo"}}


def is_custom(kind: str) -> bool:
    """Whether a type is one that somebody made up, by the mark that STIX 2.0 gave to such."""
    return kind.startswith("x-")


def carry(obj: Mapping[str, Any], lost: dict[str, int]) -> Object | None:
    """The object as one of a new type, or None when it lacks what every object has.

    `lost` counts the names of the properties that were left out or set right, as `clean` does. Beside the common
    ones at most 200 are kept. An object that does not say when it was made gets a fixed day.
    """
    kind = str(obj.get("type"))
    table = Record(common(kind, PLAIN), unknown="refuse")
    shared = {name: value for name, value in obj.items() if name in table.fields and name != "extensions"}
    for name in ("created", "modified"):
        if name not in shared:
            shared[name] = shared.get("created", PARTY_EPOCH)
            lost[f"no {name}"] = lost.get(f"no {name}", 0) + 1
    sound = clean(shared, lost, {kind: table})
    if sound is None:
        return None
    own = {name: value for name, value in obj.items() if name not in table.fields}
    for nth, (name, value) in enumerate(own.items()):
        fit = PROPERTY_NAME(name) is not None and not list(explain_any(value, MAX_DEPTH, ""))
        if fit and nth < MAX_UNKNOWN:
            sound[name] = value
        else:
            lost[label(name)] = lost.get(label(name), 0) + 1
    sound["extensions"] = {key: dict(value) for key, value in MARK.items()}
    return sound
