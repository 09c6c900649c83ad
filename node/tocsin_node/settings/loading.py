"""Read the settings from DIR/node.toml and the environment.

An environment variable TOCSIN_<SECTION>_<FIELD> wins over the file. What is unknown is refused, with the nearest name
that is known. All faults are told at once.
"""

import difflib
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_type_hints

import msgspec
from msgspec import Struct

from tocsin_node.errors import NotInitialised, SettingsError
from tocsin_node.settings.contradictions import contradictions
from tocsin_node.settings.kinds import Waits
from tocsin_node.settings.record import SECTIONS, Settings

FILE_NAME = "node.toml"
ENVIRONMENT_PREFIX = "TOCSIN_"


def load(directory: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of the node in `directory`.

    Raises: NotInitialised when there is no node.toml; SettingsError that names every fault.
    """
    file = directory / FILE_NAME
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise NotInitialised(f"There is no {FILE_NAME} in {directory}.") from exc
    except OSError as exc:
        raise SettingsError(f"{file} cannot be read: {exc.strerror}.") from exc
    # not UTF-8, not TOML, a number of 5,000 digits, lists without end
    except (ValueError, RecursionError) as exc:
        raise SettingsError(f"{file} is not valid TOML: {exc}") from exc
    return parse(table, directory, os.environ if environment is None else environment)


def parse(table: Mapping[str, Any], directory: Path, environment: Mapping[str, str]) -> Settings:
    """Settings from a TOML table and the environment.

    Raises: SettingsError that names every fault.
    """
    merged = {name: dict(part) if isinstance(part, dict) else part for name, part in table.items()}
    faults = [*_unknown_names(merged), *_overlay(merged, environment)]
    sections: dict[str, Struct] = {}
    for name, kind in SECTIONS.items():
        if (name not in merged and name != "node") or not isinstance(merged.get(name, {}), dict):
            continue
        try:
            sections[name] = msgspec.convert(_known(merged.get(name, {}), kind), kind)
        except msgspec.ValidationError as exc:
            faults.append(_in_words(name, str(exc)))
    settings: Settings | None = None
    if not faults:
        settings = Settings(dir=directory, **sections)  # type: ignore[arg-type]  # each was converted to its class
        faults.extend(contradictions(settings))
    if settings is None or faults:
        raise SettingsError("\n".join(faults), facts={"faults": faults})
    return settings


def _unknown_names(table: Mapping[str, Any]) -> Iterator[str]:
    for name, part in table.items():
        if name not in SECTIONS:
            yield f"[{name}] is not a section{_nearest(name, SECTIONS)}"
        elif not isinstance(part, dict):
            yield f"{name} must be a section: [{name}]"
        else:
            fields = SECTIONS[name].__struct_fields__
            for key in part:
                if key not in fields:
                    yield f"{name}.{key} is not a setting{_nearest(key, fields)}"


def _nearest(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(known)}."


def _known(part: Mapping[str, Any], kind: type[Struct]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if key in kind.__struct_fields__}


def _overlay(table: dict[str, Any], environment: Mapping[str, str]) -> Iterator[str]:
    for variable, text in sorted(environment.items()):
        name, key = _section_and_key(variable)
        if not variable.startswith(ENVIRONMENT_PREFIX) or not key:
            continue  # TOCSIN_DIR, TOCSIN_URL and the like are the command line's
        kind = SECTIONS[name]
        if key not in kind.__struct_fields__:
            yield f"{variable} is not a setting{_nearest(key, kind.__struct_fields__)}"
            continue
        section = table.setdefault(name, {})
        if any("\ud800" <= letter <= "\udfff" for letter in text):  # how Python shows bytes that are no UTF-8
            yield f"{variable} is not UTF-8."
        elif isinstance(section, dict):
            try:
                section[key] = _from_text(text, get_type_hints(kind, include_extras=True)[key])
            except msgspec.ValidationError as exc:
                yield f"{variable}: {_sentence(str(exc))}"


def _section_and_key(variable: str) -> tuple[str, str]:
    """The longest section that a variable's name begins with, and the rest; two empty texts: it names none."""
    rest = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
    name = max((s for s in SECTIONS if rest.startswith(f"{s}_")), key=len, default="")
    return name, rest[len(name) + 1 :] if name else ""


def _from_text(text: str, annotation: Any) -> Any:
    """An environment variable's text as the setting's type; lists are separated by commas."""
    while hasattr(annotation, "__metadata__"):
        annotation = annotation.__origin__
    if getattr(annotation, "__origin__", None) is tuple:
        parts = [part.strip() for part in text.split(",") if part.strip()]
        return msgspec.convert(parts, list[int], strict=False) if annotation is Waits else parts
    if getattr(annotation, "__origin__", None) is Literal or annotation is str:
        return text
    return msgspec.convert(text, annotation, strict=False)


def _in_words(section: str, message: str) -> str:
    """Msgspec's message with the setting's name in front."""
    what, _, where = message.partition(" - at `$.")
    if where:
        return f"{section}.{where.rstrip('`')}: {_sentence(what)}"
    if "missing required field" in what:
        field = what.split("`")[1]
        return f"{section}.{field} is missing."
    return f"{section}: {_sentence(what)}"


def _sentence(text: str) -> str:
    plain = text.replace("`", "").replace("Expected", "expected")
    return plain if plain.endswith(".") else f"{plain}."
