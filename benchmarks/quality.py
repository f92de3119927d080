"""How well the model predicts Java, beside its peers, on the same bytes.

    python benchmarks/quality.py FOLDER... [--held-out] [--under src/main/] [--after FOLDER]
        [--include GLOB] [--model NAME_OR_PATH] [--beside NAME_OR_PATH]
        [--keystrokes [CHARACTERS]] [--json]

Each FOLDER is a source tree such as that of Apache Commons Lang 3.12.0, which
training/recipes/java fetches. The model is measured with no memory, with the file's and with
the project's: its files that come before in path order. --held-out measures the tenth alone
that no training sees, --under only what lies below some folder.

--beside measures other models too, such as a plain LSTM, which reads characters and nothing else:
`foretype train FOLDER --include '*.java' --base none --config benchmarks/plain.toml --out plain`
makes one of what the other peers read first, in a quarter of an hour on two cores with AMX.

The compressors are charged for what the measured files add to what they read first:
C(first + measured) - C(first). First they read the files of --after, and with --held-out
the training files of FOLDER. They adapt while they read, so they are to be compared with the
memory of the project. PPMd needs the program 7z (Debian: p7zip-full), zpaq that of its name.

Counts of up to nine tokens guess what followed the longest context most often. They read the
same files first as the compressors, and have the same memories as the model.

--keystrokes has the simulated typist of `foretype evaluate` write a sample of the measured
files, 40,000 characters of them if not said otherwise, with the model, cut at the editors'
confidence, and with the words of the buffer, which an editor completes by itself.
"""

from __future__ import annotations

import json
import lzma
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from foretype_models import registry
from foretype_models.bundle import Bundle
from foretype_models.runtime import Runtime
from foretype_training.comparison import CONFIDENCE
from foretype_training.corpus import SourceFile, in_order, read_corpus, sample, split
from foretype_training.measure import bits_per_character, measure
from foretype_training.tokens import token_accuracy
from foretype_training.typist import Keystrokes, keystrokes
from options import parser
from peers import SETTINGS, counts, words

Row = dict[str, float | None]
_XZ = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 2**28}]
_COLUMNS = ("bpc", "tokens", "identifiers", "keystrokes saved", "suggestions right")


def xz(text: bytes) -> int:
    """Bytes of the text in xz, with a window that spans all of it."""
    return len(lzma.compress(text, filters=_XZ))


def ppmd(text: bytes) -> int:
    """Bytes of the text in 7z's PPMd of order 32."""
    return _archived(text, "7z a -m0=PPMd:o=32:mem=1g archive.7z text")


def zpaq(text: bytes) -> int:
    """Bytes of the text in zpaq's strongest method."""
    return _archived(text, "zpaq a archive.zpaq text -m5")


def _archived(text: bytes, command: str) -> int:
    with TemporaryDirectory() as folder:
        Path(folder, "text").write_bytes(text)
        subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
        [archive] = Path(folder).glob("archive.*")
        return archive.stat().st_size


def conditional(
    size: Callable[[bytes], int], before: Sequence[SourceFile], measured: Sequence[SourceFile]
) -> float:
    """Bits per character of the measured files after those before."""
    first = b"".join(file.text for file in before)
    then = b"".join(file.text for file in measured)
    return 8 * (size(first + then) - size(first)) / len(then)


def of_model(
    name: str,
    bundle: Bundle,
    files: Sequence[SourceFile],
    project: Sequence[SourceFile],
    sampled: Sequence[SourceFile],
) -> dict[str, Row]:
    """The rows of the model, in the precision that is served; the typist writes the sample."""
    precision = bundle.choose_precision()
    runtime = Runtime(bundle, precision, threads=os.cpu_count() or 1)
    settings = SETTINGS if bundle.description.architecture.memory else SETTINGS[:1]
    rows: dict[str, Row] = {}
    for setting in settings:
        predicted = measure(runtime, files, setting, project)
        accuracy = token_accuracy(predicted)
        rows[f"{name} {precision}, memory {setting}"] = {
            "bpc": bits_per_character(predicted),
            "tokens": accuracy.strict,
            "identifiers": accuracy.identifiers,
            **_typed(keystrokes(runtime, sampled, setting, project, CONFIDENCE)),
        }
    return rows


def of_counts(
    before: Sequence[SourceFile], files: Sequence[SourceFile], project: Sequence[SourceFile]
) -> dict[str, Row]:
    """The rows of the n-gram counts, which know no probabilities."""
    return {
        f"counts, memory {setting}": {"tokens": all_tokens, "identifiers": identifiers}
        for setting, (all_tokens, identifiers) in counts(before, files, project).items()
        if before or setting != "none"
    }


def _typed(of_files: Sequence[Keystrokes]) -> Row:
    """The cells of a typist, none where it wrote nothing."""
    total = sum(of_files, Keystrokes(0, 0, 0, 0))
    if not of_files:
        return {}
    return {"keystrokes saved": total.saved, "suggestions right": total.accepted}


def main() -> None:
    command = parser(__doc__)
    command.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    command.add_argument("--held-out", action="store_true")
    command.add_argument("--under", default="")
    command.add_argument("--beside", action="append", default=[], metavar="NAME_OR_PATH")
    command.add_argument("--after", type=Path, action="append", default=[])
    command.add_argument("--include", default="*.java")
    command.add_argument("--keystrokes", type=int, nargs="?", const=40_000, metavar="CHARACTERS")
    options = command.parse_args()
    project = in_order(read_corpus(options.folders, [options.include]).files)
    files = [file for file in project if options.under in file.path]
    before = read_corpus(options.after, [options.include]).files if options.after else []
    if options.held_out:
        files = [file for file in files if file.is_held_out]
        before += split(project).training
    sampled = in_order(sample(files, options.keystrokes)) if options.keystrokes else []
    rows: dict[str, Row] = {}
    for name in (options.model, *options.beside):
        rows |= of_model(name, registry.load(name), files, project, sampled)
    rows |= of_counts(before, files, project)
    if sampled:
        rows["words of the buffer"] = _typed([words(file) for file in sampled])
    for label, program, size in (
        ("xz -9e", None, xz),
        ("PPMd order 32", "7z", ppmd),
        ("zpaq -m5", "zpaq", zpaq),
    ):
        if program is None or shutil.which(program):
            rows[label] = {"bpc": conditional(size, before, files)}
        else:
            print(f"{label} is left out: there is no program {program}", file=sys.stderr)
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    characters = sum(len(file.text) for file in files)
    columns = [name for name in _COLUMNS if any(name in row for row in rows.values())]
    table = Table()
    table.add_column(f"{len(files)} files, {characters:,} characters", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right")
    for label, row in rows.items():
        table.add_row(label, *(_cell(name, row.get(name)) for name in columns))
    Console().print(table)


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if name == "bpc" else f"{value:.1%}"


if __name__ == "__main__":
    main()
