"""The engine behind the adapter: one that already serves, or a child process of our own.

Either is kept up in the background: it becomes ready, it may be lost, it is found or started
again. Whoever asks meanwhile gets nothing, and the user is told once.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from tempfile import TemporaryDirectory
from typing import Protocol

from foretype.client import (
    AsyncClient,
    DeadlineExceeded,
    Document,
    ForetypeError,
    Limits,
    Overloaded,
    Unavailable,
)
from foretype.v1.workspace_pb2 import WorkspaceMemory

REMEMBER_TIMEOUT = 120.0  # seconds
CONNECT_TIMEOUT = 5.0  # seconds until a server that does not answer is reported
STOP_TIMEOUT = 3.0  # seconds that the child has to end by itself
FIRST_DELAY, MAX_DELAY = 0.5, 30.0  # seconds between attempts; each waits twice as long
STEADY = 60.0  # seconds after which an engine that ends is not counted as failing at once
MAX_FAILURES = 5  # starts of the child in a row that fail
_USERS_MISTAKE = 2  # exit code of the foretype command for what another try cannot mend
_LONGEST_LINE = 2**20  # of what the child prints, in bytes


class Reporter(Protocol):
    """Tells the user; the texts never hold source code."""

    def log(self, message: str) -> None:
        """Into the editor's log."""
        ...

    def show_error(self, message: str) -> None:
        """Where the user will notice."""
        ...


