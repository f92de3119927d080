"""Work for an engine: what the compute thread would run, here and at once; and too much."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar, cast

import grpc
import pytest

from foretype.v1 import completion_pb2 as pb
from foretype.v1 import completion_pb2_grpc
from foretype_models.runtime import Piece, Read, Runtime

T = TypeVar("T")
Y = TypeVar("Y")


def events_and_result(runtime: Runtime, work: Generator[Piece | Y, Any, T]) -> tuple[list[Y], T]:
    """What it yields beside the pieces that it wants read, and what it returns."""
    yielded: list[Y] = []
    read: Read | None = None
    while True:
        try:
            event = work.send(read)
        except StopIteration as end:
            return yielded, end.value
        read = None
        if isinstance(event, Piece):
            read = runtime.read(event.symbols, event.state, event.memories)
        else:
            yielded.append(event)


def give_up(address: str) -> None:
    """Asks a server for what takes it many seconds, and gives that up while it is at it."""
    document = pb.Document(path="Zoo.java", prefix="int x = 0;\n" * 200_000)
    request = pb.CompleteRequest(document=document, limits=pb.Limits(whole_prefix=True))
    with grpc.insecure_channel(address) as channel:
        asked = cast(Any, completion_pb2_grpc.CompletionStub(channel)).Complete.future(request)
        with pytest.raises(grpc.FutureTimeoutError):
            asked.result(timeout=1)
        asked.cancel()
