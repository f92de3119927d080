"""The measure of a network, and what calibration does to it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from foretype_models import alphabet, inputs
from foretype_models.architecture import Architecture
from foretype_models.inputs import Memories, Ngrams
from foretype_models.memory import TextMemory
from foretype_models.network import Network
from foretype_models.runtime import Runtime
from foretype_training.bundling import Identity, make_bundle
from foretype_training.corpus import SourceFile, sample, symbols
from foretype_training.measure import bits_per_character as measured_bits
from foretype_training.measure import measure
from foretype_training.ngrams import count
from foretype_training.reader import TEMPERATURES, Reader, bits_per_character, calibrate
from foretype_training.texts import Text
from foretype_training.windows import Lanes

JAVA = (Path(__file__).parent / "Inventory.java").read_bytes()
FILES = [
    SourceFile("Inventory.java", JAVA[:900]),
    SourceFile("p/" * 200 + "Deep.java", JAVA[900:1200]),  # a path longer than a window
    SourceFile("Short.java", b"x"),
]
EMPTY = Ngrams.empty()
TEXTS = [Text(file, EMPTY) for file in symbols(FILES)]


READING = Architecture(embedding_size=8, hidden_size=16, layers=2, ngrams=(2, 3))


def _table(text: bytes) -> Ngrams:
    [file] = symbols([SourceFile("Other.java", text)])
    return count(READING, [file, file], Ngrams.empty(), [0, 1], min_count=1).table


def test_texts_are_read_window_by_window_as_at_once() -> None:
    """Each with its table and its memories, side by side and one after the other."""
    torch.manual_seed(3)
    network = Network(READING).eval()
    table, project = _table(JAVA[300:900]), _table(JAVA[800:2000])
    long, deep, short = symbols(FILES)
    texts = [
        Text(long, table, project, own_memory=True),
        Text(deep, table, own_memory=True),
        Text(short, table, project),
        Text(long[:300], EMPTY),
        Text(deep, EMPTY, project),
    ]
    expected = [_at_once(network, text) for text in texts]
    reader, read = Reader(network, texts, lanes=2), 0
    for window in Lanes([text.symbols for text in texts], 2, length=16, seed=None, epochs=1):
        with torch.no_grad():
            logits = reader.logits(window, "fp32")
        files: list[int] = window.files.tolist()
        for lane, file in enumerate(files):
            if file >= 0:
                of_text = expected[file][window.offsets[lane] :][: len(logits)]
                torch.testing.assert_close(logits[: len(of_text), lane], of_text)
                read += len(of_text)
    assert read == sum(map(len, expected))


def _at_once(network: Network, text: Text) -> torch.Tensor:
    """The logits after each symbol but the last, which nothing follows."""
    length = len(text.symbols) - 1
    own = TextMemory(READING.orders, text.symbols).along(0, length) if text.own_memory else None
    start = inputs.initial_context(READING, 1)
    memories = Memories(text.project, own)
    lane = text.symbols[:length, None]
    rows, _ = inputs.encode(READING, text.table, start, lane, memories)
    with torch.no_grad():
        return network(torch.from_numpy(rows), network.initial_state(1))[0][:, 0]


def _network(sureness: float) -> Network:
    """Untrained, and too sure of itself or not enough."""
    torch.manual_seed(3)
    network = Network(Architecture("gru", embedding_size=8, hidden_size=16, layers=1, ngrams=()))
    with torch.no_grad():
        network.output.weight.mul_(sureness)
        network.output.bias.mul_(sureness)
    return network.eval()


@given(sureness=st.floats(0.1, 40))
@settings(max_examples=15)
def test_calibration_never_worsens_the_bits_of_its_files(sureness: float) -> None:
    network = _network(sureness)
    before = bits_per_character(network, TEXTS)
    calibration = calibrate(network, TEXTS)
    calibration.apply(network)
    assert calibration.temperature in TEMPERATURES
    after = bits_per_character(network, TEXTS)
    assert after == pytest.approx(calibration.bits, abs=1e-5)
    assert after <= before + 1e-5
    assert calibration.temperature != 1 or after == pytest.approx(before)


def test_a_network_that_is_too_sure_is_damped_once_and_then_left_alone() -> None:
    network = _network(20.0)
    logits = network.output.weight.clone()
    taken = 1.0
    while (calibration := calibrate(network, TEXTS)).temperature != 1:
        assert calibration.temperature > 1
        calibration.apply(network)
        taken *= calibration.temperature
    torch.testing.assert_close(network.output.weight, logits / taken)
    assert taken > 1
    left = network.output.weight.clone()
    calibration = calibrate(network, TEXTS)
    assert calibration.temperature == 1
    calibration.apply(network)
    assert torch.equal(network.output.weight, left)


@pytest.mark.parametrize("lanes", [1, 2, 32])
def test_bits_do_not_depend_on_what_is_read_side_by_side(lanes: int) -> None:
    network = _network(5.0)
    lengths = [len(file.text) for file in FILES]
    alone = [
        bits_per_character(network, [text]) * length
        for text, length in zip(TEXTS, lengths, strict=True)
    ]
    together = bits_per_character(network, TEXTS, lanes=lanes)
    assert together == pytest.approx(sum(alone) / sum(lengths), abs=1e-5)


def test_the_bundle_is_measured_as_the_network_is() -> None:
    network = _network(5.0)
    made = make_bundle(network, EMPTY, Identity("test", "", 1, {}), FILES)
    runtime = Runtime(made)
    told: list[int] = []
    by_file = measure(runtime, FILES, progress=told.append)
    for file, bits in zip(FILES, by_file, strict=True):
        assert (bits.file, bits.characters) == (file, len(file.text))
        scored = float(runtime.score(file.path, file.text).sum())
        assert bits.bits.sum() == pytest.approx(scored, abs=1e-3)
        assert bits.bpc == pytest.approx(scored / len(file.text), abs=1e-3)
    expected = bits_per_character(network, TEXTS)
    assert measured_bits(by_file) == pytest.approx(expected, abs=1e-4)
    assert told == sorted(told)
    assert told[-1] == sum(len(file.text) for file in FILES)


def test_a_network_that_knows_nothing_needs_the_bits_of_the_alphabet() -> None:
    network = _network(0.0)
    bits = bits_per_character(network, TEXTS)
    assert 2**bits == pytest.approx(alphabet.SIZE, rel=1e-4)


def test_a_sample_is_whole_files_within_the_bound_and_the_same_every_time() -> None:
    files = [SourceFile(f"{n}.java", b"x" * 10) for n in range(10)]
    chosen = sample(files, 35)
    assert len(chosen) == 3
    assert chosen == sorted(chosen, key=lambda file: file.path)
    assert sample(files[::-1], 35) == chosen
    assert len(sample(files, 5)) == 1
    assert len(sample(files, 1000)) == 10
