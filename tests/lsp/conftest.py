"""Editors and engines around the real language server process."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from lsprotocol import types
from pytest_lsp import LanguageClient, make_test_lsp_client

from foretype.v1 import completion_pb2 as pb
from foretype.v1 import completion_pb2_grpc, workspace_pb2_grpc
from foretype.v1 import workspace_pb2 as workspace

URI = "file:///work/zoo/src/Gorilla0.java"


class Editor:
    """An editor with one document open, around pytest-lsp's client."""

    def __init__(self, client: LanguageClient, capabilities: types.ServerCapabilities) -> None:
        self.client = client
        self.capabilities = capabilities
        self.version = 1

    @property
    def pid(self) -> int:
        return cast(Any, self.client)._server.pid

    @property
    def shown(self) -> list[str]:
        return [message.message for message in self.client.messages]

    @property
    def logged(self) -> list[str]:
        return [message.message for message in self.client.log_messages]

    async def until_logged(self, part: str, count: int = 1) -> None:
        async with asyncio.timeout(60):
            while sum(part in message for message in self.logged) < count:
                await asyncio.sleep(0.01)

    async def until_shown(self, part: str) -> None:
        async with asyncio.timeout(60):
            while not any(part in message for message in self.shown):
                await asyncio.sleep(0.01)

    def open(self, text: str, language: str = "java", uri: str = URI) -> Self:
        item = types.TextDocumentItem(uri, language, self.version, text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(item))
        return self

    def type(self, line: int, column: int, text: str) -> None:
        """Inserts a text at a position."""
        at = types.Position(line, column)
        change = types.TextDocumentContentChangePartial(types.Range(at, at), text)
        self.version += 1
        document = types.VersionedTextDocumentIdentifier(self.version, URI)
        self.client.text_document_did_change(types.DidChangeTextDocumentParams(document, [change]))

    def asking(
        self,
        line: int,
        column: int,
        selected: types.SelectedCompletionInfo | None = None,
        *,
        automatic: bool = True,
        request_id: str | None = None,
        uri: str = URI,
    ) -> asyncio.Future[list[types.InlineCompletionItem]]:
        """Asks for inline completions."""
        kind = types.InlineCompletionTriggerKind
        params = types.InlineCompletionParams(
            types.InlineCompletionContext(kind.Automatic if automatic else kind.Invoked, selected),
            types.TextDocumentIdentifier(uri),
            types.Position(line, column),
        )
        method = types.TEXT_DOCUMENT_INLINE_COMPLETION
        request = self.client.protocol.send_request(method, params, msg_id=request_id)
        return asyncio.wrap_future(request)

    async def inline(self, line: int, column: int, **options: Any) -> list[str]:
        """The texts of inline completions."""
        return [str(item.insert_text) for item in await self.asking(line, column, **options)]

    async def popup(self, line: int, column: int) -> types.CompletionList:
        params = types.CompletionParams(
            types.TextDocumentIdentifier(URI), types.Position(line, column)
        )
        found = await self.client.text_document_completion_async(params)
        assert isinstance(found, types.CompletionList)
        return found

    async def set(self, **settings: Any) -> None:
        """Changes the settings and says so; returns when they have been asked for."""
        await self.set_in(None, **settings)

    async def set_in(self, folder: Path | None, **settings: Any) -> None:
        """As `set`, those of a folder alone if there is one."""
        asked = asyncio.Event()
        original = self.client.get_configuration

        def get_configuration(**options: Any) -> Any:
            asked.set()
            return original(**options)

        self.client.get_configuration = get_configuration
        scope = folder.as_uri() if folder else None
        self.client.set_configuration(settings, section="foretype", scope_uri=scope)
        params = types.DidChangeConfigurationParams(settings=None)
        self.client.workspace_did_change_configuration(params)
        await asked.wait()


EditorWith = Callable[..., AbstractAsyncContextManager[Editor]]


