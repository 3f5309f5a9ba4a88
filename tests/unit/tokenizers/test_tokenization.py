"""From clips to codes: batches, decoding ahead, and the register of tokenizers."""

from __future__ import annotations

import shutil
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import soundfile

from speechlasso.data.recorded_clips import RecordedClips
from speechlasso.digests import fingerprint
from speechlasso.errors import InputError
from speechlasso.features import clip_batches
from speechlasso.tokenizers.cards import TOKENIZERS
from speechlasso.tokenizers.settings import (
    SpectralRVQMethod,
    SpeechTokenizerMethod,
    SSLUnitsMethod,
    TransformersCodecMethod,
)
from speechlasso.tokenizers.tokenization import (
    encode_utterances,
    fit_tokenizer,
    load_tokenizer,
    rows_to_learn_from,
)

RATE = 16_000
SETTINGS = SpectralRVQMethod(method="spectral_rvq", codebook_size=8, max_frames=500)


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Utterances of unequal length, one of two clips."""
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    paths = []
    for number in range(6):
        paths.append(str(folder / f"{number}.wav"))
        soundfile.write(paths[-1], rng.normal(0, 0.1, 4000 + 1700 * number), RATE)
    clips = [[path] for path in paths[:4]] + [paths[4:]]
    return pd.DataFrame({"id": list("abcde"), "audio": clips})


@pytest.fixture(scope="module")
def tokenizer(manifest):
    return fit_tokenizer(SETTINGS, manifest)


@pytest.mark.parametrize("seconds", [0.01, 0.6, 1000])
def test_codes_do_not_depend_on_what_is_encoded_together(manifest, tokenizer, monkeypatch, seconds):
    alone = {
        row["id"]: encode_utterances(tokenizer, pd.DataFrame([row])).codes[row["id"]]
        for row in manifest.to_dict("records")
    }
    monkeypatch.setattr(clip_batches, "BATCH_SECONDS", seconds)
    together = encode_utterances(tokenizer, manifest)
    assert list(together.codes) == list(manifest["id"])
    for row_id, codes in together.codes.items():
        np.testing.assert_array_equal(codes, alone[row_id])


def test_a_saved_tokenizer_gives_the_same_codes(manifest, tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.safetensors")
    loaded = load_tokenizer(SETTINGS, tmp_path / "tokenizer.safetensors")
    for codes, again in zip(
        encode_utterances(tokenizer, manifest).codes.values(),
        encode_utterances(loaded, manifest).codes.values(),
        strict=True,
    ):
        np.testing.assert_array_equal(codes, again)


def test_a_clip_that_vanished_is_named(manifest, tokenizer):
    gone = manifest.assign(audio=[["/nowhere/clip.wav"]] * len(manifest))
    with pytest.raises(InputError, match="/nowhere/clip.wav"):
        encode_utterances(tokenizer, gone)


def test_a_clip_that_was_replaced_since_the_manifest_was_made_is_refused(
    manifest, tokenizer, tmp_path
):
    paths = [str(shutil.copy(clip, tmp_path)) for clips in manifest["audio"] for clip in clips]
    copies = pd.DataFrame({"id": list("abcdef"), "audio": [[path] for path in paths]})
    clips = RecordedClips({path: fingerprint(path) for path in paths})
    codes = encode_utterances(tokenizer, copies, clips).codes
    np.testing.assert_array_equal(codes["c"], encode_utterances(tokenizer, copies).codes["c"])
    shutil.copy(paths[0], paths[2])
    with pytest.raises(InputError, match=r"2\.wav: is not the clip that the manifest lists"):
        encode_utterances(tokenizer, copies, clips)
    with pytest.raises(InputError, match=r"2\.wav: is not the clip that the manifest lists"):
        fit_tokenizer(SETTINGS, copies, clips=clips)


@pytest.mark.slow
def test_every_card_has_its_module_and_settings_that_name_it():
    for card in TOKENIZERS.cards():
        module = card.load()
        assert callable(module.load)
        assert hasattr(module, "fit") == (card.learns and not card.reads_frames)
        assert hasattr(module, "fit_frames") == card.reads_frames
        assert card.name in get_args(card.settings.model_fields["method"].annotation)
        assert card.name in getattr(module, "CODECS", [card.name])


def test_files_of_a_tokenizer(tmp_path):
    for name in ("model.safetensors", "config.json", "README.md", ".gitattributes"):
        (tmp_path / name).touch()
    files = TransformersCodecMethod(method="dac", model=str(tmp_path)).files()
    names = ("config.json", "model.safetensors")
    assert files == {f"model/{name}": f"{tmp_path}/{name}" for name in names}
    assert TransformersCodecMethod(method="dac").files() == {}
    assert TransformersCodecMethod(method="dac", model="descript/dac_16khz").files() == {}
    published = SpeechTokenizerMethod(method="speechtokenizer", checkpoint="a.pt", config="b.json")
    assert published.files() == {"checkpoint": "a.pt", "config": "b.json"}


def test_layers_are_known_beforehand_where_settings_tell(tokenizer):
    assert SETTINGS.planned_n_layers == tokenizer.n_layers == 4
    assert SSLUnitsMethod(method="ssl_units").planned_n_layers == 1
    assert TransformersCodecMethod(method="mimi", n_layers=8).planned_n_layers == 8
    assert TransformersCodecMethod(method="mimi").planned_n_layers is None


def test_no_more_rows_are_learned_from_than_frames_are_drawn():
    rows = pd.DataFrame({"id": range(1000)})
    assert rows_to_learn_from(rows.head(500), SETTINGS).equals(rows.head(500))
    drawn, again = rows_to_learn_from(rows, SETTINGS), rows_to_learn_from(rows, SETTINGS)
    assert drawn.equals(again) and drawn.index.is_monotonic_increasing
    assert drawn["id"].nunique() == SETTINGS.max_frames == 500
    of_first_half = (drawn["id"] < 500).sum()
    assert 200 < of_first_half < 300
    no_frames = TransformersCodecMethod(method="encodec")
    assert rows_to_learn_from(rows, no_frames).equals(rows)
