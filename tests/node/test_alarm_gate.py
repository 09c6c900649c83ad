"""The gate's rules, one by one, in their order."""

from datetime import UTC, datetime, timedelta

import pytest

from tocsin_node.services.alarm_gate import (
    Circumstances,
    Digested,
    Drop,
    Go,
    Hold,
    Join,
    LeaveTo,
    judge,
)
from tocsin_node.services.alarm_timing import Bots, Timing
from tocsin_node.settings.alerting import GroupingSettings
from tocsin_node.storage.grouping import Told
from tocsin_node.storage.silences import StoredSilence

LIMITS = GroupingSettings(flood_room=8, flood_origin=4)
UNTIL = datetime(2026, 11, 30, tzinfo=UTC)
SILENCE = StoredSilence(
    3, "mara", "known", UNTIL - timedelta(days=1), UNTIL, *(None,) * 7, rank=2, active=True, holding=0
)
FLOOD = Told(99, 99)
FELLOW = ("$event", "@other:hs.test")


def verdict(kind="raise", *, urgent=False, **more):
    return judge(Circumstances(kind, urgent, **more), LIMITS)


def test_an_ordinary_alert_goes():
    assert verdict() == Go()


def test_a_test_goes_whatever_is_the_case():
    assert verdict("test", silence=SILENCE, told=FLOOD, is_open=False) == Go()


@pytest.mark.parametrize("which", ["again", "released"])
def test_what_was_taken_up_while_it_waited_is_dropped(which):
    assert verdict(is_open=False, **{which: True}) == Drop("taken-up")
    assert verdict(is_open=True, **{which: True}) == Go()
    assert verdict(is_open=False) == Go(), "the room has not heard of it yet"


@pytest.mark.parametrize("urgent", [True, False])
def test_what_a_fellow_told_is_left_to_that(urgent):
    assert verdict(urgent=urgent, fellow=FELLOW, silence=SILENCE, told=FLOOD) == LeaveTo(*FELLOW)
    assert verdict(urgent=urgent, fellow=FELLOW, again=True) == Go()


def test_a_withdrawal_of_what_nobody_was_told_is_dropped():
    assert verdict("withdrawn") == Drop("nobody-was-told")
    assert verdict("withdrawn", was_told=True) == Go()


@pytest.mark.parametrize("kind", ["duty", "withdrawn"])
def test_no_silence_holds_a_legal_clock_or_a_withdrawal(kind):
    assert verdict(kind, was_told=True, silence=SILENCE, told=FLOOD) == Go()


@pytest.mark.parametrize("kind", ["raise", "escalate", "cluster", "digest"])
def test_a_silence_holds_until_it_ends(kind):
    assert verdict(kind, silence=SILENCE, told=FLOOD) == Hold(UNTIL, "silence 3")
    assert verdict(kind, silence=SILENCE, again=True) == Hold(UNTIL, "silence 3")


def test_what_is_urgent_goes_into_no_digest_and_no_thread():
    assert verdict(urgent=True, told=FLOOD, inhibitor=7) == Go()


def test_an_open_early_warning_takes_what_belongs_to_it_into_its_thread():
    assert verdict(inhibitor=7, told=FLOOD) == Join(7)
    assert verdict(inhibitor=7, again=True) == Go()


@pytest.mark.parametrize(
    ("told", "meant"),
    [
        (Told(7, 3), Go()),
        (Told(8, 0), Digested("flood-room")),
        (Told(7, 4), Digested("flood-origin")),
        (Told(0, 4), Digested("flood-origin")),
    ],
)
def test_one_too_many_goes_into_the_digest(told, meant):
    assert verdict(told=told) == meant
    assert verdict(told=told, caps=False) == Go()
    assert verdict("escalate", told=told, follows=True) == Go(), "it is no new incident"


def test_grade_i_never_waits_and_only_new_incidents_do():
    timing = Timing(GroupingSettings(wait_ii_s=10, wait_iii_s=60))
    assert [timing.wait_s("raise", grade, urgent=False) for grade in ("I", "II", "III", "IV")] == [
        0,
        10,
        60,
        60,
    ]
    assert timing.wait_s("raise", "IV", urgent=True) == 0
    assert {timing.wait_s(k, "II", urgent=False) for k in ("escalate", "withdrawn", "duty", "test")} == {0}


def test_nodes_of_one_room_go_in_an_order_that_each_of_them_knows():
    bots = [f"@tocsin:{name}.test" for name in ("a", "b", "c")]
    nodes = [Bots(me, tuple(b for b in bots if b != me)) for me in bots]
    timings = [Timing(GroupingSettings(), {"matrix": bots, "matrix-2": bots}) for bots in nodes]
    firsts = set()
    for number in range(60):
        report = f"incident--{number}"
        assert len({tuple(node.order(report)) for node in nodes}) == 1
        for room in ("matrix", "matrix-2"):
            starts = [timing.head_start_s(room, report, urgent=False) for timing in timings]
            assert sorted(starts) == [0, 3, 6]
            urgent = [timing.head_start_s(room, report, urgent=True) for timing in timings]
            assert sorted(urgent) == [0, 1, 2]
        firsts.add(starts.index(0))
    assert firsts == {0, 1, 2}
    alone = Timing(GroupingSettings(), {})
    assert alone.head_start_s("matrix", "incident--1", urgent=False) == 0
    assert timings[0].head_start_s("webhook", "incident--1", urgent=False) == 0
