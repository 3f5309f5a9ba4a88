"""What computing leaves in memory, seen from other processes: torch reads its limits once."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import psutil, torch
from speechlasso.training.devices import computing

def megabytes():
    return psutil.Process().memory_info().rss / 1e6

def compute():
    layer = torch.nn.Linear(256, 256).bfloat16()
    with torch.inference_mode():
        for size in range(1, 401):
            layer(torch.zeros(size, 256, dtype=torch.bfloat16))
            if size == 20:
                before = megabytes()
    print(megabytes() - before)

"""


def megabytes_left(computation: str) -> float:
    """How much larger a process is after products of 400 sizes than after the first 20."""
    # Other tests have computed in this process, and so have set the limits for those it starts.
    environment = {name: value for name, value in os.environ.items() if "CAPACITY" not in name}
    command = [sys.executable, "-c", PROGRAM + computation]
    ended = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return float(ended.stdout)


@pytest.mark.slow
def test_lengths_that_do_not_come_again_leave_little_in_memory():
    by_itself = megabytes_left("torch.set_num_threads(1); compute()")
    if by_itself < 100:
        pytest.skip(f"on this processor torch keeps only {by_itself:.0f} MB by itself")
    assert megabytes_left("with computing(1, 0): compute()") < by_itself / 4
