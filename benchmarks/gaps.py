"""Gaps in lines: what is suggested in the middle of a line, the rest of it unknown or known.

    python benchmarks/gaps.py PATH... [--include GLOB] [--lines 10] [--confidence 0.3]
        [--json] [--model NAME_OR_PATH]

Takes up to four tokens out of the middle of so many lines of each file, and asks for them
with the file's memory. In a fifth of the lines nothing is taken out, to see what is suggested
where nothing is missing. Last, lines that end inside of brackets, which the editor has closed
by itself: what is missing is all up to where the innermost ends.

    shown    suggestions, of so many places
    right    those that are what was taken out
    begin    those that are its beginning, or all of it
    false    suggestions where nothing was missing
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from foretype_models import registry
from foretype_models.runtime import Runtime
from foretype_server.candidates import Options
from foretype_training.along import LENGTH, Along
from foretype_training.corpus import SourceFile, read_corpus
from foretype_training.measure import Known
from foretype_training.tokens import tokens
from options import parser

CLOSED_BY = {b"(": b")", b"[": b"]"}
MOST = 4  # tokens of a gap
FEWEST = 6  # of a line with a gap


@dataclass(frozen=True)
class Gap:
    """A place in the middle of a line."""

    at: int
    missing: bytes
    rest: bytes  # of the line


@dataclass
class Found:
    """What became of the suggestions."""

    gaps: int = 0
    shown: int = 0
    right: int = 0
    begin: int = 0
    whole: int = 0  # places where nothing was missing
    false: int = 0

    def count(self, gap: Gap, suggested: bytes) -> None:
        if not gap.missing:
            self.whole += 1
            self.false += bool(suggested)
            return
        self.gaps += 1
        self.shown += bool(suggested)
        self.right += suggested == gap.missing.rstrip()
        self.begin += bool(suggested) and gap.missing.startswith(suggested)


def gaps(file: SourceFile, lines: int) -> Iterator[Gap]:
    """So many at most, in order; the same every time."""
    rng = random.Random(file.path)
    by_line: dict[int, list[int]] = {}
    for token in tokens(file.text):
        line = file.text.rfind(b"\n", 0, token.start) + 1
        by_line.setdefault(line, []).append(token.start)
    long = [starts for starts in by_line.values() if len(starts) >= FEWEST]
    for starts in sorted(rng.sample(long, min(lines, len(long)))):
        first = rng.randrange(1, len(starts) - 1)
        last = min(first + rng.randint(0, MOST), len(starts) - 1)
        end = (file.text + b"\n").index(b"\n", starts[last])
        rest = file.text[starts[last] : end].rstrip()
        yield Gap(starts[first], file.text[starts[first] : starts[last]], rest)


def in_brackets(file: SourceFile, lines: int) -> Iterator[Gap]:
    """So many at most, in order; the same every time."""
    rng = random.Random(file.path)
    found: list[Gap] = []
    open_brackets: list[int] = []
    inside: dict[int, list[tuple[int, bytes]]] = {}  # places by the bracket, and what closes all
    for start in [token.start for token in tokens(file.text)]:
        byte = file.text[start : start + 1]
        if byte in CLOSED_BY.values() and open_brackets:
            bracket = open_brackets.pop()
            places = inside.pop(bracket, [])
            if places and b"\n" not in file.text[bracket:start]:
                at, rest = rng.choice(places)
                found.append(Gap(at, file.text[at:start], rest))
        elif open_brackets:
            here = file.text.rfind(b"\n", 0, start)
            closing = [CLOSED_BY[file.text[at : at + 1]] for at in open_brackets if at > here]
            rest = b"".join(reversed(closing))
            inside.setdefault(open_brackets[-1], []).append((start, rest))
        if byte in CLOSED_BY:
            open_brackets.append(start)
    yield from sorted(rng.sample(found, min(lines, len(found))), key=lambda gap: gap.at)


def measured(
    runtime: Runtime, files: Sequence[SourceFile], lines: int, confidence: float
) -> dict[str, Found]:
    """With the rest of the line unknown, and known."""
    found = {
        "unknown": Found(),
        "known": Found(),
        "brackets, unknown": Found(),
        "brackets": Found(),
    }
    options = Options(candidates=1, length=LENGTH, confidence=confidence)
    known = Known(runtime, files, "file", files)
    for number, file in enumerate(files):
        along = Along(runtime, known, number)
        asked = [(gap, ("unknown", "known")) for gap in gaps(file, lines)]
        asked += [(gap, ("brackets, unknown", "brackets")) for gap in in_brackets(file, lines)]
        for gap, names in sorted(asked, key=lambda pair: pair[0].at):
            along.advance(gap.at)
            for name, rest in zip(names, (b"", gap.rest), strict=True):
                suggested = along.suggestions("line", options, rest)
                text = suggested[0].text.encode().rstrip() if suggested else b""
                found[name].count(gap, text)
    return found


def table(found: dict[str, Found]) -> Table:
    made = Table()
    for column in ("rest of the line", "shown", "right", "begin", "false"):
        made.add_column(column)
    for name, f in found.items():
        shown = f"{f.shown:,} of {f.gaps:,}"
        false = f"{f.false:,} of {f.whole:,}"
        made.add_row(name, shown, f"{f.right:,}", f"{f.begin:,}", false)
    return made


def main() -> None:
    options = parser(__doc__)
    options.add_argument("paths", nargs="+", type=Path)
    options.add_argument("--include", action="append", default=[])
    options.add_argument("--lines", type=int, default=10)
    options.add_argument("--confidence", type=float, default=0.3)
    given = options.parse_args()
    model = registry.load(given.model)
    runtime = Runtime(model, model.choose_precision())
    files = read_corpus(given.paths, given.include).files
    found = measured(runtime, files, given.lines, given.confidence)
    if given.json:
        print(json.dumps({name: asdict(f) for name, f in found.items()}))
    else:
        Console().print(table(found))


if __name__ == "__main__":
    main()
