"""Questions on a plain terminal, or from a pipe: the words on stderr, the answer from stdin.

No screen is drawn, so it works over any connection and with any screen reader, and a test can pipe the
answers. A wrong answer is explained and asked again. When the input ends, InputEnded is raised; Ctrl-C is
left to the caller.
"""

import getpass
import sys
from collections.abc import Callable, Sequence

from tocsin_cli.errors import InputEnded
from tocsin_cli.output import Output, on_terminal
from tocsin_cli.plain import clean

Option = tuple[str, str]  # value, words
GIVE_YES = "Without a person to ask give --yes."


class Asker:
    """Asks one person. `instead` says what to do when the input ends: the option that answers as well."""

    def __init__(self, out: Output, *, instead: str = "") -> None:
        self._out = out
        self._instead = instead
        self._terminal = on_terminal(sys.stdin) and sys.stdout.isatty()
        if self._terminal:
            import readline  # noqa: F401  importing it gives input() line editing

    def text(self, question: str, *, hint: str = "", required: bool = False) -> str:
        """Return one line; empty unless `required`."""
        if hint:
            self._out.warn(f"  {hint}")
        while True:
            answer = self._line(f"{question} ").strip()
            if answer or not required:
                return answer
            self._out.warn("  This one is needed.")

    def paragraph(
        self,
        question: str,
        *,
        required: bool = False,
        begun: str = "",
        typed: Callable[[str], None] = lambda _: None,
    ) -> str:
        """Return several lines, ended by an empty one; `typed` gets all of them after each.

        `begun` is what an interrupted run has got already: it is shown, and the lines go on after it.
        """
        self._out.warn(f"{question} (an empty line ends it)")
        lines = begun.splitlines()
        for line in lines:
            self._out.warn(f"  {line}")
        while True:
            line = self._line("  ").rstrip()
            if line:
                lines.append(line)
                typed("\n".join(lines).strip())
            elif lines or not required:
                return "\n".join(lines).strip()
            else:
                self._out.warn("  A sentence or two are needed.")

    def choice(self, question: str, options: Sequence[Option], *, default: str = "") -> str:
        """Return the value of one option, picked by its number or by the value itself."""
        self._list(question, options, default)
        while True:
            answer = self._line(self._marker(options, default)).strip()
            picked = _pick(answer, options) if answer else default
            if picked:
                return picked
            self._out.warn(f"  A number from 1 to {len(options)}.")

    def choices(self, question: str, options: Sequence[Option]) -> list[str]:
        """Return the values of one or more options, in the order of the list."""
        self._list(question, options, "")
        while True:
            answers = self._line("  Numbers, apart by commas: ").replace(",", " ").split()
            picked = [_pick(answer, options) for answer in answers]
            if picked and all(picked):
                return [value for value, _ in options if value in picked]
            self._out.warn(f"  One or more numbers from 1 to {len(options)}, such as 1 or 1,3.")

    def number(self, question: str) -> int:
        """Return a count; an empty answer is 0."""
        while True:
            answer = self._line(f"{question} [0] ").strip() or "0"
            if answer.isdecimal() and len(answer) <= 12:
                return int(answer)
            self._out.warn("  A whole number, 0 if there were none.")

    def yes(self, question: str, *, default: bool | None = None) -> bool:
        """Return a yes or a no."""
        shown = {None: "y/n", True: "Y/n", False: "y/N"}[default]
        while True:
            answer = self._line(f"{question} [{shown}] ").strip().lower()
            if not answer and default is not None:
                return default
            if answer in {"y", "yes", "n", "no"}:
                return answer.startswith("y")
            self._out.warn("  y for yes, n for no.")

    def tell(self, text: str) -> None:
        """Say why the question is asked again."""
        self._out.warn(f"  {text}")

    def secret(self, question: str) -> str:
        """Return one line that is not shown while it is typed."""
        if self._terminal:
            return getpass.getpass(f"{question} ", stream=sys.stderr).strip()
        return self._line(f"{question} " if sys.stdin.isatty() else "").strip()

    def _list(self, question: str, options: Sequence[Option], default: str) -> None:
        self._out.warn(question)
        for at, (value, words) in enumerate(options, 1):
            self._out.warn(f"  {at}  {words}" + ("  (default)" if value == default else ""))

    def _marker(self, options: Sequence[Option], default: str) -> str:
        at = next((at for at, (value, _) in enumerate(options, 1) if value == default), 0)
        return f"  Number [{at}]: " if at else "  Number: "

    def _line(self, prompt: str) -> str:
        if self._terminal:
            try:
                return input(clean(prompt))
            except EOFError as exc:
                raise InputEnded(hint=self._instead) from exc
        sys.stderr.write(clean(prompt))
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            sys.stderr.write("\n")
            raise InputEnded(hint=self._instead)
        return line.rstrip("\r\n")


def _pick(answer: str, options: Sequence[Option]) -> str:
    if answer.isdecimal() and 1 <= int(answer) <= len(options):
        return options[int(answer) - 1][0]
    return next((value for value, _ in options if value == answer.lower()), "")
