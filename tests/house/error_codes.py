"""Every code that the product can answer, read from the code itself: for node/ERRORS.md.

Two sources: the error classes (their docstring is the message, `code` and `hint` stand beside it), and calls that
give a code of their own, such as `NodeError("…", code="too-many", hint="…")` or `Finding("tlp-unknown", …)`. Parts
of a message that depend on the case appear as an ellipsis.
"""

import ast
import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from http import HTTPStatus
from pathlib import Path

from tests.house.repository import ROOT, python_files

from tocsin_cli.exits import Exit
from tocsin_schema.imports.source import HINT as IMPORT_HINT

HTTP, HEALTH, PEERS, WIRE, FINDINGS, CLI = "http", "health", "peers", "wire", "findings", "cli"
# Callable → which positional argument is the code, the message, the hint.
POSITIONAL = {
    "Finding": (0, 2, 3),
    "Check": (2, None, 3),
    "problem": (1, 2, 3),
    "note_problem": (1, None, 2),
    "Failure": (1, 0, 2),
    "refused": (1, 2, 4),
}
KINDS = {
    "Finding": FINDINGS,
    "Check": HEALTH,
    "problem": HTTP,
    "note_problem": PEERS,
    "Failure": CLI,
    "refused": FINDINGS,
}


@dataclass(frozen=True)
class Code:
    """One row. `extra`: the HTTP status, the exit code or whose fault it is."""

    kind: str
    code: str
    message: str
    hint: str
    extra: str = ""


@cache
def all_codes() -> list[Code]:
    """Every code, sorted."""
    found = {*_of_classes(), *_of_reasons(), *(code for file in python_files() for code in _of_calls(file))}
    return sorted(found, key=lambda code: (code.kind, code.code, code.message, code.hint))


def modules() -> Iterator[object]:
    """Every module of the four packages."""
    for name in ("tocsin_schema", "tocsin_federation", "tocsin_node", "tocsin_cli"):
        package = importlib.import_module(name)
        yield package
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            if not module.name.endswith(("__main__", "postgres_child")):  # these run when imported
                yield importlib.import_module(module.name)


def _classes(root: type) -> Iterator[type]:
    yield root
    for child in root.__subclasses__():
        yield from _classes(child)


def _of_classes() -> Iterator[Code]:
    for _ in modules():
        pass  # so that every subclass exists
    from tocsin_cli.errors import CliError
    from tocsin_node.errors import NodeError
    from tocsin_schema.errors import SchemaError

    for root, kind in ((SchemaError, FINDINGS), (NodeError, HTTP), (CliError, CLI)):
        for cls in set(_classes(root)):
            if isinstance(cls.__dict__.get("code"), str) and cls.__module__.startswith("tocsin_"):
                yield Code(kind, cls.code, first_line(cls), hint_of(cls), _extra(kind, cls, cls.code))


def _of_reasons() -> Iterator[Code]:
    from tocsin_federation.errors import FederationError

    for cls in set(_classes(FederationError)):
        for code, reason in cls.reasons.items():
            yield Code(WIRE, code, reason.message, reason.hint, reason.fault)


def _of_calls(file: Path) -> Iterator[Code]:
    tree = ast.parse(file.read_text("utf-8"))
    module = ".".join(file.relative_to(ROOT).with_suffix("").parts[1:])
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    for scope in [tree, *functions]:
        for call in _calls_of(scope):
            found = _of_call(call, scope, module)
            if found is not None:
                yield from (replace(found, code=each) for each in found.code.split(" / "))


def _calls_of(scope: ast.AST) -> Iterator[ast.Call]:
    """The calls in a function, without those in functions inside it."""
    for child in ast.iter_child_nodes(scope):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(child, ast.Call):
            yield child
        yield from _calls_of(child)


def _of_call(call: ast.Call, scope: ast.AST, module: str) -> Code | None:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    words = {keyword.arg: keyword.value for keyword in call.keywords}
    places = POSITIONAL.get(name)
    if places is not None:
        code, message, hint = (
            call.args[place] if place is not None and place < len(call.args) else None for place in places
        )
    else:
        code, message, hint = words.get("code"), call.args[0] if call.args else None, words.get("hint")
    said = _text(code, scope)
    if not said or not said.replace("…", "").strip("-"):
        return None
    if places is not None:
        advice = _text(hint, scope) or (IMPORT_HINT if name == "refused" else "")
        return Code(KINDS[name], said, _text(message, scope), advice, _status(call, name))
    cls = getattr(importlib.import_module(module), name, None)
    if not isinstance(cls, type) or not issubclass(cls, Exception):
        return None
    kind = {"tocsin_cli": CLI, "tocsin_schema": FINDINGS}.get(module.partition(".")[0], HTTP)
    message_said = _text(message, scope) or first_line(cls)
    return Code(kind, said, message_said, _text(hint, scope) or hint_of(cls), _extra(kind, cls, said))


def _status(call: ast.Call, name: str) -> str:
    """The status or exit code that stands in the call itself."""
    if name == "Failure":
        return str(int(Exit[call.args[3].attr])) if isinstance(call.args[3], ast.Attribute) else ""
    if name != "problem":
        return ""
    match call.args[0]:
        case ast.Constant(value=int(status)):
            return str(status)
        case ast.Attribute(attr=phrase):
            return str(int(HTTPStatus[phrase]))
    return ""


def _text(node: ast.expr | None, scope: ast.AST) -> str:
    """A string expression as text; what is only known at run time is an ellipsis."""
    match node:
        case None:
            return ""
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_text(value, scope) or "…" for value in values)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _text(left, scope) + _text(right, scope)
        case ast.IfExp(body=one, orelse=other):
            return " / ".join(filter(None, (_text(one, scope), _text(other, scope))))
        case ast.Name(id=name, lineno=line):
            return _assigned(name, line, scope)
    return "…"


def _assigned(name: str, line: int, scope: ast.AST) -> str:
    """The text that was assigned to the name last before this line."""
    found: tuple[int, ast.expr] | None = None
    for node in ast.walk(scope):
        if isinstance(node, ast.Assign) and node.lineno < line and (found is None or node.lineno > found[0]):
            for target in node.targets:
                if isinstance(target, ast.Name) and target.id == name:
                    found = node.lineno, node.value
                elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    for part, value in zip(target.elts, node.value.elts, strict=False):
                        if isinstance(part, ast.Name) and part.id == name:
                            found = node.lineno, value
    return "…" if found is None else _text(found[1], scope)


def _extra(kind: str, cls: type, code: str) -> str:
    if kind == CLI:
        return str(int(getattr(cls, "exit", 1)))
    if kind != HTTP:
        return ""
    from tocsin_node.web.problems import STATUS, status_of

    if code in STATUS:
        return str(int(STATUS[code]))
    bare = cls.__new__(cls)
    bare.code = code
    return str(int(status_of(bare)))


def first_line(cls: type) -> str:
    """The class's message to people."""
    return (cls.__doc__ or "").strip().partition("\n")[0]


def hint_of(cls: type) -> str:
    """The class's advice."""
    hint = getattr(cls, "hint", "")
    return hint if isinstance(hint, str) else ""
