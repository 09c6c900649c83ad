"""A report as Markdown for the event report of MISP; every text in it is escaped, so that none of it is markup."""

import re
from collections.abc import Iterator
from typing import Final

from tocsin_schema.exports import story
from tocsin_schema.exports.content import Content
from tocsin_schema.exports.plain import shown

# What is markup anywhere, what makes an address a link, and what is markup where a line begins.
_markup: Final = re.compile(
    r"([\\`*_{}\[\]<>#|~&@!$^]|:(?=//)|(?<=www)\.|(?:(?<=^)|(?<=\n))[-+=]|(?<=\d)[.)](?= ))"
).sub
_MAX_TEXT: Final = 50_000


def text(raw: str) -> str:
    """A text without meaning to Markdown; its line breaks stay."""
    return _markup(r"\\\1", shown(raw[:_MAX_TEXT]))


def page(found: Content) -> str:
    """The whole report in words."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Content) -> Iterator[str]:
    report = found.report
    yield f"# {text(report.name)}"
    yield ""
    yield f"**{text(story.verdict(found))}**"
    yield ""
    yield text(report.description).replace("\n", "  \n")
    for heading, facts in story.sections(found):
        yield ""
        yield f"## {heading}"
        yield ""
        for label, value in facts:
            yield f"- **{text(label)}** {text(value)}".replace("\n", " ")
