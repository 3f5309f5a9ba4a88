"""Language models in llama.cpp's format (GGUF), converted once to what transformers saves.

Such a file is slow to read, and transformers cannot save a model that was read from one.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

logger = logging.getLogger(__name__)


def converted(path: Path, digest: str) -> Path:
    """The folder with the model's float32 weights and its tokenizer; written if there is none yet.

    Parameters
    ----------
    path
        The file.
    digest
        Its SHA-256, which names the folder in the user's cache.
    """
    folder = _cache() / digest[:16]
    if folder.is_dir():
        return folder
    logger.info("converting %s into %s", path.name, folder)
    source = {"gguf_file": path.name, "trust_remote_code": False}
    model = AutoModelForCausalLM.from_pretrained(path.parent, **source, dtype=torch.float32)
    # The weights are plain numbers by now.
    model.hf_quantizer, model.is_quantized = None, False
    del model.config.quantization_config
    model.generation_config = GenerationConfig.from_model_config(model.config)
    tokenizer = AutoTokenizer.from_pretrained(path.parent, **source)
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        model.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        temporary.chmod(0o755)
        temporary.rename(folder)
    except OSError:
        if not folder.is_dir():  # else another process was faster
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "speechlasso"
