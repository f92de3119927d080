"""The folder of a run: where it lies, and that nothing in it is lost or passed on unawares.

OUT/checkpoint.safetensors   where the run stands, replaced every minute
OUT/model/                   the bundle, once the training has ended or was stopped
OUT/report.md, *.png         what came of it
OUT/.gitignore               keeps all of it out of git, and out of what other runs read
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from foretype_models import registry
from foretype_training.errors import InputError, TrainingError

CHECKPOINT = "checkpoint.safetensors"
MODEL = "model"
RUNS = Path("runs")
"""Where runs lie for which no folder was named, below the current one."""

_IGNORE = ".gitignore"


def model_name(given: str | None, folder: Path) -> str:
    """What a model is called: as said, or else like a folder. Raises InputError where none can
    be called so."""
    name = given or re.sub(r"[^a-z0-9._-]+", "-", folder.resolve().name.lower())
    if not registry.is_name(name):
        raise InputError(f"{name!r} is not a name for a model: {registry.NAME_RULE}; give --name")
    return name


@contextmanager
def claimed(out: Path, resume: bool) -> Generator[None]:
    """Makes the run's folder, or finds the one to go on in. A run that fails before it has
    saved anything leaves nothing behind that it made."""
    made: list[Path] = []
    try:
        if resume and not out.is_dir():
            raise InputError(f"nothing to resume: there is no folder {out}")
        if resume and not ((out / CHECKPOINT).exists() or _is_unused(out)):
            raise InputError(f"nothing to resume: {out} is not the folder of a run")
        if not resume and out.exists() and not (out.is_dir() and _is_unused(out)):
            raise InputError(f"{out} is there already; choose another --out, or add --resume")
        made = [path for path in (out / _IGNORE, out, *out.parents) if not path.exists()]
        out.mkdir(parents=True, exist_ok=True)
        if out / _IGNORE in made:
            (out / _IGNORE).write_text("*\n")
        _sweep(out)
    except OSError as error:
        raise TrainingError(f"cannot use the folder {out}: {error.strerror}") from error
    try:
        yield
    except BaseException:
        if _is_unused(out):
            _remove(made)
        raise


def _is_unused(out: Path) -> bool:
    """Whether no run has saved anything in it, but what a process left that was killed while
    it wrote its first checkpoint."""
    names = [path.name for path in out.iterdir()]
    return all(name == _IGNORE or name.startswith(f".{CHECKPOINT}.") for name in names)


def _remove(made: list[Path]) -> None:
    """Those that are empty."""
    with suppress(OSError):  # somebody has put something there
        for path in made:
            if path.name == _IGNORE:
                path.unlink()
            else:
                path.rmdir()


def _sweep(out: Path) -> None:
    """Removes what a process left that was killed while it wrote."""
    for file in out.glob(f".{CHECKPOINT}.*"):
        file.unlink()
    for folder in out.glob(f".{MODEL}.*"):
        shutil.rmtree(folder)
