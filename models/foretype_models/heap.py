"""What glibc does with memory that is freed. Other C libraries are left alone."""

from __future__ import annotations

import ctypes
import gc
import platform
from collections.abc import Generator
from contextlib import contextmanager

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -3, -4, -8  # of mallopt
_USUAL_TRIM_THRESHOLD, _USUAL_MMAP_MAX = 128 * 2**10, 2**16
_MOST = 2**31 - 1  # that it takes
_LARGE = 2**21
"""Bytes: smaller arrays come and go with every keystroke, and fresh memory costs time."""


def be_sparing() -> None:
    """To be called before threads are started. Large arrays go back when they are freed: glibc
    otherwise keeps ever larger ones in its heap, which they leave in pieces, and with ten files
    open the server would take a third more. And there is one heap: each thread's own would keep
    what that has freed, 20 MB more."""
    _set(_M_MMAP_THRESHOLD, _LARGE)
    _set(_M_ARENA_MAX, 1)


@contextmanager
def keeping_what_is_freed() -> Generator[None]:
    """Meanwhile it stays with the process, which has it at once when it needs as much again.
    Training takes and frees the same hundreds of MB in each step, and a third of a step's time
    would go into having the system clear them."""
    _set(_M_MMAP_MAX, 0)
    _set(_M_TRIM_THRESHOLD, _MOST)
    try:
        yield
    finally:
        _set(_M_MMAP_MAX, _USUAL_MMAP_MAX)
        _set(_M_TRIM_THRESHOLD, _USUAL_TRIM_THRESHOLD)
        trim()


def trim() -> None:
    """What is free goes back. glibc would keep what a model leaves, in the arena of each
    thread that loaded one: hundreds of MB after some loads."""
    gc.collect()
    if _is_glibc():
        ctypes.CDLL(None).malloc_trim(0)


def _set(parameter: int, value: int) -> None:
    if _is_glibc():
        ctypes.CDLL(None).mallopt(parameter, value)


def _is_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
