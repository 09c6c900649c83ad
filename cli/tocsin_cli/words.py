"""Words that people write in more than one way: markings and grades, taken as they are said."""

from typing import Any

import click

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
