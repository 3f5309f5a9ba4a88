"""Whisper as CTranslate2 stores it: one binary file that becomes a model of transformers.

The format (little-endian): version; the model's class and its revision; the number of arrays, each
with its name, shape, type and bytes (OpenNMT/CTranslate2, `src/models/model.cc`). Queries, keys and
values of an attention layer are stacked into one matrix there.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import torch
from transformers import WhisperConfig, WhisperModel

from speechlasso.errors import InputError

VERSION = 6
TYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)
N_ENGLISH = 51_864  # tokens of the models for English alone; the others have one more
END_OF_TEXT = 50_256  # its id in these


def read_whisper(path: str | Path) -> WhisperModel:
    """The whole model, encoder and decoder, float32.

    Raises
    ------
    InputError
        If the file is no Whisper of CTranslate2 or is damaged.
    """
    arrays = read_arrays(path)
    try:
        state = _state(arrays)
        model = WhisperModel(_config(arrays))
        model.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    except (KeyError, ValueError, RuntimeError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"{path}: not a Whisper as CTranslate2 stores it ({reason})") from error
    return model.eval()


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """All arrays of a file of CTranslate2, floating-point ones as float32.

    Raises
    ------
    InputError
        If it is another file, of another version, or ends too early.
    """
    content, position = Path(path).read_bytes(), 0

    def take(layout: str) -> int:
        nonlocal position
        (value,) = struct.unpack_from(f"<{layout}", content, position)
        position += struct.calcsize(f"<{layout}")
        return value

    def text() -> str:
        nonlocal position
        length = take("H")
        position += length
        return content[position - length : position].rstrip(b"\0").decode()

    arrays = {}
    try:
        if (version := take("I")) != VERSION:
            raise ValueError(f"version {version}, expected {VERSION}")
        if (model := text()) != "WhisperSpec":
            raise ValueError(f"a {model}, expected a WhisperSpec")
        take("I")  # revision of the class
        for _ in range(take("I")):
            name = text()
            shape = [take("I") for _ in range(take("B"))]
            kind, n_bytes = np.dtype(TYPES[take("B")]), take("I")
            array = np.frombuffer(content, kind, n_bytes // kind.itemsize, position).reshape(shape)
            arrays[name] = array.astype(np.float32) if kind.kind == "f" else array
            position += n_bytes
    except (struct.error, ValueError, IndexError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a Whisper as CTranslate2 stores it ({error})") from error
    return arrays


def _state(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays by transformers' names."""
    state = {
        f"encoder.{layer}.{name}": arrays[f"encoder/{layer}/{name}"]
        for layer in ("conv1", "conv2")
        for name in ("weight", "bias")
    }
    state["decoder.embed_tokens.weight"] = arrays["decoder/embeddings/weight"]
    for half in ("encoder", "decoder"):
        positions = arrays[f"{half}/position_encodings/encodings"]
        state[f"{half}.embed_positions.weight"] = positions
        state |= _norm(arrays, f"{half}/layer_norm", f"{half}.layer_norm")
        for number in range(_n_layers(arrays, half)):
            state |= _layer(arrays, f"{half}/layer_{number}", f"{half}.layers.{number}")
    return state


def _layer(arrays: dict[str, np.ndarray], source: str, target: str) -> dict[str, np.ndarray]:
    queries, keys, values, output = (f"{name}_proj" for name in ("q", "k", "v", "out"))
    own, other = f"{source}/self_attention", f"{source}/attention"
    state = _linear(arrays, f"{own}/linear_0", f"{target}.self_attn", [queries, keys, values])
    state |= _linear(arrays, f"{own}/linear_1", f"{target}.self_attn", [output])
    state |= _norm(arrays, f"{own}/layer_norm", f"{target}.self_attn_layer_norm")
    if f"{other}/linear_0/weight" in arrays:
        state |= _linear(arrays, f"{other}/linear_0", f"{target}.encoder_attn", [queries])
        state |= _linear(arrays, f"{other}/linear_1", f"{target}.encoder_attn", [keys, values])
        state |= _linear(arrays, f"{other}/linear_2", f"{target}.encoder_attn", [output])
        state |= _norm(arrays, f"{other}/layer_norm", f"{target}.encoder_attn_layer_norm")
    for number, name in enumerate(("fc1", "fc2")):
        state |= _linear(arrays, f"{source}/ffn/linear_{number}", target, [name])
    return state | _norm(arrays, f"{source}/ffn/layer_norm", f"{target}.final_layer_norm")


def _linear(
    arrays: dict[str, np.ndarray], source: str, target: str, names: list[str]
) -> dict[str, np.ndarray]:
    """The matrices that are stacked in one; keys have no bias in Whisper, a zero one here."""
    state = {}
    weights = np.split(arrays[f"{source}/weight"], len(names))
    biases = np.split(arrays[f"{source}/bias"], len(names))
    for name, weight, bias in zip(names, weights, biases, strict=True):
        state[f"{target}.{name}.weight"] = weight
        if name != "k_proj":
            state[f"{target}.{name}.bias"] = bias
        elif bias.any():
            raise ValueError("keys with a bias")
    return state


def _norm(arrays: dict[str, np.ndarray], source: str, target: str) -> dict[str, np.ndarray]:
    return {
        f"{target}.weight": arrays[f"{source}/gamma"],
        f"{target}.bias": arrays[f"{source}/beta"],
    }


def _n_layers(arrays: dict[str, np.ndarray], half: str) -> int:
    return sum(name.startswith(half) and name.endswith("/ffn/linear_0/bias") for name in arrays)


def _config(arrays: dict[str, np.ndarray]) -> WhisperConfig:
    """What the arrays and their shapes say of the model."""
    width, n_mel = arrays["encoder/conv1/weight"].shape[:2]
    n_tokens = len(arrays["decoder/embeddings/weight"])
    end = END_OF_TEXT if n_tokens == N_ENGLISH else END_OF_TEXT + 1
    return WhisperConfig(
        vocab_size=n_tokens,
        num_mel_bins=n_mel,
        d_model=width,
        encoder_layers=_n_layers(arrays, "encoder"),
        decoder_layers=_n_layers(arrays, "decoder"),
        encoder_attention_heads=int(arrays["encoder/num_heads"]),
        decoder_attention_heads=int(arrays["decoder/num_heads"]),
        encoder_ffn_dim=len(arrays["encoder/layer_0/ffn/linear_0/bias"]),
        decoder_ffn_dim=len(arrays["decoder/layer_0/ffn/linear_0/bias"]),
        max_source_positions=len(arrays["encoder/position_encodings/encodings"]),
        max_target_positions=len(arrays["decoder/position_encodings/encodings"]),
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=end + 1,
    )
