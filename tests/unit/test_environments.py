"""envs/*.yaml, for --sdm conda, have the pinned versions and all that their rules import."""

from __future__ import annotations

import ast
import re
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

import pytest
import yaml
from import_graph import MODULES, REPOSITORY, SCRIPTS, graph, imported, name_of

from speechlasso.selection.cards import SELECTIONS
from speechlasso.systems.cards import SYSTEMS
from speechlasso.tokenizers.cards import TOKENIZERS

from .test_imports import DOORS

ENVIRONMENTS = sorted((REPOSITORY / "envs").glob("*.yaml"))
# Where conda-forge calls a package otherwise.
NAMES_ON_PYPI = {
    "python-soundfile": "soundfile",
    "soxr-python": "soxr",
    "matplotlib-base": "matplotlib",
}
# Only light systems and selections have these, and only their scripts come to them.
NEEDED_ELSEWHERE = {"codec": {"numba"}, "torch": {"numba"}, "light": {"torch"}}


def normalised(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(path):
    """Distribution -> version of an environment."""
    listed = yaml.safe_load(path.read_text())["dependencies"]
    pip = next(entry["pip"] for entry in listed if isinstance(entry, dict))
    found = [entry.replace("==", "=").split("=") for entry in [*listed, *pip] if "=" in entry]
    return {normalised(NAMES_ON_PYPI.get(name, name)): version for name, version in found}


def locked():
    lines = [
        line.split("==")
        for name in ("requirements.lock", "requirements-models.lock")
        for line in (REPOSITORY / name).read_text().splitlines()
        if "==" in line
    ]
    return {normalised(name): version for name, version in lines}


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_versions_are_those_of_the_lock_file(path):
    found = pins(path)
    assert found.pop("python") == "3.12"
    assert found == {name: locked().get(name) for name in found}


@cache
def with_what_it_needs(distribution):
    """A distribution and all that it brings."""
    try:
        wanted = [line for line in requires(distribution) or [] if "extra ==" not in line]
    except PackageNotFoundError:
        return frozenset()
    names = {normalised(re.match(r"[\w.-]+", line)[0]) for line in wanted}
    return frozenset({distribution}).union(*map(with_what_it_needs, names))


def scripts_of(environment):
    found = re.compile(r'conda:\s+"../envs/(\w+)\.yaml".*?workflow_scripts/(\w+)\.py"', re.S)
    rules = "\n".join(path.read_text() for path in (REPOSITORY / "rules").glob("*.smk"))
    return {script for name, script in found.findall(rules) if name == environment}


def modules_of(environment):
    """The package's modules that the scripts of an environment import, within functions too."""
    cards = {
        "light": [*(c for c in SYSTEMS.cards() if c.rule == "fit_linear"), *SELECTIONS.cards()],
        "codec": TOKENIZERS.cards(),
        "torch": [card for card in SYSTEMS.cards() if card.rule == "finetune"],
    }
    seen = {card.implementation.removeprefix("speechlasso.") for card in cards[environment]}
    for script in scripts_of(environment):
        seen |= imported((SCRIPTS / f"{script}.py").read_text())
    edges, to_do = graph(), list(seen)
    for module in to_do:
        new = {other for other in edges.get(module, ()) if (module, other) not in DOORS} - seen
        seen |= new
        to_do += sorted(new)
    return seen


def libraries(source):
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            found.add(str(node.module))
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name.partition(".")[0] for name in found} - {*sys.stdlib_module_names, "speechlasso"}


@pytest.mark.slow
@pytest.mark.parametrize("path", ENVIRONMENTS, ids=lambda path: path.stem)
def test_all_that_is_imported_is_there(path):
    wanted = modules_of(path.stem)
    sources = [module.read_text() for module in MODULES if name_of(module) in wanted]
    distributions = packages_distributions()
    imports = {
        normalised(distributions[library][0]) for source in sources for library in libraries(source)
    }
    there = frozenset().union(*map(with_what_it_needs, pins(path)))
    assert imports - there - NEEDED_ELSEWHERE[path.stem] == set()
