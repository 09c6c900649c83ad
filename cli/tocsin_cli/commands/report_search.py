"""`tocsin report search`: reports by words and facets, and how often each facet occurs among them."""

import shlex
from collections.abc import Callable, Mapping
from typing import Any

import click

from tocsin_cli.command import Command
from tocsin_cli.commands.report_table import command_of, query_of, tell_page
from tocsin_cli.errors import UsageFault
from tocsin_cli.filing import member
from tocsin_cli.session import Session, pass_session
from tocsin_cli.words import Grade, Tlp

NAMES = {"q": "words"}
SHOWN = 8
_OPTIONS = (
    ("harm", "HARM", "Only with this kind of harm, such as privacy."),
    ("system", "NAME", "Only about this system: vendor and name, with or without its version, or its id."),
    ("party", "NAME", "Only with this organisation or group as a party."),
    ("origin", "NAME", "Only what this peer sent; us for what was filed or imported here."),
    ("country", "CODE", "Only from this country, such as DE."),
    ("classification", "SCHEME:CODE", "Only in this class of a taxonomy."),
    ("technique", "ID", "Only with this technique, such as AML.T0051."),
    ("flag", "FLAG", "Only with this circumstance, such as ongoing."),
    ("realization", "WORD", "Only this, such as near-miss."),
)


def _filters(command: Callable[..., None]) -> Callable[..., None]:
    for name, metavar, text in reversed(_OPTIONS):
        command = click.option(f"--{name}", multiple=True, metavar=metavar, help=text)(command)
    return command


@click.command("search", cls=Command)
@click.argument("words", nargs=-1, metavar="[WORDS…]")
@_filters
@click.option("--grade", type=Grade(), metavar="GRADE", multiple=True, help="Only this response grade.")
@click.option("--tlp", type=Tlp(), metavar="TLP", multiple=True, help="Only this marking.")
@click.option("--state", type=click.Choice(["active", "withdrawn"]), help="Only these.")
@click.option(
    "--min-level", type=click.IntRange(0, 5), metavar="N", help="Only of this severity level or above."
)
@click.option("--since", metavar="WHEN", help="Only what began then or later: 2025-03-24.")
@click.option("--until", metavar="WHEN", help="Only what began then or earlier.")
@click.option("--stored-since", metavar="WHEN", help="Only what came here then or later.")
@click.option("--stored-until", metavar="WHEN", help="Only what came here then or earlier.")
@click.option("--facets", is_flag=True, help="Show counts for each facet instead of the reports.")
@click.option(
    "--limit",
    type=click.IntRange(1, 500),
    metavar="N",
    default=50,
    show_default=True,
    help="Reports at most.",
)
@click.option("--cursor", metavar="CURSOR", help="Go on where an earlier page ended.")
@pass_session
def search(session: Session, /, words: tuple[str, ...], facets: bool, limit: int, **filters: Any) -> None:
    """Find reports by words and facets.

    All WORDS must occur; "quotes" keep them together, or stands between alternatives, a minus (after --) shuts a
    word out. An option given twice means either; different options must all hold. With words the best matches come
    first, else the newest.

    \b
      tocsin report search shuttle truck --country US
      tocsin report search '"prompt injection" or jailbreak' --grade I --grade II
      tocsin report search --harm privacy --since 2025-01-01 --facets
    """  # noqa: D301  click fills no lines after it
    cursor = filters.pop("cursor")
    wanted = {"q": " ".join(words) or None, **filters}
    if facets:
        if cursor:
            raise UsageFault("--facets counts everything; it has no pages.", hint="Leave --cursor out.")
        found = session.client.json("GET", "/v1/reports/facets", query=query_of(wanted))
        if session.out.as_json:
            session.out.document(found)
        else:
            _tell_counts(session, found)
        return
    found = session.client.json(
        "GET", "/v1/reports", query=query_of({"limit": limit, **wanted, "cursor": cursor})
    )
    if session.out.as_json:
        session.out.document(found)
        return
    said = " ".join(["tocsin report search", *map(shlex.quote, words)])
    tell_page(session, found, command_of(said, {"limit": limit, **filters}, NAMES), nothing="Nothing found.")


def _tell_counts(session: Session, found: Mapping[str, Any]) -> None:
    """Counts on stdout: a line a facet and value, the commonest first."""
    counted = member(found, "facets")
    total = member(found, "total")
    session.out.say(f"{total} reports." if found.get("complete") else f"The newest {total} of more reports.")
    rows = [
        [name, each.get("value"), each.get("count")]
        for name, values in counted.items()
        for each in values[:SHOWN]
    ]
    if rows:
        session.out.table(["facet", "value", "reports"], rows)
