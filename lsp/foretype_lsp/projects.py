"""Has the engine remember the files of the folders that are open in the editor."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path, PurePath

from foretype import project
from foretype.v1.workspace_pb2 import WorkspaceMemory
from foretype_lsp.documents import Document, place_in_workspace

Remember = Callable[[str, Mapping[str, str]], Awaitable[WorkspaceMemory | None]]
"""Puts texts, by path, into a workspace's memory; None where there is no engine."""
Showing = Callable[[str], AbstractAsyncContextManager[None]]
"""Shows that something is under way."""


class Projects:
    """Once a document is open, those of its folder with the same ending are remembered; and
    any document again whenever it is saved. Used inside one event loop."""

    def __init__(self, remember: Remember, showing: Showing, log: Callable[[str], None]) -> None:
        self._remember = remember
        self._showing = showing
        self._log = log
        self._reading: dict[tuple[str, str], asyncio.Task[None]] = {}  # by folder and ending
        self._saving: set[asyncio.Task[None]] = set()
        self._locks: dict[str, asyncio.Lock] = {}  # by folder: what is sent later is newer
        self._documents: dict[str, int] = {}  # by folder: in its memory, as far as is known

    @property
    def folders(self) -> set[str]:
        """Those that are remembered."""
        return {folder for folder, _ in self._reading}

    def opened(self, document: Document, folders: list[str]) -> None:
        """Reads the document's folder, if that was not done yet."""
        folder, path = place_in_workspace(document.uri, folders)
        key = folder, PurePath(path).suffix
        if all(key) and key not in self._reading:
            self._reading[key] = asyncio.create_task(self._read(*key))

    def saved(self, document: Document, folders: list[str]) -> None:
        """Puts the document's text in place of what was read before, or would be now."""
        folder, path = place_in_workspace(document.uri, folders)
        if (folder, PurePath(path).suffix) in self._reading:
            # Without halves of surrogate pairs, which JSON can carry and UTF-8 cannot.
            text = document.text.encode(errors="replace").decode()
            task = asyncio.create_task(self._update(folder, path, text))
            self._saving.add(task)
            task.add_done_callback(self._saving.discard)

    def start_again(self, concerned: Callable[[str], bool] = lambda folder: True) -> None:
        """For an engine that remembers nothing: the folders are read anew."""
        for key, task in self._reading.items():
            if concerned(key[0]):
                task.cancel()
                self._reading[key] = asyncio.create_task(self._read(*key))

    def stop(self) -> None:
        """Gives up what is under way; nothing is read again."""
        for task in [*self._reading.values(), *self._saving]:
            task.cancel()
        self._reading.clear()

    async def _read(self, folder: str, suffix: str) -> None:
        wanted = True
        name = PurePath(folder).name
        try:
            async with self._lock(folder), self._showing(f"Reading the {suffix} files of {name}"):
                files = await asyncio.to_thread(
                    project.read, Path(folder), suffix, wanted=lambda: wanted
                )
                memory = await self._remember(folder, files.texts)
        finally:
            wanted = False
        if memory is not None:
            self._documents[folder] = memory.documents
            left_out = files.left_out + memory.left_out
            more = f"; {left_out} left out" if left_out else ""
            self._log(f"foretype: {len(files.texts)} {suffix} files of {name} are remembered{more}")

    async def _update(self, folder: str, path: str, text: str) -> None:
        if len(text.encode()) > project.MAX_FILE_BYTES:
            return
        if not await asyncio.to_thread(project.takes, Path(folder), path):
            return
        async with self._lock(folder):
            memory = await self._remember(folder, {path: text})
        if memory is not None and memory.documents < self._documents.get(folder, 0):
            self.start_again()  # a shared server has lost what it knew

    def _lock(self, folder: str) -> asyncio.Lock:
        return self._locks.setdefault(folder, asyncio.Lock())
