"""One editor's session: its documents, its settings, and what was suggested to it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from importlib.metadata import version
from typing import Any, Literal, cast
from uuid import uuid4

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer
from pygls.protocol import LanguageServerProtocol, lsp_method

from foretype.client import Document as Message
from foretype.client import Limits
from foretype.v1 import completion_pb2 as pb
from foretype.v1.workspace_pb2 import WorkspaceMemory
from foretype_lsp import settings
from foretype_lsp.documents import Document, place_in_workspace
from foretype_lsp.engines import Engines
from foretype_lsp.positions import Encoding
from foretype_lsp.projects import Projects
from foretype_lsp.settings import SECTION, Settings, Until
from foretype_lsp.suggestions import Place, Suggestions
from foretype_lsp.tasks import Tasks

BLOCK_LENGTH = 600  # bytes; what is shorter has the engine's own bound
FORGET_TIMEOUT = 1.0  # seconds that a server has for it when the editor leaves
LEFT = 2.0  # seconds without an edit until a document counts as it is in others
SETTINGS_TIMEOUT = 1.0  # seconds in which the first request waits for the settings
EDITOR_TIMEOUT = 5.0  # seconds that the editor has to make room for progress
PARENT_INTERVAL = 2.0  # seconds between looks at the editor's process
_NO_PATTERN = re.compile(r"\.[\w+-]+")  # an ending that stands for itself in a glob

Kind = Literal["inline", "popup"]
_BOUNDARIES: dict[Until, pb.Boundary.ValueType] = {
    "token": pb.BOUNDARY_TOKEN,
    "line": pb.BOUNDARY_LINE,
    "block": pb.BOUNDARY_BLOCK,
}
asked_for: ContextVar[Document | None] = ContextVar("asked_for", default=None)
"""The document as it was when the request arrived."""


_Steps = Generator[Any, Any, None]
"""What pygls makes of a handler of its own; ours have one step."""


class _Protocol(LanguageServerProtocol):
    """Keeps the documents in place of pygls, whose lines end where LSP's do not."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.documents: dict[str, Document] = {}

    def handle_message(self, message: Any) -> None:
        # An async handler may start after edits that arrived later; its context does not.
        request: Any = message
        if isinstance(message, types.InlineCompletionRequest | types.CompletionRequest):
            asked_for.set(self.documents.get(message.params.text_document.uri))
        super().handle_message(request)

    @lsp_method(types.TEXT_DOCUMENT_DID_OPEN)
    def lsp_text_document__did_open(self, params: types.DidOpenTextDocumentParams) -> _Steps:
        encoding = Encoding(self.workspace.position_encoding)
        item = params.text_document
        self.documents[item.uri] = Document.opened(item, encoding)
        cast(Adapter, self._server).opened(item.uri)
        yield from ()

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> _Steps:
        uri, changed = params.text_document.uri, params.text_document.version
        if (document := self.documents.get(uri)) is not None:
            self.documents[uri] = document.changed(changed, params.content_changes)
            cast(Adapter, self._server).changed(uri)
        yield from ()

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: types.DidCloseTextDocumentParams) -> _Steps:
        self.documents.pop(params.text_document.uri, None)
        cast(Adapter, self._server).forget(params.text_document.uri)
        yield from ()


