"""How a network is trained: the settings, their defaults, and the file they come from.

The file is TOML. Its keys are those of `Settings`, a table [architecture] holds those of
`Architecture`, and tables [[sources]] name the data for the model card:

    epochs = 6.5

    [architecture]
    hidden_size = 384

    [[sources]]
    name = "Apache Commons Lang"
    version = "3.12.0"
    licence = "Apache-2.0"
"""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, Self, cast

from foretype_models.architecture import Architecture, ArchitectureError
from foretype_training.errors import InputError

Precision = Literal["fp32", "bf16"]

DEFAULT = Architecture(words=(1, 2), parts=(1,), heads=(1,), calls=(1,))
"""Of a network that is trained from nothing, where nothing else is said."""


@dataclass(frozen=True)
class Settings:
    """Everything but the data that decides what is learned."""

    architecture: Architecture = DEFAULT
    epochs: float = 8.0  # passes over the training files
    batch: int = 32  # files read side by side
    window: int = 80  # symbols a gradient reaches back; the state is carried further
    learning_rate: float = 3e-3  # of Adam at its height
    warmup: float = 0.02  # share of the steps in which the rate rises
    decay: float = 0.8  # share of the steps, at the end, in which the rate falls to zero
    dropout: float = 0.1
    clip: float = 1.0  # of the gradient's norm
    average: float = 0.05  # share of the steps over which weights are averaged, 0 for none
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
            "seed": (-1, 2**32 - 1),
        }
        for name, (above, limit) in limits.items():
            value = getattr(self, name)
            if not above < value <= limit:
                raise InputError(f"{name} must be above {above} and at most {limit}, not {value}")
        for name in ("warmup", "decay", "dropout", "average"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(
                    f"{name} must be at least 0 and below 1, not {getattr(self, name)}"
                )

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "architecture": self.architecture.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Raises InputError for a setting that does not exist or has the wrong type."""
        values = dict(values)
        try:
            architecture = Architecture.from_dict(values.pop("architecture", {}))
        except (ArchitectureError, TypeError) as error:
            raise InputError(f"architecture: {error}") from error
        unknown = set(values) - _KINDS.keys()
        if unknown:
            raise InputError(
                f"unknown setting {min(unknown)!r}; there are architecture, {', '.join(_KINDS)}"
            )
        numbers = {name: _number(name, value) for name, value in values.items()}
        return cls(architecture=architecture, **cast(dict[str, Any], numbers))


_KINDS: dict[str, type[int] | type[float]] = {
    f.name: type(f.default) for f in fields(Settings) if isinstance(f.default, int | float)
}


def _number(name: str, value: object) -> int | float:
    kind = _KINDS[name]
    if isinstance(value, bool) or not isinstance(value, (int, kind)):
        raise InputError(f"{name} must be a {'whole ' if kind is int else ''}number, not {value!r}")
    return kind(value)


@dataclass(frozen=True)
class Source:
    """Where training data came from, for the model card of a bundle that is passed on."""

    name: str
    version: str
    licence: str

    @classmethod
    def from_dict(cls, values: object) -> Self:
        """Raises InputError where it is not a table of these three strings."""
        names = [f.name for f in fields(cls)]
        given = cast(dict[str, object], values) if isinstance(values, dict) else {}
        texts = {name: value for name, value in given.items() if isinstance(value, str) and value}
        if sorted(texts) != sorted(names) or len(given) != len(names):
            raise InputError(
                f"each of sources needs {', '.join(names)}, all strings; not {values!r}"
            )
        return cls(**texts)


@dataclass(frozen=True)
class Config:
    """What a configuration file says."""

    settings: Settings
    sources: tuple[Source, ...] = ()


def load_config(path: Path, defaults: Settings) -> Config:
    """Reads a TOML file; what it leaves out keeps its default. Raises InputError."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}") from error
    try:
        return _config(values, defaults)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _config(values: dict[str, Any], defaults: Settings) -> Config:
    architecture = values.pop("architecture", {})
    sources = values.pop("sources", [])
    if not isinstance(architecture, dict):
        raise InputError("architecture must be a table")
    if not isinstance(sources, list):
        raise InputError("sources must be written as tables [[sources]]")
    merged = defaults.to_dict()
    merged["architecture"] |= cast(dict[str, Any], architecture)
    return Config(
        Settings.from_dict(merged | values),
        tuple(Source.from_dict(source) for source in cast(list[object], sources)),
    )


def default_settings(characters: int, gpu: bool) -> Settings:
    """Settings that suit a corpus of this many characters and this machine.

    The network grows with the text, because a large one only memorises a small text, and
    stays small enough on a CPU that a run ends within the hour or two people wait for.
    """
    if characters < 300_000:
        size = replace(DEFAULT, hidden_size=192, layers=1, embedding_size=48)
        return Settings(architecture=size, epochs=12, batch=8)
    if not gpu:
        size = replace(DEFAULT, hidden_size=384 if characters > 2_000_000 else 256, layers=3)
        return Settings(architecture=size, epochs=max(1.0, min(8.0, 16_000_000 / characters)))
    size = replace(DEFAULT, hidden_size=1024 if characters > 50_000_000 else 512, layers=3)
    return Settings(
        architecture=size,
        epochs=max(2.0, min(20.0, 300_000_000 / characters)),
        batch=128,
        window=128,
        dropout=0.25,
    )


def for_base(characters: int, gpu: bool, architecture: Architecture) -> Settings:
    """For going on from a trained network: its shape, fewer passes and smaller steps.

    Most is learned early: of what three passes over a folder of 900,000 characters brought, the
    first quarter of one brought half, and half of them 85 %. So a larger one is read less often.
    """
    most = 300_000_000 if gpu else 6_000_000
    return replace(
        default_settings(characters, gpu),
        architecture=architecture,
        epochs=max(1.0, min(3.0, most / characters)),
        learning_rate=1e-3,
    )
