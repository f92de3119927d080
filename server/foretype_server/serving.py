"""Starts and stops the server."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import signal
import socket
import stat
import sys
import tempfile
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection as grpc_reflection

from foretype.v1 import (
    completion_pb2,
    completion_pb2_grpc,
    models_pb2,
    models_pb2_grpc,
    workspace_pb2,
    workspace_pb2_grpc,
)
from foretype_models import heap, registry
from foretype_models.runtime import Runtime
from foretype_server.calls import CallLog, Interceptor
from foretype_server.engine import Engine
from foretype_server.errors import ServingError
from foretype_server.observer import NO_OBSERVER
from foretype_server.served import Loader, Served, open_runtime
from foretype_server.services import CompletionService, ModelsService, WorkspaceService

if TYPE_CHECKING:
    from foretype_server.metrics import Metrics

GRACE = 2.0  # seconds that calls under way have to end when the server stops
MAX_CALLS = 256
_OPTIONS = [
    ("grpc.max_receive_message_length", 9 * 2**20),  # a prefix and a suffix of 4 MiB
    ("grpc.so_reuseport", 0),  # or a second server would silently share the port
]
_SERVICES = [
    completion_pb2.DESCRIPTOR.services_by_name["Completion"].full_name,
    models_pb2.DESCRIPTOR.services_by_name["Models"].full_name,
    workspace_pb2.DESCRIPTOR.services_by_name["Workspace"].full_name,
]


class Server:
    """The engine behind its services. Used inside one event loop."""

    def __init__(
        self,
        runtime: Runtime,
        reflection: bool = True,
        metrics: Metrics | None = None,
        loader: Loader | None = None,
        log: CallLog | None = None,
    ) -> None:
        self._served = Served(Engine(runtime, observer=metrics or NO_OBSERVER))
        if metrics is not None:
            metrics.watch(lambda: self._served.current)
        observers = [observer for observer in (metrics, log) if observer is not None]
        self._health = cast(Any, health).aio.HealthServicer()  # its stubs do not know of aio
        self._server = grpc.aio.server(
            interceptors=[Interceptor(observers)],
            options=_OPTIONS,
            maximum_concurrent_rpcs=MAX_CALLS,
        )
        completion_pb2_grpc.add_CompletionServicer_to_server(
            CompletionService(self._served), self._server
        )
        models_pb2_grpc.add_ModelsServicer_to_server(
            ModelsService(self._served, loader), self._server
        )
        workspace_pb2_grpc.add_WorkspaceServicer_to_server(
            WorkspaceService(self._served), self._server
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if reflection:
            names = [*_SERVICES, health.SERVICE_NAME, grpc_reflection.SERVICE_NAME]
            grpc_reflection.enable_server_reflection(names, self._server)

    async def start(self, listen: str) -> str:
        """Listens at `unix:PATH` or `HOST:PORT`; the address with the port that was taken.

        Raises ServingError.
        """
        address = _bind(self._server, listen)
        await self._server.start()
        for service in ("", *_SERVICES):
            await self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        return address

    async def stop(self, grace: float = GRACE) -> None:
        """Says that it is going, lets calls end for `grace` seconds, and stops."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace)
        await self._served.close()


def _bind(server: grpc.aio.Server, listen: str) -> str:
    path = listen.removeprefix("unix:")
    if path and path != listen:
        return _bind_socket(server, Path(path))
    host, _ = _loopback(listen, "unix:PATH or HOST:PORT")
    try:
        return f"{host}:{server.add_insecure_port(listen)}"
    except RuntimeError as error:
        raise ServingError(f"cannot listen at {listen}: is the port in use?") from error


