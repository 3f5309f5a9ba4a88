"""The two files that SpeechTokenizer's authors publish: config.json and the checkpoint.

The weights are checked name by name against the architecture that the configuration describes, and
every difference is reported in one error. Names and shapes as in the authors' repository, commit
30c96fb.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError
from torch import Tensor
from torch.nn import functional

from speechlasso.errors import InputError, is_out_of_memory

LARGEST_CODEBOOK = 2**15  # codes are int16

# The decoder, the projection towards HuBERT and statistics for training: encoding needs none.
_NOT_FOR_ENCODING = re.compile(
    r"decoder\.|transform\.|quantizer\.vq\.layers\.\d+\._codebook\.(inited|cluster_size|embed_avg)$"
)
_TAKE_BOTH = "Take the checkpoint and the config.json that were published together."


class Architecture(BaseModel):
    """The keys of config.json that shape encoder and quantiser; those of training are left out."""

    model_config = ConfigDict(strict=True, frozen=True)

    sample_rate: PositiveInt
    n_filters: Annotated[int, Field(ge=2)]
    strides: Annotated[list[PositiveInt], Field(min_length=1)]
    dimension: PositiveInt
    residual_kernel_size: PositiveInt
    n_residual_layers: PositiveInt
    dilation_base: PositiveInt
    activation: Literal["ELU", "Snake"]
    lstm_layers: PositiveInt
    bidirectional: Literal[True]
    n_q: PositiveInt
    codebook_size: Annotated[int, Field(ge=1, le=LARGEST_CODEBOOK)]


def read_architecture(path: str | Path) -> Architecture:
    """Read config.json.

    Raises
    ------
    InputError
        If it cannot be read; or listing every key that is missing or has a value that this encoder
        cannot honour.
    """
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"tokenizer.config: {path} cannot be read as JSON ({error}). Give the config.json that "
            "was published with the checkpoint."
        ) from error
    try:
        return Architecture.model_validate(values)
    except ValidationError as error:
        raise InputError.listing(
            f"tokenizer.config: {path} does not describe a SpeechTokenizer that can be used here:",
            _readable(error),
            _TAKE_BOTH,
        ) from error


def _readable(error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        key = ".".join(map(str, problem["loc"])) or "the whole file"
        message = problem["msg"][0].lower() + problem["msg"][1:]
        given = problem["input"]
        shown = "" if isinstance(given, dict | list) else f", but got {given!r}"
        yield f"{key}: {message}{shown}"


class Weights:
    """The tensors of a checkpoint, and what was found wrong with those that were asked for."""

    def __init__(self, tensors: Mapping[str, Tensor], path: str | Path):
        self._tensors = tensors
        self._path = path
        self._asked: set[str] = set()
        self._problems: list[str] = []

    @classmethod
    def read(cls, path: str | Path) -> Weights:
        """Open a published checkpoint, or one that the authors' trainer wrote to resume from.

        Raises
        ------
        InputError
            If the file is missing or is no checkpoint.
        """
        loaded = _load(path)
        # The trainer keeps the model beside its discriminators and optimisers.
        tensors = loaded.get("generator", loaded) if isinstance(loaded, dict) else loaded
        if not _are_weights_by_name(tensors):
            raise InputError(
                f"tokenizer.checkpoint: {path} holds no weights by name. Give the checkpoint of a "
                "SpeechTokenizer (usually SpeechTokenizer.pt)."
            )
        return cls(tensors, path)

    def tensor(self, name: str, *shape: int) -> Tensor:
        """The float32 tensor of that name; zeros, and a problem noted, if it is not as expected."""
        self._asked.add(name)
        found = self._tensors.get(name)
        if found is None:
            self._problems.append(f"{name}: missing")
        elif found.shape != shape:
            self._problems.append(f"{name}: shape {tuple(found.shape)}, expected {shape}")
        elif not found.isfinite().all():
            self._problems.append(f"{name}: holds values that are not finite numbers")
        else:
            return found.detach().float()
        return torch.zeros(shape)

    def convolution(self, place: str, n_in: int, n_out: int, kernel: int) -> tuple[Tensor, Tensor]:
        """Weight (n_out, n_in, kernel) and bias (n_out,), the weight normalisation multiplied out.

        Salimans and Kingma 2016: each output channel's weight is g * v / ||v||.
        """
        name = f"{place}.conv.conv"
        direction = self.tensor(f"{name}.weight_v", n_out, n_in, kernel)
        norm = self.tensor(f"{name}.weight_g", n_out, 1, 1)
        weight = norm * functional.normalize(direction, dim=(1, 2))
        return weight, self.tensor(f"{name}.bias", n_out)

    def check(self) -> None:
        """Compare what was asked for with what is there.

        Raises
        ------
        InputError
            Listing all tensors that are missing, of another shape, not finite or not expected.
        """
        unexpected = [
            f"{name}: not expected"
            for name in self._tensors
            if name not in self._asked and not _NOT_FOR_ENCODING.match(name)
        ]
        if self._problems or unexpected:
            raise InputError.listing(
                f"tokenizer.checkpoint: {self._path} does not fit its config.json:",
                [*self._problems, *unexpected],
                _TAKE_BOTH,
            )


def _are_weights_by_name(loaded: object) -> bool:
    return isinstance(loaded, dict) and all(
        isinstance(name, str) and torch.is_tensor(value) for name, value in loaded.items()
    )


def _load(path: str | Path) -> object:
    try:
        # Mapped into memory, the decoder is never read; files of torch < 1.6 cannot be mapped.
        mapped = zipfile.is_zipfile(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise InputError(
            f"tokenizer.checkpoint: {path} cannot be read ({error.strerror}). Give the checkpoint "
            "of a SpeechTokenizer (usually SpeechTokenizer.pt)."
        ) from error
    except UnpicklingError as error:
        raise InputError(
            f"tokenizer.checkpoint: {path} is damaged or comes with code, which is never run. "
            "Download it again, or save the model's state_dict() alone by torch.save."
        ) from error
    except Exception as error:  # torch raises whatever its parsers stumble over
        if is_out_of_memory(error):
            raise
        raise InputError(
            f"tokenizer.checkpoint: {path} cannot be read as a checkpoint of torch "
            f"({type(error).__name__}). Download it again."
        ) from error
