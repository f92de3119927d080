"""Runs a bundle's network with ONNX Runtime: symbols in, log-probabilities out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from foretype_models import alphabet, inputs
from foretype_models.alphabet import Symbols
from foretype_models.architecture import Architecture
from foretype_models.bundle import NETWORKS, Bundle, BundleError, Precision
from foretype_models.inputs import NO_MEMORIES, Memories, side_by_side
from foretype_models.words import NOTHING, Recent, Words

_NO_OTHERS = nullcontext()

LogProbs = npt.NDArray[np.float32]
"""Natural logarithms of probabilities."""
_Outputs = list[npt.NDArray[np.float32]]

_CHUNK = 256  # symbols read in one run; longer ones gain nothing
_TOLERANCE: dict[Precision, float] = {"fp32": 1e-3, "int8": 0.05}
"""How far, in bits per character, the self-test may be off. int8 rounds its activations,
and how depends on the processor."""

GUARDS = 2
"""So many units more has each layer of an int8 network: their hidden states are always the
largest and the smallest there can be, so that activations are rounded by the same range
whatever is read."""
_HELD = np.append(np.linspace(7, 9.5, 500), (8.47554016, 8.52989388, 8.63546181)).astype(np.float32)
"""What guards may hold in their cells. ONNX Runtime approximates tanh: its largest value is
not 1, nor where the argument is largest, and few arguments have it; the last ones here do on
processors with AVX-512."""


@dataclass(frozen=True)
class State:
    """All that a network has read, for a batch of texts. Never changed once it is there.

    `tensors` are float32 of shape (batch, hidden), in the order of
    `Architecture.state_names`, for an int8 network wider by its guards; `context` is int64
    of shape (reach of its contexts - 1, batch); `recent` is what there is to point at in each text.
    """

    tensors: tuple[npt.NDArray[np.float32], ...]
    context: Symbols
    recent: tuple[Recent, ...]

    @property
    def batch(self) -> int:
        return self.tensors[0].shape[0]

    @property
    def words(self) -> Iterator[Words]:
        """Those that it shares with the states of texts that begin the same; `nbytes` leaves
        them out."""
        return (words for recent in self.recent for words in recent.sealed)

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in (self.context, *self.tensors, *self.recent))

    def take(self, indices: list[int]) -> State:
        """The states of these texts of the batch, in this order; one may be taken twice."""
        if indices == list(range(self.batch)):
            return self
        recent = tuple(self.recent[index] for index in indices)
        return State(tuple(t[indices] for t in self.tensors), self.context[:, indices], recent)

    def apart(self) -> State:
        """The same for who keeps it: what was read beside it is not kept with it."""
        tensors, recent = (t.copy() for t in self.tensors), (r.apart() for r in self.recent)
        return State(tuple(tensors), self.context.copy(), tuple(recent))

    @classmethod
    def joined(cls, states: Sequence[State]) -> State:
        """Those of several batches in one."""
        tensors = zip(*(state.tensors for state in states), strict=True)
        context = np.concatenate([state.context for state in states], axis=1)
        recent = tuple(recent for state in states for recent in state.recent)
        return cls(tuple(np.concatenate(t) for t in tensors), context, recent)


@dataclass(frozen=True)
class Piece:
    """Symbols to be read, int64 of shape (time, batch), and what the memories say of them."""

    symbols: Symbols
    state: State
    memories: Memories = NO_MEMORIES
    only_last: bool = False  # whether what is expected after the last symbol is all that is wanted


Read = tuple[LogProbs, State]
"""The log-probabilities of the symbol after each of a piece, float32 of shape (time, batch,
alphabet), or after the last one alone (1, batch, alphabet); and the state after the last. Both
are parts of what was read together: see `State.apart`."""


@dataclass(frozen=True)
class Run:
    """What the network alone makes of symbols."""

    log_probs: LogProbs  # (time, batch, alphabet)
    hidden: npt.NDArray[np.float32]  # the sum of all layers' states, (time, batch, hidden)
    state: State  # whose `recent` is still that before the symbols


class Runtime:
    """A network that is ready to read. `read` may be called from several threads at once.

    What is read beside a text never changes what it answers for that. Of `lstm` and `gru` the
    answer is the same, bit for bit, also in whatever pieces it is read, in fp32 and in int8.
    (Other cells, and an int8 network that was made before there were guards, are given one
    text at a time.)

    Raises BundleError if the graph cannot be loaded, has other inputs and outputs than its
    description says, or fails its self-test. `self_test=False` leaves that out: who makes a
    bundle has no answers yet.
    """

    def __init__(
        self,
        bundle: Bundle,
        precision: Precision = "fp32",
        threads: int = 1,
        self_test: bool = True,
    ) -> None:
        self.description = bundle.description
        self.precision: Precision = precision
        self._ngrams = bundle.ngrams()
        self._pointer = bundle.pointer()
        self._session = _session(bundle, precision, threads)
        self._guards = _guards(self._session, self.architecture) if precision == "int8" else 0
        self._outputs = [output.name for output in cast(Any, self._session).get_outputs()]
        _check_shapes(self._session, self.architecture, self._guards, NETWORKS[precision])
        self._guarded = self._guard_states() if self._guards else (0.0, 0.0)
        self.is_exact = self.architecture.cell in ("lstm", "gru") and (
            precision == "fp32" or self._guards > 0
        )
        """Whether the answer is the same whatever pieces a text is read in, and beside what."""
        if self_test:
            self._self_test()

    @property
    def architecture(self) -> Architecture:
        return self.description.architecture

    def initial_state(self, batch: int = 1) -> State:
        """The state before anything was read."""
        hidden = self.architecture.hidden_size
        tensors: list[npt.NDArray[np.float32]] = []
        for name in self.architecture.state_names:
            tensor = np.zeros((batch, hidden + self._guards), dtype=np.float32)
            if self._guards:
                tensor[:, hidden:] = np.array((1, -1)) * self._guarded[name[0] == "c"]
            tensors.append(tensor)
        context = inputs.initial_context(self.architecture, batch)
        return State(tuple(tensors), context, (NOTHING,) * batch)

    def _guard_states(self) -> tuple[float, float]:
        """The hidden and the cell state at which a guard stays, of all the largest hidden
        state: a step from many cell states tells."""
        hidden = self.architecture.hidden_size
        feeds: dict[str, npt.NDArray[Any]] = {
            name: np.zeros((1, len(_HELD), hidden + self._guards), dtype=np.float32)
            for name in self.architecture.state_names
        }
        feeds["c0"][0, :, hidden] = _HELD
        width = inputs.features(self.architecture)
        feeds["rows"] = np.zeros((1, len(_HELD), width), dtype=np.int64)
        [[shown]] = cast(_Outputs, self._session.run(["h0_out"], feeds))
        best = int(shown[:, hidden].argmax())
        return float(shown[best, hidden]), float(_HELD[best])

    def read(self, symbols: Symbols, state: State, memories: Memories = NO_MEMORIES) -> Read:
        """Reads one piece."""
        return self.read_together([Piece(symbols, state, memories)])[0]

    def read_together(
        self, pieces: Sequence[Piece], running: AbstractContextManager[None] = _NO_OTHERS
    ) -> list[Read]:
        """Reads pieces, which have as many symbols one as the other, in one run; `running` is
        entered while the network runs and no Python code does."""
        if len(pieces) > 1 and not self.is_exact:
            return [read for piece in pieces for read in self.read_together([piece], running)]
        lanes = [piece.state.batch for piece in pieces]
        if len(pieces) == 1:
            [piece] = pieces
            run = self.run(piece.symbols, piece.state, piece.memories, running)
        else:
            run = self.run(
                np.concatenate([piece.symbols for piece in pieces], axis=1),
                State.joined([piece.state for piece in pieces]),
                side_by_side([piece.memories for piece in pieces], lanes),
                running,
            )
        read: list[Read] = []
        for piece, last, number in zip(pieces, accumulate(lanes), lanes, strict=True):
            read.append(self._own(piece, run, slice(last - number, last)))
        return read

    def run(
        self,
        symbols: Symbols,
        state: State,
        memories: Memories = NO_MEMORIES,
        running: AbstractContextManager[None] = _NO_OTHERS,
    ) -> Run:
        """What the network alone says, with nothing that is pointed at."""
        rows, context = inputs.encode(
            self.architecture, self._ngrams, state.context, symbols, memories
        )
        expected: list[LogProbs] = []
        shown: list[npt.NDArray[np.float32]] = []
        tensors = [tensor[None] for tensor in state.tensors]
        for start in range(0, len(rows), _CHUNK):
            feeds: dict[str, npt.NDArray[Any]] = {"rows": rows[start : start + _CHUNK]}
            feeds.update(zip(self.architecture.state_names, tensors, strict=True))
            with running:
                outputs = cast(_Outputs, self._session.run(self._outputs, feeds))
            log_probs, *tensors, hidden = outputs
            expected.append(log_probs)
            shown.append(hidden[..., : self.architecture.hidden_size])
        after = State(tuple(tensor[0] for tensor in tensors), context, state.recent)
        return Run(_joined(expected), _joined(shown), after)

    def _own(self, piece: Piece, run: Run, own: slice) -> Read:
        """What of a run is a piece's, with what it points at."""
        state = run.state
        tensors, context, recent = state.tensors, state.context, piece.state.recent
        if own != slice(0, state.batch):
            tensors, context = tuple(tensor[own] for tensor in tensors), context[:, own]
        log_probs = run.log_probs[-1:, own] if piece.only_last else run.log_probs[:, own]
        # What stands in the file is pointed at where the file is remembered.
        if self._pointer is not None and piece.memories.file is not None:
            followed = [
                self._pointer.follow(
                    piece.symbols[:, lane],
                    run.log_probs[:, own.start + lane],
                    run.hidden[:, own.start + lane],
                    before,
                    piece.only_last,
                )
                for lane, before in enumerate(recent)
            ]
            expected = [expected for expected, _ in followed]
            log_probs = expected[0][:, None] if len(expected) == 1 else np.stack(expected, axis=1)
            recent = tuple(after for _, after in followed)
        return log_probs, State(tensors, context, recent)

    def score(self, path: str, text: bytes) -> npt.NDArray[np.float64]:
        """The bits of each byte of a text, given its path and the bytes before it."""
        before, within = alphabet.encode_path(path), alphabet.encode(text)
        log_probs, _ = self.read(np.concatenate((before, within))[:-1, None], self.initial_state())
        own = log_probs[len(before) - 1 :, 0, :]
        return -own[np.arange(len(within)), within].astype(np.float64) / np.log(2)

    def _self_test(self) -> None:
        test = self.description.self_test
        name = NETWORKS[self.precision]
        if self.precision not in test.bits:
            raise BundleError(f"the model {self.description.name!r} has no self-test for {name}")
        try:
            bits = float(self.score(test.path, test.text.encode()).mean())
        except Exception as error:  # as in `_session`
            reason = str(error).partition("\n")[0]
            raise BundleError(f"{name} cannot be run: {reason}") from error
        if not abs(bits - test.bits[self.precision]) <= _TOLERANCE[self.precision]:
            raise BundleError(
                f"the model {self.description.name!r} fails its self-test: {name} gives"
                f" {bits:.4f} bits per character where {test.bits[self.precision]:.4f} are right"
            )


