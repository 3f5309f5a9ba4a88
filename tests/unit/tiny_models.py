"""Tiny language models and examples, saved as a user's own model directory would be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    DebertaConfig,
    DebertaV2Config,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    ModernBertConfig,
    OPTConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
    RobertaConfig,
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
    tokenizer = byte_level(["<|begin|>", "<|end|>"])
    if start:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<|begin|> $A", special_tokens=[("<|begin|>", 0)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<|begin|>", eos_token="<|end|>"
    )


def roberta_tokenizer() -> PreTrainedTokenizerFast:
    """Like RoBERTa's: the same bytes between <s> and </s>."""
    tokenizer = byte_level(["<s>", "<pad>", "</s>", "<mask>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        mask_token="<mask>",
    )


def unigram_tokenizer() -> PreTrainedTokenizerFast:
    """Like T5's: pieces of sentencepiece, the special tokens among them."""
    letters = "abcdefghijklmnopqrstuvwxyz<>[]|_/.0123456789"
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), ("▁cat", -3.0)]
    tokenizer = Tokenizer(
        models.Unigram([*pieces, *((letter, -5.0) for letter in letters)], unk_id=2)
    )
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def byte_level(special: list[str]) -> Tokenizer:
    letters = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    vocabulary = {letter: index for index, letter in enumerate(letters)}
    merges = [("Ġ", "c"), ("a", "t"), ("Ġc", "at"), ("o", "g"), ("Ġ", "d"), ("Ġ", "Ġ")]
    for left, right in merges:
        vocabulary[left + right] = len(vocabulary)
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


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
    return save_causal(folder, LlamaConfig, tie_word_embeddings=tied)


def save_gpt2(folder: Path) -> str:
    return save_causal(folder, GPT2Config)


# Configurations of the language models that are supported, by the names people know.
GROUPED = {"num_key_value_heads": 1, "head_dim": 16}
CAUSAL: dict[str, tuple[type[PretrainedConfig], dict[str, Any]]] = {
    "llama": (LlamaConfig, {"tie_word_embeddings": True}),
    "untied llama": (LlamaConfig, {"tie_word_embeddings": False}),
    "qwen2": (Qwen2Config, {"num_key_value_heads": 1}),
    "qwen3": (Qwen3Config, GROUPED | {"tie_word_embeddings": True}),
    "gemma": (GemmaConfig, GROUPED),
    "gemma2": (Gemma2Config, GROUPED | {"final_logit_softcapping": 1.0, "sliding_window": 64}),
    "gemma3": (Gemma3TextConfig, GROUPED | {"sliding_window": 64}),
    "gpt2": (GPT2Config, {}),
    "opt": (OPTConfig, {"ffn_dim": 48, "word_embed_proj_dim": 32}),
    "pythia": (GPTNeoXConfig, {"tie_word_embeddings": False}),
}
MASKED: dict[str, tuple[type[PretrainedConfig], dict[str, Any]]] = {
    "bert": (BertConfig, {}),
    "roberta": (RobertaConfig, {}),
    "deberta": (DebertaConfig, {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}),
    "deberta-v3": (
        DebertaV2Config,
        {
            "relative_attention": True,
            "position_buckets": 8,
            "share_att_key": True,
            "pos_att_type": ["c2p", "p2c"],
            "norm_rel_ebd": "layer_norm",
        },
    ),
    "modernbert": (ModernBertConfig, {"global_attn_every_n_layers": 2, "local_attention": 32}),
}


def save_causal(folder: Path, config_class: type[PretrainedConfig], **options: Any) -> str:
    tokenizer = byte_level_tokenizer(start=config_class is not GPT2Config)
    return _save_drawn(AutoModelForCausalLM, folder, tokenizer, config_class, options)


CHAT = (
    "{% for turn in messages %}<|begin|>{{ turn['role'] }}\n{{ turn['content'] }}<|end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|begin|>assistant\n{% endif %}"
)


def save_chat(folder: Path, config_class: type[PretrainedConfig], **options: Any) -> str:
    """A decoder with a chat template, which reads prompts of a hundred letters."""
    tokenizer = byte_level_tokenizer(start=False)
    tokenizer.chat_template = CHAT
    options = {"max_position_embeddings": 512} | options
    return _save_drawn(AutoModelForCausalLM, folder, tokenizer, config_class, options)


def save_talker(folder: Path, config_class: type[PretrainedConfig] = LlamaConfig) -> str:
    """One with large weights, so that what it says next depends on all that stands before."""
    return save_chat(folder, config_class, tie_word_embeddings=False, initializer_range=0.5)


def save_masked(folder: Path, config_class: type[PretrainedConfig], **options: Any) -> str:
    tokenizer = wordpiece_tokenizer() if config_class is BertConfig else roberta_tokenizer()
    options = options | {
        "pad_token_id": tokenizer.pad_token_id,
        "cls_token_id": tokenizer.cls_token_id,
        "sep_token_id": tokenizer.sep_token_id,
    }
    return _save_drawn(AutoModelForMaskedLM, folder, tokenizer, config_class, options)


def save_any(folder: Path, name: str) -> str:
    """One of the models of `CAUSAL` and `MASKED`."""
    if name in CAUSAL:
        config_class, options = CAUSAL[name]
        return save_causal(folder, config_class, **options)
    config_class, options = MASKED[name]
    return save_masked(folder, config_class, **options)


def _save_drawn(
    auto_class: type,
    folder: Path,
    tokenizer: PreTrainedTokenizerFast,
    config_class: type[PretrainedConfig],
    options: dict[str, Any],
) -> str:
    torch.manual_seed(0)
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = config_class(vocab_size=len(tokenizer), **SIZES | ids | options)
    return _save(folder, auto_class.from_config(config), tokenizer)


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
