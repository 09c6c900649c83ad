import os
import shutil
import subprocess
import sys

import click
import pytest
from tests.cli.golden import ROOT, generated, present

from tocsin_cli.command import LazyGroup
from tocsin_cli.commands import peer, report
from tocsin_cli.main import COMMANDS, cli

WRITE = "write it anew with: python -m tests.cli.golden"


@pytest.mark.parametrize(("path", "text"), generated().items(), ids=lambda value: getattr(value, "name", ""))
def test_the_file_is_what_the_program_says(path, text):
    assert path.exists(), WRITE
    assert path.read_text("utf-8") == text, WRITE


def test_no_file_is_left_of_a_command_that_is_gone():
    assert present() == set(generated()), WRITE


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff here")
def test_groff_takes_every_manual_page():
    pages = sorted((ROOT / "man").glob("*.1"))
    run = subprocess.run(
        ["groff", "-man", "-Kutf8", "-Tutf8", "-wall", *map(str, pages)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr == ""


@pytest.mark.parametrize(
    ("name", "late"),
    [*COMMANDS.items(), *report.COMMANDS.items(), *peer.COMMANDS.items()],
    ids=lambda value: value if isinstance(value, str) else value.target,
)
def test_the_line_known_without_importing_is_the_commands_own(name, late):
    group = LazyGroup("g", late={name: late})
    command = group.get_command(click.Context(group), name)
    assert late.help == command.get_short_help_str(200)


def test_every_command_and_option_has_a_help():
    def walk(command, ctx):
        assert command.help, ctx.command_path
        for param in command.get_params(ctx):
            if isinstance(param, click.Option):
                assert param.help, (ctx.command_path, param.name)
        if isinstance(command, click.Group):
            for name in command.list_commands(ctx):
                child = command.get_command(ctx, name)
                walk(child, click.Context(child, info_name=name, parent=ctx))

    walk(cli, click.Context(cli, info_name="tocsin"))


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("tocsin rep", "report"),
        ("tocsin report su", "submit"),
        ("tocsin report list --gr", "--grade"),
        ("tocsin peer appr", "approve"),
    ],
)
def test_the_shell_completes_commands_and_options(words, offered):
    env = os.environ | {
        "_TOCSIN_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    result = subprocess.run(
        [sys.executable, "-c", "from tocsin_cli.main import cli; cli.main(prog_name='tocsin')"],
        capture_output=True, text=True, env=env, check=False, timeout=60,
    )  # fmt: skip
    assert f"plain,{offered}\n" in result.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_takes_the_script():
    path = ROOT / "completions" / "tocsin.bash"
    subprocess.run(["bash", "-n", str(path)], check=True)
