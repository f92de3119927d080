"""`foretype evaluate`: bits per character of any files, by any model. Needs no torch."""

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
from foretype_training.measure import FileBits, bits_per_character, measure

_SHOWN = 4  # files of the best and as many of the worst


@dataclass(frozen=True)
class Options:
    """What the command was given."""

    paths: list[Path]
    model: str
    memory: str = "none"
    include: Sequence[str] = ()
    held_out: bool = False  # only the tenth that no training sees
    precision: Literal["auto", "fp32", "int8"] | str = "auto"
    json: bool = False


def run(options: Options) -> None:
    """Measures, and prints a table or JSON.

    Raises InputError for paths that cannot be used, BundleError for such a model.
    """
    if options.memory != "none":
        raise InputError(f"there is no memory {options.memory!r}; there is none")
    bundle = registry.load(options.model)
    precision = _precision(bundle, options.precision)
    runtime = Runtime(bundle, precision, threads=os.cpu_count() or 1)
    files = _files(options)
    total = sum(len(file.text) for file in files)
    with tracking("measuring") as track:
        measured = measure(runtime, files, lambda done: track(done, total, f"{len(files)} files"))
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
    if not options.held_out:
        return corpus.files
    held_out = [file for file in corpus.files if file.is_held_out]
    if not held_out:
        raise InputError(f"none of the {len(corpus.files)} files is held out; leave --held-out out")
    return held_out


def _to_json(
    bundle: Bundle, precision: Precision, memory: str, measured: list[FileBits]
) -> dict[str, object]:
    return {
        "model": bundle.description.name,
        "model_version": bundle.description.version,
        "memory": memory,
        "precision": precision,
        "files": len(measured),
        "characters": sum(file.characters for file in measured),
        "bpc": bits_per_character(measured),
        "per_file": [
            {"path": file.path, "characters": file.characters, "bpc": file.bpc} for file in measured
        ],
    }


def _show(bundle: Bundle, precision: Precision, memory: str, measured: list[FileBits]) -> None:
    by_bits = sorted(measured, key=lambda file: file.bpc)
    table = Table("file", box=None, pad_edge=False)
    table.add_column("characters", justify="right")
    table.add_column("bits per character", justify="right")
    best, worst = by_bits[:_SHOWN], by_bits[_SHOWN:][-_SHOWN:]
    for file in best:
        table.add_row(escape(file.path), f"{file.characters:,}", f"{file.bpc:.3f}")
    if hidden := len(measured) - len(best) - len(worst):
        table.add_row(f"... {hidden} more", "", "")
    for file in worst:
        table.add_row(escape(file.path), f"{file.characters:,}", f"{file.bpc:.3f}")
    characters = sum(file.characters for file in measured)
    table.add_row("all", f"{characters:,}", f"{bits_per_character(measured):.4f}")
    console = Console()
    console.print(
        f"{bundle.description.name} {bundle.description.version}, {precision}, memory {memory}",
        highlight=False,
    )
    console.print(table)
