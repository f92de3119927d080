"""From what the engine found to what an editor inserts.

Every item replaces the word that is being typed, and so starts with it: editors show an item
only while what they would replace is the beginning of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from lsprotocol import types

from foretype_lsp.documents import Document

_WORD = re.compile(r"[\w$]*")


@dataclass(frozen=True)
class Place:
    """Where something is suggested: the columns `start` to `end` of a line, in code points,
    hold or are to hold `typed`, and the suggestion goes on from there."""

    document: Document
    line: int
    start: int
    end: int
    typed: str

    @classmethod
    def at_cursor(cls, document: Document, position: types.Position) -> Place:
        line, end = document.locate(position)
        before = document.lines[line][:end]
        backwards = _WORD.match(before[::-1])  # forwards a long line would take its square
        start = end - (backwards.end() if backwards else 0)
        return cls(document, line, start, end, before[start:])

    @classmethod
    def at_selection(cls, document: Document, selected: types.SelectedCompletionInfo) -> Place:
        """After the item that is selected in the editor's popup, as if it were accepted."""
        line, end = document.locate(selected.range.end)
        first, start = document.locate(selected.range.start)
        return cls(document, line, start if first == line else 0, end, selected.text)

    def around(self) -> tuple[str, str]:
        """The text before and after the suggestion."""
        before, _ = self.document.around(self.line, self.start)
        _, after = self.document.around(self.line, self.end)
        return before + self.typed, after

    def moved(self, current: Document, typed: str) -> Place:
        """The same place after more was typed there."""
        end = self.end + len(typed)
        return replace(self, document=current, end=end, typed=self.typed + typed)

    @property
    def range(self) -> types.Range:
        return self.document.range(self.line, self.start, self.end)


@dataclass(frozen=True)
class Suggestions:
    """Texts that may stand between a prefix and a suffix, best first."""

    prefix: str
    suffix: str
    texts: list[str]

    def after(self, prefix: str, suffix: str) -> Suggestions | None:
        """What is left of them when the user has typed along one; None if there is nothing."""
        if suffix != self.suffix or not prefix.startswith(self.prefix):
            return None
        typed = prefix[len(self.prefix) :]
        rest = [text.removeprefix(typed) for text in self.texts if text.startswith(typed)]
        rest = [text for text in rest if text.strip()]
        return Suggestions(prefix, suffix, rest) if rest else None

    def typed_in(self, text: str) -> str | None:
        """What was typed where they stand, given the text now; None if something else changed."""
        length = len(text) - len(self.prefix) - len(self.suffix)
        if length < 0 or not (text.startswith(self.prefix) and text.endswith(self.suffix)):
            return None
        return text[len(self.prefix) :][:length]


def inline_items(place: Place, texts: list[str]) -> list[types.InlineCompletionItem]:
    """Items for editors that show what is suggested in front of the cursor."""
    return [
        types.InlineCompletionItem(
            insert_text=place.typed + text, filter_text=place.typed + text, range=place.range
        )
        for text in texts
    ]


def popup_items(
    place: Place, texts: list[str], snippets: bool = False
) -> list[types.CompletionItem]:
    """Items of one line each for editors without inline completion, in an order they keep; of
    those that look alike the first."""
    written: dict[str, str] = {}  # by what is seen of them
    for text in texts:
        written.setdefault((place.typed + text).strip(), place.typed + text)
    return [
        types.CompletionItem(
            label=label,
            label_details=types.CompletionItemLabelDetails(description="Foretype"),
            kind=types.CompletionItemKind.Text,
            filter_text=text,
            sort_text=f"!{rank:02}",  # before letters and digits
            insert_text_format=types.InsertTextFormat.Snippet if snippets else None,
            text_edit=types.TextEdit(place.range, _as_snippet(text) if snippets else text),
        )
        for rank, (label, text) in enumerate(written.items())
    ]


def _as_snippet(text: str) -> str:
    """The snippet that inserts this text."""
    return re.sub(r"[\\$}]", r"\\\g<0>", text)
