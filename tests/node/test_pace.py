"""The brake on messages."""

import pytest

from tocsin_node.services.pace import ANY, URGENT, Pace


def test_a_burst_goes_at_once_and_keeps_places_for_the_gravest():
    pace = Pace(0.2, 8, reserved=3)
    allowed = []
    for _ in range(9):
        allowed.append(pace.allowed(100.0))
        if allowed[-1] is not None:
            pace.take()
    assert allowed == [ANY] * 5 + [URGENT] * 3 + [None]


def test_places_come_back_with_time_and_not_beyond_the_burst():
    pace = Pace(0.2, 8, reserved=3)
    pace.allowed(100.0)
    for _ in range(8):
        pace.take()
    assert pace.allowed(104.9) is None
    assert pace.next_s(104.9) == pytest.approx(0.1)
    assert pace.allowed(105.1) == URGENT
    assert pace.next_s(105.1) == pytest.approx(14.9)
    assert pace.allowed(120.1) == ANY
    pace.allowed(10_000.0)
    for _ in range(8):
        pace.take()
    assert pace.allowed(10_000.0) is None


def test_the_homeserver_s_word_counts_more_than_ours():
    pace = Pace(10.0, 8)
    assert pace.allowed(1.0) == ANY
    pace.drain()
    assert pace.allowed(1.0) is None
    assert pace.allowed(1.2) == URGENT


def test_a_brake_of_one_keeps_no_places():
    pace = Pace(1.0, 1)
    assert pace.allowed(1.0) == ANY
