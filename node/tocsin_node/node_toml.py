"""The commented node.toml, written from the settings classes, so that it cannot say anything else."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import FieldInfo

from tocsin_node.settings.record import SECTIONS

HEAD = """\
# Settings of a Tocsin node. Every setting stands here with its meaning; what is commented out has the default
# that is shown. An environment variable wins over this file: TOCSIN_<SECTION>_<SETTING>, for example
# TOCSIN_NODE_PORT=8712. Secrets are never written here, only the paths of the files that hold them.
"""
Values = Mapping[str, Mapping[str, Any]]


def commented(values: Values) -> str:
    """The file with `values` (section → setting → value) set, and everything else as a comment.

    A section without values whose settings have no defaults (such as `matrix`) is a comment as a whole.
    """
    return "\n".join([HEAD, *(_section(name, kind, values.get(name, {})) for name, kind in SECTIONS.items())])


def _section(name: str, kind: type[Struct], values: Mapping[str, Any]) -> str:
    fields = msgspec.structs.fields(kind)
    idle = not values and any(field.required for field in fields)
    lines = [f"# {(kind.__doc__ or '').strip().splitlines()[0]}", f"{'#' if idle else ''}[{name}]"]
    for field in fields:
        lines += ["", *(f"# {line}" for line in _meaning(field))]
        set_here = field.name in values
        shown = values[field.name] if set_here else _default(field)
        lines.append(f"{'' if set_here else '#'}{field.name} = {_toml(shown)}")
    return "\n".join([*lines, ""])


def _meaning(field: FieldInfo) -> Iterator[str]:
    description, bounds = "", ""
    kind = field.type
    for meta in _metas(kind):
        description = meta.description or description
        bounds = _bounds(meta) or bounds
    choices = _choices(kind)
    if choices:
        bounds = "One of: " + ", ".join(choices) + "."
    yield from _wrapped(" ".join(part for part in (description, bounds) if part))


def _metas(kind: Any) -> Iterator[Meta]:
    """All that is said about a type, the nearest to the field last."""
    if hasattr(kind, "__metadata__"):
        yield from _metas(kind.__origin__)
        yield from (meta for meta in kind.__metadata__ if isinstance(meta, Meta))


def _plain(kind: Any) -> Any:
    return _plain(kind.__origin__) if hasattr(kind, "__metadata__") else kind


def _choices(kind: Any) -> tuple[str, ...]:
    plain = _plain(kind)
    if get_origin(plain) is tuple:
        plain = _plain(get_args(plain)[0])
    return tuple(str(choice) for choice in get_args(plain)) if get_origin(plain) is Literal else ()


def _bounds(meta: Meta) -> str:
    low = meta.ge if meta.ge is not None else meta.gt
    high = meta.le if meta.le is not None else meta.lt
    if low is None or high is None:
        return ""
    return f"From {low:,} to {high:,}." if meta.gt is None else f"Above {low:,}, up to {high:,}."


def _default(field: FieldInfo) -> Any:
    return "" if field.required else field.default


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, int):
        return f"{value:_}" if value >= 100_000 else str(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(str(value), ensure_ascii=False)


def _wrapped(text: str, width: int = 108) -> Iterator[str]:
    line = ""
    for word in text.split():
        if line and len(line) + len(word) >= width:
            yield line
            line = word
        else:
            line = f"{line} {word}".strip()
    if line:
        yield line
