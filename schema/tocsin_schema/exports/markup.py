"""HTML that is safe by its type: text becomes HTML only here, and only escaped.

`tag` takes text and HTML; text is escaped, and characters that a reader would not see are named. There is no
way to pass raw HTML in but as an `Html`, which only this module and constants make.
"""

import html
import re
from typing import Final

from tocsin_schema.exports.plain import shown

_VOID: Final = frozenset(("meta", "br"))
_web: Final = re.compile(r"https?://[^\s]+", re.IGNORECASE).fullmatch


class Html:
    """A piece of HTML."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


Child = Html | str | None


def tag(element: str, /, *children: Child, **attributes: str) -> Html:
    """An element. `class_` stands for class, `http_equiv` for http-equiv; None among the children is nothing."""
    named = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(shown(value), quote=True)}"'
        for key, value in attributes.items()
    )
    inner = join(*children).text
    return Html(f"<{element}{named}>" if element in _VOID else f"<{element}{named}>{inner}</{element}>")


def join(*children: Child) -> Html:
    """Pieces one after the other; text among them is escaped."""
    return Html(
        "".join(
            child.text if isinstance(child, Html) else html.escape(shown(child), quote=True)
            for child in children
            if child is not None
        )
    )


def foreign(text: str, element: str = "bdi", **attributes: str) -> Html:
    """A line from somebody else: its reading direction stays inside it."""
    return tag(element, text, dir="auto", **attributes)


def prose(text: str) -> Html:
    """Paragraphs: an empty line ends one, a line break stays one."""
    made = []
    for block in re.split(r"\n\s*\n", text.strip()):
        lines = block.split("\n")
        pieces: list[Child] = [lines[0]]
        for line in lines[1:]:
            pieces += [tag("br"), line]
        made.append(tag("p", *pieces, dir="auto"))
    return join(*made)


def link(address: str, said: str) -> Html:
    """A link when the address is one of the web, else the text with the address behind it, not to be clicked."""
    if _web(address):
        return tag("a", tag("bdi", said), href=address, rel="noopener noreferrer nofollow")
    return join(foreign(said), f" {address}" if address else None)
