"""Has the engine remember the files of the folders that are open in the editor."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path, PurePath

from foretype import project
from foretype.v1.workspace_pb2 import WorkspaceMemory
from foretype_lsp.documents import Document, place_in_workspace, valid
from foretype_lsp.tasks import Tasks

Remember = Callable[[str, Mapping[str, str]], Awaitable[WorkspaceMemory | None]]
"""Puts texts, by path, into a workspace's memory; None where there is no engine."""
Forget = Callable[[str, Sequence[str]], Awaitable[WorkspaceMemory | None]]
"""Takes texts out of it, by path, at least one; None where there is no engine."""
Showing = Callable[[str], AbstractAsyncContextManager[None]]
"""Shows that something is under way."""


SETTLED = 0.3
"""Seconds in which further changes of files are waited for: a checkout changes many."""


class Projects:
    """Once a document is open, those of its folder with the same ending are remembered; any
    document again whenever it is saved, and any file that somebody else changed. Used inside
    one event loop."""

    def __init__(
        self,
        remember: Remember,
        forget: Forget,
        watch: Callable[[str], None],
        showing: Showing,
        log: Callable[[str], None],
    ) -> None:
        """`watch` is told the endings of files whose changes are of interest, each once; beside
        these it is of interest what is deleted, for that may be a folder."""
        self._remember = remember
        self._forget = forget
        self._watch = watch
        self._showing = showing
        self._log = log
        self._reading: dict[tuple[str, str], asyncio.Task[None]] = {}  # by folder and ending
        self._watched: set[str] = set()  # endings
        self._changed: dict[str, set[str]] = {}  # paths by folder, not yet looked at
        self._updating = Tasks()
        self._locks: dict[str, asyncio.Lock] = {}  # by folder: what is sent later is newer
        self._paths: dict[str, set[str]] = {}  # by folder: of what was given
        self._documents: dict[str, int] = {}  # and how many of these were in its memory then

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
            if key[1] not in self._watched:
                self._watched.add(key[1])
                self._watch(key[1])

    async def remembered(self, uri: str, folders: list[str]) -> None:
        """Returns once the folder of a document was read, if that is to be."""
        folder, path = place_in_workspace(uri, folders)
        key, task = (folder, PurePath(path).suffix), None
        while (current := self._reading.get(key)) is not task and current is not None:
            task = current
            await asyncio.wait([task])

    def saved(self, document: Document, folders: list[str]) -> None:
        """Puts the document's text in place of what was read before, or would be now."""
        folder, path = place_in_workspace(document.uri, folders)
        if (folder, PurePath(path).suffix) in self._reading:
            self._updating.start(self._update(folder, path, valid(document.text)))

    def changed(self, uris: Iterable[str], folders: list[str]) -> None:
        """Files were made, changed or deleted, or folders deleted: what is remembered of them is
        what is there once no more have for a moment."""
        for uri in uris:
            folder, path = place_in_workspace(uri, folders)
            if folder not in self.folders:
                continue
            if folder not in self._changed:
                self._changed[folder] = set()
                self._updating.start(self._look_again(folder))
            self._changed[folder].add(path)

    def start_again(
        self, concerned: Callable[[str], bool] = lambda folder: True, only_ended: bool = False
    ) -> None:
        """For an engine that remembers nothing: the folders are read anew, or those of which the
        reading has ended, where the others wait for that engine."""
        for key, task in self._reading.items():
            if concerned(key[0]) and (task.done() or not only_ended):
                task.cancel()
                self._reading[key] = asyncio.create_task(self._read(*key))

    def stop(self) -> None:
        """Gives up what is under way; nothing is read again."""
        for task in [*self._reading.values(), *self._updating]:
            task.cancel()
        self._reading.clear()
        self._changed.clear()

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
            self._paths.setdefault(folder, set()).update(files.texts)
            self._documents[folder] = memory.documents
            if files.problem:
                self._log(f"foretype: no {suffix} file of {name} is remembered: {files.problem}")
                return
            left_out = files.left_out + memory.left_out
            more = f"; {left_out} left out" if left_out else ""
            self._log(f"foretype: {len(files.texts)} {suffix} files of {name} are remembered{more}")

    async def _update(self, folder: str, path: str, text: str) -> None:
        if len(text.encode()) > project.MAX_FILE_BYTES:
            return
        if not await asyncio.to_thread(project.takes, Path(folder), path):
            return
        async with self._lock(folder):
            await self._put(folder, {path: text})

    async def _look_again(self, folder: str) -> None:
        """At the files of a folder that changed, and those in folders that did."""
        seen = 0
        while len(self._changed[folder]) > seen:
            seen = len(self._changed[folder])
            await asyncio.sleep(SETTLED)
        async with self._lock(folder):
            paths = sorted(self._concerned(folder, self._changed.pop(folder)))
            found = await asyncio.to_thread(project.read_again, Path(folder), paths)
            known = self._paths.get(folder, set())
            # What is gone makes room for what is new.
            if gone := [path for path, text in found.items() if text is None and path in known]:
                memory = await self._forget(folder, gone)
                known.difference_update(gone)
                self._note(folder, memory, self._documents.get(folder, 0) - len(gone))
            await self._put(folder, {p: text for p, text in found.items() if text is not None})

    def _concerned(self, folder: str, changed: set[str]) -> set[str]:
        """The paths of files that may be remembered, where these changed."""
        files = {path for path in changed if (folder, PurePath(path).suffix) in self._reading}
        within = {
            path
            for path in self._paths.get(folder, set())
            if any(parent.as_posix() in changed for parent in PurePath(path).parents)
        }
        return files | within

    async def _put(self, folder: str, texts: Mapping[str, str]) -> None:
        """Has texts remembered in place of earlier versions; the folder's lock is held."""
        if texts:
            memory = await self._remember(folder, texts)
            self._paths.setdefault(folder, set()).update(texts)
            self._note(folder, memory, self._documents.get(folder, 0))

    def _note(self, folder: str, memory: WorkspaceMemory | None, expected: int) -> None:
        """How much is in a folder's memory now, where as much was to be expected at least."""
        if memory is None:
            return
        self._documents[folder] = memory.documents
        if memory.documents + memory.left_out < expected:
            self.start_again()  # a shared server has lost what it knew

    def _lock(self, folder: str) -> asyncio.Lock:
        return self._locks.setdefault(folder, asyncio.Lock())
