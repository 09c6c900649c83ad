"""The form as a commented TOML text for an editor: four lines to fill in, everything else to uncomment.

Made from the same tables as the checks, so a property or a word added there appears here.
"""

from collections.abc import Iterable
from textwrap import wrap
from typing import Final

from tocsin_schema.form import FORM, TLP_WORDS
from tocsin_schema.record import Field, ListOf, Record
from tocsin_schema.shape import Shape, Word
from tocsin_schema.vocabulary import REALIZATION, Words

_WIDTH: Final = 100

_HEAD: Final = """\
# An AI incident report. Fill in the four fields below; lines that begin with # do not count.
# Take the # away from whatever you know. The severity is computed from the facts.
# Name no private person: nobody's name is needed to raise the alarm.
"""

# One example for each field that is offered as a comment, in the order and the groups of the form.
_GROUPS: Final[tuple[tuple[str, tuple[tuple[str, str], ...]], ...]] = (
    (
        "When (a day, or a time with its zone)",
        (
            ("occurred_start", "2025-03-24T10:15:00+01:00"),
            ("occurred_end", "2025-03-24T11:00:00+01:00"),
            ("occurred_fidelity", '"minute"'),
            ("detected_at", "2025-03-24T10:20:00+01:00"),
            ("aware_at", "2025-03-24T10:30:00+01:00"),
            ("causal_link_at", "2025-03-24T14:00:00+01:00"),
            ("contained_at", "2025-03-24T12:00:00+01:00"),
            ("resolved_at", "2025-03-25T09:00:00+01:00"),
        ),
    ),
    (
        "What was harmed, and how much",
        (
            ("harms", '[{ harm_type = "physical-health", level = 3, materialised = true }]'),
            ("quantities", "{ deaths = 0, serious_injuries = 1, persons_affected = 8, estimated = true }"),
            ("flags", '["ongoing", "vulnerable-group"]'),
            ("affected_groups", '["patients"]'),
            ("rights", '["non-discrimination"]'),
        ),
    ),
    (
        "The AI system and its part in it",
        (
            (
                "systems",
                '[{ name = "Triage Assistant", vendor = "Example Health", version = "2.1", kind = "system" }]',
            ),
            ("ai_relation", '["malfunction"]'),
            ("causality", '"contributing"'),
            ("autonomy_level", '"human-in-the-loop"'),
            ("ai_tasks", '["recognition"]'),
            ("lifecycle_phase", '["L06"]'),
            ("failure_modes", '["distribution shift"]'),
            ("deployment_breadth", '"national"'),
            ("causal_entity", '"ai"'),
            ("causal_intent", '"unintentional"'),
            ("causal_timing", '"post-deployment"'),
        ),
    ),
    (
        "Who (organisations and groups, never a private person)",
        (
            ("developers", '["Example Health"]'),
            ("deployers", '["City Hospital"]'),
            ("affected", '["emergency patients"]'),
            ("actors", '["unknown intruders"]'),
            ("reporter_role", '"deployer"'),
        ),
    ),
    (
        "Where",
        (
            ("countries", '["DE"]'),
            ("sectors", '["Q"]'),
            ("critical_sectors", '["health"]'),
        ),
    ),
    (
        "What was done, and how sure this is",
        (
            ("actions_taken", '[{ kind = "disable", text = "Switched off at 11:00." }]'),
            ("report_status", '"investigating"'),
            ("confidence", "80"),
            ("reproduction", '"reproduced"'),
            ("reproduction_rate", "0.4"),
            ("reproduction_trials", "10"),
            ("sources", '[{ name = "Hospital notice", url = "https://example.org/notice" }]'),
            ("evidence", '[{ kind = "log", sha256 = "' + "0" * 64 + '" }]'),
            ("classifications", '[{ scheme = "mit-ai-risk-domain", code = "7.3" }]'),
            ("cvss", '{ version = "3.1", base_score = 7.5 }'),
            ("source_record", '{ source = "aiid", id = "23" }'),
            ("personal_data", '"none"'),
            ("ai_assistance", '"none"'),
        ),
    ),
    (
        "Only to set the level by hand: all three together",
        (
            ("severity_level", "4"),
            ("severity_basis", '"overridden"'),
            ("severity_override", '{ reason = "Two further hospitals use the same release." }'),
        ),
    ),
)


def form_template() -> str:
    """The commented TOML of the form; with title, description, tlp and realization filled in it has no findings."""
    lines = [_HEAD, 'title = ""', 'description = """', "", '"""']
    lines += ["", "# How far may it travel?", *_listed(TLP_WORDS), 'tlp = ""']
    lines += ["", "# Did harm happen?", *_listed(REALIZATION), 'realization = ""']
    for heading, examples in _GROUPS:
        lines += ["", f"# --- {heading} " + "-" * max(3, _WIDTH - 8 - len(heading))]
        for name, example in examples:
            lines += _offer(name, FORM.fields[name], example)
    return "\n".join(lines) + "\n"


def examples() -> dict[str, str]:
    """The TOML text of the example that stands beside each optional field."""
    return {name: example for _, group in _GROUPS for name, example in group}


def _listed(words: Words) -> Iterable[str]:
    width = max(map(len, words))
    return [f"#   {word:<{width}}  {meaning}" for word, meaning in words.items()]


def _offer(name: str, field: Field, example: str) -> list[str]:
    """A field as comment lines: its meaning, the words it takes, and an example to uncomment."""
    lines = ["#", *_comment(f"{name}: {field.meaning}")]
    for label, words in _vocabularies(field.shape):
        if all(word.isupper() for word in words):  # codes of others, such as L06: nobody knows them by heart
            lines += _listed(words)
        else:
            lines += _comment(f"{label}{' | '.join(words)}", indent="    ")
    return [*lines, f"#{name} = {example}"]


def _vocabularies(shape: Shape, label: str = "") -> Iterable[tuple[str, Words]]:
    """The word lists inside a field, each with the name of the part that takes them."""
    if isinstance(shape, ListOf):
        yield from _vocabularies(shape.item, label)
    elif isinstance(shape, Record):
        for name, field in shape.fields.items():
            yield from _vocabularies(field.shape, f"{name}: ")
    elif isinstance(shape, Word):
        yield label, shape.vocabulary


def _comment(text: str, indent: str = "  ") -> list[str]:
    return wrap(
        text, _WIDTH, initial_indent=f"#{indent}", subsequent_indent=f"#{indent}  ", break_on_hyphens=False
    )
