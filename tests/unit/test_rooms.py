"""The package is a house of rooms in the order of the paper: imports point down, none go round."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter

import pytest
from import_graph import MODULES, NAMES, REPOSITORY, graph, name_of

# From the top floor down: a room imports from lower floors and from itself.
FLOORS = [
    {"cli"},
    {"catalogue"},
    {"trained_model"},
    {"experiment"},
    {"pipeline"},
    {"systems"},
    {"language_model"},
    {"report"},
    {"selection"},
    {"tokenizers"},
    {"features"},
    {"data"},
    {"audio", "lasso", "training", "evaluation"},
    {"hub", "registry", "packaged_models"},
    {"section", "digests", "integrity", "pages"},
    {"files", "blocks"},
    {"figures"},
    {"errors", "__init__"},
]
FLOOR_OF = {room: -floor for floor, rooms in enumerate(FLOORS) for room in rooms}
MOST_LINES = 400
MOST_LINES_OF_FUNCTION = 60


@pytest.fixture(scope="module")
def edges():
    return graph()


@pytest.mark.parametrize("name", sorted(NAMES))
def test_imports_point_downwards(name, edges):
    room = name.partition(".")[0]
    rooms = {other.partition(".")[0] for other in edges[name] & NAMES} - {room}
    assert room in FLOOR_OF, f"{room} has no floor"
    # `speechlasso.load` opens a trained model.
    rooms -= {"trained_model"} if room == "__init__" else set()
    assert {other for other in rooms if FLOOR_OF[other] >= FLOOR_OF[room]} == set()


def test_no_circle():
    edges = graph(types=True)
    del edges["__init__"]
    TopologicalSorter(edges).prepare()


@pytest.mark.parametrize("folder", ["workflow_scripts", "bench", "tests"])
def test_modules_can_be_held_in_the_head(folder):
    paths = list((REPOSITORY / folder).rglob("*.py"))
    lines = {
        str(path.relative_to(REPOSITORY)): len(path.read_text().splitlines()) for path in paths
    }
    assert lines, f"{folder} has no module"
    assert {path: n for path, n in lines.items() if n > MOST_LINES} == {}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_functions_can_be_held_in_the_head(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            assert lines <= MOST_LINES_OF_FUNCTION, node.name
