"""What more training bought: each shipped model of this repository's history, on the same files.

    python benchmarks/progress.py FOLDER... [--include GLOB] [--sample CHARACTERS] [--json]
        [--picture FILE]

Each FOLDER is the source tree of a project that none of the models was trained on; a sample of
their files is read with no memory, the file's and the project's. Of a model that changed in the
history without a step of training the latest state is measured. Those that read no memory yet are
left out. `foretype evaluate` says what is measured:

    read         characters in all steps of training, its bases' too
    bpc, tokens  of the network without its pointer, in fp32
    by doubling  what each doubling of `read` changed, by least squares over all models

The models are taken from git, so the clone must have its history. Their networks are exported
anew from their weights, for what was exported by an earlier version this one may not run.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table
from safetensors.numpy import load

from foretype_models.bundle import NETWORKS, NGRAMS, WEIGHTS, Bundle, describe
from foretype_models.runtime import Runtime
from foretype_training.corpus import SourceFile, in_order, read_corpus, sample
from foretype_training.export import to_onnx
from foretype_training.measure import Setting, bits_per_character, measure
from foretype_training.picture import drawn
from foretype_training.tokens import token_accuracy
from foretype_training.writing import write_atomically
from options import parser

REPOSITORY = Path(__file__).parents[1]
BUNDLE = "models/foretype_models/bundles/java"
SETTINGS: tuple[Setting, ...] = get_args(Setting)


@dataclass(frozen=True)
class Row:
    """One model."""

    version: str
    shape: str  # of its network
    read: int  # characters
    bpc: Mapping[Setting, float]
    tokens: Mapping[Setting, float]

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "bpc": dict(self.bpc), "tokens": dict(self.tokens)}


def bundles() -> Iterator[Bundle]:
    """The models that were shipped, the oldest first, each as it was at last."""
    log = ("log", "--reverse", "--format=%H", "--", f"{BUNDLE}/model.json")
    latest: dict[tuple[int, ...], str] = {}  # commits, by the steps of training so far
    for commit in _git(*log).decode().split():
        description = json.loads(_git("show", f"{commit}:{BUNDLE}/model.json"))
        if description["architecture"].get("memory"):
            latest[_steps(description["training"])] = commit
    for commit in latest.values():
        with TemporaryDirectory() as folder:
            with tarfile.open(fileobj=io.BytesIO(_git("archive", commit, BUNDLE))) as archive:
                archive.extractall(folder, filter="data")
            yield network_of(Path(folder) / BUNDLE)


def network_of(folder: Path) -> Bundle:
    """A model without its pointer, whatever version of the format it is of."""
    description = describe(folder)
    files = {name: (folder / name).read_bytes() for name in (WEIGHTS, NGRAMS)}
    files[NETWORKS["fp32"]] = to_onnx(description.architecture, load(files[WEIGHTS]))
    return Bundle(description, files)


def _git(*arguments: str) -> bytes:
    return subprocess.run(
        ["git", *arguments], cwd=REPOSITORY, check=True, stdout=subprocess.PIPE
    ).stdout


def _steps(training: Mapping[str, Any] | None) -> tuple[int, ...]:
    """The characters of each step of training, the last one first."""
    if training is None:
        return ()
    base = training["base"]
    return training["symbols"], *_steps(base and base["training"])


def row(bundle: Bundle, files: Sequence[SourceFile], projects: Sequence[SourceFile]) -> Row:
    """`files` are some of those of the `projects`."""
    runtime = Runtime(bundle, threads=os.cpu_count() or 1, self_test=False)
    a = bundle.description.architecture
    bpc: dict[Setting, float] = {}
    tokens: dict[Setting, float] = {}
    for setting in SETTINGS:
        predicted = measure(runtime, files, setting, projects)
        bpc[setting] = bits_per_character(predicted)
        tokens[setting] = token_accuracy(predicted).strict or 0.0
    read = sum(_steps(bundle.description.training))
    return Row(bundle.description.version, f"{a.layers} x {a.hidden_size}", read, bpc, tokens)


def by_doubling(rows: Sequence[Row], values: Sequence[float]) -> tuple[float, float]:
    """What one doubling of the characters changes, and the value at one character."""
    slope, at_one = np.polyfit(np.log2([row.read for row in rows]), values, 1)
    return float(slope), float(at_one)


def draw(rows: Sequence[Row], path: Path) -> None:
    """Bits and tokens over the characters read, and the lines that suit them, up to one doubling
    further."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    panels: Sequence[Axes] = figure.subplots(1, 2)
    left, right = panels
    _panel(left, rows, [row.bpc for row in rows], "bits per character")
    _panel(right, rows, [row.tokens for row in rows], "tokens right")
    right.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    left.legend(frameon=False, title="memory")
    write_atomically(path, drawn(figure, path.suffix))


def _panel(
    axes: Axes, rows: Sequence[Row], found: Sequence[Mapping[Setting, float]], what: str
) -> None:
    read = [row.read for row in rows]
    ends = np.array([read[0], 2 * read[-1]])
    for setting in SETTINGS:
        values = [of_model[setting] for of_model in found]
        [dots] = axes.plot(read, values, "o", label=setting)
        slope, at_one = by_doubling(rows, values)
        axes.plot(ends, at_one + slope * np.log2(ends), ":", color=dots.get_color())
    axes.set_xscale("log", base=2)
    ticks = read[0] * 2.0 ** np.arange(int(np.log2(ends[1] / ends[0])) + 1)
    axes.set_xticks(ticks, [f"{tick / 1e6:.0f}" for tick in ticks])
    axes.minorticks_off()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("million characters read in training")
    axes.set_ylabel(what)


def main() -> None:
    command = parser(__doc__, model=False)
    command.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    command.add_argument("--include", default="*.java")
    command.add_argument("--sample", type=int, default=300_000, metavar="CHARACTERS")
    command.add_argument("--picture", type=Path, metavar="FILE")
    options = command.parse_args()
    projects = in_order(read_corpus(options.folders, [options.include]).files)
    files = in_order(sample(projects, options.sample))
    rows: list[Row] = []
    for bundle in bundles():
        rows.append(row(bundle, files, projects))
        note = f"{rows[-1].version}: {rows[-1].bpc['project']:.3f} bits per character, project"
        print(note, file=sys.stderr)
    if options.picture:
        draw(rows, options.picture)
    if options.json:
        print(json.dumps([row.to_json() for row in rows], indent=2))
        return
    _print(rows, f"{len(files)} files, {sum(len(file.text) for file in files):,} characters")


def _print(rows: Sequence[Row], title: str) -> None:
    table = Table(title=title)
    for name in ("model", "network", "read", *(f"bpc, {s}" for s in SETTINGS)):
        table.add_column(name, justify="right")
    for setting in SETTINGS:
        table.add_column(f"tokens, {setting}", justify="right")
    for row in rows:
        bits = (f"{row.bpc[s]:.3f}" for s in SETTINGS)
        tokens = (f"{row.tokens[s]:.1%}" for s in SETTINGS)
        table.add_row(row.version, row.shape, f"{row.read / 1e6:.0f} M", *bits, *tokens)
    bits = (by_doubling(rows, [row.bpc[s] for row in rows])[0] for s in SETTINGS)
    tokens = (by_doubling(rows, [row.tokens[s] for row in rows])[0] for s in SETTINGS)
    table.add_section()
    table.add_row(
        "by doubling", "", "", *(f"{b:+.3f}" for b in bits), *(f"{t:+.1%}" for t in tokens)
    )
    Console().print(table)


if __name__ == "__main__":
    main()