def _joined(parts: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _session(bundle: Bundle, precision: Precision, threads: int) -> ort.InferenceSession:
    options: Any = cast(Any, ort).SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # An idle server must use no processor time: spinning threads wait by burning it.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # a failure is raised, and said once
    data = bundle.network(precision)
    try:
        return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime's errors have no common class of their own
        reason = str(error).splitlines()[0]
        raise BundleError(f"{NETWORKS[precision]} cannot be loaded: {reason}") from error


def _guards(session: ort.InferenceSession, architecture: Architecture) -> int:
    """How many an int8 network has; what is neither none nor GUARDS has another shape."""
    widths = {i.name: i.shape[-1] for i in cast(Any, session).get_inputs()}
    guarded = architecture.hidden_size + GUARDS
    return GUARDS if widths.get(architecture.state_names[0]) == guarded else 0


def _check_shapes(
    session: ort.InferenceSession, architecture: Architecture, guards: int, name: str
) -> None:
    hidden = architecture.hidden_size + guards
    states = [(state, 3, hidden) for state in architecture.state_names]
    expected_inputs = [("rows", 3, inputs.features(architecture)), *states]
    expected_outputs = [
        ("log_probs", 3, alphabet.SIZE),
        *((f"{s}_out", 3, hidden) for s, *_ in states),
        ("hidden", 3, hidden),
    ]
    given_inputs: list[Any] = list(cast(Any, session).get_inputs())
    given_outputs: list[Any] = list(cast(Any, session).get_outputs())
    for kind, given, expected in (
        ("inputs", given_inputs, expected_inputs),
        ("outputs", given_outputs, expected_outputs),
    ):
        found = [(a.name, len(a.shape), *a.shape[-1:]) for a in given]
        if found != expected:
            raise BundleError(f"the {kind} of {name} are {found}, not {expected} as described")
