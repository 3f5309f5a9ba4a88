from dataclasses import replace

import numpy as np
import pytest
import torch

from speechlasso.errors import InputError
from speechlasso.training import loop as training
from speechlasso.training.batching import (
    length_grouped_batches,
    length_sorted_batches,
    model_inputs,
    split_batch,
)
from speechlasso.training.checkpoint_file import open_checkpoint
from speechlasso.training.devices import autocast, computing
from speechlasso.training.loop import Task, train
from speechlasso.training.settings import Training


class Settings(Training):
    epochs: int = 6
    batch_size: int = 8
    learning_rate: float = 0.05


RNG = np.random.default_rng(0)
INPUTS = torch.from_numpy(RNG.standard_normal((40, 5), dtype=np.float32))
TARGETS = INPUTS @ torch.tensor([[1.0], [-2.0], [0.5], [0.0], [3.0]])


def network():
    torch.manual_seed(3)
    return torch.nn.Sequential(
        torch.nn.Linear(5, 8), torch.nn.ReLU(), torch.nn.Dropout(0.3), torch.nn.Linear(8, 1)
    )


def regression(scores=None, stop_in_epoch=None, untrained_is_candidate=False):
    """Least squares; optionally with scores that are given, or a stop in the middle of an epoch."""
    scores = iter(scores) if scores is not None else None

    def batches(epoch):
        order = np.random.default_rng([1, epoch]).permutation(len(INPUTS))
        for number, rows in enumerate(np.split(order, 5)):
            if epoch == stop_in_epoch and number == 3:
                raise KeyboardInterrupt
            yield {"inputs": INPUTS[rows], "targets": TARGETS[rows]}

    def loss(model, batch):
        device = next(model.parameters()).device
        predicted = model(batch["inputs"].to(device))
        return ((predicted - batch["targets"].to(device)) ** 2).sum()

    def validate(model):
        error = loss(model, {"inputs": INPUTS, "targets": TARGETS}).item() / len(TARGETS)
        return {"error": error, "score": next(scores) if scores is not None else -error}

    return Task(
        lambda epoch: list(batches(epoch)),
        loss,
        lambda batch: len(batch["targets"]),
        validate,
        metric="score",
        greater_is_better=True,
        untrained_is_candidate=untrained_is_candidate,
    )


def run(task, folder, model=None, settings=None):
    model = network() if model is None else model
    settings = Settings() if settings is None else settings
    with computing(threads=1, seed=1):
        log = train(
            model,
            task,
            settings,
            weight_decay=0.1,
            precision="fp32",
            seed=1,
            checkpoint_folder=folder,
            title="test",
        )
    return model, log


def weights(model):
    return torch.cat([weight.detach().ravel() for weight in model.parameters()]).cpu()


def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    expected, expected_log = run(regression(), tmp_path / "whole")

    with pytest.raises(KeyboardInterrupt):
        run(regression(stop_in_epoch=4), tmp_path / "cut")
    assert [path.name for path in (tmp_path / "cut").iterdir()] == ["test.safetensors"]
    epochs_run = []
    task = regression()
    watched = Task(**{**vars(task), "batches": lambda e: epochs_run.append(e) or task.batches(e)})
    resumed, log = run(watched, tmp_path / "cut")

    assert torch.equal(weights(resumed), weights(expected))
    columns = ["epoch", "train_loss", "error", "best"]
    assert log[columns].equals(expected_log[columns])
    # Epoch 1 is asked for once more, to count its batches.
    assert epochs_run == [1, 4, 5, 6]

    # Stopped again before the weights were saved, it has but the last epoch to repeat.
    again, _ = run(watched, tmp_path / "cut")
    assert torch.equal(weights(again), weights(expected))
    assert epochs_run == [1, 4, 5, 6, 1, 6]


def without_validation(task, stop_after):
    return Task(**{**vars(task), "validate": None, "stop_after": stop_after})


def test_without_validation_the_weights_of_a_set_epoch_are_those_of_a_run_that_keeps_it(tmp_path):
    """The learning rate is scheduled for all epochs, whether or not they are trained."""
    scores = [0.1, 0.2, 0.9, 0.3, 0.2, 0.1]
    kept, log = run(regression(scores), tmp_path / "kept", settings=Settings(patience=6))
    assert log["best"].tolist() == [False, False, True, False, False, False]
    stopped, short = run(without_validation(regression(), 3), tmp_path / "stopped")
    assert torch.equal(weights(stopped), weights(kept))
    assert short["train_loss"].tolist() == log["train_loss"].tolist()[:3]
    assert list(short) == ["epoch", "train_loss", "seconds", "best"]
    assert short["best"].tolist() == [False, False, True]


