"""What a run leaves for people: report.md, its pictures, and the table that is printed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from foretype_models import alphabet
from foretype_models.architecture import Architecture
from foretype_models.bundle import Bundle
from foretype_models.runtime import Runtime
from foretype_training import languages
from foretype_training.comparison import CONFIDENCE, Comparison, Example
from foretype_training.corpus import SourceFile
from foretype_training.outcome import share
from foretype_training.picture import comparison_png, curve_png
from foretype_training.throughput import Throughput
from foretype_training.trainer import Trained
from foretype_training.writing import write_atomically

_PROMPT_LINES = 5
_PROMPT_BYTES = 2_000  # read before the place where a sample starts
_SAMPLE_BYTES = 240
_SHOWN = 100  # characters of a suggestion
_TEMPERATURE = 0.5  # below 1 the likelier symbols are preferred


@dataclass(frozen=True)
class Sample:
    """What the model writes after a file's beginning."""

    path: str
    prompt: str  # its last lines
    continuation: str


def write_report(
    folder: Path,
    bundle: Bundle,
    trained: Trained,
    comparison: Comparison,
    held_out: Sequence[SourceFile],
    throughput: Throughput | None,
) -> None:
    """Writes report.md, curve.png, and comparison.png where there is something to compare;
    of a run without a step there is no `throughput`. Raises TrainingError where it cannot."""
    runtime = Runtime(bundle)
    samples = [continue_file(runtime, file) for file in held_out[:3]]
    base = comparison.before.label if comparison.before else None
    write_atomically(folder / "curve.png", curve_png(trained, base))
    if comparison.before:
        write_atomically(folder / "comparison.png", comparison_png(comparison))
    text = report(bundle, comparison, samples, folder / "model", throughput)
    write_atomically(folder / "report.md", text.encode())


def show(comparison: Comparison) -> None:
    """Prints what was measured before and after to standard output."""
    heading, *rows = _rows(comparison)
    table = Table(box=None, pad_edge=False)
    for number, column in enumerate(heading):
        table.add_column(column, justify="right" if number > 1 else "left", no_wrap=number < 2)
    for row in rows:
        table.add_row(*map(escape, row))
    console = Console(highlight=False)
    console.print(table)


