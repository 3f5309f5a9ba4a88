"""Checkpoints and configurations of SpeechTokenizer: which are taken, and why others are not."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from plain_speechtokenizer import CONFIG, Pair, Reference, sound
from torch import Tensor, nn
from traps import Touch

from speechlasso.errors import InputError
from speechlasso.tokenizers.settings import SpeechTokenizerMethod
from speechlasso.tokenizers.speechtokenizer import load

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(CONFIG)


def assert_same_codes(settings: SpeechTokenizerMethod, pairs: dict[str, Pair]) -> None:
    waveform = sound(6, 500)
    np.testing.assert_array_equal(
        load(settings).encode([waveform])[0], pairs["ELU"].tokenizer.encode([waveform])[0]
    )


@pytest.mark.parametrize(
    "not_for_encoding", ["decoder.", "transform.", ".inited", ".cluster_size", ".embed_avg"]
)
def test_what_only_training_and_decoding_need_may_be_missing(
    not_for_encoding, reference, pairs, tmp_path
) -> None:
    fewer = {
        name: value for name, value in reference.tensors.items() if not_for_encoding not in name
    }
    assert len(fewer) < len(reference.tensors)
    assert_same_codes(reference.save(tmp_path, fewer), pairs)


def test_what_only_training_and_decoding_need_is_not_looked_at(reference, pairs, tmp_path) -> None:
    changed = {
        **reference.tensors,
        "decoder.model.0.conv.conv.weight_v": torch.full((1,), torch.nan),
        "transform.bias": torch.zeros(3, 3),
        "quantizer.vq.layers.0._codebook.embed_avg": torch.zeros(0),
        "quantizer.vq.layers.1._codebook.inited": torch.zeros(1),
        "quantizer.vq.layers.2._codebook.cluster_size": torch.full((16,), torch.inf),
    }
    assert_same_codes(reference.save(tmp_path, changed), pairs)


def test_a_checkpoint_to_resume_training_from(reference, pairs, tmp_path) -> None:
    trainer = {
        "generator": reference.tensors,
        "discriminators": {"mpd": {"weight": torch.zeros(2)}},
        "optim_g": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-4}]},
        "best_dev_mel_loss": 0.5,
    }
    assert_same_codes(reference.save(tmp_path, trainer), pairs)


def test_parameters_and_other_numbers(reference, pairs, tmp_path) -> None:
    """Saved as parameters they would drag gradients along; in float64 they would not multiply."""
    parameters = {name: nn.Parameter(value.double()) for name, value in reference.tensors.items()}
    assert_same_codes(reference.save(tmp_path, parameters), pairs)


def test_files_of_older_torch(reference, pairs, tmp_path) -> None:
    settings = reference.save(tmp_path)
    torch.save(reference.tensors, settings.checkpoint, _use_new_zipfile_serialization=False)
    assert_same_codes(settings, pairs)


def test_all_that_does_not_fit_is_listed_at_once(reference, tmp_path) -> None:
    bad = {name: value.clone() for name, value in reference.tensors.items()}
    del bad["encoder.model.0.conv.conv.bias"]
    del bad["encoder.model.9.lstm.weight_hh_l1_reverse"]
    bad["encoder.model.1.block.1.conv.conv.weight_v"] = torch.zeros(4, 8, 9)
    bad["encoder.model.11.conv.conv.weight_g"] = torch.full((6, 1, 1), torch.inf)
    bad["quantizer.vq.layers.2._codebook.embed"][3, 1] = torch.nan
    bad["encoder.model.1.block.0.alpha"] = torch.zeros(1, 8, 1)
    bad["quantizer.vq.layers.3._codebook.embed"] = torch.zeros(16, 6)
    settings = reference.save(tmp_path, bad)
    with pytest.raises(InputError) as error:
        load(settings)
    headline, *problems, advice = str(error.value).splitlines()
    assert headline == f"tokenizer.checkpoint: {settings.checkpoint} does not fit its config.json:"
    assert sorted(problems) == [
        "  - encoder.model.0.conv.conv.bias: missing",
        "  - encoder.model.1.block.0.alpha: not expected",
        "  - encoder.model.1.block.1.conv.conv.weight_v: shape (4, 8, 9), expected (4, 8, 3)",
        "  - encoder.model.11.conv.conv.weight_g: holds values that are not finite numbers",
        "  - encoder.model.9.lstm.weight_hh_l1_reverse: missing",
        "  - quantizer.vq.layers.2._codebook.embed: holds values that are not finite numbers",
        "  - quantizer.vq.layers.3._codebook.embed: not expected",
    ]
    assert advice == "Take the checkpoint and the config.json that were published together."


@pytest.mark.parametrize("saved", [[torch.zeros(1)], {"generator": 1}, {"step": 3}, {0: [1]}])
def test_no_weights_by_name(saved, reference, tmp_path) -> None:
    with pytest.raises(InputError, match=r"tokenizer\.checkpoint: .* holds no weights by name"):
        load(reference.save(tmp_path, saved))


def test_code_in_a_checkpoint_is_not_run(reference, tmp_path) -> None:
    trapped = {**reference.tensors, "trap": Touch(tmp_path / "sprung")}
    settings = reference.save(tmp_path, trapped)
    with pytest.raises(InputError, match=r"checkpoint\.pt is damaged or comes with code, which is"):
        load(settings)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_an_incomplete_download(share, reference, tmp_path) -> None:
    settings = reference.save(tmp_path)
    checkpoint = Path(settings.checkpoint)
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match=r"^tokenizer\.checkpoint: .*Download it again"):
        load(settings)


@pytest.mark.parametrize(
    ("gone", "key"), [("checkpoint.pt", "checkpoint"), ("config.json", "config")]
)
def test_missing_files(gone, key, reference, tmp_path) -> None:
    settings = reference.save(tmp_path)
    (tmp_path / gone).unlink()
    with pytest.raises(InputError, match=rf"^tokenizer\.{key}: .*{gone} .*No such file"):
        load(settings)
    (tmp_path / gone).mkdir()
    with pytest.raises(InputError, match=rf"^tokenizer\.{key}: .*{gone} .*Is a directory"):
        load(settings)


def test_all_bad_values_of_the_configuration_are_listed_at_once(reference, tmp_path) -> None:
    settings = reference.save(
        tmp_path,
        n_filters=1,
        strides=[2, 0],
        dimension="6",
        bidirectional=False,
        dilation_base=1.5,
        activation="ReLU",
        codebook_size=2**15 + 1,
        n_q=None,
    )
    config = Path(settings.config)
    values = json.loads(config.read_text())
    del values["sample_rate"]
    config.write_text(json.dumps(values))
    with pytest.raises(InputError) as error:
        load(settings)
    headline, *problems, advice = str(error.value).splitlines()
    assert headline.startswith(f"tokenizer.config: {config} does not describe")
    assert [problem.removeprefix("  - ").split(": ")[0] for problem in problems] == [
        "sample_rate",
        "n_filters",
        "strides.1",
        "dimension",
        "dilation_base",
        "activation",
        "bidirectional",
        "n_q",
        "codebook_size",
    ]
    assert "  - activation: input should be 'ELU' or 'Snake', but got 'ReLU'" in problems
    assert advice == "Take the checkpoint and the config.json that were published together."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{half", "cannot be read as JSON"),
        ("\xff", "cannot be read as JSON"),
        ("[8, 5]", "the whole file: input should be a valid dictionary"),
    ],
)
def test_a_configuration_that_is_none(text, message, reference, tmp_path) -> None:
    settings = reference.save(tmp_path)
    Path(settings.config).write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=message):
        load(settings)


def test_more_layers_than_there_are(reference, tmp_path) -> None:
    settings = reference.save(tmp_path).model_copy(update={"n_layers": 4})
    with pytest.raises(InputError, match=r"tokenizer\.n_layers: 4 is more than the 3 layers"):
        load(settings)


@pytest.fixture(scope="module")
def full_size(golden: Path) -> dict:
    """The published configuration, and the shape of every tensor of the published checkpoint."""
    listed = json.loads((golden / "full_state_dict.json").read_text())
    shapes = {name: tuple(tensor["shape"]) for name, tensor in listed["state_dict"].items()}
    return {"config": listed["model_config_keys_used"], "shapes": shapes}


def save_full_size(
    full_size: dict, folder: Path, tensors: dict[str, Tensor]
) -> SpeechTokenizerMethod:
    torch.save(tensors, folder / "checkpoint.pt")
    (folder / "config.json").write_text(json.dumps(full_size["config"]))
    files = {name: str(folder / name) for name in ("checkpoint.pt", "config.json")}
    return SpeechTokenizerMethod(
        method="speechtokenizer", checkpoint=files["checkpoint.pt"], config=files["config.json"]
    )


@pytest.mark.shared
def test_the_published_checkpoint_is_taken(full_size, tmp_path) -> None:
    # A single number, seen through the shape of the whole tensor, is all that takes memory.
    tensors = {
        name: torch.full((1,), 0.01).expand(shape) for name, shape in full_size["shapes"].items()
    }
    tokenizer = load(save_full_size(full_size, tmp_path, tensors))
    assert (tokenizer.n_layers, tokenizer.codebook_size) == (8, 1024)
    assert (tokenizer.sample_rate, tokenizer.frame_rate) == (16_000, 50.0)
    (codes,) = tokenizer.encode([sound(7, 1_601)])
    assert codes.shape == (8, 6)


@pytest.mark.shared
def test_every_name_and_shape_that_encoding_needs_is_asked_for(full_size, tmp_path) -> None:
    needed = {
        name: shape
        for name, shape in full_size["shapes"].items()
        if name.startswith("encoder.") or name.endswith("._codebook.embed")
    }
    assert len(needed) == 78
    misshapen = {name: torch.zeros(0) for name in full_size["shapes"]}
    with pytest.raises(InputError) as error:
        load(save_full_size(full_size, tmp_path, misshapen))
    _, *problems, _ = str(error.value).splitlines()
    asked = {}
    for problem in problems:
        name, complaint = problem.removeprefix("  - ").split(": ")
        asked[name] = ast.literal_eval(complaint.removeprefix("shape (0,), expected "))
    assert asked == needed
