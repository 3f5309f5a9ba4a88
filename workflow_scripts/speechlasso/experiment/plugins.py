"""Methods from outside this project: cards in modules that the configuration names.

Installed packages need not be named there: their entry points (`speechlasso.systems` and so on)
are found by the registries themselves.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable

from speechlasso.errors import InputError
from speechlasso.experiment.settings import Settings
from speechlasso.pipeline.stages import STAGES
from speechlasso.selection.cards import SELECTIONS
from speechlasso.systems.cards import SYSTEMS
from speechlasso.tokenizers.cards import TOKENIZERS

REGISTRIES = (TOKENIZERS, SELECTIONS, SYSTEMS)


def use_plugins(modules: Iterable[str]) -> None:
    """Import modules, from the working directory too, and register the cards that lie in them.

    Raises
    ------
    InputError
        Listing the modules that cannot be imported.
    """
    names, problems = list(modules), []
    if not names:
        return
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    for name in names:
        try:
            found = vars(importlib.import_module(name)).values()
        except Exception as error:  # whatever a module of others does
            problems.append(f"{name}: {type(error).__name__}: {error}")
            continue
        for registry in REGISTRIES:
            for card in (value for value in found if isinstance(value, registry.card)):
                registry.add(card)
    if problems:
        raise InputError.listing("Modules named by plugins cannot be imported:", problems)
    for model in (Settings, *STAGES.values()):
        model.model_rebuild(force=True)
