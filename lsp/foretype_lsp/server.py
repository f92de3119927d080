"""The language server: what an editor asks, answered by the engine.

An answer never is an error and never null: where there is nothing to suggest it is an empty
list, which makes editors take away what they show.
"""

from __future__ import annotations

import logging
import sys

from lsprotocol import types

from foretype_lsp.adapter import Adapter
from foretype_lsp.editor import asked_for
from foretype_lsp.settings import Until
from foretype_lsp.suggestions import Place, inline_items, popup_items

INVOKED_TIMEOUT = 10.0  # seconds, where the user asked
AUTOMATIC_TIMEOUT = 3.0  # where typing did
POPUP_TIMEOUT = 1.0  # an editor's popup waits for its slowest server


def build(server: str | None, model: str) -> Adapter:
    """The language server with its handlers; it starts when an editor initializes it."""
    adapter = Adapter(server, model)

    @adapter.feature(types.INITIALIZE)
    def initialize(ls: Adapter, params: types.InitializeParams) -> None:
        ls.start(params)

    @adapter.feature(types.INITIALIZED)
    async def initialized(ls: Adapter, params: types.InitializedParams) -> None:
        await ls.register_for_settings()
        await ls.update_settings()
        ls.settle()

    @adapter.feature(types.SHUTDOWN)
    async def shutdown(ls: Adapter, params: None) -> None:
        await ls.stop()

    @adapter.feature(types.TEXT_DOCUMENT_DID_SAVE)
    def did_save(ls: Adapter, params: types.DidSaveTextDocumentParams) -> None:
        ls.saved(params.text_document.uri)

    @adapter.feature(types.WORKSPACE_DID_CHANGE_WATCHED_FILES)
    def did_change_watched_files(ls: Adapter, params: types.DidChangeWatchedFilesParams) -> None:
        ls.files_changed([change.uri for change in params.changes])

    @adapter.feature(types.WORKSPACE_DID_CHANGE_CONFIGURATION)
    async def did_change_configuration(
        ls: Adapter, params: types.DidChangeConfigurationParams
    ) -> None:
        await ls.update_settings(params.settings)
        ls.settle()

    @adapter.feature(types.WORKSPACE_DID_CHANGE_WORKSPACE_FOLDERS)
    async def did_change_workspace_folders(
        ls: Adapter, params: types.DidChangeWorkspaceFoldersParams
    ) -> None:
        await ls.update_settings()
        ls.settle()

    @adapter.feature(
        types.TEXT_DOCUMENT_INLINE_COMPLETION,
        types.InlineCompletionOptions(),  # without options pygls does not advertise it
    )
    async def inline_completion(
        ls: Adapter, params: types.InlineCompletionParams
    ) -> list[types.InlineCompletionItem]:
        document = asked_for.get()
        if document is None or not ls.settings.suggests_in(document.language):
            return []
        selected = params.context.selected_completion_info
        if selected is None:
            place = Place.at_cursor(document, params.position)
        else:
            place = Place.at_selection(document, selected)
        automatic = params.context.trigger_kind == types.InlineCompletionTriggerKind.Automatic
        delay = ls.settings.delay / 1000 if automatic else 0.0
        timeout = AUTOMATIC_TIMEOUT if automatic else INVOKED_TIMEOUT
        found = await ls.suggest("inline", place, ls.settings.until, timeout, delay)
        return inline_items(*found)

    @adapter.feature(
        types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions(trigger_characters=["."])
    )
    async def completion(ls: Adapter, params: types.CompletionParams) -> types.CompletionList:
        document = asked_for.get()
        if document is None or not ls.settings.suggests_in(document.language):
            return types.CompletionList(is_incomplete=True, items=[])
        place = Place.at_cursor(document, params.position)
        until: Until = "token" if ls.settings.until == "token" else "line"
        found = await ls.suggest("popup", place, until, POPUP_TIMEOUT)
        # Incomplete: what fits changes with every character.
        return types.CompletionList(
            is_incomplete=True, items=popup_items(*found, ls.popup_snippets)
        )

    return adapter


def run(server: str | None, model: str) -> None:
    """Serves one editor on standard input and output until it leaves."""
    # Standard output is the protocol's. pygls logs whole messages, and those hold source code.
    logging.getLogger("pygls").setLevel(logging.CRITICAL + 1)
    adapter = build(server, model)
    adapter.start_io()
    sys.exit(0 if adapter.left_in_order else 1)
