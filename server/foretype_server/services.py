"""The gRPC services: messages in, the engine's work, messages out."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any

import grpc
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from foretype.v1 import completion_pb2 as pb
from foretype.v1 import (
    completion_pb2_grpc,
    models_pb2,
    models_pb2_grpc,
    workspace_pb2,
    workspace_pb2_grpc,
)
from foretype_models import registry
from foretype_models.bundle import BundleError, Description
from foretype_server import requests, workspaces
from foretype_server.candidates import Candidate, Stop
from foretype_server.documents import Timings
from foretype_server.engine import Engine
from foretype_server.errors import (
    InvalidRequest,
    NotFound,
    NotReady,
    OutOfTime,
    Overloaded,
    RequestError,
    SwitchedOff,
    UnknownHead,
)
from foretype_server.heads import Heads
from foretype_server.search import Character
from foretype_server.served import Loader, Served

MAX_SECONDS = 120.0  # for one request, however long its own deadline

Context = grpc.aio.ServicerContext[Any, Any]

_CODES: dict[type[RequestError], grpc.StatusCode] = {
    InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    NotFound: grpc.StatusCode.NOT_FOUND,
    UnknownHead: grpc.StatusCode.FAILED_PRECONDITION,
    NotReady: grpc.StatusCode.FAILED_PRECONDITION,
    SwitchedOff: grpc.StatusCode.UNIMPLEMENTED,
    Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    OutOfTime: grpc.StatusCode.DEADLINE_EXCEEDED,
}
_STOPS: dict[Stop, pb.Stop.ValueType] = {
    "boundary": pb.STOP_BOUNDARY,
    "length": pb.STOP_LENGTH,
    "confidence": pb.STOP_CONFIDENCE,
    "end of file": pb.STOP_END_OF_FILE,
    "suffix": pb.STOP_SUFFIX,
    "repetition": pb.STOP_REPETITION,
}
_log = logging.getLogger(__name__)


@asynccontextmanager
async def _answering(context: Context) -> AsyncGenerator[None]:
    """Bounds a request's time and maps what it runs into to status codes."""
    try:
        try:
            async with asyncio.timeout(MAX_SECONDS):
                yield
        except TimeoutError as error:
            raise OutOfTime(f"it took longer than {MAX_SECONDS:.0f} seconds") from error
    except RequestError as error:
        await context.abort(_CODES[type(error)], str(error), _details(error))
    except Exception as error:
        if isinstance(error, grpc.aio.AbortError):
            raise
        _log.exception("a request failed")
        await context.abort(grpc.StatusCode.INTERNAL, f"a defect in foretype: {error!r}")


def _details(error: RequestError) -> tuple[tuple[str, str | bytes], ...]:
    """Those of its status that a program can read, as metadata."""
    if not isinstance(error, UnknownHead):
        return ()
    status = Status(code=_CODES[UnknownHead].value[0], message=str(error))
    status.details.add().Pack(pb.UnknownHead())
    return rpc_status.to_status(status).trailing_metadata


@asynccontextmanager
async def _engine(served: Served, context: Context) -> AsyncGenerator[Engine]:
    """The engine that a request is answered by, from its arrival to its end."""
    async with _answering(context):
        with served.engine() as engine:
            yield engine


class CompletionService(completion_pb2_grpc.CompletionServicer):
    """foretype.v1.Completion"""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._heads = Heads()

    async def Read(self, request: pb.ReadRequest, context: Context) -> pb.ReadResponse:
        async with _engine(self._served, context) as engine:
            document = requests.document(request.document, self._heads)
            left = await engine.read(document)
            return pb.ReadResponse(model=_version(engine), left_bytes=left)
        raise AssertionError

    async def Complete(self, request: pb.CompleteRequest, context: Context) -> pb.CompleteResponse:
        timings = Timings()
        async with _engine(self._served, context) as engine:
            document = requests.document(request.document, self._heads)
            limits = requests.limits(request.limits)
            found = await engine.complete(document, limits, timings)
            return pb.CompleteResponse(
                candidates=[_candidate(candidate) for candidate in found],
                model=_version(engine),
                timings=_timings(timings),
                context_bytes=timings.context_bytes,
            )
        raise AssertionError

    async def Stream(
        self, request: pb.StreamRequest, context: Context
    ) -> AsyncIterator[pb.StreamResponse]:
        timings = Timings()
        async with _engine(self._served, context) as engine:
            document = requests.document(request.document, self._heads)
            limits = requests.limits(request.limits, max_candidates=1)
            async with aclosing(engine.stream(document, limits, timings)) as items:
                async for item in items:
                    yield _event(item, engine, timings)

    async def Predict(self, request: pb.PredictRequest, context: Context) -> pb.PredictResponse:
        timings = Timings()
        async with _engine(self._served, context) as engine:
            document, top = requests.document(request.document, self._heads), requests.top(request)
            found = await engine.predict(document, top, timings)
            return pb.PredictResponse(
                predictions=[pb.Prediction(text=text, probability=p) for text, p in found],
                model=_version(engine),
                timings=_timings(timings),
            )
        raise AssertionError

    async def Score(self, request: pb.ScoreRequest, context: Context) -> pb.ScoreResponse:
        timings = Timings()
        async with _engine(self._served, context) as engine:
            path, text = requests.scored(request)
            scores = await engine.score(path, text, timings)
            return pb.ScoreResponse(
                characters=[pb.CharacterScore(**vars(score)) for score in scores],
                model=_version(engine),
                timings=_timings(timings),
            )
        raise AssertionError


