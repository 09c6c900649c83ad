"""How a table is laid out on a screen: no word is ever cut or broken, so that an id can be copied whole.

Where a table is wider than the screen its widest columns leave the grid, and stand below each row, each on lines of
its own with its name. The last column stays and wraps between words where enough of the screen is left for it.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

GAP = 3  # characters between two columns
INDENT = 4  # of what stands below its row
_GLUE = "\ue000"  # stands between the words of a command while lines are broken
_COMMAND = re.compile(r"`[^`]*`|(?:(?<=: )|(?<=\()|(?<=→ ))tocsin [^;),]*")
LEAST_TEXT = 28  # characters that a wrapped last column must have


@dataclass(frozen=True, slots=True)
class Layout:
    """`grid`: the columns that stand side by side, with their widths; `below`: those that stand below each row."""

    grid: tuple[tuple[int, int], ...]
    below: tuple[int, ...]


def lay_out(
    columns: Sequence[str], rows: Sequence[Sequence[str]], width: int, length: Callable[[str], int] = len
) -> Layout:
    """How the columns fit into `width` characters; `length` says how many a text takes on the screen."""
    widths = [max(length(cell) for cell in cells) for cells in zip(columns, *rows, strict=True)]
    grid, below = list(range(len(columns))), []
    while len(grid) > 1 and _sum(widths, grid) > width:
        last = grid[-1]
        left = width - _sum(widths, grid[:-1]) - GAP
        longest = max((length(word) for row in rows for word in row[last].split()), default=0)
        if max(LEAST_TEXT, longest, length(columns[last])) <= left:
            widths[last] = left
            break
        widest = max(grid, key=lambda at: widths[at])
        grid.remove(widest)
        below.append(widest)
    return Layout(tuple((at, widths[at]) for at in grid), tuple(sorted(below)))


def wrap(text: str, width: int, length: Callable[[str], int] = len) -> list[str]:
    """The text on lines of that width, broken between words alone: a longer word stands on a line of its own.

    A command counts as one word, so that it can be copied.
    """
    lines: list[str] = []
    whole = _COMMAND.sub(lambda command: command[0].replace(" ", _GLUE), text)
    for word in whole.split(" "):
        if lines and length(lines[-1]) + 1 + length(word) <= width:
            lines[-1] = f"{lines[-1]} {word}"
        else:
            lines.append(word)
    return [line.replace(_GLUE, " ") for line in lines]


def wrap_talk(text: str, width: int, length: Callable[[str], int] = len) -> list[str]:
    """A line for people, broken like `wrap`, with what follows indented."""
    bare = text.lstrip(" ")
    if bare.startswith("Next:") or length(text) <= width:
        return [text]
    before = text[: len(text) - len(bare)]
    mark = re.match(r"(?:→|\d+\.) ", bare)
    deeper = before + " " * (len(mark[0]) if mark else 0)
    lines = wrap(bare, max(width - len(deeper), LEAST_TEXT), length)
    return [f"{before if at == 0 else deeper}{line}" for at, line in enumerate(lines)]


def _sum(widths: Sequence[int], grid: Sequence[int]) -> int:
    return sum(widths[at] for at in grid) + GAP * (len(grid) - 1)
