"""Keys of variants: finished results are found by them, so what they cover and how is pinned."""

from __future__ import annotations

import hashlib
from pathlib import Path

from speechlasso.packaged_models import PackagedModel
from speechlasso.pipeline import stages
from speechlasso.pipeline.variants import Variant
from speechlasso.selection.settings import BagOfWords


def bag_of_words(**upstream):
    bow = BagOfWords(lowercase=False)
    return Variant(stages.BagOfWordsCounts(bow=bow, fold="a/b"), upstream, {"x": "1", "y": "2"})


def test_a_key_is_the_label_and_a_digest_of_the_spec():
    predict = Variant(stages.Predict(system="token_lm"))
    variant = bag_of_words(folds=predict)
    text = (
        '{"data":{"x":"1","y":"2"},"settings":{"bow":{"lowercase":false},"fold":"a/b"},'
        f'"stage":"build_bow","upstream":{{"folds":"{predict.key}"}},'
        f'"version":{stages.BagOfWordsCounts.version}}}'
    )
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    assert variant.key == f"counts-{digest}"
    assert variant.folder == f"results/build_bow/counts-{digest}"


def test_settings_at_their_defaults_are_no_part_of_a_key():
    """A new optional setting leaves finished results where they are."""
    assert stages.Evaluate().hashed_settings() == {}
    adapted = stages.SelectTokens(selection={"method": "random"}, seed=None, criterion={})
    assert adapted.hashed_settings() == {"selection": {"method": "random"}}


def test_the_order_in_which_things_are_named_changes_no_key():
    one, other = Variant(stages.Predict(system="token_lm")), bag_of_words()
    assert bag_of_words(a=one, b=other).key == bag_of_words(b=other, a=one).key
    # Snakemake compares parameters as they are written.
    assert repr(bag_of_words(a=one, b=other).spec) == repr(bag_of_words(b=other, a=one).spec)
    assert list(bag_of_words().spec) == sorted(bag_of_words().spec)
    assert list(bag_of_words().spec["settings"]) == ["bow", "fold"]
    assert bag_of_words(a=one, b=other).key != bag_of_words(a=other, b=one).key


def test_ancestors_come_before_what_reads_them():
    first = bag_of_words()
    second = Variant(stages.Predict(system="token_lm"), {"bow": first})
    last = Variant(stages.Evaluate(), {"x": second, "y": first})
    assert list(last.with_ancestors()) == [first, second, first, last]


def test_a_model_of_a_package_is_told_by_its_bytes_and_not_by_its_name_alone(monkeypatch):
    """Installed later, it may hold other numbers than the hub's files: 4 bits, half precision."""
    encoded = stages.EncodeAudio(encoder={})
    monkeypatch.setattr(PackagedModel, "path", Path("somewhere"))
    packaged = Variant(encoded).spec
    assert list(packaged.pop("packaged_models")) == ["encoder"]
    monkeypatch.setattr(PackagedModel, "path", None)
    assert Variant(encoded).spec == packaged
    monkeypatch.setattr(PackagedModel, "path", Path("somewhere"))
    pinned = Variant(stages.EncodeAudio(encoder={"revision": "0d3d19a"}))
    assert "packaged_models" not in pinned.spec
