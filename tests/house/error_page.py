"""node/ERRORS.md, written from what `error_codes` finds."""

from collections.abc import Iterable, Sequence

from tests.house.error_codes import CLI, FINDINGS, HEALTH, HTTP, PEERS, WIRE, Code

HEAD = """\
# Errors

Every code that a node or the command line answers with, what it means and what to do. Codes are stable: programs may
rely on them, words may improve. An ellipsis stands for what depends on the case. This page is written from the code
itself (`make golden`), and a test fails when it is out of date.
"""
SECTIONS = (
    (
        HTTP,
        "What the node answers",
        "In the member `code` of a problem document (RFC 9457), with the HTTP status; also in the node's log.",
        "status",
    ),
    (
        FINDINGS,
        "Findings in a report",
        "A report with findings is not stored; warnings do not hinder it. `schema/README.md` explains the fields.",
        "",
    ),
    (
        WIRE,
        "Between nodes",
        "In `tocsin peer status` and in the log; a peer itself is told one word for a whole class. Fault: whose.",
        "fault",
    ),
    (
        PEERS,
        "Trouble with a peer",
        "In `tocsin peer status`; any code between nodes may stand there too.",
        "",
    ),
    (HEALTH, "Health", "In `/healthz`, and in the log when it begins and ends.", ""),
    (
        CLI,
        "The command line",
        "On standard error, in brackets; with `--json` as a problem document. The node's codes are passed on.",
        "exit",
    ),
)


def page(codes: Sequence[Code]) -> str:
    """The whole file."""
    parts = [HEAD]
    for kind, title, words, extra in SECTIONS:
        parts += [
            f"## {title}\n\n{words}\n",
            "\n".join(_table([c for c in codes if c.kind == kind], extra)),
            "",
        ]
    return "\n".join(parts)


def _table(codes: Sequence[Code], extra: str) -> Iterable[str]:
    said = any(code.message for code in codes)  # health and trouble with peers are told in one sentence
    heads = ["code", *([extra] if extra else []), *(["meaning", "what to do"] if said else ["what it says"])]
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for code in dict.fromkeys(c.code for c in codes):
        rows = [c for c in codes if c.code == code]
        cells = [f"`{code}`"]
        if extra:
            cells.append(_joined((c.extra for c in rows), ", "))
        cells += [_joined((c.message for c in rows), " · ")] if said else []
        cells.append(_joined((c.hint for c in rows), " · ") or "—")
        yield f"| {' | '.join(cells)} |"


def _joined(texts: Iterable[str], glue: str) -> str:
    """The different texts, those that say something; cells are one line and know no bar."""
    said = dict.fromkeys(" ".join(text.split()).replace("|", "\\|") for text in texts)
    meaningful = [text for text in said if text.strip("… .")]
    return glue.join(meaningful or [text for text in said if text][:1])
