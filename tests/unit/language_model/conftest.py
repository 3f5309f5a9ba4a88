"""What tests of fine-tuning share; imported late, since tests without torch pass here, too."""

import pytest


@pytest.fixture(scope="module")
def examples():
    from tiny_models import made_examples
    from tuned_models import N_AUDIO

    return made_examples(96, 24, n_audio_tokens=N_AUDIO, seed=0)


@pytest.fixture(scope="module")
def few():
    """Enough where nothing need be learned: three batches an epoch."""
    from tiny_models import made_examples
    from tuned_models import N_AUDIO

    return made_examples(48, 12, n_audio_tokens=N_AUDIO, seed=0)


@pytest.fixture(scope="module")
def language_models(tmp_path_factory):
    from tiny_models import save_any
    from tuned_models import MODELS

    from speechlasso.language_model.settings import LanguageModel

    folder = tmp_path_factory.mktemp("models")
    return {
        name: LanguageModel(name=save_any(folder / name, name), max_length=120, precision="fp32")
        for name in MODELS
    }
