"""The bench itself: what it files is sound and new each time, and what it prints can be read."""

import xml.etree.ElementTree as ET
from itertools import pairwise

import pytest
from tests.bench import bare_crypto, finding, growth, importing, plot, proofs, ringing, samples, table
from tests.bench.measure import Figure, Limit, Round, latency, percentile, throughput

from tocsin_schema.check import check_bundle


@pytest.mark.parametrize(("made", "grade"), [(samples.quiet, "IV"), (samples.ringing, "II")])
def test_every_sample_is_a_sound_report_that_nobody_has_seen(made, grade):
    reports = made()
    found = [(incident_id, check_bundle(raw)) for incident_id, raw in (reports.make() for _ in range(50))]
    assert all(checked.findings == () for _, checked in found)
    assert [checked.report.id for _, checked in found] == [incident_id for incident_id, _ in found]
    assert {checked.report.severity.grade for _, checked in found} == {grade}
    assert len({incident_id for incident_id, _ in found}) == 50
    assert len({checked.report.wrapper_id for _, checked in found}) == 50
    assert {len(checked.report.raw) for _, checked in found} == {reports.size}


def test_the_searched_reports_are_the_same_each_time_and_are_asked_for_in_many_ways():
    one, other = finding.Corpus(100), finding.Corpus(100)
    assert one.rows(20) == other.rows(20)
    assert one.queries(50) == other.queries(50)
    assert len({query.partition("=")[0] for query in one.queries(50)}) >= 6


def test_the_best_round_is_the_figure_and_the_aim_is_a_share_of_the_limit():
    rounds = [Round(100, 1.0, [0.01] * 100), Round(100, 0.5, [0.005] * 100)]
    figure = throughput("x", rounds, Limit("bare", 400, "/s"), aim=0.5)
    assert (figure.value, figure.ratio, figure.met, figure.p50_ms) == (200, 0.5, True, 5)
    assert not throughput("x", rounds, Limit("bare", 500, "/s"), aim=0.5).met


def test_of_a_latency_the_limit_is_divided_by_the_figure():
    figure = latency("x", [0.1, 0.2, 0.4], Limit("bare", 50, "ms"), aim_ms=300)
    assert (figure.value, figure.ratio, figure.met) == (200, 0.25, False)


def test_percentiles_are_values_that_were_measured():
    assert [percentile(range(1, 101), share) for share in (0.5, 0.99, 1)] == [50, 99, 100]
    assert percentile([7], 0.99) == 7


def test_of_what_the_bot_says_about_an_incident_only_the_first_message_is_the_alert():
    first, called = (
        {"content": {"org.tocsin.alert": told}} for told in ({"v": 1}, {"message": "escalation"})
    )
    edit = {"content": {"org.tocsin.alert": {"v": 1}, "m.new_content": {}}}
    events = [first, called, edit, {"content": {"body": "bare message 1"}}]
    assert [ringing.is_alert(event) for event in events] == [True, False, False, False]
    assert [ringing.is_alert(event, "escalation") for event in events] == [False, True, False, False]


def test_what_a_report_costs_grows_with_its_recipients_and_its_proof_with_the_logs_height():
    reports = samples.quiet()
    limits = bare_crypto.rates(reports.make()[1], seconds=0.05)
    found = list(proofs.figures(reports, limits, entries=1000, rounds=1))
    assert [figure.name.partition(":")[0] for figure in found] == [
        "seal to 1", "seal to 10", "seal to 50", "a proof of 1,000",
    ]  # fmt: skip
    assert found[0].value > found[2].value > 0
    assert max(map(len, table.lines(found))) <= table.WIDTH


def test_the_table_fits_the_screen():
    long = Limit("bare rows and wraps", 1_234_567, "/s")
    figures = [
        Figure("filed, until seen in Matrix at the peer", 12_345.6, "ms", 12_345.6, 99_999.9, long, "p99 < 600 ms", False),
        Figure("file a report, 16 clients, 0 recipients", 9_999, "/s", 99.9, 999.9, long, "≥ 50% of limit", True),
        Figure("  the same, reports a second", 5, "/s"),
    ]  # fmt: skip
    assert max(map(len, table.lines(figures))) <= table.WIDTH


def test_every_source_that_is_there_is_measured_beside_both_judges():
    found = list(importing.figures(number=4, judged=2, rounds=1))
    if not found:
        pytest.skip("no data of others is beside the repository")
    assert {figure.limit.name for figure in found} == {"stix2.parse", "stix2-validator"}
    assert all(figure.value > 0 and figure.limit.value > 0 for figure in found)
    assert len({figure.name for figure in found}) == len(found)
    assert max(map(len, table.lines(found))) <= table.WIDTH


def test_a_network_played_twice_gives_the_same_figures_and_each_report_reaches_all_its_recipients():
    one = growth.grow(12)
    assert one == growth.grow(12)
    assert one.nodes == 12
    assert 9 <= one.peers <= 11
    assert one.idle_messages_s < one.load_messages_s
    assert one.idle_bytes_s < one.load_bytes_s
    # a wrap for each recipient is what the author keeps beyond what a recipient does, and the sealed report
    assert one.origin_bytes - one.recipient_bytes > 1168 * one.peers
    assert 0 < one.spread_p50_ms <= one.spread_p99_ms < 2000


def test_a_plot_is_a_picture_whose_lines_lie_inside_and_rise_with_their_values():
    text = plot.draw("<title>", [plot.Panel("y", [plot.Line("a", [(10, 1), (100, 3), (1000, 7)])])], "x")
    picture = ET.fromstring(text)
    spots = [
        (float(c.get("cx")), float(c.get("cy"))) for c in picture.iter("{http://www.w3.org/2000/svg}circle")
    ][:3]
    assert all(left[0] < right[0] and left[1] > right[1] for left, right in pairwise(spots))
    assert all(0 < x < float(picture.get("width")) and 0 < y < float(picture.get("height")) for x, y in spots)
    assert "&lt;title&gt;" in text
