"""The model that is served, and how another takes its place while requests come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

from foretype_models import bundle, heap, registry
from foretype_models.bundle import BundleError
from foretype_models.registry import Entry
from foretype_models.runtime import Runtime
from foretype_server.engine import Engine
from foretype_server.errors import NotFound, NotReady
from foretype_server.workspaces import Workspaces

T = TypeVar("T")


def open_runtime(entry: Entry, precision: str) -> Runtime:
    """Checks and loads a model, which is called what its entry is. Raises BundleError."""
    opened = bundle.load(entry.path)
    if entry.origin != "path":
        named = replace(opened.description, name=entry.name)
        opened = replace(opened, description=named)
    return Runtime(opened, opened.choose_precision(precision))


class Loader:
    """Opens models for a server that runs: those that have a name, and the one it began with.

    Never a path that a request names: whoever may ask for completions is not to have the
    server look at any file it can.
    """

    def __init__(self, first: Entry, precision: str) -> None:
        self._first = [first] if first.origin == "path" else []
        self._precision = precision

    def entries(self) -> list[Entry]:
        """What can be loaded. Of equal names the first counts."""
        return [*registry.entries(), *map(_with_own_name, self._first)]

    def open(self, name: str) -> Runtime:
        """Raises NotFound, and NotReady where the model cannot be used."""
        entry = next((entry for entry in self.entries() if entry.name == name), None)
        if entry is None:
            raise NotFound(f"there is no model {name!r}")
        try:
            return open_runtime(entry, self._precision)
        except BundleError as error:
            raise NotReady(str(error)) from error


def _with_own_name(entry: Entry) -> Entry:
    try:
        return replace(entry, name=registry.describe(entry).name)
    except BundleError:  # it is gone by now
        return entry


class _Tenure:
    """An engine, and how many requests it is answering."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._requests = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @contextmanager
    def request(self) -> Generator[Engine]:
        self._requests += 1
        self._idle.clear()
        try:
            yield self.engine
        finally:
            self._requests -= 1
            if not self._requests:
                self._idle.set()

    async def end(self) -> None:
        """Closes the engine once its last request has ended."""
        await self._idle.wait()
        await asyncio.to_thread(self.engine.close)


async def _end(tenure: _Tenure) -> None:
    await tenure.end()
    del tenure  # the last to know the engine
    await asyncio.to_thread(heap.trim)


class Served:
    """The engine that answers. Used inside one event loop."""

    def __init__(self, engine: Engine) -> None:
        self._tenure = _Tenure(engine)
        # One piece of work after the other, so that nothing is remembered by an engine
        # whose workspaces were already handed on.
        self._counting = ThreadPoolExecutor(1, "workspaces")
        self._ending: asyncio.Task[None] | None = None
        self._loading: asyncio.Task[Engine] | None = None

    @property
    def current(self) -> Engine:
        """The engine as it is now, for a look; a request takes `engine`."""
        return self._tenure.engine

    @contextmanager
    def engine(self) -> Generator[Engine]:
        """The engine for one request; it is not closed before that ends."""
        with self._tenure.request() as engine:
            yield engine

    async def count(self, work: Callable[[Workspaces], T]) -> T:
        """Changes what the workspaces remember, in a thread."""

        def counted() -> T:
            return work(self.current.workspaces)

        return await asyncio.get_running_loop().run_in_executor(self._counting, counted)

    async def load(self, open_model: Callable[[], Runtime]) -> Engine:
        """Opens a model in a thread and has it answer all requests from then on; those that
        were begun end with the one before, which is then closed. The engine of the new one.

        What `open_model` raises changes nothing. Cancelling the task does not end what was
        begun. Raises NotReady while another model is being loaded.
        """
        if self._loading is not None and not self._loading.done():
            raise NotReady("another model is being loaded; try again when it is")
        self._loading = asyncio.create_task(self._follow(open_model))
        return await asyncio.shield(self._loading)

    async def _follow(self, open_model: Callable[[], Runtime]) -> Engine:
        if self._ending is not None:
            await self._ending  # never more than two models are in memory
        runtime = await asyncio.to_thread(open_model)
        before = self._tenure

        def hand_on() -> None:
            self._tenure = _Tenure(before.engine.successor(runtime))

        await asyncio.get_running_loop().run_in_executor(self._counting, hand_on)
        self._ending = asyncio.create_task(_end(before))
        return self.current

    async def close(self) -> None:
        """Lets a model that is being loaded come, and gives up what is under way."""
        if self._loading is not None:
            await asyncio.wait([self._loading])
        if self._ending is not None:
            await self._ending
        await asyncio.to_thread(self.current.close)
        self._counting.shutdown(wait=False)
