"""An authority's form: what it says, what it marks as missing, and that hostile text stays text in every form."""

import html.parser
import importlib.util
import subprocess

import pytest
from hypothesis import given, settings
from markdown_it import MarkdownIt
from tests.schema.samples import FULL, INCIDENT_ID, MINIMAL, NOW, PRODUCER, stix
from tests.schema.strategies import texts

from tocsin_schema.authority.document import Kept, fill_form, shown
from tocsin_schema.authority.html import to_html
from tocsin_schema.authority.markdown import escaped, to_markdown
from tocsin_schema.check import check_bundle
from tocsin_schema.errors import RegimeUnknown
from tocsin_schema.regime import regimes

HOSTILE = [
    "<script>alert(1)</script>",
    "[click](javascript:alert(1)) ![x](https://evil.example/p.png)",
    "# Approved\n\n- [x] done\n\n---\n> quoted\n    code\n\t| a | b |\n1. one\n+ two",
    "`code` ``` fence\n~~~\n*b* __u__ ~~s~~ <https://evil.example> &lt;b&gt; \\",
    '#read("/etc/passwd") #set page(width: 1pt) $x^2$ @label <label> //comment /* */ [*bold*]',
    "\" onload=alert(1) ' x='\u202egnirts\u202c\u2066",
    "Setext\n===\nwww.evil.example and me@evil.example https://evil.example",
    "{{ 7*7 }} {% raw %} ${7*7}",
]
MARKDOWN = MarkdownIt("gfm-like", {"html": True, "linkify": False})
has_typst = pytest.mark.skipif(importlib.util.find_spec("typst") is None, reason="typst is not installed")


def document(form=FULL, regime="eu-cop-9.3-3", stage=None, kept=(), org="Example Energy AG"):
    raw = stix.build(form, producer=PRODUCER, incident_id=INCIDENT_ID, now=NOW)
    report = check_bundle(raw).report
    return fill_form(report, regimes().get(regime), stage, org=org, kept=kept, now=NOW)


def hostile_document(text):
    return document(
        {**FULL, "title": text.splitlines()[0], "description": text}, "eu-aia-73-general", org=text
    )


def gaps(made):
    return {(entry.id, gap) for entry in made.entries for gap in entry.missing.split("; ") if gap}


@pytest.mark.parametrize("name", regimes().by_id)
def test_every_regime_and_stage_fills_its_form_from_a_full_and_from_a_bare_record(name):
    for stage in regimes().get(name).stages:
        full, bare = (document(form, name, stage.id) for form in (FULL, MINIMAL))
        assert [entry.id for entry in full.entries] == [entry.id for entry in bare.entries]
        assert gaps(full) <= gaps(bare)
        for entry in full.entries:
            assert entry.lines or entry.missing
        for text in (to_markdown(bare), to_html(bare)):
            assert text.count("MISSING:") == len(bare.missing) + 1  # each item, and the count at the top


def test_what_is_missing_is_counted_at_the_top_and_never_guessed():
    bare = document(MINIMAL, "eu-cop-9.3-3")
    assert bare.warnings[0].startswith(f"MISSING: {len(bare.missing)} of 7 items")
    assert "1: when it occurred (occurred_start, occurred_end)" in bare.missing
    assert any(gap.startswith("7: not part of the record") for gap in bare.missing)


def test_a_later_stage_asks_for_more_and_the_first_that_is_not_done_is_taken():
    kept = [
        Kept("early-warning", "done"),
        Kept("notification", "confirmed", reasons=("because",), decided_by="Mara Voss"),
    ]
    made = document(regime="eu-nis2-23", kept=kept)
    assert made.title == "NIS2, significant incident: Incident notification"
    assert ("Duty", "0: , confirmed, by Mara Voss") in made.head
    assert len(made.entries) > len(document(regime="eu-nis2-23", stage="early-warning").entries)
    with pytest.raises(RegimeUnknown):
        document(regime="eu-nis2-23", stage="letter")


def test_doubts_stand_before_everything_else():
    warnings = document(regime="ny-raise-72h").warnings
    assert any(text.startswith("Not verified:") for text in warnings)
    assert any("No duty of this regime is recorded" in text for text in warnings)
    confirmed = document(kept=[Kept("initial", "confirmed")]).warnings
    assert not any("no named person has confirmed" in text for text in confirmed)
    red = document({**FULL, "tlp": "red", "personal_data": "present"}).warnings
    assert any("TLP:RED" in text for text in red)
    assert any("names people" in text for text in red)


