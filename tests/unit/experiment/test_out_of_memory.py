"""Too little memory, of which a limit of this very process stands for all kinds."""

from __future__ import annotations

import errno
import os
import resource
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from plans import plan
from rule_jobs import rule_job

from speechlasso.cli import main
from speechlasso.errors import is_out_of_memory
from speechlasso.experiment.job import job
from speechlasso.experiment.out_of_memory import killed_jobs, too_little_memory
from speechlasso.hub import readable_errors
from speechlasso.training import checkpoint_file, loop

LEFT = 2**26  # bytes
LARGE = 2**35  # more than earlier tests may have left free in the heap


@contextmanager
def little_memory():
    used = int(Path("/proc/self/status").read_text().split("VmData:")[1].split()[0]) * 1024
    limits = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (used + LEFT, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, limits)


def told_by(library):
    with little_memory(), pytest.raises(Exception) as raised:
        library(LARGE)
    return raised.value


def test_every_library_is_understood():
    assert is_out_of_memory(told_by(bytes))
    assert is_out_of_memory(told_by(np.ones))
    assert is_out_of_memory(told_by(torch.ones))
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"))
    assert is_out_of_memory(OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)))
    assert is_out_of_memory(RuntimeError("process 1 terminated with signal SIGKILL"))
    assert "(MemoryError)" in str(too_little_memory(MemoryError(), Path("results/a"), None))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    assert not is_out_of_memory(FileNotFoundError(errno.ENOENT, "No such file", "a.csv"))


def test_a_model_or_checkpoint_that_finds_no_room_is_not_called_damaged(tmp_path, monkeypatch):
    def mapped(*_, **__):
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    with pytest.raises(OSError, match="allocate memory"), readable_errors("lm.name", "a"):
        mapped()
    monkeypatch.setattr(checkpoint_file, "safe_open", mapped)
    (tmp_path / "a.safetensors").touch()
    with pytest.raises(OSError, match="allocate memory"):
        checkpoint_file.open_checkpoint(tmp_path / "a.safetensors")


def training_job():
    """Train in a job; in epoch 3 each example takes more memory than there is."""
    variant = next(iter(plan(adapt={"epochs": 3}).variants["adapt_lm"].values()))
    outputs = {"spec": "results/adapt_lm/a/spec.json"}
    epochs = []

    def batches(epoch):
        epochs.append(epoch)
        return [{"x": torch.ones(4)}]

    def loss(model, batch):
        if epochs[-1] == 3:
            with little_memory():
                torch.ones(len(batch["x"]), LARGE)
        return model(batch["x"][:, None]).square().sum()

    task = loop.Task(batches, loss, lambda batch: 4, None, "loss", False, False)
    torch.manual_seed(1)
    with (
        pytest.raises(SystemExit) as ended,
        job(rule_job("adapt_lm", {}, outputs, {"spec": variant.spec})) as settings,
    ):
        loop.train(
            torch.nn.Linear(1, 1),
            task,
            settings.adapt,
            weight_decay=0.0,
            precision="fp32",
            seed=1,
            checkpoint_folder=Path("results/adapt_lm/a/checkpoint"),
            title="adapt",
        )
    assert ended.value.code == 1
    return epochs


def test_a_training_names_itself_and_its_settings_and_goes_on(
    tmp_path, monkeypatch, logging_as_before
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    assert training_job() == [1, 1, 2, 3]  # epoch 1 once more, to count its batches
    log = Path("adapt_lm.log").read_text()
    assert "going on with 1 examples at a time" in log and "Traceback" not in log
    told = log.partition("results/adapt_lm/a: ")[2].splitlines()
    assert told[0].startswith("out of memory (") and "allocate memory" in told[0]
    assert "  - lm.max_length: lower, now 256" in told
    assert "  - adapt.micro_batch_size: 1, now 32" in told
    assert "  - adapt.gradient_checkpointing: true, now false" in told
    assert "goes on from its last checkpoint" in told[-1]
    assert training_job() == [1, 3]


def test_a_killed_job_is_one_whose_log_just_ends(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    a_plan = plan()
    logs = {}
    for stage in ("manifest", "tokenize_audio", "fit_path", "adapt_lm", "finetune"):
        variant = next(iter(a_plan.variants[stage].values()))
        shard = "-0-of-2" if stage == "tokenize_audio" else ""
        logs[stage] = Path("logs", stage, f"{variant.key}{shard}.log")
        logs[stage].parent.mkdir(parents=True)
    start = "2026-11-27 01:56:19,450"
    logs["manifest"].write_text(
        f"{start} INFO a: going on\n{start} INFO a: manifest done in 12.1 s\n"
    )
    logs["fit_path"].write_text(f"{start} ERROR a: a.csv: no such column\nGive it one.\n")
    logs["adapt_lm"].write_text(f"{start} INFO a: going on\n")
    os.utime(logs["adapt_lm"], (1, 1))
    logs["tokenize_audio"].touch()
    logs["finetune"].write_text(f"{start} INFO a: going on\n")
    told = [str(killed) for killed in killed_jobs(a_plan, since=time.time() - 60)]
    assert [text.split(":")[0] for text in told] == [
        f"results/{stage}/{logs[stage].name.split('-0-of')[0].removesuffix('.log')}"
        for stage in ("tokenize_audio", "finetune")
    ]
    assert "finetune.micro_batch_size: 1, now 32" in told[1]


@pytest.mark.parametrize("library", [bytes, torch.ones])
@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_a_command_tells_it_in_one_message(library, debug, monkeypatch, capsys):
    def predict(options):
        with little_memory():
            library(LARGE)

    monkeypatch.setattr("speechlasso.trained_model.commands.predict_new", predict)
    assert main(["predict", "model", "--text", "a", *debug]) == 1
    told = capsys.readouterr().err
    assert told.splitlines()[-1].startswith("out of memory (") and "--id" in told
    assert ("Traceback" in told) == bool(debug)


def test_other_errors_of_a_command_are_raised(monkeypatch):
    def predict(options):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr("speechlasso.trained_model.commands.predict_new", predict)
    with pytest.raises(RuntimeError):
        main(["predict", "model", "--text", "a"])
