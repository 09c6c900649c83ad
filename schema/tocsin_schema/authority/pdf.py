"""A filled form as PDF/A-2u, by Typst, offline: the layout is ours (`form.typ`), all text goes in as data.

PDF/A forbids characters without a glyph, so Typst refuses them instead of leaving them out. Those that no font here can
show are written by their number (⟨U+4E2D⟩), and the document says so at the top. Typst brings fonts for Latin,
Greek and Cyrillic; for Chinese, Japanese and Korean it takes what the machine has.
"""

import json
import unicodedata
from collections.abc import Callable, Iterable
from datetime import datetime
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tocsin_schema.authority.document import Document
from tocsin_schema.errors import PdfUnavailable

if TYPE_CHECKING:
    import typst

SINGLE_TRIES: Final = 400
LONG_WORD: Final = 40
_PROBE: Final = b'#set text(font: "Libertinus Serif", fallback: true)\n#sys.inputs.text'
_STANDARD: Final = "a-2u"
Shows = Callable[[str], bool]


def to_pdf(document: Document, *, at: datetime, fonts: "typst.Fonts | None" = None) -> bytes:
    """The PDF. The same document, time and fonts give the same bytes.

    Raises: PdfUnavailable when Typst is not installed.
    """
    compiler = _compiler(fonts)
    shows = _shows(compiler)
    text = _texts(document)
    hidden = unshowable(set("".join(text)), shows)
    value = msgspec.to_builtins(_without(document, hidden))
    made = compiler.compile(
        input=resources.files("tocsin_schema.authority").joinpath("form.typ").read_bytes(),
        format="pdf",
        sys_inputs={"document": json.dumps(value)},
        pdf_standards=[_STANDARD],
        timestamp=at.replace(microsecond=0),
    )
    assert isinstance(made, bytes), "a PDF is one piece"
    return made


def unshowable(characters: Iterable[str], shows: Shows) -> frozenset[str]:
    """The characters that no font here can show, found by halving; beyond a few hundred tries, by whole blocks.

    `shows` says whether all characters of a text can be shown.
    """
    left = SINGLE_TRIES
    hidden: set[str] = set()
    asked = sorted(one for one in characters if not one.isascii() and not one.isspace())
    waiting = [asked] if asked else []
    while waiting:
        some = waiting.pop()
        left -= 1
        if shows("".join(some)):
            continue
        if len(some) == 1 or left < 0:
            hidden.update(some)
            continue
        middle = len(some) // 2
        waiting += [some[:middle], some[middle:]]
    return frozenset(hidden)


def system_fonts() -> "typst.Fonts":
    """The fonts of Typst and of this machine, looked up once."""
    return _fonts(system=True)


@cache
def _fonts(*, system: bool) -> "typst.Fonts":
    try:
        import typst  # noqa: PLC0415  it is large and only needed here
    except ModuleNotFoundError as exc:
        raise PdfUnavailable from exc
    return typst.Fonts(include_system_fonts=system, include_embedded_fonts=True)


def _compiler(fonts: "typst.Fonts | None") -> "typst.Compiler":
    chosen = fonts or system_fonts()
    import typst  # noqa: PLC0415  as above

    return typst.Compiler(font_paths=chosen, ignore_system_fonts=True)


def _shows(compiler: "typst.Compiler") -> Shows:
    import typst  # noqa: PLC0415  as above

    def shows(text: str) -> bool:
        try:
            compiler.compile(
                input=_PROBE, format="pdf", sys_inputs={"text": " ".join(text)}, pdf_standards=[_STANDARD]
            )
        except typst.TypstError:
            return False
        return True

    return shows


def _texts(document: Document) -> list[str]:
    return [text for text in _flat(msgspec.to_builtins(document)) if text]


def _flat(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _flat(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _flat(one)


def _without(document: Document, hidden: frozenset[str]) -> Document:
    """The same with numbers in place of what cannot be shown, breakable, and with a warning when there was any."""
    changed: Document = msgspec.convert(_replaced(msgspec.to_builtins(document), hidden), Document)
    if not hidden:
        return changed
    scripts = sorted({_script(one) for one in hidden})
    said = (
        f"{len(hidden)} different characters cannot be shown with the fonts of this machine "
        f"({', '.join(scripts[:6])}); they stand here as their numbers, U+…. "
        "Install fonts for them, or take the HTML form."
    )
    return msgspec.structs.replace(changed, warnings=(said, *changed.warnings))


def _script(character: str) -> str:
    """The script of a character, as far as its name tells: CJK, Hangul, Emoji."""
    word = unicodedata.name(character, "unknown").split()[0]
    return word if len(word) <= len("CJK") else word.title()


def _replaced(value: Any, hidden: frozenset[str]) -> Any:
    if isinstance(value, str):
        spelt = "".join(f"[U+{ord(one):04X}]" if one in hidden else one for one in value)
        return " ".join(map(_breakable, spelt.split(" ")))
    if isinstance(value, dict):
        return {name: _replaced(one, hidden) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(one, hidden) for one in value]
    return value


def _breakable(word: str) -> str:
    """A word that is longer than a line may hold, with places to break it."""
    if len(word) <= LONG_WORD:
        return word
    return "\u200b".join(word[at : at + LONG_WORD] for at in range(0, len(word), LONG_WORD))
