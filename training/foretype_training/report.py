"""What a run leaves for people: report.md and the learning curve."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from foretype_models import alphabet
from foretype_models.bundle import Bundle
from foretype_models.runtime import Runtime
from foretype_training.checkpoint import write_atomically
from foretype_training.corpus import SourceFile
from foretype_training.throughput import Throughput
from foretype_training.trainer import CurvePoint

_PROMPT_LINES = 5
_PROMPT_BYTES = 2_000  # read before the place where a sample starts
_SAMPLE_BYTES = 240
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
    curve: Sequence[CurvePoint],
    held_out: Sequence[SourceFile],
    throughput: Throughput | None,
) -> None:
    """Writes report.md and curve.png; of a run without a step there is no `throughput`. Raises
    TrainingError where it cannot."""
    runtime = Runtime(bundle)
    samples = [continue_file(runtime, file) for file in held_out[:3]]
    write_atomically(folder / "curve.png", curve_png(curve))
    text = report(bundle, samples, folder / "model", throughput)
    write_atomically(folder / "report.md", text.encode())


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


def curve_png(curve: Sequence[CurvePoint]) -> bytes:
    """Training and validation bits per character over the symbols read."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    read = [point.symbols / 1e6 for point in curve]
    axes.plot(read, [point.training for point in curve], marker=".", label="training")
    axes.plot(read, [point.validation for point in curve], marker=".", label="validation")
    axes.set_xlabel("million characters read")
    axes.set_ylabel("bits per character")
    axes.set_ylim(bottom=0)
    axes.legend()
    axes.grid(alpha=0.3)
    buffer = io.BytesIO()
    # Without the date and version the same run gives the same file.
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()


def report(
    bundle: Bundle, samples: Sequence[Sample], model: Path, throughput: Throughput | None
) -> str:
    """report.md."""
    d = bundle.description
    sections = [
        f"# {d.name} {d.version}",
        _outcome(d.training),
        "## Data",
        _data(d.training),
        "## Network",
        _network(bundle),
        "## Learning curve",
        "![Bits per character over the characters read](curve.png)",
        *([_throughput(throughput)] if throughput else []),
        "## Quality",
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
            f"- reads n-grams of lengths {', '.join(map(str, a.ngrams)) or 'none'}"
            f" ({bundle.ngrams().contexts.size:,} contexts)",
            f"- {sizes}",
        ]
    )


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
    if "base_bpc" in quality:
        rows.append(f"| base model, before | {quality['base_bpc']:.4f} |")
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


def _fenced(sample: Sample) -> str:
    text = f"{sample.prompt}{'-' * 40}\n{sample.continuation}"
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"`{sample.path}`\n\n{fence}\n{text}\n{fence}"
