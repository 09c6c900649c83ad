"""What a person or a script sees: data on stdout, talk on stderr.

With --json every reading command prints one document on stdout, times in UTC, exactly as the node gave
it. Without, people get tables: drawn by rich on a terminal (imported only then), aligned plain text
elsewhere. All foreign text is cleaned here, so no command has to think of it.
"""

import codecs
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, TextIO

from tocsin_cli.columns import GAP, INDENT, LEAST_TEXT, lay_out, wrap, wrap_talk
from tocsin_cli.plain import clean, escape_json

if TYPE_CHECKING:
    from rich.console import Console

Row = Sequence[object]
MOST_TOLD = 20  # lines of one kind that a person is shown


class Output:
    """One run's stdout and stderr."""

    def __init__(self) -> None:
        self.as_json = False
        self.quiet = False
        self.verbose = 0
        self.no_color = bool(os.environ.get("NO_COLOR"))

    # Data -----------------------------------------------------------------------------------------

    def document(self, value: object) -> None:
        """Print one JSON document on stdout."""
        sys.stdout.write(json_text(value, sys.stdout) + "\n")

    def line(self, text: object = "", *, lines: bool = False) -> None:
        """Print one line (or, with `lines`, paragraphs) of data on stdout, cleaned.

        On a terminal paragraphs are broken between words.
        """
        cleaned = clean(text, lines=lines)
        if lines and on_terminal(sys.stdout):
            from rich.cells import cell_len

            width = self.console(sys.stdout).width
            cleaned = "\n".join(line for each in cleaned.split("\n") for line in wrap(each, width, cell_len))
        sys.stdout.write(cleaned + "\n")

    def raw(self, data: bytes) -> None:
        """Print exact bytes on stdout, for what is signed or hashed as it stands."""
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    def table(self, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """Print rows under their columns on stdout."""
        cells = [[clean(cell) for cell in row] for row in rows]
        if on_terminal(sys.stdout):
            self._rich_table(columns, cells)
            return
        widths = [max(len(line[at]) for line in [list(columns), *cells]) for at in range(len(columns))]
        for line in [[column.upper() for column in columns], *cells]:
            padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            sys.stdout.write("  ".join(padded).rstrip() + "\n")

    def facts(self, pairs: Sequence[tuple[str, object]]) -> None:
        """Print label and value, one pair a line, labels aligned; a value of several lines is indented.

        On a terminal a long value is broken between words.
        """
        width = max((len(label) for label, _ in pairs), default=0) + 2
        for label, value in pairs:
            lines = clean(value, lines=True).split("\n")
            if on_terminal(sys.stdout):
                from rich.cells import cell_len

                left = max(self.console(sys.stdout).width - width, LEAST_TEXT)
                lines = [line for each in lines for line in wrap(each, left, cell_len)]
            sys.stdout.write(f"{label}:".ljust(width) + ("\n" + " " * width).join(lines) + "\n")

    def _rich_table(self, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
        from rich.cells import cell_len
        from rich.text import Text

        console = self.console(sys.stdout)
        width = console.width
        layout = lay_out(columns, cells, width, cell_len)

        def show(*parts: tuple[str, str]) -> None:
            console.print(Text.assemble(*parts), soft_wrap=True)

        def row(texts: Sequence[str], style: Callable[[str], str]) -> None:
            wrapped = [wrap(texts[at], wide, cell_len) for at, wide in layout.grid]
            for lines in zip_longest(*wrapped, fillvalue=""):
                parts: list[tuple[str, str]] = []
                for text, (at, wide) in zip(lines, layout.grid, strict=True):
                    last = at == layout.grid[-1][0]
                    parts.append((text, style(texts[at])))
                    parts.append(("" if last else " " * (wide - cell_len(text) + GAP), ""))
                show(*parts)

        row(columns, lambda _: "bold")
        show(("─" * min(width, sum(wide + GAP for _, wide in layout.grid) - GAP), ""))
        for texts in cells:
            row(texts, _style)
            for at in layout.below:
                label = f"{columns[at]}: " if columns[at] else ""
                for nth, line in enumerate(wrap(f"{label}{texts[at]}", width - INDENT - 2, cell_len)):
                    if texts[at]:
                        show((" " * (INDENT if nth == 0 else INDENT + 2), ""), (line, ""))

    # Talk -----------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """Tell a person something on stderr; -q silences it."""
        if not self.quiet:
            self._talk(text)

    def warn(self, text: str) -> None:
        """Tell a person something on stderr that -q does not silence."""
        self._talk(text)

    def detail(self, text: str) -> None:
        """Tell a person who asked with -v."""
        if self.verbose:
            self._talk(text)

    def _talk(self, text: str) -> None:
        """On a terminal long lines are broken between words; no command is, so that it can be copied whole."""
        lines = clean(text, lines=True).split("\n")
        if on_terminal(sys.stderr):
            from rich.cells import cell_len

            width = self.console(sys.stderr).width
            lines = [part for line in lines for part in wrap_talk(line, width, cell_len)]
        sys.stderr.write("\n".join(lines) + "\n")

    def first(
        self, tell: Callable[[str], None], lines: Sequence[str], *, rest: str = "--json has all"
    ) -> None:
        """Tell the first of many lines, and how many more there are."""
        for line in lines[:MOST_TOLD]:
            tell(line)
        if len(lines) > MOST_TOLD:
            tell(f"… and {len(lines) - MOST_TOLD:,} more; {rest}")

    def next_step(self, command: str) -> None:
        """Name the command that comes next."""
        self.say(f"Next: {command}")

    def console(self, stream: TextIO) -> "Console":
        """Return a rich console on `stream` that takes no markup from anybody."""
        from rich.console import Console

        return Console(file=stream, markup=False, highlight=False, emoji=False, no_color=self.no_color)


def on_terminal(stream: TextIO) -> bool:
    """Whether a person watches `stream` on a terminal that can draw."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def json_text(value: object, stream: TextIO | None = None) -> str:
    """`value` as JSON: data unchanged, safe to print on a terminal, ASCII for a `stream` that is not UTF-8."""
    ascii_only = stream is not None and codecs.lookup(stream.encoding or "ascii").name != "utf-8"
    return escape_json(json.dumps(value, ensure_ascii=ascii_only, indent=2))


def findings_text(findings: Sequence[Mapping[str, Any]]) -> str:
    """All findings for a person: what is wrong, where, and what to do, once for those in a row that say the same."""
    told = []
    after = [finding.get("hint") for finding in findings[1:]] + [None]
    for at, finding in enumerate(findings, 1):
        level = "" if finding.get("level", "error") == "error" else f" ({finding['level']})"
        where = f" at {finding['path']}" if finding.get("path") else ""
        hint = f"\n     → {finding['hint']}" if finding.get("hint") not in {None, "", after[at - 1]} else ""
        told.append(f"  {at}. {finding.get('message', '')}{level} [{finding.get('code', '?')}{where}]{hint}")
    return "\n".join(told)


_STYLES = {
    "I": "bold red",
    "II": "red",
    "III": "yellow",
    "suspect": "bold red",
    "withdrawn": "dim",
    "open": "bold",
}


def _style(cell: str) -> str:
    return _STYLES.get(cell, "")
