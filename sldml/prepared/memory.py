"""Memory that was freed is kept for the next batch.

By default glibc gives every large block back to the system as soon as it is freed. A batch of images is such a block,
and so are an encoder's activations: the system must clear and map each of their pages anew, page fault by page fault,
which took twice as long as making images of 256 pixels itself.
"""

from __future__ import annotations

import ctypes
import functools
import platform

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # in glibc's malloc.h
_KEPT_BYTES = 2**30
_LARGEST_KEPT_BYTES = 2**28
"""A larger block is no batch: it is given back."""


@functools.cache
def keep_freed_memory() -> bool:
    """Keep up to a gigabyte of freed memory in this process, for good. Without glibc nothing is changed.

    Returns:
        Whether it is kept.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_TRIM_THRESHOLD, _KEPT_BYTES) and mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES))
