"""SpeechTokenizer: golden codes of its authors' code, and a plain reference on random weights."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from speechlasso.errors import InputError
from speechlasso.pipeline.shards import shard_rows
from speechlasso.tokenizers import speechtokenizer, speechtokenizer_encoder, speechtokenizer_lstm
from speechlasso.tokenizers.codes import Codebooks, CodeTable
from speechlasso.tokenizers.settings import SpeechTokenizerMethod
from speechlasso.tokenizers.speechtokenizer import SpeechTokenizer, load
from speechlasso.tokenizers.tokenization import encode_utterances, load_tokenizer

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


def embedded(tokenizer: SpeechTokenizer, waveform: np.ndarray) -> np.ndarray:
    """float32 (n_frames, dimension)"""
    (embeddings,) = tokenizer.encoder([torch.tensor(waveform)])
    return embeddings.numpy()


def assert_close(found: np.ndarray, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * max(1, np.abs(wanted).max()))


# --- golden codes -----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def golden(shared_data: Path) -> Path:
    """What the authors' own code made of a tiny model with random weights."""
    return shared_data.parent / "golden" / "speechtokenizer"


@pytest.fixture(scope="session")
def golden_files(golden: Path) -> dict[str, str]:
    folder = golden / "tiny"
    return {"checkpoint": str(folder / "checkpoint.pt"), "config": str(folder / "config.json")}


@pytest.fixture(scope="session")
def golden_tokenizer(golden_files: dict[str, str]) -> SpeechTokenizer:
    return load(SpeechTokenizerMethod(method="speechtokenizer", **golden_files))


@pytest.fixture(scope="session")
def clips(golden: Path) -> dict[str, np.ndarray]:
    return dict(np.load(golden / "tiny" / "inputs.npz"))


@pytest.fixture(scope="session")
def expected(golden: Path) -> dict[str, np.ndarray]:
    return dict(np.load(golden / "tiny" / "expected.npz"))


def assert_threads(n_threads: int) -> None:
    """What torch may use, here and in threads that are yet to start."""
    assert torch.get_num_threads() == n_threads
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == n_threads


def assert_golden(
    names: list[str], codes: list[np.ndarray], expected: dict[str, np.ndarray]
) -> None:
    assert len(codes) == len(names)
    for name, clip_codes in zip(names, codes, strict=True):
        np.testing.assert_array_equal(clip_codes, expected[f"{name}_codes"], err_msg=name)


@pytest.mark.shared
def test_shape_is_that_of_the_golden_model(golden_tokenizer: SpeechTokenizer) -> None:
    shape = golden_tokenizer.n_layers, golden_tokenizer.codebook_size
    assert shape == (8, 64)
    assert (golden_tokenizer.sample_rate, golden_tokenizer.frame_rate) == (16_000, 50.0)


@pytest.mark.shared
def test_every_golden_clip_alone(golden_tokenizer, clips, expected) -> None:
    for name, waveform in clips.items():
        (codes,) = golden_tokenizer.encode([waveform])
        assert codes.dtype == np.int16
        assert_golden([name], [codes], expected)
        # The shortest clips' codes are right by many a wrong way; their embeddings are not.
        np.testing.assert_allclose(
            embedded(golden_tokenizer, waveform).T, expected[f"{name}_emb"], rtol=0, atol=1e-4
        )


@pytest.mark.shared
@settings(max_examples=10)
@given(data=st.data())
def test_golden_clips_in_any_order_and_company(golden_tokenizer, clips, expected, data) -> None:
    names = data.draw(st.permutations(sorted(clips)))
    names = names[: data.draw(st.integers(2, len(names)))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speechtokenizer, "BATCH_CLIPS", data.draw(st.integers(1, 8)))
        codes = golden_tokenizer.encode([clips[name] for name in names])
    assert_golden(names, codes, expected)


