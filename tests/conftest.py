"""Fixtures shared by all tests."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is slow, not wrong: no example has a deadline. Each run draws the same ones.
settings.register_profile("repeatable", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("repeatable")

REPOSITORY = Path(__file__).resolve().parents[1]
LOADS_TORCH = re.compile(
    r"^(import|from) (tests\.unit import )?(torch|transformers|peft|tiny_\w+|tuned_models"
    r"|spoken_words|all_bad_input|speechlasso\.(language_model|training))\b",
    re.MULTILINE,
)


def pytest_addoption(parser):
    parser.addoption(
        "--light", action="store_true", help="leave out the files of tests that load torch"
    )


def pytest_ignore_collect(collection_path, config):
    if config.getoption("light") and collection_path.suffix == ".py":
        return bool(LOADS_TORCH.search(collection_path.read_text())) or None
    return None


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real recordings beside the checkout; tests that need it are skipped without."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real recordings not found at {folder}")
    return folder


@pytest.fixture(scope="module")
def on_the_processor() -> Iterator[None]:
    """Where there is a GPU: numbers that are those of a processor to the last digits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torch.cuda.is_available", lambda: False)
        yield


@pytest.fixture
def logging_as_before() -> Iterator[None]:
    """Afterwards: a job sets logging up for a process of its own."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before
    logging.captureWarnings(False)
