"""What helps a network learn: one thing changed at a time, all else and the text the same.

    python benchmarks/ablations.py FOLDER... --validation FOLDER... [--characters N]
        [--only NAME...] [--json]

Small networks are trained on so many characters of the first folders' files and measured on a
sample of files of other projects, a quarter of them read with no memory and the others with their
own. Each core trains one network. What is tried and not part of the product is defined here.

    bits     per character of the validation files
    change   from the network as it is trained; its second seed says what is chance
    speed    characters a second on one core, over that of the network as it is trained
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast
from unittest.mock import patch

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional

from foretype_models.architecture import Architecture
from foretype_models.inputs import Ngrams
from foretype_models.network import LSTMLayer, Network, State
from foretype_training import trainer
from foretype_training.corpus import Split, in_order, read_corpus, sample
from foretype_training.display import say, tracking
from foretype_training.settings import Settings
from foretype_training.texts import Texts, texts
from options import parser

AS_IT_IS = Settings(
    Architecture("lstm", embedding_size=64, hidden_size=256, layers=2, memory=True),
    batch=32,
    window=96,
    learning_rate=3e-3,
    dropout=0.0,
    validations=1,
)
DROPPED = 0.2
VALIDATION_CHARACTERS = 150_000


class Forgetful(Network):
    """Begins every window of the training with the initial state."""

    def forward(self, rows: Tensor, state: State) -> tuple[Tensor, State]:
        return super().forward(rows, self.initial_state(rows.shape[1]) if self.training else state)


class Stacked(Network):
    """Without residual connections: each layer reads the one below alone."""

    def forward(self, rows: Tensor, state: State) -> tuple[Tensor, State]:
        embedded: Tensor = self.embedding(rows.flatten(0, 1)).unflatten(0, rows.shape[:2])
        x = embedded
        after: list[Tensor] = []
        for number, layer in enumerate(self.layers):
            x, new = cast(LSTMLayer, layer)(x, state[2 * number : 2 * number + 2])
            after.extend(new)
        return self.output(torch.cat((x, embedded), -1)), tuple(after)


class Normalised(Network):
    """Each layer's inputs are normalised (Ba et al. 2016), which leaves the operator fused."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.layers = nn.ModuleList(_NormalisedLayer(layer) for layer in self.layers)


