"""What Hypothesis draws: JSON of every kind, and facts of incidents."""

from hypothesis import strategies as st

from tocsin_schema import vocabulary as voc
from tocsin_schema.canonical import MAX_INT

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
# Whole doubles beyond 2^53 have canonical bytes, but no strict reader takes them back.
numbers = st.integers(-MAX_INT, MAX_INT) | st.floats(-MAX_INT, MAX_INT)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=30,
)
# What no report may hold, too: halves of characters, numbers beyond everything, control characters.
wild_texts = st.text(max_size=20) | st.sampled_from(
    ["", " ", "\x00", "\x1b[31m", "\ud800", "a" * 3000, "\u202e"]
)
wild_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from([10**30, -(10**400), 1e308, -0.0])
    | wild_texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(wild_texts, inner, max_size=4),
    max_leaves=12,
)


def _words(words):
    return st.sampled_from(list(words))


counts = st.sampled_from(
    [0, 1, 2, 9, 10, 99, 100, 499, 500, 9_999, 10_000, 999_999, 10**6, 10**7, 10**8, 10**9]
)
losses = st.fixed_dictionaries(
    {
        "amount": st.integers(0, 10**12) | st.floats(0, 1e12),
        "currency": st.sampled_from(["USD", "EUR", "CNY", "XXX"]),
    }
)
COUNTS = (
    "deaths",
    "serious_injuries",
    "injuries",
    "persons_affected",
    "personal_records",
    "outage_minutes",
    "views",
    "reposts",
)
quantities = st.fixed_dictionaries({}, optional={**dict.fromkeys(COUNTS, counts), "economic_loss": losses})
harms = st.fixed_dictionaries(
    {"harm_type": _words(voc.HARM_TYPE)},
    optional={
        "level": st.integers(0, 5),
        "materialised": st.booleans(),
        "reversibility": _words(voc.REVERSIBILITY),
    },
)
extensions = st.fixed_dictionaries(
    {"realization": _words(voc.REALIZATION)},
    optional={
        "causality": _words(voc.CAUSALITY),
        "harms": st.lists(harms, min_size=1, max_size=4),
        "quantities": quantities,
        "flags": st.lists(_words(voc.FLAG), min_size=1, max_size=6, unique=True),
        "rights": st.lists(_words(voc.RIGHT_OV), min_size=1, max_size=3, unique=True),
        "cvss": st.fixed_dictionaries({"base_score": st.floats(0, 10)}),
    },
)
