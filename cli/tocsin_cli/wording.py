"""The words in which a person under stress is asked: what happened, how bad it is, who may know.

The values are those of the incident profile; the sentences follow its severity ladders, so that the level
that is picked is the level that the ladder gives for the same facts.
"""

from collections.abc import Mapping

from tocsin_cli.ask import Option

REALIZATION: tuple[Option, ...] = (
    ("harm-event", "yes, harm happened"),
    ("near-miss", "nearly: it was imminent and was averted"),
    ("potential", "not yet, but it plausibly could"),
    ("no-harm", "no, and none was near"),
    ("unknown", "not known yet"),
)

HARM_TYPES: tuple[Option, ...] = (
    ("physical-health", "people hurt or killed"),
    ("psychological", "people distressed, driven to self-harm, manipulated"),
    ("fundamental-rights", "rights violated: arrest, refusal of a benefit, no fair hearing"),
    ("discrimination", "people treated worse for who they are"),
    ("privacy", "personal data exposed or misused"),
    ("economic", "money lost"),
    ("property", "things damaged"),
    ("intangible-property", "works, likenesses or know-how taken"),
    ("critical-infrastructure", "power, water, transport, health or other vital services disturbed"),
    ("environment", "nature damaged"),
    ("democratic-social", "elections or public life disturbed"),
    ("harmful-content", "harmful content made or spread"),
    ("reputational", "reputation damaged"),
    ("ai-security", "an AI system broken into, poisoned, stolen or out of control"),
    ("other", "something else"),
)

_LEVEL_NAMES = ("negligible", "minor", "substantial", "severe", "catastrophic")

_MONEY = (
    "under 10,000 dollars",
    "from 10,000 dollars",
    "from 700,000 dollars",
    "from 14 million dollars",
    "from a billion dollars",
)
_RIGHTS = (
    "an inconvenience that was put right",
    "one person, and it can be put right",
    "a group; or somebody wrongly detained or cut off from an essential service",
    "a thousand people or more; or it cannot be undone",
    "a million people or more",
)
_CONTENT = (
    "few have seen it",
    "a thousand views or more",
    "ten thousand views or more; or sexual abuse of children",
    "a hundred thousand views or more; or an effect on an election",
    "a million views or more, with harm outside the net",
)
_LADDERS: Mapping[str, tuple[str, ...]] = {
    "physical-health": (
        "discomfort",
        "somebody slightly injured",
        "somebody seriously injured, or ten or more injured",
        "somebody died, or ten or more seriously injured",
        "ten or more died",
    ),
    "economic": _MONEY,
    "property": _MONEY,
    "intangible-property": _MONEY,
    "privacy": (
        "fewer than a hundred people's data",
        "a hundred or more",
        "ten thousand or more; or sensitive data of five hundred",
        "a million or more",
        "a hundred million or more",
    ),
    "critical-infrastructure": (
        "slower or worse than usual",
        "down for less than half an hour",
        "all down for half an hour, or a main function for two hours",
        "all down for two hours, or a main function for six; or it cannot be undone",
        "all down for six hours, or a main function for a day; or ten million people touched",
    ),
    "fundamental-rights": _RIGHTS,
    "discrimination": _RIGHTS,
    "harmful-content": _CONTENT,
    "democratic-social": _CONTENT,
    "ai-security": (
        "a weakness of low severity (CVSS under 4)",
        "of medium severity (CVSS 4 to 6.9)",
        "of high severity (CVSS 7 to 8.9); or guards bypassed at scale",
        "critical (CVSS 9 or more); or weights exposed, control lost, developers deceived",
        "it spreads by itself, or helped to build weapons of mass destruction",
    ),
}

TLP: tuple[Option, ...] = (
    ("clear", "CLEAR: anybody may read it, the press too"),
    ("green", "GREEN: all connected organisations and their community, not the public"),
    ("amber", "AMBER: connected organisations and those of their clients who must know"),
    ("amber+strict", "AMBER+STRICT: connected organisations, inside their house only"),
    ("red", "RED: only the organisations that you name now, nobody beyond"),
)

RED_STAYS_HERE = "TLP:RED goes to nobody unless you name the peers that may have it."


def levels(harm_type: str) -> list[Option]:
    """Return the five levels of one kind of harm, in words."""
    ladder = _LADDERS.get(harm_type)
    if ladder is None:
        return [(str(at), name) for at, name in enumerate(_LEVEL_NAMES, 1)]
    return [(str(at), f"{_LEVEL_NAMES[at - 1]}: {words}") for at, words in enumerate(ladder, 1)]
