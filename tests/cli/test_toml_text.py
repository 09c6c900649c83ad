import tomllib

from hypothesis import given
from hypothesis import strategies as st

from tocsin_cli.toml_text import toml_text

keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
plain = st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4)
)


@given(st.dictionaries(keys, values))
def test_what_is_written_reads_back_the_same(form):
    assert tomllib.loads(toml_text(form)) == form


def test_text_of_several_lines_can_be_edited_as_such():
    text = toml_text(
        {"title": "A", "description": 'One "line"\nand \\ another', "harms": [{"level": 2}], "gone": None}
    )
    assert '"""\nOne \\"line\\"\nand' in text
    assert "[[harms]]\nlevel = 2" in text
    assert "gone" not in text
