"""Windows of files through a network: the loss, and the measure made of it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from foretype_models import inputs, memory
from foretype_models.alphabet import END_OF_FILE
from foretype_models.architecture import Architecture
from foretype_models.inputs import Memories, Rows
from foretype_models.memory import Answers
from foretype_models.network import Network, State, detach
from foretype_training.distributed import ALONE, Forward, Processes
from foretype_training.settings import Precision
from foretype_training.texts import Text
from foretype_training.windows import IGNORED, Lanes, Window

BITS = 1 / math.log(2)
"""One nat."""
TEMPERATURES = tuple(n / 20 for n in range(12, 41))  # 0.6 to 2


class Reader:
    """Feeds windows to a network and carries the state from one to the next.

    The windows are of `texts`. They go through `forward`, which is the network unless told.
    """

    def __init__(
        self,
        network: Network,
        texts: Sequence[Text],
        lanes: int,
        forward: Forward | None = None,
    ) -> None:
        self.network = network
        self._forward = forward or network
        self._texts = texts
        self._encoded: dict[int, npt.NDArray[np.unsignedinteger[Any]]] = {}  # texts being read
        self.state: State = network.initial_state(lanes)

    def loss(self, window: Window, precision: Precision) -> Tensor:
        """The sum of the nats of the window's targets, a scalar."""
        return _nats(self.logits(window, precision), window)

    def logits(self, window: Window, precision: Precision) -> Tensor:
        """Of the symbol after each of the window's: (time, lanes, alphabet), float32."""
        device = self.state[0].device
        if window.starts.any():
            starts = torch.from_numpy(window.starts).to(device)[:, None]
            self.state = tuple(s.masked_fill(starts, 0) for s in self.state)
        rows = torch.from_numpy(self._rows(window)).to(device)
        with _autocast(device, precision):
            logits, state = self._forward(rows, self.state)
        self.state = tuple(s.float() for s in detach(state))
        return logits.float()

    def keep(self, lanes: npt.NDArray[np.bool_]) -> None:
        """Goes on with some of the lanes alone."""
        kept = torch.from_numpy(lanes).to(self.state[0].device)
        self.state = tuple(s[kept] for s in self.state)

    def _rows(self, window: Window) -> Rows:
        """What the network reads in this window, each lane with what its text is read with."""
        self._encode(window)
        shape = (*window.symbols.shape, inputs.features(self.network.architecture))
        rows = np.zeros(shape, dtype=np.int64)
        files: list[int] = window.files.tolist()
        for lane, file in enumerate(files):
            if file >= 0:
                own = self._encoded[file][window.offsets[lane] :][: len(rows)]
                rows[: len(own), lane] = own
        return rows

    def _encode(self, window: Window) -> None:
        """Has the rows of the texts of the window ready, and of no others: whole texts are
        looked up at once, which takes a fraction of the time of windows."""
        files: set[int] = {file for file in window.files.tolist() if file >= 0}
        architecture = self.network.architecture
        self._encoded = {
            file: self._encoded[file]
            if file in self._encoded
            else _encoded(architecture, self._texts[file])
            for file in files
        }


def _encoded(architecture: Architecture, text: Text) -> npt.NDArray[np.unsignedinteger[Any]]:
    """What a network reads of a text: (symbols, features), as small as the numbers allow."""
    own = memory.answers(architecture.orders, text.symbols) if text.own_memory else None
    rows, _ = inputs.encode(
        architecture,
        text.table,
        inputs.initial_context(architecture, 1),
        text.symbols[:, None],
        Memories(text.project, None if own is None else Answers(own[:, None])),
    )
    return rows[:, 0].astype(np.min_scalar_type(inputs.rows(architecture)))


def _nats(logits: Tensor, window: Window) -> Tensor:
    targets = torch.from_numpy(window.targets).to(logits.device)
    return functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction="sum"
    )


def _autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def best_precision(device: torch.device) -> Precision:
    """bf16 where the processor multiplies it faster than fp32: it halves what is moved."""
    if device.type == "cuda":
        return "bf16"
    capabilities = torch.cpu.get_capabilities()
    fast = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return "bf16" if fast else "fp32"


def bits_per_character(
    network: Network,
    texts: Sequence[Text],
    precision: Precision = "fp32",
    lanes: int = 32,
    processes: Processes = ALONE,
) -> float:
    """Of the texts of whole files, each read from the initial state, in bytes of UTF-8.

    Of several `processes`, which are all given all texts, each reads some.
    """
    nats, count = 0.0, 0
    for window, logits in _read(network, _share(texts, processes), precision, lanes):
        nats += _nats(logits, window).item()
        count += int((window.targets != IGNORED).sum())
    all_nats, all_count = processes.total(nats, count)
    return all_nats / all_count * BITS


@dataclass(frozen=True)
class Calibration:
    """The temperature that suits a network best, and its bits per character then."""

    temperature: float
    bits: float

    def apply(self, network: Network) -> None:
        """Divides the network's logits by the temperature, at no cost in a step."""
        with torch.no_grad():
            network.output.weight.div_(self.temperature)
            network.output.bias.div_(self.temperature)


def calibrate(
    network: Network,
    texts: Sequence[Text],
    precision: Precision = "fp32",
    lanes: int = 32,
    processes: Processes = ALONE,
) -> Calibration:
    """Finds the temperature that suits `texts` best, of which each of `processes` reads some.

    A network that has read its training files several times is surer than it may be on
    others (Guo et al. 2017, "On calibration of modern neural networks").
    """
    nats, count = [0.0] * len(TEMPERATURES), 0
    for window, logits in _read(network, _share(texts, processes), precision, lanes):
        targets = torch.from_numpy(window.targets).to(logits.device)
        counted = targets != IGNORED
        logits, targets = logits[counted], targets[counted]
        count += len(targets)
        for i, temperature in enumerate(TEMPERATURES):
            nats[i] += functional.cross_entropy(
                logits / temperature, targets, reduction="sum"
            ).item()
    *nats, all_count = processes.total(*nats, count)
    best = nats.index(min(nats))
    return Calibration(TEMPERATURES[best], nats[best] / all_count * BITS)


def _share(texts: Sequence[Text], processes: Processes) -> Sequence[Text]:
    """What this process reads of the texts; nothing, where they are fewer than the processes."""
    return texts[processes.rank :: processes.count]


def _read(
    network: Network, texts: Sequence[Text], precision: Precision, lanes: int
) -> Iterator[tuple[Window, Tensor]]:
    """The windows of whole files, each read from the initial state, and their logits; the
    ends of files are no targets."""
    was_training = network.training
    network.eval()
    lanes = min(lanes, len(texts))
    by_length = sorted(texts, key=lambda text: len(text.symbols), reverse=True)
    reader = Reader(network, by_length, lanes)  # longest first, so that lanes end together
    busy = np.arange(lanes)
    files = [text.symbols for text in by_length]
    for whole in Lanes(files, lanes, length=256, seed=None, epochs=1):
        still = whole.files[busy] >= 0
        if not still.all():
            busy = busy[still]
            reader.keep(still)
        window = whole.of(busy)
        window.targets[window.targets == END_OF_FILE] = IGNORED
        with torch.no_grad():
            logits = reader.logits(window, precision)
        yield window, logits
    network.train(was_training)