@pytest.mark.shared
@pytest.mark.parametrize("n_layers", [1, 3])
def test_first_layers(n_layers, golden, golden_files, clips, expected) -> None:
    extra = np.load(golden / "tiny" / "expected_extra.npz")
    fewer = load(SpeechTokenizerMethod(method="speechtokenizer", n_layers=n_layers, **golden_files))
    assert fewer.n_layers == n_layers
    for name, waveform in clips.items():
        (codes,) = fewer.encode([waveform])
        np.testing.assert_array_equal(codes, extra[f"{name}_codes_nq{n_layers}"])
        np.testing.assert_array_equal(codes, expected[f"{name}_codes"][:n_layers])


@pytest.mark.shared
@pytest.mark.parametrize("n_threads", [2, 3])
def test_threads_change_nothing(n_threads, golden_tokenizer, clips, expected) -> None:
    torch.set_num_threads(n_threads)
    codes = golden_tokenizer.encode(list(clips.values()))
    assert_threads(n_threads)
    assert_golden(list(clips), codes, expected)


@pytest.mark.shared
def test_an_error_leaves_the_number_of_threads(golden_tokenizer, clips, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no more")

    torch.set_num_threads(2)
    monkeypatch.setattr(speechtokenizer, "residual_codes", fail)
    with pytest.raises(RuntimeError, match="no more"):
        golden_tokenizer.encode(list(clips.values()))
    assert_threads(2)


def test_workers_do_not_share_operations() -> None:
    torch.set_num_threads(2)
    with speechtokenizer.workers(torch.device("cpu")) as each:
        assert set(each(lambda _: torch.get_num_threads(), range(20))) == {1}


@pytest.mark.shared
def test_bf16_changes_few_codes(golden_files, golden_tokenizer, clips, expected) -> None:
    rounded = load(
        SpeechTokenizerMethod(method="speechtokenizer", precision="bf16", **golden_files)
    )
    found = np.concatenate(rounded.encode(list(clips.values())), axis=1)
    wanted = np.concatenate([expected[f"{name}_codes"] for name in clips], axis=1)
    equal = (found == wanted).mean(axis=1)
    assert equal[0] > 0.95 and equal.min() > 0.9
    # Weights and activations really are rounded.
    name = "a_speech_1s"
    error = np.abs(embedded(rounded, clips[name]) - embedded(golden_tokenizer, clips[name])).max()
    assert 1e-3 < error < 1


@pytest.mark.shared
def test_golden_codes_from_files_to_shards(
    golden_files, clips, expected, tmp_path, monkeypatch
) -> None:
    """As the workflow runs it: two clips joined for the last utterance, in two shards."""
    paths = {}
    for name, waveform in clips.items():
        paths[name] = str(tmp_path / f"{name}.wav")
        soundfile.write(paths[name], waveform, 16_000, subtype="FLOAT")
    joined = "c_speech_2345ms"
    halves = [str(tmp_path / f"half_{number}.wav") for number in range(2)]
    for path, half in zip(halves, np.split(clips[joined], [12_345]), strict=True):
        soundfile.write(path, half, 16_000, subtype="FLOAT")
    audio = [halves if name == joined else [paths[name]] for name in clips]
    manifest = pd.DataFrame({"id": list(clips), "audio": audio})

    shards = []
    for shard in range(2):
        rows = manifest.iloc[shard_rows(len(manifest), shard, 2)]
        tokenizer = load_tokenizer(
            SpeechTokenizerMethod(method="speechtokenizer", **golden_files), None
        )
        shards.append(tmp_path / f"{shard}.parquet")
        encode_utterances(tokenizer, rows).write(shards[-1])
    table = CodeTable.read(shards)
    assert table.codebooks == Codebooks(8, 64, 50.0)
    assert set(table.codes) == set(clips)
    assert_golden(list(clips), [table.codes[name] for name in clips], expected)


# --- a plain reference ------------------------------------------------------------------------

CONFIG = {
    "sample_rate": 8_000,
    "n_filters": 8,
    "strides": [3, 2],  # the encoder takes them in reverse
    "dimension": 6,
    "semantic_dimension": 5,
    "bidirectional": True,
    "dilation_base": 3,
    "residual_kernel_size": 3,
    "n_residual_layers": 2,
    "lstm_layers": 2,
    "activation": "ELU",
    "codebook_size": 16,
    "n_q": 3,
    "batch_size": 6,  # of training, not to be read
}
HOP = 6


class Layer(NamedTuple):
    kind: str
    place: str
    n_in: int
    n_out: int
    kernel: int = 1
    stride: int = 1
    dilation: int = 1


def layers(config: dict) -> Iterator[Layer]:
    """The encoder from front to end; a layer's number is its position in `encoder.model`."""
    channels, number = config["n_filters"], 0

    def place() -> str:
        nonlocal number
        number += 1
        return f"encoder.model.{number}"

    yield Layer("convolution", "encoder.model.0", 1, channels, 7)
    for stride in config["strides"][::-1]:
        for repeat in range(config["n_residual_layers"]):
            dilation = config["dilation_base"] ** repeat
            kernel = config["residual_kernel_size"]
            yield Layer("residual", place(), channels, channels, kernel, dilation=dilation)
        yield Layer("activation", place(), channels, channels)
        yield Layer("convolution", place(), channels, 2 * channels, 2 * stride, stride)
        channels *= 2
    yield Layer("lstm", place(), channels, 2 * channels)
    yield Layer("activation", place(), 2 * channels, 2 * channels)
    yield Layer("convolution", place(), 2 * channels, config["dimension"], 7)


class Reference:
    """The published encoder by torch's own convolutions and LSTM, for one clip at a time."""

    def __init__(self, config: dict, seed: int = 0) -> None:
        self.config = config
        self.random = torch.Generator().manual_seed(seed)
        self.tensors: dict[str, Tensor] = {}
        for layer in layers(config):
            getattr(self, f"_draw_{layer.kind}")(layer)
        for number in range(config["n_q"]):
            place = f"quantizer.vq.layers.{number}._codebook"
            self._draw(f"{place}.embed_avg", config["codebook_size"], config["dimension"])
            self._draw(f"{place}.cluster_size", config["codebook_size"])
            self.tensors[f"{place}.inited"] = torch.ones(1)
        self._choose_codebooks()
        self._draw("decoder.model.0.conv.conv.weight_v", 3, 2, 7)
        self._draw("transform.weight", config["semantic_dimension"], config["dimension"])

    def _draw(self, name: str, *shape: int, scale: float = 1.0) -> None:
        self.tensors[name] = scale * torch.randn(*shape, generator=self.random)

    def _draw_convolution(self, layer: Layer) -> None:
        name = f"{layer.place}.conv.conv"
        self._draw(f"{name}.weight_v", layer.n_out, layer.n_in, layer.kernel)
        # Not the norm of weight_v, and of changing sign.
        self._draw(f"{name}.weight_g", layer.n_out, 1, 1)
        self._draw(f"{name}.bias", layer.n_out, scale=0.3)

    def _draw_residual(self, layer: Layer) -> None:
        half = layer.n_in // 2
        for part, n_in, n_out, kernel in (
            ("block.1", layer.n_in, half, layer.kernel),
            ("block.3", half, layer.n_out, 1),
            ("shortcut", layer.n_in, layer.n_out, 1),
        ):
            self._draw_convolution(
                Layer("convolution", f"{layer.place}.{part}", n_in, n_out, kernel)
            )
        self._draw_activation(Layer("activation", f"{layer.place}.block.0", layer.n_in, 0))
        self._draw_activation(Layer("activation", f"{layer.place}.block.2", half, 0))

    def _draw_activation(self, layer: Layer) -> None:
        if self.config["activation"] == "Snake":
            # Far enough from 0, which it divides by.
            alpha = 0.5 + torch.rand(1, layer.n_in, 1, generator=self.random)
            self.tensors[f"{layer.place}.alpha"] = alpha

    def _draw_lstm(self, layer: Layer) -> None:
        lstm = nn.LSTM(layer.n_in, layer.n_in, self.config["lstm_layers"], bidirectional=True)
        for name, weight in lstm.named_parameters():
            self._draw(f"{layer.place}.lstm.{name}", *weight.shape, scale=0.5)

    def _choose_codebooks(self) -> None:
        """From what is left to be coded of some noise, so that all entries are near something."""
        residual = torch.tensor(self.embed(sound(0, 100 * HOP)))
        for number in range(self.config["n_q"]):
            order = torch.randperm(len(residual), generator=self.random)
            entries = residual[order[: self.config["codebook_size"]]]
            self.tensors[f"quantizer.vq.layers.{number}._codebook.embed"] = entries
            residual = residual - entries[torch.cdist(residual, entries).argmin(dim=1)]

    def embed(self, waveform: np.ndarray) -> np.ndarray:
        """float32 (n_frames, dimension)"""
        sound = torch.tensor(waveform)[None, None]
        for layer in layers(self.config):
            sound = getattr(self, f"_{layer.kind}")(sound, layer)
        return sound[0].T.numpy()

    def _convolution(self, sound: Tensor, layer: Layer) -> Tensor:
        name = f"{layer.place}.conv.conv"
        direction, norm, bias = (
            self.tensors[f"{name}.{kind}"] for kind in ("weight_v", "weight_g", "bias")
        )
        weight = norm * direction / direction.square().sum((1, 2), keepdim=True).sqrt()
        length = sound.shape[-1]
        total = (layer.kernel - 1) * layer.dilation - (layer.stride - 1)
        right = total // 2
        left = total - right
        right += -length % layer.stride
        missing = max(0, max(left, right) - length + 1)
        sound = functional.pad(sound, (0, missing))
        sound = functional.pad(sound, (left, right), mode="reflect")
        sound = sound[..., : sound.shape[-1] - missing]
        return functional.conv1d(sound, weight, bias, layer.stride, dilation=layer.dilation)

    def _residual(self, sound: Tensor, layer: Layer) -> Tensor:
        def activated(inner: Tensor, part: str) -> Tensor:
            return self._activation(inner, layer._replace(place=f"{layer.place}.{part}"))

        def convolved(inner: Tensor, part: str, kernel: int, dilation: int) -> Tensor:
            place = f"{layer.place}.{part}"
            return self._convolution(
                inner, layer._replace(place=place, kernel=kernel, dilation=dilation)
            )

        inner = convolved(activated(sound, "block.0"), "block.1", layer.kernel, layer.dilation)
        inner = convolved(activated(inner, "block.2"), "block.3", 1, 1)
        return convolved(sound, "shortcut", 1, 1) + inner

    def _activation(self, sound: Tensor, layer: Layer) -> Tensor:
        if self.config["activation"] == "ELU":
            return functional.elu(sound)
        alpha = self.tensors[f"{layer.place}.alpha"]
        return sound + torch.sin(alpha * sound) ** 2 / (alpha + 1e-9)

    @torch.no_grad()
    def _lstm(self, sound: Tensor, layer: Layer) -> Tensor:
        lstm = nn.LSTM(layer.n_in, layer.n_in, self.config["lstm_layers"], bidirectional=True)
        prefix = f"{layer.place}.lstm."
        lstm.load_state_dict(
            {
                name.removeprefix(prefix): value
                for name, value in self.tensors.items()
                if name.startswith(prefix)
            }
        )
        frames = sound.permute(2, 0, 1)
        frames = lstm(frames)[0] + torch.cat([frames, frames], dim=2)
        return frames.permute(1, 2, 0)

    def assert_nearest(self, codes: np.ndarray, embeddings: np.ndarray) -> None:
        """Every code is that of the nearest entry, whichever of two that are equally near."""
        residual = embeddings.astype(np.float64)
        for number, layer_codes in enumerate(codes):
            entries = self.tensors[f"quantizer.vq.layers.{number}._codebook.embed"].double().numpy()
            distances = np.square(residual[:, None] - entries[None]).sum(axis=2)
            found = np.take_along_axis(distances, layer_codes[:, None].astype(int), axis=1)[:, 0]
            assert_close(found, distances.min(axis=1))
            residual -= entries[layer_codes]

    def save(
        self, folder: Path, tensors: dict | None = None, **changes: object
    ) -> SpeechTokenizerMethod:
        folder.mkdir(exist_ok=True)
        torch.save(self.tensors if tensors is None else tensors, folder / "checkpoint.pt")
        (folder / "config.json").write_text(json.dumps({**self.config, **changes}))
        return SpeechTokenizerMethod(
            method="speechtokenizer",
            checkpoint=str(folder / "checkpoint.pt"),
            config=str(folder / "config.json"),
        )


class Pair(NamedTuple):
    reference: Reference
    tokenizer: SpeechTokenizer


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pair]:
    folder = tmp_path_factory.mktemp("speechtokenizer")
    found = {}
    for activation in ("ELU", "Snake"):
        reference = Reference({**CONFIG, "activation": activation})
        found[activation] = Pair(reference, load(reference.save(folder / activation)))
    return found


