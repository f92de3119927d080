"""The editor's side of a session: its documents, what it is asked, and what it is shown."""

from __future__ import annotations

import asyncio
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from importlib.metadata import version
from typing import Any, cast
from uuid import uuid4

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer
from pygls.protocol import LanguageServerProtocol, lsp_method

from foretype_lsp.documents import Document
from foretype_lsp.positions import Encoding
from foretype_lsp.settings import SECTION
from foretype_lsp.tasks import Tasks

EDITOR_TIMEOUT = 5.0  # seconds that the editor has to make room for progress
_NO_PATTERN = re.compile(r"\.[\w+-]+")  # an ending that stands for itself in a glob

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
        cast(Editor, self._server).opened(item.uri)
        yield from ()

    @lsp_method(types.TEXT_DOCUMENT_DID_CHANGE)
    def lsp_text_document__did_change(self, params: types.DidChangeTextDocumentParams) -> _Steps:
        uri, changed = params.text_document.uri, params.text_document.version
        if (document := self.documents.get(uri)) is not None:
            self.documents[uri] = document.changed(changed, params.content_changes)
            cast(Editor, self._server).changed(uri)
        yield from ()

    @lsp_method(types.TEXT_DOCUMENT_DID_CLOSE)
    def lsp_text_document__did_close(self, params: types.DidCloseTextDocumentParams) -> _Steps:
        self.documents.pop(params.text_document.uri, None)
        cast(Editor, self._server).forget(params.text_document.uri)
        yield from ()


class Editor(LanguageServer, ABC):
    """What one editor is told, and what it says."""

    def __init__(self) -> None:
        super().__init__("foretype", version("foretype"), protocol_cls=_Protocol)
        self.documents = cast(_Protocol, self.protocol).documents
        self.left_in_order = False
        self._sees_deletions = False  # of any file, where the editor can tell
        self._background = Tasks()

    @abstractmethod
    def opened(self, uri: str) -> None:
        """A document was opened."""

    @abstractmethod
    def changed(self, uri: str) -> None:
        """A document was edited."""

    @abstractmethod
    def forget(self, uri: str) -> None:
        """A document was closed."""

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

    async def ask_for_settings(self, folders: Sequence[str]) -> list[Any] | None:
        """The general ones, then those of each folder; None where the editor does not say."""
        items = [types.ConfigurationItem(uri, SECTION) for uri in (None, *folders)]
        try:
            params = types.ConfigurationParams(items)
            general, *by_folder = await self.workspace_configuration_async(params)
        except (JsonRpcException, ValueError):
            self.log("foretype: the editor did not say what its settings are")
            return None
        return [general, *by_folder]

    @property
    def can_be_asked_for_settings(self) -> bool:
        workspace = self.client_capabilities.workspace
        return bool(workspace and workspace.configuration)

    async def register_for_settings(self) -> None:
        workspace = self.client_capabilities.workspace
        changes = workspace and workspace.did_change_configuration
        if changes and changes.dynamic_registration:
            method = types.WORKSPACE_DID_CHANGE_CONFIGURATION
            options = types.DidChangeConfigurationRegistrationOptions(section=SECTION)
            await self._register("settings", method, options, "its settings change")

    def watch_files(self, suffix: str) -> None:
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

    @asynccontextmanager
    async def showing(self, what: str) -> AsyncGenerator[None]:
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

    def folders(self) -> list[str]:
        return [folder.uri for folder in self.workspace.folders.values()] or (
            [self.workspace.root_uri] if self.workspace.root_uri else []
        )
