"""Has glibc give memory back to the system. Other C libraries need no telling."""

from __future__ import annotations

import ctypes
import gc
import platform

_M_MMAP_THRESHOLD = -3  # of mallopt
_LARGE = 2**21
"""Bytes: smaller arrays come and go with every keystroke, and fresh memory costs time."""


def keep_large_arrays_apart() -> None:
    """They go back when they are freed. glibc otherwise keeps ever larger ones in its heap,
    which they leave in pieces: with ten files open the server would take a third more."""
    if _is_glibc():
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE)


def trim() -> None:
    """What is free goes back. glibc would keep what a model leaves, in the arena of each
    thread that loaded one: hundreds of MB after some loads."""
    gc.collect()
    if _is_glibc():
        ctypes.CDLL(None).malloc_trim(0)


def _is_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
