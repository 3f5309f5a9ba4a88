"""What every training is measured by, whatever the system says of itself."""

from __future__ import annotations

import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
from tests.unit.pooled_baseline import made_inputs, training

from speechlasso.systems.fitting import fit
from speechlasso.training.process_memory import peak_memory_mb

PROGRAM = "from speechlasso.training.process_memory import peak_memory_mb; print(peak_memory_mb())"


def test_a_light_system_is_timed_and_says_its_size(tmp_path):
    inputs, _ = made_inputs(tmp_path)
    started = time.perf_counter()
    said = fit(inputs, training(inputs=["audio"], C=[0.001]), tmp_path, 1)
    assert 0 < said["train_seconds"] < time.perf_counter() - started
    assert 50 < said["peak_memory_mb"] <= peak_memory_mb()
    # Mean and spread of 4 numbers in 2 layers, for each of 3 classes, and an intercept each.
    assert said["trainable_parameters"] == 3 * (2 * 4 * 2) + 3
    assert said["C"] == 0.001


def test_what_a_system_has_measured_itself_stands(tmp_path):
    """As one that trains in several processes, or on a GPU."""
    told = {"peak_memory_mb": 7.0, "epochs": 3}
    system = SimpleNamespace(fit=lambda inputs, settings, folder, threads: told)
    said = fit({}, SimpleNamespace(card=SimpleNamespace(load=lambda: system)), tmp_path, 1)
    assert said.pop("train_seconds") >= 0
    assert said == told


@pytest.mark.slow
def test_memory_is_that_of_the_process_and_not_of_the_one_that_started_it():
    held = bytearray(300 * 2**20)
    held[:: 2**12] = b"x" * len(held[:: 2**12])
    assert peak_memory_mb() > 300
    started = [sys.executable, "-c", PROGRAM]
    alone = float(subprocess.run(started, stdout=subprocess.PIPE, text=True, check=True).stdout)
    larger = f"held = bytearray(200 * 2**20); {PROGRAM}"
    started = [sys.executable, "-c", larger]
    printed = subprocess.run(started, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert alone < 200 and 199 < float(printed) - alone < 220