class Tags(html.parser.HTMLParser):
    """The elements and the text of a page."""

    def __init__(self):
        super().__init__()
        self.tags, self.text, self.attributes = [], "", set()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text += data


def read_html(text):
    tags = Tags()
    tags.feed(text)
    return tags


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text_in_html(text):
    page = read_html(to_html(hostile_document(text)))
    plain = read_html(to_html(hostile_document("plain")))
    assert set(page.tags) == set(plain.tags)
    assert page.attributes == plain.attributes
    for line in text.splitlines():
        assert " ".join(shown(line).split()) in " ".join(page.text.split())


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text_in_markdown(text):
    rendered = read_html(MARKDOWN.render(to_markdown(hostile_document(text))))
    plain = read_html(MARKDOWN.render(to_markdown(hostile_document("plain"))))
    assert set(rendered.tags) - {"br"} == set(plain.tags) - {"br"}
    assert rendered.tags.count("h1") == plain.tags.count("h1")
    assert rendered.tags.count("h2") == plain.tags.count("h2")
    assert rendered.tags.count("li") == plain.tags.count("li")
    for line in text.splitlines():
        assert " ".join(shown(line).split()) in " ".join(rendered.text.split())


@given(texts)
def test_any_text_comes_out_of_markdown_as_it_went_in(text):
    line = " ".join(shown(text).split())
    rendered = read_html(MARKDOWN.render(f"before {escaped(line)} after"))
    assert set(rendered.tags) <= {"p"}
    assert " ".join(rendered.text.split()) == " ".join(f"before {line} after".split())


@given(texts)
def test_what_is_shown_has_no_control_and_no_hidden_direction(text):
    out = shown(text)
    assert not any((ord(one) < 32 and one != "\n") or "\u202a" <= one <= "\u202e" for one in out)


def read_pdf(tmp_path, data):
    file = tmp_path / "form.pdf"
    file.write_bytes(data)
    try:
        done = subprocess.run(["pdftotext", "-layout", file, "-"], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        pytest.skip("pdftotext (poppler-utils) is not installed")
    return done.stdout


@has_typst
def test_a_pdf_is_the_same_bytes_for_the_same_document():
    from tocsin_schema.authority.pdf import to_pdf

    made = to_pdf(document(), at=NOW)
    assert made.startswith(b"%PDF-")
    assert b"pdfaid" in made
    assert made == to_pdf(document(), at=NOW)


@has_typst
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text_in_pdf(text, tmp_path):
    from tocsin_schema.authority.pdf import to_pdf

    said = " ".join(read_pdf(tmp_path, to_pdf(hostile_document(text), at=NOW)).split())
    for line in text.splitlines()[:3]:
        assert " ".join(shown(line).split())[:60] in said
    assert "root:x:0" not in said


@has_typst
def test_what_no_font_can_show_is_written_by_its_number_and_the_document_says_so(tmp_path):
    import typst

    from tocsin_schema.authority.pdf import to_pdf

    bundled = typst.Fonts(include_system_fonts=False, include_embedded_fonts=True)
    made = to_pdf(document({**FULL, "description": "Łódź Ωμέγα Жук 事故 end"}), at=NOW, fonts=bundled)
    said = read_pdf(tmp_path, made)
    assert "Łódź Ωμέγα Жук [U+4E8B][U+6545] end" in said
    assert "2 different characters cannot be shown with the fonts of this machine (CJK)" in " ".join(
        said.split()
    )


@has_typst
@settings(max_examples=20, deadline=None)
@given(texts)
def test_any_text_becomes_a_pdf(text):
    from tocsin_schema.authority.document import Document, Entry
    from tocsin_schema.authority.pdf import to_pdf

    line = shown(text) or "nothing"
    made = Document(line, (line,), (("To", line),), (Entry("1", line, (line,), line, line),), (line,))
    assert to_pdf(made, at=NOW).startswith(b"%PDF-")


@has_typst
def test_a_long_word_is_broken_and_a_long_text_fills_pages(tmp_path):
    from tocsin_schema.authority.pdf import to_pdf

    said = read_pdf(
        tmp_path, to_pdf(document({**FULL, "description": "x" * 40_000 + " word" * 1000}), at=NOW)
    )
    assert said.count("x" * 40) >= 900
    assert said.count("\f") > 8  # pages
