"""YAML from strangers as plain values: mappings, lists and texts, and nothing that a reader has to build.

PyYAML's constructors are not used. The events of its parser are put together here, with limits:

1. at most 16 MiB, UTF-8;
2. one document;
3. at most 32 levels deep;
4. no anchor is ever repeated by an alias, so that a small file cannot become a large one;
5. no tags;
6. keys are texts.

Dates, numbers and truth values stay the texts that stand in the file; a bare `null`, `~` or nothing is None.
A key that stands twice in a mapping is reported with its place, and the first value is kept.
"""

from typing import Any, BinaryIO, Final, NamedTuple

import yaml

from tocsin_schema.errors import ImportUnreadable

MAX_BYTES: Final = 16 * 1024 * 1024
MAX_DEPTH: Final = 32
_NULL: Final = frozenset(("", "~", "null", "Null", "NULL"))
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Path = tuple[str | int, ...]


class Read(NamedTuple):
    """The value of a document, and the places of keys that stand there twice."""

    value: Any
    doubles: frozenset[Path]


def read_yaml(stream: BinaryIO) -> Read:
    """The one document of a stream.

    Raises: `ImportUnreadable` for what is no YAML or breaks a limit.
    """
    raw = stream.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ImportUnreadable("The file has more than 16 MiB.")
    builder = _Builder()
    try:
        # A text: of bytes, PyYAML would take UTF-16 for UTF-16.
        for event in yaml.parse(raw.decode("utf-8-sig"), Loader=_LOADER):
            builder.take(event)
    except UnicodeDecodeError as exc:
        raise ImportUnreadable(f"The file is not UTF-8: byte {exc.start:,}.") from exc
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        place = f" in line {mark.line + 1:,}" if mark is not None else ""
        raise ImportUnreadable(f"The file is not YAML{place}.") from exc
    return Read(builder.value, frozenset(builder.doubles))


class _Builder:
    """Puts events together. `_open` holds, from the outside in, the collections that are not closed yet."""

    def __init__(self) -> None:
        self.value: Any = None
        self.doubles: set[Path] = set()
        self._open: list[dict[str, Any] | list[Any]] = []
        self._keys: list[str | None] = []  # the key that waits for its value, in each open collection
        self._documents = 0

    def take(self, event: Any) -> None:
        """Take the next event of the parser."""
        match event:
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise ImportUnreadable("The file holds several YAML documents.")
            case yaml.AliasEvent():
                raise self._unwanted(event, "repeats another part by an alias, which is not read here")
            case yaml.ScalarEvent():
                self._tag(event)
                plain = event.style is None or event.style == ""
                self._put(None if plain and event.value in _NULL else event.value, event)
            case yaml.MappingStartEvent():
                self._enter({}, event)
            case yaml.SequenceStartEvent():
                self._enter([], event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._open.pop()
                self._keys.pop()
            case _:
                pass

    def _enter(self, made: dict[str, Any] | list[Any], event: Any) -> None:
        self._tag(event)
        if len(self._open) >= MAX_DEPTH:
            raise self._unwanted(event, f"lies deeper than {MAX_DEPTH} levels")
        self._put(made, event)
        self._open.append(made)
        self._keys.append(None)

    def _put(self, value: Any, event: Any) -> None:
        if not self._open:
            self.value = value
            return
        inside = self._open[-1]
        if isinstance(inside, list):
            inside.append(value)
        elif self._keys[-1] is None:
            if not isinstance(value, str):
                raise self._unwanted(event, "is a key that is no text")
            self._keys[-1] = value
        else:
            key, self._keys[-1] = self._keys[-1], None
            if key in inside:
                self.doubles.add((*self._path(), key))
            else:
                inside[key] = value

    def _path(self) -> Path:
        """Where the innermost open collection lies."""
        steps: list[str | int] = []
        for inside, key in zip(self._open[:-1], self._keys[:-1], strict=True):
            steps.append(len(inside) - 1 if isinstance(inside, list) else self._last(inside, key))
        return tuple(steps)

    @staticmethod
    def _last(inside: dict[str, Any], key: str | None) -> str:
        return key if key is not None else next(reversed(inside), "")

    def _tag(self, event: Any) -> None:
        if event.tag is not None and event.tag != "!":
            raise self._unwanted(event, "carries a tag, which is not read here")

    @staticmethod
    def _unwanted(event: Any, said: str) -> ImportUnreadable:
        return ImportUnreadable(f"What stands in line {event.start_mark.line + 1:,} {said}.")
