"""The open documents, as the editor last described them.

A `Document` never changes: an edit makes a new one, so that a request keeps the text it was
made for whatever is typed meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import PurePath

from lsprotocol import types
from pygls.uris import to_fs_path

from foretype_lsp.positions import Encoding, to_code_points, to_code_units

# Only these end a line in LSP; str.splitlines knows seven more.
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+\Z")
_MAX_PATH = 1024  # bytes, in the protocol


@dataclass(frozen=True)
class Document:
    """A text with its version, in lines that keep their ends; the last has none."""

    uri: str
    language: str
    version: int
    encoding: Encoding
    lines: list[str]  # at least one; never changed in place

    @classmethod
    def opened(cls, item: types.TextDocumentItem, encoding: Encoding) -> Document:
        return cls(item.uri, item.language_id, item.version, encoding, _split(item.text))

    @property
    def text(self) -> str:
        return "".join(self.lines)

    def changed(
        self, version: int, changes: Iterable[types.TextDocumentContentChangeEvent]
    ) -> Document:
        """The document after changes that were made one after the other."""
        document = self
        for change in changes:
            if isinstance(change, types.TextDocumentContentChangePartial):
                lines = document._edited(change.range, change.text)
            else:
                lines = _split(change.text)
            document = replace(document, lines=lines)
        return replace(document, version=version)

    def _edited(self, span: types.Range, text: str) -> list[str]:
        (first, start), (last, end) = sorted((self.locate(span.start), self.locate(span.end)))
        # The neighbours are cut anew with the edit: it may join or part a CR and an LF.
        before, after = max(0, first - 1), last + 2
        head = "".join(self.lines[before:first]) + self.lines[first][:start]
        tail = self.lines[last][end:] + "".join(self.lines[last + 1 : after])
        changed = _split(head + text + tail)
        if after < len(self.lines):
            changed.pop()  # the empty line after the last end
        return [*self.lines[:before], *changed, *self.lines[after:]]

    def locate(self, position: types.Position) -> tuple[int, int]:
        """Line and column, in code points; a position beyond the text stands for its end."""
        if position.line >= len(self.lines):
            return len(self.lines) - 1, len(self.lines[-1])
        content = self.lines[position.line].rstrip("\r\n")
        return position.line, to_code_points(content, position.character, self.encoding)

    def around(self, line: int, column: int) -> tuple[str, str]:
        """The text before and after a place that is given in code points."""
        before, after = self.lines[line][:column], self.lines[line][column:]
        return "".join([*self.lines[:line], before]), "".join([after, *self.lines[line + 1 :]])

    def range(self, line: int, start: int, end: int) -> types.Range:
        """The range of columns, given in code points, of one line."""
        content = self.lines[line]
        return types.Range(
            types.Position(line, to_code_units(content[:start], self.encoding)),
            types.Position(line, to_code_units(content[:end], self.encoding)),
        )


def _split(text: str) -> list[str]:
    lines = _LINE.findall(text)
    if not lines or lines[-1].endswith(("\r", "\n")):
        lines.append("")
    return lines


def place_in_workspace(uri: str, folders: Iterable[str]) -> tuple[str, str]:
    """The workspace folder that a document lies in, and its path there as the model reads it.

    Outside of all folders it has no workspace, and its path is its name.
    """
    path = PurePath(to_fs_path(uri) or uri.rpartition(":")[2])
    roots = [PurePath(root) for folder in folders if (root := to_fs_path(folder))]
    inside = [root for root in roots if path.is_relative_to(root)]
    if not inside:
        return "", _bounded(path.name)
    root = max(inside, key=lambda folder: len(folder.parts))
    return _bounded(root.as_posix()), _bounded(path.relative_to(root).as_posix())


def _bounded(path: str) -> str:
    return path.encode(errors="replace")[-_MAX_PATH:].decode(errors="ignore")


def valid(text: str) -> str:
    """Without halves of surrogate pairs, which JSON can carry and UTF-8 cannot."""
    return text if text.isascii() else text.encode(errors="replace").decode()
