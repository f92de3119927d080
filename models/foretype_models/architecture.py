"""The shape of a network: all that is needed to rebuild it around its weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple, Self, cast, get_args

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
MAX_WORDS = 8
MAX_MEMORY_ORDERS = 16
"""That a memory can tell apart."""

_LIMITS = {"embedding_size": 4096, "hidden_size": 8192, "layers": 16}


Kind = Literal["ngrams", "words", "parts", "heads", "calls"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""Of contexts (see `contexts.py`), in the order in which what they answer is read."""


class Order(NamedTuple):
    """What a context is: of this kind, and of so many symbols, words or parts."""

    kind: Kind
    length: int


Orders = tuple[Order, ...]


class ArchitectureError(ValueError):
    """A description of a network that cannot be built."""


@dataclass(frozen=True)
class Architecture:
    """embedding -> `layers` recurrent layers -> softmax over the alphabet.

    What is embedded is the last symbol and, summed with it, what the contexts that end there
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
    ngrams: tuple[int, ...] = (3, 4, 6, 9, 14, 22)  # lengths of contexts of each kind
    words: tuple[int, ...] = ()
    parts: tuple[int, ...] = ()
    heads: tuple[int, ...] = ()
    calls: tuple[int, ...] = ()
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
        for kind in KINDS:
            _check_rising(kind, getattr(self, kind), MAX_NGRAM if kind == "ngrams" else MAX_WORDS)
        if self.memory and len(self.orders) > MAX_MEMORY_ORDERS:
            raise ArchitectureError(
                f"with memory there may be {MAX_MEMORY_ORDERS} contexts in all, of"
                f" {', '.join(KINDS)} together, not {len(self.orders)}"
            )

    @cached_property
    def orders(self) -> Orders:
        """Of all contexts whose answers are read, beside the last symbol."""
        # Asked for at every step of a network: building it takes as long as some look-ups.
        return tuple(Order(kind, length) for kind in KINDS for length in getattr(self, kind))

    def reading(self, other: Architecture) -> Self:
        """This one with the other's contexts."""
        return replace(self, **{kind: getattr(other, kind) for kind in KINDS})

    @property
    def state_names(self) -> list[str]:
        """The names of the state's tensors in the exported graph: h0, c0, h1, ..."""
        return [f"{s}{i}" for i in range(self.layers) for s in STATE_NAMES[self.cell]]

    def to_dict(self) -> dict[str, Any]:
        """As it stands in a model.json."""
        return {**asdict(self), **{kind: list(getattr(self, kind)) for kind in KINDS}}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """From the `architecture` of a model.json; unknown or ill-typed keys are errors."""
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ArchitectureError(f"unknown setting {sorted(unknown)[0]!r}")
        arguments = dict(values)
        for kind in KINDS:
            given = values.get(kind, getattr(cls, kind))
            if not isinstance(given, list | tuple):
                raise ArchitectureError(f"{kind} must be a list of lengths, not {given!r}")
            arguments[kind] = tuple(cast(list[int], given))
        return cls(**arguments)


def _check_rising(name: str, lengths: tuple[int, ...], most: int) -> None:
    right = all(type(n) is int and 1 <= n <= most for n in lengths)
    if not right or sorted(set(lengths)) != list(lengths):
        raise ArchitectureError(f"{name} must be rising lengths from 1 to {most}, not {lengths!r}")
