"""Words that people write in more than one way: markings, grades, times, and words of the profile's lists."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import click
from click.shell_completion import CompletionItem

from tocsin_cli.errors import UsageFault
from tocsin_cli.when import read_when

GRADES = ("I", "II", "III", "IV", "none")
TLPS = ("clear", "green", "amber", "amber+strict", "red")


class Tlp(click.Choice[str]):
    """A marking: green, GREEN and TLP:GREEN are the same."""

    def __init__(self) -> None:
        super().__init__(TLPS)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the word that the node takes."""
        return str(super().convert(str(value).strip().lower().removeprefix("tlp:").strip(), param, ctx))


class Grade(click.Choice[str]):
    """A response grade: II, ii and 2 are the same."""

    def __init__(self) -> None:
        super().__init__(GRADES)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the word that the node takes."""
        word = str(value).strip()
        if word in {"1", "2", "3", "4"}:
            word = GRADES[int(word) - 1]
        word = "none" if word.lower() == "none" else word.upper()
        return str(super().convert(word, param, ctx))


class Listed(click.ParamType[str]):
    """A word of one of the profile's lists, such as HARM_TYPE; `a_b`, `A-B` and `a b` are the same."""

    def __init__(self, vocabulary: str, name: str, meaning: str) -> None:
        self.name = name
        self._meaning = meaning
        self._vocabulary = vocabulary

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the word as the list has it."""
        del param, ctx  # click hands them over; the message needs neither
        from tocsin_schema.shape import nearest

        known = self._known()
        word = "-".join(str(value).lower().replace("_", " ").replace("-", " ").split())
        if word in known:
            return word
        close = nearest(word[:100], dict.fromkeys(known))
        meant = f"Did you mean {close}? " if close else ""
        raise UsageFault(f"{value!r} is no {self._meaning}.", hint=f"{meant}There are: {', '.join(known)}.")

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return what the shell may put there."""
        del ctx, param
        found = [word for word in self._known() if word.startswith(incomplete)]
        return [CompletionItem(word) for word in found]

    def _known(self) -> tuple[str, ...]:
        from tocsin_schema import vocabulary

        return tuple(getattr(vocabulary, self._vocabulary))


class When(click.ParamType[datetime]):
    """A time that has passed, as people write it, or as STIX does."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the moment, aware, in UTC."""
        del param, ctx
        text = str(value)
        found = read_when(text, now=datetime.now().astimezone())
        past = _moment(found[0] if found else text)
        if past is None or past > datetime.now(UTC):
            raise UsageFault(
                f"{value!r} is not a time that has passed.",
                hint="Write it like 2026-11-20, 2026-11-20 14:30, yesterday, 14:30 or 2026-11-20T14:30:00Z.",
            )
        return past


class Since(click.ParamType[str]):
    """A limit in time: a day, which the node takes whole, or a moment. `end`: of a month or year the last day."""

    name = "WHEN"

    def __init__(self, *, end: bool = False) -> None:
        self._end = end

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the day (2025-03-24) or the moment (2025-03-24T10:15:00Z)."""
        del param, ctx
        text = str(value).strip()
        found = read_when(text, now=datetime.now().astimezone())
        if found is not None:
            start, fidelity = found
            return start if fidelity == "minute" else self._day(date.fromisoformat(start[:10]), fidelity)
        try:
            return date.fromisoformat(text).isoformat()
        except ValueError:
            moment = _moment(text)
        if moment is None:
            raise UsageFault(
                f"{value!r} is not understood as a time.",
                hint="Write it like 2025, 2025-03, 2025-03-24, yesterday, '2025-03-24 14:30' or 2025-03-24T14:30:00Z.",
            )
        return moment.isoformat().replace("+00:00", "Z")

    def _day(self, first: date, fidelity: str) -> str:
        if not self._end or fidelity == "day":
            return first.isoformat()
        months = 12 if fidelity == "year" else 1
        following = date(
            first.year + (first.month - 1 + months) // 12, (first.month - 1 + months) % 12 + 1, 1
        )
        return (following - timedelta(days=1)).isoformat()


def _moment(text: str) -> datetime | None:
    """A time with its zone, in UTC; None for anything else."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (ValueError, OverflowError):
        return None
