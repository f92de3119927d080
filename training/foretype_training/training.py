"""`foretype train`: from paths to a bundle and a report, in one folder.

OUT/checkpoint.safetensors   where the run stands, replaced every minute
OUT/model/                   the bundle, once the training has ended or was stopped
OUT/report.md, curve.png     what came of it
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foretype_models import bundle, registry
from foretype_models.bundle import WEIGHTS, Bundle
from foretype_models.inputs import Ngrams
from foretype_training.corpus import Corpus, SourceFile, Split, read_corpus, split, symbols
from foretype_training.display import duration, say, tracking
from foretype_training.errors import InputError, TrainingError, needs_train_extra
from foretype_training.settings import Config, Settings, default_settings, for_base, load_config
from foretype_training.stopping import stops_on_signals

if TYPE_CHECKING:
    from foretype_training.ngrams import CrossFitted
    from foretype_training.trainer import Progress, Trained, Trainer

CHECKPOINT = "checkpoint.safetensors"
MODEL = "model"


@dataclass(frozen=True)
class Options:
    """What the command was given."""

    paths: Sequence[Path]
    out: Path
    include: Sequence[str] = ()
    base: str | None = None  # a model's name or path
    config: Path | None = None
    name: str | None = None  # the folder's if None
    language: str = ""
    resume: bool = False


@dataclass(frozen=True)
class _Plan:
    """All that is settled before the first step."""

    corpus: Corpus
    split: Split
    config: Config
    base: Bundle | None
    ngrams: CrossFitted = field(repr=False)
    gpu: bool

    @property
    def settings(self) -> Settings:
        return self.config.settings


def run(options: Options) -> None:
    """Trains, exports, checks, measures and reports; says on the way what it does.

    Raises InputError for what the user gave, TrainingError for a run that failed and
    BundleError for a base that cannot be used. All leave behind what was saved before.
    """
    name = _name(options)
    _claim(options.out, options.resume)
    with needs_train_extra("training"):
        import torch

        # What is needed only hours later must not turn out to be missing then.
        import_module("matplotlib")
        import_module("onnx")
    plan = _plan(options, gpu=torch.cuda.is_available())
    with stops_on_signals() as stopped:
        trainer = _trainer(plan, options)
        trained = _train(trainer, stopped)
    say(_outcome(trained))
    _finish(plan, trained, options, name)


def _name(options: Options) -> str:
    name = options.name or re.sub(r"[^a-z0-9._-]+", "-", options.out.resolve().name.lower())
    if not registry.is_name(name):
        raise InputError(f"{name!r} is not a name for a model: {registry.NAME_RULE}; give --name")
    return name


def _claim(out: Path, resume: bool) -> None:
    """Makes the run's folder, or finds the one to go on in."""
    try:
        if resume and not out.is_dir():
            raise InputError(f"nothing to resume: there is no folder {out}")
        if not resume and out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise InputError(f"{out} is there already; choose another --out, or add --resume")
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"cannot use the folder {out}: {error.strerror}") from error


def _plan(options: Options, gpu: bool) -> _Plan:
    from foretype_training import ngrams

    with tracking("reading") as track:
        corpus = read_corpus(
            options.paths, options.include, lambda files: track(files, 0, f"{files} files")
        )
    say(_found(corpus))
    base = registry.load(options.base) if options.base else None
    config = _config(options.config, corpus, base, gpu)
    parts = split(corpus.files)
    say(_parts(parts))
    with tracking("counting n-grams") as track:
        counted = ngrams.count(
            config.settings.architecture,
            symbols(parts.training),
            base.ngrams() if base else Ngrams.empty(),
            lambda done, total: track(done, total, ""),
        )
    return _Plan(corpus, parts, config, base, counted, gpu)


def _config(path: Path | None, corpus: Corpus, base: Bundle | None, gpu: bool) -> Config:
    defaults = default_settings(corpus.characters, gpu)
    if base is not None:
        defaults = for_base(defaults, base.description.architecture)
    config = load_config(path, defaults) if path else Config(defaults)
    if base is not None and config.settings.architecture != base.description.architecture:
        raise InputError(
            f"{path} asks for another architecture than that of the base"
            f" {base.description.name!r}, which is kept; leave [architecture] out"
        )
    return config


