from tocsin_cli import wording
from tocsin_schema import vocabulary
from tocsin_schema.marking import Tlp


def test_every_value_asked_for_is_one_of_the_profile():
    assert {value for value, _ in wording.REALIZATION} == set(vocabulary.REALIZATION)
    assert {value for value, _ in wording.HARM_TYPES} == set(vocabulary.HARM_TYPE)
    assert [value for value, _ in wording.TLP] == [str(tlp) for tlp in sorted(Tlp, key=lambda tlp: tlp.rank)]


def test_every_harm_has_five_levels_in_words():
    for harm_type, _ in wording.HARM_TYPES:
        assert [value for value, _ in wording.levels(harm_type)] == ["1", "2", "3", "4", "5"]
