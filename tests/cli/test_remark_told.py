"""How what was said of a report is told: by whom, and to whom it was not told."""

import pytest

from tocsin_cli.commands.remark_told import remark_lines

SAID = {"kind": "opinion", "said": "agree", "by": {"name": "Ward", "ours": True}, "to": [], "revoked": False}
PEERS = {"ours": False, "imported": False, "name": "lab"}


def line(origin=PEERS, **changes):
    ((_, text),) = remark_lines({"origin": origin, "remarks": [{**SAID, **changes}]})
    return text


def test_what_the_author_was_not_told_says_so():
    assert line().endswith("(lab was not told: say it again)")


@pytest.mark.parametrize(
    "changes",
    [
        {"to": [{"name": "lab"}]},
        {"revoked": True},
        {"by": {"name": "lab", "ours": False}},
        {"origin": {**PEERS, "imported": True}},
        {"origin": {**PEERS, "ours": True}},
    ],
)
def test_what_was_told_or_has_nobody_to_be_told_does_not(changes):
    assert "not told" not in line(**changes)
