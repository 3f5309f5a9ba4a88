"""Speech tokenizers against the published way: one clip at a time, again for every setting.

    PYTHONPATH=workflow_scripts python bench/tokenize_audio.py

The published code encodes clip by clip, collects garbage after each, and starts over in every step
of every setting. Here the same full-size networks (random weights, since the time does not depend
on what was learned) encode the same clips both ways, in turn. Measured as well: what bf16 changes,
how fast the default tokenizer is from file to codes, how memory grows with the number of clips, and
what a second core brings. It prints Markdown tables, and as the last line one JSON object. "Times
real time" are seconds of sound per second.

Run it on two cores that nothing else uses: beside another program the published loop, whose threads
share every operation, slows down several times more than the rest, and the ratios flatter.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

# For the processes of one core each; the networks get their threads from torch.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
import soundfile
import torch
from published_speechtokenizer import CONFIG, SAMPLE_RATE, lively_encoder
from transformers import EncodecConfig, EncodecFeatureExtractor, EncodecModel, WhisperModel

from speechlasso.features.hidden_states import load_hidden_states
from speechlasso.features.pretrained_audio import load_pretrained
from speechlasso.tokenizers.settings import (
    SpectralRVQMethod,
    SpeechTokenizerMethod,
    TransformersCodecMethod,
)
from speechlasso.tokenizers.tokenization import fit_tokenizer, load_tokenizer

N_THREADS = 2
WHISPER = "openai/whisper-tiny.en"
CLIP_SECONDS = (2, 12)
N_TIMED_CLIPS = 2_000  # from files to codes, of 2 s each
N_ALPHAS = 5
# The published code encodes the training part to select tokens and everything to write the texts,
# for each alpha and once more for as many random tokens.
TRAINING_SHARE = 0.8
PUBLISHED_PASSES = N_ALPHAS * 2 * (TRAINING_SHARE + 1)


def make_sounds(n: int, seconds: tuple[float, float], seed: int) -> list[np.ndarray]:
    """Hums of changing pitch and loudness in noise, float32."""
    rng = np.random.default_rng(seed)
    sounds = []
    for length in rng.uniform(*seconds, n):
        time_ = np.arange(int(length * SAMPLE_RATE)) / SAMPLE_RATE
        pitch = rng.uniform(90, 250) * (1 + 0.2 * np.sin(rng.uniform(1, 5) * time_))
        phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
        hum = sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 12))
        loudness = np.square(np.sin(rng.uniform(1, 6) * time_))
        sounds.append((0.1 * loudness * hum + rng.normal(0, 0.01, len(time_))).astype(np.float32))
    return sounds


def in_turn(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each way; they take turns, so that a busy machine slows all alike."""
    seconds = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in seconds.items()}


def one_at_a_time(encode: Callable[[np.ndarray], np.ndarray], sounds: list[np.ndarray]) -> list:
    codes = []
    for sound in sounds:
        codes.append(encode(sound))
        gc.collect()
    return codes


def bench_speechtokenizer(folder: Path, n_clips: int, repeats: int) -> dict:
    sounds = make_sounds(n_clips, CLIP_SECONDS, seed=1)
    published = lively_encoder(make_sounds(3, CLIP_SECONDS, seed=2))
    torch.save(published.checkpoint(), folder / "checkpoint.pt")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    files = {"checkpoint": str(folder / "checkpoint.pt"), "config": str(folder / "config.json")}
    ours, in_bf16 = (
        load_tokenizer(
            SpeechTokenizerMethod(method="speechtokenizer", precision=precision, **files),
            None,
            N_THREADS,
        )
        for precision in ("fp32", "bf16")
    )
    expected = one_at_a_time(published.encode, sounds)
    equal = {
        "fp32": agreement(expected, ours.encode(sounds)),
        "bf16": agreement(expected, in_bf16.encode(sounds)),
    }
    seconds = in_turn(
        {
            "published": lambda: one_at_a_time(published.encode, sounds),
            "fp32": lambda: ours.encode(sounds),
            "bf16": lambda: in_bf16.encode(sounds),
        },
        repeats,
    )
    audio = sum(map(len, sounds)) / SAMPLE_RATE
    result = {
        "audio_seconds": round(audio, 1),
        **{f"{way}_times_real_time": round(audio / value, 2) for way, value in seconds.items()},
        "ratio": round(seconds["published"] / seconds["fp32"], 3),
        "ratio_bf16": round(seconds["published"] / seconds["bf16"], 3),
        "agreement": equal["fp32"],
        "agreement_bf16": equal["bf16"],
        "experiment_ratio": round(PUBLISHED_PASSES * seconds["published"] / seconds["fp32"], 1),
    }
    print("\n## SpeechTokenizer, full size\n")
    print(
        "| way | times real time | against published | codes equal, by layer |\n|---|---|---|---|"
    )
    for way, ratio in (("published", 1), ("fp32", result["ratio"]), ("bf16", result["ratio_bf16"])):
        layers = " ".join(f"{share:.4f}" for share in equal.get(way, []))
        print(f"| {way} | {result[f'{way}_times_real_time']} | {ratio} | {layers} |")
    print(
        f"\nAn experiment of {N_ALPHAS} alphas, lasso and random: the published way encodes the "
        f"corpus {PUBLISHED_PASSES:g} times, this one once, in a {result['experiment_ratio']}th of "
        "the time."
    )
    return result


