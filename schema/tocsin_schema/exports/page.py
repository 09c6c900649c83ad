"""A page to read: self-contained, without scripts and without anything fetched, light and dark, fit for paper.

One report or many with an index. Everything in a report is text from somebody else and is escaped by
construction (`markup.py`); only addresses of the web become links. A Content-Security-Policy allows the one
style sheet by its hash and nothing else, so that even a mistake here could run nothing.
"""

import base64
import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from typing import Final

from tocsin_schema import times
from tocsin_schema import vocabulary as voc
from tocsin_schema.exports import content, story
from tocsin_schema.exports.content import Content
from tocsin_schema.exports.markup import Html, foreign, link, prose, tag
from tocsin_schema.exports.page_style import STYLE
from tocsin_schema.exports.timeline import day, timeline
from tocsin_schema.marking import Tlp, strictest
from tocsin_schema.report import IncidentReport

LOSSES: Final = (
    (
        "It is for reading: identifiers of parties, systems and relationships are not there, nor are markings other"
        " than TLP, evidence beyond kind and hash, or properties of a later profile."
    ),
    "Hidden characters, such as those that turn the reading direction, are named: [U+202E].",
    "There is no way back: import from `stix` instead.",
)

MEANING: Final = {
    Tlp.CLEAR: "May be passed on without limits.",
    Tlp.GREEN: "May be passed on within the community, not in public.",
    Tlp.AMBER: "For the recipients, their organisations and their clients, who need to know.",
    Tlp.AMBER_STRICT: "For the recipients and their organisations only.",
    Tlp.RED: "For the recipients alone. Do not pass it on.",
}
_SPOOL_BYTES: Final = 4 * 1024 * 1024
_CHUNK: Final = 64 * 1024
_POLICY: Final = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-"
    + base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    + "'"
)


def write(reports: Iterable[IncidentReport]) -> Iterator[bytes]:
    """The page. The articles wait on disk until the index before them is known."""
    rows: list[Html] = []
    marking = Tlp.CLEAR
    title = ""
    with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as articles:
        for number, report in enumerate(reports):
            found = content.read(report)
            marking = strictest(marking, report.tlp)
            title = title or report.name
            rows.append(_index_row(found, number))
            articles.write(_article(found, number).text.encode() + b"\n")
        title = title if len(rows) == 1 else f"{len(rows):,} AI incident reports"
        yield _head(title, marking)
        yield from (_index(title, rows) if len(rows) != 1 else [])
        articles.seek(0)
        while chunk := articles.read(_CHUNK):
            yield chunk
    yield b"</main>\n</body>\n</html>\n"


def _head(title: str, marking: Tlp) -> bytes:
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", f"{marking.label} · {title}"),
        Html(f"<style>{STYLE}</style>"),
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n{head.text}\n<body>\n{_banner(marking).text}\n<main>\n'.encode()
    )


def _banner(marking: Tlp) -> Html:
    colour = marking.value.replace("+", "-")
    return tag("div", tag("b", marking.label), tag("span", MEANING[marking]), class_=f"tlp {colour}")


def _index(title: str, rows: list[Html]) -> Iterator[bytes]:
    yield tag("h1", title).text.encode() + b"\n<nav><table><thead>"
    heads = [tag("th", name, scope="col") for name in ("Grade", "Report", "Marking", "Happened")]
    yield tag("tr", *heads).text.encode() + b"</thead><tbody>\n"
    for row in rows:
        yield row.text.encode() + b"\n"
    yield b"</tbody></table></nav>\n"


def _index_row(found: Content, number: int) -> Html:
    report = found.report
    title = ("[withdrawn] " if report.revoked else "") + report.name
    return tag(
        "tr",
        tag("td", _grade(found)),
        tag("td", tag("a", tag("bdi", title), href=f"#r{number}")),
        tag("td", report.tlp.label),
        tag("td", _happened(found)),
        class_=report.severity.grade,
    )


def _grade(found: Content) -> str:
    return "·" if found.report.severity.grade == "none" else found.report.severity.grade


def _happened(found: Content) -> str:
    facts = found.report.extension
    at = times.parse(facts.get("occurred_start"))
    return "not known" if at is None else day(at, facts.get("occurred_fidelity", "day"))


def _article(found: Content, number: int) -> Html:
    report = found.report
    withdrawn = "This report was withdrawn by its creator. Do not rely on it." if report.revoked else None
    return tag(
        "article",
        tag(
            "p",
            report.tlp.label,
            " · ",
            foreign(found.creator),
            f" · {day(report.modified, 'day')}",
            class_="eyebrow",
        ),
        foreign(report.name, "h1" if number == 0 else "h2", class_="title"),
        tag("p", withdrawn, class_="notice") if withdrawn else None,
        _severity(found),
        tag("div", prose(report.description), class_="lead"),
        tag("div", *_cards(found), class_="cards"),
        _footer(found),
        id=f"r{number}",
    )


def _severity(found: Content) -> Html:
    severity = found.report.severity
    steps = [tag("i", class_="on" if step <= severity.level else "off") for step in range(1, 6)]
    why = [foreign(driver, "li") for driver in severity.drivers]
    why.append(foreign(story.basis(found), "li", class_="basis"))
    level = f"level {severity.level} of 5 · score {severity.score} of 100"
    return tag(
        "div",
        tag("div", _grade(found), class_="grade"),
        tag(
            "div",
            tag("p", f"{voc.LEVEL_NAMES[severity.level].capitalize()}", class_="verdict"),
            tag("div", level, class_="small"),
            tag("div", *steps, class_="meter", role="img", aria_label=story.verdict(found)),
        ),
        tag("ul", *why, class_="why"),
        class_=f"severity {severity.grade}",
    )


def _cards(found: Content) -> Iterator[Html]:
    """The sections that have something to say, each a card; the severity stands above them already."""
    shown = {"Timeline": _timeline, "Sources": _sources, "Not known": _unknown}
    for heading, pairs in story.sections(found):
        if heading == "Severity":
            continue
        if heading in shown:
            yield shown[heading](found)
        else:
            yield tag("section", tag("h2", heading), _pairs(pairs))


def _pairs(pairs: story.Pairs) -> Html:
    """Label and text; one label over several texts that follow each other."""
    made: list[Html] = []
    last = None
    for label, said in pairs:
        if label != last:
            made.append(foreign(label, "dt"))
        made.append(foreign(said, "dd"))
        last = label
    return tag("dl", *made)


def _timeline(found: Content) -> Html:
    moments = [
        tag("li", tag("time", moment.shown, datetime=times.write(moment.at)), foreign(moment.said, "span"))
        for moment in timeline(found)
    ]
    return tag("section", tag("h2", "Timeline"), tag("ol", *moments, class_="time"))


def _sources(found: Content) -> Html:
    items = [
        tag("li", link(address, name), tag("div", foreign(said), class_="small") if said else None)
        for name, address, said in story.sources(found)
    ]
    return tag("section", tag("h2", "Sources"), tag("ul", *items))


def _unknown(found: Content) -> Html:
    items = [tag("li", question) for question in story.unknown(found)]
    return tag("section", tag("h2", "Not known"), tag("ul", *items), class_="unknown")


def _footer(found: Content) -> Html:
    report = found.report
    return tag(
        "footer",
        tag("code", report.id),
        f", version of {day(report.modified, 'second')}; SHA-256 of the bundle ",
        tag("code", report.sha256.hex()),
    )
