"""One editor's session: its settings, what is remembered of it, and what was suggested to it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal

from lsprotocol import types

from foretype.client import Document as Message
from foretype.client import Limits
from foretype.v1 import completion_pb2 as pb
from foretype.v1.workspace_pb2 import WorkspaceMemory
from foretype_lsp import settings
from foretype_lsp.documents import Document, place_in_workspace, valid
from foretype_lsp.editor import Editor
from foretype_lsp.engines import Engines
from foretype_lsp.projects import Projects
from foretype_lsp.settings import Settings, Until
from foretype_lsp.suggestions import Place, Suggestions
from foretype_lsp.tasks import Tasks

BLOCK_LENGTH = 600  # bytes; what is shorter has the engine's own bound
FORGET_TIMEOUT = 1.0  # seconds that a server has for it when the editor leaves
LEFT = 2.0  # seconds without an edit until a document counts as it is in others
SETTINGS_TIMEOUT = 1.0  # seconds in which the first request waits for the settings
PARENT_INTERVAL = 2.0  # seconds between looks at the editor's process

Kind = Literal["inline", "popup"]
_BOUNDARIES: dict[Until, pb.Boundary.ValueType] = {
    "token": pb.BOUNDARY_TOKEN,
    "line": pb.BOUNDARY_LINE,
    "block": pb.BOUNDARY_BLOCK,
}


class Adapter(Editor):
    """The state of one editor's session."""

    def __init__(self, server: str | None, model: str) -> None:
        super().__init__()
        self.settings = Settings()
        # Neovim's own completion inserts a plain text only up to its first space.
        self.popup_snippets = False
        self._engine_of = (server, model)
        self._engines: Engines | None = None
        self._projects: Projects | None = None
        self._settled = asyncio.Event()  # the settings are known
        self._due = 0.0  # when they should be, by the event loop's clock
        self._initial_options: Any = None
        self._pushed: Any = None  # settings, by an editor that cannot be asked for them
        self._models: dict[str, str] = {}  # that are asked for, by folder
        self._problems: list[str] = []
        self._shown: dict[tuple[str, Kind], Suggestions] = {}
        self._changes = 0  # of folders' memories
        self._remembered: dict[str, int] = {}  # versions of documents, as they were last told
        self._changed_at: dict[str, float] = {}  # by the event loop's clock
        self._under_way: dict[tuple[str, Kind], asyncio.Task[Any]] = {}
        self._forgetting = Tasks()
        self._reading: dict[str, asyncio.Task[None]] = {}  # of open documents

    def start(self, params: types.InitializeParams) -> None:
        """Makes room for engines, connects to a server, and watches over the editor."""
        self._due = asyncio.get_running_loop().time() + SETTINGS_TIMEOUT
        self._engines = Engines(*self._engine_of, self, self._remembers_nothing)
        self._projects = Projects(
            self._remember, self._forget, self.watch_files, self.showing, self.log
        )
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, lambda: loop.create_task(self._leave()))
        # A process that cannot be seen from the start is one of another machine.
        if params.process_id is not None and _is_alive(params.process_id):
            self._background.start(self._watch(params.process_id))
        client = params.client_info
        self.popup_snippets = client is not None and client.name == "Neovim"
        self._initial_options = settings.section(params.initialization_options)
        self.apply_settings(None)

    async def stop(self) -> None:
        """Ends the engines."""
        self.left_in_order = True
        if self._projects is not None:
            self._projects.stop()
        if forgetting := tuple(self._forgetting):  # a server may be there for others, too
            await asyncio.wait(forgetting, timeout=FORGET_TIMEOUT)
        tasks = [*self._background, *self._forgetting, *self._reading.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._engines is not None:
            await self._engines.stop()

    async def _watch(self, editor: int) -> None:
        """Leaves when the editor is gone: others may still hold the pipes it gave us."""
        while _is_alive(editor):
            await asyncio.sleep(PARENT_INTERVAL)
        asyncio.create_task(self._leave())  # noqa: RUF006  it ends the process

    async def _leave(self) -> None:
        """Ends the process though its standard input is open, on which a thread waits."""
        await self.stop()
        os._exit(1)

    def apply_settings(self, given: Any, by_folder: Mapping[str, Any] = {}) -> None:
        """Takes settings over, those by folder for the model alone, and tells the user once
        what cannot be used."""
        before = self.settings
        self.settings, problems = settings.read(self._initial_options, given)
        self._models = {}
        for folder in self.folders():
            of_folder, more = settings.read(self._initial_options, given, by_folder.get(folder))
            self._models[place_in_workspace(folder, [folder])[0]] = of_folder.model
            problems += [problem for problem in more if problem not in problems]
        self._models[""] = self.settings.model  # of what lies in no folder
        if self._settled.is_set() and before.memory and not self.settings.memory:
            self._forget_projects()
        self._shown.clear()
        for problem in problems:
            if problem not in self._problems:
                self.show_warning(problem)
        self._problems = problems

    async def update_settings(self, pushed: Any = None) -> None:
        """Asks the editor for the settings; takes those it pushed where it cannot be asked."""
        if not self.can_be_asked_for_settings:
            if pushed is not None:
                self._pushed = settings.section(pushed)
            self.apply_settings(self._pushed)
            return
        folders = self.folders()
        if found := await self.ask_for_settings(folders):
            general, *others = found
            self.apply_settings(general, dict(zip(folders, others, strict=False)))

    def settle(self) -> None:
        """The engines that the settings ask for are started, and what was opened before they
        were known is taken up."""
        assert self._engines is not None
        self._settled.set()
        self._engines.assign(self._models)
        for uri in list(self.documents):
            self.opened(uri)

    def _forget_projects(self) -> None:
        assert self._projects is not None
        folders = self._projects.folders
        self._projects.stop()
        for folder in folders:
            self._forgetting.start(self._forget(folder))

    async def _remember(self, folder: str, texts: Mapping[str, str]) -> WorkspaceMemory | None:
        assert self._engines is not None
        memory = await self._engines.remember(folder, texts)
        if texts and memory is not None:
            self._memory_changed()
        return memory

    async def _forget(self, folder: str, paths: Sequence[str] = ()) -> WorkspaceMemory | None:
        assert self._engines is not None
        memory = await self._engines.forget(folder, paths)
        self._memory_changed()
        return memory

    def _memory_changed(self) -> None:
        """What was asked for before may have been found in what is forgotten, or would be found
        in what is remembered now: it is not shown again."""
        self._changes += 1
        self._shown.clear()

    def opened(self, uri: str) -> None:
        """Has the files around a document remembered, and then itself read."""
        document = self.documents.get(uri)
        if document and self._projects and self._remembers(document):
            self._projects.opened(document, self.folders())
        if document and self._settled.is_set() and self.settings.suggests_in(document.language):
            self._stop_reading(uri)
            self._reading[uri] = asyncio.create_task(self._read(uri))

    async def _read(self, uri: str) -> None:
        assert self._projects is not None
        assert self._engines is not None
        await self._projects.remembered(uri, self.folders())
        document = self.documents[uri]
        await self._engines.read(self._message(document, document.text, ""))

    def _stop_reading(self, uri: str) -> None:
        if (task := self._reading.pop(uri, None)) is not None:
            task.cancel()

    def saved(self, uri: str) -> None:
        """Has the document remembered as it is now."""
        document = self.documents.get(uri)
        if document and self._projects and self._remembers(document):
            self._remembered[uri] = document.version
            self._projects.saved(document, self.folders())

    def changed(self, uri: str) -> None:
        """Notes that a document was edited."""
        self._changed_at[uri] = asyncio.get_running_loop().time()

    def _turned_to(self, uri: str) -> None:
        """Has the others, which were left a while ago, remembered as they are now: what is not
        saved yet counts too."""
        left = asyncio.get_running_loop().time() - LEFT
        for other, document in self.documents.items():
            is_new = other != uri and self._remembered.get(other) != document.version
            if is_new and self._changed_at.get(other, left) <= left:
                self.saved(other)

    def files_changed(self, uris: list[str]) -> None:
        """Has files remembered as they are now, and those forgotten that are gone."""
        if self._projects is not None:
            self._projects.changed(uris, self.folders())

    def _remembers(self, document: Document) -> bool:
        wanted = self.settings.memory and self.settings.suggests_in(document.language)
        return self._settled.is_set() and wanted

    def _remembers_nothing(self, concerned: Callable[[str], bool], is_waited_for: bool) -> None:
        if self._projects is None:
            return
        self._projects.start_again(concerned, only_ended=is_waited_for)
        for uri in list(self.documents):
            folder, _ = place_in_workspace(uri, self.folders())
            if folder and concerned(folder):
                self.opened(uri)

    def forget(self, uri: str) -> None:
        """Drops what belongs to a document that was closed."""
        self._stop_reading(uri)
        self._remembered.pop(uri, None)
        self._changed_at.pop(uri, None)
        for key in [key for key in self._shown if key[0] == uri]:
            del self._shown[key]
        for key, task in self._under_way.items():
            if key[0] == uri:
                task.cancel()

    async def suggest(
        self, kind: Kind, place: Place, until: Until, timeout: float, delay: float = 0.0
    ) -> tuple[Place, list[str]]:
        """What to suggest at a place, and the place as it is by then, best first.

        The latest request for a document and kind wins; earlier ones get nothing.
        """
        key = (place.document.uri, kind)
        if (earlier := self._under_way.get(key)) is not None:
            earlier.cancel()
        task = asyncio.create_task(self._suggest(key, place, until, timeout, delay))
        self._under_way[key] = task
        try:
            return await task
        except asyncio.CancelledError:
            itself = asyncio.current_task()
            if itself is None or itself.cancelling():
                raise  # the editor took the request back
            return place, []
        finally:
            if self._under_way.get(key) is task:
                del self._under_way[key]

    async def _suggest(
        self, key: tuple[str, Kind], place: Place, until: Until, timeout: float, delay: float
    ) -> tuple[Place, list[str]]:
        self._turned_to(key[0])
        prefix, suffix = place.around()
        changes = self._changes
        found = shown.after(prefix, suffix) if (shown := self._shown.get(key)) else None
        if found is None:
            await asyncio.sleep(delay)
            found = await self._ask(place.document, prefix, suffix, until, timeout)
        if (current := self.documents.get(key[0])) is None:
            return place, []
        if current is not place.document:
            # Typed meanwhile: what was asked for holds if that is what was suggested.
            typed = found.typed_in(current.text)
            left = found.after(prefix + typed, suffix) if typed is not None else None
            if typed is None or left is None or "\n" in typed or "\r" in typed:
                return place, []
            place, found = place.moved(current, typed), left
        if changes == self._changes:
            self._shown[key] = found
        return place, found.texts

    async def _ask(
        self, document: Document, prefix: str, suffix: str, until: Until, timeout: float
    ) -> Suggestions:
        assert self._engines is not None
        with suppress(TimeoutError):  # an editor that does not say gets the defaults
            async with asyncio.timeout_at(self._due):
                await self._settled.wait()
        message = self._message(document, prefix, suffix)
        limits = Limits(
            until=_BOUNDARIES[until],
            candidates=self.settings.candidates,
            length=BLOCK_LENGTH if until == "block" else 0,
            confidence=self.settings.confidence,
        )
        texts = await self._engines.complete(message, limits, timeout)
        return Suggestions(prefix, suffix, [text for text in texts if text.strip()])

    def _message(self, document: Document, prefix: str, suffix: str) -> Message:
        folder, path = place_in_workspace(document.uri, self.folders())
        return Message(
            path=path,
            language=document.language,
            workspace=folder,
            prefix=valid(prefix),
            suffix=valid(suffix),
        )


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
