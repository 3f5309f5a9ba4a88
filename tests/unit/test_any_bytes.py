"""Whatever bytes a file of the user's holds, reading it gives a result or one clear error.

Clips: audio/test_damaged_audio.py.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from speechlasso.data.manifest import read_manifest
from speechlasso.data.settings import Columns, Table
from speechlasso.errors import InputError
from speechlasso.experiment.config_sources import read_config_file, with_command_line
from speechlasso.experiment.load import load_settings, merged
from speechlasso.experiment.settings import Settings
from speechlasso.integrity import require_intact
from speechlasso.tokenizers.learned_file import read_learned
from speechlasso.trained_model.recipe import Recipe

pytestmark = pytest.mark.slow

CONFIG = b"""seeds: [1, 2]
experiment: {name: mine, arms: [lasso, 'text_only']}
dataset:
  demo: &few {train_speakers: 2, seed: 0x10}
select: {lasso: {method: lasso, alpha: [1e-3, 4.5, .5], top_k: null}}
finetune: {learning_rate: 1.5e-4, epochs: 1_0, schedule: {scheme: direct_mix}}
arms:
  "mine": !!map {system: token_lm, select: lasso, override: {lm: {max_length: 99}}}
"""
ROWS = pd.DataFrame(
    {
        "id": ["u1", "u2", "u3"],
        "text": ['said "no"', "Müller, 日本", ""],
        "label": ["a", "b", "a"],
        "audio": ["a.wav", "b.wav|c.wav", "d.wav"],
        "start": [0.5, None, 1.0],
        "end": [1.5, None, None],
    }
)
RECIPE = {"format": "speechlasso model 1", "inputs": ["text"], "columns": {"text": "text"}}
RECIPE["audio_separator"] = "|"


def parquet() -> bytes:
    stream = io.BytesIO()
    ROWS.to_parquet(stream)
    return stream.getvalue()


def configured(path: Path) -> None:
    config = read_config_file(path)
    load_settings(merged(Settings().model_dump(), config))


def a_table(path: Path) -> None:
    read_manifest(Table(path=str(path), columns=Columns(start="start", end="end")))


READERS: dict[str, tuple[bytes, Callable[[Path], object]]] = {
    "mine.yaml": (CONFIG, configured),
    "table.csv": (ROWS.to_csv(index=False).encode(), a_table),
    "table.tsv": (ROWS.to_csv(index=False, sep="\t").encode("utf-16"), a_table),
    "table.jsonl": (ROWS.to_json(orient="records", lines=True).encode(), a_table),
    "table.parquet": (parquet(), a_table),
    "speechlasso.json": (json.dumps(RECIPE).encode(), lambda path: Recipe.read(path.parent)),
    "spec.json": (b'{"sha256": {"a.wav": "00"}}', lambda path: require_intact([path.parent])),
    "learned.safetensors": (
        save({"a": np.zeros(3)}, {"settings": '{"format": "mine 1"}'}),
        lambda path: read_learned(path, "mine 1"),
    ),
}
MEANINGFUL = [b"{", b"}", b"[", b"]", b":", b": ", b"&a", b"*a", b"!!int ", b"- ", b"\n", b"'"]
MEANINGFUL += [b'"', b",", b"\t", b"\0", b"\xff", b"\xef\xbb\xbf", b"null", b"1e999", b"2024-99-99"]
MEANINGFUL += [b"<<", b"\xed\xa0\x80", b"NaN", b"-1", b"0x", b"~", b"9" * 5000, b"\\ud800", b"?"]
EDITS = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 4),
        st.one_of(st.sampled_from(MEANINGFUL), st.binary(max_size=4)),
    ),
    min_size=1,
    max_size=4,
)


def read_or_refused(read: Callable[[Path], object], path: Path) -> None:
    with suppress(InputError):
        read(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("bytes")


def alone(folder: Path, name: str) -> Path:
    """A file of that name, in a folder of its own."""
    (folder / name).mkdir(exist_ok=True)
    return folder / name / name


@pytest.mark.parametrize("name", READERS)
def test_whole_files_are_read(name, folder):
    content, read = READERS[name]
    alone(folder, name).write_bytes(content)
    if name != "spec.json":  # which names a file that is not there
        read(alone(folder, name))


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(edits=EDITS)
def test_edited_anywhere_it_is_read_or_refused(name, folder, edits):
    content, read = READERS[name]
    for share, n_gone, put in edits:
        place = int(share * len(content))
        content = content[:place] + put + content[place + n_gone :]
    alone(folder, name).write_bytes(content)
    read_or_refused(read, alone(folder, name))


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=20)
@given(share=st.floats(0, 1, exclude_max=True))
def test_cut_anywhere_it_is_read_or_refused(name, folder, share):
    content, read = READERS[name]
    alone(folder, name).write_bytes(content[: int(share * len(content))])
    read_or_refused(read, alone(folder, name))


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=5),
        st.dates(),
        st.sampled_from(["lasso", "text_only", "null", "cv", "1e400", "", "mimi", "late_fusion"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=4), st.integers()), inner, max_size=3),
        st.dictionaries(st.sampled_from(["method", "system", "arms", "select"]), inner),
    ),
    max_leaves=6,
)


def paths_of(section: dict, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    below = [
        path
        for key, value in section.items()
        if isinstance(value, dict)
        for path in paths_of(value, (*above, key))
    ]
    return [*((*above, key) for key in section), *below]


DEFAULTS = Settings().model_dump()


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(path=st.sampled_from(paths_of(DEFAULTS)), value=VALUES)
def test_any_value_of_any_key_is_taken_or_refused(path, value):
    if path == ("plugins",):  # which would be imported
        return
    for key in reversed(path):
        value = {key: value}
    with suppress(InputError):
        load_settings(merged(DEFAULTS, value))


@settings(max_examples=60)
@given(text=st.text(st.sampled_from("ab:=[]{},'\"&*!| \n-?~1."), max_size=24))
def test_any_argument_is_taken_or_refused(text):
    with suppress(InputError):
        with_command_line({}, [f"seeds={text}"])
