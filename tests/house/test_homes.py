"""A name has one home: whoever uses it takes it from where it is made, and from no module that it passed through."""

import ast

import pytest
from tests.house.repository import ROOT, WINGS, python_files

WINGS_AT = [ROOT / wing for wing in WINGS]


def module_of(file):
    """The module that a file is."""
    [wing] = [wing for wing in WINGS_AT if file.is_relative_to(wing)]
    return ".".join(file.relative_to(wing.parent).with_suffix("").parts).removesuffix(".__init__")


def made_in(tree):
    """The names that a module makes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


TREES = {module_of(file): ast.parse(file.read_bytes()) for file in python_files()}
MADE = {module: {*made_in(tree)} for module, tree in TREES.items()}


@pytest.mark.parametrize("module", TREES)
def test_what_a_module_takes_from_another_is_made_there(module):
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.ImportFrom) and node.module in MADE:
            for name in node.names:
                is_module = f"{node.module}.{name.name}" in MADE
                assert is_module or name.name in MADE[node.module], (
                    f"{name.name} is not made in {node.module}"
                )
