"""A trained model predicts from clips and words what the pipeline predicted."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tiny_codecs
from tiny_trained_model import RATE, make_trained_model

import speechlasso
from speechlasso.data.settings import Table
from speechlasso.errors import InputError
from speechlasso.files import sha256
from speechlasso.language_model.prediction import predict
from speechlasso.pipeline.stages import Codes, Manifest
from speechlasso.tokenizers import tokenization
from speechlasso.tokenizers.settings import TransformersCodecMethod
from speechlasso.trained_model.recipe import Recipe, write_recipe

PROBABILITIES = ["p_calm", "p_loud"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return make_trained_model(tmp_path_factory.mktemp("both"), ("text", "audio"))


@pytest.fixture(scope="module")
def of_text(tmp_path_factory):
    return make_trained_model(tmp_path_factory.mktemp("text"), ("text",), epochs=1)


@pytest.fixture(scope="module")
def of_audio(tmp_path_factory):
    return make_trained_model(tmp_path_factory.mktemp("audio"), ("audio",), epochs=1)


def assert_same(ours, pipeline):
    assert ours["predicted"].tolist() == pipeline["predicted"].tolist()
    np.testing.assert_allclose(ours[PROBABILITIES], pipeline[PROBABILITIES], atol=1e-6)
    for column in ("n_text_tokens", "n_audio_tokens", "cut"):
        assert ours[column].tolist() == pipeline[column].tolist()


def written(trained, path, columns=("id", "text", "audio")):
    """The test rows as a table in any format."""
    rows = trained.manifest[trained.manifest["split"] == "test"]
    table = rows[list(columns)].reset_index(drop=True)
    if path.suffix == ".parquet":
        table.to_parquet(path)
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in table.to_dict("records")))
    else:
        if "audio" in table:
            table["audio"] = table["audio"].str[0]
        table.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return rows


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet", "jsonl"])
def test_a_table_without_labels_gives_what_the_pipeline_predicted(trained, tmp_path, kind):
    rows = written(trained, tmp_path / f"new.{kind}")
    model = speechlasso.load(shutil.copytree(trained.folder, tmp_path / "copy"))
    predictions = model.predict_utterances(model.read_manifest(tmp_path / f"new.{kind}"))
    assert predictions["id"].tolist() == rows["id"].tolist()
    assert "label" not in predictions and "split" not in predictions
    pipeline = predict(trained.folder, trained.examples).loc[rows.index]
    assert_same(predictions, pipeline)
    assert (predictions["predicted"] == rows["label"].to_numpy()).mean() > 0.9


def test_clips_within_the_table_give_what_the_pipeline_predicted(trained, tmp_path):
    rows = trained.manifest[trained.manifest["split"] == "test"]
    clips = [{"bytes": Path(clips[0]).read_bytes(), "path": None} for clips in rows["audio"]]
    table = rows[["id", "text"]].assign(audio=clips).set_index("text", drop=False)
    table.to_parquet(tmp_path / "new.parquet")
    model = speechlasso.load(trained.folder)
    predictions = model.predict_utterances(model.read_manifest(tmp_path / "new.parquet"))
    assert_same(predictions, predict(trained.folder, trained.examples).loc[rows.index])


@pytest.mark.parametrize("fixture", ["trained", "of_text", "of_audio"])
def test_one_utterance_gives_what_the_pipeline_predicted(fixture, request):
    trained = request.getfixturevalue(fixture)
    model = speechlasso.load(trained.folder)
    pipeline = predict(trained.folder, trained.examples)
    for number in (0, 91):
        row = trained.manifest.iloc[number]
        content = {"text": f" {row['text']}\n", "audio": row["audio"][0]}
        given = {kind: content[kind] for kind in model.recipe.inputs}
        assert_same(model.predict(**given), pipeline.iloc[[number]])
    assert model.classes == ["calm", "loud"]


def test_several_clips_are_joined_and_segments_are_cut_out(trained, tmp_path):
    model = speechlasso.load(trained.folder)
    pipeline = predict(trained.folder, trained.examples)
    row = trained.manifest.iloc[91]
    samples, _ = soundfile.read(row["audio"][0], dtype="float32")
    soundfile.write(tmp_path / "a.wav", samples[:6000], RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "b.wav", samples[6000:], RATE, subtype="FLOAT")
    clips = [tmp_path / "a.wav", tmp_path / "b.wav"]
    assert_same(model.predict(text=row["text"], audio=clips), pipeline.iloc[[91]])

    noise = np.full(RATE, 0.3, dtype=np.float32)
    long = np.concatenate([noise, samples, noise])
    soundfile.write(tmp_path / "long.wav", long, RATE, subtype="FLOAT")
    end = 1 + len(samples) / RATE
    segment = model.predict(text=row["text"], audio=tmp_path / "long.wav", start=1.0, end=end)
    assert_same(segment, pipeline.iloc[[91]])

    (tmp_path / "table.csv").write_text(
        "name,words,clips,from,to\n"
        f"joined,{row['text']},a.wav;b.wav,,\n"
        f"segment,{row['text']},long.wav,1.0,{end}\n"
    )
    columns = {"id": "name", "text": "words", "audio": "clips", "start": "from", "end": "to"}
    table = model.read_manifest(tmp_path / "table.csv", columns=columns, audio_separator=";")
    assert_same(model.predict_utterances(table), pipeline.iloc[[91, 91]])


def test_columns_are_named_as_in_training(trained, tmp_path):
    specs = [
        {"stage": "manifest", "settings": Manifest(table=training_table()).model_dump()},
    ]
    write_recipe(tmp_path, specs, ["text"], None, None)
    recipe = Recipe.read(tmp_path)
    assert recipe.columns == {
        **{"id": "name", "text": "words", "audio": "clips", "start": "from", "end": None}
    }
    assert recipe.audio_separator == ";"


def training_table():
    columns = {"id": "name", "text": "words", "audio": "clips", "start": "from", "label": "class"}
    return Table(path="t.csv", columns=columns, audio_separator=";")


@pytest.mark.parametrize(
    ("fixture", "given", "message"),
    [
        ("of_text", {"text": "a cat", "audio": "a.wav"}, "reads text, but audio is given"),
        ("trained", {"text": "a cat"}, "reads text and audio, but no audio is given"),
        ("trained", {"text": "a cat", "audio": []}, "no audio is given"),
        ("trained", {"audio": "a.wav"}, "no text is given"),
        ("of_audio", {"audio": "a.wav", "text": "a cat"}, "reads audio, but text is given"),
        ("trained", {}, "no text is given; no audio is given"),
        ("trained", {"text": "", "audio": "nowhere.wav"}, "nowhere.wav: does not exist"),
        ("of_text", {"text": "half \ud83d"}, "The text holds half a character"),
    ],
)
def test_what_does_not_fit_the_model_is_one_clear_error(fixture, given, message, request):
    model = speechlasso.load(request.getfixturevalue(fixture).folder)
    with pytest.raises(InputError, match=message):
        model.predict(**given)


def test_a_model_of_text_needs_no_clips_in_the_table(of_text, tmp_path):
    rows = written(of_text, tmp_path / "new.csv", columns=("id", "text"))
    model = speechlasso.load(of_text.folder)
    predictions = model.predict_utterances(model.read_manifest(tmp_path / "new.csv"))
    assert_same(predictions, predict(of_text.folder, of_text.examples).loc[rows.index])


def test_a_model_of_audio_needs_no_words_in_the_table(of_audio, tmp_path):
    rows = written(of_audio, tmp_path / "new.csv", columns=("id", "audio"))
    model = speechlasso.load(of_audio.folder)
    predictions = model.predict_utterances(model.read_manifest(tmp_path / "new.csv"))
    assert_same(predictions, predict(of_audio.folder, of_audio.examples).loc[rows.index])


def test_half_characters_in_a_table_to_predict_are_named_by_row(of_text, tmp_path):
    table = tmp_path / "new.jsonl"
    table.write_text('{"id": "u1", "text": "a cat"}\n{"id": "u2", "text": "\\ud83d"}\n')
    with pytest.raises(InputError, match=r"row 2 \(id 'u2'\): the text holds half a character"):
        speechlasso.load(of_text.folder).read_manifest(table)


def test_all_that_is_wrong_with_a_table_is_listed(trained, tmp_path):
    model = speechlasso.load(trained.folder)
    table = tmp_path / "new.csv"
    table.write_text("id,txt,sound\nu1,a cat,a.wav\n")
    with pytest.raises(InputError) as error:
        model.read_manifest(table)
    assert "--column text: no column 'text'; did you mean 'txt'?" in str(error.value)
    assert "--column audio: no column 'audio'" in str(error.value)
    table.write_text("id,text,audio\nu1,a cat,\nu1,a dog,b.wav\n,a,c.wav\n")
    with pytest.raises(InputError) as error:
        model.read_manifest(table)
    for problem in ("(id 'u1'): no clip is named", "occurs in rows 2, 3", "row 4: the id is empty"):
        assert problem in str(error.value)
    (tmp_path / "text.wav").write_text("no sound at all")
    table.write_text("id,text,audio\nu1,a cat,text.wav\nu2,a dog,b.wav\n")
    with pytest.raises(InputError) as error:
        model.read_manifest(table)
    assert "u1: " in str(error.value) and "is no sound but text" in str(error.value)
    assert "u2: " in str(error.value) and "does not exist" in str(error.value)
    with pytest.raises(InputError, match="--column label: not a column that is read"):
        model.read_manifest(table, columns={"label": "class"})
    with pytest.raises(InputError, match="--manifest must name"):
        model.read_manifest(tmp_path / "nowhere.csv")


def test_a_folder_without_a_model_says_what_one_is(tmp_path):
    with pytest.raises(InputError, match="not a trained model, which is a folder with speechlasso"):
        speechlasso.load(tmp_path)
    (tmp_path / "speechlasso.json").write_text('{"format": "speechlasso model 2"}')
    with pytest.raises(InputError) as error:
        speechlasso.load(tmp_path)
    assert "format: Input should be 'speechlasso model 1'" in str(error.value)
    assert "inputs: Field required" in str(error.value)


def test_a_model_that_reads_no_tokens_of_speech_is_refused(of_text, tmp_path):
    recipe = json.loads((of_text.folder / "speechlasso.json").read_text())
    recipe["inputs"] = ["text", "audio"]
    (tmp_path / "speechlasso.json").write_text(json.dumps(recipe))
    with pytest.raises(InputError, match="reads frames of a speech encoder"):
        speechlasso.load(tmp_path)


def test_a_folder_of_an_earlier_version_says_what_to_do(trained, tmp_path):
    folder = shutil.copytree(trained.folder, tmp_path / "copy")
    recipe = json.loads((folder / "speechlasso.json").read_text())
    method = recipe["tokenizer"].pop("method")
    recipe["tokenizer"] = {"method": method, "model": None, method: recipe["tokenizer"]}
    (folder / "speechlasso.json").write_text(json.dumps(recipe))
    with pytest.raises(InputError) as error:
        speechlasso.load(folder)
    assert f"tokenizer.{method}.{method}: Extra inputs are not permitted" in str(error.value)
    assert "Use the version that made the model" in str(error.value)


def test_a_model_folder_without_weights_is_an_input_error(of_text, tmp_path):
    folder = shutil.copytree(of_text.folder, tmp_path / "copy")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="cannot load"):
        speechlasso.load(folder).predict(text="a cat")


@pytest.fixture
def with_codec(tmp_path):
    """The recipe of a model whose codes come from a pretrained codec in a local folder."""
    codec = tiny_codecs.save(tmp_path / "codec", tiny_codecs.dac)
    codes = Codes(tokenizer=TransformersCodecMethod(method="dac", model=codec))
    specs = [
        {"stage": "manifest", "settings": Manifest(table=Table(path="t.csv")).model_dump()},
        {
            "stage": "tokenize_audio",
            "settings": codes.model_dump(),
            "data": {name: sha256(path) for name, path in codes.data_files().items()},
        },
    ]
    write_recipe(tmp_path / "model", specs, ["audio"], None, None)
    return tmp_path


def test_a_pretrained_tokenizer_is_found_elsewhere_when_it_is_the_same(with_codec):
    weights = sha256(with_codec / "codec" / "model.safetensors")
    speechlasso.load(with_codec / "model")
    (with_codec / "codec").rename(with_codec / "moved")
    with pytest.raises(InputError) as error:
        speechlasso.load(with_codec / "model")
    assert weights in str(error.value) and "--tokenizer model=FOLDER" in str(error.value)
    moved = {"model": str(with_codec / "moved")}
    model = speechlasso.load(with_codec / "model", tokenizer=moved)
    codes = model.speech_tokenizer.encode([tiny_codecs.sound(0, 8000)])[0]
    expected = tokenization.load_tokenizer(
        TransformersCodecMethod(method="dac", model=moved["model"]), None
    ).encode([tiny_codecs.sound(0, 8000)])[0]
    np.testing.assert_array_equal(codes, expected)


def test_another_codec_in_its_place_is_refused(with_codec):
    file = with_codec / "codec" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"model\.safetensors of the training .* is not among"):
        speechlasso.load(with_codec / "model")


def test_a_place_that_the_tokenizer_does_not_read_is_refused(with_codec, of_text):
    with pytest.raises(InputError, match="not read from any checkpoint"):
        speechlasso.load(with_codec / "model", tokenizer={"checkpoint": "x.pt"})
    with pytest.raises(InputError, match="not read from any model"):
        speechlasso.load(of_text.folder, tokenizer={"model": "x"})


def test_a_tuned_threshold_decides_here_as_in_the_pipeline(trained, tmp_path):
    folder = shutil.copytree(trained.folder, tmp_path / "copy")
    likeliest = predict(folder, trained.examples)
    between = likeliest["p_loud"].quantile(0.9)
    assert between > 0.5
    config = json.loads((folder / "config.json").read_text())
    config["decision_threshold"] = {"label": "loud", "probability": between}
    (folder / "config.json").write_text(json.dumps(config))
    model = speechlasso.load(folder)
    ours = model.predict_utterances(trained.manifest)
    assert ours["predicted"].tolist() == predict(folder, trained.examples)["predicted"].tolist()
    assert 0 < (ours["predicted"] == "loud").mean() < 0.2
    assert (likeliest["predicted"] == "loud").mean() > 0.3
    row = trained.manifest[likeliest["predicted"].eq("loud") & ours["predicted"].eq("calm")].iloc[0]
    explanation = model.explain(text=row["text"], audio=row["audio"])
    assert explanation.decided == "calm" and explanation.probability < 0.5


def test_importing_and_refusing_cost_no_torch(of_text):
    program = (
        "import sys, speechlasso\n"
        "assert not {'torch', 'pandas', 'pydantic'} & set(sys.modules)\n"
        "from speechlasso.errors import InputError\n"
        "try:\n"
        "    speechlasso.load(sys.argv[1]).predict(audio='a.wav')\n"
        "except InputError:\n"
        "    sys.exit(3 if {'torch', 'sklearn'} & set(sys.modules) else 7)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(of_text.folder)])
    assert done.returncode == 7
