"""The network with its weights as 8-bit integers, exact however texts are read.

ONNX Runtime rounds activations to 8 bits by the smallest and the largest value of a whole
tensor. That tensor holds all texts of a batch and all steps of a run, so one text would be
rounded by what stands in another, and a text read at once otherwise than step by step. Here
the range is the same always: each layer has two units more, the guards, which no weight
reads and whose hidden states are always at the largest and the smallest value there can be;
and what is embedded is clipped to a range that two more of its numbers always span. So the
answers are the same bit for bit whatever is read together, and texts can share a batch.
"""

from __future__ import annotations

import logging
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnxruntime import quantization

from foretype_models import inputs
from foretype_models.architecture import Architecture, Cell
from foretype_models.runtime import GUARDS
from foretype_training.errors import TrainingError
from foretype_training.export import Weights, to_onnx

CELLS: tuple[Cell, ...] = ("lstm", "peephole")
"""Those whose recurrent operator has an int8 form; of others only the edges would shrink."""

_SIGNS = np.array([1, -1], dtype=np.float32)  # of the guards
_OPEN = 30.0  # as a gate's bias: it is open, or closed with the other sign
_MARGIN = 1.5  # by which guards exceed the range that they are clipped to, for the rounding

Floats = npt.NDArray[np.float32]


def to_int8(architecture: Architecture, weights: Weights, embedded: float) -> bytes:
    """The network as an ONNX file, with an int8 operator for each layer and for the output.
    The embeddings, of which a step reads a row or two for each context, have 16 bits: with 8,
    and one scale for all of them, they cost as much as all the rest.

    Inputs and outputs are those of `to_onnx`, but that the state is wider by the guards,
    which `Runtime.initial_state` sets. `embedded` is how large what is embedded may be: what
    is larger is clipped. The cell must be one of `CELLS`.
    """
    wider = replace(
        architecture,
        hidden_size=architecture.hidden_size + GUARDS,
        embedding_size=architecture.embedding_size + GUARDS,
    )
    return _quantized(to_onnx(wider, _guarded(architecture, weights, embedded), embedded))


def _guarded(architecture: Architecture, weights: Weights, embedded: float) -> Weights:
    hidden, embedding = architecture.hidden_size, architecture.embedding_size
    guarded = dict(weights)
    table = weights["embedding.weight"]
    # Of each symbol so many rows are summed.
    each = _SIGNS * _MARGIN * embedded / inputs.features(architecture)
    guards = np.broadcast_to(each, (len(table), GUARDS))
    guarded["embedding.weight"] = np.concatenate((table, guards), axis=1).astype(np.float32)
    output = weights["output.weight"]
    parts = output[:, :hidden], output[:, hidden : hidden + embedding]
    guarded["output.weight"] = np.concatenate([_wider(part, 1) for part in parts], axis=1)
    for name, weight in weights.items():
        if name.endswith("peephole"):
            guarded[name] = _wider(weight, 1)
        elif name.startswith("layers."):
            gates = weight.reshape(-1, hidden, *weight.shape[1:])
            gates = _wider(gates, *range(1, gates.ndim))
            if name.endswith(("bias", "bias_ih_l0")):
                # i, f, g, o: what a guard's cell holds it holds for ever, and shows.
                gates[:, hidden:] = np.array((-_OPEN, _OPEN, 0, _OPEN))[:, None]
            guarded[name] = gates.reshape(-1, *gates.shape[2:])
    return guarded


def _wider(array: Floats, *axes: int) -> Floats:
    """With room for the guards at the end of these axes: weights that are zero."""
    return np.pad(array, [(0, GUARDS if axis in axes else 0) for axis in range(array.ndim)])


def _multiplies_in_32_bits() -> bool:
    """Whether this processor adds the products of 8-bit numbers in 32 bits. Those of Intel's
    kind without the instructions for it (VNNI, AMX) add two of them in 16, which do not hold
    the largest: there weights have 7 bits, and the answers are the same on any processor."""
    has = torch.cpu.get_capabilities()
    instructions = ("avx512_vnni", "avx_vnni", "amx_int8")
    return has.get("architecture") != "x86_64" or any(has.get(name) for name in instructions)


def _quantized(network: bytes) -> bytes:
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)  # it advises a preparation that our graphs do not need
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "int8.onnx")
            cast(Any, quantization).quantize_dynamic(
                onnx.load_from_string(network),
                path,
                op_types_to_quantize=["LSTM", "MatMul"],
                per_channel=True,
                weight_type=quantization.QuantType.QInt8,
                reduce_range=not _multiplies_in_32_bits(),
            )
            return path.read_bytes()
    except OSError as error:
        raise TrainingError(f"cannot write the int8 network: {error.strerror}") from error
    finally:
        logging.root.setLevel(level)