def _loopback(listen: str, forms: str) -> tuple[str, int]:
    """The host and port of an address that nobody else on the network reaches."""
    host, _, port = listen.rpartition(":")
    if not (host and port.isdecimal() and int(port) < 2**16):
        raise ServingError(f"cannot listen at {listen!r}: give {forms}")
    if not _is_loopback(host.strip("[]")):
        raise ServingError(
            f"cannot listen at {listen}: anybody on the network could read your code there;"
            " use 127.0.0.1 or a Unix socket"
        )
    return host, int(port)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _bind_socket(server: grpc.aio.Server, path: Path) -> str:
    if len(os.fsencode(path.absolute())) > 100:
        raise ServingError(f"cannot listen at {path}: the path of a socket has 100 bytes at most")
    if not path.absolute().parent.is_dir():
        raise ServingError(f"cannot listen at {path}: there is no such folder")
    if path.exists() and not stat.S_ISSOCK(path.stat().st_mode):
        raise ServingError(f"cannot listen at {path}: there is a file of that name")
    if _answers(path):
        raise ServingError(f"cannot listen at {path}: another server does")
    path.unlink(missing_ok=True)  # left by a server that was killed
    mask = os.umask(0o177)  # the socket is its owner's alone from the start
    try:
        server.add_insecure_port(f"unix:{path}")
    except RuntimeError as error:
        raise ServingError(f"cannot listen at {path}: it cannot be created") from error
    finally:
        os.umask(mask)
    return f"unix:{path}"


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def run(
    listen: str,
    *,
    model: str,
    precision: str,
    reflection: bool,
    metrics: str | None,
    load: bool,
    log: bool,
    until_stdin_closes: bool,
) -> None:
    """Serves until SIGINT or SIGTERM, `metrics` over HTTP at that HOST:PORT if given; where it
    may `load` others, not the same model all the time; with a `log` of calls on standard error.
    Raises BundleError and ServingError."""
    logging.basicConfig(format="foretype: %(message)s", level=logging.INFO)
    heap.be_sparing()
    entry = registry.find(model)
    runtime = open_runtime(entry, precision)
    loader = Loader(entry, precision) if load else None
    with _metrics(metrics) as counting:
        server = partial(Server, runtime, reflection, counting, loader, CallLog() if log else None)
        asyncio.run(_serve(server, runtime, listen, until_stdin_closes))


@contextmanager
def _metrics(listen: str | None) -> Generator[Metrics | None]:
    if listen is None:
        yield None
        return
    from foretype_server.metrics import Metrics  # which few ask for

    host, port = _loopback(listen, "--metrics HOST:PORT")
    metrics = Metrics()
    stop = metrics.serve(host.strip("[]"), port)
    try:
        yield metrics
    finally:
        stop()


async def _serve(
    make: Callable[[], Server], runtime: Runtime, listen: str, until_stdin_closes: bool
) -> None:
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    if until_stdin_closes:
        watch = threading.Thread(target=_watch_stdin, args=(loop, stopping), daemon=True)
        watch.start()
    server = make()
    address = await server.start(listen)
    model = runtime.description
    print(f"serving {model.name} {model.version} ({runtime.precision}) at {address}", flush=True)
    await stopping.wait()
    await server.stop()


def _watch_stdin(loop: asyncio.AbstractEventLoop, stopping: asyncio.Event) -> None:
    """Ends the server with the process that holds the other end of standard input."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    loop.call_soon_threadsafe(stopping.set)


@contextmanager
def embedded(model: str, precision: str = "auto") -> Generator[str]:
    """A server of this process's own, on a private socket; yields its address.

    Raises BundleError.
    """
    runtime = open_runtime(registry.find(model), precision)
    with tempfile.TemporaryDirectory(prefix="foretype-") as folder:
        address = f"unix:{folder}/engine.sock"
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="server", daemon=True)
        thread.start()
        server = asyncio.run_coroutine_threadsafe(_started(runtime, address), loop).result()
        try:
            yield address
        finally:
            asyncio.run_coroutine_threadsafe(server.stop(0), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


async def _started(runtime: Runtime, address: str) -> Server:
    server = Server(runtime)
    await server.start(address)
    return server
