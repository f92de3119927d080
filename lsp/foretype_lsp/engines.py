"""The engines behind the adapter: for each model that an open folder asks for, one.

Each is a process of its own, of some 150 to 300 MB: one that ends gives all of that back, and
one that fails takes no other along. A server that was there before answers with its model,
whatever is asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import PurePath
from typing import Protocol

from foretype.client import Document, Limits
from foretype.v1.workspace_pb2 import WorkspaceMemory
from foretype_lsp.engine import Engine, Reporter
from foretype_lsp.tasks import Tasks

Concerned = Callable[[str], bool]
"""Of a folder, whether it is meant."""


class Warner(Reporter, Protocol):
    """Tells the user also what they should know and what is no failure."""

    def show_warning(self, message: str) -> None:
        """Where the user will notice."""
        ...


class Engines:
    """Asks for a folder the engine with its model. Used inside one event loop.

    `server` is the address of one that serves. Without it engines are started when they are
    asked for: with `model` where a folder asks for none, or for one that cannot be used.
    `remembers_nothing` is told whenever that may be so of folders' engine, and whether what was
    given to that before waits for it still.
    """

    def __init__(
        self,
        server: str | None,
        model: str,
        reporter: Warner,
        remembers_nothing: Callable[[Concerned, bool], None],
    ) -> None:
        self._server = server
        self._default = model
        self._reporter = reporter
        self._remembers_nothing = remembers_nothing
        self._models: dict[str, str] = {}  # by folder
        self._engines: dict[str, Engine] = {}  # by model
        self._running: dict[str, asyncio.Task[None]] = {}
        self._were_ready: set[Engine] = set()
        self._others = Tasks()  # that are nobody's concern
        self._comparing: asyncio.Task[None] | None = None
        self._stopped = False  # what was asked before and comes later starts nothing any more
        self._told: set[tuple[str, str]] = set()  # folders whose model the server has not
        if server is not None:
            self._engine(model)

    def assign(self, models: Mapping[str, str]) -> None:
        """Says by folder which model is asked for, where "" is the default. The engines of
        open folders are started, those that nobody asks for any more end. The folder "" stands
        for what lies in none; its engine is started for its first document."""
        if self._stopped:
            return
        before = self._models
        if self._server is not None:
            self._models = dict.fromkeys(models, self._default)
            self._compare(self._server, models)
            return
        self._models = {folder: model or self._default for folder, model in models.items()}
        self._start_and_end()
        changed = {f for f in before | self._models if before.get(f) != self._models.get(f)}
        for folder in changed & before.keys() - {""}:
            if (earlier := self._engines.get(before[folder])) is not None:
                self._others.start(earlier.forget(folder))
        self._remembers_nothing(lambda folder: folder in changed & self._models.keys(), False)

    def _start_and_end(self) -> None:
        wanted = {model for folder, model in self._models.items() if folder}
        wanted = wanted or set(self._models.values())
        engines = [self._engine(model) for model in wanted]
        if any(engine.is_given_up for engine in engines):
            wanted.add(self._default)
        for model in self._engines.keys() - wanted:
            self._end(model)

    async def complete(self, document: Document, limits: Limits, timeout: float) -> list[str]:
        """As `Engine.complete`, by the document's folder."""
        if self._stopped:
            return []
        return await self._of(document.workspace).complete(document, limits, timeout)

    async def read(self, document: Document) -> None:
        """As `Engine.read`, by the document's folder; no engine is started for it."""
        model = self._models.get(document.workspace, self._default)
        engine = self._engines.get(model)
        if engine is not None and engine.is_given_up:
            engine = self._engines.get(self._default)
        if engine is not None and not self._stopped:
            await engine.read(document)

    async def remember(self, folder: str, texts: Mapping[str, str]) -> WorkspaceMemory | None:
        """As `Engine.remember`."""
        return None if self._stopped else await self._of(folder).remember(folder, texts)

    async def forget(self, folder: str, paths: Sequence[str] = ()) -> WorkspaceMemory | None:
        """As `Engine.forget`."""
        return None if self._stopped else await self._of(folder).forget(folder, paths)

    async def stop(self) -> None:
        """Ends them all, for good."""
        self._stopped = True
        for model in list(self._engines):
            self._end(model)
        ending = [*self._others, *filter(None, [self._comparing])]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)

    def _of(self, folder: str) -> Engine:
        engine = self._engine(self._models.get(folder, self._default))
        return self._engine(self._default) if engine.is_given_up else engine

    def _engine(self, model: str) -> Engine:
        """The one with this model, which is started if it is not there."""
        if (engine := self._engines.get(model)) is None:
            engine = self._engines[model] = Engine(
                self._server,
                model,
                self._reporter,
                partial(self._became_ready, model),
                None if model == self._default else self._default,
            )
            self._running[model] = asyncio.create_task(self._run(model, engine))
        return engine

    async def _run(self, model: str, engine: Engine) -> None:
        await engine.keep_up()
        # It was given up: the default, which now has its folders, knows nothing of them.
        if model != self._default:
            self._remembers_nothing(lambda folder: self._models.get(folder) == model, False)

    def _became_ready(self, model: str) -> None:
        engine = self._engines[model]
        is_first = engine not in self._were_ready
        self._were_ready.add(engine)
        self._remembers_nothing(lambda f: f in self._models and self._of(f) is engine, is_first)

    def _end(self, model: str) -> None:
        self._were_ready.discard(self._engines.pop(model))
        task = self._running.pop(model)
        task.cancel()
        self._others.keep(task)

    def _compare(self, address: str, models: Mapping[str, str]) -> None:
        """Tells of folders that ask for another model than the server's."""
        if self._comparing is not None:
            self._comparing.cancel()
        asked = {(folder, model) for folder, model in models.items() if folder and model}
        comparing = self._tell_others(address, asked - self._told)
        self._comparing = asyncio.create_task(comparing)

    async def _tell_others(self, address: str, asked: set[tuple[str, str]]) -> None:
        served = await self._of("").model() if asked else None
        for folder, model in sorted(asked):
            is_path = PurePath(model).name != model  # whose own name only the server could tell
            if served is not None and model != served and not is_path:
                self._told.add((folder, model))
                self._reporter.show_warning(
                    f"foretype: {PurePath(folder).name} asks for the model {model!r}, but the"
                    f" server at {address} answers with its own, {served!r}"
                )
