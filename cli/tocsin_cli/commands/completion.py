"""`tocsin completion SHELL`: the script that lets a shell complete our commands."""

import click
from click.shell_completion import get_completion_class

from tocsin_cli.command import Command

SHELLS = ("bash", "zsh", "fish")


def script(shell: str) -> str:
    """Return the completion script of `tocsin` for one shell."""
    from tocsin_cli.main import cli

    kind = get_completion_class(shell)
    assert kind is not None  # SHELLS are those that click knows
    complete = kind(cli, {}, "tocsin", "_TOCSIN_COMPLETE")
    return complete.source_template % complete.source_vars()


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print a shell completion script.

    \b
      bash:  tocsin completion bash > ~/.local/share/bash-completion/completions/tocsin
      zsh:   tocsin completion zsh > "${fpath[1]}/_tocsin"
      fish:  tocsin completion fish > ~/.config/fish/completions/tocsin.fish
    """  # noqa: D301  click fills no lines after it
    click.echo(script(shell))
