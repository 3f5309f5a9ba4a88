"""SpeechTokenizer by torch's own convolutions and LSTM, and tiny checkpoints of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from speechlasso.tokenizers.settings import SpeechTokenizerMethod
from speechlasso.tokenizers.speechtokenizer import SpeechTokenizer


def embedded(tokenizer: SpeechTokenizer, waveform: np.ndarray) -> np.ndarray:
    """float32 (n_frames, dimension)"""
    (embeddings,) = tokenizer.encoder([torch.tensor(waveform)])
    return embeddings.numpy()


def assert_close(found: np.ndarray, wanted: np.ndarray) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5 * max(1, np.abs(wanted).max()))


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


def sound(seed: int, n_samples: int) -> np.ndarray:
    """Noise that swells and fades."""
    rng = np.random.default_rng([seed, n_samples])
    loudness = np.sin(np.arange(n_samples) / rng.uniform(5, 200)) ** 2
    return (loudness * rng.normal(0, 1, n_samples)).astype(np.float32)