def test_without_validation_a_stopped_run_goes_on_and_one_of_another_epoch_does_not(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(training, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    expected, _ = run(without_validation(regression(), 5), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(without_validation(regression(stop_in_epoch=4), 5), tmp_path / "cut")
    resumed, _ = run(without_validation(regression(), 5), tmp_path / "cut")
    assert torch.equal(weights(resumed), weights(expected))
    with pytest.raises(KeyboardInterrupt):
        run(without_validation(regression(stop_in_epoch=4), 5), tmp_path / "again")
    other, log = run(without_validation(regression(), 2), tmp_path / "again")
    assert log["epoch"].tolist() == [1, 2]
    expected, _ = run(without_validation(regression(), 2), tmp_path / "two")
    assert torch.equal(weights(other), weights(expected))


def test_a_checkpoint_of_other_settings_is_not_taken_up(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        run(regression(stop_in_epoch=4), tmp_path / "cut")
    other = Settings(learning_rate=0.01)
    _, log = run(regression(), tmp_path / "cut", settings=other)
    _, expected = run(regression(), tmp_path / "whole", settings=other)
    assert log["error"].equals(expected["error"])


def test_a_damaged_checkpoint_is_not_taken_up(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(training, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    with pytest.raises(KeyboardInterrupt):
        run(regression(stop_in_epoch=4), tmp_path)
    path = tmp_path / "test.safetensors"
    whole, rng = path.read_bytes(), np.random.default_rng(3)
    cut = [whole[:length] for length in (0, 7, 100, len(whole) - 1)]
    turned = [bytearray(whole) for _ in range(60)]
    for copy, bit in zip(turned, rng.integers(8 * len(whole), size=60), strict=True):
        copy[bit // 8] ^= 1 << bit % 8
    assert open_checkpoint(path) is not None
    for damaged in (*cut, *turned):
        path.write_bytes(damaged)
        assert open_checkpoint(path) is None
    expected, expected_log = run(regression(), tmp_path / "whole")
    caplog.clear()
    found, log = run(regression(), tmp_path)
    assert torch.equal(weights(found), weights(expected))
    assert log["error"].equals(expected_log["error"])
    (warning,) = [record.getMessage() for record in caplog.records if "damaged" in record.msg]
    assert warning == f"{path} is damaged (it is not what was written): starting afresh"


def test_short_runs_write_no_checkpoint(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(regression(stop_in_epoch=4), tmp_path / "cut")
    assert not (tmp_path / "cut").exists()


def test_the_best_epoch_is_restored_and_patience_ends_the_run(tmp_path):
    task = regression(scores=[0.1, 0.5, 0.5, 0.3, 0.4, 0.9])
    model, log = run(task, tmp_path, settings=Settings(patience=3))
    assert log["epoch"].tolist() == [1, 2, 3, 4, 5]
    # Of equal scores the earlier epoch wins.
    assert log.loc[log["best"], "epoch"].tolist() == [2]
    model.eval()
    error = torch.nn.functional.mse_loss(model.cpu()(INPUTS), TARGETS).item()
    assert error == pytest.approx(log.loc[1, "error"], rel=1e-5)


def test_patience_waits_until_scores_begin_to_move(tmp_path):
    """A model that decides one class for all at first is given the time to start."""
    task = regression(scores=[0.2, 0.2, 0.2, 0.2, 0.5, 0.4, 0.3, 0.9])
    _, log = run(task, tmp_path, settings=Settings(patience=2, epochs=8))
    assert log["epoch"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert log.loc[log["best"], "epoch"].tolist() == [5]


def test_patience_waits_for_the_epochs_that_may_be_best(tmp_path):
    task = replace(regression(scores=[0.9, 0.8, 0.7, 0.3, 0.2, 0.1]), epochs_before_candidates=3)
    _, log = run(task, tmp_path, settings=Settings(patience=1))
    assert log["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert log.loc[log["best"], "epoch"].tolist() == [4]


def test_untrained_weights_win_where_training_only_harms(tmp_path):
    task = regression(scores=[0.9, 0.1, 0.2, 0.3], untrained_is_candidate=True)
    model, log = run(task, tmp_path, settings=Settings(patience=3))
    assert log["epoch"].tolist() == [0, 1, 2, 3]
    assert torch.equal(weights(model), weights(network()))


def test_frozen_parameters_do_not_move(tmp_path):
    model = network()
    model[0].weight.requires_grad_(False)
    before = model[0].weight.clone()
    run(regression(), tmp_path, model=model)
    assert torch.equal(model[0].weight.cpu(), before)
    assert not torch.equal(model[3].weight.cpu(), network()[3].weight)


def test_a_diverging_loss_is_reported(tmp_path):
    with pytest.raises(InputError, match="lower learning_rate"):
        run(regression(), tmp_path, settings=Settings(learning_rate=1e30))


def without_dropout():
    model = network()
    model[2].p = 0.0
    return model


@pytest.mark.parametrize("micro_batch_size", [1, 3, 5])
def test_accumulated_gradients_are_those_of_the_whole_batch(tmp_path, micro_batch_size):
    expected, expected_log = run(regression(), tmp_path, model=without_dropout())
    settings = Settings(micro_batch_size=micro_batch_size)
    model, log = run(regression(), tmp_path, model=without_dropout(), settings=settings)
    torch.testing.assert_close(weights(model), weights(expected), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(log["train_loss"], expected_log["train_loss"], rtol=1e-5)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_out_of_memory_halves_what_is_computed_at_a_time(tmp_path, caplog, error):
    expected, _ = run(regression(), tmp_path, model=without_dropout())
    task, sizes = regression(), []

    def greedy_loss(model, batch):
        sizes.append(len(batch["inputs"]))
        # A gradient of the failed attempt must not stay.
        loss = task.loss(model, batch)
        if sizes[-1] > 3:
            raise error
        return loss

    greedy = Task(**{**vars(task), "loss": greedy_loss})
    model, _ = run(greedy, tmp_path, model=without_dropout(), settings=Settings(batch_size=8))
    assert sizes[:6] == [8, 4, 2, 2, 2, 2] and set(sizes[2:]) == {2}
    torch.testing.assert_close(weights(model), weights(expected), rtol=1e-4, atol=1e-5)
    told = [record.message for record in caplog.records if "out of memory" in record.message]
    assert told == [
        "out of memory: going on with 4 examples at a time",
        "out of memory: going on with 2 examples at a time",
    ]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU whose memory can end")
def test_a_gpu_that_is_too_small_for_a_batch_is_given_less_at_a_time(tmp_path, caplog):
    bytes_per_example = torch.cuda.get_device_properties(0).total_memory * 3 // 10
    task, sizes = regression(), []

    def large_loss(model, batch):
        sizes.append(len(batch["inputs"]))
        torch.empty(sizes[-1] * bytes_per_example, dtype=torch.uint8, device="cuda")
        return task.loss(model, batch)

    large = Task(**{**vars(task), "loss": large_loss})
    model, _ = run(large, tmp_path, model=without_dropout())
    assert sizes[:6] == [8, 4, 2, 2, 2, 2] and set(sizes[2:]) == {2}
    expected, _ = run(task, tmp_path, model=without_dropout())
    torch.testing.assert_close(weights(model), weights(expected), rtol=1e-4, atol=1e-5)
    told = [record.message for record in caplog.records if "out of memory" in record.message]
    assert len(told) == 2


def test_one_example_too_large_is_an_error(tmp_path):
    def loss(model, batch):
        raise torch.OutOfMemoryError("CUDA out of memory")

    task = Task(**{**vars(regression()), "loss": loss})
    with pytest.raises(torch.OutOfMemoryError):
        run(task, tmp_path)


def test_parts_of_a_batch_are_padded_no_more_than_they_need():
    sequences = [np.arange(1, n + 1) for n in (5, 2, 4, 3, 1)]
    frames = torch.arange(5 * 9 * 2).reshape(5, 9, 2)
    batch = model_inputs(sequences, 0) | {"labels": torch.arange(5), "frames": frames}
    parts = split_batch(batch, 2, ["input_ids", "attention_mask"])
    assert [part["input_ids"].shape for part in parts] == [(2, 5), (2, 4), (1, 1)]
    for part, rows in zip(parts, (slice(0, 2), slice(2, 4), slice(4, 5)), strict=True):
        expected = model_inputs(sequences[rows], 0)
        assert torch.equal(part["input_ids"], expected["input_ids"])
        assert torch.equal(part["attention_mask"], expected["attention_mask"])
    assert torch.cat([part["labels"] for part in parts]).tolist() == list(range(5))
    # What is not padded to the texts' length is not cut to it.
    assert torch.equal(torch.cat([part["frames"] for part in parts]), frames)


def test_random_numbers_and_threads_are_restored():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    with computing(threads=3, seed=1):
        assert torch.get_num_threads() == 3
        torch.rand(9)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_precision_is_what_was_asked_for(precision):
    with autocast(precision, torch.device("cpu")):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        ({"cpu_name": "Intel(R) Xeon(R)", "avx512_bf16": True, "amx_bf16": True}, torch.bfloat16),
        ({"cpu_name": "Intel(R) Xeon(R)", "avx512_bf16": True}, torch.float32),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": True, "amx_bf16": False}, torch.bfloat16),
        ({"cpu_name": "AMD EPYC", "avx512_bf16": False}, torch.float32),
        ({"architecture": "aarch64"}, torch.float32),
    ],
)
def test_precision_is_that_which_is_faster_on_the_processor(processor, expected, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: processor)
    with autocast("auto", torch.device("cpu")):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == expected


def test_batches_hold_every_example_once_and_like_lengths_together():
    lengths = np.random.default_rng(1).integers(5, 200, size=333)
    batches = length_grouped_batches(lengths, 16, np.random.default_rng(2))
    assert sorted(np.concatenate(batches)) == list(range(333))
    padding = sum(len(b) * lengths[b].max() - lengths[b].sum() for b in batches)
    mixed = np.array_split(np.random.default_rng(3).permutation(333), 21)
    mixed_padding = sum(len(b) * lengths[b].max() - lengths[b].sum() for b in mixed)
    assert padding < 0.4 * mixed_padding

    in_order = length_sorted_batches(lengths, 16)
    assert (np.diff(lengths[np.concatenate(in_order)]) <= 0).all()
