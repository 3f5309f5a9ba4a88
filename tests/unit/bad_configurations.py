"""Configurations that are wrong, on top of config.yaml."""

from __future__ import annotations

from pathlib import Path

import yaml
from bad_input import bad

IN_YAML = "Correct it there; config.yaml shows how keys and values are written"
KEY = "Correct these keys; config.yaml explains each one"
ALIASES = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join(10 * [f'*a{n - 1}'])}]\n" for n in range(1, 9)
)

# What is wrong, a file or what it says, what the message names, and the remedy.
FILES: list[tuple[str, bytes | str, str, str]] = [
    (
        "a bracket that is not closed",
        "seeds: [1, 2\n",
        "mine.yaml: not valid YAML: line 2",
        IN_YAML,
    ),
    (
        "a tab for indentation",
        "experiment:\n\tname: a\n",
        "line 2, column 1: found character",
        IN_YAML,
    ),
    (
        "a colon within a text",
        "experiment:\n  name: a: b\n",
        "line 2, column 10: mapping values are not allowed",
        IN_YAML,
    ),
    (
        "a quotation mark that is not closed",
        "experiment: {name: 'a}\n",
        "line 2, column 1: found unexpected end of stream",
        IN_YAML,
    ),
    (
        "a key twice",
        "seeds: [1]\nseeds: [2]\n",
        "line 2, column 1: the key 'seeds' stands there twice",
        "leave out one",
    ),
    (
        "a key twice within a section",
        "finetune:\n  epochs: 1\n  lora: {}\n  epochs: 2\n",
        "line 4, column 3: the key 'epochs' stands there twice",
        "leave out one",
    ),
    ("an alias of nothing", "seeds: *mine\n", "line 1, column 8: found undefined alias", IN_YAML),
    (
        "an alias within its own anchor",
        "select: &a {b: *a}\n",
        "this stands within itself",
        IN_YAML,
    ),
    (
        "aliases of aliases of aliases ...",
        ALIASES,
        "more than 100000 values, by its aliases",
        IN_YAML,
    ),
    (
        "brackets a thousand deep",
        "seeds: " + 600 * "[",
        "its brackets stand in each other too deeply",
        IN_YAML,
    ),
    (
        "a tag that would run code",
        "seeds: !!python/name:os.system\n",
        "could not determine a constructor for the tag",
        IN_YAML,
    ),
    ("a date that is none", "experiment: {name: 2024-13-45}\n", "month must be in 1..12", IN_YAML),
    (
        "a number of 5000 digits",
        f"seeds: [{5000 * '9'}]\n",
        "for integer string conversion: value has 5000 digits",
        IN_YAML,
    ),
    (
        "two documents in one file",
        "seeds: [1]\n---\nbow: {}\n",
        "but found another document",
        IN_YAML,
    ),
    ("a zero byte", "seeds: [1]\0\n", "unacceptable character #x0000", IN_YAML),
    ("bytes that are no text", bytes(range(32, 256)), "byte 0x80 is not UTF-8", "save it as UTF-8"),
    ("Latin-1", b"seeds: [1]\n# \xfc\n", "line 2: byte 0xfc is not UTF-8", "save it as UTF-8"),
    ("UTF-16", "seeds: [1]\n".encode("utf-16"), "byte 0xff is not UTF-8", "save it as UTF-8"),
    ("a list for sections", "- seeds\n", "mine.yaml: expected sections", "such as `experiment:`"),
    ("a word for sections", "seeds\n", "mine.yaml: expected sections", "such as `experiment:`"),
]
VALUES: list[tuple[str, str, str, str]] = [
    ("an unknown section", "finetun: {}", "finetun: unknown key", "did you mean 'finetune'?"),
    (
        "an unknown key",
        "finetune: {epoch: 1}",
        "finetune.epoch: unknown key",
        "did you mean 'epochs'?",
    ),
    (
        "two mistakes in two sections",
        "{finetune: {epochs: many}, bow: {layers: two}}",
        "bow.layers: input should be a valid integer",
        KEY,
    ),
    ("a number for a key", "1: x", "1: keys should be strings", KEY),
    ("nothing for a section", "finetune:", "finetune: input should be a valid dictionary", KEY),
    ("a list for a section", "audio: [1]", "audio: input should be a valid dictionary", KEY),
    (
        "a word for a number",
        "finetune: {epochs: ten}",
        "finetune.epochs: input should be a valid integer",
        KEY,
    ),
    (
        "a fraction for a whole number",
        "finetune: {epochs: 1.5}",
        "finetune.epochs: input should be a valid integer",
        KEY,
    ),
    (
        "a number below its range",
        "finetune: {batch_size: 0}",
        "finetune.batch_size: input should be greater than 0",
        KEY,
    ),
    (
        "a number above its range",
        "audio: {max_bad_share: 2}",
        "audio.max_bad_share: input should be less than 1",
        KEY,
    ),
    (
        "not a number",
        "finetune: {learning_rate: .nan}",
        "finetune.learning_rate: input should be a finite number",
        KEY,
    ),
    (
        "infinity",
        "adapt: {learning_rate: .inf}",
        "adapt.learning_rate: input should be a finite number",
        KEY,
    ),
    (
        "an enormous number of voices",
        "dataset: {demo: {train_speakers: 99999999999}}",
        "dataset.demo.train_speakers: input should be less than or equal to 1000",
        KEY,
    ),
    (
        "an enormous number of folds",
        "dataset: {folds: {method: stratified, n_folds: 1000000000000}}",
        "dataset.folds.n_folds: input should be less than or equal to 1000",
        KEY,
    ),
    ("no seeds", "seeds: []", "seeds: list should have at least 1 item", KEY),
    ("a seed twice", "seeds: [1, 1.0]", "seeds: value error, each seed once", KEY),
    ("a seed below 0", "seeds: [-1]", "seeds.0: input should be greater than or equal to 0", KEY),
    ("no arms", "experiment: {arms: []}", "experiment.arms: list should have at least 1", KEY),
    ("an arm twice", "experiment: {arms: [lasso, lasso]}", "'lasso' stands there 2 times", KEY),
    (
        "an unknown arm",
        "experiment: {arms: [laso]}",
        "experiment.arms.0: no arm is named",
        "mean 'lasso'?",
    ),
    (
        "an arm that reads audio without a selection",
        "{arms: {mine: {system: token_lm}}, experiment: {arms: [mine]}}",
        "arms.mine.select: an arm that reads audio needs a selection",
        "all, lasso, random",
    ),
    (
        "an arm without audio with a selection",
        "{arms: {mine: {inputs: [text], select: lasso}}, experiment: {arms: [mine]}}",
        "arms.mine.select: an arm without audio among its inputs has nothing to select",
        KEY,
    ),
    (
        "two arms that read each other",
        "{arms: {a: {system: late_fusion, arms: [b, lasso]}, "
        "b: {system: late_fusion, arms: [a, lasso]}}, experiment: {arms: [a]}}",
        "arms.b: an arm cannot read its own predictions: a -> b -> a",
        "name other arms",
    ),
    (
        "an arm that overrides the seeds",
        "{arms: {lasso: {override: {seeds: [3]}}}}",
        "arms.lasso.override.seeds: an arm can override these sections only",
        "encoder, tokenizer, bow",
    ),
    ("a path for a name", "experiment: {name: ../x}", "experiment.name: string should match", KEY),
    ("a name too long", f"experiment: {{name: {300 * 'x'}}}", "at most 100 characters", KEY),
    (
        "an unknown method",
        "tokenizer: {method: mimmi}",
        "no tokenizer is called 'mimmi'",
        "mean 'mimi'?",
    ),
    (
        "a key of another method",
        "tokenizer: {method: mimi, codebook_size: 4}",
        "tokenizer.codebook_size: not a key of this method, but of",
        "hidden_state_codes",
    ),
    (
        "an unknown metric",
        "evaluate: {metric: f1}",
        "evaluate.metric: no metric is called 'f1'",
        "known here: accuracy",
    ),
    (
        "a metric without its positive class",
        "evaluate: {metric: positive_f1}",
        "evaluate.positive_label: metric positive_f1 needs to know the positive class",
        KEY,
    ),
    (
        "a reference that does not run",
        "{experiment: {arms: [lasso, random]}, evaluate: {reference: text_only}}",
        "evaluate.reference: no arm of experiment.arms is 'text_only'",
        "known here: lasso, random",
    ),
    (
        "a layer that the encoder does not keep",
        "tokenizer: {method: hidden_state_codes, layers: [9]}",
        "tokenizer.layers: [9] are not among the layers [2]",
        "name them in encoder.layers, too",
    ),
    ("more layers than codes have", "bow: {layers: 99}", "bow.layers: 99, but", "use at most 64"),
    (
        "a module that is not there",
        "plugins: [my_methods]",
        "my_methods: ModuleNotFoundError",
        "put the modules' files into",
    ),
    (
        "a table without its path",
        "dataset: {source: table}",
        "dataset.table.path: source: table needs the path of the table",
        KEY,
    ),
    (
        "folds by speaker without the column",
        "dataset: {source: table, table: {path: a.csv}, folds: {method: grouped}}",
        "dataset.table.columns.group: folds.method: grouped needs the group column's name",
        KEY,
    ),
    (
        "a fold that is not there",
        "dataset: {folds: {only: ['7']}}",
        "dataset.folds.only: no fold is named '7'",
        "Folds: given",
    ),
]
ARGUMENTS: list[tuple[str, list[str], str, str]] = [
    ("a setting without a value", ["--config", "seeds"], "--config seeds: expected", "KEY=VALUE"),
    ("a setting that is no YAML", ["--config", "seeds=[1"], "--config seeds=[1: not", IN_YAML),
    (
        "a file that is not there",
        ["--configfile", "nowhere.yaml"],
        "nowhere.yaml: no such file",
        "give its path from the folder of config.yaml, where speechlasso is to be run",
    ),
]


def plan(folder: Path, content: bytes | str, *arguments: str) -> list[str]:
    (folder / "config.yaml").write_text("")  # all at its default
    (folder / "mine.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    return ["speechlasso", "plan", "--configfile", "mine.yaml", *arguments]


for what, content, names, remedy in (*FILES, *VALUES):
    bad("configuration", what, names, remedy)(lambda folder, c=content: plan(folder, c))
for what, arguments, names, remedy in ARGUMENTS:
    bad("configuration", what, names, remedy)(lambda folder, a=arguments: plan(folder, "", *a))


@bad("configuration", "a folder for a file", "mine.yaml: is a folder", "name a file")
def _(folder):
    command = plan(folder, "")
    (folder / "mine.yaml").unlink()
    (folder / "mine.yaml").mkdir()
    return command


@bad(
    "configuration", "no config.yaml", "config.yaml: no such file", "where speechlasso is to be run"
)
def _(folder):
    return ["speechlasso", "plan"]


assert all(yaml.safe_load(value) for _, value, _, _ in VALUES)
