"""The command speechlasso."""

from __future__ import annotations

import io
import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from plans import leave_results, plan
from safetensors.numpy import load_file, save_file
from tiny_trained_model import make_trained_model

import speechlasso
from speechlasso import __version__
from speechlasso.cli import main
from speechlasso.evaluation.cards import METRICS
from speechlasso.experiment.config_sources import with_command_line
from speechlasso.experiment.load import json_schema, load_settings
from speechlasso.experiment.plan import make_plan
from speechlasso.experiment.settings import Settings
from speechlasso.selection.cards import SELECTIONS
from speechlasso.systems.cards import SYSTEMS
from speechlasso.tokenizers.cards import TOKENIZERS

PROGRAM = "from speechlasso.cli import main; raise SystemExit(main())"
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    shutil.copy(REPOSITORY / "config.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def test_version(capsys):
    with pytest.raises(SystemExit) as done:
        main(["--version"])
    assert done.value.code == 0
    assert capsys.readouterr().out == f"speechlasso {__version__}\n"


def test_help_lists_the_commands(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = {"plan", "prune", "compare", "predict", "explain", "tokenizers", "systems"}
    commands |= {"metrics", "models", "selections", "schema"}
    assert commands <= set(capsys.readouterr().out.split())


def test_systems_describes_each_with_its_settings(capsys):
    assert main(["systems"]) == 0
    text = capsys.readouterr().out
    for card in SYSTEMS.cards():
        assert f"{card.name}\n  {card.description}" in text
        assert ", ".join(card.settings.model_fields) in text


def test_selections_describes_each_with_its_settings(capsys):
    assert main(["selections"]) == 0
    text = capsys.readouterr().out
    for card in SELECTIONS.cards():
        assert card.description and f"{card.name}\n  {card.description}" in text


def test_metrics_tells_direction_and_bounds(capsys):
    assert main(["metrics"]) == 0
    cards = dict(part.split("\n", 1) for part in capsys.readouterr().out.strip().split("\n\n"))
    assert list(cards) == list(METRICS)
    assert "the smallest" in cards["loss"] and "0 and inf" in cards["loss"]
    assert "the largest" in cards["uar"] and "0 and 1" in cards["uar"]
    assert "Needs:    evaluate.positive_label" in cards["positive_f1"]


@pytest.mark.parametrize("command", ["plan", "prune", "compare", "predict", "explain"])
def test_help_of_a_command_is_readable(command, capsys):
    with pytest.raises(SystemExit) as done:
        main([command, "--help"])
    assert done.value.code == 0
    # Where argparse fills in a default it halves percent signs, elsewhere it does not.
    assert "%%" not in capsys.readouterr().out


def test_plan_tells_what_is_cached_and_what_would_run(folder, capsys):
    assert main(["plan"]) == 0
    output = capsys.readouterr().out
    assert "would run" in output
    assert "cached" not in output
    leave_results(plan())
    main(["plan"])
    assert "would run" not in capsys.readouterr().out
    main(["plan", "--config", "select={lasso: {alpha: 3}}"])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "tokenize_audio" in line and "cached" in line]
    assert [line for line in lines if "select_tokens" in line and "would run" in line]


def test_plan_says_what_is_watched_and_how(folder, capsys):
    for name in ("lm", "codec"):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text("{}")
    (folder / "table.csv").write_text("id,audio,text,label\nu1,a.wav,word,x\n")
    mine = [
        "dataset={source: table, table: {path: table.csv}, folds: {method: stratified}}",
        *("lm={name: lm}", "tokenizer={method: mimi, model: codec}", "experiment={name: mine}"),
    ]
    assert main(["plan", "--config", *mine]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "mine watches the content of the table table.csv",
        "mine watches the content of the clips from when the manifest has recorded them (not yet)",
        "mine watches the content of the model files codec",
        "mine watches the content of the model files lm",
    ]
    with pytest.raises(SystemExit):
        main(["plan", "--help"])
    assert "SHA-256 changes, whatever their dates say" in " ".join(capsys.readouterr().out.split())


SWEEP = "select={lasso: {alpha: [8, 16]}}"


def test_plan_in_a_pipe_is_tab_separated_and_names_every_variant_in_full(folder):
    written = subprocess.run(
        [sys.executable, "-c", PROGRAM, "plan", "--config", SWEEP],
        stdout=subprocess.PIPE,
        env={**os.environ, "COLUMNS": "20"},
    ).stdout
    table = pd.read_csv(io.BytesIO(written), sep="\t", dtype=str)
    assert list(table) == ["experiment", "rule", "folder", "used by", "state"]
    swept = make_plan(load_settings(with_command_line(Settings().model_dump(), [SWEEP])))
    folders = [v.folder for variants in swept.variants.values() for v in variants.values()]
    assert sorted(table["folder"]) == sorted(folders)
    arms = set(table["used by"].str.split(", ").explode())
    assert {"lasso[alpha=8]", "lasso[alpha=16]", "text_only"} < arms


def test_plan_on_a_terminal_shows_names_in_brackets(folder):
    reading_end, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "plan", "--config", SWEEP],
        stdout=terminal,
        env={**os.environ, "COLUMNS": "300"},
    ):
        os.close(terminal)
        shown = b"".join(iter(lambda: _chunk(reading_end), b"")).decode()
    assert "lasso[alpha=8], " in shown and "lasso[alpha=16], " in shown
    assert "─" in shown, "a table to look at"