class Adapter(LanguageServer):
    """The state of one editor's session."""

    def __init__(self, server: str | None, model: str) -> None:
        super().__init__("foretype", version("foretype"), protocol_cls=_Protocol)
        self.documents = cast(_Protocol, self.protocol).documents
        self.settings = Settings()
        self.left_in_order = False
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
        self._sees_deletions = False  # of any file, where the editor can tell
        self._changes = 0  # of folders' memories
        self._remembered: dict[str, int] = {}  # versions of documents, as they were last told
        self._changed_at: dict[str, float] = {}  # by the event loop's clock
        self._under_way: dict[tuple[str, Kind], asyncio.Task[Any]] = {}
        self._background, self._forgetting = Tasks(), Tasks()
        self._reading: dict[str, asyncio.Task[None]] = {}  # of open documents

    def start(self, params: types.InitializeParams) -> None:
        """Makes room for engines, connects to a server, and watches over the editor."""
        self._due = asyncio.get_running_loop().time() + SETTINGS_TIMEOUT
        self._engines = Engines(*self._engine_of, self, self._remembers_nothing)
        self._projects = Projects(
            self._remember, self._forget, self._watch_files, self._showing, self.log
        )
        if os.name == "posix":
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

    def log(self, message: str) -> None:
        if self.left_in_order:
            return
        with suppress(BrokenPipeError):  # an editor that was killed reads nothing any more
            self.window_log_message(types.LogMessageParams(types.MessageType.Info, message))

    def show_error(self, message: str) -> None:
        self.window_show_message(types.ShowMessageParams(types.MessageType.Error, message))

    def report_server_error(self, error: Exception, source: Any) -> None:
        """Without what the error says, which may hold source code."""
        at = error.__traceback__
        while at is not None and at.tb_next is not None:
            at = at.tb_next
        place = f" in {at.tb_frame.f_code.co_name}" if at is not None else ""
        print(f"foretype: a defect: {type(error).__name__}{place}", file=sys.stderr)

    def show_warning(self, message: str) -> None:
        self.window_show_message(types.ShowMessageParams(types.MessageType.Warning, message))

    def apply_settings(self, given: Any, by_folder: Mapping[str, Any] = {}) -> None:
        """Takes settings over, those by folder for the model alone, and tells the user once
        what cannot be used."""
        before = self.settings
        self.settings, problems = settings.read(self._initial_options, given)
        self._models = {}
        for folder in self._folders():
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
        workspace = self.client_capabilities.workspace
        if not (workspace and workspace.configuration):
            if pushed is not None:
                self._pushed = settings.section(pushed)
            self.apply_settings(self._pushed)
            return
        folders = self._folders()
        items = [types.ConfigurationItem(uri, SECTION) for uri in (None, *folders)]
        try:
            given, *others = await self.workspace_configuration_async(
                types.ConfigurationParams(items)
            )
        except (JsonRpcException, ValueError):
            self.log("foretype: the editor did not say what its settings are")
        else:
            self.apply_settings(given, dict(zip(folders, others, strict=False)))

    async def register_for_settings(self) -> None:
        workspace = self.client_capabilities.workspace
        changes = workspace and workspace.did_change_configuration
        if changes and changes.dynamic_registration:
            method = types.WORKSPACE_DID_CHANGE_CONFIGURATION
            options = types.DidChangeConfigurationRegistrationOptions(section=SECTION)
            await self._register("settings", method, options, "its settings change")

    def _watch_files(self, suffix: str) -> None:
        """Has the editor tell when files with this ending change, where it can."""
        workspace = self.client_capabilities.workspace
        changes = workspace and workspace.did_change_watched_files
        if changes and changes.dynamic_registration and _NO_PATTERN.fullmatch(suffix):
            method = types.WORKSPACE_DID_CHANGE_WATCHED_FILES
            watchers = [types.FileSystemWatcher(f"**/*{suffix}")]
            if not self._sees_deletions:
                # Of a folder that is deleted editors tell alone, not of the files in it.
                watchers.append(types.FileSystemWatcher("**/*", types.WatchKind.Delete))
                self._sees_deletions = True
            options = types.DidChangeWatchedFilesRegistrationOptions(watchers)
            self._background.start(
                self._register(f"files{suffix}", method, options, "files change")
            )

    async def _register(self, name: str, method: str, options: Any, when: str) -> None:
        registration = types.Registration(f"foretype-{name}", method, options)
        try:
            await self.client_register_capability_async(types.RegistrationParams([registration]))
        except JsonRpcException:
            self.log(f"foretype: the editor will not say when {when}")

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
            self._projects.opened(document, self._folders())
        if document and self._settled.is_set() and self.settings.suggests_in(document.language):
            self._stop_reading(uri)
            self._reading[uri] = asyncio.create_task(self._read(uri))

    async def _read(self, uri: str) -> None:
        assert self._projects is not None
        assert self._engines is not None
        await self._projects.remembered(uri, self._folders())
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
            self._projects.saved(document, self._folders())

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
            self._projects.changed(uris, self._folders())

    def _remembers(self, document: Document) -> bool:
        wanted = self.settings.memory and self.settings.suggests_in(document.language)
        return self._settled.is_set() and wanted

    def _remembers_nothing(self, concerned: Callable[[str], bool], is_waited_for: bool) -> None:
        if self._projects is None:
            return
        self._projects.start_again(concerned, only_ended=is_waited_for)
        for uri in list(self.documents):
            folder, _ = place_in_workspace(uri, self._folders())
            if folder and concerned(folder):
                self.opened(uri)

    @asynccontextmanager
    async def _showing(self, what: str) -> AsyncGenerator[None]:
        """Shows progress in the editor where that can show any."""
        window = self.client_capabilities.window
        if not (window and window.work_done_progress):
            yield
            return
        token = str(uuid4())
        try:
            async with asyncio.timeout(EDITOR_TIMEOUT):
                await self.work_done_progress.create_async(token)
        except (JsonRpcException, TimeoutError):  # the editor would rather not
            yield
            return
        self.work_done_progress.begin(token, types.WorkDoneProgressBegin(what, cancellable=False))
        try:
            yield
        finally:
            with suppress(BrokenPipeError):
                self.work_done_progress.end(token, types.WorkDoneProgressEnd())

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
        folder, path = place_in_workspace(document.uri, self._folders())
        return Message(
            path=path,
            language=document.language,
            workspace=folder,
            prefix=_valid(prefix),
            suffix=_valid(suffix),
        )

    def _folders(self) -> list[str]:
        return [folder.uri for folder in self.workspace.folders.values()] or (
            [self.workspace.root_uri] if self.workspace.root_uri else []
        )


def _valid(text: str) -> str:
    """Without halves of surrogate pairs, which JSON can carry and UTF-8 cannot."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
