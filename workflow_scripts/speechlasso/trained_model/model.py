"""A trained model, opened from its folder: from clips and words to labels and probabilities."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pandas as pd

from speechlasso.errors import InputError
from speechlasso.files import made_again_by
from speechlasso.integrity import SPEC, require_intact
from speechlasso.language_model.token_text import token_texts
from speechlasso.tokenizers.cards import TOKENIZERS
from speechlasso.trained_model.recipe import SELECTION, SPEECH_TOKENIZER, Recipe
from speechlasso.trained_model.utterances import read_utterances, single_utterance

# What encodes and classifies is imported when it is needed: torch and transformers take seconds,
# and mistakes in what the user gave should not wait for them.
if TYPE_CHECKING:
    from speechlasso.language_model.prediction import Classifier
    from speechlasso.selection.token_selection import TokenSelection
    from speechlasso.tokenizers import AudioTokenizer
    from speechlasso.tokenizers.codes import CodeTable
    from speechlasso.trained_model.explanation import Explanation

_COPY_AGAIN = "Copy the folder again from where it was made"


class TrainedModel:
    """A folder of results/finetune/, or a copy of it, that predicts.

    Parameters
    ----------
    folder
        What the workflow's rule finetune wrote; nothing outside it is needed, but the files of a
        speech tokenizer that is not learned from the training clips.
    tokenizer
        Where those files lie, if no longer where they did in training: {"checkpoint": path,
        "config": path} or {"model": folder}.
    threads
        Processor threads to compute with.
    plugins
        Modules to import that a speech tokenizer from outside this project comes from.

    Raises
    ------
    InputError
        If the folder holds no such model or one whose files are damaged, or the speech tokenizer's
        files are missing or others.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        tokenizer: Mapping[str, str] | None = None,
        threads: int = 1,
        plugins: Collection[str] = (),
    ) -> None:
        self.folder, self.threads = Path(folder), threads
        require_intact(
            [folder],
            f"{_COPY_AGAIN}. If it is damaged there as well: "
            f"{made_again_by([f'results/finetune/{self.folder.resolve().name}/{SPEC}'])}. If you "
            f"changed files on purpose, remove {SPEC} from the folder.",
        )
        self.recipe = Recipe.read(folder, plugins)
        if self.recipe.reads_audio and self.recipe.tokenizer is None:
            raise InputError(
                f"{folder}: this model reads frames of a speech encoder, but new clips are turned "
                "into tokens only; give the folder of an arm with system: token_lm"
            )
        self._tokenizer_settings = self.recipe.tokenizer_from(tokenizer or {})

    @cached_property
    def selection(self) -> TokenSelection:
        from speechlasso.selection.token_selection import TokenSelection

        path = self._own_file(SELECTION)
        try:
            return TokenSelection.from_json(json.loads(path.read_bytes()))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: no selection that can be read. {_COPY_AGAIN}.") from error

    @cached_property
    def speech_tokenizer(self) -> AudioTokenizer:
        from speechlasso.tokenizers.tokenization import load_tokenizer

        learns = TOKENIZERS[self._tokenizer_settings.method].learns
        path = self._own_file(SPEECH_TOKENIZER) if learns else None
        return load_tokenizer(self._tokenizer_settings, path, self.threads)

    def _own_file(self, name: str) -> Path:
        if not (path := self.folder / name).is_file():
            raise InputError(f"{path}: no such file. {_COPY_AGAIN}.")
        return path

    @cached_property
    def classifier(self) -> Classifier:
        from speechlasso.language_model.prediction import Classifier

        return Classifier.open(self.folder)

    @property
    def classes(self) -> list[str]:
        """Names of the labels."""
        return self.classifier.classes

    def utterance(
        self,
        *,
        text: str | None = None,
        audio: str | Path | Sequence[str | Path] | None = None,
        start: float | None = None,
        end: float | None = None,
    ) -> pd.DataFrame:
        """One utterance as a table of one row; see `utterances.single_utterance`."""
        return single_utterance(self.recipe, text, audio, start, end)

    def read_manifest(
        self,
        path: str | Path,
        *,
        columns: Mapping[str, str | None] | None = None,
        audio_root: str | Path | None = None,
        audio_separator: str | None = None,
    ) -> pd.DataFrame:
        """A table of utterances; see `utterances.read_utterances`."""
        return read_utterances(
            self.recipe,
            path,
            columns=columns,
            audio_root=audio_root,
            audio_separator=audio_separator,
            clips=self._embedded_clips.name,
        )

    @cached_property
    def _embedded_clips(self) -> TemporaryDirectory:
        """Clips that lay in a table's cells, for as long as the model is used."""
        return TemporaryDirectory(prefix="speechlasso-clips-")

    def predict(
        self,
        *,
        text: str | None = None,
        audio: str | Path | Sequence[str | Path] | None = None,
        start: float | None = None,
        end: float | None = None,
    ) -> pd.DataFrame:
        """Label and probabilities of one utterance.

        Parameters
        ----------
        text
            Its words, for models that read text.
        audio
            Its clip, or several that are joined in this order, for models that read audio.
        start, end
            Where it lies in its clip, in seconds; None for the clip's own start or end.

        Returns
        -------
        pandas.DataFrame
            One row: id, predicted, p_<class> for each class, n_text_tokens, n_audio_tokens, cut
            (the utterance was too long and lost its end).

        Raises
        ------
        InputError
            If the utterance does not fit the model, or a clip cannot be used.
        """
        return self.predict_utterances(self.utterance(text=text, audio=audio, start=start, end=end))

    def predict_utterances(self, utterances: pd.DataFrame) -> pd.DataFrame:
        """Labels and probabilities of a table of utterances, as `predict` returns them.

        Parameters
        ----------
        utterances
            As `read_manifest` or `utterance` returns them.
        """
        examples = self.examples(utterances, self.codes(utterances))
        return self.classifier.predict(examples, threads=self.threads)

    def explain(
        self,
        *,
        text: str | None = None,
        audio: str | Path | Sequence[str | Path] | None = None,
        start: float | None = None,
        end: float | None = None,
        window: float | None = None,
    ) -> Explanation:
        """What of one utterance moved the decision; see `explanation.explain`."""
        from speechlasso.trained_model.explanation import explain

        utterance = self.utterance(text=text, audio=audio, start=start, end=end)
        return explain(self, utterance, window)

    def codes(self, utterances: pd.DataFrame) -> CodeTable | None:
        """Codes of the clips; None for a model of text alone."""
        if not self.recipe.reads_audio:
            return None
        from speechlasso.tokenizers.tokenization import encode_utterances

        return encode_utterances(self.speech_tokenizer, utterances)

    def examples(self, utterances: pd.DataFrame, codes: CodeTable | None) -> pd.DataFrame:
        """What the language model reads, as `token_text.token_texts` returns it."""
        selection = self.selection if self.recipe.reads_audio else None
        return token_texts(utterances, self.recipe.inputs, codes, selection)
