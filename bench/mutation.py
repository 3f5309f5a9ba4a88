"""How many small faults in a module its own unit tests notice.

    OMP_NUM_THREADS=1 python bench/mutation.py data.folds selection.path=selection/test_select.py

makes mutants of each module, one small fault each: a comparison, `and`, `or`, an operator, a number
or the string of a comparison is another one, a `not` or a keyword argument is missing, a condition
is always true or always false, None is returned. Each runs the tests of the module
(ROOM/test_NAME.py, or what is named after `=`, separated by commas) in a copy of the package. A
mutant is killed when a test fails or takes three times as long as all took without a fault.

It prints the mutants that survive and the share killed of each module. Not every survivor is a
hole: some compute the same in another way. `--sample 100` tries a hundred of each module, the same
ones for the same `--seed`. Every process is a fork of one that has imported the large libraries, so
a mutant costs its tests alone, the quickest first.
"""

from __future__ import annotations

import argparse
import ast
import compileall
import importlib
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis
import pytest
from tqdm import tqdm

REPOSITORY = Path(__file__).resolve().parents[1]
WARM = (
    *("hypothesis.extra.numpy", "numba", "pandas", "pyarrow.parquet", "pydantic", "scipy.sparse"),
    *(
        "scipy.stats",
        "sklearn.linear_model",
        "sklearn.model_selection",
        "sklearn.feature_selection",
    ),
)
MEMORY = 8 * 2**30  # a fault may ask for any amount

_BOTH_WAYS = (
    *((ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Eq, ast.NotEq), (ast.In, ast.NotIn)),
    *((ast.Is, ast.IsNot), (ast.And, ast.Or), (ast.Add, ast.Sub), (ast.Mult, ast.Div)),
    *((ast.BitAnd, ast.BitOr), (ast.FloorDiv, ast.Mod)),
)
SWAPPED = dict(_BOTH_WAYS) | {b: a for a, b in _BOTH_WAYS} | {ast.Pow: ast.Mult}


class Mutant(NamedTuple):
    line: int
    before: str
    after: str
    source: str


class QuickestFirst:
    """Sorts tests by the seconds that they took in the first run, which it writes down, and leaves
    out those that took too long."""

    def __init__(self, file: Path, slowest: float) -> None:
        self.file, self.slowest, self.seconds = file, slowest, {}

    def pytest_collection(self) -> None:
        # That an example fails is enough; a smaller one is not looked for.
        phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
        hypothesis.settings.register_profile("unshrunk", phases=phases)
        hypothesis.settings.load_profile("unshrunk")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self.file.exists():
            seconds = json.loads(self.file.read_text())
            items[:] = [item for item in items if seconds.get(item.nodeid, 0.0) <= self.slowest]
            items.sort(key=lambda item: seconds.get(item.nodeid, 0.0))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0.0) + report.duration

    def pytest_sessionfinish(self) -> None:
        if not self.file.exists():
            self.file.write_text(json.dumps(self.seconds))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("modules", nargs="+", help="ROOM.NAME, or ROOM.NAME=TEST_FILE,TEST_FILE")
    parser.add_argument("--sample", type=int, help="mutants of each module (default: all)")
    parser.add_argument("--slowest", type=float, default=60, help="seconds of the slowest test run")
    parser.add_argument("--seed", type=int, default=0, help="draws the sample")
    folder = REPOSITORY / "workflow_scripts" / "speechlasso"
    parser.add_argument("--package", type=Path, default=folder, help="folder of the modules")
    folder = REPOSITORY / "tests" / "unit"
    parser.add_argument("--tests", type=Path, default=folder, help="folder of the test files")
    options = parser.parse_args()
    for library in WARM:
        importlib.import_module(library)
    tqdm.monitor_interval = 0  # no thread where processes are forked
    sys.dont_write_bytecode = True
    with tempfile.TemporaryDirectory() as temporary:
        package = Path(temporary) / options.package.name
        shutil.copytree(options.package, package, ignore=shutil.ignore_patterns("__pycache__"))
        sys.path.insert(0, temporary)
        os.environ["PYTHONPATH"] = temporary
        for name in options.modules:
            module, _, files = name.partition("=")
            *rooms, last = module.split(".")
            own = "/".join([*rooms, f"test_{last}.py"])
            tests = [options.tests / file for file in (files or own).split(",")]
            file = package / f"{module.replace('.', '/')}.py"
            plugin = QuickestFirst(file.with_suffix(".seconds"), options.slowest)
            print(score(file, tests, plugin, options.sample, options.seed), flush=True)


