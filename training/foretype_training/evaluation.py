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
from foretype_models.bundle import Bundle, Description, Precision
from foretype_models.runtime import Runtime
from foretype_training.corpus import SourceFile, read_corpus, sample
from foretype_training.display import tracking
from foretype_training.errors import InputError
from foretype_training.measure import Predicted, Setting, bits_per_character, measure
from foretype_training.tokens import token_accuracy
from foretype_training.typist import Keystrokes, keystrokes

_SHOWN = 4  # files of the best and as many of the worst


MEASURES = ("bpc", "token_accuracy", "keystrokes")
FAST = ("bpc", "token_accuracy")


@dataclass(frozen=True)
class Options:
    """What the command was given."""

    paths: list[Path]
    model: str
    memory: Setting = "none"
    include: Sequence[str] = ()
    held_out: bool = False  # only the tenth that no training sees
    precision: Literal["auto", "fp32", "int8"] | str = "auto"
    measures: Sequence[str] = FAST
    confidence: float = 0.0  # a suggestion is cut below it
    sample: int = 100_000  # characters that keystrokes are measured on, in whole files
    json: bool = False


@dataclass(frozen=True)
class _Result:
    """All that was measured; None where it was not asked for."""

    model: Description
    precision: Precision
    options: Options
    files: list[SourceFile]
    predicted: list[Predicted] | None
    keystrokes: Keystrokes | None
    sample: list[SourceFile]


def run(options: Options) -> None:
    """Measures, and prints a table or JSON.

    Raises InputError for paths that cannot be used, BundleError for such a model.
    """
    unknown = [name for name in options.measures if name not in MEASURES]
    if unknown or not options.measures:
        raise InputError(f"--measures must be of {', '.join(MEASURES)}, not {', '.join(unknown)}")
    bundle = registry.load(options.model)
    if options.memory != "none" and not bundle.description.architecture.memory:
        raise InputError(f"the model {options.model!r} reads no memory; measure it with none")
    precision = _precision(bundle, options.precision)
    runtime = Runtime(bundle, precision, threads=os.cpu_count() or 1)
    project = _files(options)
    files = _held_out(project) if options.held_out else project
    predicted, pressed, sampled = None, None, list[SourceFile]()
    if set(options.measures) & set(FAST):
        with tracking("measuring") as track:
            total = sum(len(file.text) for file in files)
            note = f"{len(files)} files"
            predicted = measure(
                runtime, files, options.memory, project, lambda done: track(done, total, note)
            )
    if "keystrokes" in options.measures:
        chosen = {(file.project, file.path) for file in sample(files, options.sample)}
        sampled = [file for file in files if (file.project, file.path) in chosen]
        with tracking("typing") as track:
            total = sum(len(file.text) for file in sampled)
            note = f"{len(sampled)} files"
            of_files = keystrokes(
                runtime,
                sampled,
                options.memory,
                project,
                options.confidence,
                lambda done: track(done, total, note),
            )
        pressed = sum(of_files, Keystrokes(0, 0, 0, 0))
    result = _Result(bundle.description, precision, options, files, predicted, pressed, sampled)
    if options.json:
        print(json.dumps(_to_json(result)))
    else:
        _show(result)


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


def _to_json(result: _Result) -> dict[str, object]:
    values: dict[str, object] = {
        "model": result.model.name,
        "model_version": result.model.version,
        "memory": result.options.memory,
        "precision": result.precision,
        "files": len(result.files),
        "characters": sum(len(file.text) for file in result.files),
    }
    if (predicted := result.predicted) is not None:
        if "bpc" in result.options.measures:
            values["bpc"] = bits_per_character(predicted)
        if "token_accuracy" in result.options.measures:
            values["token_accuracy"] = vars(token_accuracy(predicted))
        values["per_file"] = [
            {"path": file.file.path, "characters": file.characters, "bpc": file.bpc}
            for file in predicted
        ]
    if (pressed := result.keystrokes) is not None:
        values["keystrokes"] = {
            "saved": pressed.saved,
            "shown": pressed.shown / max(1, pressed.characters),
            "accepted": pressed.accepted,
            "confidence": result.options.confidence,
            "files": len(result.sample),
            "characters": sum(len(file.text) for file in result.sample),
        }
        values["undefined_identifiers"] = pressed.undefined_identifiers
    return values


def _show(result: _Result) -> None:
    console = Console()
    console.print(
        f"{result.model.name} {result.model.version}, {result.precision},"
        f" memory {result.options.memory}",
        highlight=False,
    )
    if result.predicted is not None:
        console.print(_table(result.predicted))
    if (pressed := result.keystrokes) is not None:
        characters = sum(len(file.text) for file in result.sample)
        console.print(
            f"keystrokes saved: {pressed.saved:.1%} in {len(result.sample)} files with"
            f" {characters:,} characters; {pressed.accepted:.1%} of {pressed.shown:,} suggestions"
            f" right; {pressed.undefined_identifiers:.1%} of their identifiers undefined",
            highlight=False,
        )


def _table(predicted: list[Predicted]) -> Table:
    by_bits = sorted(predicted, key=lambda file: file.bpc)
    table = Table("file", box=None, pad_edge=False)
    for column in ("characters", "bits per character", "tokens right", "identifiers"):
        table.add_column(column, justify="right")
    best, worst = by_bits[:_SHOWN], by_bits[_SHOWN:][-_SHOWN:]
    for file in best:
        table.add_row(escape(file.file.path), *_row([file]))
    if hidden := len(predicted) - len(best) - len(worst):
        table.add_row(f"... {hidden} more")
    for file in worst:
        table.add_row(escape(file.file.path), *_row([file]))
    table.add_row("all", *_row(predicted))
    return table


def _row(measured: list[Predicted]) -> list[str]:
    """Characters, bits per character, and the shares of tokens and identifiers that were right."""
    accuracy = token_accuracy(measured)
    shares = (accuracy.strict, accuracy.identifiers)
    return [
        f"{sum(file.characters for file in measured):,}",
        f"{bits_per_character(measured):.4f}",
        *("-" if share is None else f"{share:.1%}" for share in shares),
    ]
