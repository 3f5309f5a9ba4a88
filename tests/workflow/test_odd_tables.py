"""Tables that are unlike the demo's: no words, and names that mean something to Snakemake, to a
shell, to a file system or to a browser."""

from __future__ import annotations

import numpy as np
import pandas as pd
import soundfile
from hostile_names import NAMES

ODD = "{odd} [x] $(touch ran) 'z'"
RATE = 16_000


def write_recordings(folder):
    """A table of tones of two pitches, without a column of words."""
    rng = np.random.default_rng(0)
    (folder / "{clips}").mkdir(parents=True)
    rows = []
    for number in range(48):
        odd = NAMES[number % len(NAMES)]
        name = f"{{clips}}/{{u}} [{number}] `touch ran` 'a'.wav"
        tone = np.sin(np.arange(RATE // 2) * (0.05 + 0.1 * (number % 2)))
        samples = 0.5 * tone + 0.01 * rng.standard_normal(len(tone))
        soundfile.write(folder / name, samples, RATE)
        split = ["train", "train", "validation", "test"][number % 8 // 2]
        rows.append([f"{odd} {number}", name, NAMES[-1 - number % 2], split, odd])
    table = pd.DataFrame(rows, columns=["id", "audio", "label", "split", "speaker"])
    table.to_csv(folder / "{table}.csv", index=False)


def test_a_table_without_words_in_a_folder_with_an_odd_name(workspace):
    write_recordings(workspace.folder / ODD)
    columns = {"split": "split", "text": None, "group": "speaker"}
    dataset = {"source": "table", "table": {"path": f"{ODD}/{{table}}.csv", "columns": columns}}
    arm = {"inputs": ["audio"], "select": "lasso", "system": "bow_linear"}
    config = {"experiment": {"name": "odd", "arms": ["sound"]}, "arms": {"sound": arm}}
    workspace.write("odd.yaml", {**config, "dataset": dataset})
    # Joint with words that are not there, the lasso chooses among audio tokens alone.
    overlay = ["--configfile", "tiny.yaml", "odd.yaml"]
    output = workspace.run(*overlay)
    assert "Checking every clip of table-" in output
    runs = pd.read_csv(workspace.folder / "results/experiments/odd/runs.csv")
    assert runs.loc[runs["split"] == "test", "macro_f1"].tolist() == [1.0]
    assert workspace.planned_rules(*overlay) == set()
    assert not [path for path in workspace.folder.rglob("ran*")], "a name was run as a command"
