"""What all lists have in common: a page at a time, the same bytes with --json, a word where there is nothing."""

from collections.abc import Callable
from typing import Any

import click

from tocsin_cli.errors import CliError, Refused, UsageFault
from tocsin_cli.filing import member
from tocsin_cli.session import Session

cursor_option = click.option("--cursor", metavar="CURSOR", help="Go on where an earlier list ended.")


def limit_option(what: str) -> Callable[[Any], Any]:
    """`--limit N`: at most so many of `what` a page, 1 to 500."""
    return click.option(
        "--limit",
        type=click.IntRange(1, 500),
        metavar="N",
        default=50,
        show_default=True,
        help=f"{what} at most.",
    )


def listed(session: Session, found: Any, *, nothing: str) -> list[Any]:
    """The items that are to be shown; none when they were printed as JSON, or when there are none and that was said."""
    items: list[Any] = member(found, "items")
    if session.out.as_json:
        session.out.document(found)
        return []
    if not items:
        session.out.say(nothing)
    return items


def cursor_refused(exc: Refused, cursor: str | None) -> CliError:
    """A refusal of a list; one that speaks of the cursor in the words of the command line."""
    if cursor is None or exc.code != "bad-parameter" or "cursor" not in str(exc):
        return exc
    return UsageFault(
        f"--cursor {cursor!r} is none that a list has named.", hint="Leave it out to begin anew."
    )
