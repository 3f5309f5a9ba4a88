"""The package is a house of rooms in the order of the paper: imports point down, none go round."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "workflow_scripts" / "speechlasso"
# From the top floor down: a room imports from lower floors and from itself.
FLOORS = [
    {"cli"},
    {"trained_model"},
    {"experiment"},
    {"pipeline"},
    {"systems"},
    {"language_model"},
    {"selection"},
    {"tokenizers"},
    {"features"},
    {"data"},
    {"audio", "lasso", "training", "evaluation"},
    {"hub", "registry"},
    {"section", "digests", "pages"},
    {"files", "figures"},
    {"errors", "__init__"},
]
FLOOR_OF = {room: -floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MODULES = sorted(PACKAGE.rglob("*.py"))
MOST_LINES = 400
MOST_LINES_OF_FUNCTION = 60


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def is_for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imported(path: Path, types: bool) -> set[str]:
    """Modules of the package that a module imports anywhere, within functions too; for types alone
    only if these are asked for."""
    names = {name_of(module) for module in MODULES}
    tree = ast.parse(path.read_text())
    if not types:
        tree.body = [node for node in tree.body if not is_for_types(node)]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("speechlasso"):
            base = node.module.removeprefix("speechlasso").removeprefix(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}".removeprefix(".")
                found.add(inner if inner in names else base or "__init__")
        elif isinstance(node, ast.Import):
            dotted = [a.name for a in node.names if a.name.startswith("speechlasso")]
            found |= {d.removeprefix("speechlasso").removeprefix(".") or "__init__" for d in dotted}
    return found - {name_of(path)}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_downwards(path):
    room = name_of(path).partition(".")[0]
    rooms = {name.partition(".")[0] for name in imported(path, types=False)} - {room}
    assert room in FLOOR_OF, f"{room} has no floor"
    # `speechlasso.load` opens a trained model.
    rooms -= {"trained_model"} if room == "__init__" else set()
    assert {other for other in rooms if FLOOR_OF[other] >= FLOOR_OF[room]} == set()


def test_no_circle():
    graph = {
        name_of(path): imported(path, types=True) for path in MODULES if name_of(path) != "__init__"
    }
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_and_functions_can_be_held_in_the_head(path):
    text = path.read_text()
    assert len(text.splitlines()) <= MOST_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert lines <= MOST_LINES_OF_FUNCTION, node.name