class _NormalisedLayer(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        return self.layer(functional.layer_norm(inputs, inputs.shape[-1:]), state)


class WeightDropped(Network):
    """Of the recurrent weights a share is left out in each window (Merity et al. 2018)."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.layers = nn.ModuleList(
            _WeightDroppedLayer(cast(LSTMLayer, layer).fused) for layer in self.layers
        )


class _WeightDroppedLayer(nn.Module):
    def __init__(self, fused: nn.LSTM) -> None:
        super().__init__()
        self.fused = fused

    def forward(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        weights = cast(Tensor, self.fused.weight_hh_l0)
        dropped = {"weight_hh_l0": functional.dropout(weights, DROPPED, self.training)}
        given = inputs, tuple(s[None] for s in state)
        outputs, (h, c) = torch.func.functional_call(self.fused, dropped, given)
        return outputs, (h[0], c[0])


def cosine(settings: Settings, progress: float) -> float:
    """A learning rate that falls as a cosine does (Loshchilov & Hutter 2017)."""
    rising = min(1.0, progress / settings.warmup + 1e-3)
    return settings.learning_rate * min(rising, (1 + math.cos(math.pi * progress)) / 2)


@dataclass(frozen=True)
class Variant:
    """One thing that is changed."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    architecture: dict[str, Any] = field(default_factory=dict[str, Any])
    replaced: dict[str, Any] = field(default_factory=dict[str, Any])  # in the trainer


VARIANTS = (
    Variant("as it is"),
    Variant("another seed", {"seed": 2}),
    Variant("variational dropout", {"dropout": DROPPED}),
    Variant("weight dropping", replaced={"Network": WeightDropped}),
    Variant("layer normalisation", replaced={"Network": Normalised}),
    Variant("no residual connections", replaced={"Network": Stacked}),
    Variant("the state is not carried over", replaced={"Network": Forgetful}),
    Variant("windows of half the length", {"window": 48}),
    Variant("windows of twice the length", {"window": 192}),
    Variant("half the batch", {"batch": 16}),
    Variant("twice the batch", {"batch": 64}),
    Variant("a cosine schedule", replaced={"learning_rate": cosine}),
    Variant("weights are not averaged", {"average": 0.0}),
    Variant("an embedding of half the size", architecture={"embedding_size": 32}),
    Variant("an embedding of twice the size", architecture={"embedding_size": 128}),
    Variant("gru", architecture={"cell": "gru"}),
    Variant("one layer of 392", architecture={"layers": 1, "hidden_size": 392}),
    Variant("three layers of 208", architecture={"layers": 3, "hidden_size": 208}),
)


@dataclass(frozen=True)
class Result:
    """What came of one variant."""

    name: str
    parameters: int
    bits: float
    rate: float  # characters a second


def trained(variant: Variant, known: Texts, characters: int) -> Result:
    """In a process of its own, on one core."""
    torch.set_num_threads(1)
    architecture = replace(AS_IT_IS.architecture, **variant.architecture)
    settings = replace(AS_IT_IS, architecture=architecture, **variant.settings)
    of_all = sum(len(text.symbols) - 1 for text in known.training)
    settings = replace(settings, epochs=characters / of_all)
    with TemporaryDirectory() as folder, ExitStack() as stack:
        for name, instead in variant.replaced.items():
            stack.enter_context(patch.object(trainer, name, instead))
        checkpoint, device = Path(folder) / "checkpoint", torch.device("cpu")
        run = trainer.Trainer(settings, known.training, known.validation, "", checkpoint, device)
        found = run.run()
    assert found.rate is not None
    return Result(
        variant.name, trainer.parameters(architecture), found.calibration.bits, found.rate
    )


def read(folders: Sequence[Path], validation: Sequence[Path], include: str) -> Texts:
    """What all networks are trained and measured on."""
    training = read_corpus(folders, [include], to_learn=True).files
    others = read_corpus(validation, [include]).files
    # Numbered after those of the training: no project's memory is that of another.
    measured = [
        replace(file, project=len(folders) + file.project)
        for file in in_order(sample(others, VALIDATION_CHARACTERS))
    ]
    split = Split(list(training), measured, [], 0)
    with tracking("counting n-grams") as track:
        return texts(
            AS_IT_IS.architecture,
            split,
            Ngrams.empty(),
            lambda done, total: track(done, total, ""),
        )


_shared: list[Texts] = []  # with the processes, which inherit it: it is large


def _share(counted: Texts) -> None:
    _shared.append(counted)


def _trained(variant: Variant, characters: int) -> Result:
    return trained(variant, _shared[0], characters)


def main() -> None:
    command = parser(__doc__, model=False)
    command.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    command.add_argument("--validation", type=Path, nargs="+", required=True, metavar="FOLDER")
    command.add_argument("--include", default="*.java")
    command.add_argument("--characters", type=int, default=3_000_000)
    command.add_argument("--only", nargs="+", default=[v.name for v in VARIANTS], metavar="NAME")
    options = command.parse_args()
    counted = read(options.folders, options.validation, options.include)
    chosen = [VARIANTS[0], *(v for v in VARIANTS[1:] if v.name in options.only)]
    with ProcessPoolExecutor(os.cpu_count(), get_context("fork"), _share, (counted,)) as processes:
        one = partial(_trained, characters=options.characters)
        results: list[Result] = []
        for result in processes.map(one, chosen):
            results.append(result)
            say(f"{result.name}: {result.bits:.4f}")
    if options.json:
        print(json.dumps([vars(result) for result in results], indent=2))
        return
    first = results[0]
    table = Table(title=f"{options.characters:,} characters")
    table.add_column("changed")
    for name in ("parameters", "bits", "change", "speed"):
        table.add_column(name, justify="right")
    for result in results:
        numbers = f"{result.parameters:,}", f"{result.bits:.4f}", f"{result.bits - first.bits:+.4f}"
        table.add_row(result.name, *numbers, f"{result.rate / first.rate:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
