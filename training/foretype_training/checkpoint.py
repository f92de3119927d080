"""A training run's progress on disk: one file, replaced as a whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import safetensors
import torch
from safetensors.torch import save
from torch import Tensor

from foretype_training.errors import InputError
from foretype_training.writing import write_atomically

FORMAT = "1"


class _Opened(Protocol):
    """What `safe_open` gives, which has no annotations."""

    def metadata(self) -> Mapping[str, str] | None: ...
    def keys(self) -> list[str]: ...
    def get_tensor(self, name: str) -> Tensor: ...


_safe_open = cast(Callable[..., AbstractContextManager[_Opened]], safetensors.safe_open)


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, and everything else a run needs to go on as if never cut off."""

    tensors: dict[str, Tensor]
    progress: dict[str, Any]  # JSON

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names start with `prefix.`, without it."""
        start = prefix + "."
        return {k[len(start) :]: v for k, v in self.tensors.items() if k.startswith(start)}


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Raises TrainingError if it cannot be written; the checkpoint before it is kept."""
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()
    }
    metadata = {"format": FORMAT, "progress": json.dumps(checkpoint.progress)}
    write_atomically(path, save(tensors, metadata))


def load_checkpoint(path: Path) -> Checkpoint:
    """Raises InputError if there is none or it is not one of ours."""
    try:
        with _safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise InputError(f"{path} is not a checkpoint of this version of foretype")
            names = list(file.keys())
            tensors = {name: file.get_tensor(name) for name in names}
        return Checkpoint(tensors, json.loads(metadata["progress"]))
    except FileNotFoundError as error:
        raise InputError(f"nothing to resume: there is no {path}") from error
    except (OSError, safetensors.SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"{path} is damaged: {error}") from error


def rng_state() -> Tensor:
    """Of torch's generator on the CPU, from which the dropout masks are drawn."""
    return torch.get_rng_state()
