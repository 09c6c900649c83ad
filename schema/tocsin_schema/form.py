"""The form that a person fills in: the incident's facts under plain names, checked in the same words as a report.

The form is what `stix.build` turns into a report and `stix.to_form` gets back: the properties of the
ai-incident extension that people write, plus title, description, tlp, confidence, systems, parties and
sources. It comes as TOML or JSON; times may be TOML dates, `2025-03-24`, or times with any offset, and
become UTC.
"""

import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Any, Final

from tocsin_schema import extension, times
from tocsin_schema import vocabulary as voc
from tocsin_schema.agreement import check_facts
from tocsin_schema.finding import Finding, show
from tocsin_schema.marking import Tlp
from tocsin_schema.record import Field, ListOf, Record
from tocsin_schema.shape import Ref, Text, Time, Whole, Word

TLP_WORDS: Final = {
    "clear": "anyone may know",
    "green": "the community may know",
    "amber": "the receiving organisations and their clients may know",
    "amber+strict": "only the receiving organisations may know",
    "red": "only the people named as recipients may know",
}

PARTY_CLASS: Final = {
    "organization": "a company or public body",
    "group": "a number of people who act together",
    "class": "a kind of people, such as pedestrians",
    "unknown": "not known",
}

SYSTEM: Final = Record(
    {
        "name": Field(Text(500), "its name", required=True),
        "vendor": Field(Text(500), "who makes it"),
        "version": Field(Text(250), "its version"),
        "kind": Field(Word(voc.SYSTEM_KIND), "what it is"),
        "role": Field(Word(voc.SYSTEM_ROLE), "its part in the incident"),
        **{
            name: field
            for name, field in extension.SYSTEM.fields.items()
            if name
            not in ("extension_type", "profile_version", "system_kind", "base_model_ref", "developer_ref")
        },
    },
    unknown="refuse",
    like="a system: a table with a name",
)

SOURCE: Final = Record(
    {
        "name": Field(Text(250), "who published it", required=True),
        "url": Field(extension.URL, "where it can be read"),
        "id": Field(Text(250), "its key there"),
        "description": Field(Text(5000, lines=True), "what it says"),
        "sha256": Field(extension.SHA256, "SHA-256 of what is there"),
    },
    unknown="refuse",
    like="a source: a table with a name",
)

PARTY: Final = Record(
    {
        "name": Field(Text(500), "its name", required=True),
        "class": Field(Word(PARTY_CLASS), "what it is"),
    },
    unknown="refuse",
    like="a name, or a table with name and class",
)

OVERRIDE: Final = Record(
    {
        "reason": Field(Text(2000, lines=True), "why", required=True),
        "at": Field(Time(), "when; now, if not said"),
        "by_ref": Field(Ref(("identity",)), "which organisation; this node, if not said"),
        "by_name": Field(Text(100), "which person or role there; it travels with the report"),
    },
    unknown="refuse",
    like="a table with a reason",
)

_NOT_IN_FORM: Final = ("extension_type", "profile_version")
# The form says `severity_override.reason` and leaves who and when to `build`.
_OWN: Final = {"severity_override": Field(OVERRIDE, "why a person set the level by hand")}

PARTY_LISTS: Final[Mapping[str, str]] = {
    "developers": "organization",
    "deployers": "organization",
    "affected": "class",
    "actors": "unknown",
}

FORM: Final = Record(
    {
        "title": Field(Text(500), "one line: what happened", required=True),
        "description": Field(Text(49_000, lines=True), "what happened, in a few sentences", required=True),
        "tlp": Field(Word(TLP_WORDS), "how far it may travel", required=True),
        **{
            name: _OWN.get(name, field)
            for name, field in extension.INCIDENT.fields.items()
            if not field.computed and name not in _NOT_IN_FORM
        },
        "systems": Field(ListOf(SYSTEM, 100), "the AI systems involved"),
        "developers": Field(ListOf(PARTY, 100), "who made them"),
        "deployers": Field(ListOf(PARTY, 100), "who ran them"),
        "affected": Field(
            ListOf(PARTY, 100), "groups or organisations harmed or nearly harmed; never a private person"
        ),
        "actors": Field(ListOf(PARTY, 100), "who did it on purpose"),
        "sources": Field(ListOf(SOURCE, 200), "where it can be read about"),
        "confidence": Field(Whole(0, 100), "how sure you are"),
    },
    unknown="refuse",
    like="a form: a table of fields",
)

_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}").fullmatch


def check_form(form: object) -> tuple[Finding, ...]:
    """Everything wrong with a form as a person wrote it, with paths in the form; never raises."""
    return examine(form)[1]


