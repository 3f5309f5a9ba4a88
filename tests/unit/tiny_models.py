"""Tiny language models and examples, saved as a user's own model directory would be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

WORDS = ["the", "a", "cat", "dog", "saw", "heard", "old", "new", "garden", "river", "and", "was"]
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 128,
}


def wordpiece_tokenizer() -> PreTrainedTokenizerFast:
    """Like BERT's: lower case, [CLS] ... [SEP]."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    pieces = [*special, *WORDS, *letters, *("##" + letter for letter in letters), ".", ","]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def byte_level_tokenizer(start: bool) -> PreTrainedTokenizerFast:
    """Like GPT-2's (start=False) or Llama 3's (start=True): spaces belong to the words after."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {"<|begin|>": 0, "<|end|>": 1}
    vocabulary |= {letter: index for index, letter in enumerate(alphabet, start=2)}
    merges = [("Ġ", "c"), ("a", "t"), ("Ġc", "at"), ("o", "g"), ("Ġ", "d"), ("Ġ", "Ġ")]
    for left, right in merges:
        vocabulary[left + right] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    if start:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<|begin|> $A", special_tokens=[("<|begin|>", 0)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|begin|>", eos_token="<|end|>"
    )


def save_bert(folder: Path, *, with_head: bool = True) -> str:
    """A BERT with its masked-LM head, or without it as sentence encoders are published."""
    torch.manual_seed(0)
    tokenizer = wordpiece_tokenizer()
    config = BertConfig(vocab_size=len(tokenizer), **SIZES)
    model = BertForMaskedLM(config) if with_head else BertModel(config)
    if with_head:
        torch.nn.init.normal_(model.cls.predictions.bias)
    return _save(folder, model, tokenizer)


def save_llama(folder: Path, *, tied: bool = True) -> str:
    torch.manual_seed(0)
    tokenizer = byte_level_tokenizer(start=True)
    config = LlamaConfig(
        vocab_size=len(tokenizer), tie_word_embeddings=tied, bos_token_id=0, eos_token_id=1, **SIZES
    )
    return _save(folder, LlamaForCausalLM(config), tokenizer)


def save_gpt2(folder: Path) -> str:
    torch.manual_seed(0)
    tokenizer = byte_level_tokenizer(start=False)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=32,
        n_layer=2,
        n_head=2,
        n_positions=128,
        bos_token_id=0,
        eos_token_id=1,
    )
    return _save(folder, GPT2LMHeadModel(config), tokenizer)


def _save(folder: Path, model: torch.nn.Module, tokenizer: PreTrainedTokenizerFast) -> str:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def made_examples(n_train: int, n_other: int, *, n_audio_tokens: int, seed: int) -> pd.DataFrame:
    """Examples whose class is told by which half of the audio tokens prevails; words tell none."""
    rng = np.random.default_rng(seed)
    rows = []
    splits = ["train"] * n_train + ["validation"] * n_other + ["test"] * n_other
    for number, split in enumerate(splits):
        label = rng.choice(["calm", "loud"], p=[0.7, 0.3])
        half = n_audio_tokens // 2
        usual = rng.integers(half, size=rng.integers(4, 12)) + (half if label == "loud" else 0)
        stray = rng.integers(n_audio_tokens, size=2)
        rows.append(
            {
                "id": f"u{number}",
                "split": split,
                "label": label,
                "text": " ".join(rng.choice(WORDS, size=rng.integers(3, 7))),
                "audio_tokens": rng.permutation(np.concatenate([usual, stray])),
            }
        )
    return pd.DataFrame(rows)
