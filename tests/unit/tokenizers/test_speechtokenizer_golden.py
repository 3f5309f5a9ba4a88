"""SpeechTokenizer against the codes of the golden model."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_speechtokenizer import embedded

from speechlasso.pipeline.shards import shard_rows
from speechlasso.tokenizers import speechtokenizer
from speechlasso.tokenizers.codes import Codebooks, CodeTable
from speechlasso.tokenizers.settings import SpeechTokenizerMethod
from speechlasso.tokenizers.speechtokenizer import SpeechTokenizer, load
from speechlasso.tokenizers.tokenization import encode_utterances, load_tokenizer

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="session")
def golden_tokenizer(golden_files: dict[str, str]) -> SpeechTokenizer:
    return load(SpeechTokenizerMethod(method="speechtokenizer", **golden_files))


@pytest.fixture(scope="session")
def clips(golden: Path) -> dict[str, np.ndarray]:
    return dict(np.load(golden / "tiny" / "inputs.npz"))


@pytest.fixture(scope="session")
def expected(golden: Path) -> dict[str, np.ndarray]:
    return dict(np.load(golden / "tiny" / "expected.npz"))


def assert_threads(n_threads: int) -> None:
    """What torch may use, here and in threads that are yet to start."""
    assert torch.get_num_threads() == n_threads
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == n_threads


def assert_golden(
    names: list[str], codes: list[np.ndarray], expected: dict[str, np.ndarray]
) -> None:
    assert len(codes) == len(names)
    for name, clip_codes in zip(names, codes, strict=True):
        np.testing.assert_array_equal(clip_codes, expected[f"{name}_codes"], err_msg=name)


@pytest.mark.shared
def test_shape_is_that_of_the_golden_model(golden_tokenizer: SpeechTokenizer) -> None:
    shape = golden_tokenizer.n_layers, golden_tokenizer.codebook_size
    assert shape == (8, 64)
    assert (golden_tokenizer.sample_rate, golden_tokenizer.frame_rate) == (16_000, 50.0)


@pytest.mark.shared
def test_every_golden_clip_alone(golden_tokenizer, clips, expected) -> None:
    for name, waveform in clips.items():
        (codes,) = golden_tokenizer.encode([waveform])
        assert codes.dtype == np.int16
        assert_golden([name], [codes], expected)
        # The shortest clips' codes are right by many a wrong way; their embeddings are not.
        np.testing.assert_allclose(
            embedded(golden_tokenizer, waveform).T, expected[f"{name}_emb"], rtol=0, atol=1e-4
        )


@pytest.mark.shared
@settings(max_examples=10)
@given(data=st.data())
def test_golden_clips_in_any_order_and_company(golden_tokenizer, clips, expected, data) -> None:
    names = data.draw(st.permutations(sorted(clips)))
    names = names[: data.draw(st.integers(2, len(names)))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(speechtokenizer, "BATCH_CLIPS", data.draw(st.integers(1, 8)))
        codes = golden_tokenizer.encode([clips[name] for name in names])
    assert_golden(names, codes, expected)


@pytest.mark.shared
@pytest.mark.parametrize("n_layers", [1, 3])
def test_first_layers(n_layers, golden, golden_files, clips, expected) -> None:
    extra = np.load(golden / "tiny" / "expected_extra.npz")
    fewer = load(SpeechTokenizerMethod(method="speechtokenizer", n_layers=n_layers, **golden_files))
    assert fewer.n_layers == n_layers
    for name, waveform in clips.items():
        (codes,) = fewer.encode([waveform])
        np.testing.assert_array_equal(codes, extra[f"{name}_codes_nq{n_layers}"])
        np.testing.assert_array_equal(codes, expected[f"{name}_codes"][:n_layers])


@pytest.mark.shared
@pytest.mark.parametrize("n_threads", [2, 3])
def test_threads_change_nothing(n_threads, golden_tokenizer, clips, expected) -> None:
    torch.set_num_threads(n_threads)
    codes = golden_tokenizer.encode(list(clips.values()))
    assert_threads(n_threads)
    assert_golden(list(clips), codes, expected)


@pytest.mark.shared
def test_an_error_leaves_the_number_of_threads(golden_tokenizer, clips, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no more")

    torch.set_num_threads(2)
    monkeypatch.setattr(speechtokenizer, "residual_codes", fail)
    with pytest.raises(RuntimeError, match="no more"):
        golden_tokenizer.encode(list(clips.values()))
    assert_threads(2)


def test_workers_do_not_share_operations() -> None:
    torch.set_num_threads(2)
    with speechtokenizer.workers(torch.device("cpu")) as each:
        assert set(each(lambda _: torch.get_num_threads(), range(20))) == {1}


@pytest.mark.shared
def test_bf16_changes_few_codes(golden_files, golden_tokenizer, clips, expected) -> None:
    rounded = load(
        SpeechTokenizerMethod(method="speechtokenizer", precision="bf16", **golden_files)
    )
    found = np.concatenate(rounded.encode(list(clips.values())), axis=1)
    wanted = np.concatenate([expected[f"{name}_codes"] for name in clips], axis=1)
    equal = (found == wanted).mean(axis=1)
    assert equal[0] > 0.95 and equal.min() > 0.9
    # Weights and activations really are rounded.
    name = "a_speech_1s"
    error = np.abs(embedded(rounded, clips[name]) - embedded(golden_tokenizer, clips[name])).max()
    assert 1e-3 < error < 1


@pytest.mark.shared
def test_golden_codes_from_files_to_shards(
    golden_files, clips, expected, tmp_path, monkeypatch
) -> None:
    """As the workflow runs it: two clips joined for the last utterance, in two shards."""
    paths = {}
    for name, waveform in clips.items():
        paths[name] = str(tmp_path / f"{name}.wav")
        soundfile.write(paths[name], waveform, 16_000, subtype="FLOAT")
    joined = "c_speech_2345ms"
    halves = [str(tmp_path / f"half_{number}.wav") for number in range(2)]
    for path, half in zip(halves, np.split(clips[joined], [12_345]), strict=True):
        soundfile.write(path, half, 16_000, subtype="FLOAT")
    audio = [halves if name == joined else [paths[name]] for name in clips]
    manifest = pd.DataFrame({"id": list(clips), "audio": audio})

    shards = []
    for shard in range(2):
        rows = manifest.iloc[shard_rows(len(manifest), shard, 2)]
        tokenizer = load_tokenizer(
            SpeechTokenizerMethod(method="speechtokenizer", **golden_files), None
        )
        shards.append(tmp_path / f"{shard}.parquet")
        encode_utterances(tokenizer, rows).write(shards[-1])
    table = CodeTable.read(shards)
    assert table.codebooks == Codebooks(8, 64, 50.0)
    assert set(table.codes) == set(clips)
    assert_golden(list(clips), [table.codes[name] for name in clips], expected)
