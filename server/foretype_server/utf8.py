"""Which bytes may follow which, so that a text stays valid UTF-8 (RFC 3629, section 4)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from foretype_models import alphabet

State = tuple[int, int, int]
"""How many bytes of the code point are to come, and the range of the next one."""

START: State = (0, 0, 0)
_ANY = (0x80, 0xBF)
# Ranges of the second byte that leave out overlong forms, surrogates and what is too large.
_SECOND = {0xE0: (0xA0, 0xBF), 0xED: (0x80, 0x9F), 0xF0: (0x90, 0xBF), 0xF4: (0x80, 0x8F)}


def after(state: State, byte: int) -> State:
    """The state after one more byte, which must be allowed."""
    if state == START:
        length = alphabet.code_point_length(byte)
        return (length - 1, *_SECOND.get(byte, _ANY)) if length > 1 else START
    return (state[0] - 1, *_ANY) if state[0] > 1 else START


def after_all(text: bytes) -> State:
    """The state after the beginning of one character."""
    state = START
    for byte in text:
        state = after(state, byte)
    return state


def _allowed(state: State) -> npt.NDArray[np.bool_]:
    symbols = np.arange(alphabet.SIZE)
    if state != START:
        return (symbols >= state[1]) & (symbols <= state[2])
    leads = (symbols >= 0xC2) & (symbols <= 0xF4)
    return (symbols < 0x80) | leads | (symbols == alphabet.END_OF_FILE)


_RANGES = (_ANY, *_SECOND.values())
_STATES: list[State] = [START, *((n, low, high) for n in (1, 2, 3) for low, high in _RANGES)]
ALLOWED = {state: _allowed(state) for state in _STATES}
"""For each state the symbols that may come next, of shape (alphabet,)."""
