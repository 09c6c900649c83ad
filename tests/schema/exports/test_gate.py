import pytest
from tests.schema.exports.reports import report
from tests.schema.samples import MINIMAL, build

from tocsin_schema.exports.gate import withheld
from tocsin_schema.marking import Tlp


def marked(tlp, personal="none"):
    return report(build({**MINIMAL, "tlp": tlp, "personal_data": personal}))


@pytest.mark.parametrize(
    ("tlp", "stays"),
    [("clear", False), ("green", False), ("amber", True), ("amber+strict", True), ("red", True)],
)
def test_above_green_nothing_leaves_unless_it_is_said(tlp, stays):
    assert withheld(marked(tlp)) == ("above-tlp" if stays else None)
    assert withheld(marked(tlp), max_tlp=Tlp.RED) is None


def test_a_report_that_names_people_stays_until_that_is_said_too():
    assert withheld(marked("green", "present")) == "personal-data"
    assert withheld(marked("green", "present"), personal_data=True) is None
    assert withheld(marked("red", "present"), personal_data=True) == "above-tlp"
    assert withheld(marked("green", "pseudonymised")) is None
