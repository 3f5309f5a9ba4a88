"""What a language model that reads words and audio tokens decides of the words alone."""

from __future__ import annotations

from tuned_models import tuned

from speechlasso.evaluation.without_audio import COLUMN
from speechlasso.systems import token_lm_model


def test_the_words_of_test_rows_are_read_once_more_by_themselves(
    tmp_path, examples, language_models
):
    examples = examples.copy()
    # Of some rows only one of both is there.
    test = examples.index[examples["split"] == "test"]
    examples.loc[test[0], "text"] = None
    examples.at[test[1], "audio_tokens"] = None
    tuned(examples, tmp_path / "model", language_models["bert"])
    examples.to_parquet(tmp_path / "texts.parquet")
    examples.assign(audio_tokens=None).dropna(subset="text").to_parquet(tmp_path / "words.parquet")
    model = token_lm_model.open(tmp_path / "model")
    found = model.predict({"token_texts": [tmp_path / "texts.parquet"]}, threads=1)
    alone = model.predict({"token_texts": [tmp_path / "words.parquet"]}, threads=1)

    assert COLUMN not in alone
    asked = found.dropna(subset=COLUMN).set_index("id")
    assert asked.index.tolist() == examples.loc[test[2:], "id"].tolist()
    assert asked[COLUMN].equals(alone.set_index("id").loc[asked.index, "predicted"].rename(COLUMN))
