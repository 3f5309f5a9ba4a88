"""Predictions and explanations as text: to read on the screen, as JSON, or as CSV."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from speechlasso.errors import for_terminal

if TYPE_CHECKING:
    from speechlasso.trained_model.explanation import Explanation

Format = Literal["screen", "json", "csv"]

PARTS_ON_SCREEN = 10
_TITLES = {
    "word": "words",
    "stretch": "stretches of time",
    "token": "audio tokens, all occurrences at once",
}


def predictions_text(predictions: pd.DataFrame, form: Format) -> str:
    """What a model predicts of one or several utterances.

    Parameters
    ----------
    predictions
        As `TrainedModel.predict` returns them.
    """
    if form == "csv":
        return predictions.to_csv(index=False)
    if form == "json":
        return _json(list(map(_prediction, _records(predictions))))
    too_long = predictions.loc[predictions["cut"], "id"].tolist()
    notes = [f"{name}: too long for the model, which did not read its end" for name in too_long]
    return for_terminal("\n".join([_table_on_screen(predictions), *notes]) + "\n")


def explanations_text(explanations: Sequence[Explanation], form: Format) -> str:
    """What moved the decisions about one or several utterances."""
    if form == "csv":
        return pd.concat(map(_parts_with_id, explanations)).to_csv(index=False)
    if form == "json":
        return _json(list(map(_explanation, explanations)))
    lines = (line for each in explanations for line in _explanation_on_screen(each))
    return for_terminal("\n".join(lines))


def _table_on_screen(predictions: pd.DataFrame) -> str:
    shown = [name for name in predictions if name in ("id", "predicted") or name.startswith("p_")]
    return predictions[shown].to_string(index=False, float_format="{:.3f}".format)


def _explanation_on_screen(explanation: Explanation) -> Iterator[str]:
    decided = explanation.decided
    yield f"{explanation.prediction['id']}: {decided}, probability {explanation.probability:.3f}"
    yield f"In front: by how much the probability of {decided} falls without the part."
    for kind, parts in explanation.parts.groupby("kind", sort=False):
        strongest = parts.loc[parts["effect"].abs().sort_values(ascending=False).index]
        strongest = strongest.head(PARTS_ON_SCREEN)
        yield f"\n{_TITLES[kind]} ({len(strongest)} of {len(parts)} with the largest effect)"
        for part in strongest.itertuples():
            yield f"  {part.effect:+.3f}  {_part_on_screen(part)}"
    yield ""


def _part_on_screen(part: Any) -> str:
    if part.kind == "stretch":
        ranks = part.part.replace("<audio_token_", "").replace(">", "")
        clip = Path(part.clip).name
        return f"{part.start:.2f}-{part.end:.2f} s of {clip}: audio tokens {ranks}"
    if part.kind == "token":
        return f"{part.part} (layer {part.layer}, code {part.code}), {part.n_tokens} times"
    return part.part


def _explanation(explanation: Explanation) -> dict[str, Any]:
    (prediction,) = _records(explanation.prediction.to_frame().T.infer_objects())
    return {**_prediction(prediction), "parts": _records(explanation.parts)}


def _prediction(record: dict[str, Any]) -> dict[str, Any]:
    """A row of predictions with the probabilities as a mapping of their own."""
    probabilities = {name[2:]: record[name] for name in record if name.startswith("p_")}
    others = {name: value for name, value in record.items() if not name.startswith("p_")}
    return {"id": others.pop("id"), "predicted": others.pop("predicted")} | {
        "probabilities": probabilities,
        **others,
    }


def _parts_with_id(explanation: Explanation) -> pd.DataFrame:
    parts = explanation.parts.copy()
    parts.insert(0, "id", explanation.prediction["id"])
    parts.insert(1, "predicted", explanation.decided)
    return parts


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as mappings of plain values, None where there is none."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
