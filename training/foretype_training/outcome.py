"""What an evaluation found, for people and for tools."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from foretype_models.bundle import Description, Precision
from foretype_training.codexglue import StreamAccuracy
from foretype_training.corpus import SourceFile
from foretype_training.kinds import Share
from foretype_training.measure import Predicted, Setting, bits_per_character, mean
from foretype_training.suggestions import CANDIDATES, NextToken, NextTokens, RestOfLine
from foretype_training.tokens import token_accuracy
from foretype_training.typist import Keystrokes

_SHOWN = 4  # files of the best and as many of the worst


@dataclass(frozen=True)
class Outcome:
    """All that was measured; None where it was not asked for."""

    model: Description
    precision: Precision
    memory: Setting
    measures: Sequence[str]
    files: Sequence[SourceFile]
    sample: Sequence[SourceFile]  # of them, for what takes long
    confidence: float  # below which the typist's suggestions were cut
    predicted: Sequence[Predicted]  # all files, or none
    codexglue: StreamAccuracy | None
    by_kind: Mapping[str, Share] | None
    next_token: NextTokens | None
    lines: Sequence[RestOfLine] | None
    keystrokes: Sequence[Keystrokes] | None  # file by file of the sample

    @property
    def heading(self) -> str:
        """Which model it was, and with which memory."""
        return f"{self.model.name} {self.model.version}, {self.precision}, memory {self.memory}"

    def to_json(self) -> dict[str, object]:
        """For `json.dumps`: what was measured on what, then each measure by its name."""
        values: dict[str, object] = {
            "model": self.model.name,
            "model_version": self.model.version,
            "memory": self.memory,
            "precision": self.precision,
            "files": len(self.files),
            "characters": _characters(self.files),
        }
        if self.predicted and "bpc" in self.measures:
            values["bpc"] = bits_per_character(self.predicted)
        if self.predicted and "token_accuracy" in self.measures:
            accuracy = token_accuracy(self.predicted)
            values["token_accuracy"] = {"protocol": "source", **vars(accuracy)}
        if self.codexglue is not None:
            values["token_accuracy"] = {"protocol": "codexglue", **vars(self.codexglue)}
        if self.by_kind is not None:
            values["by_kind"] = _of_kinds(self.by_kind)
        values |= self._of_sample()
        if per_file := self._per_file():
            values["per_file"] = per_file
        return values

    def _of_sample(self) -> dict[str, object]:
        values: dict[str, object] = {}
        sample = {"files": len(self.sample), "characters": _characters(self.sample)}
        if (next_token := self.next_token) is not None:
            values["next_token"] = {
                **_ranked(next_token.all),
                "identifiers": _ranked(next_token.identifiers),
                "candidates": CANDIDATES,
                "tokens": len(next_token.all.ranks),
                **sample,
            }
        if self.lines is not None:
            values["line"] = {**_lines(self.lines), "lines": len(self.lines), **sample}
        if self.keystrokes is not None:
            total = sum(self.keystrokes, Keystrokes(0, 0, 0, 0))
            values["keystrokes"] = {**_typed(total), "confidence": self.confidence, **sample}
            values["undefined_identifiers"] = total.undefined_identifiers
        return values

    def _per_file(self) -> list[dict[str, object]]:
        found: dict[SourceFile, dict[str, object]] = {file: {} for file in self.files}
        for predicted in self.predicted:
            found[predicted.file]["bpc"] = predicted.bpc
            if "token_accuracy" in self.measures:
                found[predicted.file]["token_accuracy"] = vars(token_accuracy([predicted]))
        for file, typed in zip(self.sample, self.keystrokes or (), strict=False):
            found[file]["keystrokes"] = _typed(typed)
            found[file]["undefined_identifiers"] = typed.undefined_identifiers
        return [
            {"path": file.path, "characters": len(file.text), **own}
            for file, own in found.items()
            if own
        ]

    def show(self) -> None:
        """Prints it to standard output."""
        console = Console(highlight=False)
        console.print(self.heading)
        if self.predicted and {"bpc", "token_accuracy"} & set(self.measures):
            console.print(_by_file(self.predicted))
        if self.by_kind is not None:
            console.print()
            console.print(_by_kind(self.by_kind))
        if (stream := self.codexglue) is not None:
            console.print(
                f"tokens right, by the protocol of CodeXGLUE: {share(stream.accuracy)} of"
                f" {stream.tokens:,}; identifiers {share(stream.identifiers)}"
            )
        if sentences := list(self._sentences()):
            console.print(f"\nof a sample of {_characters(self.sample):,} characters:")
            for sentence in sentences:
                console.print(sentence)

    def _sentences(self) -> Iterator[str]:
        """Of what was measured on the sample."""
        if (next_token := self.next_token) is not None:
            yield (
                f"next token: {_shown(next_token.all)}, of {len(next_token.all.ranks):,} tokens;"
                f" identifiers {_shown(next_token.identifiers)}"
            )
        if self.lines is not None:
            rates = _lines(self.lines)
            yield (
                f"rest of the line: {share(rates['exact'])} exact, similarity"
                f" {share(rates['similarity'])}, of {len(self.lines):,} lines"
            )
        if self.keystrokes is not None:
            total = sum(self.keystrokes, Keystrokes(0, 0, 0, 0))
            yield (
                f"keystrokes saved: {total.saved:.1%}; {total.accepted:.1%} of {total.shown:,}"
                f" suggestions right; {total.undefined_identifiers:.1%} of their identifiers"
                " undefined"
            )


def _characters(files: Sequence[SourceFile]) -> int:
    return sum(len(file.text) for file in files)


def _of_kinds(shares: Mapping[str, Share]) -> dict[str, dict[str, float | None]]:
    bits = sum(share.bits for share in shares.values())
    wrong = sum(share.wrong_tokens for share in shares.values())
    return {
        kind: {
            "characters": share.characters,
            "bpc": _ratio(share.bits, share.characters),
            "share_of_bits": _ratio(share.bits, bits),
            "wrong_characters": _ratio(share.wrong_characters, share.characters),
            "tokens": share.tokens,
            "wrong_tokens": _ratio(share.wrong_tokens, share.tokens),
            "share_of_wrong_tokens": _ratio(share.wrong_tokens, wrong) if share.tokens else None,
        }
        for kind, share in shares.items()
    }


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _by_kind(shares: Mapping[str, Share]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("kind", no_wrap=True)
    of_characters = ("characters", "wrong", "bits per\ncharacter", "of all\nbits")
    for column in (*of_characters, "tokens", "wrong", "of all\nwrong"):
        table.add_column(column, justify="right")
    for kind, values in _of_kinds(shares).items():
        bpc = values["bpc"]
        table.add_row(
            kind,
            f"{values['characters']:,}",
            share(values["wrong_characters"]),
            "-" if bpc is None else f"{bpc:.3f}",
            share(values["share_of_bits"]),
            f"{values['tokens']:,}",
            share(values["wrong_tokens"]),
            share(values["share_of_wrong_tokens"]),
        )
    return table


def _ranked(found: NextToken) -> dict[str, float | None]:
    return {"top1": found.top1, "top5": found.top5, "mrr": found.mrr}


def _typed(typed: Keystrokes) -> dict[str, float]:
    shown = typed.shown / max(1, typed.characters)
    return {"saved": typed.saved, "shown": shown, "accepted": typed.accepted}


def _lines(lines: Sequence[RestOfLine]) -> dict[str, float | None]:
    return {
        "exact": mean([line.exact for line in lines]),
        "similarity": mean([line.similarity for line in lines]),
    }


def _shown(found: NextToken) -> str:
    mrr = "-" if found.mrr is None else f"{found.mrr:.3f}"
    return f"{share(found.top1)} first, {share(found.top5)} of the first five, MRR {mrr}"


def share(of_all: float | None) -> str:
    """In per cent, for people."""
    return "-" if of_all is None else f"{of_all:.1%}"


def _by_file(predicted: Sequence[Predicted]) -> Table:
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


def _row(measured: Sequence[Predicted]) -> list[str]:
    """Characters, bits per character, and the shares of tokens and identifiers that were right."""
    accuracy = token_accuracy(measured)
    shares = (accuracy.strict, accuracy.identifiers)
    return [
        f"{sum(file.characters for file in measured):,}",
        f"{bits_per_character(measured):.4f}",
        *map(share, shares),
    ]
