"""Continuations in the light of what stands after the cursor.

The network reads forward and does not see the text behind the cursor. But it can say how well
that follows: by Bayes' rule a continuation is as probable, given the rest of its line, as it
is by itself times the probability of that rest after it. So each one may end after any of its
tokens, where the rest of the line follows best, or not begin at all: no network need be
trained to fill in the middle for it. What that gains stands in docs/architecture.md.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from itertools import pairwise

import numpy as np

from foretype_models import alphabet
from foretype_models.alphabet import is_word
from foretype_models.runtime import LogProbs, Piece, Read, State
from foretype_server.boundaries import BLANKS, Progress, ends_token
from foretype_server.candidates import AT_ONCE, Candidate, Cursor, log_prob

WINDOW = 16
"""Bytes of the rest of the line, with its end, that count."""
MAX_ENDS = 8
"""Of a continuation that are tried: those of its first tokens."""


def follows(cursor: Cursor, texts: Sequence[str]) -> Generator[Piece, Read, list[float]]:
    """The log-probability of the rest of the line after each of some texts at the cursor, of
    which each is the beginning of the next. Yields what is to be read, as searches do."""
    start = cursor.snapshot
    log_probs, state, at = start.log_probs, start.state, 0
    expected, states = list[LogProbs](), list[State]()
    for written in map(str.encode, texts):
        while at < len(written):
            part = written[at : at + AT_ONCE]
            symbols = alphabet.encode(part)[:, None]
            after, state = yield Piece(symbols, state, start.memories, only_last=True)
            log_probs, at = after[-1, 0], at + len(part)
        expected.append(log_probs)
        states.append(state)
    rest = (cursor.progress.after_cursor + b"\n")[:WINDOW]
    symbols = np.repeat(alphabet.encode(rest[:-1])[:, None], len(states), axis=1)
    after, _ = yield Piece(symbols, State.joined(states), start.memories)
    before_each = np.concatenate((np.stack(expected)[None], after))
    each = before_each[np.arange(len(rest)), :, list(rest)]  # (bytes, texts)
    return [float(total) for total in each.sum(axis=0, dtype=np.float64)]


def ranked(cursor: Cursor, found: Sequence[Candidate]) -> Generator[Piece, Read, list[Candidate]]:
    """The candidates, those first that suit the rest of the line best."""
    scores: list[float] = []
    for candidate in found:
        [after] = yield from follows(cursor, [candidate.text])
        scores.append(log_prob(candidate.confidences) + after)
    order = sorted(range(len(found)), key=lambda number: -scores[number])
    return [found[number] for number in order]


def filling(
    cursor: Cursor, found: Sequence[Candidate], nothing: float, confidence: float
) -> Generator[Piece, Read, list[Candidate]]:
    """The candidates as far as they suit the rest of the line, the best first; those that suit
    it less than nothing, after which its log-probability is `nothing`, are left out.

    Each is then cut before it becomes less probable than `confidence`.
    """
    best: dict[str, tuple[float, Candidate]] = {}
    for candidate in found:
        lengths = _lengths(candidate.text, cursor.progress.after_cursor)
        if not lengths:
            continue
        after = yield from follows(cursor, [candidate.text[:length] for length in lengths])
        scores = [
            log_prob(candidate.confidences[:length]) + follow
            for length, follow in zip(lengths, after, strict=True)
        ]
        if (score := max(scores)) > nothing:
            chosen = candidate.cut(lengths[scores.index(score)], "suffix")
            left = sure_part(chosen, cursor.progress, confidence)
            if left.text not in best or best[left.text][0] < score:
                best[left.text] = score, left
    return [candidate for _, candidate in sorted(best.values(), key=lambda pair: -pair[0])]


def _lengths(text: str, rest: bytes) -> list[int]:
    """Where a continuation may end, in characters: after its first tokens; before the blanks
    behind them if the rest of the line begins with such, after these if not."""
    ends: list[int] = []
    for length, (before, after) in enumerate(pairwise([*_first_bytes(text), rest[0]]), 1):
        in_word = length < len(text) and is_word(before) and is_word(after)
        blank = before if rest[0] in BLANKS else after
        if not in_word and blank not in BLANKS:
            ends.append(length)
    return ends[:MAX_ENDS]


def _first_bytes(text: str) -> list[int]:
    """Of each character: whether it is part of a word, these tell."""
    return [character.encode()[0] for character in text]


def sure_part(candidate: Candidate, progress: Progress, confidence: float) -> Candidate:
    """The candidate, which follows `progress`, cut before it becomes less probable than that: at
    the end of a token, where it leaves open no bracket or quote of its own."""
    if candidate.probability >= confidence:
        return candidate
    length = 0
    for end, (character, following) in enumerate(pairwise(map(str.encode, candidate.text)), 1):
        for byte in character:
            progress = progress.then(byte)
        ends = ends_token(character[0], following[0]) and progress.may_be_cut_before(following[0])
        if ends and candidate.cut(end, "confidence").probability >= confidence:
            length = end
    return candidate.cut(length, "confidence")