def continue_file(runtime: Runtime, file: SourceFile, seed: int = 1) -> Sample:
    """Lets the model go on from the middle of a file, by sampling; the same every time."""
    middle = file.text.rfind(b"\n", 0, min(len(file.text) // 2, _PROMPT_BYTES)) + 1
    before = file.text[:middle]
    rng = np.random.default_rng(seed)
    read = np.concatenate((alphabet.encode_path(file.path), alphabet.encode(before)))
    log_probs, state = runtime.read(read[:, None], runtime.initial_state())
    written = bytearray()
    while len(written) < _SAMPLE_BYTES:
        scaled = log_probs[-1, 0].astype(np.float64) / _TEMPERATURE
        odds = np.exp(scaled - scaled.max())
        symbol = int(rng.choice(alphabet.SIZE, p=odds / odds.sum()))
        if symbol >= alphabet.BYTES:
            break
        written.append(symbol)
        log_probs, state = runtime.read(np.array([[symbol]]), state)
    lines = before.decode(errors="replace").splitlines(keepends=True)
    return Sample(file.path, "".join(lines[-_PROMPT_LINES:]), written.decode(errors="replace"))


def report(
    bundle: Bundle,
    comparison: Comparison,
    samples: Sequence[Sample],
    model: Path,
    throughput: Throughput | None,
) -> str:
    """report.md."""
    d = bundle.description
    sections = [
        f"# {d.name} {d.version}",
        f"{_outcome(d.training)} {comparison.verdict}.",
        "## Before and after" if comparison.before else "## What it does",
        _compared(comparison),
        *_improved(comparison),
        "## Data",
        _data(d.training),
        "## Network",
        _network(bundle),
        "## Learning curve",
        "![Bits per character over the characters read](curve.png)",
        *([_throughput(throughput)] if throughput else []),
        "## Export",
        _quality(d.quality),
        "## Samples",
        "What the model writes from the middle of a held-out file on"
        f" (temperature {_TEMPERATURE}); its text starts after the line of dashes.",
        *(_fenced(sample) for sample in samples),
        "## Use",
        f"    foretype models install {model}\n    foretype serve --model {model}",
    ]
    return "\n\n".join(sections) + "\n"


def _outcome(training: dict[str, Any]) -> str:
    read = f"{training['symbols']:,} characters read"
    if training["finished"]:
        return f"Training finished: {read}."
    return f"Training was **stopped early**: {read}; `--resume` goes on."


def _data(training: dict[str, Any]) -> str:
    data = training["data"]
    split = data["split"]
    skipped = ", ".join(f"{count} {why}" for why, count in data["skipped"].items()) or "nothing"
    rows = [
        f"- {data['files']:,} files, {data['characters']:,} characters (bytes of UTF-8) from"
        f" {', '.join(data['roots'])}; SHA-256 `{data['sha256']}`",
        f"- left out: {skipped}; {data['near_duplicates']} near-duplicates left out of training",
        f"- split {split['rule']}",
    ]
    for part in ("training", "validation", "held_out"):
        size = split[part]
        name = part.replace("_", "-")
        rows.append(f"- {name}: {size['files']:,} files, {size['characters']:,} characters")
    rows += [f"- source: {s['name']} {s['version']} ({s['licence']})" for s in training["sources"]]
    if training["base"]:
        rows.append(f"- continues from {training['base']['name']} {training['base']['version']}")
    return "\n".join(rows)


def _network(bundle: Bundle) -> str:
    a, d = bundle.description.architecture, bundle.description
    sizes = ", ".join(f"{name} {len(data):,} bytes" for name, data in sorted(bundle.files.items()))
    return "\n".join(
        [
            f"- {a.layers} x {a.hidden_size} {a.cell}, embedding {a.embedding_size},"
            f" {d.parameters:,} parameters",
            f"- reads {_contexts(a) or 'no contexts'} ({len(bundle.ngrams()):,} contexts)",
            f"- {sizes}",
        ]
    )


def _contexts(a: Architecture) -> str:
    lengths: dict[str, list[str]] = {}
    for kind, length in a.orders:
        lengths.setdefault(kind, []).append(str(length))
    return "; ".join(f"{kind} of {', '.join(of_kind)}" for kind, of_kind in lengths.items())


def _throughput(t: Throughput) -> str:
    several = f" in {t.processes} processes" if t.processes > 1 else ""
    return (
        f"Learned from {t.characters:,.0f} characters per second{several}: {t.operations:.3g}"
        f" operations per second on matrices (6 for each weight and character),"
        f" {t.operations / t.attainable:.0%} of the {t.attainable:.3g} that products of the"
        f" network's largest matrix, in {t.precision}, reach on the same machine."
    )


def _quality(quality: dict[str, Any]) -> str:
    held_out, export, bpc = quality["held_out"], quality["export"], quality["bpc"]
    rows = ["| held-out files | bits per character |", "|---|---|"]
    shipped = "" if quality["int8_shipped"] else ", not in the bundle"
    rows.append(f"| fp32 | {bpc['fp32']:.4f} |")
    if "int8" in bpc:
        rows.append(f"| int8{shipped} | {bpc['int8']:.4f} |")
    return "\n".join(rows) + (
        f"\n\nMeasured on {held_out['measured_files']:,} of {held_out['files']:,} held-out files"
        f" ({held_out['measured_characters']:,} of {held_out['characters']:,} characters), network"
        " alone, no memory. The int8 network is shipped where it costs less than"
        f" {quality['int8_limit_bpc']} bits and the cell has a fused int8 operator.\n\n"
        f"Exported and trained network differ by at most {export['max_log_prob_difference']:.1e}"
        f" nats in any log-probability at any step of {export['characters']:,} characters"
        f" (allowed: {export['tolerance']:.0e})."
    )


def _rows(comparison: Comparison) -> list[list[str]]:
    """A heading, then of each memory the base, if there is one, and the new model."""
    rows = [["memory", "model", "bits per character", "tokens", "identifiers", "keystrokes saved"]]
    for of_setting in zip(*(side.measured for side in comparison.sides), strict=True):
        for side, measured in zip(comparison.sides, of_setting, strict=True):
            rows.append(
                [
                    measured.setting,
                    side.label,
                    f"{measured.bpc:.4f}",
                    share(measured.tokens.strict),
                    share(measured.tokens.identifiers),
                    share(measured.keystrokes.saved),
                ]
            )
    return rows


def _compared(comparison: Comparison) -> str:
    heading, *rows = _rows(comparison)
    table = [heading, ["---"] * len(heading), *rows]
    read, typed = (
        f"{len(files):,} held-out {'file' if len(files) == 1 else 'files'},"
        f" {sum(len(file.text) for file in files):,} characters"
        for files in (comparison.read, comparison.typed)
    )
    java = sum(languages.of_file(file.path) == "java" for file in comparison.read)
    tokens = (
        f"Tokens and identifiers are those of {java:,} files in Java"
        if java
        else ("Tokens and identifiers are known of Java alone, which none of the files is")
    )
    picture = ["", "![Bits per character of each file, and keystrokes saved](comparison.png)"]
    return "\n".join(
        [
            *(f"| {' | '.join(row)} |" for row in table),
            "",
            f"Measured on {read}, in the precision that is served. {tokens}; right is one of"
            " which each character was the most probable one, and that ended where it should."
            f" Keystrokes are those of a simulated typist who writes {typed}, and sees what is"
            f" suggested with a confidence of {CONFIDENCE} at least. The project's memory is of"
            " all its files but those measured that come later in path order.",
            *(picture if comparison.before else []),
        ]
    )


def _improved(comparison: Comparison) -> list[str]:
    """The section on examples, empty where there are none."""
    if not comparison.examples or not comparison.before:
        return []
    return [
        "## Most improved",
        "Of the lines whose bits fell most beside what is left of them, those whose suggestion, at"
        " the line's start, came nearer to what stands there; then the others.",
        *(_example(example, comparison) for example in comparison.examples),
    ]


def _example(example: Example, comparison: Comparison) -> str:
    names = ["stands there", *(side.label for side in comparison.sides)]
    width = max(map(len, names))
    texts = [example.text, *example.suggested]
    lines = [f"{n:{width}}  {_short(t)}" for n, t in zip(names, texts, strict=True)]
    before, after = example.bits
    return (
        f"`{example.path}`, line {example.line}: {before:.1f} bits before, {after:.1f} now\n\n"
        + _block("\n".join(lines))
    )


def _short(text: str) -> str:
    text = text.strip() or "(nothing)"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _fenced(sample: Sample) -> str:
    text = f"{sample.prompt}{'-' * 40}\n{sample.continuation}"
    return f"`{sample.path}`\n\n{_block(text)}"


def _block(text: str) -> str:
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"
