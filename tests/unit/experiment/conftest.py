"""What tests of experiments share."""

from __future__ import annotations

import pandas as pd
import pytest


@pytest.fixture
def table(tmp_path):
    rows = [(f"u{i}", "hello", "ab"[i % 2], "x.wav", f"s{i % 3}") for i in range(12)]
    path = tmp_path / "table.csv"
    pd.DataFrame(rows, columns=["id", "text", "label", "audio", "speaker"]).to_csv(
        path, index=False
    )
    return str(path)