def agreement(expected: list[np.ndarray], found: list[np.ndarray]) -> list[float]:
    """Share of equal codes in each layer."""
    equal = np.concatenate([a == b for a, b in zip(expected, found, strict=True)], axis=1)
    return [round(float(share), 5) for share in equal.mean(axis=1)]


def bench_encodec(folder: Path, n_clips: int, repeats: int) -> dict:
    torch.manual_seed(0)
    model = EncodecModel(EncodecConfig()).eval()
    for layer in model.quantizer.layers:
        layer.codebook.embed.normal_()
    model.save_pretrained(folder / "encodec")
    EncodecFeatureExtractor(sampling_rate=24_000).save_pretrained(folder / "encodec")
    ours = load_tokenizer(
        TransformersCodecMethod(method="encodec", model=str(folder / "encodec")), None, N_THREADS
    )
    sounds = make_sounds(n_clips, CLIP_SECONDS, seed=3)

    def plain(sound: np.ndarray) -> np.ndarray:
        return (
            model.encode(torch.from_numpy(sound)[None, None], bandwidth=24.0)
            .audio_codes[0, 0]
            .numpy()
        )

    equal = agreement(one_at_a_time(plain, sounds), ours.encode(sounds))
    ways = {"plain": lambda: one_at_a_time(plain, sounds), "ours": lambda: ours.encode(sounds)}
    seconds = in_turn(ways, repeats)
    audio = sum(map(len, sounds)) / ours.sample_rate
    result = {
        "times_real_time": round(audio / seconds["ours"], 2),
        "ratio": round(seconds["plain"] / seconds["ours"], 3),
        "agreement": min(equal),
    }
    print(
        f"\n## EnCodec, full size\n\n{result['times_real_time']} times real time, "
        f"{result['ratio']} times as fast as one clip at a time; in the worst layer "
        f"{result['agreement']:.4f} of codes equal."
    )
    return result


