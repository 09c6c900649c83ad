"""A filled form as one HTML page: no script, nothing fetched, every text escaped; it prints well."""

from collections.abc import Iterator
from html import escape
from typing import Final

from tocsin_schema.authority.document import MISSING, Document, Entry

_STYLE: Final = """
body { font: 16px/1.45 Georgia, "Noto Serif", serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.05rem; margin: 1.6rem 0 .3rem; }
.warning { border-left: 4px solid #a33; padding: .2rem .8rem; margin: .4rem 0; }
.missing { background: #fff2b3; border: 1px solid #b38600; padding: .3rem .6rem; }
.note { color: #555; font-style: italic; }
table { border-collapse: collapse; } th, td { text-align: left; vertical-align: top; padding: .15rem .8rem .15rem 0; }
th { font-weight: normal; color: #555; white-space: nowrap; } p { white-space: pre-line; overflow-wrap: anywhere; }
@media print { body { margin: 0; max-width: none; font-size: 11pt; } h2 { break-after: avoid; } }
"""
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"


def to_html(document: Document) -> str:
    """The page."""
    return "\n".join(_page(document)) + "\n"


def _page(document: Document) -> Iterator[str]:
    title = escape(document.title)
    yield "<!doctype html>"
    yield f'<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
    yield f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">'
    yield f"<style>{_STYLE}</style></head><body>"
    yield f"<h1>{title}</h1>"
    for warning in document.warnings:
        yield f'<p class="warning">{escape(warning)}</p>'
    yield "<table>"
    for label, value in document.head:
        yield f'<tr><th scope="row">{escape(label)}</th><td dir="auto">{escape(value)}</td></tr>'
    yield "</table>"
    for entry in document.entries:
        yield from _entry(entry)
    if document.notes:
        yield "<h2>Notes</h2>"
        for note in document.notes:
            yield f"<p>{escape(note)}</p>"
    yield "</body></html>"


def _entry(entry: Entry) -> Iterator[str]:
    yield f"<h2>{escape(entry.heading)}</h2>"
    for line in entry.lines:
        yield f'<p dir="auto">{escape(line)}</p>'
    if entry.missing:
        yield f'<p class="missing"><strong>{MISSING}:</strong> {escape(entry.missing)}</p>'
    if entry.note:
        yield f'<p class="note">{escape(entry.note)}</p>'
