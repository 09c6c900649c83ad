"""What README.md of the command line says is what the code does."""

import ast
import re
from pathlib import Path

from tocsin_cli.exits import MEANING
from tocsin_cli.main import cli

WING = Path(__file__).parents[2] / "cli"
TEXT = (WING / "README.md").read_text("utf-8")
OTHERS = {"init.py", "node.py", "token.py", "db.py", "matrix.py"}


def sources():
    return [path for path in (WING / "tocsin_cli").rglob("*.py") if path.name not in OTHERS]


def codes_in(path: Path) -> set[str]:
    """Every code that a module gives an error: as a class attribute or as an argument."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        values = []
        if isinstance(node, ast.keyword) and node.arg == "code":
            values = [node.value]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == "code" for target in targets):
                values = [node.value]
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in {"Failure", "_contradiction"}
        ):
            values = node.args[:2]
        found |= {
            v.value
            for v in values
            if isinstance(v, ast.Constant) and re.fullmatch("[a-z]+(-[a-z]+)*", str(v.value))
        }
    return found


def test_every_code_is_documented_and_every_documented_code_exists():
    table = TEXT.partition("## Codes of its own")[2].partition("In the queue")[0]
    documented = set(re.findall(r"`([a-z-]+)`", table))
    made = set().union(*(codes_in(path) for path in sources())) - {
        "damaged",
        "in-flight",
        "other-address",
        "",
    }
    assert made == documented


def test_every_exit_code_is_documented_in_the_same_words():
    assert dict(re.findall(r"^\| (\d+) \| (.+) \|$", TEXT, re.MULTILINE)) == {
        str(int(code)): meaning for code, meaning in MEANING.items()
    }


def test_every_variable_of_the_environment_is_documented():
    used = set()
    for path in sources():
        used |= set(
            re.findall(r"\"((?:TOCSIN|XDG)_[A-Z_]+|NO_COLOR|VISUAL|EDITOR)\"", path.read_text("utf-8"))
        )
    assert used
    missing = {name for name in used if f"`{name}" not in TEXT and f"${name}" not in TEXT}
    assert missing <= {"_TOCSIN_COMPLETE"}


def test_every_directory_of_the_state_is_documented():
    used = set()
    for path in sources():
        used |= set(re.findall(r"state / \"([a-z]+)\"", path.read_text("utf-8")))
    assert used == set(re.findall(r"^\| `([a-z]+)` \| [^|]*\|$", TEXT, re.MULTILINE))


def test_every_command_named_in_an_advice_exists():
    import click

    for path in sources():
        for words in re.findall(r"tocsin ([a-z]+(?: [a-z]+(?:-[a-z]+)*)?)", path.read_text("utf-8")):
            first, _, second = words.partition(" ")
            ctx = click.Context(cli)
            if first not in cli.list_commands(ctx):
                continue
            group = cli.get_command(ctx, first)
            if second and isinstance(group, click.Group):
                assert second in group.list_commands(ctx), (path.name, words)