def _trainer(plan: _Plan, options: Options) -> Trainer:
    import torch
    from safetensors.torch import load as load_weights

    from foretype_training.trainer import Base, Trainer, parameters

    base = plan.base and Base(plan.base.description.version, load_weights(plan.base.files[WEIGHTS]))
    checkpoint = options.out / CHECKPOINT
    trainer = Trainer(
        plan.settings,
        symbols(plan.split.training),
        symbols(plan.split.validation),
        plan.ngrams,
        plan.corpus.sha256(),
        checkpoint,
        torch.device("cuda" if plan.gpu else "cpu"),
        base,
    )
    # A run that was killed before its first checkpoint goes on from the beginning.
    if options.resume and checkpoint.exists():
        trainer.resume()
    a = plan.settings.architecture
    say(
        f"network: {a.layers} x {a.hidden_size} {a.cell}, {parameters(a):,} parameters;"
        f" {trainer.steps:,} steps in {trainer.precision} on {trainer.device.type}"
    )
    return trainer


def _train(trainer: Trainer, stopped: Any) -> Trained:
    with tracking("training") as track:

        def report(progress: Progress) -> None:
            track(progress.step, progress.steps, _note(progress))

        return trainer.run(report, stopped)


def _note(progress: Progress) -> str:
    validation = f", validation {progress.validation_bits:.3f}" if progress.validation_bits else ""
    return (
        f"{progress.training_bits:.3f} bits per character{validation},"
        f" {progress.rate:,.0f} characters/s, {duration(progress.seconds_left)} left"
    )


def _finish(plan: _Plan, trained: Trained, options: Options, name: str) -> None:
    from foretype_training.bundling import Identity, make_bundle
    from foretype_training.report import write_report
    from foretype_training.trainer import parameters

    identity = Identity(
        name,
        options.language,
        parameters(plan.settings.architecture),
        _training_facts(plan, trained, options),
    )
    held_out = plan.split.held_out
    made = make_bundle(
        trained.network, plan.ngrams.table, identity, held_out, plan.base, lambda t: say(f"  {t}")
    )
    bundle.save(made, options.out / MODEL)
    write_report(options.out, made, trained.curve, held_out)
    bpc = made.description.quality["bpc"]
    say(f"held-out files: fp32 {bpc['fp32']:.4f}, int8 {bpc['int8']:.4f} bits per character")
    say(f"{options.out / MODEL} is ready: foretype serve --model {options.out / MODEL}")
    say(f"the report is {options.out / 'report.md'}")


def _training_facts(plan: _Plan, trained: Trained, options: Options) -> dict[str, Any]:
    """What model.json says of the making; the roots' names alone, a path is nobody's business."""
    parts = {
        "training": plan.split.training,
        "validation": plan.split.validation,
        "held_out": plan.split.held_out,
    }
    base = plan.base.description if plan.base else None
    return {
        "data": {
            "roots": [path.resolve().name for path in options.paths],
            "include": list(options.include),
            "files": len(plan.corpus.files),
            "characters": plan.corpus.characters,
            "sha256": plan.corpus.sha256(),
            "skipped": dict(plan.corpus.skipped),
            "near_duplicates": plan.split.near_duplicates,
            "split": {"rule": plan.split.rule, **{n: _size(files) for n, files in parts.items()}},
        },
        "sources": [vars(source) for source in plan.config.sources],
        "settings": plan.settings.to_dict(),
        "symbols": trained.symbols,
        "finished": trained.finished,
        "temperature": trained.temperature,
        "curve": [vars(point) for point in trained.curve],
        "base": base and {"name": base.name, "version": base.version, "training": base.training},
    }


def _size(files: Sequence[SourceFile]) -> dict[str, int]:
    return {"files": len(files), "characters": sum(len(file.text) for file in files)}


def _found(corpus: Corpus) -> str:
    skipped = ", ".join(f"{count} {why}" for why, count in corpus.skipped.most_common())
    return f"{len(corpus.files):,} files, {corpus.characters:,} characters" + (
        f"; left out: {skipped}" if skipped else ""
    )


def _parts(parts: Split) -> str:
    return (
        f"{len(parts.training):,} files to train on, {len(parts.validation):,} to validate,"
        f" {len(parts.held_out):,} held out; {parts.near_duplicates} near-duplicates left out"
    )


def _outcome(trained: Trained) -> str:
    best = min(point.validation for point in trained.curve)
    how = "trained" if trained.finished else "stopped early; --resume goes on"
    return f"{how}: {best:.3f} bits per character on the validation files at best"
