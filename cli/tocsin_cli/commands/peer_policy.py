"""`tocsin peer policy`: what one peer may do here, in one record."""

from collections.abc import Mapping
from typing import Any

import click

from tocsin_cli.client import segment
from tocsin_cli.command import Command
from tocsin_cli.filing import member
from tocsin_cli.session import Session, pass_session
from tocsin_cli.words import Tlp

AS_ALL = "all"


class _Number(click.ParamType[Any]):
    """A whole number, or the word that takes a peer's own number away."""

    name = "number"

    def __init__(self, low: int, high: int) -> None:
        self._range = click.IntRange(low, high)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, or the word."""
        return AS_ALL if value == AS_ALL else self._range.convert(value, param, ctx)


@click.command("policy", cls=Command)
@click.argument("name", metavar="NAME")
@click.option("--max-tlp-out", type=Tlp(), metavar="TLP", help="The strictest marking that goes to it.")
@click.option("--max-tlp-in", type=Tlp(), metavar="TLP", help="The strictest marking that is taken from it.")
@click.option(
    "--onward/--no-onward",
    "onward",
    default=None,
    help="Pass reports of others on to it, and take what it passes on.",
)
@click.option(
    "--client/--no-client",
    "client",
    default=None,
    help="It is a client of yours: TLP:AMBER of others may be passed on to it.",
)
@click.option(
    "--unnamed/--named",
    "unnamed",
    default=None,
    help="Name it to no other reader of what is sent from here.",
)
@click.option(
    "--relay/--no-relay",
    "relay",
    default=None,
    help="Let it pass sealed entries on between you and others.",
)
@click.option(
    "--witness/--no-witness", "witness", default=None, help="Ask it to cosign; its word counts here."
)
@click.option("--cosign/--no-cosign", "witnessed", default=None, help="Cosign its checkpoints.")
@click.option(
    "--alerts-per-day",
    type=_Number(0, 100_000),
    metavar="N|all",
    help="Most alerts that it may raise here in a day; all: as for all peers.",
)
@click.option(
    "--rate",
    "requests_per_s",
    type=_Number(1, 10_000),
    metavar="N|all",
    help="Most requests a second; all: as for all peers.",
)
@pass_session
def policy(session: Session, /, name: str, **given: Any) -> None:
    """Show what a peer may do here, or change it.

    Without options it shows the whole record. What you do not name stays as it is; what you change holds at once, also
    for entries that were sealed before and not fetched yet.
    """
    asked = {key: None if value == AS_ALL else value for key, value in given.items() if value is not None}
    path = f"/v1/peers/{segment(name)}"
    ways = ("PUT", f"{path}/policy") if asked else ("GET", path)
    found = session.client.json(*ways, send=asked or None)
    record = member(found, "policy")
    if session.out.as_json:
        session.out.document({"name": member(found, "name"), **record})
        return
    session.out.facts([("Peer", member(found, "name")), *_lines(record)])


def _lines(record: Mapping[str, Any]) -> list[tuple[str, object]]:
    def said(field: str) -> str:
        return "yes" if record.get(field) else "no"

    def number(field: str) -> str:
        return f"{record.get(field)}{' (as all peers)' if field in record.get('as_all', ()) else ''}"

    return [
        ("It may get up to", f"TLP:{str(record.get('max_tlp_out')).upper()}"),
        ("Taken from it up to", f"TLP:{str(record.get('max_tlp_in')).upper()}"),
        ("Passing on, both ways", said("onward")),
        ("A client of ours", said("client")),
        ("Named to other readers", "no" if record.get("unnamed") else "yes"),
        ("May relay", said("relay")),
        ("Witness of ours", said("witness")),
        ("We witness it", said("witnessed")),
        ("Alerts a day", number("alerts_per_day")),
        ("Requests a second", number("requests_per_s")),
    ]
