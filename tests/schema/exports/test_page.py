import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.schema.exports.reports import BIDI, HOSTILE_TEXTS, SCRIPT, hostile, report, rich, sound
from tests.schema.exports.test_stix_export import imported
from tests.schema.samples import FULL, MINIMAL, build

from tocsin_schema.exports import page

TAGS = {
    "html", "head", "meta", "title", "style", "body", "main", "div", "span", "b", "h1", "h2", "p", "br", "nav", "table",
    "thead", "tbody", "tr", "th", "td", "a", "bdi", "article", "i", "ul", "ol", "li", "section", "dl", "dt", "dd", "time",
    "footer", "code",
}  # fmt: skip
VOID = {"meta", "br"}


class Reader(HTMLParser):
    """Reads a page as a browser would: tags with attributes, text, the style; fails where tags do not match."""

    def __init__(self, raw: bytes) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.style = ""
        self.open: list[str] = []
        self.feed(raw.decode())
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.text.append(data)

    def handle_comment(self, data):
        raise AssertionError(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    @property
    def links(self) -> list[str]:
        return [attrs["href"] or "" for tag, attrs in self.tags if tag == "a"]


def written(*reports):
    return b"".join(page.write(reports))


def read(*reports):
    return Reader(written(*reports))


def check_harmless(found):
    """What every page must hold, whatever its reports say."""
    assert {tag for tag, _ in found.tags} <= TAGS
    for tag, attrs in found.tags:
        assert not [
            name for name in attrs if name.startswith("on") or name in ("style", "src", "srcset", "action")
        ]
        if "href" in attrs:
            assert tag == "a"
            assert re.fullmatch(r"#r\d+|https?://\S+", attrs["href"], re.IGNORECASE)
    assert all(
        attrs["rel"] == "noopener noreferrer nofollow"
        for tag, attrs in found.tags
        if tag == "a" and not attrs["href"].startswith("#")
    )


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_a_hostile_report_is_text_and_nothing_but_text(text):
    found, harmless = read(hostile(text)), read(hostile("harmless"))
    check_harmless(found)
    assert [tag for tag, _ in found.tags] == [tag for tag, _ in harmless.tags]
    assert found.links == harmless.links


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=60).filter(
        lambda text: text.strip()
    )
)
def test_no_text_at_all_changes_the_page_around_it(text):
    form = {
        **MINIMAL,
        "title": text,
        "failure_modes": [text],
        "harms": [{"harm_type": "other", "note": text}],
    }
    plain = {**form, "title": "x", "failure_modes": ["x"], "harms": [{"harm_type": "other", "note": "x"}]}
    found = read(report(build(form)))
    check_harmless(found)
    assert [tag for tag, _ in found.tags] == [tag for tag, _ in read(report(build(plain))).tags]


def test_what_a_report_says_is_shown_as_it_is_said():
    assert read(hostile(SCRIPT)).words.count("<script>alert(1)</script>") > 8


def test_only_addresses_of_the_web_are_links_and_the_others_are_shown():
    found = read(hostile("x"))
    assert found.links == ["https://example.org/'onmouseover=alert(1)//"]
    assert "javascript:alert(1)" in found.words


def test_characters_that_hide_or_turn_the_text_are_named():
    raw = written(hostile(BIDI)).decode()
    assert not any(hidden in raw for hidden in "\u202e\u2066\u200b\U000e0041")
    assert "safe[U+202E]gnp.exe" in raw


def test_the_policy_allows_the_one_style_sheet_and_nothing_else():
    found = read(rich())
    (policy,) = [
        attrs["content"] for tag, attrs in found.tags if attrs.get("http-equiv") == "Content-Security-Policy"
    ]
    digest = base64.b64encode(hashlib.sha256(found.style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-{digest}'"
    assert found.tags.index(("meta", {"http-equiv": "Content-Security-Policy", "content": policy})) < [
        tag for tag, _ in found.tags
    ].index("style")
    assert not re.search(r"url\(|@import|expression", found.style)


def test_the_page_says_how_grave_it_is_why_and_how_it_may_be_handled():
    words = read(rich()).words
    assert "TLP:AMBER" in words
    assert "For the recipients, their organisations and their clients" in words
    assert "Substantial" in words
    assert "level 3 of 5 · score 57 of 100" in words
    for driver in rich().severity.drivers:
        assert driver in words


def test_every_fact_of_a_full_report_is_on_the_page():
    words = read(rich()).words
    for said in (
        FULL["title"], "12,000 households", "Voltwise GridPilot 4.2", "Fjord Labs", "households", "DE", "electricity, gas",
        "28,000 (estimated)", "180,000.5 EUR", "23 March 2025, 16:02 UTC", "It stopped spreading", "Advice mode switched off",
        "Lack of capability", "Public notice.", "hallucinated sensor reading", "Prompt Injection (AML.T0051)",
        "Step 1: a crafted alarm text.", "The vendor has confirmed it.", "agree We saw the same.", "ab" * 32, rich().id,
        rich().sha256.hex(), "consumers; business", "85 of 100", "annex-iii",
    ):  # fmt: skip
        assert said in words, said


def test_what_is_not_known_is_said():
    words = read(report(build(MINIMAL))).words
    for question in (
        "when it happened",
        "where it happened",
        "which AI system it was",
        "who made it",
        "where it can be read about",
    ):
        assert question in words
    assert "which AI system it was" not in read(rich()).words


def test_a_time_is_shown_as_exactly_as_it_is_known():
    def said(exact):
        return read(report(build({**FULL, "occurred_fidelity": exact}))).words

    assert "2025 It began" in said("year")
    assert "March 2025 It began" in said("month")
    assert "23 March 2025 It began" in said("day")
    assert "23 March 2025, 16:02:00 UTC It began" in said("second")


def test_a_withdrawn_report_warns_before_anything_else():
    withdrawn = next(one for one in sound() if one.revoked)
    found = read(withdrawn)
    words = found.words
    assert words.index("withdrawn by its creator") < words.index("level 1 of 5")


def test_many_reports_have_an_index_that_leads_to_each_under_the_strictest_marking():
    reports = [*sound(), rich()]
    found = read(*reports)
    check_harmless(found)
    anchors = [attrs["id"] for tag, attrs in found.tags if tag == "article"]
    assert [link for link in found.links if link.startswith("#")] == [f"#{anchor}" for anchor in anchors]
    assert len(anchors) == len(reports)
    assert found.words.startswith("TLP:AMBER · 6 AI incident reports")


def test_an_empty_export_is_a_page_that_says_so():
    assert "0 AI incident reports" in read().words


def test_huge_texts_and_many_parts_stay_one_sound_page():
    form = {**FULL, "description": "<" * 40_000, "failure_modes": [f"mode {n}" for n in range(50)]}
    found = read(report(build(form)))
    check_harmless(found)
    assert found.words.count("<") >= 40_000


def test_public_incidents_make_a_harmless_page():
    check_harmless(read(*imported(300, 6)))


def test_the_same_reports_give_the_same_bytes():
    assert written(*sound()) == written(*sound())