@asynccontextmanager
async def _editor(
    *arguments: str | Path,
    encoding: str = "utf-16",
    options: Any = None,
    settings: Any = None,
    folder: Path = Path("/work/zoo"),
    models: Mapping[Path, str] | None = None,
    watched: list[str] | None = None,
) -> AsyncGenerator[Editor]:
    """`models` are folders in place of the one, and what they ask for beside `settings`. An
    editor that watches files notes the patterns of those that it is asked to in `watched`."""
    client = make_test_lsp_client()
    client.set_configuration(settings, section="foretype")
    for path, model in (models or {}).items():
        own: dict[str, Any] = {**(settings or {}), "model": model}
        client.set_configuration(own, section="foretype", scope_uri=path.as_uri())
    folders = list(models) if models else [folder]

    @client.feature(types.CLIENT_REGISTER_CAPABILITY)  # pyright: ignore[reportUntypedFunctionDecorator]
    def register(params: types.RegistrationParams) -> None:  # pyright: ignore[reportUnusedFunction]
        for registration in params.registrations:
            options: Any = registration.register_options
            assert watched is not None
            watched.extend(watcher["globPattern"] for watcher in options["watchers"])

    await client.start_io(sys.executable, "-m", "foretype", "lsp", *map(str, arguments))
    can_watch = types.DidChangeWatchedFilesClientCapabilities(watched is not None)
    capabilities = types.ClientCapabilities(
        workspace=types.WorkspaceClientCapabilities(
            configuration=True, did_change_watched_files=can_watch
        ),
        general=types.GeneralClientCapabilities(
            position_encodings=[types.PositionEncodingKind(encoding)]
        ),
    )
    initialize = types.InitializeParams(
        capabilities=capabilities,
        process_id=os.getpid(),
        workspace_folders=[types.WorkspaceFolder(path.as_uri(), path.name) for path in folders],
        initialization_options=options,
    )
    answer = await client.initialize_session(initialize)
    editor = Editor(client, answer.capabilities)
    try:
        yield editor
    finally:
        if alive(editor.pid):
            await client.shutdown_session()
        await client.stop()


@pytest.fixture
def editor_with() -> EditorWith:
    """Starts `foretype lsp` with arguments, and an editor that talks to it."""
    return _editor


_Servicer: Any = completion_pb2_grpc.CompletionServicer  # its stub asks for every method
_WorkspaceServicer: Any = workspace_pb2_grpc.WorkspaceServicer


class FakeServer(_Servicer, _WorkspaceServicer):
    """A server whose answers and speed the test decides."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.answers = ["Name()"]
        self.requests: list[pb.CompleteRequest] = []
        self.read: list[pb.Document] = []
        self.remembered: list[str] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.cancelled = asyncio.Semaphore(0)
        self.is_forgetting, self.forgot = asyncio.Event(), asyncio.Event()
        self.may_forget = asyncio.Event()
        self.may_forget.set()

    async def Read(self, request: pb.ReadRequest, context: Any) -> pb.ReadResponse:  # noqa: N802
        self.read.append(request.document)
        return pb.ReadResponse()

    async def Complete(self, request: pb.CompleteRequest, context: Any) -> pb.CompleteResponse:  # noqa: N802
        self.requests.append(request)
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.cancelled.release()
            raise
        return pb.CompleteResponse(candidates=[pb.Candidate(text=text) for text in self.answers])

    async def Status(self, request: Any, context: Any) -> workspace.StatusResponse:  # noqa: N802
        return workspace.StatusResponse()

    async def Remember(self, request: Any, context: Any) -> workspace.RememberResponse:  # noqa: N802
        self.remembered += [document.text for document in request.documents]
        return workspace.RememberResponse(memory=workspace.WorkspaceMemory(is_read=True))

    async def Forget(self, request: Any, context: Any) -> workspace.ForgetResponse:  # noqa: N802
        self.is_forgetting.set()
        await self.may_forget.wait()
        self.forgot.set()
        return workspace.ForgetResponse()

    async def until_read(self) -> None:
        """That a document is to be read."""
        async with asyncio.timeout(30):
            while not self.read:
                await asyncio.sleep(0.01)

    async def until_asked(self, count: int) -> None:
        async with asyncio.timeout(30):
            while len(self.requests) < count:
                await asyncio.sleep(0.01)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[Self]:
        server = grpc.aio.server()
        completion_pb2_grpc.add_CompletionServicer_to_server(self, server)
        workspace_pb2_grpc.add_WorkspaceServicer_to_server(self, server)
        servicer = cast(Any, health).aio.HealthServicer()
        await servicer.set("", health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        server.add_insecure_port(self.address)
        await server.start()
        try:
            yield self
        finally:
            await servicer.enter_graceful_shutdown()
            await server.stop(0)


@pytest.fixture
async def fake_server(tmp_path: Path) -> AsyncGenerator[FakeServer]:
    async with FakeServer(f"unix:{tmp_path}/s").running() as server:
        yield server


@pytest.fixture
async def editor(fake_server: FakeServer) -> AsyncGenerator[Editor]:
    """An editor whose language server asks the fake server."""
    async with _editor("--server", fake_server.address) as editor:
        await editor.until_logged("the engine is ready")
        yield editor


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    command: str


def processes() -> list[Process]:
    """Those that run; one that ended and waits for its parent does not."""
    found: list[Process] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            command = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue  # it ended meanwhile
        if state != "Z":
            found.append(Process(int(folder.name), int(parent), command.replace("\0", " ")))
    return found


def alive(pid: int) -> bool:
    return any(process.pid == pid for process in processes())


def engine_of(adapter: int) -> int:
    """The process that the language server started."""
    [engine] = [process.pid for process in processes() if process.parent == adapter]
    return engine


async def until_gone(*pids: int) -> None:
    async with asyncio.timeout(20):
        while any(alive(pid) for pid in pids):
            await asyncio.sleep(0.05)
