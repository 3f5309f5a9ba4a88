"""The mutation benchmark on a module of which it is known what its test notices."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from tests.conftest import REPOSITORY

SCRIPT = REPOSITORY / "bench" / "mutation.py"
MODULE = """\
def larger(a, b):
    return a if a > b else b


def is_vowel(letter: str | None) -> bool:
    return letter == "a"
"""
TEST = """\
from package.module import is_vowel, larger


def test_larger():
    assert larger(1, 2) == 2 and larger(2, 1) == 2


def test_consonant():
    assert is_vowel("b") is False
"""


@pytest.mark.slow
def test_survivors_are_the_faults_that_no_test_notices(tmp_path):
    for folder, name, text in (("package", "module.py", MODULE), ("t", "test_module.py", TEST)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(text)
    (tmp_path / "package" / "__init__.py").touch()
    folders = ["--package", tmp_path / "package", "--tests", tmp_path / "t"]
    run = subprocess.run(
        [sys.executable, SCRIPT, "module", *folders],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [
        "module.py:2: a > b  ->  a >= b",
        "module.py:6: 'a'  ->  'not a'",
        "module: 5/7 killed (7 mutants, seed 0)",
    ]
    assert (tmp_path / "package" / "module.py").read_text() == MODULE
