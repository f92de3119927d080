"""`foretype train`: from paths to a bundle and a report, in one folder (see folder.py)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foretype_models import bundle, heap, registry
from foretype_models.architecture import Architecture
from foretype_models.bundle import Bundle
from foretype_models.inputs import Ngrams
from foretype_models.pointer import Pointer
from foretype_training import footprint, history, languages
from foretype_training.corpus import Corpus, SourceFile, Split, read_corpus, split
from foretype_training.display import duration, say, tracking
from foretype_training.errors import needs_train_extra
from foretype_training.folder import CHECKPOINT, MODEL, RUNS, claimed, model_name
from foretype_training.settings import Config, Settings, load_config
from foretype_training.stopping import stops_on_signals

if TYPE_CHECKING:
    from foretype_training.comparison import Comparison
    from foretype_training.distributed import Processes
    from foretype_training.texts import Texts
    from foretype_training.throughput import Throughput
    from foretype_training.trainer import Progress, Trained, Trainer


@dataclass(frozen=True)
class Options:
    """What the command was given."""

    paths: Sequence[Path]
    out: Path | None = None  # below RUNS, by the model's name, if None
    include: Sequence[str] = ()
    base: str | None = None  # a model's name or path, NO_MODEL, or None: what suits the files
    config: Path | None = None
    name: str | None = None  # the folder's if None
    language: str | None = None  # the files' if None
    holdout_since: str | None = None  # a date, or a date and time
    install: bool = False
    resume: bool = False


@dataclass(frozen=True)
class _Plan:
    """All that is settled before the first step."""

    name: str
    out: Path
    language: str
    corpus: Corpus
    split: Split
    by_history: bool
    config: Config
    base: Bundle | None
    texts: Texts = field(repr=False)
    gpu: bool

    @property
    def settings(self) -> Settings:
        return self.config.settings

    @property
    def data_hash(self) -> str:
        """Of the files, and of which are held out where they do not say it themselves."""
        files = self.corpus.sha256()
        if not self.by_history:
            return files
        held_out = "".join(f"\0{file.project} {file.path}" for file in self.split.held_out)
        return hashlib.sha256((files + held_out).encode()).hexdigest()


def run(options: Options) -> None:
    """Trains, exports, checks, measures, compares and reports; says on the way what it does.

    Raises InputError for what the user gave, TrainingError for a run that failed and
    BundleError for a base that cannot be used. All leave behind what was saved before.
    """
    with needs_train_extra("training"):
        # What is needed only hours later must not turn out to be missing then, or to be of
        # another version than what runs.
        for name in ("bundling", "comparison", "report"):
            import_module(f"foretype_training.{name}")
        from foretype_training.distributed import joined, leave
        from foretype_training.throughput import throughput
    with ExitStack() as folder:
        with joined() as processes:
            plan = processes.first(lambda: _begin(options, folder, processes))
            with heap.keeping_what_is_freed(), stops_on_signals() as stopped:
                trainer = _trainer(plan, processes)
                trained = _train(trainer, stopped)
            speed = throughput(trainer, trained.rate, processes)
        if processes.rank == 0:
            say(_outcome(trained))
            try:
                _finish(plan, trained, options, speed)
            except KeyboardInterrupt:
                say("stopped before the model was made and measured; --resume does that")
                raise
        else:
            leave()


def _begin(options: Options, folder: ExitStack, processes: Processes) -> _Plan:
    """What one process does for all: `folder` is left when the run ends."""
    import torch

    name = model_name(options.name, options.out or options.paths[0])
    out = options.out or RUNS / name
    goes_on = options.resume or (processes.restarted and (out / CHECKPOINT).exists())
    folder.enter_context(claimed(out, goes_on))
    return _plan(options, name, out, torch.cuda.is_available(), processes.count)


def _plan(options: Options, name: str, out: Path, gpu: bool, processes: int) -> _Plan:
    from foretype_training import bases
    from foretype_training.texts import texts

    text = options.holdout_since
    since = None if text is None else history.point_in_time(text)
    # What is wrong with it is said before all is read. What contexts it does not name a base
    # decides, which is not known yet: none are added here.
    if options.config is not None:
        load_config(options.config, Settings(architecture=Architecture(ngrams=())))
    with tracking("reading") as track:
        corpus = read_corpus(
            options.paths,
            options.include,
            lambda files: track(files, 0, f"{files} files"),
            without=out,
            to_learn=True,
        )
    _say_secrets(corpus)
    say(_found(corpus))
    parts = _split(corpus, options.paths, since)
    language = languages.of_most(corpus.files)
    base = bases.choose(options.base, language)
    config = bases.configuration(options.config, corpus.characters, base, gpu)
    footprint.check(config.settings, gpu)
    footprint.check_counting(config.settings.architecture, corpus.characters)
    config = _of_all(config, processes)
    say(_parts(parts))
    with tracking("counting contexts") as track:
        counted = texts(
            config.settings.architecture,
            parts,
            base.ngrams() if base else Ngrams.empty(),
            lambda done, total: track(done, total, ""),
        )
    if options.language is not None:
        language = options.language
    return _Plan(name, out, language, corpus, parts, bool(since), config, base, counted, gpu)


def _say_secrets(corpus: Corpus) -> None:
    from foretype_training.leaks import ALLOW, told

    for path, found in corpus.secrets.items():
        say(f"{path} is left out, for it may hold a secret: {told(found)}")
    if corpus.secrets:
        say(f"where it holds none, end the line with the comment `{ALLOW}`")


def _of_all(config: Config, processes: int) -> Config:
    """With the batch of all processes together, each of which reads what one alone would."""
    settings = replace(config.settings, batch=config.settings.batch * processes)
    return replace(config, settings=settings)


def _split(corpus: Corpus, paths: Sequence[Path], since: datetime | None) -> Split:
    if since is None:
        return split(corpus.files)
    added = history.added_since(paths, corpus.files, since)
    return replace(split(corpus.files, added), rule=history.rule(since))


def _trainer(plan: _Plan, processes: Processes) -> Trainer:
    """The trainer, which stands where the run stands. Says what it will do, and how long that
    takes, by steps of another that is thrown away."""
    import torch

    from foretype_training import bases, pace
    from foretype_training.trainer import Trainer, parameters

    checkpoint = plan.out / CHECKPOINT
    new = partial(
        Trainer,
        plan.settings,
        plan.texts.training,
        plan.texts.validation,
        plan.data_hash,
        checkpoint,
        torch.device("cuda" if plan.gpu else "cpu"),
        plan.base and bases.weights(plan.base, plan.settings.architecture),
        processes=processes,
    )
    with tracking("timing some steps"):
        measured = pace.measure(new(), plan.texts.validation, plan.base is not None)
    trainer = new()
    # None, where a run was killed before its first: it goes on from the beginning.
    if processes.first(checkpoint.exists):
        trainer.resume()
    a = plan.settings.architecture
    several = f", {processes.count} processes" if processes.count > 1 else ""
    say(
        f"network: {a.layers} x {a.hidden_size} {a.cell}, {parameters(a):,} parameters,"
        f" in {trainer.precision} on {trainer.device.type}{several}"
    )
    say(_announcement(plan, trainer, measured.seconds(trainer)))
    return trainer


def _announcement(plan: _Plan, trainer: Trainer, seconds: float) -> str:
    passes = f"{plan.settings.epochs:.3g}"
    characters = sum(len(file.text) for file in plan.split.training)
    done, left = (f", {trainer.step:,} of them done", " left") if trainer.step else ("", "")
    return (
        f"plan: {passes} {'pass' if passes == '1' else 'passes'} over {characters:,} characters,"
        f" {plan.settings.epochs * characters:,.0f} in all, in {trainer.steps:,} steps{done};"
        f" about {duration(seconds)}{left}, as a few steps take here, and then the measuring"
    )


def _train(trainer: Trainer, stopped: Any) -> Trained:
    with tracking("training") as track:

        def report(progress: Progress) -> None:
            track(progress.step, progress.steps, _note(progress))

        def settling(done: int, total: int) -> None:
            track(done, total, "trying how much of the base to keep")

        return trainer.run(report, stopped, settling)


def _note(progress: Progress) -> str:
    validation = f", validation {progress.validation_bits:.3f}" if progress.validation_bits else ""
    return (
        f"{progress.training_bits:.3f} bits per character{validation},"
        f" {progress.rate:,.0f} characters/s, {duration(progress.seconds_left)} left"
    )


def _finish(plan: _Plan, trained: Trained, options: Options, speed: Throughput | None) -> None:
    from foretype_training.bundling import Identity, keeping_pointer, make_bundle
    from foretype_training.comparison import compare
    from foretype_training.report import show, write_report
    from foretype_training.trainer import parameters

    identity = Identity(
        plan.name,
        plan.language,
        parameters(plan.settings.architecture),
        _training_facts(plan, trained, options),
    )
    held_out = plan.split.held_out
    made = make_bundle(
        trained.network,
        plan.texts.table,
        identity,
        held_out,
        lambda t: say(f"  {t}"),
        _pointer(plan),
    )
    if made.pointer() is not None:
        made = keeping_pointer(made, plan.split.validation, lambda t: say(f"  {t}"))
    bundle.save(made, plan.out / MODEL)  # whatever comes between now and the comparison's end
    comparison = compare(plan.base, made, held_out, plan.corpus.files)
    made = _with(made, comparison)
    bundle.save(made, plan.out / MODEL)
    write_report(plan.out, made, trained, comparison, held_out, speed)
    show(comparison)
    say(f"the report is {plan.out / 'report.md'}")
    _install(plan.out / MODEL, comparison, trained.finished, wanted=options.install)


def _pointer(plan: _Plan) -> Pointer | None:
    from foretype_training.growth import grow_pointer

    pointer = plan.base and plan.base.pointer()
    return pointer and grow_pointer(pointer, plan.settings.architecture.hidden_size)


def _with(made: Bundle, comparison: Comparison) -> Bundle:
    quality = made.description.quality | {"comparison": comparison.to_json()}
    return replace(made, description=replace(made.description, quality=quality))


def _install(model: Path, comparison: Comparison, finished: bool, wanted: bool) -> None:
    """Says whether the model is better, and installs it if that was asked for and it is."""
    say(comparison.verdict)
    if wanted and finished and comparison.is_better:
        entry = registry.install(model)
        say(f"installed {entry.name}; use it with --model {entry.name}")
        return
    if wanted:
        say("not installed" if finished else "not installed, for the training was stopped early")
    say(f"{model} is ready: foretype serve --model {model}, or foretype models install {model}")


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
