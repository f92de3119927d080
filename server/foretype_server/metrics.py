"""What the server does, in numbers, for Prometheus; nothing of anybody's text.

Names of calls are those that gRPC's own Prometheus libraries use in other languages
(grpc_server_started_total and so on), so that dashboards fit.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from foretype_server.calls import Call, CallObserver
from foretype_server.documents import Timings
from foretype_server.engine import Engine
from foretype_server.errors import ServingError
from foretype_server.observer import Observer

_log = logging.getLogger(__name__)

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_RUNS = (1, 5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560)
_CALL = ("grpc_type", "grpc_service", "grpc_method")


class Metrics(Observer, CallObserver):
    """Counts what an engine and its services do, from when it is made."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._steps = Counter(
            "foretype_steps", "Symbols that the network has read.", registry=registry
        )
        self._batch = Histogram(
            "foretype_batch_texts",
            "Texts that one run of the network reads together.",
            buckets=_TEXTS,
            registry=registry,
        )
        self._queue = Histogram(
            "foretype_queue_seconds",
            "Time until a compute thread first took a request up.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._search = Histogram(
            "foretype_search_runs",
            "Runs of the network that a search took.",
            buckets=_RUNS,
            registry=registry,
        )
        self._prefix = Counter(
            "foretype_prefix_bytes",
            "Text before cursors: known from a snapshot, or read for the answer.",
            ("how",),
            registry=registry,
        )
        self._started = Counter("grpc_server_started", "Calls begun.", _CALL, registry=registry)
        self._handled = Counter(
            "grpc_server_handled", "Calls ended.", (*_CALL, "grpc_code"), registry=registry
        )
        self._received = Counter(
            "grpc_server_msg_received", "Messages received.", _CALL, registry=registry
        )
        self._sent = Counter("grpc_server_msg_sent", "Messages sent.", _CALL, registry=registry)
        self._handling = Histogram(
            "grpc_server_handling_seconds",
            "Time from a call's beginning to its end.",
            _CALL,
            buckets=_SECONDS,
            registry=registry,
        )

    def has_read(self, texts: int, symbols: int) -> None:
        self._steps.inc(texts * symbols)
        self._batch.observe(texts)

    def has_answered(self, timings: Timings) -> None:
        self._queue.observe(timings.queue)
        self._search.observe(timings.search_runs)
        self._prefix.labels("known").inc(timings.context_bytes - timings.read_bytes)
        self._prefix.labels("read").inc(timings.read_bytes)

    def has_begun(self, call: Call) -> None:
        self._started.labels(*_labels(call)).inc()
        self._received.labels(*_labels(call)).inc()

    def has_sent(self, call: Call) -> None:
        self._sent.labels(*_labels(call)).inc()

    def has_ended(self, call: Call) -> None:
        self._handled.labels(*_labels(call), call.code.name).inc()
        self._handling.labels(*_labels(call)).observe(call.seconds)

    def watch(self, engine: Callable[[], Engine]) -> None:
        """Tells also what the engine that serves holds, whenever it is asked."""
        for name, what, value in (
            ("snapshot_bytes", "What the snapshots take.", lambda: engine().snapshot_bytes),
            ("requests", "Requests under way.", lambda: engine().under_way),
        ):
            Gauge(f"foretype_{name}", what, registry=self._registry).set_function(value)

    def serve(self, host: str, port: int) -> Callable[[], None]:
        """Answers HTTP requests at the address, where port 0 takes a free one; returns what
        ends that. Raises ServingError."""
        try:
            server, thread = start_http_server(port, host, self._registry)
        except OSError as error:
            raise ServingError(
                f"cannot serve metrics at {host}:{port}: {error.strerror}"
            ) from error
        _log.info("metrics at http://%s:%d/metrics", host, server.server_port)

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return stop


def _labels(call: Call) -> tuple[str, str, str]:
    return call.kind, call.service, call.method
