"""What is known of a selection's tokens before the language model meets them."""

import numpy as np

from speechlasso.files import write_array, write_json
from speechlasso.language_model.token_rows import NewTokens, TokenRows, write_token_rows


def test_each_token_has_the_centroid_of_its_code(tmp_path):
    centroids = np.arange(2 * 5 * 3, dtype=np.float32).reshape(2, 5, 3)
    write_array(tmp_path / "centroids.npy", centroids)
    tokens = [{"layer": 1, "code": 4}, {"layer": 0, "code": 2}]
    write_json(tmp_path / "selection.json", {"tokens": tokens})
    found = NewTokens.of(tmp_path / "selection.json", centroids=tmp_path / "centroids.npy")
    assert found.n == 2 and found.rows is None
    np.testing.assert_array_equal(found.centroids, [centroids[1, 4], centroids[0, 2]])


def test_adapted_rows_come_along(tmp_path):
    write_json(tmp_path / "selection.json", {"tokens": [{"layer": 0, "code": 0}]})
    rows = TokenRows(["a", "b"], np.ones((2, 4), dtype=np.float32))
    write_token_rows(tmp_path / "rows.safetensors", rows)
    found = NewTokens.of(tmp_path / "selection.json", rows=tmp_path / "rows.safetensors")
    assert found.n == 1 and found.centroids is None
    assert found.rows.names == rows.names
    np.testing.assert_array_equal(found.rows.vectors, rows.vectors)
