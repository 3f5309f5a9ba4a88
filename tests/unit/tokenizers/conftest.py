"""What tests of tokenizers share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from plain_speechtokenizer import Pair


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Networks this small are slower with more."""
    import torch  # not for the tests of tokenizers that do without

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def golden(shared_data: Path) -> Path:
    """What the authors' own code made of a tiny model with random weights."""
    return shared_data.parent / "golden" / "speechtokenizer"


@pytest.fixture(scope="session")
def golden_files(golden: Path) -> dict[str, str]:
    folder = golden / "tiny"
    return {"checkpoint": str(folder / "checkpoint.pt"), "config": str(folder / "config.json")}


@pytest.fixture(scope="module")
def pairs(on_the_processor: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    """Tiny tokenizers, each with its reference."""
    from plain_speechtokenizer import CONFIG, Pair, Reference

    from speechlasso.tokenizers.speechtokenizer import load

    folder = tmp_path_factory.mktemp("speechtokenizer")
    found = {}
    for activation in ("ELU", "Snake"):
        reference = Reference({**CONFIG, "activation": activation})
        found[activation] = Pair(reference, load(reference.save(folder / activation)))
    return found
