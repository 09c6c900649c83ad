"""The story on the terminal: numbered steps, facts, moments in milliseconds. 80 columns, no more."""

import os
import sys
import textwrap
import time
from collections.abc import Iterable

WIDTH = 80
LABEL = 18
BOLD, DIM, RED, GREEN, CYAN, PLAIN = "1", "2", "1;31", "32", "36", ""


def painted(text: str, style: str) -> str:
    """`text` in a style, where a person watches on a terminal that can."""
    plain = not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return text if plain or not style else f"\033[{style}m{text}\033[0m"


class Story:
    """Tells one step after the other; knows which one it is in, for when something fails."""

    def __init__(self) -> None:
        self.step_name = ""
        self._count = 0
        self._began = self._step_began = time.monotonic()

    def title(self, text: str, below: str) -> None:
        """The first lines."""
        self._say(f"\n{painted(text, BOLD)}\n{painted(below, DIM)}")

    def step(self, name: str) -> None:
        """Begin a step."""
        self.step_name = name
        self._count += 1
        self._step_began = time.monotonic()
        self._say(f"\n{painted(f'{self._count}  {name}', BOLD)}")

    def done(self) -> None:
        """End a step that took its time."""
        took = time.monotonic() - self._step_began
        self._say(painted(f"{f'{took:.1f} s':>{WIDTH}}", DIM))

    def fact(self, label: str, text: str, style: str = PLAIN) -> None:
        """A label and what there is to say; long texts are wrapped under themselves."""
        first, *rest = textwrap.wrap(text, WIDTH - LABEL - 3, break_long_words=False) or [""]
        self._say(f"   {painted(f'{label:<{LABEL}}', DIM)}{painted(first, style)}")
        for line in rest:
            self._say(f"   {'':<{LABEL}}{painted(line, style)}")

    def say(self, text: str) -> None:
        """A sentence."""
        for line in textwrap.wrap(text, WIDTH - 3):
            self._say(f"   {line}")

    def command(self, text: str, who: str = "") -> None:
        """A command as a person typed it, and whose it was."""
        gap = max(2, WIDTH - 5 - len(text) - len(who))
        self._say(f"   {painted('$', DIM)} {painted(text, CYAN)}{' ' * gap}{painted(who, DIM)}")

    def quote(self, lines: Iterable[str]) -> None:
        """Words as they stood elsewhere, with a bar at their side."""
        for line in lines:
            for part in textwrap.wrap(line, WIDTH - 7, break_on_hyphens=False) or [""]:
                self._say(f"   {painted('│', DIM)} {part}")

    def moment(self, ms: float, name: str, text: str) -> None:
        """One moment on the clock that starts when the report is filed."""
        clock = painted(f"{ms:>7.0f} ms", BOLD)
        first, *rest = textwrap.wrap(text, WIDTH - 30)
        self._say(f"  {clock}  {painted(f'{name:<14}', GREEN)}  {first}")
        for line in rest:
            self._say(f"{'':<29}{line}")

    def verdict(self, well: bool, label: str, text: str) -> None:
        """Something that was proved, or was not."""
        sign = painted("✓", GREEN) if well else painted("✗", RED)
        first, *rest = textwrap.wrap(text, WIDTH - LABEL - 3)
        self._say(f"   {sign} {label:<{LABEL - 2}}{first}")
        for line in rest:
            self._say(f"   {'':<{LABEL}}{line}")

    def end(self) -> None:
        """How long it all took."""
        self._say(f"\n{painted(f'All of it in {time.monotonic() - self._began:.1f} s.', BOLD)}")

    def failed(self, why: str) -> None:
        """Which step failed, and why; on standard error."""
        where = f"step {self._count}, “{self.step_name}”" if self._count else "the start"
        sys.stdout.flush()
        sys.stderr.write(f"\n{painted(f'The demonstration failed in {where}.', RED)}\n{why}\n")

    def _say(self, text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
