"""Places in a form: how they are written, what stands there, and a form without some of them.

A place is written as findings write it: `description`, `affected[0]`, `harms[1].note`. Paths of findings about
a bundle (`incident.extensions.ai-incident.harms[1].note`) lead to the same places.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final

from tocsin_schema.errors import NoSuchPlace
from tocsin_schema.finding import show
from tocsin_schema.form import FORM
from tocsin_schema.record import ListOf, Record
from tocsin_schema.shape import Pattern, Text, Word

Place = tuple[str | int, ...]

_STEP: Final = re.compile(r"\.?([A-Za-z_][A-Za-z0-9_-]{0,80})|\[(\d{1,5})\]")
_OF_FINDINGS: Final = (
    ("incident.extensions.ai-incident.", ""),
    ("incident.external_references", "sources"),
    ("incident.name", "title"),
    ("report.name", "title"),
    ("report.description", "description"),
    ("incident.", ""),
)
_SOURCE_NAMES: Final = {"source_name": "name", "external_id": "id", "hashes": "sha256"}


def read(text: str) -> Place:
    """The place that a person named. Raises: `NoSuchPlace` for a text that is none."""
    path = text.strip()
    for theirs, ours in _OF_FINDINGS:
        if path.startswith(theirs):
            path = ours + path.removeprefix(theirs)
            break
    steps: list[str | int] = []
    at = 0
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None or len(steps) > 32:
            raise NoSuchPlace(f"{show(text, 80)} is not a place in a report.")
        steps.append(match[1] if match[1] is not None else int(match[2]))
        at = match.end()
    if steps[:1] == ["sources"] and len(steps) > 2:
        steps[2] = _SOURCE_NAMES.get(str(steps[2]), steps[2])
    if not steps:
        raise NoSuchPlace("An empty place is none.")
    return tuple(steps)


def written(place: Place) -> str:
    """A place as people read it."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return "".join(steps).removeprefix(".")


def holds(form: object, place: Place) -> bool:
    """Whether something stands at the place."""
    try:
        found(form, place)
    except NoSuchPlace:
        return False
    return True


def found(form: object, place: Place) -> Any:
    """What stands at the place. Raises: `NoSuchPlace`."""
    value: Any = form
    for step in place:
        steps = range(len(value)) if isinstance(value, list) else value if isinstance(value, Mapping) else ()
        if step not in steps:
            raise NoSuchPlace(f"{show(written(place), 80)} is not in the report.")
        value = value[step]
    return value


def without(value: Any, places: Collection[Place], here: Place = ()) -> Any:
    """A copy without the places; what they leave empty goes as well, and lists close up."""
    if isinstance(value, Mapping):
        inner = {
            name: without(item, places, (*here, name))
            for name, item in value.items()
            if (*here, name) not in places
        }
        return {name: item for name, item in inner.items() if item not in ({}, []) or value[name] in ({}, [])}
    if isinstance(value, list):
        items = [
            without(item, places, (*here, nth))
            for nth, item in enumerate(value)
            if (*here, nth) not in places
        ]
        return [item for item in items if item != {}]
    return value


def replaced(value: Any, texts: Mapping[Place, str], here: Place = ()) -> Any:
    """A copy with other texts at the places."""
    if here in texts:
        return texts[here]
    if isinstance(value, Mapping):
        return {name: replaced(item, texts, (*here, name)) for name, item in value.items()}
    if isinstance(value, list):
        return [replaced(item, texts, (*here, nth)) for nth, item in enumerate(value)]
    return value


def leaves(value: Any, here: Place = ()) -> Iterator[tuple[Place, Any]]:
    """Everything in a form that holds nothing further, with its place."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from leaves(item, (*here, name))
    elif isinstance(value, list):
        for nth, item in enumerate(value):
            yield from leaves(item, (*here, nth))
    else:
        yield here, value


def is_free(place: Place, value: str) -> bool:
    """Whether a text was written by a person rather than picked from a vocabulary, a calendar or a clock."""
    shape = _shape(place)
    if isinstance(shape, Word):
        return shape.open_ and value not in shape.vocabulary
    return shape is None or isinstance(shape, Text | Pattern | Record)


def is_prose(place: Place) -> bool:
    """Whether words may be missing from a text without breaking what it is; not so in addresses and names of files."""
    shape = _shape(place)
    return isinstance(shape, Text | Record) and place[-1] not in {"id", "code", "model_identifier", "vector"}


def known(value: Any, shape: object = FORM) -> Any:
    """A copy with the properties that the form knows, at every depth: those of later profiles are left out."""
    if isinstance(shape, Record) and isinstance(value, Mapping):
        return {
            name: known(item, shape.fields[name].shape)
            for name, item in value.items()
            if name in shape.fields
        }
    if isinstance(shape, ListOf) and isinstance(value, list):
        return [known(item, shape.item) for item in value]
    return value


def changed(value: Any, change: Callable[[Place, str], str | None], here: Place = ()) -> Any:
    """A copy with every text passed through `change`; None takes the text out."""
    gone: list[Place] = []
    texts: dict[Place, str] = {}
    for place, leaf in leaves(value, here):
        if isinstance(leaf, str):
            after = change(place, leaf)
            if after is None:
                gone.append(place)
            elif after != leaf:
                texts[place] = after
    return without(replaced(value, texts), gone)


def _shape(place: Place) -> object:
    shape: object = FORM
    for step in place:
        if isinstance(shape, Record) and isinstance(step, str):
            field = shape.fields.get(step)
            shape = field.shape if field is not None else None
        elif isinstance(shape, ListOf) and isinstance(step, int):
            shape = shape.item
        else:
            return None
    return shape
