"""How a network is trained: the settings, their defaults, and the file they come from."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, Self

from foretype_models.architecture import Architecture, ArchitectureError
from foretype_training.errors import InputError

Precision = Literal["fp32", "bf16"]


@dataclass(frozen=True)
class Settings:
    """Everything but the data that decides what is learned."""

    architecture: Architecture = field(default_factory=Architecture)
    epochs: float = 8.0  # passes over the training files
    batch: int = 32  # files read side by side
    window: int = 80  # symbols a gradient reaches back; the state is carried further
    learning_rate: float = 3e-3  # of Adam at its height
    warmup: float = 0.02  # share of the steps in which the rate rises
    decay: float = 0.8  # share of the steps, at the end, in which the rate falls to zero
    dropout: float = 0.1
    clip: float = 1.0  # of the gradient's norm
    validations: int = 12  # times the validation files are measured
    seed: int = 1

    def __post_init__(self) -> None:
        limits: dict[str, tuple[float, float]] = {
            "epochs": (0, 10_000),
            "batch": (0, 4096),
            "window": (0, 8192),
            "learning_rate": (0, 1),
            "clip": (0, 1e6),
            "validations": (0, 10_000),
        }
        for name, (above, limit) in limits.items():
            value = getattr(self, name)
            if not above < value <= limit:
                raise InputError(f"{name} must be above {above} and at most {limit}, not {value}")
        for name in ("warmup", "decay", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 0 and below 1, not {getattr(self, name)}")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Raises InputError for a setting that does not exist or has the wrong type."""
        values = dict(values)
        try:
            architecture = Architecture.from_dict(values.pop("architecture", {}))
        except (ArchitectureError, TypeError) as error:
            raise InputError(f"architecture: {error}") from error
        defaults = cls()
        known = {f.name: type(getattr(defaults, f.name)) for f in fields(cls)}
        for name, value in values.items():
            if name not in known:
                raise InputError(f"unknown setting {name!r}; there are {', '.join(known)}")
            kind = known[name]
            if isinstance(value, bool) or not isinstance(value, (int, kind)):
                raise InputError(f"{name} must be a number, not {value!r}")
            values[name] = kind(value)
        return cls(architecture=architecture, **values)


def load_settings(path: Path, defaults: Settings) -> Settings:
    """Reads a TOML file; what it leaves out keeps its default. Raises InputError."""
    try:
        values = tomllib.loads(path.read_text())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}") from error
    given = values.get("architecture", {})
    if not isinstance(given, dict):
        raise InputError(f"{path}: architecture must be a table")
    merged = defaults.to_dict()
    architecture: dict[str, Any] = {**merged["architecture"], **given}
    try:
        return Settings.from_dict({**merged, **values, "architecture": architecture})
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def default_settings(characters: int, gpu: bool) -> Settings:
    """Settings that suit a corpus of this many characters and this machine.

    The network grows with the text, because a large one only memorises a small text, and
    stays small enough on a CPU that a run ends within the hour or two people wait for.
    """
    if characters < 300_000:
        size = Architecture(hidden_size=192, layers=1, embedding_size=48, ngram_rows=4096)
        return Settings(architecture=size, epochs=12, batch=8)
    if not gpu:
        size = Architecture(hidden_size=384 if characters > 2_000_000 else 256, layers=3)
        return Settings(architecture=size, epochs=max(1.0, min(8.0, 16_000_000 / characters)))
    size = Architecture(hidden_size=1024 if characters > 50_000_000 else 512, layers=3)
    return Settings(
        architecture=size,
        epochs=max(2.0, min(20.0, 300_000_000 / characters)),
        batch=128,
        window=128,
        dropout=0.25,
    )


def for_base(settings: Settings, architecture: Architecture) -> Settings:
    """For going on from a trained network: its shape, fewer passes and smaller steps."""
    return replace(
        settings, architecture=architecture, epochs=min(settings.epochs, 3.0), learning_rate=1e-3
    )
