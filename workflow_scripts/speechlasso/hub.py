"""Models through transformers: no code of theirs is run, and what goes wrong is one message."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from jinja2 import TemplateError
from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from speechlasso.errors import InputError, is_out_of_memory, refused_by_disk


def loaded(of_transformers: type, name: str | Path, **options: Any) -> Any:
    """What a class of transformers makes of a model's files; code that comes with them is not run,
    nor does transformers ask whether to run it.

    Parameters
    ----------
    of_transformers
        For example `AutoTokenizer`.
    name
        Hub id or local directory.
    **options
        Passed on to `from_pretrained`.
    """
    return of_transformers.from_pretrained(name, trust_remote_code=False, **options)


@contextmanager
def readable_errors(key: str, name: str, hint: str = "") -> Iterator[None]:
    """Turn transformers' exceptions into one message; hide its reports and progress bars.

    Parameters
    ----------
    key
        Of the configuration, where the model is named.
    name
        Hub id or local directory.
    hint
        What else might help, in a sentence.

    Raises
    ------
    InputError
        For whatever keeps the model from being loaded, but want of memory.
    """
    verbosity = transformers_logging.get_verbosity()
    progress = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    except UnpicklingError as error:
        raise InputError(
            f"{key}: the weights of {name!r} are damaged or come with code, which is never run; "
            "choose a model whose weights are safetensors"
        ) from error
    except TemplateError as error:
        raise InputError(
            f"{key}: the chat template of {name!r} cannot be filled in: {error}; choose another "
            "model"
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        if is_out_of_memory(error):
            raise
        if "trust_remote_code" in str(error):
            raise InputError(
                f"{key}: {name!r} needs code that comes with it, which is never run; choose a "
                "model of a kind that transformers knows by itself"
            ) from error
        if refused := refused_by_disk(error):
            raise InputError(
                f"{key}: cannot load {name!r}: {refused}\n"
                "HF_HOME names the folder for what comes from the hub."
            ) from error
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(
            f"{key}: cannot load {name!r}: {reason}\n"
            "Give a directory with the model's files, or the name of a model on the Hugging Face "
            "hub that this machine can reach (without a network: `hf download NAME --local-dir "
            f"FOLDER` elsewhere). {hint}".rstrip()
        ) from error
    finally:
        transformers_logging.set_verbosity(verbosity)
        if progress:
            transformers_logging.enable_progress_bar()