def sound(seed: int, n_samples: int) -> np.ndarray:
    """Noise that swells and fades."""
    rng = np.random.default_rng([seed, n_samples])
    loudness = np.sin(np.arange(n_samples) / rng.uniform(5, 200)) ** 2
    return (loudness * rng.normal(0, 1, n_samples)).astype(np.float32)


@pytest.mark.parametrize("activation", ["ELU", "Snake"])
@settings(max_examples=30)
@given(n_samples=st.integers(1, 40) | st.integers(41, 800), seed=st.integers(0, 99))
def test_against_the_reference(activation, pairs, n_samples, seed) -> None:
    reference, tokenizer = pairs[activation]
    waveform = sound(seed, n_samples)
    embeddings = embedded(tokenizer, waveform)
    assert_close(embeddings, reference.embed(waveform))
    (codes,) = tokenizer.encode([waveform])
    assert codes.shape == (3, -(-n_samples // HOP))
    reference.assert_nearest(codes, embeddings)


@pytest.mark.parametrize("activation", ["ELU", "Snake"])
def test_every_short_length_against_the_reference(activation, pairs) -> None:
    """Where all convolutions meet their own reflections."""
    reference, tokenizer = pairs[activation]
    for n_samples in range(1, 41):
        waveform = sound(1, n_samples)
        assert_close(embedded(tokenizer, waveform), reference.embed(waveform))


@pytest.mark.parametrize(
    "changes",
    [
        {"n_residual_layers": 1, "lstm_layers": 1},
        {"lstm_layers": 3, "residual_kernel_size": 5, "dilation_base": 2},
        {"strides": [5], "n_filters": 3, "n_residual_layers": 3},
        {"strides": [2, 1, 3], "residual_kernel_size": 1},
    ],
    ids=str,
)
def test_other_architectures(changes, tmp_path) -> None:
    reference = Reference({**CONFIG, **changes}, seed=1)
    tokenizer = load(reference.save(tmp_path))
    for n_samples in (1, 7, 100, 1_234):
        waveform = sound(2, n_samples)
        assert_close(embedded(tokenizer, waveform), reference.embed(waveform))


@pytest.mark.parametrize("activation", ["ELU", "Snake"])
def test_codes_differ_from_frame_to_frame(activation, pairs) -> None:
    """Otherwise the tests of equal codes would pass whatever happens."""
    (codes,) = pairs[activation].tokenizer.encode([sound(3, 2_000)])
    assert all(len(np.unique(layer)) > 8 for layer in codes)


@settings(max_examples=15)
@given(
    lengths=st.lists(st.integers(1, 40) | st.integers(1, 500), min_size=2, max_size=8),
    batch_clips=st.integers(1, 12),
    batch_frames=st.integers(1, 300),
    n_threads=st.integers(1, 3),
)
def test_codes_do_not_depend_on_the_other_clips(
    pairs, lengths, batch_clips, batch_frames, n_threads
) -> None:
    tokenizer = pairs["ELU"].tokenizer
    clips = [sound(seed, length) for seed, length in enumerate(lengths)]
    torch.set_num_threads(1)
    alone = [tokenizer.encode([clip])[0] for clip in clips]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speechtokenizer, "BATCH_CLIPS", batch_clips)
        patch.setattr(speechtokenizer, "BATCH_FRAMES", batch_frames)
        torch.set_num_threads(n_threads)
        together = tokenizer.encode(clips)
    for codes, own in zip(together, alone, strict=True):
        np.testing.assert_array_equal(codes, own)


@settings(max_examples=15)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=2, max_size=10).map(
        lambda lengths: sorted(lengths, reverse=True)
    )
)
def test_embeddings_do_not_depend_on_the_other_clips_in_the_last_bit(pairs, lengths) -> None:
    """Near ties would otherwise fall one way or the other."""
    tokenizer = pairs["ELU"].tokenizer
    clips = [sound(seed, HOP * length) for seed, length in enumerate(lengths)]
    together = tokenizer.encoder([torch.tensor(clip) for clip in clips])
    for clip, embeddings in zip(clips, together, strict=True):
        np.testing.assert_array_equal(embeddings.numpy(), embedded(tokenizer, clip))


