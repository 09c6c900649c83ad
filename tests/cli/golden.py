"""The help texts and completion scripts as files, so that a change of either shows in review.

`python -m tests.cli.golden` writes them anew.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from tocsin_cli.commands.completion import SHELLS, script
from tocsin_cli.main import cli

ROOT = Path(__file__).parents[2] / "cli"
WIDTH = 80


def help_texts() -> Iterator[tuple[Path, str]]:
    """Every command's help, as it is on a terminal of 80 columns."""
    yield from _help(
        cli, click.Context(cli, info_name="tocsin", terminal_width=WIDTH, **cli.context_settings)
    )


def _help(command: click.Command, ctx: click.Context) -> Iterator[tuple[Path, str]]:
    yield ROOT / "help" / f"{ctx.command_path.replace(' ', '-')}.txt", command.get_help(ctx) + "\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            child = command.get_command(ctx, name)
            assert child is not None, name
            inner = click.Context(child, info_name=name, parent=ctx, terminal_width=WIDTH)
            yield from _help(child, inner)


def completions() -> Iterator[tuple[Path, str]]:
    """The completion script of every shell."""
    for shell in SHELLS:
        yield ROOT / "completions" / f"tocsin.{shell}", script(shell)


def main() -> None:
    """Write all files, and take away those of commands that are gone."""
    wanted = dict([*help_texts(), *completions()])
    for path in [*(ROOT / "help").glob("*"), *(ROOT / "completions").glob("*")]:
        if path not in wanted:
            path.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    sys.stdout.write(f"{len(wanted)} files\n")


if __name__ == "__main__":
    main()
