"""What each choice in the network and its training is worth: all but one stay as they are.

    python benchmarks/ablations.py FOLDER... --validation FOLDER [--include GLOB]
        [--characters N] [--seeds N] [--only NAME,...] [--json] [--picture FILE]

Small networks are trained from nothing on a sample of N characters of the FOLDERs, two passes
each, and measured on another project. Each variant is trained with each seed; what it changes is
the mean of its differences to what Foretype does with the same seed, and the standard error of
that mean says what is chance.

    bits     per character of the validation project, one file in four read with no memory, the
             others with that of their own text
    rate     characters per second of learning, as a ratio to what Foretype does

The variants stand in variants.py.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import mean, stdev
from tempfile import TemporaryDirectory
from unittest.mock import patch

import torch
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from foretype_models.architecture import Architecture
from foretype_models.inputs import Ngrams
from foretype_training.corpus import SourceFile, Split, read_corpus, sample
from foretype_training.picture import drawn
from foretype_training.texts import Texts, texts
from foretype_training.trainer import Trainer
from foretype_training.writing import write_atomically
from options import parser
from variants import FIRST, VARIANTS, Variant, settings_of


@dataclass(frozen=True)
class Run:
    """One network."""

    bits: float  # per character of the validation files
    rate: float  # characters per second of learning


@dataclass(frozen=True)
class Row:
    """What a variant changes: mean and standard error over seeds; rates as a ratio."""

    name: str
    bits: float
    change: float
    error: float
    rate: float


def trained(variant: Variant, read: Texts, seed: int) -> Run:
    settings = replace(settings_of(variant), seed=seed)
    parts = patch.multiple(
        "foretype_training.trainer", Network=variant.network, learning_rate=variant.rate
    )
    with TemporaryDirectory() as folder, parts:
        trainer = Trainer(
            settings,
            read.training,
            read.validation,
            "",
            Path(folder) / "checkpoint.safetensors",
            torch.device("cpu"),
        )
        found = trainer.run()
    assert found.rate is not None
    return Run(found.calibration.bits, found.rate)


def rows(runs: Mapping[str, Sequence[Run]]) -> list[Row]:
    first = runs[FIRST]
    made: list[Row] = []
    for name, own in runs.items():
        changes = [run.bits - other.bits for run, other in zip(own, first, strict=True)]
        error = stdev(changes) / math.sqrt(len(changes)) if len(changes) > 1 else math.nan
        rate = mean(run.rate / other.rate for run, other in zip(own, first, strict=True))
        made.append(Row(name, mean(run.bits for run in own), mean(changes), error, rate))
    return made


def draw(found: Sequence[Row], path: Path) -> None:
    """What each variant changes, and its standard error; to the right it is worse."""
    figure = Figure(figsize=(7, 0.26 * len(found) + 0.9), layout="constrained")
    axes = figure.subplots()
    shown = [row for row in found if row.name != FIRST]
    axes.axvline(0, color="0.8")
    axes.errorbar(
        [row.change for row in shown], range(len(shown)), xerr=[row.error for row in shown], fmt="o"
    )
    axes.set_yticks(range(len(shown)), [row.name for row in shown])
    axes.invert_yaxis()
    axes.set_xscale("symlog", linthresh=0.02)
    axes.xaxis.set_major_formatter(lambda bits, _: f"{bits:+.2f}" if bits else "0")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(f"bits per character more than {FIRST}")
    write_atomically(path, drawn(figure, path.suffix))


def main() -> None:
    command = parser(__doc__, model=False)
    command.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    command.add_argument("--validation", type=Path, required=True, metavar="FOLDER")
    command.add_argument("--include", default="*.java")
    command.add_argument("--characters", type=int, default=2_000_000, metavar="N")
    command.add_argument("--seeds", type=int, default=3, metavar="N")
    command.add_argument("--only", default=",".join(VARIANTS), metavar="NAME,...")
    command.add_argument("--picture", type=Path, metavar="FILE")
    options = command.parse_args()
    chosen = [FIRST, *(name for name in options.only.split(",") if name != FIRST)]
    if unknown := set(chosen) - VARIANTS.keys():
        command.error(f"there is no variant {min(unknown)!r}; there are {', '.join(VARIANTS)}")
    training = sample(read_corpus(options.folders, [options.include]).files, options.characters)
    validation = sample(read_corpus([options.validation], [options.include]).files, 200_000)
    split = _split(training, validation)

    @cache
    def read(reading: Architecture) -> Texts:
        return texts(reading, split, Ngrams.empty())

    runs: dict[str, list[Run]] = {name: [] for name in chosen}
    for seed in range(1, options.seeds + 1):
        for name in chosen:
            shape = settings_of(VARIANTS[name]).architecture
            # What is counted is the same for all that read the same.
            reading = Architecture(memory=shape.memory).reading(shape)
            run = trained(VARIANTS[name], read(reading), seed)
            runs[name].append(run)
            note = f"seed {seed}, {name}: {run.bits:.4f} bits, {run.rate:,.0f} characters a second"
            print(note, file=sys.stderr)
    found = rows(runs)
    if options.picture:
        draw(found, options.picture)
    if options.json:
        print(json.dumps([vars(row) for row in found], indent=2))
        return
    characters = sum(len(file.text) for file in training)
    _print(found, f"{characters:,} characters, {options.seeds} seeds")


def _split(training: Sequence[SourceFile], validation: Sequence[SourceFile]) -> Split:
    """The validation project beside the others."""
    after = 1 + max(file.project for file in training)
    own = [replace(file, project=after) for file in validation]
    return Split(list(training), own, [])


def _print(found: Sequence[Row], title: str) -> None:
    table = Table(title=title)
    table.add_column("variant")
    for name in ("bits", "change", "rate"):
        table.add_column(name, justify="right")
    for row in found:
        change = "" if row.name == FIRST else f"{row.change:+.4f} ± {row.error:.4f}"
        table.add_row(row.name, f"{row.bits:.4f}", change, f"{row.rate:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
