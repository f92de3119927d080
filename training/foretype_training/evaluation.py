"""`foretype evaluate`: how well any model predicts any files. Needs no torch."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from foretype_models import registry
from foretype_models.bundle import Description
from foretype_models.runtime import Runtime
from foretype_training.codexglue import normalised, stream_accuracy
from foretype_training.corpus import SourceFile, Split, in_order, read_corpus, sample
from foretype_training.display import tracking
from foretype_training.errors import InputError, needs_train_extra
from foretype_training.kinds import by_kind
from foretype_training.measure import Setting, measure
from foretype_training.outcome import Outcome
from foretype_training.suggestions import next_tokens, rest_of_lines
from foretype_training.typist import keystrokes

FAST = ("bpc", "token_accuracy", "by_kind")
"""Measured on all files; the others on a sample of them, for they search."""
MEASURES = (*FAST, "next_token", "line", "keystrokes")

Protocol = Literal["source", "codexglue"]
"""Of token accuracy: on the files as they stand, or on the benchmark's stream of tokens."""
DRAWN = {"bpc", "by_kind", "keystrokes"}
"""What there is a picture of."""

T = TypeVar("T")


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
    protocol: Protocol | str = "source"  # of token_accuracy
    confidence: float = 0.0  # a suggestion is cut below it
    sample: int = 100_000  # characters that what searches is measured on, in whole files
    json: bool = False
    picture: Path | None = None  # .svg or .png


def run(options: Options) -> None:
    """Measures, and prints a table or JSON.

    Raises InputError for paths and options that cannot be used, BundleError for such a model.
    """
    _check(options)
    draw = _drawing(options)
    runtime = _runtime(options)
    project = _files(options)
    files = _held_out(project, runtime.description) if options.held_out else project
    if options.protocol == "codexglue":
        files, project = list(map(normalised, files)), list(map(normalised, project))
    outcome = _outcome(runtime, files, project, options)
    if options.json:
        print(json.dumps(outcome.to_json()))
    else:
        outcome.show()
    draw(outcome)


def _check(options: Options) -> None:
    unknown = [name for name in options.measures if name not in MEASURES]
    if unknown or not options.measures:
        raise InputError(f"--measures must be of {', '.join(MEASURES)}, not {', '.join(unknown)}")
    if options.protocol == "codexglue" and set(options.measures) != {"token_accuracy"}:
        raise InputError("--protocol codexglue is one of --measures token_accuracy alone")


def _outcome(
    runtime: Runtime, files: list[SourceFile], project: list[SourceFile], options: Options
) -> Outcome:
    asked = set(options.measures)
    sampled = in_order(sample(files, options.sample))

    def over(files: list[SourceFile], label: str, measuring: Callable[..., T]) -> T:
        total, note = sum(len(file.text) for file in files), f"{len(files)} files"
        with tracking(label) as track:

            def told(done: int) -> None:
                track(done, total, note)

            return measuring(runtime, files, options.memory, project, progress=told)

    predicted = over(files, "measuring", measure) if asked & set(FAST) else []
    is_source = options.protocol == "source"
    typing = partial(keystrokes, confidence=options.confidence)
    return Outcome(
        model=runtime.description,
        precision=runtime.precision,
        memory=options.memory,
        measures=options.measures,
        files=files,
        sample=sampled,
        confidence=options.confidence,
        predicted=predicted if is_source else [],
        codexglue=None if is_source else stream_accuracy(predicted),
        by_kind=by_kind(predicted, project) if "by_kind" in asked else None,
        next_token=(
            over(sampled, "completing tokens", next_tokens) if "next_token" in asked else None
        ),
        lines=over(sampled, "completing lines", rest_of_lines) if "line" in asked else None,
        keystrokes=over(sampled, "typing", typing) if "keystrokes" in asked else None,
    )


def _drawing(options: Options) -> Callable[[Outcome], None]:
    """What draws the picture, where one was asked for: whether it can is known before anything
    is measured."""
    if (path := options.picture) is None:
        return lambda outcome: None
    if path.suffix not in (".svg", ".png"):
        raise InputError(f"the name of a --picture ends in .svg or .png, not as {path.name!r} does")
    if not path.parent.is_dir():
        raise InputError(f"there is no folder {path.parent} for the --picture")
    if not set(options.measures) & DRAWN:
        raise InputError(f"a --picture is of {', '.join(sorted(DRAWN))}; measure one of them")
    with needs_train_extra("a picture"):
        from foretype_training import picture
    return lambda outcome: picture.draw(outcome, path)


def _runtime(options: Options) -> Runtime:
    bundle = registry.load(options.model)
    if options.memory != "none" and not bundle.description.architecture.memory:
        raise InputError(f"the model {options.model!r} reads no memory; measure it with none")
    return Runtime(bundle, bundle.choose_precision(options.precision), threads=os.cpu_count() or 1)


def _files(options: Options) -> list[SourceFile]:
    with tracking("reading") as track:
        corpus = read_corpus(
            options.paths, options.include, lambda files: track(files, 0, f"{files} files")
        )
    return in_order(corpus.files)


def _held_out(files: list[SourceFile], model: Description) -> list[SourceFile]:
    rule = model.training.get("data", {}).get("split", {}).get("rule", Split.rule)
    if rule != Split.rule:
        raise InputError(
            f"the training of {model.name!r} held out other files than the tenth, {rule};"
            " its report has the figures, and without --held-out all files are measured"
        )
    held_out = [file for file in files if file.is_held_out]
    if not held_out:
        raise InputError(f"none of the {len(files)} files is held out; leave --held-out out")
    return held_out