class Engine:
    """Asks the engine for continuations. Used inside one event loop.

    `server` is the address of one that serves; without it a child is started with `model`.
    `became_ready` is told whenever an engine is there that may remember nothing. Another with
    the model `instead`, if any, answers where this one cannot be kept up.
    """

    def __init__(
        self,
        server: str | None,
        model: str,
        reporter: Reporter,
        became_ready: Callable[[], None] = lambda: None,
        instead: str | None = None,
    ) -> None:
        self._server = server
        self._became_ready = became_ready
        self._model = model
        self._instead = instead
        self._reporter = reporter
        self._client: AsyncClient | None = None
        self._ready = asyncio.Event()
        self._lost = asyncio.Event()
        self._expected = True  # to be ready soon
        self._given_up = False
        self._logged: set[str] = set()

    @property
    def is_given_up(self) -> bool:
        """Whether it will never be ready again."""
        return self._given_up

    async def model(self) -> str | None:
        """The name of the model that answers, as soon as there is an engine; None where it
        does not say."""
        await self._ready.wait()
        if self._client is None:
            return None
        try:
            return next((m.name for m in await self._client.models() if m.serving), None)
        except ForetypeError:
            return None

    async def complete(self, document: Document, limits: Limits, timeout: float) -> list[str]:
        """Continuations, best first; none where the engine cannot answer within `timeout`
        seconds, be it that it is only starting. Cancelling the task cancels the request."""
        if not self._expected:
            return []
        try:
            async with asyncio.timeout(timeout):
                await self._ready.wait()
                if self._client is None:  # lost again already
                    return []
                response = await self._client.complete(document, limits, timeout)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return []  # not this task: the connection was closed under the request
        except (TimeoutError, DeadlineExceeded, Overloaded):
            return []
        except Unavailable:
            self._lost.set()
            return []
        except ForetypeError as error:
            self._log_once(str(error))
            return []
        return [candidate.text for candidate in response.candidates]

    async def read(self, document: Document) -> None:
        """Has a document's prefix read, as soon as there is an engine, for whoever asks for
        continuations in it then. Cancelling the task gives it up."""
        if not self._expected:
            return
        await self._ready.wait()
        if self._client is None:
            return
        try:
            await self._client.read(document)
        except Unavailable:
            self._lost.set()
        except ForetypeError as error:
            self._log_once(f"a file that was opened cannot be read ahead: {error}")

    async def remember(self, workspace: str, texts: Mapping[str, str]) -> WorkspaceMemory | None:
        """Puts texts, by path, into a workspace's memory; what is in it then. None where
        there is no engine, or its model reads no memory. Cancelling the task gives it up."""
        if not self._expected:
            return None
        await self._ready.wait()
        if self._client is None:
            return None
        try:
            memory = await self._client.remember(workspace, texts, REMEMBER_TIMEOUT)
        except Unavailable:
            self._lost.set()
            return None
        except ForetypeError as error:
            self._log_once(f"the files of the workspace cannot be remembered: {error}")
            return None
        return memory if memory.is_read else None

    async def forget(self, workspace: str, paths: Sequence[str] = ()) -> WorkspaceMemory | None:
        """Takes texts out of a workspace's memory, all where none is named; what is in it then.
        None where there is no engine, or it does not do so."""
        if self._client is not None:
            with suppress(ForetypeError):  # what is lost is forgotten too
                return await self._client.forget(workspace, paths, REMEMBER_TIMEOUT)
        return None

    async def keep_up(self) -> None:
        """Keeps the engine ready until this task is cancelled, which ends the child too; returns
        once the engine was given up."""
        try:
            if self._server is None:
                await self._keep_child()
            else:
                await self._keep_connection(self._server)
        except OSError as error:  # no process or no temporary folder can be made here
            self._give_up(str(error))
        finally:  # whoever waits gets nothing
            self._expected = False
            self._ready.set()

    async def _keep_connection(self, address: str) -> None:
        delay, told = FIRST_DELAY, False
        while True:
            try:
                async with self._connected(address) as client:
                    await client.wait_until_serving(CONNECT_TIMEOUT)
                    delay, told = FIRST_DELAY, False
                    self._become_ready(client)
                    await self._lost.wait()
                self._reporter.log(f"foretype: the server at {address} was lost")
            except ForetypeError:
                if not told:
                    self._reporter.show_error(
                        f"foretype: no suggestions for now: no server answers at {address}"
                    )
                told, self._expected = True, False
            await asyncio.sleep(delay)
            delay = min(2 * delay, MAX_DELAY)

    async def _keep_child(self) -> None:
        loop, failures = asyncio.get_running_loop(), 0
        while True:
            began = loop.time()
            code, last_words = await self._run_child()
            failures = 1 if loop.time() - began > STEADY else failures + 1
            if code == _USERS_MISTAKE or failures >= MAX_FAILURES:
                return self._give_up(last_words)
            delay = FIRST_DELAY * 2 ** (failures - 1)
            self._reporter.log(
                f"foretype: the engine ended ({last_words}); it is started again in {delay:g} s"
            )
            await asyncio.sleep(delay)

    async def _run_child(self) -> tuple[int, str]:
        """Runs the engine until it ends; its exit code, and its last words or what stands in
        for them."""
        with TemporaryDirectory(prefix="foretype-") as folder:  # its owner's alone
            address = f"unix:{folder}/engine.sock"
            async with self._child(address) as (process, relay):
                assert process.stdout is not None
                if await process.stdout.readline():  # it says that it serves
                    async with self._connected(address) as client:
                        self._become_ready(client)
                        await process.wait()
                code = await process.wait()
                said = await relay
        return code, f"signal {-code}" if code < 0 else said or f"exit code {code}"

    @asynccontextmanager
    async def _child(
        self, address: str
    ) -> AsyncGenerator[tuple[asyncio.subprocess.Process, asyncio.Task[str]]]:
        """The process, and a task that passes on what it says on standard error.

        It ends when its standard input closes, so also when this process is killed.
        """
        command = [sys.executable, "-m", "foretype", "serve", "--until-stdin-closes"]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *command, "--listen", address, "--model", self._model,
            stdin=pipe, stdout=pipe, stderr=pipe, limit=_LONGEST_LINE,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stderr is not None
        relay = asyncio.create_task(self._relay(process.stderr))
        try:
            yield process, relay
        finally:
            process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), STOP_TIMEOUT)
            except TimeoutError:
                pass
            finally:  # also where the event loop is closing and does not let us wait
                if process.returncode is None:
                    process.kill()
            await process.wait()
            await relay

    async def _relay(self, stderr: asyncio.StreamReader) -> str:
        """Logs each line; returns the last."""
        last = ""
        async for line in stderr:
            last = line.decode(errors="replace").strip().removeprefix("foretype: ") or last
            self._reporter.log(f"foretype: engine: {last}")
        return last

    @asynccontextmanager
    async def _connected(self, address: str) -> AsyncGenerator[AsyncClient]:
        client = AsyncClient(address)
        try:
            yield client
        finally:
            self._ready.clear()
            self._client = None
            await client.close()

    def _become_ready(self, client: AsyncClient) -> None:
        self._logged.clear()
        self._lost.clear()
        self._expected = True
        self._client = client
        self._ready.set()
        self._reporter.log("foretype: the engine is ready")
        self._became_ready()

    def _give_up(self, reason: str) -> None:
        self._given_up = True
        if self._instead is None:
            effect = "no suggestions until the editor is restarted"
        else:
            effect = f"the model {self._instead!r} answers in place of {self._model!r}"
        self._reporter.show_error(f"foretype: {effect}: {reason}")

    def _log_once(self, message: str) -> None:
        if message not in self._logged:
            self._logged.add(message)
            self._reporter.log(f"foretype: {message}")
