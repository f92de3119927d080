"""The shape of a network: all that is needed to rebuild it around its weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, cast, get_args

Cell = Literal["lstm", "gru", "peephole", "rnn"]

STATE_NAMES: dict[Cell, tuple[str, ...]] = {
    "lstm": ("h", "c"),
    "gru": ("h",),
    "peephole": ("h", "c"),
    "rnn": ("h",),
}
"""What each layer of a cell carries from step to step: hidden state h, cell state c."""

MAX_NGRAM = 64
"""In symbols."""
MAX_MEMORY_NGRAMS = 8
"""Lengths that a memory can tell apart."""

_LIMITS = {"embedding_size": 4096, "hidden_size": 8192, "layers": 16}


class ArchitectureError(ValueError):
    """A description of a network that cannot be built."""


@dataclass(frozen=True)
class Architecture:
    """embedding -> `layers` recurrent layers -> softmax over the alphabet.

    What is embedded is the last symbol and, summed with it, what n-grams that end there
    predict (`inputs.py`): a table look-up gives the network what can be counted, at no
    cost in arithmetic.

    From the second layer on, a layer's output is added to its input (a residual
    connection), and the softmax sees the embedding beside the last layer: both let a
    deep stack train in few passes and cost next to nothing in a step.
    """

    cell: Cell = "lstm"
    embedding_size: int = 64
    hidden_size: int = 512  # of every layer
    layers: int = 2
    ngrams: tuple[int, ...] = (3, 4, 6, 9, 14, 22)  # in symbols; () reads the last one alone
    memory: bool = True  # whether it also reads what followed them in the file and the project

    def __post_init__(self) -> None:
        if self.cell not in get_args(Cell):
            raise ArchitectureError(
                f"unknown cell {self.cell!r}; there are {', '.join(get_args(Cell))}"
            )
        for name, limit in _LIMITS.items():
            value = getattr(self, name)
            if type(value) is not int or not 1 <= value <= limit:
                raise ArchitectureError(f"{name} must be between 1 and {limit}, not {value!r}")
        if type(self.memory) is not bool:
            raise ArchitectureError(f"memory must be true or false, not {self.memory!r}")
        if self.memory and len(self.ngrams) > MAX_MEMORY_NGRAMS:
            raise ArchitectureError(
                f"with memory there may be {MAX_MEMORY_NGRAMS} ngrams, not {len(self.ngrams)}"
            )
        lengths = self.ngrams
        if not all(type(n) is int and 1 <= n <= MAX_NGRAM for n in lengths) or sorted(
            set(lengths)
        ) != list(lengths):
            raise ArchitectureError(
                f"ngrams must be rising lengths from 1 to {MAX_NGRAM}, not {lengths!r}"
            )

    @property
    def state_names(self) -> list[str]:
        """The names of the state's tensors in the exported graph: h0, c0, h1, ..."""
        return [f"{s}{i}" for i in range(self.layers) for s in STATE_NAMES[self.cell]]

    def to_dict(self) -> dict[str, Any]:
        """As it stands in a model.json."""
        return {**asdict(self), "ngrams": list(self.ngrams)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """From the `architecture` of a model.json; unknown or ill-typed keys are errors."""
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ArchitectureError(f"unknown setting {sorted(unknown)[0]!r}")
        ngrams = values.get("ngrams", cls.ngrams)
        if not isinstance(ngrams, list | tuple):
            raise ArchitectureError(f"ngrams must be a list of lengths, not {ngrams!r}")
        arguments: dict[str, Any] = {**values, "ngrams": tuple(cast(list[int], ngrams))}
        return cls(**arguments)