def bench_whisper(n_clips: int, repeats: int) -> dict:
    """Hidden state 2 of the default encoder, which comes as a package."""
    sounds = make_sounds(n_clips, CLIP_SECONDS, seed=5)
    encoders = {
        "window": load_hidden_states(WHISPER, None, [2], "fp32").encoder,
        "own length": load_hidden_states(WHISPER, None, [2], "fp32", own_length=True).encoder,
    }
    whole = load_pretrained(WHISPER, None, {"whisper": WhisperModel}, "fp32", "encoder")

    def plain(sound: np.ndarray) -> np.ndarray:
        spectra = whole.extractor(sound, sampling_rate=SAMPLE_RATE, return_tensors="pt")
        states = whole.model.encoder(**spectra, output_hidden_states=True).hidden_states
        return states[2][0, : -(-len(sound) // 320)].numpy()

    ways = {name: partial(encoder.encode, sounds) for name, encoder in encoders.items()}
    ways |= {"transformers": lambda: one_at_a_time(plain, sounds)}
    seconds = in_turn(ways, repeats)
    own = encoders["own length"].encode(sounds)
    alone = [encoders["own length"].encode([sound])[0] for sound in sounds]
    padded = encoders["window"].encode(sounds)
    audio = sum(map(len, sounds)) / SAMPLE_RATE
    result = {
        **{f"{way}_times_real_time": round(audio / value, 1) for way, value in seconds.items()},
        "ratio": round(seconds["transformers"] / seconds["own length"], 2),
        "largest_difference_of_batches": max(map(largest_difference, own, alone)),
        "largest_difference_of_transformers": max(
            map(largest_difference, [of_clip[:, 0] for of_clip in padded], map(plain, sounds))
        ),
    }
    print("\n## Whisper tiny.en, hidden state 2\n")
    print("| way | times real time | against transformers |\n|---|---|---|")
    for way, value in seconds.items():
        ratio = seconds["transformers"] / value
        print(f"| {way} | {result[f'{way}_times_real_time']} | {ratio:.2f} |")
    print(
        f"\nLargest difference to transformers' states, padded alike: "
        f"{result['largest_difference_of_transformers']:.1e}; of a clip alone to one among others: "
        f"{result['largest_difference_of_batches']:.1e}."
    )
    return result


def largest_difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max())


def write_clips(folder: Path, n: int) -> pd.DataFrame:
    """A manifest of n utterances of 2 s in 200 files, which take turns."""
    paths = []
    for number, sound in enumerate(make_sounds(min(n, 200), (2, 2), seed=4)):
        paths.append(str(folder / f"{number}.wav"))
        soundfile.write(paths[-1], sound, SAMPLE_RATE)
    audio = [[paths[number % len(paths)]] for number in range(n)]
    return pd.DataFrame({"id": [str(number) for number in range(n)], "audio": audio})


# What a job of the workflow does, in a process that imports no more than it would there.
JOB = """
import re, sys, time
from pathlib import Path
import pandas as pd
from speechlasso.pipeline.shards import shard_rows
from speechlasso.tokenizers.settings import SpectralRVQMethod
from speechlasso.tokenizers.tokenization import encode_utterances, load_tokenizer

folder, n_clips, n_shards, *shards = sys.argv[1:]
manifest = pd.read_parquet(f"{folder}/manifest.parquet").head(int(n_clips))
started = time.perf_counter()
settings = SpectralRVQMethod(method="spectral_rvq")
for shard in shards:
    rows = shard_rows(len(manifest), int(shard), int(n_shards))
    tokenizer = load_tokenizer(settings, f"{folder}/tokenizer.safetensors")
    encode_utterances(tokenizer, manifest.iloc[rows]).write(f"{folder}/{shard}.parquet")
seconds = time.perf_counter() - started
# Linux' own mark: the one that getrusage tells is handed on by the process that started this one.
kilobytes = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
print(int(kilobytes) / 1024, seconds)
"""


def run_jobs(folder: Path, n_clips: int, n_shards: int, n_processes: int) -> tuple[float, float]:
    """Encode the first clips of the manifest, the shards dealt out to processes of one thread.

    Returns
    -------
    Peak memory of a process in MB, and seconds of the slowest one without its imports.
    """
    jobs = [
        subprocess.Popen(
            [
                *(sys.executable, "-c", JOB, str(folder), str(n_clips), str(n_shards)),
                *map(str, range(process, n_shards, n_processes)),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for process in range(n_processes)
    ]
    printed = [job.communicate()[0].split() for job in jobs]
    return max(float(peak) for peak, _ in printed), max(float(seconds) for _, seconds in printed)


def bench_spectral_rvq(folder: Path, repeats: int) -> dict:
    """From WAV files to Parquet shards."""
    manifest = write_clips(folder, 10_000)
    manifest.to_parquet(folder / "manifest.parquet")
    settings = SpectralRVQMethod(method="spectral_rvq")
    fit_tokenizer(settings, manifest.head(100)).save(folder / "tokenizer.safetensors")
    memory = {n: round(run_jobs(folder, n, -(-n // 500), 1)[0], 1) for n in (100, 1_000, 10_000)}
    seconds = {n_processes: [] for n_processes in (1, 2)}
    for _ in range(repeats):
        for n_processes, measured in seconds.items():
            measured.append(run_jobs(folder, N_TIMED_CLIPS, 8, n_processes)[1])
    one, two = (statistics.median(measured) for measured in seconds.values())
    result = {
        "times_real_time_1_core": round(2 * N_TIMED_CLIPS / one),
        "times_real_time_2_cores": round(2 * N_TIMED_CLIPS / two),
        "second_core_ratio": round(one / two, 2),
        "peak_megabytes": memory,
    }
    print("\n## spectral_rvq, from files to shards\n")
    print("| processes | times real time |\n|---|---|")
    print(
        f"| 1 | {result['times_real_time_1_core']} |\n| 2 | {result['times_real_time_2_cores']} |"
    )
    print("\n| clips | peak memory of a process, MB |\n|---|---|")
    for n, megabytes in memory.items():
        print(f"| {n} | {megabytes} |")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=12, help="clips of 2 to 12 s (default: 12)")
    parser.add_argument("--repeats", type=int, default=3, help="the median counts (default: 3)")
    options = parser.parse_args()
    torch.set_num_threads(N_THREADS)
    torch.set_grad_enabled(False)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = {
            "spectral_rvq": bench_spectral_rvq(folder, options.repeats),
            "speechtokenizer": bench_speechtokenizer(folder, options.clips, options.repeats),
            "whisper": bench_whisper(options.clips, options.repeats),
            "encodec": bench_encodec(folder, max(2, options.clips // 4), options.repeats),
        }
    print()
    print(json.dumps(results))


if __name__ == "__main__":
    main()
