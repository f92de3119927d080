"""Bits per character on the held-out tenth of a project, beside general compressors.

The compressors get the project's training files first and are charged for what the held-out
files add: C(training + held-out) - C(training). They adapt while they read, the network does
not (memory `none`), so this comparison favours them; it says what a memory can gain.

    python benchmarks/quality.py FOLDER [--include GLOB] [--model NAME_OR_PATH] [--json]

FOLDER is a source tree such as that of Apache Commons Lang 3.12.0, which
training/recipes/java fetches. PPMd needs the program 7z (Debian: p7zip-full).
"""

from __future__ import annotations

import argparse
import json
import lzma
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from foretype_models import registry
from foretype_models.runtime import Runtime
from foretype_training.corpus import SourceFile, read_corpus, split
from foretype_training.measure import bits_per_character, measure

_XZ = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 2**28}]


def xz(text: bytes) -> int:
    """Bytes of the text in xz, with a window that spans all of it."""
    return len(lzma.compress(text, filters=_XZ))


def ppmd(text: bytes) -> int:
    """Bytes of the text in 7z's PPMd of order 32."""
    with TemporaryDirectory() as folder:
        Path(folder, "text").write_bytes(text)
        command = ["7z", "a", "-m0=PPMd:o=32:mem=1g", "archive.7z", "text"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
        return Path(folder, "archive.7z").stat().st_size


def conditional(
    size: Callable[[bytes], int], training: Sequence[SourceFile], held_out: Sequence[SourceFile]
) -> float:
    """Bits per character of the held-out files after the training files."""
    before = b"".join(file.text for file in training)
    after = b"".join(file.text for file in held_out)
    return 8 * (size(before + after) - size(before)) / len(after)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--include", default="*.java")
    parser.add_argument("--model", default="java", help="a model's name or path")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    parts = split(read_corpus([options.folder], [options.include]).files)
    main_only = [file for file in parts.held_out if "src/main/" in file.path]
    bundle = registry.load(options.model)
    sizes: dict[str, Callable[[bytes], int]] = {"xz -9e": xz}
    if shutil.which("7z"):
        sizes["PPMd order 32"] = ppmd
    rows: dict[str, dict[str, float]] = {}
    for name, files in (("all", parts.held_out), ("src/main", main_only)):
        for precision in bundle.precisions:
            runtime = Runtime(bundle, precision, threads=os.cpu_count() or 1)
            label = f"{bundle.description.name} {precision}"
            rows.setdefault(label, {})[name] = bits_per_character(measure(runtime, files))
        for label, size in sizes.items():
            rows.setdefault(label, {})[name] = conditional(size, parts.training, files)
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    table = Table("held-out files of " + options.folder.name, "all", "src/main")
    for label, row in rows.items():
        table.add_row(label, *(f"{bits:.3f}" for bits in row.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
