"""What can go wrong with a training run through no fault of the program.

    TrainingError           the run failed: full disk, diverged loss   (exit code 1)
    └── InputError          what the user gave cannot be used          (exit code 2)

Messages are one sentence that says what is wrong, where, and what to do.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

_EXTRA = {"datasketch", "detect_secrets", "matplotlib", "onnx", "pathspec", "safetensors", "torch"}
"""What `foretype[train]` installs and the base does not."""


class TrainingError(Exception):
    """The run failed."""

    exit_code = 1


class InputError(TrainingError):
    """What the user gave cannot be used."""

    exit_code = 2


@contextmanager
def needs_train_extra(what: str) -> Generator[None]:
    """Imports inside it may need `foretype[train]`. Raises InputError where that is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        raise InputError(
            f"{what} needs {error.name}, which is not installed:"
            " run `pip install '.[train]'` where Foretype was cloned"
        ) from error