def examine(form: object) -> tuple[dict[str, Any], tuple[Finding, ...]]:
    """The form with every value in its one way of writing, and everything wrong with it.

    The form is only fit for use when no finding is an error.
    """
    if not isinstance(form, Mapping):
        said = f"This is {show(form)}, not {FORM.like}."
        return {}, (Finding("wrong-type", "", said, "Begin with title, description, tlp and realization."),)
    tidy = _tidy(dict(form), FORM)
    found = FORM.explain(tidy)
    facts = FORM.sound(tidy)
    _check_level(tidy, found)
    if facts.get("report_status") == "withdrawn":
        said = "A report is not withdrawn by its status."
        found.append(Finding("half-withdrawn", "report_status", said, "Use tocsin report withdraw."))
    check_facts(facts, "", found)
    return tidy, tuple(found)


def _check_level(form: Mapping[str, Any], found: list[Finding]) -> None:
    """A level that the facts did not give needs its whole story: which, from where, and why."""
    basis = form.get("severity_basis")
    needed = {"overridden": ("severity_level", "severity_override"), "reported": ("severity_level",)}
    for name in needed.get(basis, ()) if isinstance(basis, str) else ():
        if name not in form:
            said = f"The level is {basis}, but {name} is missing."
            hint = "Add it, or leave severity_basis out: then the facts decide."
            found.append(Finding("override-incomplete", name, said, hint))
    for name, bases in (
        ("severity_level", ("overridden", "reported")),
        ("severity_override", ("overridden",)),
    ):
        if name in form and basis not in bases:
            said = f"{name} is there, but severity_basis does not say where the level comes from."
            hint = f"Set severity_basis to {' or '.join(bases)}, or leave {name} out: then the facts decide."
            found.append(Finding("override-incomplete", "severity_basis", said, hint))


def _tidy(value: Any, shape: object) -> Any:
    """A value as the profile writes it: text without stray spaces, times in UTC, names as parties."""
    if isinstance(shape, ListOf) and isinstance(value, list | tuple):
        return [_tidy(item, shape.item) for item in value]
    if isinstance(shape, Record):
        if shape is PARTY and isinstance(value, str):
            value = {"name": value}
        if isinstance(value, Mapping):
            return _tidy_record(value, shape)
    if isinstance(shape, Time):
        return _tidy_time(value)
    if isinstance(shape, Text) and isinstance(value, str):
        return value.strip() if shape.lines else " ".join(value.split(" ")).strip()
    if isinstance(shape, Word) and isinstance(value, str):
        return _tidy_word(value, shape)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return value


def _tidy_record(value: Mapping[Any, Any], shape: Record) -> dict[str, Any]:
    tidy = {}
    for name, item in value.items():
        field = shape.fields.get(name) if isinstance(name, str) else None
        tidy[str(name)] = _tidy(item, field.shape if field is not None else None)
    if shape is FORM and "occurred_fidelity" not in tidy and _is_day(value.get("occurred_start")):
        tidy["occurred_fidelity"] = "day"
    if shape in (SYSTEM, PARTY):
        for name in ("name", "vendor", "version"):
            if isinstance(tidy.get(name), str):
                # The identifier is made from these, and it must come out the same at every node.
                tidy[name] = " ".join(unicodedata.normalize("NFKC", tidy[name]).split())
    return tidy


def _tidy_word(value: str, shape: Word) -> str:
    word = value.strip()
    if shape.vocabulary is TLP_WORDS:
        return word.lower().removeprefix("tlp:").strip()
    return word


def _is_day(value: object) -> bool:
    if isinstance(value, str):
        return _DAY(value.strip()) is not None
    return isinstance(value, date) and not isinstance(value, datetime)


def _tidy_time(value: Any) -> Any:
    """A moment as a STIX timestamp; anything that is not clearly one moment stays as it is and is refused later."""
    if isinstance(value, str):
        text = value.strip()
        try:
            value = date.fromisoformat(text) if _DAY(text) else datetime.fromisoformat(text)
        except ValueError:
            return text
    if isinstance(value, datetime):
        # A time without a zone could be any of 26 hours; the finding says to add one.
        return times.write(value) if value.tzinfo is not None else value.isoformat()
    if isinstance(value, date):
        return times.write(datetime(value.year, value.month, value.day, tzinfo=UTC))
    return value


def tlp_of_form(form: Mapping[str, Any]) -> Tlp:
    """The marking of an examined form."""
    return Tlp(form["tlp"])