def _chunk(terminal):
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # how Linux tells that nobody writes any more
        return b""


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "model", "--text", b"caf\xe9"],
        ["predict", "model", "--audio", b"caf\xe9.wav"],
        ["plan", "--config", b"experiment={name: caf\xe9}"],
        ["compare", b"caf\xe9.csv"],
    ],
)
def test_bytes_that_are_no_text_are_refused(folder, arguments):
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], stderr=subprocess.PIPE, text=True
    )
    assert ended.returncode == 1
    assert "caf\\xe9" in ended.stderr and "is not UTF-8" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_prune_lists_and_deletes_what_no_configuration_reaches(folder, capsys):
    mine, other = plan(), plan(seeds=[1, 2, 7])
    leave_results(mine)
    leave_results(other)
    extra = {v.folder for vs in other.variants.values() for v in vs.values()} - {
        v.folder for vs in mine.variants.values() for v in vs.values()
    }
    assert main(["prune"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in extra)
    assert f"{len(extra)} folders" in listed
    assert all((folder / name).is_dir() for name in extra), "listing deletes nothing"
    main(["prune", "--config", "seeds=[1, 2, 7]"])
    assert "0 folders" in capsys.readouterr().out
    main(["prune", "--delete"])
    assert not any((folder / name).exists() for name in extra)
    assert all((folder / run.folders()["evaluation"]).is_dir() for run in mine.runs)


def test_prune_keeps_what_any_given_experiment_reaches(folder, capsys):
    leave_results(plan())
    leave_results(plan(seeds=[7]))
    (folder / "seven.yaml").write_text("seeds: [7]")
    main(["prune", "--configfile", "seven.yaml"])
    assert "0 folders" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plan", "--configfile", "nowhere.yaml"], "nowhere.yaml: no such file"),
        (["plan", "--config", "select"], "expected KEY=VALUE"),
        (["plan", "--config", "seeds=[1", "bow={}"], "--config seeds=[1: not valid YAML"),
        (["plan", "--config", "seeds=[-1]"], "seeds.0: input should be greater than or equal to 0"),
        (["plan", "--config", "finetun={}"], "did you mean 'finetune'?"),
    ],
)
def test_mistakes_end_with_a_message_and_exit_code_1(folder, capsys, arguments, message):
    assert main(arguments) == 1
    assert message in capsys.readouterr().err


