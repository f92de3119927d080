"""How calls end, and the log of them, as a program reads it."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest

from foretype.client import (
    AsyncClient,
    Client,
    DeadlineExceeded,
    Document,
    ForetypeError,
    InvalidRequest,
    Limits,
    Unavailable,
)
from foretype.v1 import completion_pb2 as pb
from foretype.v1 import completion_pb2_grpc
from foretype_server import calls
from foretype_server.calls import Call, CallLog, CallObserver, Interceptor
from tests.conftest import FORETYPE
from tests.server.work import give_up

DOCUMENT = Document(
    path="src/main/java/org/example/zoo/Gorilla0.java",
    workspace="secret-workspace",
    prefix="package org.example.zoo;\n\n/**\n * A Gorilla0 that lives",
)


@pytest.mark.e2e
def test_each_call_has_a_line_and_no_text_is_told(tiny_model: Path, tmp_path: Path) -> None:
    listen = f"unix:{tmp_path}/s"
    command = [*FORETYPE, "serve", "--model", tiny_model, "--listen", listen, "--log"]
    began = datetime.now(UTC)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        with Client(listen) as client:
            client.wait_until_serving()
            client.complete(DOCUMENT)
            sent = len(list(client.stream(DOCUMENT)))
            give_up(listen)
            with pytest.raises(InvalidRequest):
                client.complete(DOCUMENT, Limits(confidence=2))
            client.models()
        process.terminate()
        assert process.stderr is not None
        log = process.stderr.read()
    complete, whole, given_up, refused, models = sorted(
        map(json.loads, log.splitlines()), key=lambda line: line["time"]
    )
    assert complete["method"] == "foretype.v1.Completion/Complete"
    assert (complete["code"], complete["messages"]) == ("OK", 1)
    assert began < datetime.fromisoformat(complete["time"]) < datetime.now(UTC)
    assert complete["read_bytes"] == len(DOCUMENT.prefix)
    assert 0 < complete["read_ms"] + complete["search_ms"] < complete["ms"]
    assert whole["method"] == "foretype.v1.Completion/Stream"
    assert (whole["code"], whole["messages"], whole["read_bytes"]) == ("OK", sent, 0)
    assert given_up["code"] == "CANCELLED"
    assert refused["code"] == "INVALID_ARGUMENT"
    assert "read_ms" not in refused
    assert (models["method"], models["code"]) == ("foretype.v1.Models/List", "OK")
    for text in ("Gorilla", "secret", "zoo"):
        assert text not in log


def test_who_reads_the_log_may_go() -> None:
    class Gone(io.StringIO):
        def write(self, s: str, /) -> int:
            raise BrokenPipeError

    CallLog(Gone()).has_ended(Call("unary", "foretype.v1.Completion", "Complete"))


MESSAGES = 300  # more than wait on their way to somebody who does not read


class _Ended(CallObserver):
    def __init__(self) -> None:
        self.codes: list[grpc.StatusCode] = []

    def has_ended(self, call: Call) -> None:
        self.codes.append(call.code)


_AnyServicer: Any = completion_pb2_grpc.CompletionServicer  # its stub asks for every method


class _Servicer(_AnyServicer):
    """Takes for ever, or fails."""

    async def Complete(self, request: Any, context: Any) -> pb.CompleteResponse:  # noqa: N802
        await asyncio.sleep(3600)
        raise AssertionError

    async def Stream(self, request: Any, context: Any) -> AsyncIterator[pb.StreamResponse]:  # noqa: N802
        for _ in range(MESSAGES):
            yield pb.StreamResponse(character=pb.StreamCharacter(text="a" * 100_000))
        await asyncio.sleep(3600)

    async def Predict(self, request: Any, context: Any) -> pb.PredictResponse:  # noqa: N802
        raise KeyError("unheard-of")

    async def Score(self, request: Any, context: Any) -> pb.ScoreResponse:  # noqa: N802
        raise asyncio.CancelledError  # as what was waited for is, where the engine is closed


@pytest.fixture
async def answered(tmp_path: Path) -> AsyncGenerator[tuple[AsyncClient, _Ended]]:
    """A client of such services, and who is told of its calls."""
    ended = _Ended()
    server = grpc.aio.server(interceptors=[Interceptor([ended])])
    completion_pb2_grpc.add_CompletionServicer_to_server(_Servicer(), server)
    server.add_insecure_port(address := f"unix:{tmp_path}/s")
    await server.start()
    async with AsyncClient(address) as client:
        yield client, ended
    await server.stop(None)


async def test_no_call_takes_longer_than_the_server_allows(
    answered: tuple[AsyncClient, _Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, ended = answered
    monkeypatch.setattr(calls, "MAX_SECONDS", 0.2)
    with pytest.raises(DeadlineExceeded, match="it took longer than 0 seconds"):
        await client.complete(DOCUMENT)
    with pytest.raises(DeadlineExceeded):
        [_ async for _ in client.stream(DOCUMENT)]
    assert ended.codes == [grpc.StatusCode.DEADLINE_EXCEEDED] * 2


async def test_a_callers_own_deadline_is_told_from_giving_up(
    answered: tuple[AsyncClient, _Ended],
) -> None:
    client, ended = answered
    with pytest.raises(DeadlineExceeded):
        await client.complete(DOCUMENT, timeout=0.2)
    given_up = asyncio.create_task(client.complete(DOCUMENT, timeout=20))
    await asyncio.sleep(0.2)
    given_up.cancel()
    while len(ended.codes) < 2:
        await asyncio.sleep(0.01)
    assert ended.codes == [grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED]


async def test_who_reads_slowly_is_told_so_too(
    answered: tuple[AsyncClient, _Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, ended = answered
    monkeypatch.setattr(calls, "MAX_SECONDS", 0.2)
    stream = client.stream(DOCUMENT, timeout=20)
    read = [await anext(stream)]
    await asyncio.sleep(0.5)  # while the server waits to send more
    with pytest.raises(DeadlineExceeded, match="it took longer"):
        [read.append(item) async for item in stream]
    assert len(read) == MESSAGES
    assert ended.codes == [grpc.StatusCode.DEADLINE_EXCEEDED]


async def test_who_waits_for_a_server_that_stops_is_told(
    answered: tuple[AsyncClient, _Ended],
) -> None:
    client, ended = answered
    with pytest.raises(Unavailable):
        await client.score("A.java", "a", timeout=20)
    assert ended.codes == [grpc.StatusCode.UNAVAILABLE]


async def test_a_defect_is_told_and_logged(
    answered: tuple[AsyncClient, _Ended], caplog: pytest.LogCaptureFixture
) -> None:
    client, ended = answered
    with pytest.raises(ForetypeError, match="a defect in foretype: KeyError"):
        await client.predict(DOCUMENT)
    assert ended.codes == [grpc.StatusCode.INTERNAL]
    [record] = caplog.records
    assert record.exc_info is not None
