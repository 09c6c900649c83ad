"""The form of an authority, filled from a report: one document, written as Markdown, HTML or PDF."""
