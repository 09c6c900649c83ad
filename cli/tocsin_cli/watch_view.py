"""One view of a node as a rich renderable: from a standing and the time, to lines that fit the screen.

It asks nobody and waits for nothing. Every line is cut to the width and every section to its share of the height;
how many are not shown is said. What others wrote is cleaned and is text, never markup.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from tocsin_cli.errors import NotAllowed
from tocsin_cli.plain import clean, local_time
from tocsin_cli.spans import span
from tocsin_cli.watch_rows import Line, Section, sections
from tocsin_cli.watching import Look, Standing

ONCE_ROWS = 10  # of each section when no height limits it
WIDE = 110
_CELL_CHARS = 300  # combining characters take no width: a limit of their own
_NEW = "*"
_HEALTH = {"ok": "green", "degraded": "yellow", "down": "bold red"}


@dataclass(frozen=True, slots=True)
class View:
    """What is drawn. `every_s` None: a single view, of the height that it needs."""

    standing: Standing
    url: str
    now: datetime
    every_s: int | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it as wide as the console and, when refreshed, no higher."""
        del console
        width = options.max_width
        top = list(self._top())
        yield from (_cut(line) for line in top)
        look = self.standing.look
        if look is None:
            return
        found = sections(self.standing, look, self.now, wide=width >= WIDE)
        height = None if self.every_s is None else (options.height or options.size.height)
        shares = _shares([_rows_wanted(each) for each in found], height, used=len(top) + 1)
        for section, rows in zip(found, shares, strict=True):
            yield from _drawn(section, rows)
        if self.every_s is not None:
            yield _cut(
                Text(f"{_NEW} new   Ctrl-C ends   take an alert up: tocsin alert ack ALERT", style="dim")
            )

    def _top(self) -> Iterator[Text]:
        standing = self.standing
        pace = f"  every {self.every_s} s" if self.every_s is not None else ""
        yield Text(f"tocsin watch  {clean(self.url)}  {local_time(self.now)}{pace}", style="bold")
        if standing.away_since is not None:
            ago = span(self.now - standing.away_since)
            why = clean(standing.fault or "")
            yield Text(f"AWAY since {local_time(standing.away_since)} ({ago}): {why}", style="bold red")
            if standing.look is None:
                yield Text("It is asked again and again; nothing has been seen yet.")
                return
            yield Text(
                f"What follows is as of {local_time(standing.look.at)}; it is asked again.", style="red"
            )
        if standing.look is not None:
            yield _health_line(standing.look)


def _health_line(look: Look) -> Text:
    if look.health.fault is not None:
        return Text(f"Health: not known, {clean(look.health.fault)}", style="yellow")
    status = str(look.health.document.get("status"))
    line = Text("Health: ").append(clean(status), style=_HEALTH.get(status, ""))
    for check in look.health.document.get("checks", []):
        if check.get("status") != "ok":
            hint = f": {check['hint']}" if check.get("hint") else ""
            code = f" ({check['code']})" if check.get("code") else ""
            line.append("; " + clean(f"{check.get('name')} {check.get('status')}{code}{hint}"))
    return line


def _rows_wanted(section: Section) -> int:
    return max(len(section.lines), 1)


def _shares(wanted: Sequence[int], height: int | None, *, used: int) -> list[int]:
    """How many rows each section gets: one each in turn, the first sections first, until the height is full."""
    if height is None:
        return [min(each, ONCE_ROWS) for each in wanted]
    left = height - used - len(wanted)  # a heading each
    shares = [0] * len(wanted)
    while left > 0 and any(share < want for share, want in zip(shares, wanted, strict=True)):
        for at, want in enumerate(wanted):
            if left > 0 and shares[at] < want:
                shares[at] += 1
                left -= 1
    return shares


def _drawn(section: Section, rows: int) -> Iterator[RenderableType]:
    shown = section.lines[:rows]
    count = "" if section.fault else f"  {section.count}{'+' if section.more else ''}"
    count += f"  {section.beside}" if section.beside and not section.fault else ""
    hidden = len(section.lines) - len(shown)
    heading = f"{section.title}{count}" + (f"  ({hidden} more not shown)" if hidden else "")
    yield _cut(Text(heading, style="bold underline"))
    if section.fault is not None:
        told = "not allowed: " if isinstance(section.fault, NotAllowed) else f"{section.fault.code}: "
        if rows:
            yield _cut(Text(f"  {told}{clean(section.fault)}", style="dim"))
    elif not section.lines:
        if rows:
            yield _cut(Text(f"  {section.nothing}", style="dim"))
    elif shown:
        yield _table(section, shown)


def _table(section: Section, lines: Sequence[Line]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0), expand=True, pad_edge=False)
    table.add_column(no_wrap=True, width=1)
    for at, ratio in enumerate(section.ratios):
        if ratio:
            table.add_column(no_wrap=True, overflow="ellipsis", ratio=ratio)
        else:
            longest = max(cell_len(_short(line.cells[at])) for line in lines)
            table.add_column(no_wrap=True, overflow="ellipsis", width=max(1, min(longest, section.narrow)))
    for line in lines:
        mark = Text(_NEW if line.new else " ", style="bold green")
        style = "bold" if line.new and not line.style else line.style
        table.add_row(mark, *(Text(_short(cell), style=style) for cell in line.cells))
    return table


def _short(cell: object) -> str:
    return clean(cell)[:_CELL_CHARS]


def _cut(line: Text) -> Text:
    line.no_wrap, line.overflow = True, "ellipsis"
    return line
