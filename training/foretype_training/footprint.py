"""Whether the machine has the memory that a training takes."""

from __future__ import annotations

import os

from foretype_models.architecture import Architecture
from foretype_training.display import say
from foretype_training.errors import InputError
from foretype_training.settings import Settings

_COPIES = 6
"""Of the weights: they, their gradients, Adam's two moments, the running mean and the best."""
_KEPT = 6
"""Numbers that are kept for the backward pass, of each unit at each symbol: the four gates,
the cell state and the hidden state."""
_BYTES = 4
_PER_CHARACTER = 30
"""Bytes while contexts are counted: the text, its symbols, and the keys of one order, of which
parts are sorted."""
_PER_CONTEXT = 6
"""Bytes for each order of each character besides, as a rule: 16.5 GB in all were taken for
thirteen orders of 154 million characters of 191 projects. Where little is repeated it is less."""


def check_counting(architecture: Architecture, characters: int) -> None:
    """Says so where counting the contexts of so many characters may take more memory than the
    machine has. Raises InputError where it has less than even the least."""
    least = _PER_CHARACTER * characters
    usual = least + _PER_CONTEXT * len(architecture.orders) * characters
    there = _memory()
    if least > there:
        raise InputError(
            f"to count the contexts of {characters:,} characters takes {_gigabytes(least)} of"
            f" memory at least, and this machine has {_gigabytes(there)}: name fewer folders, or"
            " fewer of their files with --include"
        )
    if usual > there:
        say(
            f"to count the contexts of {characters:,} characters may take {_gigabytes(usual)} of"
            f" memory, and this machine has {_gigabytes(there)}: if it is stopped for that, name"
            " fewer folders or files, or fewer contexts in the configuration"
        )


def check(settings: Settings, gpu: bool) -> None:
    """Raises InputError where the machine has less than even the least that it can take."""
    from foretype_training.trainer import parameters

    a = settings.architecture
    learned = parameters(a)
    units = settings.batch * settings.window * a.layers * a.hidden_size
    needed = _BYTES * (_COPIES * learned + _KEPT * units)
    there = _gpu_memory() if gpu else _memory()
    if needed > there:
        raise InputError(
            f"to train a network of {a.layers} x {a.hidden_size}, {learned:,} parameters, with a"
            f" batch of {settings.batch} and a window of {settings.window} takes"
            f" {_gigabytes(needed)} of memory at least, and this"
            f" {'GPU' if gpu else 'machine'} has {_gigabytes(there)}: make one of them smaller"
        )


def _memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _gpu_memory() -> int:
    import torch

    return torch.cuda.mem_get_info()[1]


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:,.0f} GB"
