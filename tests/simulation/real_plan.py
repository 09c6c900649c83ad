"""What a run over real HTTP and PostgreSQL does, laid out from its seed before anything is started.

The same seed is the same plan, act for act. What the machine makes of it (which byte a kill hits, which piece is lost) is
chance, and every promise has to hold all the same.
"""

from dataclasses import dataclass
from random import Random

from tocsin_schema.marking import Tlp

NAMES = ("alder", "birch", "cedar")
STORM_S = 6.0
LIMITS = (Tlp.GREEN, Tlp.AMBER, Tlp.AMBER_STRICT, Tlp.RED)
MARKED = ("clear", "green", "green", "amber", "amber+strict", "red")
KINDS = {
    "file": 12,
    "revise": 6,
    "withdraw": 2,
    "acknowledge": 4,
    "kill": 2,
    "part": 2,
    "spoil": 2,
    "slow": 2,
    "lose": 2,
    "lower": 2,
    "deaf": 2,
    "repeat": 1,
    "mischief": 6,
}
RECALLS = 3


@dataclass(frozen=True)
class Act:
    """At `at_s` of the storm, `who` does `kind`; the other facts mean what the kind makes of them."""

    at_s: float
    kind: str
    who: str
    nth: int = 0
    other: str = ""
    tlp: str = "green"
    grave: bool = False
    to: tuple[str, ...] | None = None
    for_s: float = 0.0
    way: str = ""


@dataclass(frozen=True)
class Plan:
    """`limits`: (of, for) → out, in. `skews`: how far each node's clock is wrong. `fooled`: who is shown another log."""

    seed: int
    limits: dict[tuple[str, str], tuple[Tlp, Tlp]]
    skews: dict[str, float]
    acts: tuple[Act, ...]
    fooled: str


WAYS = ("impostor", "squat", "spoilt", "mislabelled", "junk", "honest", "flood", "wrong-clock", "leech")


def plan(seed: int, *, recalls: bool = False) -> Plan:
    """Lay one run out; `recalls`: with people who take reports back, too, drawn apart from all else."""
    dice = Random(f"real {seed}")
    everybody = (*NAMES, "mallory")
    limits = {(a, b): (dice.choice(LIMITS), dice.choice(LIMITS)) for a in NAMES for b in everybody if a != b}
    late = dice.choice(NAMES)
    skews = {name: dice.choice([-90.0, 90.0]) if name == late else 0.0 for name in NAMES}
    acts: list[Act] = []
    for kind, most in KINDS.items():
        acts += [_act(dice, kind, everybody) for _ in range(dice.randint(max(1, most // 2), most))]
    fooled, later = (
        dice.choice(NAMES),
        Random(f"real recalls {seed}"),
    )  # so that all else stays as it was laid out
    if recalls:
        acts += [_act(later, "recall", everybody) for _ in range(later.randint(1, RECALLS))]
    acts.sort(key=lambda act: act.at_s)
    return Plan(seed, limits, skews, tuple(acts), fooled)


def _act(dice: Random, kind: str, everybody: tuple[str, ...]) -> Act:
    who = dice.choice(NAMES)
    others = [name for name in everybody if name != who]
    at_s = dice.uniform(0, STORM_S * 0.9) if kind != "file" else dice.uniform(0, STORM_S * 0.7)
    return Act(
        at_s,
        kind,
        who,
        nth=dice.randrange(1000),
        other=dice.choice(others),
        tlp=dice.choice(MARKED),
        grave=dice.random() < 0.5,
        to=dice.choice([None, None, None, (dice.choice(others),), ()]),
        for_s=dice.uniform(0.2, 2.0),
        way=dice.choice(WAYS),
    )
