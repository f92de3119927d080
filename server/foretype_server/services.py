"""The gRPC services: messages in, the engine's work, messages out."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, suppress
from functools import partial
from typing import Any

import grpc

from foretype.project import MAX_BYTES
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
from foretype_server.errors import NotFound, Overloaded, SwitchedOff
from foretype_server.heads import Heads
from foretype_server.scoring import CharacterScore
from foretype_server.search import Character
from foretype_server.served import Loader, Served

Context = grpc.aio.ServicerContext[Any, Any]

_STOPS: dict[Stop, pb.Stop.ValueType] = {
    "boundary": pb.STOP_BOUNDARY,
    "length": pb.STOP_LENGTH,
    "confidence": pb.STOP_CONFIDENCE,
    "end of file": pb.STOP_END_OF_FILE,
    "suffix": pb.STOP_SUFFIX,
    "repetition": pb.STOP_REPETITION,
}
_log = logging.getLogger(__name__)


class CompletionService(completion_pb2_grpc.CompletionServicer):
    """foretype.v1.Completion"""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._heads = Heads()

    async def Read(self, request: pb.ReadRequest, context: Context) -> pb.ReadResponse:
        with self._served.engine() as engine:
            document = requests.document(request.document, self._heads)
            left = await engine.read(document)
            return pb.ReadResponse(model=_version(engine), left_bytes=left)

    async def Complete(self, request: pb.CompleteRequest, context: Context) -> pb.CompleteResponse:
        timings = Timings()
        with self._served.engine() as engine:
            document = requests.document(request.document, self._heads)
            limits = requests.limits(request.limits)
            found = await engine.complete(document, limits, timings)
            return pb.CompleteResponse(
                candidates=[_candidate(candidate) for candidate in found],
                model=_version(engine),
                timings=_timings(timings),
                context_bytes=timings.context_bytes,
            )

    async def Stream(
        self, request: pb.StreamRequest, context: Context
    ) -> AsyncIterator[pb.StreamResponse]:
        timings = Timings()
        with self._served.engine() as engine:
            document = requests.document(request.document, self._heads)
            limits = requests.limits(request.limits, max_candidates=1)
            async with aclosing(engine.stream(document, limits, timings)) as items:
                async for item in items:
                    yield _event(item, engine, timings)

    async def Predict(self, request: pb.PredictRequest, context: Context) -> pb.PredictResponse:
        timings = Timings()
        with self._served.engine() as engine:
            document, top = requests.document(request.document, self._heads), requests.top(request)
            found = await engine.predict(document, top, timings)
            return pb.PredictResponse(
                predictions=[pb.Prediction(text=text, probability=p) for text, p in found],
                model=_version(engine),
                timings=_timings(timings),
            )

    async def Score(self, request: pb.ScoreRequest, context: Context) -> pb.ScoreResponse:
        timings = Timings()
        with self._served.engine() as engine:
            path, text = requests.scored(request)
            scores = await engine.score(path, text, timings)
            return pb.ScoreResponse(
                characters=await _characters(scores),
                model=_version(engine),
                timings=_timings(timings),
            )


async def _characters(scores: Sequence[CharacterScore]) -> list[pb.CharacterScore]:
    """Made some at a time: of a long text they take a while, and others wait for the loop."""
    made: list[pb.CharacterScore] = []
    for start in range(0, len(scores), 1000):
        made += [pb.CharacterScore(**vars(score)) for score in scores[start : start + 1000]]
        await asyncio.sleep(0)
    return made


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
        return models_pb2.ListResponse(models=await asyncio.to_thread(self._all))

    async def Get(self, request: models_pb2.GetRequest, context: Context) -> models_pb2.GetResponse:
        for model in await asyncio.to_thread(self._all):
            if model.name == request.name:
                return models_pb2.GetResponse(model=model)
        raise NotFound(f"there is no model {request.name!r}")

    async def Load(
        self, request: models_pb2.LoadRequest, context: Context
    ) -> models_pb2.LoadResponse:
        if self._loader is None:
            raise SwitchedOff("this server was told to load no other model")
        before = self._served.current.model
        engine = await self._served.load(partial(self._loader.open, request.name))
        model = engine.model
        _log.info("serving %s %s (%s)", model.name, model.version, engine.precision)
        return models_pb2.LoadResponse(
            model=_model(model, serving=True), before=_model(before, serving=False)
        )

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
        name, documents = requests.workspace(request.workspace), requests.remembered(request)
        status = await self._served.count(lambda them: them.remember(name, documents))
        return workspace_pb2.RememberResponse(memory=self._memory(status))

    async def Forget(
        self, request: workspace_pb2.ForgetRequest, context: Context
    ) -> workspace_pb2.ForgetResponse:
        name, paths = requests.workspace(request.workspace), list(request.paths)
        status = await self._served.count(lambda them: them.forget(name, paths or None))
        with self._served.engine() as engine, suppress(Overloaded):  # the next request does it
            await engine.let_go()
        return workspace_pb2.ForgetResponse(memory=self._memory(status))

    async def Status(
        self, request: workspace_pb2.StatusRequest, context: Context
    ) -> workspace_pb2.StatusResponse:
        name = requests.workspace(request.workspace)
        status = self._served.current.workspaces.status(name)
        return workspace_pb2.StatusResponse(memory=self._memory(status))

    def _memory(self, status: workspaces.Status) -> workspace_pb2.WorkspaceMemory:
        return workspace_pb2.WorkspaceMemory(
            documents=status.files,
            text_bytes=status.bytes,
            left_out=status.left_out,
            contexts=status.contexts,
            text_bytes_limit=MAX_BYTES,
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
