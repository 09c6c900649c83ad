"""Text as it is searched and compared: the same fold for what is stored and for what is asked, whatever the language.

No stemming and no stop words, since reports come in any language. Compatibility forms, case and the accents of
Latin, Greek and Cyrillic letters are folded away. Scripts that are written without spaces (Chinese, Japanese,
Thai, Khmer, Lao, Burmese) are taken apart into single characters, so that a word inside a run is found as the
phrase of its characters.
"""

import re
import unicodedata
from collections.abc import Sequence
from typing import Final

MAX_CHARS: Final = 60_000  # of one text: what comes after is not searched
_ACCENTS: Final = dict.fromkeys(range(0x0300, 0x0370))
_NO_SPACES: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003134f"
)
_DENSE: Final = re.compile(f"[{_NO_SPACES}]")
_RUN: Final = re.compile(f"[{_NO_SPACES}]+")
_WORD: Final = re.compile(r"[^\W_]+")


def fold(text: str) -> str:
    """`text` without what makes no difference to a reader who searches: case, accents, width."""
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return unicodedata.normalize("NFC", plain.translate(_ACCENTS))


def searchable(*texts: str) -> str:
    """The texts as they are put into an index: folded, dense scripts apart, at most `MAX_CHARS` characters."""
    text = fold("\n".join(texts)[:MAX_CHARS])
    return text if text.isascii() else _DENSE.sub(r" \g<0> ", text)


def sought(query: str) -> str:
    """A query as it is put to that index: a run of a dense script becomes the phrase of its characters.

    Quotes, `or` and a leading minus keep their meaning.
    """
    text = fold(query)
    if text.isascii():
        return text
    parts = text.split('"')
    for at, part in enumerate(parts):
        spaced = _RUN.sub(lambda run: f" {' '.join(run[0])} ", part)
        parts[at] = spaced if at % 2 else _RUN.sub(lambda run: f'"{" ".join(run[0])}" ', part)
    return '"'.join(parts)


def tokens(text: str) -> list[str]:
    """The words of a text in order, folded; each character of a dense script is one."""
    return _WORD.findall(searchable(text))


def excerpt(text: str, wanted: Sequence[str], width: int = 160) -> str:
    """One line of about `width` characters of `text` around the first of the `wanted` words; its start when none is.

    Control and direction characters become spaces: it is safe to print.
    """
    line = " ".join("".join(" " if unicodedata.category(c)[0] in "CZ" else c for c in text).split())
    found = [at for word in wanted if (at := _place(line, word)) >= 0]
    start = max(0, min(found, default=0) - width // 4)
    if start:
        start = line.find(" ", start - 1, start + 30) + 1 or start
    cut = line[start : start + width]
    return f"{'…' if start else ''}{cut.strip()}{'…' if start + width < len(line) else ''}"


def _place(line: str, word: str) -> int:
    match = re.search(rf"(?<!\w){re.escape(word)}", line, re.IGNORECASE)
    return match.start() if match else line.casefold().find(word)
