"""What is exported says what was trained: every cell, every step, on a real Java text."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import cast, get_args

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.numpy import load

from foretype_models import alphabet, inputs
from foretype_models.alphabet import Symbols
from foretype_models.architecture import Architecture, Cell
from foretype_models.bundle import WEIGHTS, Bundle, Precision
from foretype_models.inputs import Ngrams
from foretype_models.network import LSTMLayer, Network, PeepholeLayer
from foretype_models.runtime import Piece, Runtime, State
from foretype_training import bundling, ngrams
from foretype_training.bundling import TOLERANCE, Identity, check_agreement, make_bundle
from foretype_training.corpus import SourceFile
from foretype_training.errors import TrainingError

FILE = SourceFile(
    "src/main/java/org/example/shop/Inventory.java",
    (Path(__file__).parent / "Inventory.java").read_bytes(),
)
SYMBOLS: Symbols = alphabet.encode_file(FILE.path, FILE.text)[:-1, None]
CELLS: tuple[Cell, ...] = get_args(Cell)
FACTS = Identity("test", "java", 1, {})


@cache
def _network(cell: Cell) -> tuple[Network, Ngrams, Bundle]:
    """An untrained network with weights that make its answers differ, and its bundle."""
    torch.manual_seed(0)
    shape = Architecture(cell, embedding_size=8, hidden_size=16, layers=2, ngrams=(2, 5))
    network = Network(shape).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2)
    files = [alphabet.encode_file(FILE.path, FILE.text), alphabet.encode_file("b", FILE.text)]
    table = ngrams.count(shape, files, Ngrams.empty(), ngrams.by_file(files)).table
    return network, table, make_bundle(network, table, FACTS, [FILE])


def _by_torch(network: Network, table: Ngrams) -> npt.NDArray[np.float32]:
    """Step by step, the state carried by hand: (time, alphabet)."""
    state = network.initial_state(1)
    context = inputs.initial_context(network.architecture, 1)
    steps: list[npt.NDArray[np.float32]] = []
    for symbol in SYMBOLS:
        rows, context = inputs.encode(network.architecture, table, context, symbol[None])
        with torch.no_grad():
            logits, state = network(torch.from_numpy(rows), state)
        steps.append(torch.log_softmax(logits, -1)[0, 0].numpy())
    return np.stack(steps)


def _by_runtime(runtime: Runtime) -> npt.NDArray[np.float32]:
    state = runtime.initial_state()
    steps: list[npt.NDArray[np.float32]] = []
    for symbol in SYMBOLS:
        log_probs, state = runtime.read(symbol[None], state)
        steps.append(log_probs[0, 0])
    return np.stack(steps)


@pytest.mark.parametrize("cell", CELLS)
def test_torch_and_the_exported_network_agree_at_every_step(cell: Cell) -> None:
    network, table, made = _network(cell)
    expected = _by_torch(network, table)
    assert expected.std() > 0.1  # a network that says something
    np.testing.assert_allclose(_by_runtime(Runtime(made)), expected, rtol=0, atol=TOLERANCE)


RUNTIMES: list[tuple[Cell, Precision]] = [
    *((cell, "fp32") for cell in CELLS),
    ("lstm", "int8"),
    ("peephole", "int8"),
]
EXACT = [("lstm", "fp32"), ("lstm", "int8"), ("gru", "fp32")]
"""Whose operators add up in one order, however many texts and symbols there are."""


@pytest.mark.parametrize(("cell", "precision"), EXACT)
def test_reading_at_once_is_reading_step_by_step(cell: Cell, precision: Precision) -> None:
    runtime = Runtime(_network(cell)[2], precision)
    at_once, state = runtime.read(SYMBOLS, runtime.initial_state())
    np.testing.assert_array_equal(at_once[:, 0], _by_runtime(runtime))
    assert len(state.tensors) == len(runtime.architecture.state_names)


@pytest.mark.parametrize(("cell", "precision"), EXACT)
def test_a_text_is_read_among_others_as_it_is_alone(cell: Cell, precision: Precision) -> None:
    runtime = Runtime(_network(cell)[2], precision)
    together, state = _among(runtime, SYMBOLS[::-1])
    alone, state_alone = runtime.read(SYMBOLS, runtime.initial_state())
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(state.tensors, state_alone.tensors)


@pytest.mark.parametrize(("cell", "precision"), RUNTIMES)
def test_what_others_write_changes_nothing(cell: Cell, precision: Precision) -> None:
    runtime = Runtime(_network(cell)[2], precision)
    quiet, loud = np.zeros_like(SYMBOLS), SYMBOLS[::-1]
    beside_one, _ = _among(runtime, quiet)
    beside_another, _ = _among(runtime, loud)
    np.testing.assert_array_equal(beside_one, beside_another)


def test_what_is_kept_of_one_text_does_not_keep_the_others() -> None:
    _, state = _among(Runtime(_network("lstm")[2]), SYMBOLS)
    kept = state.apart()
    assert all(tensor.base is None for tensor in (*kept.tensors, kept.context))
    np.testing.assert_array_equal(kept.tensors, state.tensors)


def test_a_saturated_unit_of_one_text_does_not_round_another() -> None:
    """Where tanh is near 1 it is above 1 for some arguments, and below for others."""
    torch.manual_seed(0)
    network = Network(Architecture("lstm", embedding_size=8, hidden_size=16, ngrams=())).eval()
    for name, weight in network.named_parameters():
        if name.startswith("layers."):
            gates = weight.detach().view(4, 16, -1)[:, 0]  # of one unit: i, f, g, o
            gates.zero_()
            if name.endswith("bias_ih_l0"):  # its cell rises by so much with every symbol
                gates[:, 0] = torch.tensor([30, 30, 0.0125, 30])
    made = make_bundle(network, Ngrams.empty(), FACTS, [FILE])
    runtime = Runtime(made, "int8")
    _, state = runtime.read(np.resize(SYMBOLS, (640, 1)), runtime.initial_state())
    assert 7.9 < state.tensors[1][0, 0] < 8.1
    fresh = Piece(SYMBOLS[:25], runtime.initial_state())
    [(alone, state_alone)] = runtime.read_together([fresh])
    for _ in range(4):  # up to a cell of 9
        (_, state), (beside, state_beside) = runtime.read_together(
            [Piece(SYMBOLS[:25], state), fresh]
        )
        np.testing.assert_array_equal(beside, alone)
        np.testing.assert_array_equal(state_beside.tensors, state_alone.tensors)


def _among(runtime: Runtime, others: Symbols) -> tuple[npt.NDArray[np.float32], State]:
    """The text read between two others."""
    pieces = [Piece(text, runtime.initial_state()) for text in (others, SYMBOLS, others)]
    return runtime.read_together(pieces)[1]


@pytest.mark.parametrize("cell", CELLS)
def test_the_probabilities_sum_to_one(cell: Cell) -> None:
    runtime = Runtime(_network(cell)[2])
    log_probs, _ = runtime.read(SYMBOLS, runtime.initial_state())
    np.testing.assert_allclose(np.exp(log_probs).sum(-1), 1, atol=1e-4)


@pytest.mark.parametrize("cell", CELLS)
def test_int8_is_there_where_the_cell_has_a_fused_operator_and_it_costs_little(cell: Cell) -> None:
    made = _network(cell)[2]
    bpc = made.description.quality["bpc"]
    assert ("int8" in made.precisions) == (cell in {"lstm", "peephole"})
    assert made.description.quality["int8_shipped"] == ("int8" in made.precisions)
    if "int8" in made.precisions:
        assert bpc["int8"] - bpc["fp32"] < bundling.INT8_LOSS
        scored = Runtime(made, "int8").score(FILE.path, FILE.text).mean()
        assert scored == pytest.approx(bpc["int8"], abs=0.01)
        embeddings = load(made.files[WEIGHTS])["embedding.weight"]  # have 16 bits, not 8
        small = len(made.network("int8")) - embeddings.size
        assert small < 0.6 * len(made.network("fp32"))


def test_an_expensive_int8_stays_at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    network, table, _ = _network("lstm")
    monkeypatch.setattr(bundling, "INT8_LOSS", -1.0)
    made = make_bundle(network, table, FACTS, [FILE])
    assert made.precisions == ["fp32"]
    assert set(made.description.self_test.bits) == {"fp32"}
    assert made.description.quality["int8_limit_bpc"] == -1


@pytest.mark.parametrize("cell", CELLS)
def test_the_operators_are_the_fused_ones(cell: Cell) -> None:
    fused = {"lstm": b"LSTM", "peephole": b"LSTM", "gru": b"GRU", "rnn": b"RNN"}[cell]
    made = _network(cell)[2]
    assert made.network("fp32").count(fused) == made.description.architecture.layers


def test_an_export_that_differs_is_not_bundled() -> None:
    network, table, made = _network("gru")
    other = Network(network.architecture).eval()
    with pytest.raises(TrainingError, match="the exported network differs from the trained one"):
        check_agreement(other, table, Runtime(made), FILE)


def test_the_version_follows_what_was_learned() -> None:
    network, table, made = _network("rnn")
    again = make_bundle(network, table, FACTS, [FILE])
    assert again.description.version == made.description.version
    assert again.files == made.files
    without = make_bundle(network, Ngrams.empty(), FACTS, [FILE])
    assert without.description.version != made.description.version


def test_the_bundles_weights_are_those_of_the_network() -> None:
    from safetensors.torch import load

    network, _, made = _network("lstm")
    weights = load(made.files["weights.safetensors"])
    assert weights.keys() == network.state_dict().keys()
    assert all(torch.equal(weights[name], w) for name, w in network.state_dict().items())


def test_a_peephole_layer_that_does_not_peep_is_an_lstm_layer() -> None:
    torch.manual_seed(1)
    lstm, peephole = LSTMLayer(3, 5), PeepholeLayer(3, 5)
    fused = {name: weight.detach() for name, weight in lstm.fused.named_parameters()}
    with torch.no_grad():
        peephole.weight_ih.copy_(fused["weight_ih_l0"])
        peephole.weight_hh.copy_(fused["weight_hh_l0"])
        peephole.bias.copy_(fused["bias_ih_l0"] + fused["bias_hh_l0"])
        peephole.peephole.zero_()
    x, state = torch.randn(7, 2, 3), (torch.randn(2, 5), torch.randn(2, 5))
    (expected, expected_state), (given, given_state) = lstm(x, state), peephole(x, state)
    torch.testing.assert_close(given, expected)
    torch.testing.assert_close(given_state, expected_state)


def test_dropout_uses_one_mask_for_all_steps_and_none_outside_training() -> None:
    shape = Architecture("rnn", embedding_size=4, hidden_size=64, layers=1, ngrams=())
    network = Network(shape, dropout=0.5)
    ones = torch.ones(6, 2, 64)
    dropped = network._drop(ones)  # pyright: ignore[reportPrivateUsage]
    values = cast(list[float], dropped.flatten().tolist())
    assert set(values) == {0.0, 2.0}
    assert (dropped == dropped[0]).all()
    network.eval()
    rows = torch.zeros(3, 1, 1, dtype=torch.int64)
    first, _ = network(rows, network.initial_state(1))
    again, _ = network(rows, network.initial_state(1))
    assert torch.equal(first, again)
