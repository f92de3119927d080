"""How much a training run computes, against what its machine can.

Learning from a character takes six operations for each weight of a matrix: a multiplication
and an addition on the way forward, twice as many on the way back (Kaplan et al. 2020,
"Scaling laws for neural language models"). Whatever else is done counts as none, so the share
of the machine's rate is what Chowdhery et al. 2022 ("PaLM") call model FLOPs utilization, but
that the machine's rate is measured here and not taken from a data sheet.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from foretype_models.architecture import Architecture
from foretype_training.distributed import Processes
from foretype_training.settings import Precision
from foretype_training.trainer import Trainer, shapes

OPERATIONS = 6
"""For each character and each weight of a matrix."""
_SECONDS = 0.5
_ROWS = 4096  # more do not make a product faster
_TYPES: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Throughput:
    """Of all processes of a run together, in what each second had of it."""

    characters: float
    operations: float  # on matrices, that these characters need
    attainable: float  # operations in products of a matrix as large as the network's largest
    precision: Precision
    processes: int


def throughput(trainer: Trainer, rate: float | None, processes: Processes) -> Throughput | None:
    """Of a run that learned from `rate` characters per second, beside products that are measured
    now, in all processes at once; none of a run without a step."""
    if rate is None:
        return None
    matrices = matrix_shapes(trainer.settings.architecture)
    lanes = trainer.settings.batch // processes.count
    rows = min(_ROWS, lanes * trainer.settings.window)
    own = product_rate(rows, max(matrices, key=torch.Size.numel), trainer.precision, trainer.device)
    return Throughput(
        characters=rate,
        operations=OPERATIONS * sum(shape.numel() for shape in matrices) * rate,
        attainable=processes.total(own)[0],
        precision=trainer.precision,
        processes=processes.count,
    )


def matrix_shapes(architecture: Architecture) -> list[torch.Size]:
    """Of all that the network multiplies with, (outputs, inputs): the weights of its layers and
    its output, but not the embedding, which is looked up."""
    return [
        shape
        for name, shape in shapes(architecture).items()
        if name.rpartition(".")[2].startswith("weight") and not name.startswith("embedding.")
    ]


def product_rate(
    rows: int, matrix: torch.Size, precision: Precision, device: torch.device
) -> float:
    """Operations per second of (rows, inputs) times (inputs, outputs), the fastest of some."""
    outputs, inputs = matrix
    left, right = (
        # No random numbers: a run that goes on would miss them.
        torch.linspace(-1, 1, m * n).reshape(m, n).to(device, _TYPES[precision])
        for m, n in ((rows, inputs), (inputs, outputs))
    )
    _seconds(left, right)  # the first time, in which memory is found, does not count
    times: list[float] = []
    began = time.monotonic()
    while not times or time.monotonic() - began < _SECONDS:
        times.append(_seconds(left, right))
    return 2 * rows * inputs * outputs / min(times)


def _seconds(left: Tensor, right: Tensor) -> float:
    """Of one product."""
    began = time.perf_counter()
    torch.mm(left, right)
    if left.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - began
