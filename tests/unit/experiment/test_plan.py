"""The plan: equal work shares a folder, different work never does."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import AFTER_SELECTION, changed_stages, keys_by_stage, leave_one_speaker_out, plan

from speechlasso.errors import InputError
from speechlasso.experiment.plan import make_plan
from speechlasso.experiment.settings import Settings


@pytest.mark.parametrize(
    ("override", "changed"),
    [
        ({"select": {"lasso": {"alpha": 20}}}, AFTER_SELECTION),
        ({"finetune": {"epochs": 3}}, {"finetune", "predict", "evaluate"}),
        ({"adapt": {"epochs": 3}}, {"adapt_lm", "finetune", "predict", "evaluate"}),
        ({"arms": {"bow_linear": {"C": [1.0]}}}, {"fit_linear", "evaluate"}),
        ({"bow": {"layers": 2}}, {"build_bow", "fit_path", *AFTER_SELECTION}),
        ({"select": {"lasso": {"inputs": "audio"}}}, {"fit_path", *AFTER_SELECTION}),
        ({"select": {"lasso": {"n_subsamples": 3}}}, {"describe_selection"}),
        ({"experiment": {"name": "other"}}, set()),
        ({"finetune": {"lora": {"rank": 2}}}, set()),
        ({"dataset": {"table": {"path": "unused.csv"}}}, set()),
        ({"dataset": {"table": {"columns": {"audio": None}}}}, set()),
    ],
)
def test_a_change_reaches_the_stages_that_read_it_and_no_other(override, changed):
    assert changed_stages(plan(), plan(**override)) == changed


def test_text_only_needs_no_audio_stage():
    alone = plan(experiment={"arms": ["text_only"]})
    for stage in (
        "fit_tokenizer",
        "tokenize_audio",
        "build_bow",
        "select_tokens",
        "adapt_lm",
        "fit_linear",
    ):
        assert alone.keys(stage) == []


def test_a_new_seed_adds_training_and_random_draws_only():
    more = keys_by_stage(plan(seeds=[1, 2, 3]))
    before = keys_by_stage(plan())
    assert all(before[stage] <= more[stage] for stage in before)
    changed = {stage for stage in before if before[stage] != more[stage]}
    assert changed == AFTER_SELECTION - {"fit_linear", "describe_selection"}
    assert len(more["select_tokens"] - before["select_tokens"]) == 1  # the random one


def test_arms_share_equal_work():
    arms = {"again": {"select": "lasso"}}
    assert keys_by_stage(plan()) == keys_by_stage(
        plan(arms=arms, experiment={"arms": [*Settings().experiment.arms, "again"]})
    )


def test_a_number_has_one_folder_however_it_is_written():
    written = [{"select": {"lasso": {"alpha": alpha}}} for alpha in (20, 20.0, "2e1")]
    assert len({tuple(plan(**override).keys("select_tokens")) for override in written}) == 1


@pytest.mark.slow
@settings(max_examples=20)
@given(
    st.lists(st.floats(0.01, 1e4), min_size=2, max_size=5, unique=True),
    st.lists(st.integers(0, 10**6), min_size=1, max_size=3, unique=True),
)
def test_different_settings_never_share_a_folder(alphas, seeds):
    arms = {"arms": ["text_only", "lasso"]}
    plans = [
        plan(select={"lasso": {"alpha": alpha}}, seeds=seeds, experiment=arms) for alpha in alphas
    ]
    for stage in ("select_tokens", "adapt_lm", "finetune"):
        owned = [set(a_plan.keys(stage)) for a_plan in plans]
        text_arms = set.intersection(*owned)
        assert sum(len(keys - text_arms) for keys in owned) == len(set().union(*owned) - text_arms)


def test_a_list_of_alphas_runs_every_arm_that_reads_it_once_for_each():
    swept = plan(select={"lasso": {"alpha": [4, 8]}}, seeds=[1])
    assert {run.arm for run in swept.runs} == {
        "text_only",
        *(f"{arm}[alpha={alpha}]" for alpha in (4, 8) for arm in Settings().experiment.arms[1:]),
    }
    assert len(swept.keys("fit_path")) == 1, "all alphas lie on one path"
    single = keys_by_stage(plan(select={"lasso": {"alpha": 8}}, seeds=[1]))
    assert all(single[stage] <= keys_by_stage(swept)[stage] for stage in single)


def test_an_alpha_that_is_not_read_changes_nothing():
    sized = [plan(select={"lasso": {"n_tokens": 30, "alpha": alpha}}) for alpha in (1, "cv")]
    assert keys_by_stage(sized[0]) == keys_by_stage(sized[1])


@pytest.mark.parametrize(
    "setting", [{"splice": 0.5}, {"token_dropout": 0.3}, {"new_rows_rate": 10.0}]
)
def test_settings_about_audio_tokens_concern_only_arms_that_read_them(setting):
    plain, changed = plan(), plan(finetune=setting)
    same = set(plain.keys("finetune")) & set(changed.keys("finetune"))
    text_only = {run.folders()["training"] for run in plain.runs if run.arm == "text_only"}
    assert {f"results/finetune/{key}" for key in same} == text_only


def test_controls_take_their_size_from_a_lasso():
    select = {
        "chi": {"method": "chi_square"},
        "stable": {"method": "stability", "like": "lasso"},
    }
    arms = {"chi": {"select": "chi"}, "stable": {"select": "stable"}}
    made = plan(select=select, arms=arms, experiment={"arms": ["chi", "stable"]}, seeds=[1])
    for run in made.runs:
        (like,) = [v.upstream["like"] for v in run.with_ancestors() if "like" in v.upstream][:1]
        assert like.settings.selection.method == "lasso"
        assert f"/{'chi_square' if run.arm == 'chi' else 'stability'}-" in run.folders()["select"]


@pytest.mark.slow
def test_keys_are_the_same_in_another_process():
    program = (
        "from speechlasso.experiment.load import load_settings; "
        "from speechlasso.experiment.plan import make_plan; "
        "import sys; print(make_plan(load_settings({})).keys('finetune')); "
        "sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, "planning must not import torch or scikit-learn"
    assert run.stdout.strip() == str(plan().keys("finetune"))


def test_folders_say_what_they_hold():
    for stage in plan().variants:
        for key in plan().keys(stage):
            assert re.fullmatch(r"[A-Za-z0-9_.-]+-[0-9a-f]{10}", key)


def test_index_names_the_runs_own_folders():
    a_plan = plan()
    by_run = {(row["arm"], row["seed"]): row for row in a_plan.index()}
    assert len(by_run) == len(a_plan.runs) == 10
    assert by_run["lasso", 1]["select"] == by_run["lasso", 2]["select"]
    assert "/random-" in by_run["random", 1]["select"]
    assert by_run["random", 1]["select"] != by_run["random", 2]["select"]
    assert "select" not in by_run["text_only", 1]
    # The random one needs the selection whose size it has as well.
    random = next(run for run in a_plan.runs if run.arm == "random")
    selections = {folder for folder in random.all_folders() if "/select_tokens/" in folder}
    assert selections == {by_run[arm, random.seed]["select"] for arm in ("lasso", "random")}


def test_all_that_scores_has_the_positive_label():
    a_plan = plan(evaluate={"metric": "positive_f1", "positive_label": "tense"}, seeds=[1])
    for stage in ("evaluate", "finetune", "fit_linear"):
        settings = [variant.settings for variant in a_plan.variants[stage].values()]
        found = {getattr(each, "criterion", each).positive_label for each in settings}
        assert settings and found == {"tense"}


def test_a_missing_table_is_an_input_error():
    with pytest.raises(InputError, match=r"nowhere\.csv: no such file"):
        plan(dataset=leave_one_speaker_out("nowhere.csv"))


def test_missing_files_of_a_tokenizer_are_all_named():
    files = {"checkpoint": "no/such.pt", "config": "no/such.json"}
    with pytest.raises(InputError) as error:
        make_plan(Settings(tokenizer={"method": "speechtokenizer", **files}))
    assert all(path in str(error.value) for path in files.values())


def test_lists_of_learning_rates_and_ranks_are_swept_together_by_the_arms_that_read_them():
    finetune = {"method": "lora", "learning_rate": [1e-3, 2e-3], "lora": {"rank": [8, 16]}}
    arms = ["text_only", "lasso", "bow_linear"]
    swept = plan(finetune=finetune, seeds=[1], experiment={"arms": arms})
    pairs = [f"[learning_rate={rate},rank={rank}]" for rate in (0.001, 0.002) for rank in (8, 16)]
    expected = [f"{arm}{pair}" for arm in ("text_only", "lasso") for pair in pairs]
    assert [run.arm for run in swept.runs] == [*expected, "bow_linear"]
    of_run = {
        run.arm: next(v for v in run.evaluation.with_ancestors() if v.stage == "finetune")
        for run in swept.runs
        if run.arm != "bow_linear"
    }
    settings = of_run["lasso[learning_rate=0.002,rank=8]"].settings.finetune
    assert (settings.learning_rate, settings.lora.rank) == (0.002, 8)
    assert len(swept.keys("adapt_lm")) == 1

    # Ranks are not read without LoRA.
    full = plan(finetune=finetune | {"method": "full"}, seeds=[1], experiment={"arms": ["lasso"]})
    assert [run.arm for run in full.runs] == [
        "lasso[learning_rate=0.001]",
        "lasso[learning_rate=0.002]",
    ]


def test_a_table_of_text_alone_has_no_codes(tmp_path):
    table = tmp_path / "texts.csv"
    table.write_text("text,label,split\na,x,train\nb,y,val\nc,x,test\n")
    columns = {"id": None, "audio": None, "split": "split"}
    arms = {
        "words": {"inputs": ["text"]},
        "counts": {"inputs": ["text"], "system": "bow_linear"},
    }
    a_plan = plan(
        dataset={"source": "table", "table": {"path": str(table), "columns": columns}},
        arms=arms,
        experiment={"arms": list(arms)},
    )
    assert not a_plan.keys("tokenize_audio") and not a_plan.keys("fit_tokenizer")
    assert a_plan.keys("build_bow") and a_plan.keys("finetune")


def test_values_that_are_not_read_or_repeated_make_no_runs_of_their_own():
    select = {"lasso": {"alpha": [4, 8], "n_tokens": 20}}
    finetune = {"learning_rate": [1e-3, 1e-3]}
    runs = plan(select=select, finetune=finetune, seeds=[1], experiment={"arms": ["lasso"]}).runs
    assert [run.arm for run in runs] == ["lasso[learning_rate=0.001]"]


def test_starting_rows_do_not_touch_text_alone():
    arms = {"experiment": {"arms": ["text_only"]}}
    keys = [keys_by_stage(plan(lm={"new_rows": start}, **arms)) for start in ("mean", "random")]
    assert keys[0] == keys[1]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"select": {"lasso": {"layers": [1, 4]}}}, "layers 4 are not .* which are 0, 1, 2, 3 "),
        ({"bow": {"layers": 2}, "select": {"lasso": {"layers": [0]}}}, "which are 2, 3 "),
        ({"bow": {"layers": 5}}, "bow.layers: 5, but the speech tokenizer has 4"),
    ],
)
def test_codec_layers_that_there_will_not_be_are_told_before_anything_runs(override, message):
    with pytest.raises(InputError, match=message):
        plan(tokenizer={"method": "spectral_rvq"}, **override)


def test_the_random_control_and_the_dummy_have_a_seed_in_their_keys_and_logistic_regression_none():
    def n_linear(classifier):
        arms = {"bow_linear": {"classifier": classifier}}
        return len(plan(experiment={"arms": ["bow_linear"]}, arms=arms).keys("fit_linear"))

    assert (n_linear("logistic_regression"), n_linear("dummy")) == (1, 2)
    layers = plan(select={"lasso": {"layers": [1, 2]}})
    draws = [
        variant.settings
        for variant in layers.variants["select_tokens"].values()
        if variant.settings.selection.method == "random"
    ]
    assert sorted((draw.seed, draw.fold) for draw in draws) == [(1, "given"), (2, "given")]
    assert all(draw.layers == [1, 2] for draw in draws)
    of_arms = layers.codec_layers()
    assert of_arms["lasso"] == of_arms["random"] == "1, 2" and "text_only" not in of_arms
    assert plan(bow={"layers": 2}).codec_layers()["lasso"] == "last 2"
    assert set(plan().codec_layers().values()) == {"all"}


def test_what_tables_and_intervals_read_of_each_run():
    a_plan = plan(seeds=[1, 2])
    runs = {run.arm: run for run in a_plan.runs}
    expected = {
        "text_only": ["evaluation/metrics.json", "training/training.json"],
        "bow_linear": [
            *("evaluation/metrics.json", "training/training.json", "select/selection.json"),
        ],
        "lasso": [
            *("evaluation/metrics.json", "training/training.json"),
            *("adapt/training_log.csv", "adapt/spec.json", "select/selection.json"),
        ],
    }
    for arm, files in expected.items():
        folders = runs[arm].folders()
        paths = [folders[file.split("/")[0]] + "/" + file.split("/")[1] for file in files]
        assert runs[arm].files() == paths
        assert set(paths) <= set(a_plan.run_files())
        adapt = folders.get("adapt")
        assert runs[arm].overlap_files() == ([f"{adapt}/overlap.json"] if adapt else [])
        assert runs[arm].test_row_files() == [
            f"{folders['predictions']}/predictions.parquet",
            f"{folders['manifest']}/manifest.parquet",
            f"{folders['evaluation']}/spec.json",
        ]
    assert len(a_plan.run_files()) == len(set(a_plan.run_files()))
    assert set(a_plan.test_row_files()) == {f for run in a_plan.runs for f in run.test_row_files()}
    several = plan(dataset={"folds": {"method": "stratified", "n_folds": 2}}, seeds=[1])
    assert set(several.test_row_files()) == {
        f for run in several.runs for f in run.test_row_files()
    }


def test_a_selection_by_a_rule_has_a_page_of_evidence_and_one_by_chance_has_none():
    a_plan = plan(seeds=[1])
    described = {run.arm for run in a_plan.runs if run.description}
    assert described == {"audio_only", "lasso", "bow_linear"}
    lasso = next(run for run in a_plan.runs if run.arm == "lasso")
    assert f"{lasso.description.folder}/page.html" in a_plan.description_files()
    assert {v.stage for v in lasso.description.with_ancestors()} >= {
        "select_tokens",
        "fit_path",
        "tokenize_audio",
    }


def test_the_demo_has_as_many_rows_as_its_speakers_speak():
    demo = {"train_speakers": 5, "validation_speakers": 3, "test_speakers": 2}
    a_plan = plan(dataset={"demo": demo | {"utterances_per_speaker": 7}})
    assert list(a_plan.n_rows.values()) == [70]


def test_codes_keep_the_division_in_which_they_are_complete(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    demo = {"train_speakers": 5, "validation_speakers": 3, "test_speakers": 2}
    demo |= {"utterances_per_speaker": 7}

    def shards():
        a_plan = plan(dataset={"demo": demo}, audio={"shard_size": 30})
        (codes,) = a_plan.variants["tokenize_audio"].values()
        return codes.folder, a_plan.shards(codes)

    folder, first = shards()
    assert first == [f"{folder}/shard-{i}-of-3.parquet" for i in range(3)]
    (tmp_path / folder).mkdir(parents=True)
    for name in ("shard-0-of-2", "shard-1-of-2"):
        assert shards()[1] == first, "not all parts of two are written"
        (tmp_path / folder / f"{name}.spec.json").touch()
        assert shards()[1] == first, "a record without its codes"
        (tmp_path / folder / f"{name}.parquet").touch()
    assert shards()[1] == [f"{folder}/shard-{i}-of-2.parquet" for i in range(2)]
    for i in range(3):
        for kind in ("spec.json", "parquet"):
            (tmp_path / folder / f"shard-{i}-of-3.{kind}").touch()
    assert shards()[1] == first, "the division asked for, if it is complete"


def test_folders_begin_with_what_their_stage_does(table):
    def labels(a_plan):
        return {
            stage: {key.rpartition("-")[0] for key in a_plan.keys(stage)}
            for stage in a_plan.variants
        }

    assert labels(plan()) == {
        "demo_corpus": {"espeak"},
        "manifest": {"demo"},
        "divide_folds": {"given"},
        "schedule_examples": set(),
        "fit_tokenizer": {"hidden_state_codes"},
        "tokenize_audio": {"hidden_state_codes"},
        "encode_audio": {"whisper-tiny.en"},
        "build_bow": {"counts"},
        "fit_path": {"joint"},
        "select_tokens": {"lasso", "random"},
        "describe_selection": {"lasso"},
        "token_texts": {"text", "audio", "text-audio"},
        "answer_instructions": set(),
        "adapt_lm": {"all-MiniLM-L6-v2"},
        "finetune": {"token_lm"},
        "fit_linear": {"bow_linear"},
        "predict": {"token_lm"},
        "evaluate": {"metrics"},
    }
    mine = labels(plan(dataset=leave_one_speaker_out(table), lm={"name": "some/where else/"}))
    assert (mine["manifest"], mine["divide_folds"]) == ({"table"}, {"leave_one_group_out"})
    assert mine["adapt_lm"] == {"where_else"}
