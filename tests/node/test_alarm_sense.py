"""Settings that leave people unrung are allowed, and said."""

from pathlib import Path

import pytest
from tests.support.node import open_here, settings_on

from tocsin_node.services.alarm_sense import unrung
from tocsin_node.settings.alerting import AlertSettings, GroupingSettings
from tocsin_node.settings.oncall import OncallSettings
from tocsin_node.settings.record import Settings
from tocsin_node.settings.server import NodeSettings

SILENT = {"grade_i_waits_min": (), "grade_ii_waits_min": ()}


def said(**parts):
    found = unrung(Settings(dir=Path(), node=NodeSettings(org="Test"), **parts))
    return {check.code: check.hint for check in found}


def test_the_settings_as_they_are_shipped_leave_nobody_unrung():
    assert said() == {}


@pytest.mark.parametrize(
    ("code", "words", "parts"),
    [
        ("grades-unrung", "grade I and II ring", {"alerts": AlertSettings(grades=())}),
        ("grades-unrung", "grade I ring", {"alerts": AlertSettings(grades=("II", "III"))}),
        ("peers-unrung", "alerts.received", {"alerts": AlertSettings(received=False)}),
        ("rings-late", "168.0 hours", {"grouping": GroupingSettings(wait_ii_s=604_800)}),
        (
            "rings-once",
            "oncall.grade_i_waits_min or grouping.repeat_i_s",
            {"oncall": OncallSettings(**SILENT), "grouping": GroupingSettings(repeat_i_s=0)},
        ),
    ],
)
def test_what_leaves_people_unrung_is_named_with_what_to_change(code, words, parts):
    [(found, hint)] = said(**parts).items()
    assert found == code
    assert words in hint


@pytest.mark.parametrize(
    "parts", [{"oncall": OncallSettings(**SILENT)}, {"grouping": GroupingSettings(repeat_i_s=0)}]
)
def test_one_of_two_ways_to_ring_again_is_enough(parts):
    assert said(**parts) == {}


async def test_alert_check_says_it(database, tmp_path):
    settings = settings_on(tmp_path, database, {"alerts": {"grades": ["II"]}})
    async with open_here(settings) as served, served.client.get("/v1/alerts/check") as answer:
        found = await answer.json()
    assert "grades-unrung" in {finding["code"] for finding in found["findings"]}
