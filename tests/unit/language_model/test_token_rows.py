"""Which centroids belong to the tokens of a selection."""

import numpy as np

from speechlasso.files import write_array, write_json
from speechlasso.language_model.token_rows import centroids_of_selection


def test_each_token_has_the_centroid_of_its_code(tmp_path):
    centroids = np.arange(2 * 5 * 3, dtype=np.float32).reshape(2, 5, 3)
    write_array(tmp_path / "centroids.npy", centroids)
    tokens = [{"layer": 1, "code": 4}, {"layer": 0, "code": 2}]
    write_json(tmp_path / "selection.json", {"tokens": tokens})
    found = centroids_of_selection(tmp_path / "selection.json", tmp_path / "centroids.npy")
    np.testing.assert_array_equal(found, [centroids[1, 4], centroids[0, 2]])
