"""What tests of fine-tuning share."""

import pytest
from tiny_models import made_examples, save_any
from tuned_models import MODELS, N_AUDIO

from speechlasso.language_model.settings import LanguageModel


@pytest.fixture(scope="module")
def examples():
    return made_examples(96, 24, n_audio_tokens=N_AUDIO, seed=0)


@pytest.fixture(scope="module")
def few():
    """Enough where nothing need be learned: three batches an epoch."""
    return made_examples(48, 12, n_audio_tokens=N_AUDIO, seed=0)


@pytest.fixture(scope="module")
def language_models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {
        name: LanguageModel(name=save_any(folder / name, name), max_length=120, precision="fp32")
        for name in MODELS
    }
