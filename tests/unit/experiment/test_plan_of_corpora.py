"""Plans that adapt to a corpus."""

from __future__ import annotations

from plans import keys_by_stage, leave_one_speaker_out, plan


def test_a_corpus_to_adapt_to_is_tokenised_by_each_folds_tokenizer_and_selection(table, tmp_path):
    corpus = tmp_path / "corpus.csv"
    rows = [f"c{i},c{i}.wav,words" for i in range(7)]
    corpus.write_text("\n".join(["id,audio,text", *rows]) + "\n")
    options = {
        "dataset": leave_one_speaker_out(table),
        "audio": {"shard_size": 5},
        "experiment": {"arms": ["text_only", "lasso"]},
    }
    without = plan(**options)
    with_corpus = plan(**options, adapt={"corpus": {"path": str(corpus)}})
    assert len(with_corpus.keys("manifest")) == 2
    before, after = keys_by_stage(without), keys_by_stage(with_corpus)
    for stage in ("select_tokens", "fit_tokenizer", "build_bow"):
        assert before[stage] == after[stage]
    assert not before["adapt_lm"] & after["adapt_lm"]
    new = {
        key: with_corpus["tokenize_audio", key]
        for key in after["tokenize_audio"] - before["tokenize_audio"]
    }
    assert len(new) == 3
    assert {len(with_corpus.shards(codes)) for codes in new.values()} == {2}
    assert {
        len(with_corpus.shards(with_corpus["tokenize_audio", key]))
        for key in before["tokenize_audio"]
    } == {3}
    for key in after["adapt_lm"]:
        texts = with_corpus["adapt_lm", key].upstream["token_texts"]
        assert texts.upstream["codes"].key in new and "folds" not in texts.upstream
    finetuned = [with_corpus["finetune", key] for key in after["finetune"]]
    of_lasso = [variant for variant in finetuned if "adapt" in variant.upstream]
    assert all("folds" in variant.upstream["token_texts"].upstream for variant in of_lasso)


def test_adapting_to_test_rows_is_told():
    arms = {"seen": {"select": "lasso", "override": {"adapt": {"splits": ["train", "test"]}}}}
    a_plan = plan(arms=arms, experiment={"arms": ["seen", "lasso", "text_only"]})
    assert a_plan.transductive_arms() == ["seen"]


def test_with_a_corpus_no_split_is_read(tmp_path):
    corpus = tmp_path / "corpus.csv"
    corpus.write_text("id,audio,text\na,a.wav,words\n")
    plans = [
        plan(adapt={"corpus": {"path": str(corpus)}, "splits": splits})
        for splits in (["train"], ["test"])
    ]
    assert plans[0].keys("adapt_lm") == plans[1].keys("adapt_lm")
    assert plans[1].transductive_arms() == []


def test_bad_clips_of_a_corpus_are_skipped_as_those_of_the_table_are(table, tmp_path):
    corpus = tmp_path / "corpus.csv"
    corpus.write_text("id,audio,text\na,a.wav,words\n")
    for on_bad in ("error", "skip"):
        a_plan = plan(
            dataset=leave_one_speaker_out(table),
            adapt={"corpus": {"path": str(corpus)}},
            audio={"on_bad": on_bad, "max_bad_share": 0.3},
        )
        settings = [manifest.settings for manifest in a_plan.variants["manifest"].values()]
        assert [(s.on_bad, s.max_bad_share) for s in settings] == [(on_bad, 0.3)] * 2
