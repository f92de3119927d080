"""A server without an engine, for `soak.py`: it streams one character again and again.

    python benchmarks/bare.py ADDRESS

What it loses is lost by grpcio, whoever uses it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any, cast

import grpc
from grpc_health.v1 import health, health_pb2_grpc

from foretype.v1 import completion_pb2 as pb

PAUSE = 1e-3  # seconds; about as long as an engine takes for a character


async def stream(
    request: pb.StreamRequest, context: grpc.aio.ServicerContext[Any, Any]
) -> AsyncIterator[pb.StreamResponse]:
    while True:
        yield pb.StreamResponse(character=pb.StreamCharacter(text="a", probability=1))
        await asyncio.sleep(PAUSE)


async def main(address: str) -> None:
    server = grpc.aio.server()
    handler = grpc.unary_stream_rpc_method_handler(
        stream, pb.StreamRequest.FromString, pb.StreamResponse.SerializeToString
    )
    service = "foretype.v1.Completion"
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(service, {"Stream": handler}),)
    )
    health_pb2_grpc.add_HealthServicer_to_server(cast(Any, health).aio.HealthServicer(), server)
    server.add_insecure_port(address)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
