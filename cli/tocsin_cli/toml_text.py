"""A form as TOML, for the editor: the standard library reads TOML and does not write it.

Covers what a form can hold: text, whole and decimal numbers, yes and no, lists, tables, lists of tables. Text
of several lines is written as such, so that it can be edited.
"""

import json
from collections.abc import Mapping
from typing import Any


def toml_text(form: Mapping[str, Any]) -> str:
    """Return TOML that reads back as `form`; members that are None are left out."""
    plain = {key: value for key, value in form.items() if value is not None and not _is_tabular(value)}
    lines = [f"{_key(key)} = {_value(value)}" for key, value in plain.items()]
    for key, value in form.items():
        if isinstance(value, Mapping):
            lines += ["", f"[{_key(key)}]", *_members(value)]
        elif _is_tabular(value):
            for each in value:
                lines += ["", f"[[{_key(key)}]]", *_members(each)]
    return "\n".join(lines) + "\n"


def _is_tabular(value: object) -> bool:
    if isinstance(value, Mapping):
        return True
    return isinstance(value, list) and bool(value) and all(isinstance(each, Mapping) for each in value)


def _members(table: Mapping[str, Any]) -> list[str]:
    return [f"{_key(key)} = {_value(value)}" for key, value in table.items() if value is not None]


def _key(key: str) -> str:
    return key if key and key.replace("_", "").replace("-", "").isalnum() and key.isascii() else _quoted(key)


def _value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case Mapping():
            inner = ", ".join(
                f"{_key(key)} = {_value(each)}" for key, each in value.items() if each is not None
            )
            return f"{{ {inner} }}" if inner else "{}"
        case list() | tuple():
            return "[" + ", ".join(_value(each) for each in value) + "]"
    text = str(value)
    return _paragraph(text) if "\n" in text else _quoted(text)


def _quoted(text: str) -> str:
    # JSON's escapes are TOML's, but for the slash-free surrogate pairs and DEL, which TOML wants escaped.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _paragraph(text: str) -> str:
    lines = (_quoted(line)[1:-1] for line in text.split("\n"))
    return '"""\n' + "\n".join(lines) + '"""'
