"""The help texts, manual pages and completion scripts as files, so that a change of them shows in review.

`python -m tests.cli.golden` writes them anew.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

import click
from click_man.man import ManPage

from tocsin_cli.commands.completion import SHELLS, script
from tocsin_cli.main import cli

ROOT = Path(__file__).parents[2] / "cli"
WIDTH = 80
VERSION = tomllib.loads((ROOT.parent / "pyproject.toml").read_text("utf-8"))["project"]["version"]
GENERATED = ("help", "man", "completions")


def help_texts() -> Iterator[tuple[Path, str]]:
    """Every command's help, as it is on a terminal of 80 columns."""
    for command, ctx in _commands():
        yield ROOT / "help" / f"{_joined(ctx)}.txt", command.get_help(ctx) + "\n"


def man_pages() -> Iterator[tuple[Path, str]]:
    """Every command's manual page, dated by its version: the same text on every day."""
    for command, ctx in _commands():
        page = ManPage(_joined(ctx))
        page.version, page.date = f"tocsin {VERSION}", VERSION
        page.short_help = _unmistakable(command.get_short_help_str(200))
        page.synopsis = f"{ctx.command_path} {' '.join(command.collect_usage_pieces(ctx))}"
        page.description = _unmistakable(cleandoc(command.help or ""))
        options = [param for param in command.get_params(ctx) if isinstance(param, click.Option)]
        records = [option.get_help_record(ctx) for option in options]  # None for a hidden one
        page.options = [(names, _unmistakable(text)) for names, text in filter(None, records)]
        if isinstance(command, click.Group):
            children = [(name, command.get_command(ctx, name)) for name in command.list_commands(ctx)]
            page.commands = [
                (name, _unmistakable(child.get_short_help_str(200))) for name, child in children if child
            ]
        # The library sets the page's name in bold over the synopsis; ours has the words of the command line.
        text = str(page).replace(f"\n.B {page.command}\n", "\n", 1)
        yield ROOT / "man" / f"{page.command}.1", text


def _unmistakable(text: str) -> str:
    """The text as roff shows it unchanged: dashes and backticks stay what a shell takes, no line is a request."""
    for plain, escaped in (("\b\n", ""), ("\\", r"\e"), ("-", r"\-"), ("`", r"\(ga")):
        text = text.replace(plain, escaped)
    return re.sub(r"(?m)^([.'])", r"\\&\1", text)


def _joined(ctx: click.Context) -> str:
    return ctx.command_path.replace(" ", "-")


def _commands() -> Iterator[tuple[click.Command, click.Context]]:
    yield from _below(
        cli, click.Context(cli, info_name="tocsin", terminal_width=WIDTH, **cli.context_settings)
    )


def _below(command: click.Command, ctx: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    yield command, ctx
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            child = command.get_command(ctx, name)
            assert child is not None, name
            yield from _below(child, click.Context(child, info_name=name, parent=ctx, terminal_width=WIDTH))


def generated() -> dict[Path, str]:
    """Every file with its text."""
    return dict([*help_texts(), *man_pages(), *completions()])


def completions() -> Iterator[tuple[Path, str]]:
    """The completion script of every shell."""
    for shell in SHELLS:
        yield ROOT / "completions" / f"tocsin.{shell}", script(shell)


def present() -> set[Path]:
    """The files that are there."""
    return {path for name in GENERATED for path in (ROOT / name).glob("*")}


def main() -> None:
    """Write all files, and take away those of commands that are gone."""
    wanted = generated()
    for path in present() - wanted.keys():
        path.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, "utf-8")
    sys.stdout.write(f"{len(wanted)} files\n")


if __name__ == "__main__":
    main()
