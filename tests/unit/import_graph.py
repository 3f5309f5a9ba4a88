"""Which module of the package imports which, read from the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = REPOSITORY / "workflow_scripts"
PACKAGE = SCRIPTS / "speechlasso"
MODULES = sorted(PACKAGE.rglob("*.py"))
TORCH = {"torch", "transformers", "accelerate", "peft", "safetensors.torch"}


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


NAMES = {name_of(module) for module in MODULES}


def imported(source: str, types: bool = False) -> set[str]:
    """Modules of the package, by their name within it, and libraries of torch that source imports
    anywhere, within functions too; for types alone only if asked for."""
    tree = ast.parse(source)
    if not types:
        tree.body = [node for node in tree.body if not _is_for_types(node)]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            found |= {_within(f"{node.module}.{a.name}", str(node.module)) for a in node.names}
        elif isinstance(node, ast.Import):
            found |= {_within(alias.name, alias.name) for alias in node.names}
    return {name for name in found if name in NAMES or is_torch(name)}


def is_torch(name: str) -> bool:
    return name in TORCH or name.partition(".")[0] in TORCH


def graph(types: bool = False) -> dict[str, set[str]]:
    """What each module of the package imports."""
    return {name_of(path): imported(path.read_text(), types) - {name_of(path)} for path in MODULES}


def imported_by_rules() -> set[str]:
    """What planning imports: the lines at the margin of rules/*.smk."""
    texts = [path.read_text() for path in (REPOSITORY / "rules").glob("*.smk")]
    lines = re.findall(r"^(?:from|import) .*$", "\n".join(texts), re.M)
    return imported("\n".join(lines))


def paths_to_torch(
    starts: Iterable[str], edges: Mapping[str, set[str]], doors: Collection[tuple[str, str]]
) -> list[str]:
    """The first way found from each start to torch that goes through no door."""
    found = []
    for start in starts:
        ways, seen = [[start]], {start}
        for way in ways:
            for other in sorted(edges.get(way[-1], ())):
                if other in seen or (way[-1], other) in doors:
                    continue
                seen.add(other)
                ways.append([*way, other])
        found += [" > ".join(way) for way in ways if is_torch(way[-1])][:1]
    return found


def _is_for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _within(full: str, module: str) -> str:
    """The module that `from module import name` reads."""
    prefix = PACKAGE.name
    if module.partition(".")[0] != prefix:
        return full if full in TORCH else module
    inner = full.removeprefix(prefix).removeprefix(".")
    return inner if inner in NAMES else module.removeprefix(prefix).removeprefix(".") or "__init__"