def _event(item: Character | Stop, engine: Engine, timings: Timings) -> pb.StreamResponse:
    if isinstance(item, Character):
        character = pb.StreamCharacter(text=item.text, probability=item.probability)
        return pb.StreamResponse(character=character)
    end = pb.StreamEnd(
        stop=_STOPS[item],
        model=_version(engine),
        timings=_timings(timings),
        context_bytes=timings.context_bytes,
    )
    return pb.StreamResponse(end=end)


def _version(engine: Engine) -> pb.ModelVersion:
    return pb.ModelVersion(name=engine.model.name, version=engine.model.version)


class ModelsService(models_pb2_grpc.ModelsServicer):
    """foretype.v1.Models; without a loader no other model takes the served one's place."""

    def __init__(self, served: Served, loader: Loader | None) -> None:
        self._served = served
        self._loader = loader

    async def List(
        self, request: models_pb2.ListRequest, context: Context
    ) -> models_pb2.ListResponse:
        async with _answering(context):
            return models_pb2.ListResponse(models=await asyncio.to_thread(self._all))
        raise AssertionError

    async def Get(self, request: models_pb2.GetRequest, context: Context) -> models_pb2.GetResponse:
        async with _answering(context):
            for model in await asyncio.to_thread(self._all):
                if model.name == request.name:
                    return models_pb2.GetResponse(model=model)
            raise NotFound(f"there is no model {request.name!r}")
        raise AssertionError

    async def Load(
        self, request: models_pb2.LoadRequest, context: Context
    ) -> models_pb2.LoadResponse:
        async with _answering(context):
            if self._loader is None:
                raise SwitchedOff("this server was told to load no other model")
            before = self._served.current.model
            engine = await self._served.load(partial(self._loader.open, request.name))
            model = engine.model
            _log.info("serving %s %s (%s)", model.name, model.version, engine.precision)
            return models_pb2.LoadResponse(
                model=_model(model, serving=True), before=_model(before, serving=False)
            )
        raise AssertionError

    def _all(self) -> list[models_pb2.Model]:
        """The model that is served, and every bundle whose description can be read."""
        served = self._served.current.model
        models = [_model(served, serving=True)]
        for entry in self._loader.entries() if self._loader else registry.entries():
            try:
                description = registry.describe(entry)
            except BundleError as error:
                _log.warning("%s", error)
                continue
            if (entry.name, description.version) != (served.name, served.version):
                models.append(_model(description, serving=False, name=entry.name))
        return models


def _candidate(candidate: Candidate) -> pb.Candidate:
    return pb.Candidate(
        text=candidate.text,
        log_prob=candidate.log_prob,
        confidences=candidate.confidences,
        stop=_STOPS[candidate.stop],
    )


def _timings(timings: Timings) -> pb.Timings:
    return pb.Timings(
        total_ms=timings.total * 1e3,
        queue_ms=timings.queue * 1e3,
        read_ms=timings.read * 1e3,
        search_ms=timings.search * 1e3,
        read_bytes=timings.read_bytes,
    )


class WorkspaceService(workspace_pb2_grpc.WorkspaceServicer):
    """foretype.v1.Workspace"""

    def __init__(self, served: Served) -> None:
        self._served = served

    async def Remember(
        self, request: workspace_pb2.RememberRequest, context: Context
    ) -> workspace_pb2.RememberResponse:
        async with _answering(context):
            name, documents = requests.workspace(request.workspace), requests.remembered(request)
            status = await self._served.count(lambda them: them.remember(name, documents))
            return workspace_pb2.RememberResponse(memory=self._memory(status))
        raise AssertionError

    async def Forget(
        self, request: workspace_pb2.ForgetRequest, context: Context
    ) -> workspace_pb2.ForgetResponse:
        async with _answering(context):
            name, paths = requests.workspace(request.workspace), list(request.paths)
            status = await self._served.count(lambda them: them.forget(name, paths or None))
            return workspace_pb2.ForgetResponse(memory=self._memory(status))
        raise AssertionError

    async def Status(
        self, request: workspace_pb2.StatusRequest, context: Context
    ) -> workspace_pb2.StatusResponse:
        async with _answering(context):
            name = requests.workspace(request.workspace)
            status = self._served.current.workspaces.status(name)
            return workspace_pb2.StatusResponse(memory=self._memory(status))
        raise AssertionError

    def _memory(self, status: workspaces.Status) -> workspace_pb2.WorkspaceMemory:
        return workspace_pb2.WorkspaceMemory(
            documents=status.files,
            text_bytes=status.bytes,
            left_out=status.left_out,
            contexts=status.contexts,
            text_bytes_limit=workspaces.MAX_BYTES,
            is_read=self._served.current.model.architecture.memory,
        )


def _model(description: Description, serving: bool, name: str | None = None) -> models_pb2.Model:
    return models_pb2.Model(
        name=name or description.name,
        version=description.version,
        language=description.language,
        parameters=description.parameters,
        serving=serving,
        description_json=json.dumps(description.to_json()),
    )
