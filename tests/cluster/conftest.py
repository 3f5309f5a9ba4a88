"""The tiny experiment of the workflow's tests, and a Slurm to run it on."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workflow.conftest import finished, tiny_lm  # noqa: F401

from .local_slurm import local_slurm, what_is_missing


@pytest.fixture(scope="session")
def slurm() -> Iterator[dict[str, str]]:
    """The environment of programs that submit jobs to a Slurm of this machine."""
    if missing := what_is_missing():
        pytest.skip(f"no Slurm: {missing}")
    # Not a folder of pytest's own, which other users may not enter.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    try:
        with local_slurm(folder) as environment:
            yield environment
    finally:
        shutil.rmtree(folder)
