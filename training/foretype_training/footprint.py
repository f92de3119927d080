"""Whether the machine has the memory that a network takes to train."""

from __future__ import annotations

import os

from foretype_training.errors import InputError
from foretype_training.settings import Settings

_COPIES = 6
"""Of the weights: they, their gradients, Adam's two moments, the running mean and the best."""
_KEPT = 6
"""Numbers that are kept for the backward pass, of each unit at each symbol: the four gates,
the cell state and the hidden state."""
_BYTES = 4


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
