"""Tiny language models, fine-tuned."""

from tiny_models import CAUSAL, MASKED
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from speechlasso.evaluation.settings import Criterion
from speechlasso.language_model.finetuning import finetune
from speechlasso.language_model.pretrained import load_model
from speechlasso.language_model.settings import Finetune
from speechlasso.language_model.token_rows import NewTokens

N_AUDIO = 10
MODELS = [*CAUSAL, *MASKED]


def without_dropout(lm, folder):
    folder = folder / "without dropout"
    loaded = load_model(lm, AutoModelForSequenceClassification, seed=1, dropout=False)
    loaded.model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(lm.name).save_pretrained(folder)
    return lm.model_copy(update={"name": str(folder)})


def tuned(
    examples,
    folder,
    lm,
    *,
    n_audio_tokens=N_AUDIO,
    token_rows=None,
    seed=1,
    metric="macro_f1",
    settled=None,
    **settings,
):
    settings = {"epochs": 2, "batch_size": 16, "learning_rate": 3e-3} | settings
    return finetune(
        examples,
        folder,
        lm=lm,
        settings=Finetune(**settings),
        criterion=Criterion(metric=metric, positive_label="loud"),
        new_tokens=NewTokens(n_audio_tokens, token_rows) if n_audio_tokens is not None else None,
        seed=seed,
        settled=settled,
    )
