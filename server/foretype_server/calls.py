"""Every call that a server answers: how long it may take, how it ends, and who is told."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, TextIO, cast

import grpc

from foretype.v1.completion_pb2 import Timings
from foretype_server.errors import OutOfTime
from foretype_server.statuses import Status, status_of

MAX_SECONDS = 120.0  # for one call, however long its own deadline

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass
class Call:
    """A call of our own services."""

    kind: str  # unary or server_stream
    service: str
    method: str
    seconds: float = 0.0  # to its end
    code: grpc.StatusCode = grpc.StatusCode.OK  # that it ended with
    messages: int = 0  # of its answer, so far
    timings: Timings | None = None  # that the last of them tells
    began: datetime = field(default_factory=lambda: datetime.now(UTC))


class CallObserver:
    """Is told, in the event loop, and takes no notice: a subclass may."""

    def has_begun(self, call: Call) -> None:
        """A call was received."""

    def has_sent(self, call: Call) -> None:
        """Another message of its answer is ready."""

    def has_ended(self, call: Call) -> None:
        """It was answered, failed or was given up."""


class CallLog(CallObserver):
    """Writes a line of JSON for each call that has ended; nothing of anybody's text, and no
    path or workspace."""

    def __init__(self, file: TextIO = sys.stderr) -> None:
        self._file = file

    def has_ended(self, call: Call) -> None:
        line: dict[str, object] = {
            "time": call.began.isoformat(timespec="milliseconds"),
            "method": f"{call.service}/{call.method}",
            "code": call.code.name,
            "ms": round(call.seconds * 1e3, 3),
            "messages": call.messages,
        }
        if call.timings is not None:
            for part in ("queue_ms", "read_ms", "search_ms"):
                line[part] = round(getattr(call.timings, part), 3)
            line["read_bytes"] = call.timings.read_bytes
        with suppress(OSError):  # who reads it has gone: no reason to fail a call
            print(json.dumps(line), file=self._file, flush=True)


class Interceptor(grpc.aio.ServerInterceptor):
    """Bounds the calls of our own services, tells observers of them, and makes what they
    run into a status."""

    def __init__(self, observers: Sequence[CallObserver]) -> None:
        self._observers = observers

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None or not handler_call_details.method.startswith("/foretype."):
            return handler
        _, service, method = handler_call_details.method.split("/")
        coders = {
            "request_deserializer": handler.request_deserializer,
            "response_serializer": handler.response_serializer,
        }
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(
                self._unary(handler.unary_unary, service, method), **coders
            )
        return grpc.unary_stream_rpc_method_handler(
            self._stream(handler.unary_stream, service, method), **coders
        )

    def _unary(self, answer: Any, service: str, method: str) -> Any:
        async def observed(request: Any, context: Context) -> Any:
            call = Call("unary", service, method)
            async with self._answering(call, context) as until:
                async with asyncio.timeout_at(until):
                    response = await answer(request, context)
                self._sent(call, response)
                return response
            raise AssertionError

        return observed

    def _stream(self, answer: Any, service: str, method: str) -> Any:
        async def observed(request: Any, context: Context) -> AsyncIterator[Any]:
            call = Call("server_stream", service, method)
            async with (
                self._answering(call, context) as until,
                aclosing(answer(request, context)) as responses,
            ):
                while True:
                    # Not around the sending, which takes a slow reader as long as it likes.
                    async with asyncio.timeout_at(until):
                        response = await anext(responses, None)
                    if response is None:
                        return
                    self._sent(call, response.end)
                    yield response

        return observed

    @asynccontextmanager
    async def _answering(self, call: Call, context: Context) -> AsyncGenerator[float]:
        """Until when, by the event loop's clock, the call may be answered. Observers know how it
        has ended before its caller does."""
        for observer in self._observers:
            observer.has_begun(call)
        began = perf_counter()
        failed: Status | None = None
        try:
            yield asyncio.get_running_loop().time() + MAX_SECONDS
        except (asyncio.CancelledError, GeneratorExit) as error:  # the latter while one is sent
            if isinstance(error, GeneratorExit) or _is_cancelled():
                call.code = _given_up(context)
                raise
            failed = Status(grpc.StatusCode.UNAVAILABLE, "the server is stopping")
        except TimeoutError:
            failed = status_of(OutOfTime(f"it took longer than {MAX_SECONDS:.0f} seconds"))
        except Exception as error:
            failed = status_of(error)
        finally:
            if failed is not None:
                call.code = failed.code
            call.seconds = perf_counter() - began
            for observer in self._observers:
                observer.has_ended(call)
        if failed is not None:
            await context.abort(*failed)

    def _sent(self, call: Call, response: Any) -> None:
        call.messages += 1
        if "timings" in response.DESCRIPTOR.fields_by_name and response.HasField("timings"):
            call.timings = response.timings
        for observer in self._observers:
            observer.has_sent(call)


def _given_up(context: Context) -> grpc.StatusCode:
    """How a call ended whose caller waits no longer: at its deadline, or before."""
    left = cast("float | None", context.time_remaining())
    # The caller's clock began earlier, by the way here.
    is_over = left is not None and left < 0.01
    return grpc.StatusCode.DEADLINE_EXCEEDED if is_over else grpc.StatusCode.CANCELLED


def _is_cancelled() -> bool:
    """Whether this task is, and not only what it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
