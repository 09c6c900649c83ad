"""`tocsin emergency show --watch`: one emergency on one screen, live. Only a terminal brings rich in."""

import sys
import time
from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from tocsin_cli.emergency_told import NODE_COLUMNS, facts, kind, node_rows
from tocsin_cli.errors import CliError
from tocsin_cli.plain import clean
from tocsin_cli.session import Session

_SAYS = {"affected": "bold red", "investigating": "yellow", "not-affected": "green"}


def live(session: Session, path: str, found: Mapping[str, Any], *, every_s: int) -> None:
    """Draw until Ctrl-C; when the node is away the last look stays, and why is said."""
    fault: CliError | None = None
    console = session.out.console(sys.stdout)
    try:
        with Live(screen(found, fault), console=console, screen=True, auto_refresh=False) as drawn:
            while True:
                drawn.update(screen(found, fault), refresh=True)
                time.sleep(every_s)
                try:
                    found, fault = session.client.json("GET", path), None
                except CliError as exc:
                    fault = exc
    except KeyboardInterrupt:
        return  # to watch is to watch until one has seen enough


def screen(found: Mapping[str, Any], fault: CliError | None) -> Group:
    """The whole view."""
    style = "bold blue" if found.get("drill") else "bold red" if found.get("open") else "dim"
    lines = [Text(f"{label}: {clean(value)}") for label, value in facts(found)[1:]]
    table = Table(box=None, pad_edge=False)
    for column in NODE_COLUMNS:
        table.add_column(Text(column.upper()), overflow="fold")
    for row in node_rows(found):
        cells = [Text(clean(cell)) for cell in row]
        cells[1].stylize(_SAYS.get(str(row[1]), "dim"))
        table.add_row(*cells)
    head = Text(f"{kind(found)} {found.get('state')}", style=style)
    away = [Text(f"AWAY: {clean(fault)}; what follows is older", style="bold red")] if fault else []
    return Group(*away, head, *lines, Text(), table, Text("Ctrl-C ends", style="dim"))
