"""Before and after: what a new model does on held-out files, beside the one it went on from."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile

import numpy as np

from foretype_models.bundle import Bundle, Description, Precision
from foretype_models.runtime import Runtime
from foretype_server.candidates import Options
from foretype_training import languages
from foretype_training.along import LENGTH, Along
from foretype_training.corpus import SourceFile, in_order, sample
from foretype_training.display import tracking
from foretype_training.measure import Known, Predicted, Setting, bits_per_character, measure
from foretype_training.tokens import TokenAccuracy, token_accuracy
from foretype_training.typist import Keystrokes, keystrokes

READ_CHARACTERS = 200_000
TYPED_CHARACTERS = 10_000
"""At most so many, for typing asks for a suggestion at every place."""
CONFIDENCE = 0.3
"""Below which the typist's suggestions are cut: the editors' default."""

EXAMPLES = 6
_OF_A_FILE = 2
_CONSIDERED = 48  # lines, of which those are shown that tell most
_LINE = range(12, 91)  # characters of a line that is an example: neither trivial nor too long


@dataclass(frozen=True)
class Measured:
    """What one model did with one memory."""

    setting: Setting
    predicted: Sequence[Predicted]
    keystrokes: Keystrokes

    @property
    def bpc(self) -> float:
        return bits_per_character(self.predicted)

    @cached_property
    def tokens(self) -> TokenAccuracy:
        """Of the files in Java, the one language whose tokens are known."""
        java = [p for p in self.predicted if languages.of_file(p.file.path) == "java"]
        return token_accuracy(java)

    def to_json(self) -> dict[str, float | None]:
        return {
            "bpc": self.bpc,
            "tokens": self.tokens.strict,
            "identifiers": self.tokens.identifiers,
            "keystrokes_saved": self.keystrokes.saved,
        }


@dataclass(frozen=True)
class Side:
    """One of the two models, in the precision that is served."""

    model: Description
    precision: Precision
    measured: Sequence[Measured]  # the memory of the project last, where it is read

    @property
    def label(self) -> str:
        return f"{self.model.name} {self.model.version}"

    def to_json(self) -> dict[str, object]:
        return {
            "model": self.model.name,
            "version": self.model.version,
            "precision": self.precision,
            "memory": {each.setting: each.to_json() for each in self.measured},
        }


@dataclass(frozen=True)
class Example:
    """A line that the new model expects much more than the base did."""

    path: str
    line: int  # from 1
    text: str  # without what indents it
    bits: tuple[float, float]  # before and after
    suggested: tuple[str, str]  # at its first character

    @property
    def gain(self) -> tuple[bool, float]:
        """Whether what is suggested came nearer to the line, and the gain in bits."""
        before, after = (_agreement(self.text, text) for text in self.suggested)
        return after > before, _gain(*self.bits)


def _gain(before: float, after: float) -> float:
    """By how many bits a line fell, beside those that are left: one that is likely now tells
    more than a long one that is as hopeless as it was."""
    return (before - after) / (1 + after)


def _agreement(one: str, other: str) -> int:
    """How many characters both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


@dataclass(frozen=True)
class Comparison:
    """What was found on the held-out files; `before` is None for a model from nothing."""

    before: Side | None
    after: Side
    read: Sequence[SourceFile]
    typed: Sequence[SourceFile]
    examples: Sequence[Example] = ()

    @property
    def bits(self) -> tuple[float | None, float]:
        """Per character, before and after, with all that both read: what a user would have."""
        before = self.before.measured[-1].bpc if self.before else None
        return before, self.after.measured[-1].bpc

    @property
    def is_better(self) -> bool:
        """Than the base, if there is one."""
        before, after = self.bits
        return before is None or after < before

    @property
    def verdict(self) -> str:
        """In a sentence."""
        before, after = self.bits
        setting = self.after.measured[-1].setting
        now = f"{after:.4f} bits per character of held-out files, memory {setting}"
        if before is None:
            return f"{self.after.label} has no base to compare it with: {now}"
        than = "better" if self.is_better else "not better"
        base = self.before.label if self.before else ""
        return f"{self.after.label} is {than} than {base}: {now}; before {before:.4f}"

    @property
    def sides(self) -> list[Side]:
        return [side for side in (self.before, self.after) if side]

    def to_json(self) -> dict[str, object]:
        """For model.json."""
        return {
            "files": len(self.read),
            "characters": sum(len(file.text) for file in self.read),
            "typed_files": len(self.typed),
            "typed_characters": sum(len(file.text) for file in self.typed),
            "confidence": CONFIDENCE,
            "judged_by": f"bits per character, memory {self.after.measured[-1].setting}",
            "better": self.is_better,
            "before": self.before and self.before.to_json(),
            "after": self.after.to_json(),
        }


def compare(
    base: Bundle | None,
    new: Bundle,
    held_out: Sequence[SourceFile],
    corpus: Sequence[SourceFile],
) -> Comparison:
    """Measures a new model and its base on a sample of the held-out files, with no memory and,
    if both read one, with that of the project: of all its files in the corpus but those of the
    sample that come later."""
    read = _bounded(held_out, READ_CHARACTERS)
    typed = _bounded(held_out, TYPED_CHARACTERS)
    bundles = [bundle for bundle in (base, new) if bundle]
    with_memory = all(bundle.description.architecture.memory for bundle in bundles)
    settings: tuple[Setting, ...] = ("none", "project") if with_memory else ("none",)
    runtimes = [
        Runtime(bundle, bundle.choose_precision(), threads=os.cpu_count() or 1)
        for bundle in bundles
    ]
    sides: list[Side] = []
    for runtime in runtimes:
        measured = [_measured(runtime, s, read, typed, corpus) for s in settings]
        sides.append(Side(runtime.description, runtime.precision, measured))
    *before, after = sides
    if not before:
        return Comparison(None, after, read, typed)
    lines = _most_improved(before[0].measured[-1].predicted, after.measured[-1].predicted)
    examples = _most_telling(_examples(runtimes, lines, settings[-1], corpus))
    return Comparison(before[0], after, read, typed, examples)


