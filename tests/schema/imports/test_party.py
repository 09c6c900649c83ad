"""Invented names throughout: a test about withholding names must not hold any."""

import pytest

from tocsin_schema.imports.party import MASK, display, is_nobody, judge, mask


@pytest.mark.parametrize(
    "slug",
    [
        "bus-passengers",
        "women",
        "facebook-users-in-nowhere",
        "people-with-dark-skin",
        "drivers-using-shuttles",
        "teenagers-targeted-in-scams",
        "general-public",
        "norwegians-in-the-north",
        "unnamed-city-taxpayers",
    ],
)
def test_groups_of_people_are_carried(slug):
    assert judge(slug, harmed=True) == "class"


@pytest.mark.parametrize(
    "slug",
    [
        "google",
        "google-maps",
        "new-york-city-police-department",
        "university-of-nowhere",
        "example-technologies",
        "uk-home-office",
    ],
)
def test_organisations_are_carried(slug):
    assert judge(slug, harmed=True) == "organization"


@pytest.mark.parametrize(
    "slug",
    [
        "jane-exampleperson",
        "jane-q.-exampleperson",
        "jane-exampleperson's-family",
        "the-exampleperson-family",
        "family-of-jane-exampleperson",
        "child-named-jane",
        "@jane",
        "mononym",
        "tesla-driver",
        "unnamed-passenger",
        "unnamed-22-year-old-driver",
        "dr.-exampleperson",
        "jane-exampleperson-jr.",
        "",
        "---",
    ],
)
def test_what_may_be_a_private_person_is_withheld_among_the_harmed(slug):
    assert judge(slug, harmed=True) is None


def test_makers_of_one_word_are_companies_and_of_two_unknown_words_are_not():
    assert judge("examplecorpus", harmed=False) == "organization"
    assert judge("jane-exampleperson", harmed=False) is None
    assert judge("unknown-scammers", harmed=False) == "class"


@pytest.mark.parametrize("slug", ["unknown", "None", " unspecified ", ""])
def test_some_entries_name_nobody(slug):
    assert is_nobody(slug)


def test_keys_are_shown_as_people_write_them():
    assert display("keolis-north-america", "organization") == "Keolis North America"
    assert display("uk-home-office", "organization") == "UK Home Office"
    assert display("bus-passengers", "class") == "bus passengers"


def test_withheld_names_are_taken_out_of_texts():
    text = (
        "Jane Exampleperson sued. Exampleperson’s lawyer, JANE  EXAMPLEPERSON, won; example persons did not."
    )
    masked, places = mask(text, ["jane-exampleperson"])
    assert masked == f"{MASK} sued. {MASK}’s lawyer, {MASK}, won; example persons did not."
    assert places == 3


@pytest.mark.parametrize(
    ("slug", "text"),
    [
        ("jane-exampleperson's-family", "The family of Jane Exampleperson mourns."),
        ("family-of-jane-exampleperson", "The family of Jane Exampleperson mourns."),
        ("child-named-janeth", "A child, Janeth, was hurt."),
        ("president-jane-exampleperson", "Jane Exampleperson spoke."),
    ],
)
def test_names_inside_of_longer_keys_are_found(slug, text):
    masked, places = mask(text, [slug])
    assert places >= 1
    assert "Exampleperson" not in masked
    assert "Janeth" not in masked


def test_generic_keys_mask_nothing():
    text = "A delivery truck hit an unnamed passenger of the Guardian."
    assert mask(text, ["delivery-truck", "unnamed-passenger", "the-guardian", "election-integrity"]) == (
        text,
        0,
    )
