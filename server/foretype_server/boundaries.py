"""Where a continuation ends: at a token, a line or a block; and what it may not repeat."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from foretype_models.alphabet import is_word

Until = Literal["token", "line", "block"]

_OPENING, _CLOSING = b"([{", b")]}"
_QUOTES = b"\"'"
_LINE_ENDS = b"\r\n"
BLANKS = b" \t"
_REPEATED = 16  # bytes that the same ones, three times in a row, cover to be a repetition
_RULED = 64  # of the same byte in a row; fewer are rules of comments, and columns
_STANDS_ALREADY = b")]}>\"';,"  # what editors put after the cursor by themselves


def ends_token(before: int, after: int) -> bool:
    """Whether a token ends between two bytes. Blanks belong to the token before them."""
    if after in BLANKS:
        return False
    return not (is_word(before) and is_word(after))


def first_of_repeated(written: bytes) -> int | None:
    """As much of a continuation as it said once, if it has begun to repeat itself: its end is
    the same bytes three times in a row, or one byte very often. Who does writes no code."""
    end = len(written)
    seen = written[-(_REPEATED // 2) :]  # comes again at the distance of every repetition
    at = written.rfind(seen, 0, end - 1) if end >= _REPEATED else -1
    while at >= 0 and 3 * (period := end - len(seen) - at) <= end:
        length = max(_REPEATED, 3 * period) if period > 1 else _RULED
        tail = written[-length:]
        alike = len(tail) == length and tail[period:] == tail[:-period]
        if alike and (period == 1) == (len(set(tail)) == 1):
            return _end_of_word(written, end - length + (period if period > 1 else 0))
        at = written.rfind(seen, 0, at + len(seen) - 1)
    return None


def _end_of_word(text: bytes, length: int) -> int:
    """So many bytes, less a word that goes on behind them and white space."""
    while length and is_word(text[length - 1]) and is_word(text[length]):
        length -= 1
    return len(text[:length].rstrip())


@dataclass(frozen=True)
class Progress:
    """What of a continuation matters to where it ends; a value, so that beams share it."""

    until: Until
    after_cursor: bytes  # the rest of the line that the cursor stands on
    last: int = 0x20  # the byte before the next
    in_word: bool = False  # whether the token that is being written is a word
    complete: bool = False  # whether a symbol was written, a token of its own
    blank: bool = True  # nothing but white space was written
    depth: int = 0  # brackets that the continuation opened, less those that it closed
    unclosed: int = 0  # of those that it opened
    quote: int = 0  # the quotation mark it stands inside of, or 0

    def ends_before(self, byte: int) -> Literal["boundary", "suffix"] | None:
        """Whether the continuation is complete if this byte would come next, and why."""
        if self._stands_already(byte):
            return "suffix"
        match self.until:
            case "token":
                ends = self.complete or (self.in_word and not is_word(byte))
                return "boundary" if ends or byte in _LINE_ENDS else None
            case "line":
                return "boundary" if byte in _LINE_ENDS else None
            case "block":
                ends = byte in _LINE_ENDS and not self.blank and self.depth <= 0
                return "boundary" if ends else None

    def may_be_cut_before(self, byte: int) -> bool:
        """Whether the continuation leaves open no bracket or quote of its own there; at the end
        of a line it may leave brackets open."""
        return not self.quote and (not self.unclosed or byte in _LINE_ENDS)

    def _stands_already(self, byte: int) -> bool:
        after = self.after_cursor[:1]
        if not after or after not in _STANDS_ALREADY or byte != after[0]:
            return False
        return self.depth <= 0 and not self.quote

    def then(self, byte: int) -> Progress:
        """After one more byte."""
        if byte in _LINE_ENDS:  # what stood in quotes ends with its line
            return replace(self, last=byte, in_word=False, quote=0)
        blank, in_word, opens = byte in BLANKS, is_word(byte), self._opens(byte)
        return Progress(
            self.until,
            self.after_cursor,
            last=byte,
            in_word=in_word,
            complete=not (in_word or blank),
            blank=self.blank and blank,
            depth=self.depth + opens,
            unclosed=max(0, self.unclosed + opens),
            quote=self._quote_after(byte),
        )

    def _opens(self, byte: int) -> int:
        if self.quote:
            return 0
        return (byte in _OPENING) - (byte in _CLOSING)

    def _quote_after(self, byte: int) -> int:
        if byte not in _QUOTES or self.last == ord("\\"):
            return self.quote
        if self.quote == 0:
            return byte
        return 0 if byte == self.quote else self.quote
