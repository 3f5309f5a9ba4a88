"""Methods from outside this project: cards in modules that the configuration names.

Installed packages need not be named there: their entry points (`speechlasso.systems` and so on)
are found by the registries themselves.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from speechlasso.errors import InputError
from speechlasso.evaluation.cards import METRICS
from speechlasso.experiment.settings import Settings
from speechlasso.pipeline.stages import STAGES
from speechlasso.selection.cards import SELECTIONS
from speechlasso.systems.cards import SYSTEMS
from speechlasso.tokenizers.cards import TOKENIZERS

REGISTRIES = (TOKENIZERS, SELECTIONS, SYSTEMS, METRICS)


def use_plugins(modules: Iterable[str], folder: Path | None = None) -> None:
    """Import modules, and register the cards that lie in them.

    Parameters
    ----------
    folder
        Where modules may lie besides; the working directory by default.

    Raises
    ------
    InputError
        Listing the modules that cannot be imported.
    """
    names, problems = list(modules), []
    if not names:
        return
    path = str(folder or Path.cwd())
    if path not in sys.path:
        sys.path.append(path)
    for name in names:
        try:
            found = vars(importlib.import_module(name)).values()
        except Exception as error:  # a user's module may raise anything
            problems.append(f"{name}: {type(error).__name__}: {error}")
            continue
        for registry in REGISTRIES:
            for card in (value for value in found if isinstance(value, registry.card)):
                registry.add(card)
    if problems:
        raise InputError.listing(
            "Modules named by plugins cannot be imported:",
            problems,
            f"Correct the names, or put the modules' files into {path}.",
        )
    for model in (Settings, *STAGES.values()):
        model.model_rebuild(force=True)


def not_imported(what: str, named_by: str, modules: Sequence[str]) -> str:
    """What to tell of something whose modules only a stranger's file names, and how to go on."""
    return (
        f"{what} comes from modules that {named_by} names, {', '.join(modules)}, and nothing is "
        f"imported because {named_by} names it. If you know what is in them: "
        f"{' '.join(f'--plugin {name}' for name in modules)}"
    )
