"""The cards of the systems that `arms.<name>.system` can name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from speechlasso.registry import Card, OneOf, Registry
from speechlasso.systems.bow_linear import BowLinear
from speechlasso.systems.late_fusion import LateFusion
from speechlasso.systems.learned import Learned
from speechlasso.systems.mfcc_linear import MFCCLinear
from speechlasso.systems.mfcc_lstm import MFCCLSTM
from speechlasso.systems.pooled_linear import PooledLinear
from speechlasso.systems.settings import CLIPS_ROLE, System
from speechlasso.systems.small_speech_lm import SmallSpeechLM
from speechlasso.systems.speech_lm import SpeechLM
from speechlasso.systems.text_ssl import TextSSL
from speechlasso.systems.token_lm import TokenLM


@dataclass(frozen=True, kw_only=True)
class SystemCard(Card):
    """A kind of classifier.

    Its settings are a `System`, which says what it reads. Its module has

        fit(inputs, settings, folder, threads) -> dict    what training.json says
        open(folder)                                      has predict(inputs, threads)

    where `inputs` are the files of what it reads, a list for each role of `Reads.upstream`;
    `settings` is a `pipeline.stages.Training`, with the arm as `settings.arm`; and `predict`
    returns what `evaluation.scores.predictions_frame` makes.

    Attributes
    ----------
    rule
        finetune for those that need torch, fit_linear for light ones.
    files
        What `fit` leaves in the folder for `open`.
    records
        What it leaves for people besides.
    version
        To be raised when it computes something else from the same settings.
    predicts_from
        The roles that `predict` reads in a job of its own (`finetune`).
    has_model_card
        Whether it leaves a language model of transformers, fine-tuned on token texts, whose card
        (README.md) the workflow writes.
    mem_mb, runtime
        Memory in megabytes and minutes that its training may take.
    """

    rule: Literal["finetune", "fit_linear"]
    files: tuple[str, ...]
    records: tuple[str, ...] = ()
    predicts_from: tuple[str, ...] = ()
    version: int = 1
    has_model_card: bool = False
    mem_mb: int = 4000
    runtime: int = 60


MODEL_FILES = ("model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json")
"""Of a language model that transformers loads."""
FINETUNES = {
    "rule": "finetune",
    "records": ("training_log.csv",),
    "mem_mb": 6000,
    "runtime": 480,
}
"""What the cards of fine-tuned language models share."""

SYSTEMS = Registry(
    SystemCard,
    "speechlasso.systems",
    [
        SystemCard(
            name="token_lm",
            settings=TokenLM,
            implementation="speechlasso.systems.token_lm_model",
            description="A language model reads words, the few audio tokens that were selected, or "
            "both.",
            files=MODEL_FILES,
            predicts_from=("token_texts",),
            version=3,
            has_model_card=True,
            **FINETUNES,
        ),
        SystemCard(
            name="bow_linear",
            settings=BowLinear,
            implementation="speechlasso.systems.bow_linear_model",
            description="Logistic regression on counts of words, selected audio tokens, or both.",
            rule="fit_linear",
            files=("model.npz",),
            version=3,
        ),
        SystemCard(
            name="pooled_linear",
            settings=PooledLinear,
            implementation="speechlasso.systems.pooled_linear_model",
            description="Linear classifier of a speech encoder's frames, pooled over the clip, and "
            "of words, without any tokens.",
            rule="fit_linear",
            files=("model.npz",),
        ),
        SystemCard(
            name="learned",
            settings=Learned,
            implementation="speechlasso.systems.learned_model",
            description="A language model reads words and vectors that it learned to make of a "
            "speech encoder's frames.",
            files=(*MODEL_FILES, "adapter.safetensors", "learned.json"),
            predicts_from=("token_texts", "frames"),
            version=2,
            **FINETUNES,
        ),
        SystemCard(
            name="small_speech_lm",
            settings=SmallSpeechLM,
            implementation="speechlasso.systems.small_speech_lm_model",
            description="A language model that learned to transcribe vectors of a speech encoder's "
            "frames is asked which label fits.",
            files=(
                *MODEL_FILES,
                "chat_template.jinja",
                "adapter.safetensors",
                "small_speech_lm.json",
            ),
            predicts_from=("token_texts", "frames"),
            version=2,
            **FINETUNES,
        ),
        SystemCard(
            name="speech_lm",
            settings=SpeechLM,
            implementation="speechlasso.systems.speech_lm_model",
            description="A whole audio language model, such as Qwen2-Audio, hears the clips and is "
            "asked which label fits.",
            files=("speech_lm.json", "updates.safetensors"),
            predicts_from=("token_texts", "manifest", CLIPS_ROLE),
            version=2,
            **FINETUNES | {"mem_mb": 40_000},
        ),
        SystemCard(
            name="mfcc_linear",
            settings=MFCCLinear,
            implementation="speechlasso.systems.mfcc_linear_model",
            description="Linear classifier of functionals (statistics over time of cepstra, pitch "
            "and energy) and of words, without any pretrained model.",
            rule="fit_linear",
            files=("model.npz",),
        ),
        SystemCard(
            name="mfcc_lstm",
            settings=MFCCLSTM,
            implementation="speechlasso.systems.mfcc_lstm_model",
            description="A small bidirectional LSTM on cepstra, pitch and energy in time, without "
            "any pretrained model.",
            rule="finetune",
            files=("model.safetensors", "mfcc_lstm.json"),
            records=("training_log.csv",),
            predicts_from=("token_texts", "frames"),
            version=2,
        ),
        SystemCard(
            name="text_ssl",
            settings=TextSSL,
            implementation="speechlasso.systems.text_ssl_model",
            description="A fine-tuned language model reads words; a speech encoder's pooled frames "
            "join it before the classification head.",
            files=(*MODEL_FILES, "features.safetensors", "text_ssl.json"),
            predicts_from=("token_texts", "frames"),
            version=2,
            **FINETUNES,
        ),
        SystemCard(
            name="late_fusion",
            settings=LateFusion,
            implementation="speechlasso.systems.late_fusion_model",
            description="The weighted mean of the class probabilities of other arms.",
            rule="fit_linear",
            files=("weights.json",),
        ),
    ],
)
Files = Mapping[str, list[str]]
"""What a system reads: the files of each artifact, by its role."""

AnySystem = Annotated[System, OneOf(SYSTEMS, "system", default="token_lm")]


def default_arms() -> dict[str, System]:
    lm, linear = {"system": "token_lm"}, {"system": "bow_linear"}
    return {
        "text_only": TokenLM(**lm, inputs=["text"]),
        "audio_only": TokenLM(**lm, inputs=["audio"], select="lasso"),
        "lasso": TokenLM(**lm, select="lasso"),
        "random": TokenLM(**lm, select="random"),
        "all_tokens": TokenLM(**lm, select="all"),
        "bow_linear": BowLinear(**linear, select="lasso"),
        "bow_linear_all": BowLinear(**linear, select="all"),
        "pooled_linear": PooledLinear(system="pooled_linear"),
        "learned": Learned(
            system="learned",
            override={"encoder": {"layers": "all"}, "finetune": {"learning_rate": 0.001}},
        ),
        "small_speech_lm": SmallSpeechLM(
            system="small_speech_lm",
            override={
                "lm": {"name": "HuggingFaceTB/SmolLM2-135M-Instruct"},
                "encoder": {"layers": "all"},
                "finetune": {"learning_rate": 0.001},
            },
        ),
        "speech_lm": SpeechLM(system="speech_lm"),
        "mfcc_linear": MFCCLinear(system="mfcc_linear", inputs=["audio"]),
        "mfcc_lstm": MFCCLSTM(
            system="mfcc_lstm",
            override={"finetune": {"learning_rate": 0.003, "epochs": 60, "patience": 15}},
        ),
        "text_ssl": TextSSL(system="text_ssl"),
        "fused": LateFusion(system="late_fusion", arms=["text_only", "audio_only"]),
    }
