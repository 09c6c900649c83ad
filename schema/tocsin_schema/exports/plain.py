"""Foreign text made fit for people's tools: nothing in it turns the reading direction or hides.

In JSON such characters are escaped, so that no datum changes; where there is no escape they are named,
[U+202E], so that a reader sees that something was there.
"""

import re
from typing import Final

# Bidirectional controls, invisible characters, line separators and tags: what a reader would not see.
_HIDDEN: Final = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f"
)
_hidden: Final = re.compile(f"[{_HIDDEN}]").sub


def escaped(text: str) -> str:
    """JSON text with every hidden character as an escape: the same JSON."""
    return _hidden(_escape, text)


def shown(text: str) -> str:
    """Text with every hidden character named."""
    return _hidden(lambda match: f"[U+{ord(match[0]):04X}]", text)


def _escape(match: re.Match[str]) -> str:
    raw = match[0].encode("utf-16-be")
    return "".join(f"\\u{raw[at]:02x}{raw[at + 1]:02x}" for at in range(0, len(raw), 2))
