"""Finds continuations: a beam over bytes, each followed to its boundary."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, field, replace

import numpy as np

from foretype_models import alphabet
from foretype_models.alphabet import is_word
from foretype_models.runtime import LogProbs, Piece, Read
from foretype_server import utf8
from foretype_server.boundaries import Progress, ends_token, first_of_repeated
from foretype_server.candidates import AT_ONCE, Candidate, Cursor, Names, Options, Stop
from foretype_server.rescoring import filling, follows, ranked
from foretype_server.states import Snapshot

SURE_OF_NEW = 0.5
"""Below this probability a name that is not known is not suggested where there is a bound on
confidence: it must be more likely than not."""


@dataclass(frozen=True)
class _Hypothesis:
    """A continuation that is being written."""

    progress: Progress
    written: bytes = b""
    log_probs: tuple[float, ...] = ()  # of each byte
    log_prob: float = 0.0  # their sum
    sure: int = 0  # the length up to the last place where it may be cut
    decoder: utf8.State = utf8.START
    once: int | None = None  # of what repeats itself, the length of the first time

    def sure_before(self, byte: int) -> int:
        """The length up to the last place where it may be cut if this byte comes next."""
        length = len(self.written)
        ends = length and self.progress.may_be_cut_before(byte)
        return length if ends and ends_token(self.written[-1], byte) else self.sure

    def then(self, byte: int, log_prob: float) -> _Hypothesis:
        written = self.written + bytes((byte,))
        return _Hypothesis(
            self.progress.then(byte),
            written,
            (*self.log_probs, log_prob),
            self.log_prob + log_prob,
            self.sure_before(byte),
            utf8.after(self.decoder, byte),
            first_of_repeated(written),
        )

    def ended(self, stop: Stop, length: int, end_log_prob: float = 0.0) -> Candidate:
        """The candidate that its first `length` bytes are, less a character that is cut."""
        text = self.written[:length].decode(errors="ignore")
        log_probs = self.log_probs[: len(text.encode())]
        return Candidate(
            text, math.fsum(log_probs) + end_log_prob, _by_character(text, log_probs), stop
        )


def _by_character(text: str, log_probs: tuple[float, ...]) -> list[float]:
    """The probability of each character: the product of those of its bytes."""
    rest = iter(log_probs)
    return [math.exp(sum(next(rest) for _ in character.encode())) for character in text]


@dataclass
class _Finished:
    """The best distinct candidates so far."""

    wanted: int
    by_text: dict[str, Candidate] = field(default_factory=dict[str, Candidate])

    def add(self, candidate: Candidate) -> None:
        known = self.by_text.get(candidate.text)
        if candidate.text and (known is None or known.log_prob < candidate.log_prob):
            self.by_text[candidate.text] = candidate

    def best(self) -> list[Candidate]:
        ranked = sorted(self.by_text.values(), key=lambda c: (-c.log_prob, c.text))
        return ranked[: self.wanted]

    def beaten(self, log_prob: float) -> bool:
        """Whether nothing of this log-probability can get among the best any more."""
        best = self.best()
        return len(best) == self.wanted and best[-1].log_prob >= log_prob


def search(cursor: Cursor, options: Options) -> Generator[Piece, Read, list[Candidate]]:
    """The most probable continuations, best first; yields each piece that the network is to
    read, and is sent what came of it.

    Where something stands after the cursor in its line, it ranks tokens, and of longer
    continuations it decides how far they go. White space alone is none.
    """
    if not cursor.progress.after_cursor.strip():
        found = yield from _found(cursor, options)
    elif cursor.progress.until == "token":
        found = yield from _found(cursor, options)
        if len(found) > 1:
            found = yield from ranked(cursor, found)
    else:
        # What is less probable than all of the rest after nothing cannot become the best.
        [nothing] = yield from follows(cursor, [""])
        bound = replace(options, confidence=math.exp(nothing))
        found = yield from _found(replace(cursor, names=None), bound)
        found = yield from filling(cursor, found, nothing, options.confidence)
    return [candidate for candidate in found if candidate.text.strip()]


def _found(cursor: Cursor, options: Options) -> Generator[Piece, Read, list[Candidate]]:
    """A beam as wide as the number of candidates. For one candidate this is the greedy
    continuation, the one that `stream` gives character by character."""
    start, progress = cursor.snapshot, cursor.progress
    if options.candidates == 1:
        greedy = _Greedy(cursor, options)
        while greedy.end is None:
            greedy.go_on((yield greedy.piece()))
        return [greedy.end]
    ends, finished = _Ends(options, cursor.names), _Finished(options.candidates)
    live, state, log_probs = [_Hypothesis(progress)], start.state, start.log_probs[None]
    while live:
        expansions = _expand(live, log_probs, ends, finished)
        if not expansions:
            break
        live = [hypothesis for _, hypothesis in expansions]
        state = state.take([parent for parent, _ in expansions])
        symbols = np.array([[h.written[-1] for h in live]], dtype=np.int64)
        after, state = yield Piece(symbols, state, start.memories)
        log_probs = after[0]
    return finished.best()


class _Greedy:
    """The continuation by the most probable byte, as far as it is decided.

    Bytes that are guessed are read along, and so many decisions made at once.
    """

    def __init__(self, cursor: Cursor, options: Options) -> None:
        self.hypothesis = _Hypothesis(cursor.progress)
        self.end: Candidate | None = None
        self._ends = _Ends(options, cursor.names)
        self._draft = cursor.draft
        start = cursor.snapshot
        self._memories = start.memories
        self._state, self._read = start.state, 0  # after so many of the bytes written
        self._guess = b""
        self._decide(start.log_probs[None])

    @property
    def written(self) -> bytes:
        return self.hypothesis.written

    def piece(self) -> Piece:
        """What is to be read next: what is decided and not yet read, and a guess."""
        new = self.written[self._read :]
        room = AT_ONCE - len(new)
        guess = self._draft.after(self.written, len(new)) if self._draft and room > 0 else b""
        self._guess = guess[:room]
        symbols = alphabet.encode(new + self._guess)
        return Piece(symbols[:, None], self._state, self._memories)

    def go_on(self, read: Read) -> None:
        """With what came of the piece."""
        log_probs, state = read
        decided = len(self.written)
        if self._decide(log_probs[decided - self._read - 1 :, 0]):
            self._state, self._read = state, decided + len(self._guess)

    def _decide(self, expected: LogProbs) -> bool:
        """As far as the guess was right: `expected` is what comes after each of its beginnings.
        Whether all of it was right."""
        for at, log_probs in enumerate(expected):
            [symbol] = _best_symbols(self.hypothesis, log_probs, 1)
            log_prob = float(log_probs[symbol])
            self.end = self._ends.before(symbol, log_prob, self.hypothesis)
            if self.end is not None:
                if self._draft is not None:
                    self._draft.keep(self.written)
                return False
            self.hypothesis = self.hypothesis.then(symbol, log_prob)
            if self._guess[at : at + 1] != bytes((symbol,)):
                return at == len(self._guess)
        raise AssertionError("there is one more expectation than bytes guessed")


def _expand(
    live: list[_Hypothesis],
    log_probs: LogProbs,
    ends: _Ends,
    finished: _Finished,
) -> list[tuple[int, _Hypothesis]]:
    """The best continuations by one byte with the number of their parent; what ends is
    added to `finished`."""
    found: list[tuple[int, _Hypothesis]] = []
    for parent, hypothesis in enumerate(live):
        for symbol in _best_symbols(hypothesis, log_probs[parent], ends.options.candidates):
            log_prob = float(log_probs[parent, symbol])
            end = ends.before(symbol, log_prob, hypothesis)
            if end is not None:
                finished.add(end)
            else:
                found.append((parent, hypothesis.then(symbol, log_prob)))
    found.sort(key=lambda pair: (-pair[1].log_prob, pair[1].written))
    return [
        pair for pair in found[: ends.options.candidates] if not finished.beaten(pair[1].log_prob)
    ]


def _best_symbols(hypothesis: _Hypothesis, log_probs: LogProbs, count: int) -> list[int]:
    """The most probable symbols that keep the text valid UTF-8, best first."""
    allowed = utf8.ALLOWED[hypothesis.decoder]
    if count == 1 and allowed[best := int(log_probs.argmax())]:  # as nearly always
        return [best]
    masked = np.where(allowed, log_probs, -np.inf)
    return [int(symbol) for symbol in np.argsort(-masked, kind="stable")[:count]]


@dataclass(frozen=True)
class _Ends:
    """Where continuations end."""

    options: Options
    names: Names | None

    def before(self, symbol: int, log_prob: float, hypothesis: _Hypothesis) -> Candidate | None:
        """The candidate that the hypothesis is if it ends where this symbol would come next."""
        length, bound = len(hypothesis.written), self.options.confidence
        if bound and self._ends_unsure_name(hypothesis, symbol):
            return hypothesis.ended("confidence", hypothesis.sure)
        if symbol >= alphabet.BYTES:
            return hypothesis.ended("end of file", length, log_prob)
        if reason := hypothesis.progress.ends_before(symbol):
            return hypothesis.ended(reason, length, log_prob)
        if length >= self.options.length:
            return hypothesis.ended("length", length)
        if hypothesis.once is not None:
            return hypothesis.ended("repetition", hypothesis.once)
        if bound and hypothesis.log_prob + log_prob < math.log(bound):
            return hypothesis.ended("confidence", hypothesis.sure_before(symbol))
        return None

    def _ends_unsure_name(self, hypothesis: _Hypothesis, symbol: int) -> bool:
        """Whether a name ends before this symbol that is neither known nor sure enough."""
        if self.names is None or (symbol < alphabet.BYTES and is_word(symbol)):
            return False
        written = hypothesis.written
        start = len(written)
        while start and is_word(written[start - 1]):
            start -= 1
        if math.fsum(hypothesis.log_probs[start:]) >= math.log(SURE_OF_NEW):
            return False
        name = written[start:] if start else self.names.begun + written
        return not name[:1].isdigit() and name not in self.names


@dataclass(frozen=True)
class Character:
    """One character of a stream, with its probability given those before it."""

    text: str
    probability: float


def stream(
    cursor: Cursor, options: Options
) -> Generator[Piece | list[Character | Stop], Read, list[Character | Stop]]:
    """The greedy continuation, yielded as its characters are decided; at last why it ended.
    Between them come the pieces that are to be read, as from `search`.

    With a bound on confidence a character is decided where the continuation may be cut: when its
    token is, and no bracket or quote of its own is open; without one at once.
    White space waits for what follows it: alone it is nothing, as in `search`.
    """
    greedy = _Greedy(cursor, replace(options, candidates=1))

    def decided() -> list[Character | Stop]:
        length = greedy.hypothesis.sure if options.confidence else len(greedy.written)
        return _characters(greedy.hypothesis.ended("length", length))

    sent = 0  # characters
    while greedy.end is None:
        characters = decided()
        yield characters[sent:]
        sent = len(characters)
        greedy.go_on((yield greedy.piece()))
    # Of what repeats itself all that was decided, however much of that was guessed at once.
    characters = max(_characters(greedy.end), decided(), key=len)
    return [*characters[sent:], greedy.end.stop]


def _characters(candidate: Candidate) -> list[Character | Stop]:
    """Those of a candidate, if they are more than white space."""
    if not candidate.text.strip():
        return []
    return [Character(t, p) for t, p in zip(candidate.text, candidate.confidences, strict=True)]


def predict(start: Snapshot, count: int) -> Generator[Piece, Read, list[tuple[str, float]]]:
    """The `count` most probable next characters with their probabilities, best first; the
    empty string stands for the end of the file.

    A best-first search over the bytes of characters, exact: a longer one is never more
    probable than its beginning.
    """
    found: list[tuple[str, float]] = []
    parts: list[_Part] = [(0.0, b"", start)]
    while parts and len(found) < count:
        parts.sort(key=lambda part: (-part[0], part[1]))
        log_prob, written, snapshot = parts.pop(0)
        if written and utf8.after_all(written) == utf8.START:
            found.append((written.decode(), math.exp(log_prob)))
        elif written == _END:
            found.append(("", math.exp(log_prob)))
        else:
            if written:
                byte = np.array([[written[-1]]])
                after, state = yield Piece(byte, snapshot.state, start.memories)
                snapshot = Snapshot(state.apart(), after[0, 0].copy())
            parts.extend(_continued(log_prob, written, snapshot))
    return found


_Part = tuple[float, bytes, Snapshot]
"""The beginning of a character: its log-probability, its bytes, the state before the last."""

_END = b"\xff"  # no character begins with it


def _continued(log_prob: float, written: bytes, snapshot: Snapshot) -> list[_Part]:
    allowed = utf8.ALLOWED[utf8.after_all(written)]
    parts = [
        (log_prob + float(snapshot.log_probs[byte]), written + bytes((byte,)), snapshot)
        for byte in range(alphabet.BYTES)
        if allowed[byte]
    ]
    if not written:
        parts.append((float(snapshot.log_probs[alphabet.END_OF_FILE]), _END, snapshot))
    return parts
