"""Cells of the audio column: paths in every shape, and clips that lie in the table itself."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from speechlasso.data.manifest import find_clip_problems, read_manifest
from speechlasso.data.settings import Table
from speechlasso.errors import InputError

# How the library datasets stores its feature Audio.
AUDIO = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def sound(frequency):
    stream = io.BytesIO()
    tone = np.sin(np.arange(1600) * frequency).astype(np.float32)
    soundfile.write(stream, tone, 16_000, format="FLAC")
    return stream.getvalue()


def manifest_of(folder, cells, kind, clips="clips"):
    columns = {name: ["x"] * len(cells) for name in ("text", "label")}
    columns |= {"id": [f"u{i}" for i in range(len(cells))], "audio": pa.array(cells, kind)}
    pq.write_table(pa.table(columns), folder / "t.parquet")
    return read_manifest(Table(path=str(folder / "t.parquet")), clips=clips and folder / clips)


def test_embedded_clips_become_files_that_can_be_used(tmp_path):
    first, second = sound(0.1), sound(0.2)
    cells = [
        {"bytes": first, "path": "one.flac"},
        {"bytes": second, "path": None},
        {"bytes": first, "path": "again.flac"},
    ]
    manifest = manifest_of(tmp_path, cells, AUDIO)
    paths = [path for (path,) in manifest["audio"]]
    digest = hashlib.sha256(first).hexdigest()
    assert paths[0] == paths[2] == f"{tmp_path}/clips/{digest}.flac"
    assert [Path(path).read_bytes() for path in paths] == [first, second, first]
    assert find_clip_problems(manifest).empty
    assert len(list((tmp_path / "clips").iterdir())) == 2


def test_a_path_is_read_where_there_are_no_bytes(tmp_path):
    cells = [{"bytes": None, "path": "a|b.wav"}, {"bytes": None, "path": "/data/c.wav"}]
    manifest = manifest_of(tmp_path, cells, AUDIO, clips=None)
    assert manifest["audio"].tolist() == [[f"{tmp_path}/a|b.wav"], ["/data/c.wav"]]


def test_lists_of_clips_and_plain_bytes(tmp_path):
    clip = sound(0.1)
    several = manifest_of(
        tmp_path,
        [[{"bytes": clip, "path": "a.wav"}, {"bytes": None, "path": "b"}]],
        pa.list_(AUDIO),
    )
    written, other = several["audio"][0]
    assert Path(written).read_bytes() == clip and other == f"{tmp_path}/b"
    manifest = manifest_of(tmp_path, [clip, b"a.wav|b.wav"], pa.binary())
    assert Path(manifest["audio"][0][0]).read_bytes() == clip
    assert manifest["audio"][1] == [f"{tmp_path}/a.wav", f"{tmp_path}/b.wav"]


def test_cells_that_name_no_clip_are_all_listed(tmp_path):
    cells = [{"bytes": None, "path": None}, None, {"bytes": b"", "path": "a.wav"}]
    with pytest.raises(InputError) as caught:
        manifest_of(tmp_path, cells, AUDIO)
    message = str(caught.value)
    assert "row 1 (id 'u0'): no clip is named" in message
    assert "row 2 (id 'u1'): no clip is named" in message
    assert "row 3 (id 'u2'): the audio holds a clip of no bytes" in message
    array = pa.struct([("array", pa.list_(pa.float32())), ("sampling_rate", pa.int64())])
    with pytest.raises(InputError, match="is a structure of array, sampling_rate; expected one of"):
        manifest_of(tmp_path, [{"array": [0.0], "sampling_rate": 16_000}], array)


def test_embedded_clips_are_refused_where_there_is_no_place_for_them(tmp_path):
    with pytest.raises(InputError, match=r"row 1 \(id 'u0'\): the audio holds sound"):
        manifest_of(tmp_path, [{"bytes": sound(0.1), "path": None}], AUDIO, clips=None)


def test_a_suffix_is_no_place_for_anything_but_a_suffix(tmp_path):
    cells = [{"bytes": sound(0.1), "path": "x.{odd}/../y z"}]
    (path,) = manifest_of(tmp_path, cells, AUDIO)["audio"][0]
    assert path == f"{tmp_path}/clips/{hashlib.sha256(sound(0.1)).hexdigest()}"
