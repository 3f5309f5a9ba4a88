"""Small tables in files, and what is read of them."""

from __future__ import annotations

import pytest

from speechlasso.data.manifest import read_manifest
from speechlasso.data.settings import Columns, Table
from speechlasso.errors import InputError

NAMES = ("id", "text", "label", "speaker")
COLUMNS = Columns(audio=None, group="speaker")


def manifest_of(path, columns=COLUMNS, **options):
    return read_manifest(Table(path=str(path), columns=columns), **options)


def message_of(path, columns=COLUMNS):
    with pytest.raises(InputError) as caught:
        manifest_of(path, columns)
    return str(caught.value)


def written(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path
