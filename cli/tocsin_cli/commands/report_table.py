"""Reports as a table, and the command that goes on where a page ended: for lists and searches."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from tocsin_cli.filing import member
from tocsin_cli.plain import local_time
from tocsin_cli.session import Session

COLUMNS = ("id", "grade", "tlp", "state", "trust", "from", "modified", "title")
BEGAN = (
    "--since and --until ask when it began, which a report may not say. By when it came here: "
    "tocsin report search --stored-since WHEN"
)
Filters = Mapping[str, str | Sequence[str] | int | None]


def query_of(filters: Filters) -> list[tuple[str, str]]:
    """Filters as the node's API takes them, those that were not given left out."""
    return [(name, value) for name, given in filters.items() for value in _values(given)]


def tell_page(session: Session, found: Any, again: str, *, nothing: str = "No reports.") -> None:
    """Show one page; `again` is the command without its cursor."""
    items = member(found, "items")
    if not items:
        session.out.say(nothing)
        if "--since" in again or "--until" in again:
            session.out.say(BEGAN)
        return
    snippets = any(item.get("snippet") for item in items)
    columns = [*COLUMNS, "found in"] if snippets else COLUMNS
    rows = [[*report_row(item), item.get("snippet", "")] if snippets else report_row(item) for item in items]
    session.out.table(columns, rows)
    if found.get("next"):
        session.out.next_step(f"{again} --cursor {found['next']}")


def command_of(command: str, filters: Filters, names: Mapping[str, str]) -> str:
    """The command line that asks the same; `names` are those options that are not called as the API's parameters."""
    options = [
        f"--{names.get(name, name).replace('_', '-')} {shlex.quote(value)}"
        for name, value in query_of(filters)
    ]
    return " ".join([command, *options])


def report_row(item: Mapping[str, Any]) -> list[object]:
    """One report's line."""
    return [
        item["id"],
        item.get("grade"),
        item.get("tlp"),
        _state(item),
        item.get("trust") or "",
        whence(item.get("origin")),
        local_time(item.get("modified")),
        item.get("name"),
    ]


def _state(item: Mapping[str, Any]) -> str:
    state = str(item.get("state", ""))
    marks = [
        mark for mark, said in (("redaction", "redaction_of"), ("disputed", "disputed")) if item.get(said)
    ]
    return f"{state} ({', '.join(marks)})" if marks else state


def whence(origin: object) -> str:
    """Who brought a report, in a list: us, or the peer by our name for it; `imported` is what others created.

    A peer that is called us is not us.
    """
    found = origin if isinstance(origin, Mapping) else {}
    if found.get("ours") or found.get("imported"):
        return "us" if found.get("ours") else "imported"
    name = str(found.get("name", "?"))
    return repr(name) if name in {"us", "imported"} else name


def _values(given: str | Sequence[str] | int | None) -> list[str]:
    if given is None or given == "":
        return []
    return [str(given)] if isinstance(given, str | int) else list(given)