def test_schema(capsys):
    assert main(["schema"]) == 0
    assert capsys.readouterr().out == json_schema()


def test_every_tokenizer_has_its_card(capsys):
    assert main(["tokenizers"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line in TOKENIZERS] == list(TOKENIZERS)
    for key in ("Codes", "Learns", "Settings", "Source"):
        assert sum(line.strip().startswith(f"{key}:") for line in lines) == len(TOKENIZERS.cards())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return make_trained_model(tmp_path_factory.mktemp("trained"), ("text", "audio"), epochs=2)


@pytest.fixture
def table(trained, tmp_path):
    """Three utterances, two clips of one among them, under other names than in training."""
    clips = [trained.manifest["audio"][number][0] for number in range(4)]
    rows = pd.DataFrame(
        {
            "name": ["a", "b", "c"],
            "text": ["the cat", "a dog", "the river"],
            "audio": [clips[0], f"{clips[1]}|{clips[2]}", clips[3]],
        }
    )
    rows.to_csv(tmp_path / "new.csv", index=False)
    return tmp_path / "new.csv"


def run(capsys, command, trained, *arguments):
    assert main([command, str(trained.folder), *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_predict_says_the_same_in_every_format(trained, table, capsys, tmp_path):
    options = ("--manifest", table, "--column", "id=name")
    model = speechlasso.load(trained.folder)
    expected = model.predict_utterances(model.read_manifest(table, columns={"id": "name"}))
    screen = run(capsys, "predict", trained, *options).splitlines()
    assert [line.split() for line in screen[1:]] == [
        [row.id, row.predicted, f"{row.p_calm:.3f}", f"{row.p_loud:.3f}"]
        for row in expected.itertuples()
    ]
    csv = pd.read_csv(io.StringIO(run(capsys, "predict", trained, *options, "--format", "csv")))
    pd.testing.assert_frame_equal(csv, expected, check_dtype=False, rtol=1e-12)
    records = json.loads(run(capsys, "predict", trained, *options, "--format", "json"))
    assert [record["probabilities"]["loud"] for record in records] == expected["p_loud"].tolist()
    assert [record["n_audio_tokens"] for record in records] == expected["n_audio_tokens"].tolist()
    for kind in ("csv", "json"):
        path = tmp_path / f"out.{kind}"
        path.symlink_to(tmp_path / f"real.{kind}")
        assert run(capsys, "predict", trained, *options, "--output", path) == ""
        assert path.read_text() == run(capsys, "predict", trained, *options, "--format", kind)
        assert path.is_symlink()


def test_predict_one_utterance_of_several_clips(trained, capsys):
    clips = trained.manifest["audio"][0] + trained.manifest["audio"][1]
    options = ("--audio", *clips, "--text", "the cat", "--format", "json", "--threads", 2)
    (record,) = json.loads(run(capsys, "predict", trained, *options))
    expected = speechlasso.load(trained.folder).predict(text="the cat", audio=clips)
    assert record["probabilities"]["calm"] == pytest.approx(expected["p_calm"].item(), abs=1e-6)


def test_the_mean_probabilities_of_several_models_decide(trained, table, capsys, tmp_path):
    options = ("--manifest", table, "--column", "id=name", "--format", "csv")
    # The same model with a head that has turned round and is surer of itself.
    other = shutil.copytree(trained.folder, tmp_path / "other")
    weights = load_file(other / "model.safetensors")
    weights["classifier.weight"] *= -3
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})

    def predictions(*arguments):
        return pd.read_csv(io.StringIO(run(capsys, "predict", trained, *arguments))).set_index("id")

    alone = predictions(*options)
    assert main(["predict", str(other), *map(str, options)]) == 0
    of_other = pd.read_csv(io.StringIO(capsys.readouterr().out)).set_index("id")
    assert (of_other["predicted"] != alone["predicted"]).any()
    together = predictions(other, *options)
    columns = ["p_calm", "p_loud"]
    np.testing.assert_allclose(together[columns], (alone[columns] + of_other[columns]) / 2)
    likeliest = together[columns].idxmax(axis=1).str.removeprefix("p_")
    assert together["predicted"].tolist() == likeliest.tolist()
    assert list(together) == list(alone)

    # A tuned threshold counts too: beside one half, the mean of both decides.
    config = json.loads((other / "config.json").read_text())
    between = together["p_loud"].max() + 0.01
    config["decision_threshold"] = {"label": "loud", "probability": 2 * between - 0.5}
    (other / "config.json").write_text(json.dumps(config))
    assert set(predictions(other, *options)["predicted"]) == {"calm"} != set(likeliest)

    del config["decision_threshold"]
    config["id2label"] = {"0": "calm", "1": "angry"}
    config["label2id"] = {"calm": 0, "angry": 1}
    (other / "config.json").write_text(json.dumps(config))
    assert main(["predict", str(trained.folder), str(other), *map(str, options)]) == 1
    assert "models of different classes cannot be averaged" in capsys.readouterr().err


def test_explain_says_the_same_in_every_format_and_draws(trained, table, capsys, tmp_path):
    options = ("--manifest", table, "--column", "id=name", "--id", "b", "--window", 0.5)
    csv = pd.read_csv(io.StringIO(run(capsys, "explain", trained, *options, "--format", "csv")))
    (record,) = json.loads(run(capsys, "explain", trained, *options, "--format", "json"))
    assert set(csv["id"]) == {"b"} and record["id"] == "b"
    assert [part["effect"] for part in record["parts"]] == pytest.approx(csv["effect"].tolist())
    figure = tmp_path / "why.svg"
    figure.symlink_to(tmp_path / "real.svg")
    screen = run(capsys, "explain", trained, *options, "--figure", figure)
    assert f"b: {record['predicted']}, probability" in screen
    assert "s of u1.wav: audio tokens" in screen and "s of u2.wav: audio tokens" in screen
    assert figure.read_text().startswith("<svg") and figure.is_symlink()
    both = run(capsys, "explain", trained, *options, "--id", "a", "--format", "csv")
    assert set(pd.read_csv(io.StringIO(both))["id"]) == {"a", "b"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text", "a"], "no audio is given"),
        (["--manifest", "new.csv", "--text", "a"], "give one or the other"),
        (["--manifest", "new.csv"], "--column id: no column 'id'"),
        (["--manifest", "new.csv", "--column", "id"], "--column id: expected id=VALUE"),
        (
            ["--manifest", "new.csv", "--column", "id=name", "--id", "z"],
            "no utterance has the id z",
        ),
        (["--manifest", "new.csv", "--output", "x.txt"], "say in which format"),
        (["--text", "a", "--threads", "0"], "--threads 0: expected at least 1"),
    ],
)
def test_mistakes_in_what_to_predict(trained, table, capsys, monkeypatch, arguments, message):
    monkeypatch.chdir(table.parent)
    assert main(["predict", str(trained.folder), *arguments]) == 1
    assert message in capsys.readouterr().err


def test_a_figure_shows_one_utterance(trained, table, capsys):
    options = ["--manifest", str(table), "--column", "id=name", "--figure"]
    assert main(["explain", str(trained.folder), *options, "why.svg"]) == 1
    assert "--figure shows one utterance, but these are 3" in capsys.readouterr().err
    assert main(["explain", str(trained.folder), *options, "why.gif"]) == 1
    assert "expected a name that ends in .svg or .png" in capsys.readouterr().err


def test_a_reader_that_stops_early_is_no_error():
    reading_end, writing_end = os.pipe()
    os.close(reading_end)
    with os.fdopen(writing_end) as pipe:
        ended = subprocess.run(
            [sys.executable, "-c", PROGRAM, "schema"],
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert (ended.returncode, ended.stderr) == (0, "")
