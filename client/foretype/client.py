"""Clients of a Foretype server: `Client` waits, `AsyncClient` is awaited.

    with Client("unix:/run/user/1000/foretype.sock") as client:
        response = client.complete(Document(path="src/App.java", prefix="public sta"))
        print(response.candidates[0].text)

Both send and receive the messages of `foretype.v1`, whose .proto files say what they mean.
A call that fails raises a ForetypeError:

    ForetypeError
    ├── InvalidRequest     a limit was broken, or there is no such model
    ├── Unavailable        no server answers at that address
    ├── Overloaded         too many requests are under way: try again
    └── DeadlineExceeded   the time that was given did not suffice
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self, cast

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from foretype.heads import Heads, is_unknown_head
from foretype.v1 import (
    completion_pb2_grpc,
    models_pb2,
    models_pb2_grpc,
    workspace_pb2_grpc,
)
from foretype.v1.completion_pb2 import (
    CompleteRequest,
    CompleteResponse,
    Document,
    Limits,
    PredictRequest,
    PredictResponse,
    ReadRequest,
    ReadResponse,
    ScoreRequest,
    ScoreResponse,
    StreamRequest,
    StreamResponse,
)
from foretype.v1.workspace_pb2 import (
    ForgetRequest,
    RememberRequest,
    StatusRequest,
    TextDocument,
    WorkspaceMemory,
)

__all__ = [
    "AsyncClient",
    "Client",
    "DeadlineExceeded",
    "Document",
    "ForetypeError",
    "InvalidRequest",
    "Limits",
    "Overloaded",
    "Unavailable",
]

DEFAULT_TIMEOUT = 30.0  # seconds
LOAD_TIMEOUT = 120.0
_MAX_REQUEST = 8 * 2**20  # bytes of texts to remember
_MAX_DOCUMENTS = 10_000

# The largest request holds a prefix and a suffix of 4 MiB each.
_OPTIONS = [
    ("grpc.max_send_message_length", 9 * 2**20),
    ("grpc.max_receive_message_length", 64 * 2**20),
    # A call that meets a server which is just starting tries again soon.
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.initial_reconnect_backoff_ms", 20),
    ("grpc.min_reconnect_backoff_ms", 20),
    # A server on this machine is reached directly, whatever the environment says.
    ("grpc.enable_http_proxy", 0),
]


class ForetypeError(Exception):
    """A call failed; the message is the server's."""

    exit_code = 1


class InvalidRequest(ForetypeError):
    """The request broke a limit, or named a model that is not there."""

    exit_code = 2


class Unavailable(ForetypeError):
    """No server answers at the address."""


class Overloaded(ForetypeError):
    """The server has as many requests under way as it takes; try again."""


class DeadlineExceeded(ForetypeError):
    """The call took longer than it was given."""


