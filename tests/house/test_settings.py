"""Every setting says what it means, and the example file shows all of them with their defaults."""

import tomllib

import msgspec
import pytest
from tests.house.repository import ROOT, agrees

from tocsin_node.node_toml import commented
from tocsin_node.settings.loading import load, parse
from tocsin_node.settings.record import SECTIONS

EXAMPLE = ROOT / "deploy/node.example.toml"
VALUES = {
    "node": {"org": "Example Hospital", "domain": "example.org", "url": "https://tocsin.example.org"},
    "matrix": {
        "homeserver": "https://matrix.example.org",
        "user_id": "@tocsin:example.org",
        "room": "#ai-incidents:example.org",
        "responders": ["@duty:example.org"],
    },
}
# What a section needs that the example leaves out: most nodes have none.
NEEDED = {
    **VALUES,
    "webhook": {"url": "https://pager.example.org/tocsin"},
    "mail": {
        "server": "smtp.example.org",
        "sender": "tocsin@example.org",
        "recipients": ["duty@example.org"],
    },
    "matrix_second": {
        "homeserver": "https://matrix.example.net",
        "user_id": "@tocsin:example.net",
        "room": "!incidents:example.net",
    },
    "heartbeat": {"url_file": "keys/heartbeat-url"},
}
BESIDE = {"matrix_second": {"matrix": VALUES["matrix"]}}  # what a section does not stand without
FIELDS = [(name, field) for name, kind in SECTIONS.items() for field in msgspec.structs.fields(kind)]


def test_the_example_is_current():
    assert agrees(EXAMPLE, commented(VALUES)), "after a review: make golden"


def test_the_example_loads_and_says_what_it_says(tmp_path):
    (tmp_path / "node.toml").write_text(EXAMPLE.read_text("utf-8"))
    settings = load(tmp_path, {})
    assert settings.node.org == "Example Hospital"
    assert settings.matrix is not None
    assert settings.matrix.room == "#ai-incidents:example.org"
    assert settings.database.embedded


@pytest.mark.parametrize(("section", "field"), FIELDS, ids=lambda value: getattr(value, "name", value))
def test_a_setting_is_explained_and_its_default_is_a_setting_that_loads(section, field):
    lines = EXAMPLE.read_text("utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.lstrip("#") == f"[{section}]")
    at = next(i for i in range(start, len(lines)) if lines[i].lstrip("#").startswith(f"{field.name} = "))
    assert lines[at - 1].startswith("# "), f"{section}.{field.name} has no explanation"
    stated = tomllib.loads(lines[at].lstrip("#"))
    if field.required and section not in VALUES:
        assert stated == {field.name: ""}, "there is no default for it"
        stated = {}
    table = {"node": {"org": "A"}, **BESIDE.get(section, {}), section: {**NEEDED.get(section, {}), **stated}}
    parse(table, EXAMPLE.parent, {})


def test_the_operators_manual_leads_to_the_settings():
    assert "node.example.toml" in (ROOT / "node/OPERATING.md").read_text("utf-8")
