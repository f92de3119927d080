"""Continuations in the light of what stands after the cursor.

The network reads forward and does not see the text behind the cursor. But it can say how well
that follows: by Bayes' rule a continuation is as probable, given the rest of its line, as it
is by itself times the probability of that rest after it. So each one may end after any of its
tokens, where the rest of the line follows best, or not begin at all: no network need be
trained to fill in the middle for it. What that gains stands in docs/architecture.md.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from foretype_models.runtime import Piece, Read, State
from foretype_server.boundaries import is_word
from foretype_server.candidates import Candidate, Cursor, log_prob

WINDOW = 16
"""Bytes of the rest of the line, with its end, that count."""
MAX_ENDS = 8
"""Of a continuation: those at its first tokens, and its own."""

Floats = npt.NDArray[np.float32]


def rescored(
    cursor: Cursor, found: list[Candidate], confidence: float
) -> Generator[Piece, Read, list[Candidate]]:
    """The continuations as far as they suit the rest of the line, the best first; those that
    suit it less than nothing are left out, but for single tokens, which are ranked alone.

    Each is cut at the end of a token before its probability falls below `confidence`. Yields
    what is to be read, as searches do.
    """
    start, progress = cursor.snapshot, cursor.progress
    by_candidate = [
        [candidate] if progress.until == "token" else list(_cuts(candidate)) for candidate in found
    ]
    expected, states = [start.log_probs], [start.state]  # with nothing written
    for cuts in by_candidate:
        state, at = start.state, 0
        for cut in cuts:
            written = cut.text.encode()
            log_probs, state = yield Piece(_column(written[at:]), state, start.memories)
            expected.append(log_probs[-1, 0])
            states.append(state)
            at = len(written)
    rest = (progress.after_cursor + b"\n")[:WINDOW]
    symbols = np.repeat(_column(rest[:-1]), len(states), axis=1)
    log_probs, _ = yield Piece(symbols, State.joined(states), start.memories)
    nothing, *follows = _log_probs(rest, np.concatenate((np.stack(expected)[None], log_probs)))

    best: dict[str, tuple[float, Candidate]] = {}
    for cuts in by_candidate:
        own, follows = follows[: len(cuts)], follows[len(cuts) :]
        scores = [log_prob(c.confidences) + f for c, f in zip(cuts, own, strict=True)]
        score = max(scores)
        if progress.until != "token" and nothing >= score:
            continue
        chosen = cuts[scores.index(score)]
        sure = [c for c in cuts if c.probability >= confidence and chosen.text.startswith(c.text)]
        if sure:
            cut = chosen if sure[-1] is chosen else replace(sure[-1], stop="confidence")
            best.setdefault(cut.text, (score, cut))
    return [cut for _, cut in sorted(best.values(), key=lambda pair: (-pair[0], pair[1].text))]


def _cuts(candidate: Candidate) -> Iterator[Candidate]:
    """The candidate up to the end of each of its first tokens, and all of it."""
    text = candidate.text
    words = [is_word(character.encode()[0]) for character in text]
    ends = [at for at in range(1, len(text)) if not (words[at - 1] and words[at])]
    for end in ends[: MAX_ENDS - 1]:
        yield candidate.cut(end, "suffix")
    yield candidate


def _column(text: bytes) -> npt.NDArray[np.int64]:
    """As symbols, (time, 1)."""
    return np.frombuffer(text, np.uint8).astype(np.int64)[:, None]


def _log_probs(text: bytes, expected: Floats) -> list[float]:
    """Of a text in each lane: `expected` is what comes before each of its bytes,
    (time, lanes, alphabet)."""
    each = expected[np.arange(len(text)), :, list(text)]  # (time, lanes)
    return [float(total) for total in each.sum(axis=0, dtype=np.float64)]