_ERRORS: dict[grpc.StatusCode, type[ForetypeError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.NOT_FOUND: InvalidRequest,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}


@contextmanager
def _errors(address: str) -> Generator[None]:
    """Turns gRPC's errors into ours."""
    try:
        yield
    except grpc.RpcError as error:
        code, details = error.code(), error.details() or error.code().name
        if code == grpc.StatusCode.UNAVAILABLE:
            details = f"no Foretype server answers at {address}: {details}"
        raise _ERRORS.get(code, ForetypeError)(details) from error


class Client:
    """Calls a server and waits for its answers. May be used from several threads.

    `address` is `unix:PATH` or `HOST:PORT`. Connecting happens with the first call.
    """

    def __init__(self, address: str, timeout: float = DEFAULT_TIMEOUT) -> None:
        self.address = address
        self._timeout = timeout
        self._heads = Heads()
        self._channel = grpc.insecure_channel(address, _OPTIONS)
        self._completion = completion_pb2_grpc.CompletionStub(self._channel)
        self._models = models_pb2_grpc.ModelsStub(self._channel)
        self._workspace = workspace_pb2_grpc.WorkspaceStub(self._channel)
        self._watch: Any = cast(Any, health_pb2_grpc.HealthStub)(self._channel).Watch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._channel.close()

    def wait_until_serving(self, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Returns as soon as the server says that it is ready. Raises ForetypeError."""
        with _errors(self.address):
            request = health_pb2.HealthCheckRequest()
            for status in self._watch(request, timeout=timeout, wait_for_ready=True):
                if status.status == health_pb2.HealthCheckResponse.SERVING:
                    return
        raise Unavailable(f"the server at {self.address} is shutting down")

    def read(self, document: Document) -> ReadResponse:
        """Has a document's prefix read in the background, for answers in it that come soon.
        Raises ForetypeError."""
        request = ReadRequest(document=document)
        with _errors(self.address):
            response = self._completion.Read(request, timeout=self._timeout)
        self._heads.note(document)
        return response

    def complete(
        self, document: Document, limits: Limits | None = None, timeout: float | None = None
    ) -> CompleteResponse:
        """Ranked continuations of a document at the cursor. Raises ForetypeError.

        Of a long document no more is sent than the server does not have.
        """
        sent = self._heads.without(document)
        with _errors(self.address):
            try:
                response = self._complete(sent, limits, timeout)
            except grpc.RpcError as error:
                if sent is document or not is_unknown_head(error):
                    raise
                response = self._complete(document, limits, timeout)
        self._heads.note(document)
        return response

    def _complete(
        self, document: Document, limits: Limits | None, timeout: float | None
    ) -> CompleteResponse:
        request = CompleteRequest(document=document, limits=limits)
        return self._completion.Complete(request, timeout=timeout or self._timeout)

    def stream(
        self, document: Document, limits: Limits | None = None, timeout: float | None = None
    ) -> Generator[StreamResponse]:
        """The best continuation as it is decided; closing the iterator cancels the rest.

        Raises ForetypeError.
        """
        request = StreamRequest(document=document, limits=limits)
        call = self._completion.Stream(request, timeout=timeout or self._timeout)
        try:
            with _errors(self.address):
                yield from call
        finally:
            call.cancel()

    def predict(self, document: Document, top: int = 10) -> PredictResponse:
        """The most probable next characters. Raises ForetypeError."""
        request = PredictRequest(document=document, top=top)
        with _errors(self.address):
            return self._completion.Predict(request, timeout=self._timeout)

    def score(self, path: str, text: str, timeout: float | None = None) -> ScoreResponse:
        """The bits of each character of a text. Raises ForetypeError."""
        request = ScoreRequest(path=path, text=text)
        with _errors(self.address):
            return self._completion.Score(request, timeout=timeout or self._timeout)

    def models(self) -> list[models_pb2.Model]:
        """All models that the server can see. Raises ForetypeError."""
        with _errors(self.address):
            return list(self._models.List(models_pb2.ListRequest(), timeout=self._timeout).models)

    def model(self, name: str) -> models_pb2.Model:
        """One model. Raises InvalidRequest if there is none of this name."""
        with _errors(self.address):
            return self._models.Get(models_pb2.GetRequest(name=name), timeout=self._timeout).model

    def load(self, name: str, timeout: float = LOAD_TIMEOUT) -> models_pb2.LoadResponse:
        """Has the server answer with another of its models, once that has proved itself; no
        request is lost. Raises InvalidRequest if there is none of this name, ForetypeError if
        it cannot be used or the server loads none: then the one before goes on serving."""
        with _errors(self.address):
            return self._models.Load(models_pb2.LoadRequest(name=name), timeout=timeout)

    def remember(
        self, workspace: str, texts: Mapping[str, str], timeout: float | None = None
    ) -> WorkspaceMemory:
        """Puts texts, by path, into a workspace's memory: all or, where they are more than a
        request holds, as many as there was no error before. Raises ForetypeError."""
        memory = self.workspace_memory(workspace)
        for documents in _in_requests(texts):
            request = RememberRequest(workspace=workspace, documents=documents)
            with _errors(self.address):
                answer = self._workspace.Remember(request, timeout=timeout or self._timeout)
            memory = answer.memory
        return memory

    def forget(
        self, workspace: str, paths: Sequence[str] = (), timeout: float | None = None
    ) -> WorkspaceMemory:
        """Takes texts out of a workspace's memory, all where none is named. Raises
        ForetypeError."""
        request = ForgetRequest(workspace=workspace, paths=paths)
        with _errors(self.address):
            return self._workspace.Forget(request, timeout=timeout or self._timeout).memory

    def workspace_memory(self, workspace: str) -> WorkspaceMemory:
        """How large a workspace's memory is. Raises ForetypeError."""
        request = StatusRequest(workspace=workspace)
        with _errors(self.address):
            return self._workspace.Status(request, timeout=self._timeout).memory


class AsyncClient:
    """As `Client`, for asyncio: cancelling the task cancels the call.

    Make it inside the event loop that uses it.
    """

    def __init__(self, address: str, timeout: float = DEFAULT_TIMEOUT) -> None:
        self.address = address
        self._timeout = timeout
        self._heads = Heads()
        self._channel = grpc.aio.insecure_channel(address, _OPTIONS)
        self._completion = completion_pb2_grpc.CompletionStub(self._channel)
        self._models = models_pb2_grpc.ModelsStub(self._channel)
        self._workspace = workspace_pb2_grpc.WorkspaceStub(self._channel)
        self._watch: Any = cast(Any, health_pb2_grpc.HealthStub)(self._channel).Watch

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._channel.close()

    async def wait_until_serving(self, timeout: float = DEFAULT_TIMEOUT) -> None:
        """Returns as soon as the server says that it is ready. Raises ForetypeError."""
        with _errors(self.address):
            request = health_pb2.HealthCheckRequest()
            call = self._watch(request, timeout=timeout, wait_for_ready=True)
            async for status in call:
                if status.status == health_pb2.HealthCheckResponse.SERVING:
                    call.cancel()
                    return
        raise Unavailable(f"the server at {self.address} is shutting down")

    async def read(self, document: Document) -> ReadResponse:
        """As `Client.read`. Raises ForetypeError."""
        request = ReadRequest(document=document)
        with _errors(self.address):
            response = await self._completion.Read(request, timeout=self._timeout)
        self._heads.note(document)
        return response

    async def complete(
        self, document: Document, limits: Limits | None = None, timeout: float | None = None
    ) -> CompleteResponse:
        """As `Client.complete`. Raises ForetypeError."""
        sent = self._heads.without(document)
        with _errors(self.address):
            try:
                response = await self._complete(sent, limits, timeout)
            except grpc.RpcError as error:
                if sent is document or not is_unknown_head(error):
                    raise
                response = await self._complete(document, limits, timeout)
        self._heads.note(document)
        return response

    async def _complete(
        self, document: Document, limits: Limits | None, timeout: float | None
    ) -> CompleteResponse:
        request = CompleteRequest(document=document, limits=limits)
        return await self._completion.Complete(request, timeout=timeout or self._timeout)

    async def stream(
        self, document: Document, limits: Limits | None = None, timeout: float | None = None
    ) -> AsyncGenerator[StreamResponse]:
        """The best continuation as it is decided; closing the iterator cancels the rest.

        Raises ForetypeError.
        """
        request = StreamRequest(document=document, limits=limits)
        call = self._completion.Stream(request, timeout=timeout or self._timeout)
        try:
            with _errors(self.address):
                async for response in call:
                    yield response
        finally:
            call.cancel()

    async def predict(self, document: Document, top: int = 10) -> PredictResponse:
        """The most probable next characters. Raises ForetypeError."""
        request = PredictRequest(document=document, top=top)
        with _errors(self.address):
            return await self._completion.Predict(request, timeout=self._timeout)

    async def score(self, path: str, text: str, timeout: float | None = None) -> ScoreResponse:
        """The bits of each character of a text. Raises ForetypeError."""
        request = ScoreRequest(path=path, text=text)
        with _errors(self.address):
            return await self._completion.Score(request, timeout=timeout or self._timeout)

    async def models(self) -> list[models_pb2.Model]:
        """All models that the server can see. Raises ForetypeError."""
        with _errors(self.address):
            response = await self._models.List(models_pb2.ListRequest(), timeout=self._timeout)
        return list(response.models)

    async def model(self, name: str) -> models_pb2.Model:
        """One model. Raises InvalidRequest if there is none of this name."""
        request = models_pb2.GetRequest(name=name)
        with _errors(self.address):
            return (await self._models.Get(request, timeout=self._timeout)).model

    async def load(self, name: str, timeout: float = LOAD_TIMEOUT) -> models_pb2.LoadResponse:
        """As `Client.load`. Raises ForetypeError."""
        request = models_pb2.LoadRequest(name=name)
        with _errors(self.address):
            return await self._models.Load(request, timeout=timeout)

    async def remember(
        self, workspace: str, texts: Mapping[str, str], timeout: float | None = None
    ) -> WorkspaceMemory:
        """As `Client.remember`. Raises ForetypeError."""
        memory = await self.workspace_memory(workspace)
        for documents in _in_requests(texts):
            request = RememberRequest(workspace=workspace, documents=documents)
            with _errors(self.address):
                call = self._workspace.Remember(request, timeout=timeout or self._timeout)
                memory = (await call).memory
        return memory

    async def forget(
        self, workspace: str, paths: Sequence[str] = (), timeout: float | None = None
    ) -> WorkspaceMemory:
        """As `Client.forget`. Raises ForetypeError."""
        request = ForgetRequest(workspace=workspace, paths=paths)
        with _errors(self.address):
            call = self._workspace.Forget(request, timeout=timeout or self._timeout)
            return (await call).memory

    async def workspace_memory(self, workspace: str) -> WorkspaceMemory:
        """How large a workspace's memory is. Raises ForetypeError."""
        request = StatusRequest(workspace=workspace)
        with _errors(self.address):
            return (await self._workspace.Status(request, timeout=self._timeout)).memory


def _in_requests(texts: Mapping[str, str]) -> Iterator[list[TextDocument]]:
    """The texts in as few requests as hold them."""
    documents: list[TextDocument] = []
    size = 0
    for path, text in texts.items():
        length = len(path.encode()) + len(text.encode())
        if documents and (size + length > _MAX_REQUEST or len(documents) == _MAX_DOCUMENTS):
            yield documents
            documents, size = [], 0
        documents.append(TextDocument(path=path, text=text))
        size += length
    if documents:
        yield documents
