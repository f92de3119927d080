"""A step of the network at batch 1, against what the machine can do, and against torch.

    bound     reading the network's weights once, as fast as this core reads so many bytes
    int8      a step of the int8 network in ONNX Runtime; with the n-grams and memories looked
              up; and as the engine takes it: with the words before pointed at, too
    fp32      the same in fp32
    torch     the same network in torch, eager, one thread, oneDNN off (on, single steps take
              many times as long)
    batch 16  a step for sixteen texts at once, for each of them
    bytes 16  sixteen bytes of one text in a run, as where a search guesses ahead, for each of them

    python benchmarks/step.py [--json] [--model NAME_OR_PATH]

The weights are those that every step reads whole: recurrent layers and output. All are
measured in turn, again and again, and the median is given; so ratios hold on a noisy machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load

from foretype_models import alphabet, inputs, registry
from foretype_models.alphabet import Symbols
from foretype_models.bundle import WEIGHTS, Bundle, Precision
from foretype_models.inputs import Memories
from foretype_models.memory import TextMemory
from foretype_models.network import Network
from foretype_models.runtime import Piece, Runtime, State
from options import parser

ROUNDS, STEPS = 60, 20
TYPED = 60  # bytes since the memory was last sorted
TEXT = b"package org.example;\n\npublic final class Words {\n    private int count;\n" * 40


def weights(bundle: Bundle) -> int:
    """How many numbers a step reads whole."""
    found = load(bundle.files[WEIGHTS])
    return sum(w.numel() for name, w in found.items() if not name.startswith("embedding"))


def reading(size: int) -> Callable[[], object]:
    """Reads so many bytes."""
    words = np.ones(size // 8, dtype=np.uint64)
    return lambda: np.bitwise_or.reduce(words)


def engine_step(runtime: Runtime, texts: int, pointing: bool = True) -> Callable[[], object]:
    """A line of code, byte by byte and again and again, after each of some texts, with the memory
    of its own file: what a step costs where a name may begin, within one, and elsewhere."""
    line = TEXT[TEXT.index(b"    private") :][:STEPS]
    begun: list[State] = []
    memories: list[Memories] = []
    for number in range(texts):
        symbols = alphabet.encode(TEXT + b"// %d\n" % number)
        memory = TextMemory(runtime.architecture.orders, symbols[:-TYPED])
        memory.follow(symbols)
        memories.append(Memories(file=memory.at(len(symbols))))
        before = runtime.initial_state()
        begun.append(runtime.read(symbols[:, None], before, memories[-1])[1])
    states, at = begun, 0

    def read(symbol: Symbols) -> list[State]:
        pieces = [
            Piece(symbol, state, known) for state, known in zip(states, memories, strict=True)
        ]
        if pointing:
            return [state for _, state in runtime.read_together(pieces)]
        [piece] = pieces
        return [runtime.run(piece.symbols, piece.state, piece.memories).state]

    def step() -> None:
        nonlocal states, at
        after = read(alphabet.encode(line[at : at + 1])[:, None])
        at = (at + 1) % len(line)
        states = after if at else begun

    return step


def network_step(runtime: Runtime, batch: int, length: int = 1) -> Callable[[], object]:
    """What ONNX Runtime alone takes for so many bytes of so many texts."""
    architecture = runtime.architecture
    state = runtime.initial_state(batch)
    tensors = [tensor[None] for tensor in state.tensors]
    feeds: dict[str, Any] = dict(zip(architecture.state_names, tensors, strict=True))
    feeds["rows"] = np.zeros((length, batch, inputs.features(architecture)), dtype=np.int64)
    session: Any = runtime._session  # pyright: ignore[reportPrivateUsage]
    return lambda: session.run(None, feeds)


def torch_step(bundle: Bundle) -> Callable[[], object]:
    architecture = bundle.description.architecture
    network = Network(architecture).eval()
    network.load_state_dict(load(bundle.files[WEIGHTS]))
    rows = torch.zeros(1, 1, inputs.features(architecture), dtype=torch.int64)
    state = network.initial_state(1)

    def step() -> object:
        with torch.inference_mode(), torch.backends.mkldnn.flags(enabled=False):
            logits, after = network(rows, state)
            return torch.log_softmax(logits, -1), after

    return step


def microseconds(work: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Of each the median over rounds in which all take turns."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(ROUNDS):
        for name, step in work.items():
            step()
            began = perf_counter()
            for _ in range(STEPS):
                step()
            times[name].append((perf_counter() - began) / STEPS * 1e6)
    return {name: float(np.median(of_one)) for name, of_one in times.items()}


def main() -> None:
    command = parser(__doc__)
    options = command.parse_args()
    torch.set_num_threads(1)
    bundle = registry.load(options.model)
    numbers = weights(bundle)
    precisions: tuple[tuple[Precision, int], ...] = (("int8", 1), ("fp32", 4))
    work: dict[str, Callable[[], object]] = {"torch": torch_step(bundle)}
    for precision, width in precisions:
        runtime = Runtime(bundle, precision)
        work[f"{precision} bound"] = reading(numbers * width)
        work[f"{precision} network"] = network_step(runtime, 1)
        work[f"{precision} with look-ups"] = engine_step(runtime, 1, pointing=False)
        work[f"{precision} engine"] = engine_step(runtime, 1)
        work[f"{precision} network, batch 16"] = network_step(runtime, 16)
        work[f"{precision} network, bytes 16"] = network_step(runtime, 1, 16)
        work[f"{precision} engine, batch 16"] = engine_step(runtime, 16)
    found = microseconds(work)
    found |= {name: time / 16 for name, time in found.items() if name.endswith("16")}
    if options.json:
        print(json.dumps({"weights": numbers, "microseconds": found}, indent=2))
        return
    table = Table(f"{numbers:,} weights", "microseconds", "of the bound", "torch takes")
    for name, time in found.items():
        bound = found.get(f"{name[:4]} bound", 0.0)
        table.add_row(
            name,
            f"{time:,.0f}",
            f"{bound / time:.0%}" if bound else "",
            f"{found['torch'] / time:.1f} x",
        )
    Console().print(table)


if __name__ == "__main__":
    main()
