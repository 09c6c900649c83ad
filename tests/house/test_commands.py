"""Every command and every option says what it is for."""

import click
import pytest

from tocsin_cli.main import cli


def tree(command=cli, path=("tocsin",), parent=None):
    """Every command with its path."""
    context = click.Context(command, parent=parent, info_name=path[-1])
    yield path, command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None, f"{' '.join(path)} lists {name} but has no such command"
            if not found.hidden:
                yield from tree(found, (*path, name), context)


@pytest.fixture(scope="module")
def commands():
    return list(tree())


def test_every_command_has_a_help_that_begins_with_a_sentence(commands):
    for path, command, _ in commands:
        first = (command.help or "").strip().replace("\b", "").split("\n\n")[0]
        assert first, path
        assert first.rstrip().endswith((".", ":")), (path, first)


def test_every_option_has_a_help(commands):
    for path, command, context in commands:
        for param in command.get_params(context):
            if isinstance(param, click.Option) and not param.hidden:
                assert param.help, (path, param.opts)


def test_the_one_line_of_a_group_and_the_command_say_the_same(commands):
    for path, command, _ in commands:
        for name, late in getattr(command, "late", {}).items():
            assert late.help.endswith("."), (path, name)
            assert len(late.help) <= 100, (path, name)


def test_the_commands_that_the_product_promises_are_there(commands):
    there = {" ".join(path[1:]) for path, _, _ in commands}
    promised = {
        "init", "node run", "key status", "key rotate", "key recover", "key rehearse", "token create", "token list", "token revoke", "db migrate", "db status",
        "report new", "report submit", "report list", "report show", "report update", "report withdraw", "report flush", "report override",
        "peer invite", "peer join", "peer approve", "peer list", "peer status", "peer remove",
        "circle key", "circle propose", "circle sign", "circle adopt", "circle list", "circle show", "circle leave",
        "alert list", "alert show", "alert ack", "alert test", "log verify", "audit list", "audit export", "audit verify", "import stix", "import aiid",
    }  # fmt: skip
    assert promised <= there, promised - there


def test_a_secret_is_never_an_argument(commands):
    for path, command, context in commands:
        for param in command.get_params(context):
            for name in param.opts:
                bare = name.lstrip("-")
                assert bare not in {"token", "password", "invite", "access-token", "key"}, (path, name)
