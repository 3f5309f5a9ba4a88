"""What a language model is told to do with what was said: kinds of instruction and their wordings.

Source: Self-Powered LSM (EMNLP 2024, 10.18653/v1/2024.emnlp-main.690): instructions are drawn at
random from a list for each kind.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import yaml
from pydantic import Field, StringConstraints, ValidationError

from speechlasso.errors import InputError
from speechlasso.language_model.settings import INSTRUCTIONS, SelfPowered
from speechlasso.section import Name, Section

Wording = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
Wordings = Annotated[list[Wording], Field(min_length=1)]

UNRELATED = "unrelated"
"""In place of a kind: an instruction that is not about the speech, asked alone."""
TRANSCRIPT = "transcript"
"""In place of a kind: no instruction but the transcript itself, as if it were one."""


class Instructions(Section):
    """The content of such a file."""

    about_speech: Annotated[dict[Name, Wordings], Field(min_length=1)]
    """Wordings of each kind."""
    unrelated: Wordings
    """Instructions that ignore what was said."""

    @classmethod
    def read(cls, path: str | Path | None = None) -> Instructions:
        """Those of a YAML file; by default those that come with this package.

        Raises
        ------
        InputError
            If it is no such file, naming it and each key that is wrong.
        """
        path = Path(path or INSTRUCTIONS)
        try:
            found = cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: cannot be read as YAML: {error}") from None
        except ValidationError as error:
            problems = [
                ".".join(map(str, item["loc"])) + f": {item['msg']}" for item in error.errors()
            ]
            raise InputError.listing(
                f"{path} holds no instructions:",
                problems,
                f"It needs two keys, about_speech and unrelated, as {INSTRUCTIONS} has them.",
            ) from None
        taken = sorted({UNRELATED, TRANSCRIPT} & found.about_speech.keys())
        if taken:
            raise InputError(
                f"{path}: about_speech.{taken[0]}: this name has another meaning; rename the kind"
            )
        return found


def questions(
    examples: pd.DataFrame, instructions: Instructions, settings: SelfPowered, holdout: float
) -> pd.DataFrame:
    """What the language model is asked of each utterance.

    An utterance's draw depends on its id and the seed alone. A share of the utterances is held out
    from training: for these, instructions that are not about the speech are asked as well, and the
    transcript itself, as if it were an instruction.

    Parameters
    ----------
    examples
        id, split and text; none of the texts is blank.

    Returns
    -------
    pandas.DataFrame
        id, split, held_out, text, kind and instruction ("" of the kind `TRANSCRIPT`).

    Raises
    ------
    InputError
        If more kinds are to be drawn than there are.
    """
    n, kinds = settings.answers_per_utterance, list(instructions.about_speech)
    if n > len(kinds):
        raise InputError(
            f"adapt.self_powered.answers_per_utterance: {n} are more than the {len(kinds)} kinds "
            f"of instruction in {settings.instructions or INSTRUCTIONS}"
        )
    draws = [np.random.default_rng([settings.seed, *str(id_).encode()]) for id_ in examples["id"]]
    is_held_out = _smallest([rng.random() for rng in draws], holdout)
    rows = []
    for rng, held_out, (id_, split, text) in zip(
        draws,
        is_held_out,
        examples[["id", "split", "text"]].itertuples(index=False),
        strict=True,
    ):
        asked = [
            (kind, _one_of(instructions.about_speech[kind], rng))
            for kind in _some_of(kinds, n, rng)
        ]
        if held_out:
            others = _some_of(instructions.unrelated, min(n, len(instructions.unrelated)), rng)
            asked += [(UNRELATED, other) for other in others]
            asked.append((TRANSCRIPT, ""))
        rows += [(id_, split, held_out, text, *question) for question in asked]
    columns = ["id", "split", "held_out", "text", "kind", "instruction"]
    return pd.DataFrame(rows, columns=columns)


def _smallest(numbers: list[float], share: float) -> np.ndarray:
    """Which numbers are among the smallest, of which there is one at least: bool (n,)."""
    n = max(1, round(share * len(numbers)))
    return np.argsort(np.argsort(numbers, kind="stable"), kind="stable") < n


def _one_of(options: list[str], rng: np.random.Generator) -> str:
    return options[rng.integers(len(options))]


def _some_of(options: list[str], n: int, rng: np.random.Generator) -> list[str]:
    return [options[position] for position in rng.choice(len(options), n, replace=False)]
