"""The README names every code, and every code in it exists."""

import ast
import re
from collections.abc import Iterator

from tests.schema.samples import WING

from tocsin_schema.check import check_bundle

README = (WING / "README.md").read_text("utf-8")
# Callable → which argument is the code.
PLACES = {"Finding": 0, "refused": 1}


def _documented() -> set[str]:
    section = README.partition("## Findings")[2].partition("## Imports")[0]
    return set(re.findall(r"`([a-z0-9]+(?:-[a-z0-9]+)+)`", section))


def _constants(node: ast.AST) -> Iterator[str]:
    """The texts that an expression may be: itself, or the two of a condition."""
    if isinstance(node, ast.IfExp):
        yield from _constants(node.body)
        yield from _constants(node.orelse)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value


def _used() -> set[str]:
    found: set[str] = set()
    for file in (WING / "tocsin_schema").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in PLACES:
                found.update(_constants(node.args[PLACES[node.func.id]]))
            elif isinstance(node, ast.Assign) and [getattr(one, "id", "") for one in node.targets] == [
                "code"
            ]:
                found.update(_constants(node.value))
    return found - {"schema-error"}  # the root, which nobody raises


def test_every_code_is_in_the_readme():
    assert _used() - _documented() == set()


def test_every_code_of_the_readme_exists():
    assert _documented() - _used() == set()


def test_every_code_is_kebab_case():
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", code) for code in _used())


def test_the_example_for_strangers_runs_as_it_stands(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    said = capsys.readouterr().out
    assert said.startswith("II (")
    assert "eu-aia-73" in said
    assert b"<html" in names["html"]
    assert check_bundle(names["later"]).report is not None
