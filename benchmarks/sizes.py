"""What larger networks buy: keystrokes saved against time and megabytes, of some models.

    python benchmarks/sizes.py FOLDER... [--models NAME_OR_PATH...] [--include GLOB]
        [--sample CHARACTERS] [--json] [--picture FILE]

Each FOLDER is a source tree that no model was trained on. A sample of its files is measured
with the memory of their project, in the precision that is served:

    MB      of the files that a server loads: the network, the counts, the pointer
    step    a byte of a search, all of it: the median of many, of all models in turn
    saved   keystrokes that the simulated typist of `foretype evaluate` saves, cut at the
            editors' confidence
    bpc, tokens, identifiers   as `foretype evaluate` says them, tokens of Java alone
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from foretype_models import registry
from foretype_models.bundle import NETWORKS, NGRAMS, POINTER, Bundle
from foretype_models.runtime import Runtime
from foretype_training.comparison import CONFIDENCE, Measured
from foretype_training.corpus import SourceFile, in_order, read_corpus, sample
from foretype_training.measure import measure
from foretype_training.picture import drawn
from foretype_training.typist import Keystrokes, keystrokes
from foretype_training.writing import write_atomically
from options import parser
from step import engine_step, microseconds


@dataclass(frozen=True)
class Row:
    """One model."""

    name: str
    megabytes: float
    step: float  # microseconds
    measured: Measured


def label(bundle: Bundle) -> str:
    a = bundle.description.architecture
    return f"{bundle.description.name} {bundle.description.version}, {a.layers} x {a.hidden_size}"


def megabytes(bundle: Bundle) -> float:
    """Of the files that a server reads; the others are for training and other precisions."""
    read = (NETWORKS[bundle.choose_precision()], NGRAMS, POINTER)
    return sum(len(bundle.files.get(name, b"")) for name in read) / 1e6


def measured(
    runtime: Runtime, files: Sequence[SourceFile], project: Sequence[SourceFile]
) -> Measured:
    setting = "project" if runtime.architecture.memory else "none"
    predicted = measure(runtime, files, setting, project)
    typed = keystrokes(runtime, files, setting, project, CONFIDENCE)
    return Measured(setting, predicted, sum(typed, Keystrokes(0, 0, 0, 0)))


def draw(rows: Sequence[Row], path: Path) -> None:
    """Keystrokes saved over a step's time; the area of a point is what is loaded."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    axes.scatter(
        [row.step for row in rows],
        [row.measured.keystrokes.saved for row in rows],
        [8 * row.megabytes for row in rows],
        alpha=0.6,
    )
    for row in rows:
        note = f"{row.name}\n{row.megabytes:.0f} MB"
        axes.annotate(
            note,
            (row.step, row.measured.keystrokes.saved),
            xytext=(0, 14),
            textcoords="offset points",
            ha="center",
        )
    axes.margins(0.35)
    axes.spines[["top", "right"]].set_visible(False)
    axes.yaxis.set_major_formatter(lambda share, _: f"{share:.1%}")
    axes.set_xlabel("microseconds for a step of a search")
    axes.set_ylabel("keystrokes saved")
    write_atomically(path, drawn(figure, path.suffix))


def main() -> None:
    command = parser(__doc__, model=False)
    command.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    command.add_argument("--models", nargs="+", default=["java"], metavar="NAME_OR_PATH")
    command.add_argument("--include", default="*.java")
    command.add_argument("--sample", type=int, default=40_000, metavar="CHARACTERS")
    command.add_argument("--picture", type=Path, metavar="FILE")
    options = command.parse_args()
    project = in_order(read_corpus(options.folders, [options.include]).files)
    files = in_order(sample(project, options.sample))
    models: dict[str, tuple[Bundle, Runtime]] = {}
    for name in options.models:
        bundle = registry.load(name)
        models[label(bundle)] = bundle, Runtime(bundle, bundle.choose_precision())
    steps = microseconds({name: engine_step(runtime, 1) for name, (_, runtime) in models.items()})
    rows = [
        Row(name, megabytes(bundle), steps[name], measured(runtime, files, project))
        for name, (bundle, runtime) in models.items()
    ]
    if options.picture:
        draw(rows, options.picture)
    if options.json:
        found = [
            {"model": row.name, "megabytes": row.megabytes, "step_microseconds": row.step}
            | row.measured.to_json()
            for row in rows
        ]
        print(json.dumps(found, indent=2))
        return
    characters = sum(len(file.text) for file in files)
    table = Table(f"{len(files)} files, {characters:,} characters")
    for name in ("MB", "step, microseconds", "saved", "bpc", "tokens", "identifiers"):
        table.add_column(name, justify="right")
    for row in rows:
        found = row.measured
        shares = (found.keystrokes.saved, found.tokens.strict, found.tokens.identifiers)
        saved, tokens, identifiers = ("" if s is None else f"{s:.1%}" for s in shares)
        numbers = (f"{row.megabytes:.1f}", f"{row.step:.0f}", saved, f"{found.bpc:.3f}")
        table.add_row(row.name, *numbers, tokens, identifiers)
    Console().print(table)


if __name__ == "__main__":
    main()
