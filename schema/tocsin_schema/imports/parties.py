"""The parties of one foreign record, put into its form: whoever may be a private person is withheld and counted."""

from collections.abc import Callable, Iterable
from typing import Any, Final

from tocsin_schema.finding import show
from tocsin_schema.imports import party

WITHHELD_PARTY: Final = {"name": "people whose names are withheld", "class": "class"}

Judge = Callable[[str], "party.Kind | None"]


class Parties:
    """Collects names field by field; `close` says what became of them."""

    def __init__(self, form: dict[str, Any], repairs: list[str]) -> None:
        self._form = form
        self._repairs = repairs
        self._withheld = 0
        self._people: list[str] = []

    def add(
        self,
        field: str,
        names: Iterable[str],
        *,
        judge: Judge | None = None,
        display: Callable[[str, party.Kind], str] = party.display,
        people: bool = False,
    ) -> list[str]:
        """Put the names that may be carried into the form, at most 100; returns them as they are shown.

        `judge` replaces `party.judge`. `people`: whoever is withheld here is looked for in the texts too,
        as is done with harmed parties.
        """
        harmed = field == "affected"
        taken: list[dict[str, str]] = []
        for name in dict.fromkeys(one[:500] for one in names):
            kind = judge(name) if judge is not None else party.judge(name, harmed=harmed)
            if party.is_nobody(name):
                self._repairs.append(f"{field}: {show(name)} names nobody, left out")
            elif kind is not None:
                taken.append({"name": display(name, kind), "class": kind})
            else:
                self._withheld += 1
                if harmed or people or party.is_name(name):
                    self._people.append(name)
                if harmed and WITHHELD_PARTY not in taken:
                    taken.append(WITHHELD_PARTY)
        if taken:
            self._form[field] = taken[:100]
        return [one["name"] for one in taken]

    def mask(self, *texts: str, where: str = "title and description") -> list[str]:
        """The texts without the names that were withheld; `where` says in the repair which texts these are."""
        done = [party.mask(text, self._people) for text in texts]
        places = sum(count for _, count in done)
        if places:
            self._repairs.append(f"{places} mention(s) of withheld names replaced in {where}")
        return [text for text, _ in done]

    def mask_sources(self, sources: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Sources without the withheld names in what they say."""
        said = self.mask(*(one.get("description", "") for one in sources), where="references")
        return [
            {**one, "description": text} if text else one for one, text in zip(sources, said, strict=True)
        ]

    def close(self) -> None:
        """Say how many were withheld, in the repairs and in `personal_data`."""
        if self._withheld:
            self._repairs.append(f"{self._withheld} party name(s) withheld: they may be private persons")
            self._form["personal_data"] = "pseudonymised"
