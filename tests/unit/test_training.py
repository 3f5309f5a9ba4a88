import numpy as np
import pytest
import torch

from speechlasso.batching import length_grouped_batches, length_sorted_batches
from speechlasso.config import Training
from speechlasso.errors import InputError
from speechlasso.training import Task, autocast, computing, train


class Settings(Training):
    epochs: int = 6
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
        return torch.nn.functional.mse_loss(model(batch["inputs"]), batch["targets"])

    def validate(model):
        error = torch.nn.functional.mse_loss(model(INPUTS), TARGETS).item()
        return {"error": error, "score": next(scores) if scores is not None else -error}

    return Task(
        lambda epoch: list(batches(epoch)),
        loss,
        validate,
        metric="score",
        greater_is_better=True,
        untrained_is_candidate=untrained_is_candidate,
        dropout=True,
    )


def run(task, folder, model=None, settings=None, **options):
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
            **options,
        )
    return model, log


def weights(model):
    return torch.cat([weight.detach().ravel() for weight in model.parameters()])


def test_a_stopped_run_goes_on_to_the_same_weights(tmp_path):
    expected, expected_log = run(regression(), tmp_path / "whole")

    with pytest.raises(KeyboardInterrupt):
        run(regression(stop_in_epoch=4), tmp_path / "cut", seconds_between_checkpoints=0.0)
    assert [path.name for path in (tmp_path / "cut").iterdir()] == ["test.safetensors"]
    epochs_run = []
    task = regression()
    watched = Task(**{**vars(task), "batches": lambda e: epochs_run.append(e) or task.batches(e)})
    resumed, log = run(watched, tmp_path / "cut", seconds_between_checkpoints=0.0)

    assert torch.equal(weights(resumed), weights(expected))
    columns = ["epoch", "train_loss", "error", "best"]
    assert log[columns].equals(expected_log[columns])
    # Epoch 1 is asked for once more, to count its batches.
    assert epochs_run == [1, 4, 5, 6]
    assert not (tmp_path / "cut").exists()


def test_a_checkpoint_of_other_settings_is_not_taken_up(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(regression(stop_in_epoch=4), tmp_path / "cut", seconds_between_checkpoints=0.0)
    other = Settings(learning_rate=0.01)
    _, log = run(regression(), tmp_path / "cut", settings=other)
    _, expected = run(regression(), tmp_path / "whole", settings=other)
    assert log["error"].equals(expected["error"])


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
    error = torch.nn.functional.mse_loss(model(INPUTS), TARGETS).item()
    assert error == pytest.approx(log.loc[1, "error"], rel=1e-6)


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
    assert torch.equal(model[0].weight, before)
    assert not torch.equal(model[3].weight, network()[3].weight)


def test_a_diverging_loss_is_reported(tmp_path):
    with pytest.raises(InputError, match="lower learning_rate"):
        run(regression(), tmp_path, settings=Settings(learning_rate=1e30))


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