@settings(max_examples=20)
@given(
    n_samples=st.integers(1, 600),
    convolution_frames=st.integers(1, 60),
    lstm_rows=st.integers(1, 120),
    quantised_frames=st.integers(1, 100),
)
@pytest.mark.parametrize("activation", ["ELU", "Snake"])
def test_pieces_do_not_show(
    activation, pairs, n_samples, convolution_frames, lstm_rows, quantised_frames
) -> None:
    tokenizer = pairs[activation].tokenizer
    waveform = sound(4, n_samples)
    whole = embedded(tokenizer, waveform)
    (whole_codes,) = tokenizer.encode([waveform])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speechtokenizer_encoder, "CONVOLUTION_FRAMES", convolution_frames)
        patch.setattr(speechtokenizer_lstm, "LSTM_ROWS", lstm_rows)
        patch.setattr(speechtokenizer, "QUANTISED_FRAMES", quantised_frames)
        assert_close(embedded(tokenizer, waveform), whole)
        (codes,) = tokenizer.encode([waveform])
    assert codes.shape == whole_codes.shape
    assert (codes == whole_codes).mean() > 0.99  # but for near ties


def test_pieces_that_see_too_little_show(pairs, monkeypatch) -> None:
    tokenizer = pairs["ELU"].tokenizer
    waveform = sound(5, 3_000)
    whole = embedded(tokenizer, waveform)
    monkeypatch.setattr(speechtokenizer_encoder, "CONVOLUTION_FRAMES", 50)
    monkeypatch.setattr(tokenizer.encoder, "context", 0)
    assert np.abs(embedded(tokenizer, waveform) - whole).max() > 1e-2


