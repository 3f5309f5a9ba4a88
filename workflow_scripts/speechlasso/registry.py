"""What a configuration can name: tokenizers, selections, systems and metrics, a card for each.

A card says what a method is, which settings it has and which module implements it. One registry
per kind holds this project's cards, those of installed packages (entry points) and those of modules
that the configuration names (`plugins`). Reading cards costs pydantic alone: an implementation is
imported when it runs.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points, packages_distributions, version
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from speechlasso.errors import InputError, did_you_mean
from speechlasso.section import Section

OWN_PACKAGE = __name__.partition(".")[0]
UNKNOWN_NAME = "unknown_name"
"""Type of pydantic's error for a name that is not in a registry."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """A method that a configuration can name.

    Attributes
    ----------
    name
        As the configuration names it.
    implementation
        Full name of the module that does the work; imported when it runs.
    settings
        Its section of the configuration.
    description
        For people, in a sentence or two.
    """

    name: str
    implementation: str
    settings: type[Section] = Section
    description: str = ""

    def load(self) -> ModuleType:
        """The module that does the work."""
        return importlib.import_module(self.implementation)

    @cached_property
    def origin(self) -> dict[str, Any]:
        """For a card from outside this project what tells its code apart, which keys cover; else
        nothing: this project's own stages have versions.

        Returns
        -------
        dict
            modules: SHA-256 of their source by name; packages: versions of the distributions that
            hold them.
        """
        names = sorted({self.implementation, self.settings.__module__} - {Section.__module__})
        outside = [name for name in names if name.partition(".")[0] != OWN_PACKAGE]
        if not outside:
            return {}
        return {
            "modules": {name: _source_digest(name) for name in outside},
            "packages": _versions_of_distributions(outside),
        }


def origin_of(cards: Iterable[Card]) -> dict[str, Any]:
    """The origins of several cards together (`Card.origin`)."""
    origins = [card.origin for card in cards if card.origin]
    if not origins:
        return {}
    return {
        kind: {name: value for each in origins for name, value in each[kind].items()}
        for kind in ("modules", "packages")
    }


def _source_digest(module: str) -> str:
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        raise InputError(f"The module {module}, which a card names, cannot be found")
    return hashlib.sha256(Path(found.origin).read_bytes()).hexdigest()


def _versions_of_distributions(modules: Iterable[str]) -> dict[str, str]:
    of_package = packages_distributions()
    names = {dist for module in modules for dist in of_package.get(module.partition(".")[0], ())}
    return {name: version(name) for name in sorted(names)}


AnyCard = TypeVar("AnyCard", bound=Card)


class Registry(Generic[AnyCard]):
    """The cards of one kind, by name.

    Parameters
    ----------
    card
        Class of the cards.
    group
        Entry points of installed packages that hold such a card or several; its last word is the
        kind, in the plural.
    cards
        This project's own.
    """

    def __init__(self, card: type[AnyCard], group: str, cards: Iterable[AnyCard]) -> None:
        self.card, self.group = card, group
        self._cards: dict[str, AnyCard] = {}
        self._has_installed = False
        for own in cards:
            self.add(own)

    @property
    def kind(self) -> str:
        return self.group.rpartition(".")[2].removesuffix("s")

    def add(self, card: AnyCard) -> None:
        """Register a card.

        Raises
        ------
        InputError
            If another card has its name.
        """
        known = self._cards.setdefault(card.name, card)
        if known != card:
            raise InputError(
                f"Two {self.kind}s are called {card.name!r}: {known.implementation} and "
                f"{card.implementation}; rename one"
            )

    def __getitem__(self, name: str) -> AnyCard:
        if name not in self:
            raise InputError(self.unknown(name))
        return self._cards[name]

    def __contains__(self, name: object) -> bool:
        self._add_installed()
        return isinstance(name, str) and name in self._cards

    def __iter__(self) -> Iterator[str]:
        self._add_installed()
        return iter(self._cards)

    def unknown(self, name: Any) -> str:
        """What to say of a name that is not here."""
        return f"no {self.kind} is called {name!r}{did_you_mean(name, self)}"

    def cards(self) -> list[AnyCard]:
        return [self._cards[name] for name in self]

    def _add_installed(self) -> None:
        if self._has_installed:
            return
        self._has_installed = True
        for point in entry_points(group=self.group):
            for card in self._installed(point):
                self.add(card)

    def _installed(self, point: EntryPoint) -> list[AnyCard]:
        """The cards of an entry point."""
        try:
            found: Any = point.load()
        except Exception as error:  # an installed package may raise anything
            problem = f"{type(error).__name__}: {error}"
        else:
            cards = list(found) if isinstance(found, list | tuple) else [found]
            if all(isinstance(card, self.card) for card in cards):
                return cards
            problem = f"it is no {self.card.__name__}"
        self._has_installed = False
        owner = point.dist.name if point.dist else "a package"
        raise InputError(
            f"The entry point {point.name} ({point.value}) of {owner} cannot be used: {problem}; "
            "mend or uninstall the package"
        )


@dataclass(frozen=True)
class OneOf:
    """Annotation of a field: the settings of one of a registry's cards, told by one of their keys.

    The key must be a required field of each card's settings, so that it is always written.

    Which cards there are is read when the model is built, so that `model_rebuild(force=True)` lets
    it know those that came later.
    """

    registry: Registry
    key: str
    default: str | None = None
    """What the key is taken for where it is missing."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        choices = {
            card.name: handler.generate_schema(card.settings) for card in self.registry.cards()
        }
        union = core_schema.tagged_union_schema(choices, discriminator=self.key)
        if self.default is None:
            return union
        return core_schema.no_info_before_validator_function(self._with_default, union)

    def _with_default(self, given: Any) -> Any:
        return {self.key: self.default, **given} if isinstance(given, Mapping) else given


@dataclass(frozen=True)
class NameOf:
    """Annotation of a str: the name of one of a registry's cards, known when it is validated."""

    registry: Registry

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._known, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "enum": list(self.registry)}

    def _known(self, name: str) -> str:
        if name not in self.registry:
            message = self.registry.unknown(name)
            raise PydanticCustomError(UNKNOWN_NAME, "{message}", {"message": message})
        return name
