"""`foretype train`: from paths to a bundle and a report, in one folder.

OUT/checkpoint.safetensors   where the run stands, replaced every minute
OUT/model/                   the bundle, once the training has ended or was stopped
OUT/report.md, curve.png     what came of it
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foretype_models import bundle, registry
from foretype_models.architecture import Architecture
from foretype_models.bundle import WEIGHTS, Bundle
from foretype_models.inputs import Ngrams
from foretype_models.runtime import Runtime
from foretype_training.corpus import Corpus, SourceFile, Split, read_corpus, split
from foretype_training.display import duration, say, tracking
from foretype_training.errors import InputError, TrainingError, needs_train_extra
from foretype_training.settings import Config, Settings, default_settings, for_base, load_config
from foretype_training.stopping import stops_on_signals

if TYPE_CHECKING:
    from foretype_training.distributed import Processes
    from foretype_training.texts import Texts
    from foretype_training.throughput import Throughput
    from foretype_training.trainer import Base, Progress, Trained, Trainer

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

    name: str
    corpus: Corpus
    split: Split
    config: Config
    base: Bundle | None
    texts: Texts = field(repr=False)
    gpu: bool

    @property
    def settings(self) -> Settings:
        return self.config.settings


def run(options: Options) -> None:
    """Trains, exports, checks, measures and reports; says on the way what it does.

    Raises InputError for what the user gave, TrainingError for a run that failed and
    BundleError for a base that cannot be used. All leave behind what was saved before.
    """
    with needs_train_extra("training"):
        # What is needed only hours later must not turn out to be missing then.
        import_module("matplotlib")
        import_module("onnx")
        from foretype_training.distributed import joined
        from foretype_training.throughput import throughput
    with ExitStack() as folder:
        with joined() as processes:
            plan = processes.first(lambda: _begin(options, folder, processes))
            with stops_on_signals() as stopped:
                trainer = _trainer(plan, options, processes)
                trained = _train(trainer, stopped)
            speed = throughput(trainer, trained.rate, processes)
        if processes.rank == 0:
            say(_outcome(trained))
            _finish(plan, trained, options, speed)


def _begin(options: Options, folder: ExitStack, processes: Processes) -> _Plan:
    """What one process does for all: `folder` is left when the run ends."""
    import torch

    name = _name(options)
    goes_on = options.resume or (processes.restarted and (options.out / CHECKPOINT).exists())
    folder.enter_context(_claimed(options.out, goes_on))
    return _plan(name, options, torch.cuda.is_available(), processes.count)


def _name(options: Options) -> str:
    name = options.name or re.sub(r"[^a-z0-9._-]+", "-", options.out.resolve().name.lower())
    if not registry.is_name(name):
        raise InputError(f"{name!r} is not a name for a model: {registry.NAME_RULE}; give --name")
    return name


@contextmanager
def _claimed(out: Path, resume: bool) -> Generator[None]:
    """Makes the run's folder, or finds the one to go on in. A run that fails before it has
    saved anything leaves no folder behind that it made."""
    made: list[Path] = []
    try:
        if resume and not out.is_dir():
            raise InputError(f"nothing to resume: there is no folder {out}")
        if not resume and out.exists() and not _is_free(out):
            raise InputError(f"{out} is there already; choose another --out, or add --resume")
        made = [folder for folder in (out, *out.parents) if not folder.exists()]
        out.mkdir(parents=True, exist_ok=True)
        _sweep(out)
    except OSError as error:
        raise TrainingError(f"cannot use the folder {out}: {error.strerror}") from error
    try:
        yield
    except BaseException:
        with suppress(OSError):  # it is not empty
            for folder in made:
                folder.rmdir()
        raise


def _is_free(out: Path) -> bool:
    """Whether it is a folder that holds nothing but what a process left that was killed while
    it wrote its first checkpoint."""
    return out.is_dir() and all(file.name.startswith(f".{CHECKPOINT}.") for file in out.iterdir())


def _sweep(out: Path) -> None:
    """Removes what a process left that was killed while it wrote."""
    for file in out.glob(f".{CHECKPOINT}.*"):
        file.unlink()
    for folder in out.glob(f".{MODEL}.*"):
        shutil.rmtree(folder)


def _plan(name: str, options: Options, gpu: bool, processes: int) -> _Plan:
    from foretype_training.texts import texts

    with tracking("reading") as track:
        corpus = read_corpus(
            options.paths,
            options.include,
            lambda files: track(files, 0, f"{files} files"),
            without=options.out,
            to_learn=True,
        )
    _say_secrets(corpus)
    say(_found(corpus))
    base = _base(options.base) if options.base else None
    config = _of_all(_config(options.config, corpus, base, gpu), processes)
    parts = split(corpus.files)
    say(_parts(parts))
    with tracking("counting n-grams") as track:
        counted = texts(
            config.settings.architecture,
            parts,
            base.ngrams() if base else Ngrams.empty(),
            lambda done, total: track(done, total, ""),
        )
    return _Plan(name, corpus, parts, config, base, counted, gpu)


def _say_secrets(corpus: Corpus) -> None:
    from foretype_training.leaks import ALLOW, told

    for path, found in corpus.secrets.items():
        say(f"{path} is left out, for it may hold a secret: {told(found)}")
    if corpus.secrets:
        say(f"where it holds none, end the line with the comment `{ALLOW}`")


def _base(name_or_path: str) -> Bundle:
    """The model to go on from, once it has passed its self-test."""
    base = registry.load(name_or_path)
    Runtime(base)
    return base


def _config(path: Path | None, corpus: Corpus, base: Bundle | None, gpu: bool) -> Config:
    defaults = default_settings(corpus.characters, gpu)
    if base is not None:
        defaults = for_base(defaults, base.description.architecture)
    config = load_config(path, defaults) if path else Config(defaults)
    if base is not None and not _goes_on(config.settings.architecture, base):
        raise InputError(
            f"{path} asks for another architecture than that of the base"
            f" {base.description.name!r}, which is kept; leave [architecture] out"
        )
    return config


def _of_all(config: Config, processes: int) -> Config:
    """With the batch of all processes together, each of which reads what one alone would."""
    settings = replace(config.settings, batch=config.settings.batch * processes)
    return replace(config, settings=settings)


def _goes_on(architecture: Architecture, base: Bundle) -> bool:
    """Whether a base's weights fit: its architecture, which may come to read memories."""
    own = base.description.architecture
    return architecture == own or architecture == replace(own, memory=True)


