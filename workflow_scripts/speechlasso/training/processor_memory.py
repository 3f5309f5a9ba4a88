"""What torch keeps in memory between one step on the processor and the next."""

from __future__ import annotations

import ctypes
import os
import sys

# Names of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_few_kernels() -> None:
    """Let oneDNN keep the kernels of the last few shapes only; the results are the same.

    It compiles one for every new shape of a product and keeps 1,024 of them in each of two caches,
    with the memory they work in. Token texts are hardly ever of one length twice, and gigabytes are
    kept for nothing (https://github.com/pytorch/pytorch/issues/27971). Call it before the first
    product, which reads the limits for good; those that the environment sets already stay.
    """
    for cache in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(cache, "16")


def keep_freed_memory() -> None:
    """Let glibc keep the memory of freed tensors for the next ones.

    By default it hands large blocks back to the system, which then has to clear the same memory
    for every step: a large part of the time on long token texts.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
