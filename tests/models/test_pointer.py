"""What is expected after a text, beside a network that says anything at all."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretype_models import alphabet, pointer
from foretype_models.inputs import Memories
from foretype_models.memory import TextMemory
from foretype_models.pointer import Pointer
from foretype_models.runtime import Piece, Runtime
from foretype_models.words import BEGINS, IS_WORD, LONGEST, NOTHING, SEALED, WINDOW, Recent
from tests.server.work import PATH, PREFIX

HIDDEN, WIDTH, GATE = 6, 4, 3
TEXT = b"\nint zoo = cage; zoo.open(cage); 0x1F zoom = z"

texts = st.text("ab1 ;\n", max_size=200).map(str.encode)


def _pointer(gate: float = 0.0) -> Pointer:
    """One that was not learned; with a `gate` that is nearly open, or closed."""
    rng = np.random.default_rng(1)
    shapes = pointer.shapes(HIDDEN, WIDTH, GATE).items()
    drawn = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes}
    drawn["gate_output_bias"] = np.array([gate], np.float32)
    return Pointer.from_arrays(drawn, HIDDEN)


POINTER = _pointer()


def _network(text: bytes) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """What some network says after each byte, and its hidden states."""
    rng = np.random.default_rng(len(text))
    logits = rng.normal(size=(len(text), alphabet.SIZE)) * 2
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return log_probs.astype(np.float32), rng.normal(size=(len(text), HIDDEN)).astype(np.float32)


def _follow(
    text: bytes,
    recent: Recent = NOTHING,
    start: int = 0,
    stop: int | None = None,
    by: Pointer = POINTER,
) -> tuple[npt.NDArray[np.float32], Recent]:
    """What is expected after each byte of a part of the text."""
    part = slice(start, stop)
    log_probs, hidden = _network(text)
    return by.follow(alphabet.encode(text)[part], log_probs[part], hidden[part], recent)


@given(texts, st.sampled_from([-1000.0, -5.0, 0.0, 5.0, 1000.0]))
def test_it_is_a_distribution_however_sure_the_gate(text: bytes, gate: float) -> None:
    if text:
        log_probs, hidden = _network(text)
        expected, _ = _pointer(gate).follow(alphabet.encode(text), log_probs, hidden, NOTHING)
        np.testing.assert_allclose(np.exp(expected).sum(axis=1), 1, rtol=1e-5)


@given(texts, st.integers(0, 200))
def test_a_text_in_parts_gives_the_same_to_the_last_bit(text: bytes, at: int) -> None:
    if 0 < at < len(text):
        whole, last = _follow(text)
        first, between = _follow(text, stop=at)
        second, end = _follow(text, between, start=at)
        assert np.array_equal(np.concatenate((first, second)), whole)
        assert end.word == last.word
        assert _spelled(end) == _spelled(last)


@given(texts)
def test_the_last_one_alone_is_the_same(text: bytes) -> None:
    if text:
        log_probs, hidden = _network(text)
        symbols = alphabet.encode(text)
        alone, _ = POINTER.follow(symbols, log_probs, hidden, NOTHING, only_last=True)
        assert np.array_equal(alone, _follow(text)[0][-1:])


def _spelled(recent: Recent) -> list[bytes]:
    """The words that may be pointed at."""
    words = [*recent.sealed, *([recent.words] if recent.words is not None else [])]
    return [bytes(row).rstrip(b"\0") for part in words for row in part.letters]


def test_it_points_at_the_words_of_the_text_and_at_nothing_else() -> None:
    _, recent = _follow(TEXT)
    assert _spelled(recent) == [b"int", b"zoo", b"cage", b"zoo", b"open", b"cage", b"zoom"]
    assert recent.word == b"z"


@pytest.mark.parametrize("word", [b"zoo", b"cage", b"zoom", b"int", b"new"])
def test_a_word_is_as_probable_as_the_pointer_and_the_network_say_together(word: bytes) -> None:
    before = b"int zoo = cage; zoom = "
    text = before + word + b";"
    log_probs, hidden = _network(text)
    mixed, _ = POINTER.follow(alphabet.encode(text), log_probs, hidden, NOTHING)
    _, recent = POINTER.follow(
        alphabet.encode(before), log_probs[: len(before)], hidden[: len(before)], NOTHING
    )
    assert recent.words is not None
    # By hand: the weights of the words before, and the probability that it is one of them.
    query, key, after, gate = np.split(
        hidden @ np.concatenate((POINTER.query, POINTER.before, POINTER.after, POINTER.gate), 1),
        np.cumsum([WIDTH, WIDTH, WIDTH]),
        axis=1,
    )
    at = len(before) - 1
    spans = [(0, 3), (4, 7), (10, 14), (16, 20)]  # the first has nothing before it
    keys = np.array([key[start - 1] + after[end - 1] for start, end in spans[1:]])
    asked = query[at] + POINTER.query_bias
    near = (POINTER.near + POINTER.near_query @ asked)[[1, 1, 0]]  # three, two and one word before
    probs = np.exp(log_probs.astype(np.float64))
    begins = probs[at, BEGINS].sum()
    first = np.log(np.where(BEGINS, probs[at] / begins, 1))
    scores = keys.astype(np.float16).astype(np.float64) @ asked + near
    scores += POINTER.first[0] * first[[text[start] for start, _ in spans[1:]]]
    weights = np.exp(scores) / np.exp(scores).sum()
    spread, total = -(weights * np.log(weights)).sum(), math.log(np.exp(scores).sum())
    unsure, likeliest = -(np.exp(first) * first)[BEGINS].sum(), first[BEGINS].max()
    told = np.array([spread, total, scores.max(), unsure, likeliest]) * pointer.SCALED
    seen = np.tanh(gate[at] + told @ POINTER.gate_told + POINTER.gate_bias)
    seen = np.concatenate((seen, told))
    share = 1 / (1 + math.exp(-(POINTER.gate_output @ seen + POINTER.gate_output_bias[0])))
    pointed = sum(
        weight
        for weight, (start, end) in zip(weights, spans[1:], strict=True)
        if text[start:end] == word
    )
    ends = probs[at + len(word), ~IS_WORD].sum()
    letters = math.prod(probs[at + n, letter] for n, letter in enumerate(word))
    expected = (1 - share) * letters / begins * ends + share * pointed
    ended = np.exp(mixed[at + len(word), ~IS_WORD].astype(np.float64)).sum()
    written = math.prod(math.exp(mixed[at + n, letter]) for n, letter in enumerate(word))
    assert written * ended / begins == pytest.approx(expected, rel=2e-3)


def test_where_no_word_is_to_be_expected_the_network_alone_is_asked() -> None:
    log_probs, hidden = _network(TEXT)
    surely = np.full_like(log_probs, -20)
    surely[:, ord(";")] = 0
    mixed, _ = POINTER.follow(alphabet.encode(TEXT), surely, hidden, NOTHING)
    assert np.array_equal(mixed, surely)


def test_before_the_first_word_there_is_nothing_to_point_at() -> None:
    log_probs, _ = _network(b"( (")
    assert np.array_equal(_follow(b"( (")[0], log_probs)


def test_a_long_word_is_pointed_at_as_far_as_it_is_known() -> None:
    text = b"; " + b"a" * (LONGEST + 5) + b" " + b"a" * (LONGEST + 2)
    mixed, recent = _follow(text)
    log_probs, _ = _network(text)
    assert _spelled(recent) == [b"a" * LONGEST]
    known = len(text) - 3  # the last byte of it
    assert not np.array_equal(mixed[known - 1], log_probs[known - 1])
    assert np.array_equal(mixed[known:], log_probs[known:])


def test_the_oldest_words_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pointer, "WINDOW", 2 * SEALED)
    words = [f"w{number}".encode() for number in range(5 * SEALED)]
    text, short = b" " + b" ".join(words) + b" ", _pointer()
    _, recent = _follow(text, by=short)
    assert _spelled(recent) == words[-2 * SEALED :]
    parts = NOTHING
    for start in range(0, len(text), 100):
        _, parts = _follow(text, parts, start, start + 100, by=short)
    assert _spelled(parts) == _spelled(recent)


def test_what_it_holds_is_bounded() -> None:
    """However many words there are, and however long they are."""
    words = b"".join(b" w%d" % number for number in range(5000))
    _, recent = _follow(words + b" w")  # every word before may be the next
    assert recent.possible is not None
    assert len(recent.possible.weights) in range(WINDOW, WINDOW + SEALED)
    possible = recent.possible.nbytes
    assert possible < recent.nbytes < possible * 1.2 + 10_000
    assert sum(map(len, recent.sealed)) == WINDOW
    _, recent = _follow(b" " + b"a" * 5000)
    assert len(recent.word) == LONGEST
    assert recent.nbytes < 1000


def test_a_network_points_at_the_text_that_is_remembered_and_at_no_other(
    runtime: Runtime,
) -> None:
    symbols = np.concatenate((alphabet.encode_path(PATH), alphabet.encode(PREFIX.encode())))
    piece = Piece(symbols[:, None], runtime.initial_state())
    alone = runtime.run(piece.symbols, piece.state, piece.memories)
    log_probs, state = runtime.read(piece.symbols, piece.state)
    assert np.array_equal(log_probs, alone.log_probs)
    assert state.recent == (NOTHING,)
    own = Memories(file=TextMemory(runtime.architecture.orders, symbols).along(0, len(symbols)))
    [(log_probs, state)] = runtime.read_together([replace(piece, memories=own)])
    alone = runtime.run(piece.symbols, piece.state, own)
    assert not np.array_equal(log_probs, alone.log_probs)
    assert _spelled(state.recent[0])[-2:] == [b"Gorilla0", b"that"]
