"""Writes what somebody would miss."""

from __future__ import annotations

import os
from pathlib import Path

from foretype_training.errors import TrainingError


def write_atomically(path: Path, data: bytes) -> None:
    """Replaces a file as a whole: after a crash the old or the new one is there, never a part.

    Raises TrainingError if the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise TrainingError(f"cannot write {path}: {error.strerror}") from error