def _trainer(plan: _Plan, options: Options, processes: Processes) -> Trainer:
    import torch

    from foretype_training.trainer import Trainer, parameters

    checkpoint = options.out / CHECKPOINT
    trainer = Trainer(
        plan.settings,
        plan.texts.training,
        plan.texts.validation,
        plan.corpus.sha256(),
        checkpoint,
        torch.device("cuda" if plan.gpu else "cpu"),
        plan.base and _weights(plan.base, plan.settings.architecture),
        processes=processes,
    )
    # None, where a run was killed before its first: it goes on from the beginning.
    if processes.first(checkpoint.exists):
        trainer.resume()
    a = plan.settings.architecture
    several = f", {processes.count} processes" if processes.count > 1 else ""
    say(
        f"network: {a.layers} x {a.hidden_size} {a.cell}, {parameters(a):,} parameters;"
        f" {trainer.steps:,} steps in {trainer.precision} on {trainer.device.type}{several}"
    )
    return trainer


def _weights(bundle: Bundle, architecture: Architecture) -> Base:
    """What to go on from with this architecture, the bundle's own but that it may read
    memories too. Raises InputError where the weights are not what the description says."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    from foretype_training.trainer import Base, shapes, with_memory

    description = bundle.description
    try:
        weights = load(bundle.files[WEIGHTS])
    except SafetensorError as error:
        raise InputError(f"{WEIGHTS} of {description.name!r} cannot be read: {error}") from error
    if {name: weight.shape for name, weight in weights.items()} != shapes(description.architecture):
        raise InputError(f"{WEIGHTS} of {description.name!r} does not fit its architecture")
    if architecture.memory and not description.architecture.memory:
        weights = with_memory(weights, architecture)
    return Base(description.version, weights)


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


def _finish(plan: _Plan, trained: Trained, options: Options, speed: Throughput | None) -> None:
    from foretype_training.bundling import Identity, make_bundle
    from foretype_training.report import write_report
    from foretype_training.trainer import parameters

    identity = Identity(
        plan.name,
        options.language,
        parameters(plan.settings.architecture),
        _training_facts(plan, trained, options),
    )
    held_out = plan.split.held_out
    made = make_bundle(
        trained.network, plan.texts.table, identity, held_out, plan.base, lambda t: say(f"  {t}")
    )
    bundle.save(made, options.out / MODEL)
    write_report(options.out, made, trained.curve, held_out, speed)
    quality = made.description.quality
    bpc = quality["bpc"]
    before = f"before {quality['base_bpc']:.4f}, now " if plan.base else ""
    figures = ", ".join(f"{precision} {bits:.4f}" for precision, bits in bpc.items())
    say(f"held-out files: {before}{figures} bits per character")
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
        "base_share": trained.base_share,
        "temperature": trained.calibration.temperature,
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
    how = "trained" if trained.finished else "stopped early; --resume goes on"
    mixed = f" with {trained.base_share:.0%} of the base's weights" if trained.base_share else ""
    bits = trained.calibration.bits
    return f"{how}: {bits:.3f} bits per character on the validation files{mixed}"
