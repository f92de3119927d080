"""`foretype evaluate`: how well any model predicts any files. Needs no torch."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from foretype_models import registry
from foretype_models.bundle import Bundle, Precision
from foretype_models.runtime import Runtime
from foretype_training.corpus import SourceFile, read_corpus
from foretype_training.display import tracking
from foretype_training.errors import InputError
from foretype_training.measure import Predicted, Setting, bits_per_character, measure
from foretype_training.tokens import token_accuracy

_SHOWN = 4  # files of the best and as many of the worst


@dataclass(frozen=True)
class Options:
    """What the command was given."""

    paths: list[Path]
    model: str
    memory: Setting = "none"
    include: Sequence[str] = ()
    held_out: bool = False  # only the tenth that no training sees
    precision: Literal["auto", "fp32", "int8"] | str = "auto"
    json: bool = False


def run(options: Options) -> None:
    """Measures, and prints a table or JSON.

    Raises InputError for paths that cannot be used, BundleError for such a model.
    """
    bundle = registry.load(options.model)
    if options.memory != "none" and not bundle.description.architecture.memory:
        raise InputError(f"the model {options.model!r} reads no memory; measure it with none")
    precision = _precision(bundle, options.precision)
    runtime = Runtime(bundle, precision, threads=os.cpu_count() or 1)
    project = _files(options)
    files = _held_out(project) if options.held_out else project
    total = sum(len(file.text) for file in files)
    with tracking("measuring") as track:
        note = f"{len(files)} files"
        measured = measure(
            runtime, files, options.memory, project, lambda done: track(done, total, note)
        )
    if options.json:
        print(json.dumps(_to_json(bundle, precision, options.memory, measured)))
    else:
        _show(bundle, precision, options.memory, measured)


def _precision(bundle: Bundle, wanted: str) -> Precision:
    if wanted == "auto":
        return "int8" if "int8" in bundle.precisions else "fp32"
    return "int8" if wanted == "int8" else "fp32"


def _files(options: Options) -> list[SourceFile]:
    with tracking("reading") as track:
        corpus = read_corpus(
            options.paths, options.include, lambda files: track(files, 0, f"{files} files")
        )
    return sorted(corpus.files, key=lambda file: (file.project, file.path))


def _held_out(files: list[SourceFile]) -> list[SourceFile]:
    held_out = [file for file in files if file.is_held_out]
    if not held_out:
        raise InputError(f"none of the {len(files)} files is held out; leave --held-out out")
    return held_out


def _to_json(
    bundle: Bundle, precision: Precision, memory: Setting, measured: list[Predicted]
) -> dict[str, object]:
    return {
        "model": bundle.description.name,
        "model_version": bundle.description.version,
        "memory": memory,
        "precision": precision,
        "files": len(measured),
        "characters": sum(file.characters for file in measured),
        "bpc": bits_per_character(measured),
        "token_accuracy": vars(token_accuracy(measured)),
        "per_file": [
            {"path": file.file.path, "characters": file.characters, "bpc": file.bpc}
            for file in measured
        ],
    }


def _show(bundle: Bundle, precision: Precision, memory: Setting, measured: list[Predicted]) -> None:
    by_bits = sorted(measured, key=lambda file: file.bpc)
    table = Table("file", box=None, pad_edge=False)
    table.add_column("characters", justify="right")
    table.add_column("bits per character", justify="right")
    table.add_column("tokens right", justify="right")
    table.add_column("identifiers", justify="right")
    best, worst = by_bits[:_SHOWN], by_bits[_SHOWN:][-_SHOWN:]
    for file in best:
        table.add_row(escape(file.file.path), *_row([file]))
    if hidden := len(measured) - len(best) - len(worst):
        table.add_row(f"... {hidden} more")
    for file in worst:
        table.add_row(escape(file.file.path), *_row([file]))
    table.add_row("all", *_row(measured))
    console = Console()
    console.print(
        f"{bundle.description.name} {bundle.description.version}, {precision}, memory {memory}",
        highlight=False,
    )
    console.print(table)


def _row(measured: list[Predicted]) -> list[str]:
    """Characters, bits per character, and the shares of tokens and identifiers that were right."""
    accuracy = token_accuracy(measured)
    shares = (accuracy.strict, accuracy.identifiers)
    return [
        f"{sum(file.characters for file in measured):,}",
        f"{bits_per_character(measured):.4f}",
        *("-" if share is None else f"{share:.1%}" for share in shares),
    ]
