"""`tocsin report search`: reports by words and facets, and how often each facet occurs among them."""

import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any

import click

from tocsin_cli.command import Command
from tocsin_cli.commands.report_table import command_of, query_of, tell_page
from tocsin_cli.errors import UsageFault
from tocsin_cli.filing import member
from tocsin_cli.listing import cursor_option, limit_option
from tocsin_cli.session import Session, pass_session
from tocsin_cli.words import Grade, Listed, Since, Tlp

NAMES = {"q": "words"}
SHOWN = 8


class Country(click.ParamType[str]):
    """Two letters of ISO 3166."""

    name = "CODE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return them in capitals."""
        del param, ctx  # click hands them over; the message needs neither
        code = str(value).strip().upper()
        if not re.fullmatch(r"[A-Z]{2}", code):
            raise UsageFault(
                f"{value!r} is no country.", hint="Write its two letters (ISO 3166): DE, US, JP."
            )
        return code


class SchemeCode(click.ParamType[str]):
    """A class of a taxonomy."""

    name = "SCHEME:CODE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return it as written."""
        del param, ctx
        scheme, _, code = str(value).partition(":")
        if not (scheme.strip() and code.strip()):
            from tocsin_schema.vocabulary import CLASSIFICATION_SCHEME_OV

            known = ", ".join(CLASSIFICATION_SCHEME_OV)
            raise UsageFault(
                f"{value!r} is no class of a taxonomy.",
                hint=f"Write SCHEME:CODE, such as mit-ai-risk-domain:4.3. Schemes: {known}.",
            )
        return str(value)


_OPTIONS: tuple[tuple[str, str | click.ParamType[str], str], ...] = (
    ("harm", Listed("HARM_TYPE", "HARM", "kind of harm"), "Only with this kind of harm, such as privacy."),
    ("system", "NAME", "Only about this system: vendor and name, with or without its version, or its id."),
    ("party", "NAME", "Only with this organisation or group as a party."),
    ("origin", "NAME", "Only what this peer sent; us for what was filed or imported here."),
    ("country", Country(), "Only from this country, such as DE."),
    ("classification", SchemeCode(), "Only in this class of a taxonomy."),
    ("technique", "ID", "Only with this technique, such as AML.T0051."),
    ("flag", Listed("FLAG", "FLAG", "circumstance"), "Only with this circumstance, such as ongoing."),
    ("realization", Listed("REALIZATION", "WORD", "realization"), "Only this, such as near-miss."),
)


def _filters(command: Callable[..., None]) -> Callable[..., None]:
    for name, kind, text in reversed(_OPTIONS):
        typed = {"metavar": kind} if isinstance(kind, str) else {"metavar": kind.name, "type": kind}
        command = click.option(f"--{name}", multiple=True, help=text, **typed)(command)
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
@click.option("--since", type=Since(), metavar="WHEN", help="Only what began then or later: 2025-03-24.")
@click.option("--until", type=Since(end=True), metavar="WHEN", help="Only what began then or earlier.")
@click.option("--stored-since", type=Since(), metavar="WHEN", help="Only what came here then or later.")
@click.option(
    "--stored-until", type=Since(end=True), metavar="WHEN", help="Only what came here then or earlier."
)
@click.option("--facets", is_flag=True, help="Show counts for each facet instead of the reports.")
@limit_option("Reports")
@cursor_option
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
