"""Work for an engine: what its threads would run, here and at once; and too much."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar, cast

import grpc
import numpy as np
import pytest

from foretype.v1 import completion_pb2 as pb
from foretype.v1 import completion_pb2_grpc
from foretype_models import alphabet
from foretype_models.runtime import Piece, Read, Runtime
from foretype_server.compute import alone
from foretype_server.reading import Reader
from foretype_server.states import Snapshot

PATH = "src/main/java/org/example/zoo/Gorilla0.java"
PREFIX = "package org.example.zoo;\n\nimport java.util.List;\n\n/**\n * A Gorilla0 that lives"

T = TypeVar("T")


def after(runtime: Runtime, text: str) -> Snapshot:
    """What is known after a text of that path."""
    symbols = np.concatenate((alphabet.encode_path(PATH), alphabet.encode(text.encode())))
    log_probs, state = runtime.read(symbols[:, None], runtime.initial_state())
    return Snapshot(state, log_probs[-1, 0])


def followed(runtime: Runtime, work: Generator[Any, Any, T]) -> tuple[list[Piece], list[Any], T]:
    """The pieces that it wants read, what it yields beside them, and what it returns."""
    pieces: list[Piece] = []
    yielded: list[Any] = []
    read: Read | None = None
    while True:
        try:
            event = work.send(read)
        except StopIteration as end:
            return pieces, yielded, end.value
        read = None
        if isinstance(event, Piece):
            pieces.append(event)
            read = runtime.read(event.symbols, event.state, event.memories)
        else:
            yielded.append(event)


def read_in_background(reader: Reader) -> bool:
    """Has a reader read one piece of what waits; whether anything did."""
    work = reader.background()
    if work is not None:
        alone(reader.runtime, work)
    return work is not None


def give_up(address: str) -> None:
    """Asks a server for what takes it many seconds, and gives that up while it is at it."""
    document = pb.Document(path="Zoo.java", prefix="int x = 0;\n" * 200_000)
    request = pb.CompleteRequest(document=document, limits=pb.Limits(whole_prefix=True))
    with grpc.insecure_channel(address) as channel:
        asked = cast(Any, completion_pb2_grpc.CompletionStub(channel)).Complete.future(request)
        with pytest.raises(grpc.FutureTimeoutError):
            asked.result(timeout=1)
        asked.cancel()