def test_batches_hold_clips_of_similar_length_and_no_more_than_they_may(monkeypatch) -> None:
    monkeypatch.setattr(speechtokenizer, "BATCH_CLIPS", 3)
    monkeypatch.setattr(speechtokenizer, "BATCH_FRAMES", 10)
    frames = [4, 1, 20, 1, 2, 3, 1, 1, 3]
    batches = list(speechtokenizer.batches_of_like_length(frames))
    assert [[frames[clip] for clip in batch] for batch in batches] == [
        [20],
        [4, 3, 3],
        [2, 1, 1],
        [1, 1],
    ]
    assert sorted(clip for batch in batches for clip in batch) == list(range(9))


def test_first_of_equally_near_entries() -> None:
    codebook = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    doubled = torch.cat([codebook, codebook])[None]
    codes = speechtokenizer.residual_codes(codebook, doubled)
    assert codes.tolist() == [list(range(8))]


def test_no_clips(pairs) -> None:
    assert pairs["ELU"].tokenizer.encode([]) == []


@pytest.mark.parametrize(
    "waveform", [np.zeros(0), np.zeros((2, 100)), np.array([0.0, np.nan]), np.array([np.inf])]
)
def test_unusable_waveforms(pairs, waveform) -> None:
    with pytest.raises(InputError, match=r"^A waveform "):
        pairs["ELU"].tokenizer.encode([sound(0, 10), waveform])


# --- checkpoints ------------------------------------------------------------------------------


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


class Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


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


# --- full size --------------------------------------------------------------------------------


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
