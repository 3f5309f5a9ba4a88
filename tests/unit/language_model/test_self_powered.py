"""New tokens are learned from the model's own answers, and how far it follows the speech."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_models import made_examples, save_talker

from speechlasso.errors import InputError
from speechlasso.evaluation.anchor_bias import bias_by_arm
from speechlasso.files import write_json
from speechlasso.language_model import adaptation
from speechlasso.language_model.adaptation import adapt
from speechlasso.language_model.anchor_bias import AnchorBias, bias_table
from speechlasso.language_model.answering import answer_instructions
from speechlasso.language_model.instructions import TRANSCRIPT, UNRELATED
from speechlasso.language_model.loss import IGNORED
from speechlasso.language_model.new_row_training import stop_training_new_rows, train_new_rows
from speechlasso.language_model.passages import Contest, TokenSequence
from speechlasso.language_model.pretrained import (
    extend_with_audio_tokens,
    load_model,
    load_tokenizer,
)
from speechlasso.language_model.settings import Adapt, LanguageModel, SelfPowered
from speechlasso.language_model.spoken_instructions import spoken_instructions
from speechlasso.language_model.token_rows import NewTokens
from speechlasso.language_model.token_text import new_token_names

N_AUDIO = 10
SETTINGS = Adapt(objective="self_powered", epochs=3, batch_size=16, learning_rate=5e-2)


@pytest.fixture(scope="module")
def lm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "chat"
    return LanguageModel(name=save_talker(folder), max_length=200, precision="fp32")


@pytest.fixture(scope="module")
def examples():
    return made_examples(30, 0, n_audio_tokens=N_AUDIO, seed=0)


@pytest.fixture(scope="module")
def answers(examples, lm, tmp_path_factory):
    return answer_instructions(
        examples,
        lm=lm,
        settings=SelfPowered(max_new_tokens=8),
        holdout=0.2,
        threads=1,
        checkpoint_folder=tmp_path_factory.mktemp("checkpoint"),
    )


def adapted(examples, answers, lm, folder, seed=1):
    return adapt(
        examples,
        lm=lm,
        settings=SETTINGS,
        new_tokens=NewTokens(N_AUDIO),
        seed=seed,
        threads=1,
        checkpoint_folder=folder / "checkpoints",
        answers=answers,
    )


@pytest.fixture
def extended(lm):
    """A tokenizer and a model with audio tokens, and the ids of these."""
    tokenizer, model = load_tokenizer(lm), load_model(lm, adaptation.AutoModelForCausalLM, seed=1)
    ids = extend_with_audio_tokens(tokenizer, model.model, N_AUDIO, seed=1)
    return tokenizer, model.model.eval(), ids


def test_a_sequence_is_the_chat_with_speech_and_the_answer_alone_is_predicted(
    examples, answers, extended
):
    tokenizer, *_ = extended
    found = spoken_instructions(examples, answers, tokenizer, 200)
    about = answers[~answers["kind"].isin([UNRELATED, TRANSCRIPT]) & (answers["answer"] != "")]
    assert len(found.sequences) == len(about)
    assert found.held_out.tolist() == about["held_out"].tolist()
    audio = examples.set_index("id")["audio_tokens"]
    for sequence, row in zip(found.sequences, about.itertuples(), strict=True):
        tokens = "".join(f"<audio_token_{rank}>" for rank in audio[row.id])
        given = f"<|begin|>user\n{row.instruction}\n<|audio|>{tokens}<|audio_end|><|end|>\n"
        given += "<|begin|>assistant\n"
        assert tokenizer.decode(sequence.ids[: sequence.n_given]) == given
        labels = sequence.next_tokens
        told = labels[labels != IGNORED]
        end = "<|end|>" if row.complete else ""
        assert tokenizer.decode(told) == row.answer + end
        # Each stands where the token before it is read.
        (places,) = np.nonzero(labels != IGNORED)
        assert np.array_equal(sequence.ids[places + 1], told)
        assert row.text not in tokenizer.decode(sequence.ids[: sequence.n_given])


def test_silent_and_over_long_utterances_are_left_out(examples, answers, extended, caplog):
    tokenizer, *_ = extended
    few = examples.copy()
    few.at[0, "audio_tokens"] = np.array([], dtype=int)
    few.at[1, "audio_tokens"] = None
    few.at[2, "audio_tokens"] = np.zeros(190, dtype=int)
    with caplog.at_level("INFO"):
        found = spoken_instructions(few, answers, tokenizer, 200)
    n_of = answers[answers["answer"] != ""].groupby("id").size()
    assert len(found.sequences) == len(
        spoken_instructions(examples[3:], answers, tokenizer, 200).sequences
    )
    assert "(2 without audio tokens are left out)" in caplog.text
    assert f"{n_of['u2']} are left out, as they are longer" in caplog.text


def test_only_new_rows_change_and_the_held_out_loss_falls(
    examples, answers, lm, tmp_path, monkeypatch
):
    kept, before, ids = [], {}, []

    def observed(model, token_ids):
        kept.append(model)
        ids.extend(token_ids)
        before.update({name: value.clone() for name, value in model.state_dict().items()})
        return train_new_rows(model, token_ids)

    monkeypatch.setattr(adaptation, "train_new_rows", observed)
    result = adapted(examples, answers, lm, tmp_path)
    assert result.rows.names == new_token_names(N_AUDIO)
    log = result.log
    assert log["held_out_loss"].min() < log.loc[0, "held_out_loss"]
    stop_training_new_rows(kept[0])
    for name, value in kept[0].state_dict().items():
        n_old = ids[0] if value.shape[:1] == (ids[-1] + 1,) else len(value)
        assert torch.equal(value[:n_old], before[name][:n_old]), name
    vectors = kept[0].get_input_embeddings().weight[ids].detach()
    assert torch.equal(vectors.cpu(), torch.from_numpy(result.rows.vectors))
    # Words stand between no markers here, so those of text learn nothing.
    moved = (vectors != before["model.embed_tokens.weight"][ids]).any(dim=1).tolist()
    assert [n for n, m in zip(result.rows.names, moved, strict=True) if not m] == [
        "<|text|>",
        "<|text_end|>",
    ]


def test_a_seed_repeats_and_the_answers_decide(examples, answers, lm, tmp_path):
    first, again = (adapted(examples, answers, lm, tmp_path / str(i)) for i in (1, 2))
    assert np.array_equal(first.rows.vectors, again.rows.vectors)
    assert first.anchor_bias == again.anchor_bias
    words = examples.assign(text="other words", label="another")
    assert np.array_equal(
        adapted(words, answers, lm, tmp_path / "3").rows.vectors, first.rows.vectors
    )
    others = answers.assign(answer="a cat")
    other = adapted(examples, others, lm, tmp_path / "4")
    assert not np.array_equal(other.rows.vectors, first.rows.vectors)


def test_likelihoods_are_those_of_transformers(examples, answers, extended):
    tokenizer, model, ids = extended
    contests = spoken_instructions(examples, answers, tokenizer, 200).contests
    held_out = answers[answers["held_out"]]
    assert {contest.kind for contest in contests} <= {*held_out["kind"]} - {TRANSCRIPT}
    assert UNRELATED in {contest.kind for contest in contests}
    expected = {}
    for prompt in ("with_speech", "with_transcript"):
        expected[prompt] = [
            mean_log_likelihood(model, getattr(contest, prompt), contest.to_speech)
            > mean_log_likelihood(model, getattr(contest, prompt), contest.to_instruction)
            for contest in contests
        ]
    bias = AnchorBias(model, train_new_rows(model, ids), contests, "fp32")
    for prompt, follows in expected.items():
        assert bias.follows(prompt) == follows
    one = contests[0]
    assert bias.mean_log_likelihood(one.with_speech, one.to_speech) == pytest.approx(
        mean_log_likelihood(model, one.with_speech, one.to_speech), rel=1e-4
    )


@torch.no_grad()
def mean_log_likelihood(model, prompt, reply):
    ids = torch.from_numpy(np.concatenate([prompt, reply]))[None]
    scores = model(ids).logits[0].log_softmax(dim=-1)
    places = range(len(prompt) - 1, ids.shape[1] - 1)
    return float(np.mean([scores[place, ids[0, place + 1]] for place in places]))


def test_a_model_that_repeats_the_speech_follows_it(extended):
    """Candidates whose likelihood is known: what the model itself would say, and anything else."""
    tokenizer, model, ids = extended
    prompt = np.array(tokenizer("a cat", add_special_tokens=False)["input_ids"])
    with torch.no_grad():
        order = model(torch.from_numpy(prompt)[None]).logits[0, -1].argsort(descending=True)
    likely, unlikely = order[:1].numpy(), order[-1:].numpy()
    contests = [
        Contest("repeat", prompt, prompt, to_instruction=unlikely, to_speech=likely),
        Contest("repeat", prompt, prompt, to_instruction=likely, to_speech=unlikely),
        Contest(UNRELATED, prompt, prompt, to_instruction=likely, to_speech=unlikely),
    ]
    found = AnchorBias(model, train_new_rows(model, ids), contests, "fp32").follows()
    assert found == [True, False, False]
    table = bias_table(contests, found, [False, False, True], [True, True, True])
    assert table == [
        {
            **{"group": "about the speech", "kind": "repeat", "n_pairs": 2},
            **{"before": 1, "after": 0, "with_transcript": 2},
        },
        {
            **{"group": "unrelated", "kind": "unrelated", "n_pairs": 1},
            **{"before": 0, "after": 1, "with_transcript": 1},
        },
    ]


def test_the_bias_after_adaptation_is_that_of_the_adapted_rows(
    examples, answers, lm, tmp_path, extended
):
    tokenizer, model, ids = extended
    result = adapted(examples, answers, lm, tmp_path)
    contests = spoken_instructions(examples, answers, tokenizer, 200).contests
    rows = train_new_rows(model, ids)
    untrained = AnchorBias(model, rows, contests, "fp32").follows()
    assert sum(row["before"] for row in result.anchor_bias) == sum(untrained)
    assert sum(row["n_pairs"] for row in result.anchor_bias) == len(contests)


def test_the_report_adds_up_the_runs_of_an_arm(tmp_path):
    counts = [
        ("about the speech", "repeat", 4, 2, 1, 1),
        ("about the speech", "intent", 4, 4, 0, 1),
    ]
    counts.append(("unrelated", "unrelated", 8, 8, 2, 0))
    columns = ["group", "kind", "n_pairs", "before", "after", "with_transcript"]
    rows = [dict(zip(columns, row, strict=True)) for row in counts]
    paths = [str(tmp_path / name) for name in ("a.json", "b.json")]
    for path in paths:
        write_json(path, rows)
    table = bias_by_arm({"powered": paths})
    assert table.to_numpy().tolist() == [
        ["powered", "about the speech", 16, "0.75", "0.12", "0.25"],
        ["powered", "about the speech: repeat", 8, "0.50", "0.25", "0.25"],
        ["powered", "about the speech: intent", 8, "1.00", "0.00", "0.25"],
        ["powered", "unrelated", 16, "1.00", "0.25", "0.00"],
    ]
    write_json(paths[0], [])
    assert bias_by_arm({"powered": paths[:1]}) is None


def test_what_is_given_is_not_predicted():
    sequence = TokenSequence(np.array([5, 6, 7, 8]), n_given=2)
    assert sequence.next_tokens.tolist() == [IGNORED, 7, 8, IGNORED]
    assert TokenSequence(sequence.ids).next_tokens.tolist() == [6, 7, 8, IGNORED]


def test_without_anything_to_hold_out_the_key_is_named(examples, answers, lm, tmp_path):
    with pytest.raises(InputError, match=r"adapt\.holdout: \d+ examples are too few"):
        adapted(examples, answers[~answers["held_out"]], lm, tmp_path)
