"""The questions of `tocsin report new`: only what matters in the first minute, in plain words.

Every answer is saved before the next question is asked. A field that the draft already has is not asked
again, so an interrupted report goes on where it stopped. The result is a form like any other: it is checked,
shown and filed the same way.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from tocsin_cli import wording
from tocsin_cli.ask import Asker
from tocsin_cli.handin import without_blanks
from tocsin_cli.plain import local_time
from tocsin_cli.when import read_when

FormValues = dict[str, Any]
_HAPPENED = "harm-event"
_WITHOUT_HARM = {"no-harm", "unknown"}


class Guide:
    """One guided report: `save` gets the form after each answer; `now` carries the person's zone."""

    def __init__(
        self, ask: Asker, form: FormValues, save: Callable[[FormValues], None], *, now: datetime
    ) -> None:
        self._ask = ask
        self._form = form
        self._save = save
        self._now = now

    def run(self) -> FormValues:
        """Ask what is missing and return the form."""
        self._once("title", lambda: self._ask.text("What happened, in one line?", required=True))
        self._describe()
        self._once("realization", lambda: self._ask.choice("Did it do harm?", wording.REALIZATION))
        if self._form["realization"] not in _WITHOUT_HARM:
            self._once("harms", self._harms)
        self._once("flags", self._flags)
        self._once("systems", self._systems)
        self._once("affected", self._affected)
        self._once("occurred_start", self._occurred)
        self._once("tlp", lambda: self._ask.choice("Who may read it?", wording.TLP, default="amber"))
        return without_blanks(self._form)

    def _once(self, field: str, ask: Callable[[], Any]) -> None:
        if field not in self._form:
            answer = ask()
            self._form[field] = answer
            self._save(self._form)

    def _describe(self) -> None:
        """Ask for the description. Each line is saved as typed; a line end at its end says that more may come."""
        begun = str(self._form.get("description", ""))
        if begun and not begun.endswith("\n"):
            return

        def typed(text: str) -> None:
            self._form["description"] = f"{text}\n"
            self._save(self._form)

        text = self._ask.paragraph("And in a few sentences?", required=True, begun=begun, typed=typed)
        self._form["description"] = text
        self._save(self._form)

    def _harms(self) -> list[dict[str, Any]]:
        happened = self._form["realization"] == _HAPPENED
        kinds = self._ask.choices(
            "What kind of harm?" if happened else "What harm could it have done?", wording.HARM_TYPES
        )
        return [
            {"harm_type": kind, "level": self._level(kind, happened=happened), "materialised": happened}
            for kind in kinds
        ]

    def _level(self, kind: str, *, happened: bool) -> int:
        suggested = 0
        if kind == "physical-health" and happened:
            suggested = self._injuries()
        words = next(words for value, words in wording.HARM_TYPES if value == kind)
        question = f"How bad is it: {words}?" if happened else f"How bad could it have been: {words}?"
        return int(self._ask.choice(question, wording.levels(kind), default=str(suggested or "")))

    def _injuries(self) -> int:
        deaths = self._ask.number("How many people died?")
        serious = self._ask.number("How many were seriously injured?")
        injuries = self._ask.number("How many were injured otherwise?")
        self._form["quantities"] = {"deaths": deaths, "serious_injuries": serious, "injuries": injuries}
        return self._computed_level() if deaths or serious or injuries else 0

    def _computed_level(self) -> int:
        from tocsin_schema.severity import assess

        facts = {"realization": _HAPPENED, "quantities": self._form["quantities"]}
        return assess({**facts, "harms": [{"harm_type": "physical-health"}]}).level

    def _flags(self) -> list[str]:
        return ["ongoing"] if self._ask.yes("Is it still going on?", default=False) else []

    def _systems(self) -> list[dict[str, str]]:
        name = self._ask.text("Which AI system? Its name, and version if known (empty: not known):")
        if not name:
            return []
        vendor = self._ask.text("Who makes it? (empty: not known):")
        return [{"name": name, "vendor": vendor} if vendor else {"name": name}]

    def _affected(self) -> list[str]:
        hint = "A group in words, such as: patients of one hospital. Never the name of a private person."
        answer = self._ask.text("Who is affected? (empty: not known):", hint=hint)
        return [answer] if answer else []

    def _occurred(self) -> str:
        while True:
            answer = self._ask.text(
                "When? now, today, yesterday, 14:30, 2026-11-20, 2026-11-20 14:30 (empty: not known):"
            )
            if not answer:
                return ""
            found = read_when(answer, now=self._now)
            if found is not None:
                self._form["occurred_fidelity"] = found[1]
                if found[1] == "minute":
                    self._ask.tell(f"Taken as {local_time(found[0])}.")
                return found[0]
            self._ask.tell("That is no time in the past that can be read; write it like 2026-11-20 14:30.")