def _bounded(files: Sequence[SourceFile], characters: int) -> list[SourceFile]:
    """At most so many characters of whole files, or the beginning of the shortest one where
    that is longer; project by project, in path order."""
    fitting = [file for file in files if len(file.text) <= characters]
    if not fitting:
        shortest = min(files, key=lambda file: len(file.text))
        end = shortest.text.rfind(b"\n", 0, characters) + 1 or characters
        text = shortest.text[:end].decode(errors="ignore").encode()
        return [replace(shortest, text=text)]
    return in_order(sample(fitting, characters))


def _around(files: Sequence[SourceFile], corpus: Sequence[SourceFile]) -> list[SourceFile]:
    """The corpus as it is remembered, project by project: first what is not measured, as if
    the files that are were the newest. Where a part of a file is, the rest is not known."""
    parts = {(file.project, file.path): file for file in files}

    def order(file: SourceFile) -> tuple[int, bool, str]:
        return file.project, (file.project, file.path) in parts, file.path

    return [parts.get((f.project, f.path), f) for f in sorted(corpus, key=order)]


def _measured(
    runtime: Runtime,
    setting: Setting,
    read: Sequence[SourceFile],
    typed: Sequence[SourceFile],
    corpus: Sequence[SourceFile],
) -> Measured:
    what = f"{runtime.description.name}, memory {setting}"
    with _progress(f"{what}: reading", read) as told:
        predicted = measure(runtime, read, setting, _around(read, corpus), told)
    with _progress(f"{what}: typing", typed) as told:
        project = _around(typed, corpus)
        written = keystrokes(runtime, typed, setting, project, CONFIDENCE, told)
    return Measured(setting, predicted, sum(written, Keystrokes(0, 0, 0, 0)))


@contextmanager
def _progress(label: str, files: Sequence[SourceFile]) -> Generator[Callable[[int], None]]:
    """Shows how many characters of the files are done."""
    total = sum(len(file.text) for file in files)
    with tracking(label) as track:
        yield lambda done: track(done, total, f"{len(files)} files")


@dataclass(frozen=True)
class _Line:
    """Where a line stands that is now expected more than before."""

    file: SourceFile
    number: int  # from 1
    start: int  # its first character that is not blank, in bytes
    text: bytes
    bits: tuple[float, float]

    @property
    def gain(self) -> float:
        return _gain(*self.bits)


def _most_improved(before: Sequence[Predicted], after: Sequence[Predicted]) -> list[_Line]:
    """The lines of most gain, no text twice; in the files' order."""
    lines = [
        line for pair in zip(before, after, strict=True) for line in _lines(*pair) if line.gain > 0
    ]
    chosen: dict[bytes, _Line] = {}
    for line in sorted(lines, key=lambda line: line.gain, reverse=True):
        chosen.setdefault(line.text, line)
    considered = list(chosen.values())[:_CONSIDERED]
    return sorted(considered, key=lambda line: (line.file.project, line.file.path, line.start))


def _lines(before: Predicted, after: Predicted) -> Iterator[_Line]:
    at = 0
    for number, line in enumerate(before.file.text.split(b"\n"), start=1):
        text = line.strip()
        start = at + len(line) - len(line.lstrip())
        own = slice(start, start + len(text))
        if len(text) in _LINE:
            bits = [float(side.bits[own].sum(dtype=np.float64)) for side in (before, after)]
            yield _Line(before.file, number, start, text, (bits[0], bits[1]))
        at += len(line) + 1


def _examples(
    runtimes: Sequence[Runtime],
    lines: Sequence[_Line],
    setting: Setting,
    corpus: Sequence[SourceFile],
) -> Iterator[Example]:
    """The lines, with what each model suggests where they begin."""
    suggested = [_suggested(runtime, lines, setting, corpus) for runtime in runtimes]
    for line, before, after in zip(lines, *suggested, strict=True):
        text = line.text.decode(errors="replace")
        yield Example(line.file.path, line.number, text, line.bits, (before, after))


def _most_telling(examples: Iterable[Example]) -> list[Example]:
    """Some of them, few of a file, most telling first."""
    chosen: list[Example] = []
    for example in sorted(examples, key=lambda example: example.gain, reverse=True):
        of_file = sum(example.path == other.path for other in chosen)
        if of_file < _OF_A_FILE and len(chosen) < EXAMPLES:
            chosen.append(example)
    return chosen


def _suggested(
    runtime: Runtime, lines: Sequence[_Line], setting: Setting, corpus: Sequence[SourceFile]
) -> list[str]:
    """The rest of each line, as the engine guesses it, however unsure."""
    files = list(dict.fromkeys(line.file for line in lines))
    known = Known(runtime, files, setting, _around(files, corpus))
    found: list[str] = []
    for number, file in enumerate(files):
        along = Along(runtime, known, number)
        for line in lines:
            if line.file == file:
                along.advance(line.start)
                candidates = along.suggestions("line", Options(1, LENGTH, 0.0))
                found.append(candidates[0].text if candidates else "")
    return found