def score(
    module: Path, tests: list[Path], plugin: QuickestFirst, sample: int | None, seed: int
) -> str:
    """Run the tests on mutants of a module, which is overwritten and restored."""
    source = module.read_text()
    compileall.compile_dir(module.parent, quiet=1)
    start = time.monotonic()
    if not passes(tests, plugin, seconds=600):
        sys.exit(f"{module.stem}: its tests fail without a fault; nothing can be learned from them")
    limit = 3 * (time.monotonic() - start) + 5
    # Compiled files are told apart by second and size, which two mutants may share.
    for compiled in module.parent.glob(f"__pycache__/{module.stem}.*"):
        compiled.unlink()
    made = mutants(source)
    drawn = range(len(made))
    if sample is not None and sample < len(made):
        drawn = sorted(random.Random(seed).sample(drawn, sample))
    survived = 0
    for mutant in tqdm([made[i] for i in drawn], desc=module.stem, unit="mutant"):
        module.write_text(mutant.source)
        if passes(tests, plugin, limit):
            survived += 1
            tqdm.write(f"{module.name}:{mutant.line}: {mutant.before}  ->  {mutant.after}")
    module.write_text(source)
    killed = len(drawn) - survived
    return f"{module.stem}: {killed}/{len(drawn)} killed ({len(made)} mutants, seed {seed})"


def passes(tests: list[Path], plugin: QuickestFirst, seconds: float) -> bool:
    """Whether all tests pass, in a process of their own, within so many seconds."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    code: Any = 1
    try:
        signal.alarm(int(seconds) + 1)  # ends the process
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        arguments = ["-x", "-q", "-p", "no:cacheprovider", *map(str, tests)]
        code = pytest.main(arguments, plugins=[plugin])
    finally:
        os._exit(int(code))


def mutants(source: str) -> list[Mutant]:
    """All mutants of a module's source, in the order of their places."""
    text = source.encode()
    lines = text.splitlines(keepends=True)

    def offset(line: int, column: int) -> int:
        return sum(map(len, lines[: line - 1])) + column

    made = {}
    for node in executed(ast.parse(source)):
        for old, new in faults(node):
            start = offset(old.lineno, old.col_offset)
            end = offset(old.end_lineno, old.end_col_offset)
            before, after = ast.unparse(old), ast.unparse(new)
            changed = text[:start] + f"({after})".encode() + text[end:]
            made[start, end, after] = Mutant(old.lineno, before, after, changed.decode())
    return [made[place] for place in sorted(made)]


def executed(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes without annotations, decorators and f-strings (Python 3.11 does not know the places of
    what is in these)."""
    yield node
    for name, value in ast.iter_fields(node):
        if name not in ("annotation", "returns", "decorator_list"):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr):
                    yield from executed(child)


def faults(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Expressions in or at a node, and what a fault makes of each."""
    match node:
        case ast.Compare(left, operators, comparators):
            for i, operator in enumerate(operators):
                swapped = [*operators[:i], SWAPPED[type(operator)](), *operators[i + 1 :]]
                yield node, ast.Compare(left, swapped, comparators)
            for side in (left, *comparators):
                for part in getattr(side, "elts", [side]):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        yield part, ast.Constant(f"not {part.value}")
        case ast.BoolOp(operator, values):
            yield node, ast.BoolOp(SWAPPED[type(operator)](), values)
        case ast.BinOp(left, operator, right) if type(operator) in SWAPPED:
            yield node, ast.BinOp(left, SWAPPED[type(operator)](), right)
        case ast.UnaryOp(ast.Not() | ast.USub() | ast.Invert(), operand):
            yield node, operand
        case ast.Constant(bool(value)):
            yield node, ast.Constant(not value)
        case ast.Constant(int(value) | float(value)):
            yield node, ast.Constant(value + 1)
            yield node, ast.Constant(value - 1)
        case ast.Return(ast.expr() as value):
            yield value, ast.Constant(None)
        case ast.Call(function, arguments, keywords):
            for keyword in keywords:
                if keyword.arg is not None:
                    kept = [other for other in keywords if other is not keyword]
                    yield node, ast.Call(function, arguments, kept)
    for condition in conditions(node):
        yield condition, ast.Constant(True)
        yield condition, ast.Constant(False)


def conditions(node: ast.AST) -> list[ast.expr]:
    match node:
        case ast.If(ast.Name("TYPE_CHECKING")):
            return []
        case ast.If(test) | ast.IfExp(test):
            return [test]
        case ast.comprehension(ifs=tests):
            return tests
        case _:
            return []


if __name__ == "__main__":
    main()
