"""The kinds of command: every one takes the global options anywhere on the line; groups load them late.

`tocsin report list --json` and `tocsin --json report list` are the same. A group knows its commands' names
and one-line helps without importing them, so that `--help` is quick.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from tocsin_cli.errors import ServerPartMissing
from tocsin_cli.session import Session


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    if value in (None, False, 0):
        return value
    session = ctx.ensure_object(Session)
    match param.name:
        case "global_node":
            session.node = value
        case "global_dir":
            session.dir = Path(value)
        case "global_token_file":
            session.token_file = Path(value)
        case "global_json":
            session.out.as_json = True
        case "global_quiet":
            session.out.quiet = True
        case "global_verbose":
            session.out.verbose = value
        case "global_no_color":
            session.out.no_color = True
    return value


def _global_options(*, hidden: bool) -> list[click.Option]:
    shared: dict[str, Any] = {"callback": _remember, "expose_value": False, "hidden": hidden}

    def option(*names: str, help: str, **more: Any) -> click.Option:  # noqa: A002  click's own word
        return click.Option(names, help=help, **more, **shared)

    return [
        option("--node", "global_node", metavar="URL", help="The node's address."),
        option("--dir", "global_dir", metavar="DIR", help="The node's directory: gives address and token."),
        option("--token-file", "global_token_file", metavar="FILE", help="The file that holds the token."),
        option("--json", "global_json", is_flag=True, help="Print one JSON document on stdout."),
        option("-q", "--quiet", "global_quiet", is_flag=True, help="Only data and errors."),
        option("-v", "--verbose", "global_verbose", count=True, help="Tell each request."),
        option("--no-color", "global_no_color", is_flag=True, help="No colours (as NO_COLOR)."),
    ]


_SHOWN = _global_options(hidden=False)
_HIDDEN = _global_options(hidden=True)


def _with_globals(own: list[click.Parameter], options: list[click.Option]) -> list[click.Parameter]:
    taken = {name for param in own for name in param.opts}
    return [*own, *(option for option in options if not taken & set(option.opts))]


# People write one for the other: why something is done, and a word about it. No command has both.
_SAME = {"--note": "--reason", "--reason": "--note"}


class Command(click.Command):
    """A command that takes the global options too, without repeating them in its help."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does; `--note` means `--reason`, and the other way round, where a command knows one of them."""
        known = {name for param in self.params for name in param.opts}
        end = args.index("--") if "--" in args else len(args)
        return super().parse_args(ctx, [_meant(arg, known) for arg in args[:end]] + args[end:])

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return own parameters and the global ones that it does not define itself."""
        return _with_globals(super().get_params(ctx), _HIDDEN)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Name the global options in one line under each help."""
        super().format_epilog(ctx, formatter)
        formatter.write_paragraph()
        formatter.write_text("Also: --node --dir --token-file --json -q -v --no-color (see tocsin --help).")


def _meant(arg: str, known: set[str]) -> str:
    name, equals, value = arg.partition("=")
    other = _SAME.get(name)
    return f"{other}{equals}{value}" if other in known and name not in known else arg


@dataclass(frozen=True, slots=True)
class Late:
    """A command that is imported when it is called: where it lives and what its help says."""

    target: str
    help: str
    section: str = "Commands"


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    command_class = Command
    globals_shown = False

    def __init__(self, *args: Any, late: Mapping[str, Late] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.late = dict(late or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all names in the order of the help."""
        return [*self.late, *(name for name in super().list_commands(ctx) if name not in self.late)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None for an unknown name."""
        entry = self.late.get(cmd_name)
        if entry is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = entry.target.partition(":")
        try:
            found: click.Command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as exc:
            if (exc.name or "").startswith("tocsin_"):
                raise
            raise ServerPartMissing from exc
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with all names in mind when it suggests one."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as exc:
            raise click.exceptions.NoSuchCommand(
                args[0], possibilities=self.list_commands(ctx), ctx=ctx
            ) from exc

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return own parameters and the global ones."""
        return _with_globals(super().get_params(ctx), _SHOWN if self.globals_shown else _HIDDEN)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by section, from what is known without importing them."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name in self.list_commands(ctx):
            entry = self.late.get(name)
            if entry is not None:
                sections.setdefault(entry.section, []).append((name, entry.help))
                continue
            command = super().get_command(ctx, name)
            if command is not None and not command.hidden:
                sections.setdefault("Commands", []).append((name, command.get_short_help_str(200)))
        for section, rows in sections.items():
            with formatter.section(section):
                formatter.write_dl(rows)
