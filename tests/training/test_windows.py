"""Files side by side: each symbol of each text is learned once an epoch, from a fresh start."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from foretype_models import alphabet
from foretype_models.alphabet import END_OF_FILE, Symbols
from foretype_training.windows import IGNORED, Lanes, Window

paths = st.text("abc/", min_size=1, max_size=12)  # often longer than a window
files = st.lists(
    st.builds(alphabet.encode_file, paths, st.binary(max_size=20)), min_size=1, max_size=6
)
lane_counts = st.integers(1, 4)
window_lengths = st.integers(1, 9)
seeds = st.none() | st.integers(0, 9)


class Listener:
    """Puts together again what the windows hold, lane by lane."""

    def __init__(self, lanes: int) -> None:
        self.read: list[tuple[int, list[int], list[int]]] = []  # file, symbols, targets
        self._open: list[tuple[int, list[int], list[int]] | None] = [None] * lanes

    def hear(self, window: Window) -> None:
        for lane, file in enumerate(window.files):
            if window.starts[lane]:
                self._open[lane] = None
                if file >= 0:
                    self.read.append((int(file), [], []))
                    self._open[lane] = self.read[-1]
            if file < 0:
                assert (window.targets[:, lane] == IGNORED).all()
                continue
            of_file = self._open[lane]
            assert of_file is not None
            assert of_file[0] == file  # a lane never changes its file without a start
            of_file[1].extend(window.symbols[:, lane].tolist())
            of_file[2].extend(window.targets[:, lane].tolist())


def _expected(file: Symbols) -> tuple[list[int], list[int]]:
    """What is read of a file, and what is to be told after each symbol."""
    symbols = file.tolist()
    end_of_path = symbols.index(alphabet.END_OF_PATH)
    return symbols[:-1], [IGNORED] * end_of_path + symbols[end_of_path + 1 :]


@given(files, lane_counts, window_lengths, seeds, st.integers(1, 3))
def test_every_symbol_of_every_text_is_a_target_once_in_each_epoch(
    files: list[Symbols], lanes: int, length: int, seed: int | None, epochs: int
) -> None:
    listener = Listener(lanes)
    for window in Lanes(files, lanes, length, seed, epochs):
        assert window.symbols.shape == window.targets.shape == (length, lanes)
        assert (window.files >= 0).any()
        listener.hear(window)
    heard = [number for number, _, _ in listener.read]
    for epoch in range(epochs):
        start = epoch * len(files)
        assert sorted(heard[start : start + len(files)]) == list(range(len(files)))
    assert len(heard) == epochs * len(files)
    for number, symbols, targets in listener.read:
        expected_symbols, expected_targets = _expected(files[number])
        count = len(expected_symbols)
        assert symbols[:count] == expected_symbols
        assert targets[:count] == expected_targets
        # What is left of the last window counts for nothing.
        assert set(symbols[count:]) <= {END_OF_FILE}
        assert set(targets[count:]) <= {IGNORED}
        assert len(symbols) - count < length


def _first(lanes: Lanes, count: int) -> list[Window]:
    return list(itertools.islice(lanes, count))


def _equal(one: Window, other: Window) -> bool:
    return all(np.array_equal(vars(one)[name], vars(other)[name]) for name in vars(one))


@given(files, lane_counts, window_lengths, seeds, st.integers(0, 30))
def test_seeking_a_position_goes_on_exactly_there(
    files: list[Symbols], lanes: int, length: int, seed: int | None, read: int
) -> None:
    stream = Lanes(files, lanes, length, seed)
    _first(stream, read)
    position: dict[str, Any] = json.loads(json.dumps(stream.position))
    other = Lanes(files, lanes, length, seed)
    other.seek(**position)
    for one, same in zip(_first(stream, 10), _first(other, 10), strict=True):
        assert _equal(one, same)


def test_without_a_bound_the_stream_is_endless() -> None:
    files = [alphabet.encode_file("a", b"b")]
    assert len(_first(Lanes(files, 3, 4, seed=1), 1000)) == 1000


def test_each_epoch_has_an_order_of_its_own_and_a_seed_decides_them() -> None:
    files = [alphabet.encode_file(str(number), b"x") for number in range(20)]

    def order(seed: int) -> list[int]:
        return [int(window.files[0]) for window in Lanes(files, 1, 64, seed, epochs=2)]

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert order(1)[:20] != order(1)[20:]
    assert [int(w.files[0]) for w in Lanes(files, 1, 64, None, 1)] == list(range(20))
