import pytest

from tocsin_schema.marking import MARKING_IDS, MARKING_OBJECTS, TLP1_REPLACEMENTS, Tlp, strictest, tlp_of

STATEMENT = "marking-definition--5ee864f7-a0d5-4b08-9887-a4ceda5c2f7a"


def test_the_colours_are_ranked_from_clear_to_red():
    assert [tlp.rank for tlp in Tlp] == [0, 1, 2, 3, 4]
    assert [tlp.value for tlp in Tlp] == ["clear", "green", "amber", "amber+strict", "red"]
    assert Tlp.AMBER_STRICT.label == "TLP:AMBER+STRICT"
    assert strictest(Tlp.GREEN, Tlp.RED, Tlp.AMBER) is Tlp.RED


def test_the_markings_are_the_published_ones():
    assert MARKING_IDS[Tlp.CLEAR] == "marking-definition--94868c89-83c2-464b-929b-a1a8aa3c8487"
    assert MARKING_IDS[Tlp.GREEN] == "marking-definition--bab4a63c-aed9-4cf5-a766-dfca5abac2bb"
    assert MARKING_IDS[Tlp.AMBER] == "marking-definition--55d920b0-5e8b-4f79-9ee9-91f868d9b421"
    assert MARKING_IDS[Tlp.AMBER_STRICT] == "marking-definition--939a9414-2ddd-4d32-a0cd-375ea402b003"
    assert MARKING_IDS[Tlp.RED] == "marking-definition--e828b379-4e03-4974-9ac4-e53a884c97c1"
    assert MARKING_OBJECTS[Tlp.RED]["name"] == "TLP:RED"


@pytest.mark.parametrize("tlp", list(Tlp))
def test_one_marking_is_read(tlp):
    assert tlp_of([MARKING_IDS[tlp]]) is tlp
    assert tlp_of([STATEMENT, MARKING_IDS[tlp]]) is tlp
    assert tlp_of([MARKING_IDS[tlp]] * 2) is tlp


@pytest.mark.parametrize(
    "refs",
    [
        None,
        [],
        [STATEMENT],
        [MARKING_IDS[Tlp.CLEAR], MARKING_IDS[Tlp.RED]],
        [next(iter(TLP1_REPLACEMENTS))],
        [MARKING_IDS[Tlp.CLEAR], next(iter(TLP1_REPLACEMENTS))],
        ["marking-definition--94868c89-83c2-4f24-929b-a1a8aa3c8487"],
        [MARKING_IDS[Tlp.CLEAR].upper()],
    ],
)
def test_everything_else_is_no_marking(refs):
    assert tlp_of(refs) is None
