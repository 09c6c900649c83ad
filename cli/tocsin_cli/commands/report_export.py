"""`tocsin report export`: the group; each form has a module of its own."""

import click

from tocsin_cli.command import Late, LazyGroup

_HERE = "tocsin_cli.commands"

COMMANDS = {
    "authority": Late(
        f"{_HERE}.report_export_authority:authority", "Fill an authority's form from a report.", "Forms"
    ),
}


@click.group("export", cls=LazyGroup, late=COMMANDS, no_args_is_help=True)
def export() -> None:
    """Write a report in the form that others ask for."""
