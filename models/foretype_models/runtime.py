"""Runs a bundle's network with ONNX Runtime: symbols in, log-probabilities out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from foretype_models import alphabet, inputs
from foretype_models.alphabet import Symbols
from foretype_models.architecture import Architecture
from foretype_models.bundle import NETWORKS, Bundle, BundleError, Precision
from foretype_models.inputs import NO_MEMORIES, Memories

LogProbs = npt.NDArray[np.float32]
_Outputs = list[npt.NDArray[np.float32]]

_CHUNK = 256  # symbols read in one run; longer ones gain nothing
_TOLERANCE: dict[Precision, float] = {"fp32": 1e-3, "int8": 0.05}
"""How far, in bits per character, the self-test may be off. int8 rounds its activations,
and how depends on the processor."""


@dataclass(frozen=True)
class State:
    """All that a network has read, for a batch of texts. Never changed once it is there.

    `tensors` are float32 of shape (batch, hidden), in the order of
    `Architecture.state_names`; `context` is int64 of shape (longest n-gram - 1, batch).
    """

    tensors: tuple[npt.NDArray[np.float32], ...]
    context: Symbols

    @property
    def batch(self) -> int:
        return self.tensors[0].shape[0]

    @property
    def nbytes(self) -> int:
        return self.context.nbytes + sum(tensor.nbytes for tensor in self.tensors)

    def take(self, indices: list[int]) -> State:
        """The states of these texts of the batch, in this order; one may be taken twice."""
        return State(tuple(t[indices] for t in self.tensors), self.context[:, indices])


class Runtime:
    """A network that is ready to read. `read` may be called from several threads at once.

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
        self._session = _session(bundle, precision, threads)
        _check_shapes(self._session, self.architecture, NETWORKS[precision])
        if self_test:
            self._self_test()

    @property
    def architecture(self) -> Architecture:
        return self.description.architecture

    def initial_state(self, batch: int = 1) -> State:
        """The state before anything was read."""
        shape = (batch, self.architecture.hidden_size)
        return State(
            tuple(np.zeros(shape, dtype=np.float32) for _ in self.architecture.state_names),
            inputs.initial_context(self.architecture, batch),
        )

    def read(
        self, symbols: Symbols, state: State, memories: Memories = NO_MEMORIES
    ) -> tuple[LogProbs, State]:
        """Reads `symbols`, int64 of shape (time, batch), and what the memories say of them.

        Returns the natural logarithms of the probabilities of the symbol after each, float32
        of shape (time, batch, alphabet), and the state after the last.
        """
        rows, context = inputs.encode(
            self.architecture, self._ngrams, state.context, symbols, memories
        )
        parts: list[LogProbs] = []
        tensors = state.tensors
        for start in range(0, len(rows), _CHUNK):
            feeds: dict[str, npt.NDArray[Any]] = {"rows": rows[start : start + _CHUNK]}
            feeds.update(zip(self.architecture.state_names, tensors, strict=True))
            log_probs, *tensors = cast(_Outputs, self._session.run(None, feeds))
            parts.append(log_probs)
        log_probs = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return log_probs, State(tuple(tensors), context)

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


def _check_shapes(session: ort.InferenceSession, architecture: Architecture, name: str) -> None:
    hidden = architecture.hidden_size
    states = [(state, 2, hidden) for state in architecture.state_names]
    expected_inputs = [("rows", 3, inputs.features(architecture)), *states]
    expected_outputs = [
        ("log_probs", 3, alphabet.SIZE),
        *((f"{s}_out", 2, hidden) for s, *_ in states),
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
